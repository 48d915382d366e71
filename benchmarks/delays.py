"""How many events pass from the onset of a shift to the alarm."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.detection_parts import Delay, Pair, Settings
from benchmarks.equalize import MAKE
from benchmarks.false_alarms import for_river, river_of
from benchmarks.running import Running
from benchmarks.streams import Kind, Shift, Streams, shifts_of
from benchmarks.watching import OURS, PIECE, Watching
from stream_monitor.detectors.base import Float64s

BATCH = 50
"""Streams at a time: river's keep the sums of all that they saw."""
HEALTHY = 10_000
"""Events between learning and the onset."""
HORIZON_OF_SMALL = 4
"""The smallest shift is followed for so many horizons."""
RESAMPLED = 1_000
TUNED = {name: f"river {name}, tuned" for name in MAKE}
DEFAULT_HEALTHY, DEFAULT_HORIZON, DEFAULT_STREAMS = 2_000, 20_000, 30
SLOW_HEALTHY, SLOW_HORIZON, SLOW_STREAMS = 300, 2_000, 4
"""Of KSWIN, which alarms anyway after 700."""


def delays_of(kind: Kind, settings: Settings, levels: dict[str, float]) -> tuple[list[Delay], list[Pair]]:
    """Of ours in slices and of river's tuned to these levels, of the same streams."""
    ramps = (0, settings.ramp)
    shifts = shifts_of(kind, ramps)
    found: dict[tuple[str, Shift], list[Float64s]] = {}
    for batch in range(0, settings.delay_streams, BATCH):
        number = min(BATCH, settings.delay_streams - batch)
        ready = _Ready(kind, settings, settings.seed + 2_000_000 + batch, number, levels)
        for shift in shifts:
            for name, own in ready.followed(shift).items():
                found.setdefault((name, shift), []).append(own)
    n = settings.slices[0]
    all_of = {key: np.concatenate(several) for key, several in found.items()}
    delays = [
        _delay(name, shift, n if name in OURS else 1, values) for (name, shift), values in all_of.items()
    ]
    pairs = [
        _pair(shift, all_of["scan", shift], {name: all_of[name, shift] for name in TUNED.values()})
        for shift in shifts
    ]
    return delays, pairs


class _Ready:
    """Contenders that have seen the same healthy streams, to be copied for each shift."""

    def __init__(
        self, kind: Kind, settings: Settings, seed: int, number: int, levels: dict[str, float]
    ) -> None:
        n = settings.slices[0]
        at = settings.at(n, kind)
        self._kind, self._settings, self._n = kind, settings, n
        streams = Streams(kind, seed, number)
        before = copy.deepcopy(streams)
        self._watching = Watching(streams, n, at.learn, at.budget, OURS)
        self._running: dict[str, Running] = {
            TUNED[name]: MAKE[name](number, one) for name, one in levels.items()
        }
        while before.position < streams.position:
            self._feed_running(before.take(PIECE))
        for _ in range(HEALTHY // PIECE):
            values = streams.take(PIECE)
            self._feed_running(values)
            self._watching.feed(values, OURS)

    def _feed_running(self, values: Float64s) -> None:
        for one in self._running.values():
            one.feed(for_river(self._kind, values))

    def followed(self, shift: Shift) -> dict[str, Float64s]:
        """The delay of each contender on each stream, infinite where the horizon was passed."""
        watching, running = copy.deepcopy((self._watching, self._running))
        streams, onset = watching.streams, watching.streams.position
        found = {name: np.full(streams.number, np.inf) for name in (*OURS, *running)}
        small = shift.what == "location" and shift.size <= 0.1
        horizon = self._settings.horizon * (HORIZON_OF_SMALL if small else 1)
        while streams.position - onset < horizon:
            left = [name for name, delays in found.items() if np.isinf(delays).any()]
            if not left:
                break
            passed = streams.position - onset
            values = streams.take(PIECE, shift, onset)
            for name, alarms in watching.feed(values, [one for one in left if one in OURS]).items():
                first = np.where(alarms.any(axis=0), passed + alarms.argmax(axis=0) * self._n, np.inf)
                found[name] = np.minimum(found[name], first)
            seen = for_river(self._kind, values)
            for name in [one for one in left if one in running]:
                first = np.array([row[0] - onset if row else np.inf for row in running[name].feed(seen)])
                found[name] = np.minimum(found[name], first)
        return found


def _delay(contender: str, shift: Shift, n: int, delays: Float64s) -> Delay:
    return Delay(
        contender, shift.name, n, len(delays), float(np.isfinite(delays).mean()), _number(np.median(delays))
    )


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _pair(shift: Shift, ours: Float64s, theirs: dict[str, Float64s]) -> Pair:
    """The best of river's is the one with the least median."""
    best = min(theirs, key=lambda name: (np.median(theirs[name]), -np.isfinite(theirs[name]).mean()))
    mine, other = float(np.median(ours)), float(np.median(theirs[best]))
    which = np.random.default_rng(1).integers(0, len(ours), (RESAMPLED, len(ours)))
    with np.errstate(invalid="ignore"):
        ratios = np.median(ours[which], axis=1) / np.median(theirs[best][which], axis=1)
        ratio = np.divide(mine, other)
    low, high = np.quantile(np.where(np.isnan(ratios), 1.0, ratios), [0.025, 0.975], method="nearest")
    numbers = (_number(one) for one in (mine, other, ratio, low, high))
    return Pair(shift.name, shift.sds, bool(shift.ramp), best, *numbers)


def delays_of_defaults(kind: Kind, settings: Settings) -> Iterator[Delay]:
    """river's as they come. What often alarms by itself does so soon after an onset, too."""
    for name, make in river_of(kind).items():
        slow = "KSWIN" in name
        healthy = SLOW_HEALTHY if slow else DEFAULT_HEALTHY
        horizon = SLOW_HORIZON if slow else min(DEFAULT_HORIZON, settings.horizon)
        number = min(settings.delay_streams, SLOW_STREAMS if slow else DEFAULT_STREAMS)
        for shift in shifts_of(kind, (0,) if slow else (0, settings.ramp)):
            streams = Streams(kind, settings.seed + 3_000_000, number)
            values = for_river(kind, streams.take(healthy + horizon, shift, healthy))
            delays = [_first_after(make(), row.tolist(), healthy) for row in values]
            yield _delay(name, shift, 1, np.array(delays))


def _first_after(detector: Any, values: list[float], onset: int) -> float:
    for number, value in enumerate(values, start=1):
        detector.update(value)
        if detector.drift_detected and number > onset:
            return number - onset
    return np.inf

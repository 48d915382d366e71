"""How often detectors alarm on streams in which nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from river import drift

from benchmarks.detection_parts import FalseAlarms, Settings
from benchmarks.streams import Kind, Streams
from benchmarks.watching import OURS, PIECE, Watching

KSWIN_SHARE = 0.02
"""Of the events: it takes 300 us for each."""

RIVER: dict[str, Callable[[], Any]] = {
    "river ADWIN": drift.ADWIN,
    "river PageHinkley": drift.PageHinkley,
    "river KSWIN": lambda: drift.KSWIN(seed=1),
}
RIVER_BINARY: dict[str, Callable[[], Any]] = {
    "river DDM": drift.binary.DDM,
    "river HDDM_A": drift.binary.HDDMA,
}


def river_of(kind: Kind) -> dict[str, Callable[[], Any]]:
    return RIVER | (RIVER_BINARY if kind.binary else {})


def of_ours(kind: Kind, n: int, settings: Settings) -> Iterator[FalseAlarms]:
    """In slices of n events. Our single detectors, too, in those of the comparison."""
    at = settings.at(n, kind)
    contenders = tuple(OURS) if n == settings.slices[0] else ("scan",)
    streams = Streams(kind, at.seed + n, at.streams)
    watching = Watching(streams, n, at.learn, at.budget, contenders)
    found = {name: np.zeros(at.streams, np.int64) for name in contenders}
    pieces = -(-at.watch // PIECE)
    for _ in range(pieces):
        for name, alarms in watching.feed(streams.take(PIECE), contenders).items():
            found[name] += alarms.sum(axis=0)
    events = at.streams * pieces * PIECE
    for name, by_stream in found.items():
        by_score = dict(zip(watching.names, watching.by_score[name].tolist(), strict=True))
        warm_up = watching.warm_up[name]
        yield FalseAlarms.of(name, n, events, by_stream.tolist(), warm_up, at.budget, by_score=by_score)


def of_defaults(kind: Kind, settings: Settings) -> Iterator[FalseAlarms]:
    """river's as they come, event by event."""
    for name, make in river_of(kind).items():
        events = int(settings.default_events * (KSWIN_SHARE if "KSWIN" in name else 1))
        values = for_river(kind, Streams(kind, settings.seed, settings.streams).take(events))
        by_stream = [len(alarms_of(make(), row.tolist())) for row in values]
        yield FalseAlarms.of(name, 1, events * len(values), by_stream, 0, settings.budget)


def for_river(kind: Kind, values: np.ndarray) -> np.ndarray:
    """What river's see: of categories, whether it is the one whose share shrinks."""
    return (values == 0).astype(np.float64) if kind.scored == "category" else values


def alarms_of(detector: Any, values: list[float]) -> list[int]:
    """After how many of the values it alarmed."""
    found = []
    for number, value in enumerate(values, start=1):
        detector.update(value)
        if detector.drift_detected:
            found.append(number)
    return found

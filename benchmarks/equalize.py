"""river's ADWIN and Page-Hinkley tuned to a rate of false alarms, on streams of one kind.

A detector that is never reset passes each level for the first time somewhere. How many of many streams have,
by the events until then, is the rate of alarms at that level: one pass gives it for all levels at once.
Alarms on other seeds, with the resets that they bring, then say what the rate truly is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.running import CLOCK, Running, RunningAdwin, RunningPageHinkley
from benchmarks.streams import Kind, Streams
from stream_monitor.detectors.base import Float64s, Int64s

PIECE = 1 << 14
BATCH = 10
"""Streams at a time: all of their sums are kept."""
NEVER = 1e18
TIMES = (1.0, 1.5, 2.2, 3.3, 5.0)
ROUNDS = 2
WITHIN = 0.1


@dataclass(frozen=True, slots=True)
class Firsts:
    """Of many streams of ``events`` each, when each of them was highest so far, and how high."""

    events: int
    heights: list[Float64s]
    passed: list[Int64s]

    def rate(self, level: float) -> float:
        """Alarms an event at this level."""
        first = np.full(len(self.heights), self.events)
        alarms = 0
        for stream, (heights, passed) in enumerate(zip(self.heights, self.passed, strict=True)):
            at = int(np.searchsorted(heights, level, side="right"))
            if at < len(heights):
                first[stream], alarms = passed[at], alarms + 1
        return alarms / float(first.sum())

    def level(self, rate: float) -> float:
        """Where it alarms at this rate: by a line through the levels of higher rates, too, which are better
        known. The logarithm of a rate falls with the level.
        """
        logs = np.log(rate * np.array(TIMES))
        levels = np.array([self._lowest(float(one)) for one in np.exp(logs)])
        slope = float(np.cov(levels, logs)[0, 1] / np.var(logs, ddof=1))
        return float(levels.mean() + slope * (np.log(rate) - logs.mean()))

    def _lowest(self, rate: float) -> float:
        """Of the levels that were passed, the lowest that alarms at most at this rate."""
        heights = np.unique(np.concatenate(self.heights))
        low, high = 0, len(heights) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.rate(heights[middle]) <= rate else (middle + 1, high)
        return float(heights[low])


@dataclass(frozen=True, slots=True)
class Tuned:
    """``level``: ln(1 / delta) of ADWIN, the threshold of Page-Hinkley. ``wanted`` and ``seen``: alarms in a
    million events, the second of ``alarms`` on other seeds than it was tuned on."""

    detector: str
    level: float
    wanted: float
    seen: float
    alarms: int

    @property
    def met(self) -> bool:
        return abs(self.seen / self.wanted - 1.0) <= WITHIN


MAKE: dict[str, Callable[[int, float], Running]] = {
    "adwin": RunningAdwin,
    "page_hinkley": RunningPageHinkley,
}


def firsts(kind: Kind, seed: int, streams: int, events: int) -> dict[str, Firsts]:
    """Of both detectors, on the same streams."""
    found = {name: Firsts(events, [], []) for name in MAKE}
    for batch in range(0, streams, BATCH):
        of = Streams(kind, seed + batch, BATCH)
        highest = {name: [_Highest() for _ in range(BATCH)] for name in MAKE}
        adwin, page_hinkley = RunningAdwin(BATCH, NEVER), RunningPageHinkley(BATCH, NEVER)
        rows = np.arange(BATCH)
        while of.position < events:
            position = of.position
            values = of.take(min(PIECE, events - position))
            for window, row, highs in zip(adwin.windows, values, highest["adwin"], strict=True):
                for check, heights in window.heights(row):
                    highs.add(CLOCK * (check + 1), CLOCK, heights)
            for highs, heights in zip(
                highest["page_hinkley"], page_hinkley.excursion(values, rows), strict=True
            ):
                highs.add(position + 1, 1, heights)
        for name, several in highest.items():
            found[name].heights.extend(np.concatenate(one.heights) for one in several)
            found[name].passed.extend(np.concatenate(one.passed) for one in several)
    return found


class _Highest:
    """The records of one series."""

    def __init__(self) -> None:
        self.height = 0.0
        self.heights: list[Float64s] = [np.zeros(0)]
        self.passed: list[Int64s] = [np.zeros(0, np.int64)]

    def add(self, first: int, step: int, heights: Float64s) -> None:
        """Heights at the events first, first + step, .."""
        if heights.max(initial=0.0) > self.height:
            best = np.maximum(np.maximum.accumulate(heights), self.height)
            new = np.flatnonzero(np.diff(best, prepend=self.height) > 0)
            self.heights.append(best[new])
            self.passed.append(first + step * new)
            self.height = float(best[-1])


def alarms(kind: Kind, seed: int, streams: int, events: int, levels: dict[str, float]) -> dict[str, int]:
    """Of both detectors at these levels."""
    found = dict.fromkeys(levels, 0)
    for batch in range(0, streams, BATCH):
        of = Streams(kind, seed + batch, BATCH)
        running = {name: MAKE[name](BATCH, level) for name, level in levels.items()}
        while of.position < events:
            values = of.take(min(PIECE, events - of.position))
            for name, one in running.items():
                found[name] += sum(map(len, one.feed(values)))
    return found


def tuned(kind: Kind, seed: int, streams: tuple[int, int], events: int, rate: float) -> list[Tuned]:
    """Both detectors at ``rate`` alarms an event on so many ``streams``; what they then do is seen on as many
    as the second number says, with seeds of their own.

    Where that is off by more than WITHIN and chance, the level is moved by as much and looked at on others.
    """
    tune, verify = streams
    curves = firsts(kind, seed, tune, events)
    wanted = dict.fromkeys(MAKE, rate)
    for round_ in range(1, ROUNDS + 1):
        levels = {name: curves[name].level(wanted[name]) for name in MAKE}
        seen = alarms(kind, seed + 10_000 * round_, verify, events, levels)
        off = {name: count / (verify * events * rate) for name, count in seen.items()}
        if all(abs(off[name] - 1.0) <= max(WITHIN, 2.0 / max(seen[name], 1) ** 0.5) for name in MAKE):
            break
        wanted = {name: wanted[name] / float(np.clip(off[name], 0.5, 2.0)) for name in MAKE}
    return [Tuned(name, levels[name], rate * 1e6, off[name] * rate * 1e6, seen[name]) for name in MAKE]

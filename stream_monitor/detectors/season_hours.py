"""The hours of many signals: what a season is learned from, in bounded memory however long it takes."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored

HOUR_MS = 3_600_000
DAY, WEEK = 24, 168
"""In hours."""
HOURS_MAX = 8 * WEEK
"""Hours that are a multiple of this apart are kept as one: so a day, or a week, stays what it is."""


class Record(NamedTuple):
    """Of s signals the T hours from ``first`` on, since 1970: events and their mean, (T, s); 0 where none."""

    first: int
    n: Float64s
    mean: Float64s


class Hours:
    """Collects what S signals were in each hour: events, and the sum of their values.

    Promise: ``a + b`` is what one would be that had seen what both saw, in any order; an hour that was seen
    twice holds both. Memory: 16 bytes an hour and signal, 21 KB a signal at most.
    """

    def __init__(self, signals: int) -> None:
        self.signals = signals
        self.first = self.end = 0
        self._sums: Float64s = np.zeros((2, 0, signals))

    def add(self, start: int, width: int, seen: Int64s, n: Float64s, mean: Float64s) -> None:
        """A slice of ``width`` ms from ``start`` on, in which the signals ``seen`` (s,) saw n > 0 events.

        It belongs to the hour of its middle, or in equal parts to all hours, where it is longer than one.
        """
        parts = max(1, width // HOUR_MS)
        middle = start + width // (2 * parts)
        block = np.stack((n, n * mean)) / parts
        for part in range(parts):
            hour = (middle + part * width // parts) // HOUR_MS
            if not self.first <= hour < self.end:
                self._cover(hour, hour + 1)
            self._sums[:, (hour - self.first) % HOURS_MAX, seen] += block

    def _cover(self, first: int, end: int) -> None:
        """Make room from ``first`` to ``end``, too."""
        used = self._used
        if used:
            first, end = min(first, self.first), max(end, self.end)
        rows, have = min(end - first, HOURS_MAX), self._sums.shape[1]
        if rows > have or first < self.first:
            old, self._sums = self._sums, np.zeros((2, min(max(rows, 2 * have), HOURS_MAX), self.signals))
            self._sums[:, (np.arange(used) + self.first - first) % HOURS_MAX] = old[:, :used]
        self.first, self.end = first, end

    @property
    def _used(self) -> int:
        """Rows that hold hours; of these ``first`` is the first."""
        return min(self.end - self.first, HOURS_MAX)

    def __add__(self, other: Hours) -> Hours:
        if self.signals != other.signals:
            raise ValueError(f"hours: expected {self.signals} signals, got {other.signals}")
        both = Hours(self.signals)
        for one in (self, other):
            if one._used:
                both._cover(one.first, one.end)
        for one in (self, other):
            rows = (np.arange(one._used) + one.first - both.first) % HOURS_MAX
            both._sums[:, rows] += one._sums[:, : one._used]
        return both

    def of(self, signals: Int64s) -> Record:
        """Of these signals."""
        n, total = self._sums[:, : self._used, signals]
        return Record(self.first, n, np.divide(total, n, out=np.zeros_like(n), where=n > 0))

    @property
    def nbytes(self) -> int:
        return self._sums.nbytes

    def bytes_max(self) -> int:
        """Bound on ``nbytes``."""
        return 16 * HOURS_MAX * self.signals

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {"first": self.first, "end": self.end, "sums": self._sums.copy()}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """FormatError, KeyError, TypeError or ValueError if it is no snapshot of one."""
        shape = snapshot["sums"].shape
        hours = cls(shape[2])
        hours.first, hours.end = int(snapshot["first"]), int(snapshot["end"])
        if shape[1] < hours._used:
            raise ValueError(f"hours: expected sums from {hours.first} to {hours.end}, got {shape[1]}")
        hours._sums = restored(snapshot, "sums", np.float64, shape)
        return hours

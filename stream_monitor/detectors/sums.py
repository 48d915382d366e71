"""The sums of the latest slices of each signal, at once over windows of many lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored

SIZES = np.array([1, 2, 3, 4, 6, 8])
"""Blocks in a window."""
BLOCKS = int(SIZES[-1])
"""Kept of each length."""


class Windows(NamedTuple):
    """The windows of s signals that end now, of SIZES blocks of 2^``level`` slices; arrays (W, s).

    ``signal`` (s,). ``n`` events with ``total``, the sum of their values, and ``squares``, the sum of n^2
    over slices. ``first`` is the index of the first slice seen, ``after`` that of the slice after the last
    one that was seen before. Where a signal has not seen as many slices, a window is what there is.
    """

    level: int
    signal: Int64s
    n: Float64s
    total: Float64s
    squares: Float64s
    first: Int64s
    after: Int64s


class Sums:
    """Blocks of 2^0, .. 2^(levels - 1) slices, the last BLOCKS of each length, of S signals.

    Slices without events are in none. Windows are given when their last block is complete. Memory: 320 bytes
    x levels x S. Adding a slice is O(S), amortized.
    """

    def __init__(self, signals: int, levels: int) -> None:
        self.signals, self.levels = signals, levels
        self._count: Int64s = np.zeros(signals, np.int64)
        self._last: Int64s = np.full(signals, -1)
        self._values: Float64s = np.zeros((3, levels, BLOCKS, signals))
        self._begin: Int64s = np.zeros((2, levels, BLOCKS, signals), np.int64)

    def add(self, current: int, seen: Int64s, n: Float64s, total: Float64s) -> Iterator[Windows]:
        """The slice with index ``current``, in which the signals ``seen`` (s,) saw n > 0 events."""
        count, values, begin = self._count[seen], self._values, self._begin
        self._count[seen] += 1
        values[:, 0, count % BLOCKS, seen] = n, total, n * n
        begin[0, 0, count % BLOCKS, seen], begin[1, 0, count % BLOCKS, seen] = current, self._last[seen] + 1
        self._last[seen] = current
        yield self._windows(0, seen, count)
        for level in range(1, self.levels):
            complete = (count & 1) == 1
            if not complete.any():
                break
            high, seen, count = count[complete] % BLOCKS, seen[complete], count[complete] >> 1
            low, place = high - 1, count % BLOCKS
            values[:, level, place, seen] = values[:, level - 1, low, seen] + values[:, level - 1, high, seen]
            begin[:, level, place, seen] = begin[:, level - 1, low, seen]
            yield self._windows(level, seen, count)

    def _windows(self, level: int, signal: Int64s, count: Int64s) -> Windows:
        there = np.minimum(np.arange(BLOCKS)[:, None], count)
        blocks = (count - there) % BLOCKS
        sums = self._values[:, level, blocks, signal]
        sums *= np.arange(BLOCKS)[:, None] <= count
        n, total, squares = np.cumsum(sums, axis=1)[:, SIZES - 1]
        first, after = self._begin[:, level, blocks[SIZES - 1], signal]
        return Windows(level, signal, n, total, squares, first, after)

    def reset(self, signals: Int64s) -> None:
        """Start these signals afresh."""
        self._count[signals] = 0

    def grow(self, levels: int) -> None:
        """Keep blocks of so many lengths from now on."""
        if levels > self.levels:
            more = ((0, 0), (0, levels - self.levels), (0, 0), (0, 0))
            self._values, self._begin = np.pad(self._values, more), np.pad(self._begin, more)
            self.levels = levels

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in (self._count, self._last, self._values, self._begin))

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {
            "count": self._count.copy(),
            "last": self._last.copy(),
            "values": self._values.copy(),
            "begin": self._begin.copy(),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Raises FormatError, KeyError, TypeError or ValueError if it is no snapshot of sums."""
        signals, levels = len(snapshot["count"]), snapshot["values"].shape[1]
        sums = cls(signals, levels)
        sums._count = restored(snapshot, "count", np.int64, (signals,))
        sums._last = restored(snapshot, "last", np.int64, (signals,))
        sums._values = restored(snapshot, "values", np.float64, sums._values.shape)
        sums._begin = restored(snapshot, "begin", np.int64, sums._begin.shape)
        return sums

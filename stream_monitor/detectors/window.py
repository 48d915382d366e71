"""What S signals did since their last change, in memory that grows with the logarithm of the time."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, T, restored
from stream_monitor.detectors.cuts import Buckets


class Window:
    """An exponential histogram of slices per signal: buckets of 2^r slices, each with events and sum.

    At most ``max_buckets`` buckets of a size are kept; the two oldest of a size that is full become
    one of the next. A signal's slices without events are in none. Totals (``n``, ``total``, ``m2``,
    (S,) each) are exact for the whole window, whatever was merged; ``ticks`` counts its slices.

    Memory: ``nbytes``, at most ``bytes_max``: 32 bytes x (max_buckets + 1) x S for each doubling of
    the window. Adding a slice is O(S), amortized.

    Source: Datar, Gionis, Indyk and Motwani, Maintaining Stream Statistics over Sliding Windows,
    SIAM J. Comput. 31, 2002, as used by ADWIN.
    """

    def __init__(self, signals: int, max_buckets: int) -> None:
        self.signals = signals
        self.max_buckets = max_buckets
        self.current = -1
        """Index of the latest slice, counted from the first one ever: empty ones, too."""
        self.ticks: Int64s = np.zeros(signals, np.int64)
        self.n: Float64s = np.zeros(signals)
        self.total: Float64s = np.zeros(signals)
        self.m2: Float64s = np.zeros(signals)
        # Row r holds the buckets of 2 ** (rows - 1 - r) slices, oldest first: flattened, the rows are
        # the window in time order. Slots from count[r] on are empty.
        shape = (1, max_buckets + 1, signals)
        self._count: Int64s = np.zeros((1, signals), np.int64)
        self._buckets = Buckets(
            np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        )

    def skip(self, slices: int) -> None:
        """Let time pass without events."""
        if slices < 0:
            raise ValueError(f"skip: expected slices >= 0, got {slices}")
        self.current += slices

    def add(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        """The next slice, in which the signals ``seen`` saw n > 0 events.

        Additions are done in the order in which river's ADWIN does them.
        """
        self.current += 1
        width = self.n[seen]
        deviation = mean - self.total[seen] / np.maximum(width, 1.0)
        self.ticks[seen] += 1
        self.m2[seen] += m2 + width * n * deviation * deviation / (width + n)
        self.n[seen] += n
        self.total[seen] += n * mean
        self._append(len(self._count) - 1, seen, n, n * mean, self.current, self.current)
        self._merge(seen)

    def reset(self, signals: Int64s) -> None:
        """Start these signals afresh."""
        for totals in (self.ticks, self.n, self.total, self.m2):
            totals[signals] = 0
        self._count[:, signals] = 0
        for values in self._buckets:
            values[:, :, signals] = 0

    @property
    def buckets(self) -> Buckets:
        """All buckets, (buckets, S), oldest first: views."""
        n, total, first, last = self._buckets
        shape = (-1, self.signals)
        return Buckets(n.reshape(shape), total.reshape(shape), first.reshape(shape), last.reshape(shape))

    @property
    def nbytes(self) -> int:
        """What the window takes, in bytes."""
        arrays = (self.ticks, self.n, self.total, self.m2, self._count, *self._buckets)
        return sum(array.nbytes for array in arrays)

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen.

        Buckets of 2^r slices begin when there are max_buckets + 1 of 2^(r-1).
        """
        capacity = self.max_buckets + 1
        rows = 1 + (slices // capacity).bit_length()
        return self.signals * (4 * 8 + rows * (8 + 32 * capacity))

    def snapshot(self) -> Snapshot:
        """Copies of everything."""
        return {
            "current": self.current,
            "max_buckets": self.max_buckets,
            "ticks": self.ticks.copy(),
            "n": self.n.copy(),
            "total": self.total.copy(),
            "m2": self.m2.copy(),
            "count": self._count.copy(),
        } | {f"bucket_{name}": values.copy() for name, values in self._buckets._asdict().items()}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Equal to the window that made the snapshot."""
        rows, signals = snapshot["count"].shape
        window = cls(signals, snapshot["max_buckets"])
        shape = (rows, window.max_buckets + 1, signals)
        window.current = snapshot["current"]
        window.ticks = restored(snapshot, "ticks", np.int64, (signals,))
        window.n = restored(snapshot, "n", np.float64, (signals,))
        window.total = restored(snapshot, "total", np.float64, (signals,))
        window.m2 = restored(snapshot, "m2", np.float64, (signals,))
        window._count = restored(snapshot, "count", np.int64, (rows, signals))
        window._buckets = Buckets(
            restored(snapshot, "bucket_n", np.float64, shape),
            restored(snapshot, "bucket_total", np.float64, shape),
            restored(snapshot, "bucket_first", np.int64, shape),
            restored(snapshot, "bucket_last", np.int64, shape),
        )
        return window

    def _append(
        self, row: int, at: Int64s, n: Float64s, total: Float64s, first: Int64s | int, last: Int64s | int
    ) -> None:
        slot = self._count[row, at]
        self._buckets.n[row, slot, at] = n
        self._buckets.total[row, slot, at] = total
        self._buckets.first[row, slot, at] = first
        self._buckets.last[row, slot, at] = last
        self._count[row, at] += 1

    def _merge(self, seen: Int64s) -> None:
        """Merge the two oldest buckets of every row that is full, from the newest row up."""
        row = len(self._count) - 1
        while (full := seen[self._count[row, seen] > self.max_buckets]).size:
            if row == 0:
                self._count = _with_empty_row(self._count)
                n, total, first, last = self._buckets
                self._buckets = Buckets(
                    _with_empty_row(n), _with_empty_row(total), _with_empty_row(first), _with_empty_row(last)
                )
                row = 1
            n, total, first, last = (values[row] for values in self._buckets)
            self._append(
                row - 1,
                full,
                n[0, full] + n[1, full],
                total[0, full] + total[1, full],
                first[0, full],
                last[1, full],
            )
            for values in (n, total, first, last):
                values[:-2, full] = values[2:, full]
                values[-2:, full] = 0
            self._count[row, full] -= 2
            row -= 1
            seen = full


def _with_empty_row(values: NDArray[T]) -> NDArray[T]:
    return np.concatenate([np.zeros_like(values[:1]), values])

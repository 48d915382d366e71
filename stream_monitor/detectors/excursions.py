"""Since when a statistic is away from where it rests: the estimate of the change time of charts."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored

ROUNDING = 1e-12
"""A level that moved by less, relatively, has been rounded."""
QUANTILE = 11.0
"""Of the place of a change in 95 %, in units of long-run variance over squared shift (Bai 1997)."""
MARGIN_MAX = 1e9
_TINY = 1e-200


class Excursions:
    """Of R statistics of S signals, each since it last left its rest: events, and their sum.

    Memory: 32 bytes x R x S, and 8 x S.

    Source: Nishina, A comparison of control charts from the viewpoint of change-point estimation, Quality and
    Reliability Engineering International 8, 1992.
    """

    def __init__(self, rows: int, signals: int) -> None:
        self._last: Int64s = np.full(signals, -1)
        self._begin: Int64s = np.zeros((2, rows, signals), np.int64)
        self._sums: Float64s = np.zeros((2, rows, signals))

    def start(self, signals: Int64s, current: int) -> None:
        """These signals were seen last in the slice ``current``, before any that is added."""
        self._last[signals] = current

    def add(self, current: int, seen: Int64s, slices: Float64s, resting: NDArray[np.bool_]) -> None:
        """A slice of n events and their sum, (2, s); where ``resting`` (R, s) an excursion begins with it."""
        begin, sums = self._begin[..., seen], self._sums[..., seen]
        since = np.stack((np.full(len(seen), current), self._last[seen] + 1))
        self._begin[..., seen] = np.where(resting, since[:, None], begin)
        self._sums[..., seen] = np.where(resting, 0.0, sums) + slices[:, None]
        self._last[seen] = current

    def of(self, row: Int64s, signal: Int64s) -> tuple[Int64s, Int64s, Float64s, Float64s]:
        """First slice, the one after the last seen before it, events and sum, of one each of k signals."""
        first, after = self._begin[:, row, signal]
        n, total = self._sums[:, row, signal]
        return first, after, n, total

    @property
    def nbytes(self) -> int:
        return self._last.nbytes + self._begin.nbytes + self._sums.nbytes

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {"last": self._last.copy(), "begin": self._begin.copy(), "sums": self._sums.copy()}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Raises FormatError, KeyError, TypeError or ValueError if it is no snapshot of excursions."""
        _, rows, signals = snapshot["begin"].shape
        excursions = cls(rows, signals)
        excursions._last = restored(snapshot, "last", np.int64, (signals,))
        excursions._begin = restored(snapshot, "begin", np.int64, (2, rows, signals))
        excursions._sums = restored(snapshot, "sums", np.float64, (2, rows, signals))
        return excursions


def margin(long_run: Float64s, shift: Float64s) -> Int64s:
    """How many slices off the place of a change is, at most, in 95 %, by the long-run variance of a slice.

    Source: Bai, Estimation of a change point in multiple regression models, Rev. Econ. Stat. 79, 1997.
    """
    slices = QUANTILE * long_run / np.maximum(shift * shift, _TINY)
    return np.minimum(slices, MARGIN_MAX).astype(np.int64)

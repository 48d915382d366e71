"""Where in a window did the mean change? The cut, and an interval for it, from the likelihood ratio.

A window is a column of buckets, oldest first; a bucket covers one or more slices. Cut j separates the
buckets 0..j from those behind. Buckets with n = 0 are padding, wherever they stand.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Changes, Float64s, Int64s

LOG_RATIO_95 = 6.0
"""Cuts whose 2 log LR is within this of the best make an interval of about 95 % (tests measure it)."""


class Buckets(NamedTuple):
    """The windows of k signals: (buckets, k) each, oldest first. ``first``, ``last``: slice indexes."""

    n: Float64s
    total: Float64s
    first: Int64s
    last: Int64s

    def of(self, windows: NDArray[np.int64] | NDArray[np.bool_]) -> Buckets:
        """Copies of some windows."""
        n, total, first, last = self
        return Buckets(n[:, windows], total[:, windows], first[:, windows], last[:, windows])


class Cuts(NamedTuple):
    """All cuts of k windows: (buckets, k) events and sums on both sides of each."""

    n0: Float64s
    n1: Float64s
    total0: Float64s
    total1: Float64s

    @classmethod
    def through(cls, buckets: Buckets, total: Float64s) -> Cuts:
        """Cost O(buckets k). ``total`` (k,) is the sum over the window, from which the right side is left
        bucket by bucket: so rounding is that of the loop in the literature.
        """
        n0 = np.cumsum(buckets.n, axis=0)
        remaining = np.subtract.accumulate(np.concatenate([total[np.newaxis], buckets.total]), axis=0)
        return cls(n0, n0[-1] - n0, np.cumsum(buckets.total, axis=0), remaining[1:])

    @property
    def real(self) -> NDArray[np.bool_]:
        """Cuts that leave events on both sides."""
        return (self.n0 > 0) & (self.n1 > 0)

    def of(self, windows: NDArray[np.bool_]) -> Cuts:
        """Those of some windows."""
        return Cuts(*(side[:, windows] for side in self))

    def shift(self) -> Float64s:
        """Mean before less mean after; 0 where a side is empty."""
        shift = self.total0 / np.maximum(self.n0, 1.0) - self.total1 / np.maximum(self.n1, 1.0)
        return np.where(self.real, shift, 0.0)


class Located(NamedTuple):
    """The best cut of each of k windows (``row``) and, as slice indexes, when the new regime began."""

    row: Int64s
    began: Int64s
    earliest: Int64s
    latest: Int64s


def locate(buckets: Buckets, cuts: Cuts, m2: Float64s, among: NDArray[np.bool_]) -> Located:
    """The most likely of the cuts ``among`` (at least one a column), for independent normal values.

    ``m2`` (k,) is the sum of squared deviations in the whole window. The likelihood ratio of a cut is
    its between-group sum of squares, in units of the variance within the groups of the best cut. Cuts
    inside a bucket cannot be judged: the interval includes them where they touch one that is in it.
    """
    columns = np.arange(cuts.n0.shape[1])
    events = cuts.n0[-1]
    between = np.where(cuts.real, cuts.n0 * cuts.n1 * np.square(cuts.shift()) / events, -1.0)
    row = np.argmax(np.where(among, between, -1.0), axis=0)
    best = between[row, columns]
    variance = np.maximum(m2 - best, 0.0) / events
    likely = cuts.real & (between >= best - LOG_RATIO_95 * variance)

    never = np.iinfo(np.int64).max
    occupied = buckets.n > 0
    opened = np.maximum.accumulate(np.where(occupied, buckets.first, -1), axis=0)
    next_first = _following(np.where(occupied, buckets.first, never))
    next_last = _following(np.where(occupied, buckets.last, never))
    oldest = np.argmax(likely, axis=0)
    newest = len(likely) - 1 - np.argmax(likely[::-1], axis=0)
    return Located(
        row=row,
        began=next_first[row, columns],
        earliest=opened[oldest, columns] + 1,
        latest=next_last[newest, columns],
    )


def describe(
    signal: Int64s, cuts: Cuts, place: Located, current: int, statistic: Float64s, threshold: Float64s
) -> Changes:
    """What changed at the cuts of k windows; ``statistic`` and ``threshold`` (k,) are the detector's."""
    at = (place.row, np.arange(len(signal)))
    return Changes(
        signal=signal,
        since=current - place.began,
        earliest=current - place.earliest,
        latest=current - place.latest,
        before_n=cuts.n0[at],
        before_mean=cuts.total0[at] / cuts.n0[at],
        after_n=cuts.n1[at],
        after_mean=cuts.total1[at] / cuts.n1[at],
        statistic=statistic,
        threshold=threshold,
    )


def _following(values: Int64s) -> Int64s:
    """Per row the least of the rows behind it; values ascend, padding is the largest integer."""
    least = np.minimum.accumulate(values[::-1], axis=0)[::-1]
    return np.concatenate([least[1:], np.full_like(least[:1], np.iinfo(np.int64).max)])

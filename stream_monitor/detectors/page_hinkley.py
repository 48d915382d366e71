"""Page-Hinkley: the cumulative sum of deviations from the mean so far has moved away from its extremum."""

from __future__ import annotations

from typing import Self

import numpy as np

from stream_monitor.detectors.base import (
    SNAPSHOT_VERSION,
    Changes,
    Float64s,
    Int64s,
    Snapshot,
    checked_slice,
    checked_snapshot,
    restored,
)

QUANTILE_95 = 11.0
"""Bai 1997, table of argmax(W(s) - |s| / 2): 95 % of change points err by at most 11 (sd / shift)^2."""


class PageHinkley:
    """The two-sided Page-Hinkley test over S signals at once, on weighted slices.

    Promise: where every slice holds one event (n = 1), each signal changes in exactly those updates in
    which ``river.drift.PageHinkley`` 0.26.1 with the same parameters (mode "both") reports a change,
    for the whole stream; after a change both start afresh. A slice of n events counts as n events at
    its mean, taken in one step: the sums forget alpha^n, and gain (deviation - delta) times
    1 + alpha + .. + alpha^(n-1). Against n steps this deviates in one point: all n deviations are from
    the mean *after* the slice, which makes the first slices of a window count for less.

    The test has no scale of its own: delta (the change to tolerate) and threshold are in units of the
    values; on stationary noise of variance v an excursion of the sum passes the threshold with
    probability about exp(-2 delta threshold / v), again and again.

    Where the sum had its extremum, the change began. The interval is Bai's (Estimation of a change
    point in multiple regression models, Review of Economics and Statistics 79, 1997) for independent
    values: 11 (sd / shift)^2 events to either side, at the window's average of events a slice.

    Memory: 112 bytes a signal, whatever was seen. An update is O(S).

    Source: Page, Continuous Inspection Schemes, Biometrika 41, 1954.

    >>> import numpy as np
    >>> slices = np.r_[np.zeros(40), np.ones(10)]  # 20 events each, without spread
    >>> detector, n, m2 = PageHinkley(signals=1), np.array([20.0]), np.array([0.0])
    >>> for index, mean in enumerate(slices):
    ...     if changes := detector.update(n, np.array([mean]), m2):
    ...         print(index, "began", index - changes.since[0], changes.before_mean, changes.after_mean)
    42 began 40 [0.] [1.]
    """

    NAME = "page_hinkley"

    def __init__(
        self,
        signals: int,
        *,
        delta: float = 0.005,
        threshold: float = 50.0,
        min_instances: int = 30,
        alpha: float = 0.9999,
    ) -> None:
        if not 0 < alpha <= 1:
            message = f"page_hinkley.alpha: expected 0 < alpha <= 1, got {alpha}"
            raise ValueError(message)
        if delta < 0 or threshold <= 0 or min_instances < 1:
            message = (
                "page_hinkley: expected delta >= 0, threshold > 0, min_instances >= 1, "
                f"got {delta}, {threshold}, {min_instances}"
            )
            raise ValueError(message)
        self.signals = signals
        self.delta = delta
        self.threshold = threshold
        self.min_instances = min_instances
        self.alpha = alpha

        self._slices = 0
        self._n: Float64s = np.zeros(signals)
        self._mean: Float64s = np.zeros(signals)
        self._m2: Float64s = np.zeros(signals)
        self._first: Int64s = np.zeros(signals, np.int64)
        # Row 0 looks for increases, row 1 for decreases: the same test on negated deviations.
        self._sum: Float64s = np.zeros((2, signals))
        self._least: Float64s = np.full((2, signals), np.inf)
        self._after_n: Float64s = np.zeros((2, signals))
        self._after_total: Float64s = np.zeros((2, signals))
        self._began: Int64s = np.zeros((2, signals), np.int64)

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        current = self._slices
        self._slices += 1
        if not seen.size:
            return None
        deviation = self._widen(seen, n[seen], mean[seen], m2[seen], current)
        self._accumulate(seen, n[seen], mean[seen], deviation, current)
        excursion = self._sum[:, seen] - self._least[:, seen]
        passed = (excursion.max(axis=0) > self.threshold) & (self._n[seen] >= self.min_instances)
        if not passed.any():
            return None
        return self._changes(seen[passed], excursion[:, passed], current)

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            message = f"skip: expected slices >= 0, got {slices}"
            raise ValueError(message)
        self._slices += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "delta": self.delta,
            "threshold": self.threshold,
            "min_instances": self.min_instances,
            "alpha": self.alpha,
            "slices": self._slices,
            "n": self._n.copy(),
            "mean": self._mean.copy(),
            "m2": self._m2.copy(),
            "first": self._first.copy(),
            "sum": self._sum.copy(),
            "least": self._least.copy(),
            "after_n": self._after_n.copy(),
            "after_total": self._after_total.copy(),
            "began": self._began.copy(),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        parameters = ("delta", "threshold", "min_instances", "alpha")
        detector = cls(len(snapshot["n"]), **{name: snapshot[name] for name in parameters})
        one, two = (detector.signals,), (2, detector.signals)
        detector._slices = snapshot["slices"]
        detector._n = restored(snapshot, "n", np.float64, one)
        detector._mean = restored(snapshot, "mean", np.float64, one)
        detector._m2 = restored(snapshot, "m2", np.float64, one)
        detector._first = restored(snapshot, "first", np.int64, one)
        detector._sum = restored(snapshot, "sum", np.float64, two)
        detector._least = restored(snapshot, "least", np.float64, two)
        detector._after_n = restored(snapshot, "after_n", np.float64, two)
        detector._after_total = restored(snapshot, "after_total", np.float64, two)
        detector._began = restored(snapshot, "began", np.int64, two)
        return detector

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        window = (self._n, self._mean, self._m2, self._first)
        sums = (self._sum, self._least, self._after_n, self._after_total, self._began)
        return sum(array.nbytes for array in window + sums)

    def bytes_max(self, slices: int) -> int:  # noqa: ARG002 - others grow with the slices
        """Bound on ``nbytes``, which here does not depend on how many slices were seen."""
        return 112 * self.signals

    def _widen(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s, current: int) -> Float64s:
        """Window totals, in river's order of operations; returns the deviations from the new means."""
        before, width = self._n[seen], self._n[seen] + n
        self._first[seen] = np.where(before == 0, current, self._first[seen])
        difference = mean - self._mean[seen]
        self._n[seen] = width
        self._mean[seen] += n / width * difference
        self._m2[seen] += m2 + before * n / width * np.square(difference)
        return mean - self._mean[seen]

    def _accumulate(
        self, seen: Int64s, n: Float64s, mean: Float64s, deviation: Float64s, current: int
    ) -> None:
        """Both sums, and what came after their extrema. A slice that reaches one belongs to before."""
        kept = self.alpha**n
        weight = n if self.alpha == 1 else (1.0 - kept) / (1.0 - self.alpha)
        gain = weight * np.stack([deviation, -deviation])
        sums = kept * self._sum[:, seen] + gain - weight * self.delta
        reached = sums < self._least[:, seen]
        after_n = self._after_n[:, seen]
        self._began[:, seen] = np.where(after_n == 0, current, self._began[:, seen])
        self._after_n[:, seen] = np.where(reached, 0.0, after_n + n)
        self._after_total[:, seen] = np.where(reached, 0.0, self._after_total[:, seen] + n * mean)
        self._least[:, seen] = np.where(reached, sums, self._least[:, seen])
        self._sum[:, seen] = sums

    def _changes(self, changed: Int64s, excursion: Float64s, current: int) -> Changes:
        side = np.argmax(excursion, axis=0)
        n, after_n = self._n[changed], self._after_n[side, changed]
        before_n = n - after_n
        after_mean = self._after_total[side, changed] / after_n
        before_mean = (n * self._mean[changed] - self._after_total[side, changed]) / before_n
        shift2 = np.square(after_mean - before_mean)
        variance = np.maximum(self._m2[changed] - before_n * after_n / n * shift2, 0.0) / n
        age = current - self._first[changed]
        since = current - self._began[side, changed]
        # Where the means do not differ the sum moved by what it forgot: the change may be anywhere.
        error_n = np.divide(QUANTILE_95 * variance, shift2, out=np.full_like(n, np.inf), where=shift2 > 0)
        error = np.ceil(np.minimum(error_n * (age + 1) / n, age)).astype(np.int64)
        self._reset(changed)
        return Changes(
            signal=changed,
            since=since,
            earliest=np.minimum(since + error, age - 1),
            latest=np.maximum(since - error, 0),
            before_n=before_n,
            before_mean=before_mean,
            after_n=after_n,
            after_mean=after_mean,
            statistic=excursion.max(axis=0),
            threshold=np.full(len(changed), self.threshold),
        )

    def _reset(self, signals: Int64s) -> None:
        for values in (self._n, self._mean, self._m2, self._first):
            values[signals] = 0
        for sums in (self._sum, self._after_n, self._after_total, self._began):
            sums[:, signals] = 0
        self._least[:, signals] = np.inf

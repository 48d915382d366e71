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
from stream_monitor.detectors.cuts import Cuts, describe, locate
from stream_monitor.detectors.window import Window

MAX_BUCKETS = 5
"""Of each size, in the window from which a change is told; ADWIN's default."""


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

    The change time is not where the sum had its extremum, which is right to the slice half as often
    (and early by the length of an excursion), but the most likely cut of the window since the last
    change, in the direction of the alarm.

    Memory: as Window with 5 buckets a size, and 40 bytes a signal. An update is O(S).

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
            raise ValueError(f"page_hinkley.alpha: expected 0 < alpha <= 1, got {alpha}")
        if not (delta >= 0 and threshold > 0 and min_instances >= 1):
            raise ValueError(
                "page_hinkley: expected delta >= 0, threshold > 0, min_instances >= 1, "
                f"got {delta}, {threshold}, {min_instances}"
            )
        self.signals = signals
        self.delta = delta
        self.threshold = threshold
        self.min_instances = min_instances
        self.alpha = alpha

        self._window = Window(signals, MAX_BUCKETS)
        self._mean: Float64s = np.zeros(signals)
        # Row 0 looks for increases, row 1 for decreases: the same test on negated deviations. The first
        # slice does not deviate from itself, so both sums begin with a step down, from 0.
        self._sum: Float64s = np.zeros((2, signals))
        self._least: Float64s = np.zeros((2, signals))

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        self._window.add(seen, n[seen], mean[seen], m2[seen])
        if not seen.size:
            return None
        excursion = self._excursion(seen, n[seen], mean[seen])
        passed = (excursion.max(axis=0) > self.threshold) & (self._window.n[seen] >= self.min_instances)
        if not passed.any():
            return None
        return self._changes(seen[passed], excursion[:, passed])

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        self._window.skip(slices)

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot; at most ``bytes_max`` and a few numbers."""
        return self._window.snapshot() | {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "delta": self.delta,
            "threshold": self.threshold,
            "min_instances": self.min_instances,
            "alpha": self.alpha,
            "mean": self._mean.copy(),
            "sum": self._sum.copy(),
            "least": self._least.copy(),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        parameters = ("delta", "threshold", "min_instances", "alpha")
        window = Window.restore(snapshot)
        detector = cls(window.signals, **{name: snapshot[name] for name in parameters})
        detector._window = window
        detector._mean = restored(snapshot, "mean", np.float64, (window.signals,))
        detector._sum = restored(snapshot, "sum", np.float64, (2, window.signals))
        detector._least = restored(snapshot, "least", np.float64, (2, window.signals))
        return detector

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        return self._mean.nbytes + self._sum.nbytes + self._least.nbytes + self._window.nbytes

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        return 40 * self.signals + self._window.bytes_max(slices)

    def _excursion(self, seen: Int64s, n: Float64s, mean: Float64s) -> Float64s:
        """How far both sums are from their extrema now, (2, seen); river's order of operations."""
        self._mean[seen] += n / self._window.n[seen] * (mean - self._mean[seen])
        deviation = mean - self._mean[seen]
        kept = self.alpha**n
        weight = n if self.alpha == 1 else (1.0 - kept) / (1.0 - self.alpha)
        gain = weight * np.stack([deviation, -deviation])
        sums = kept * self._sum[:, seen] + gain - weight * self.delta
        least = np.minimum(self._least[:, seen], sums)
        self._sum[:, seen], self._least[:, seen] = sums, least
        return sums - least

    def _changes(self, changed: Int64s, excursion: Float64s) -> Changes:
        window = self._window
        buckets = window.buckets.of(changed)
        cuts = Cuts.through(buckets, window.total[changed])
        rises = excursion[0] >= excursion[1]
        alike = cuts.real & np.where(rises, cuts.shift() < 0, cuts.shift() > 0)
        # A sum that forgets can pass where no cut shows a difference in its direction.
        among = np.where(alike.any(axis=0), alike, cuts.real)
        place = locate(buckets, cuts, window.m2[changed], among)
        threshold = np.full(len(changed), self.threshold)
        self._reset(changed)
        return describe(changed, cuts, place, window.current, excursion.max(axis=0), threshold)

    def _reset(self, signals: Int64s) -> None:
        self._window.reset(signals)
        self._mean[signals] = 0
        self._sum[:, signals] = 0
        self._least[:, signals] = 0

"""ADWIN: a window that is cut as soon as two parts of it have different means."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_monitor.detectors.base import (
    SNAPSHOT_VERSION,
    Changes,
    Float64s,
    Int64s,
    Snapshot,
    checked_slice,
    checked_snapshot,
)
from stream_monitor.detectors.cuts import Cuts, describe, locate
from stream_monitor.detectors.window import Window

ROUNDING = 1e-9
"""By how much, relatively, the pre-check errs on the side of looking closer."""


class Adwin:
    """Adaptive windowing over S signals at once, on weighted slices.

    Promise: where every slice holds one event (n = 1, m2 = 0), each signal changes in exactly those
    updates in which ``river.drift.ADWIN`` 0.26.1 with the same parameters reports a change, for the
    whole stream: the arithmetic is done in the same order, and the reset rule is river's (after a
    change the window starts empty). With n > 1 a slice enters as one bucket whose own spread counts
    in the window's variance; the window is then cut at slices only. Lengths count events, ``clock``
    counts the slices in which a signal saw events.

    As in the paper, values should lie within an interval of length 1 or so: the bound of a cut has a
    part that does not scale with the data.

    delta: bound on the probability of a false cut, per check and signal; a number or an array (S,).
    clock: check every ``clock`` slices (river: 32). max_buckets: per size; finer cuts for more memory.
    min_window_length: events needed on both sides of a cut. grace_period: no check up to this many.

    Memory: as Window, and 8 bytes a signal. An update costs O(log(slices) S), most of it for the search
    for a cut.

    Source: Bifet and Gavalda, Learning from Time-Changing Data with Adaptive Windowing, SDM 2007,
    with the variance-based bound of its section 3.3; Babcock et al. 2003 for the merge of variances.

    >>> import numpy as np
    >>> slices = np.r_[np.zeros(40), np.ones(10)]  # 20 events each, without spread
    >>> adwin, n, m2 = Adwin(signals=1), np.array([20.0]), np.array([0.0])
    >>> for index, mean in enumerate(slices):
    ...     if changes := adwin.update(n, np.array([mean]), m2):
    ...         print(index, "began", index - changes.since[0], changes.before_mean, changes.after_mean)
    40 began 40 [0.] [1.]
    """

    NAME = "adwin"

    def __init__(
        self,
        signals: int,
        *,
        delta: ArrayLike = 0.002,
        clock: int = 1,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        self.delta: Float64s = np.broadcast_to(np.asarray(delta, np.float64), (signals,)).copy()
        if not ((self.delta > 0) & (self.delta < 1)).all():
            raise ValueError(f"adwin.delta: expected 0 < delta < 1, got {delta!r}")
        for name, value, least in (
            ("clock", clock, 1),
            ("max_buckets", max_buckets, 2),
            ("min_window_length", min_window_length, 1),
            ("grace_period", grace_period, 1),
        ):
            if value < least:
                raise ValueError(f"adwin.{name}: expected at least {least}, got {value}")
        self.signals = signals
        self.clock = clock
        self.min_window_length = min_window_length
        self.grace_period = grace_period

        self._window = Window(signals, max_buckets)

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        window = self._window
        window.add(seen, n[seen], mean[seen], m2[seen])
        due = np.zeros(self.signals, np.bool_)
        due[seen] = (window.ticks[seen] % self.clock == 0) & (window.n[seen] > self.grace_period)
        if not due.any():
            return None
        suspects = np.flatnonzero(due & self._may_exceed())
        return self._check(suspects) if suspects.size else None

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        self._window.skip(slices)

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot; at most ``bytes_max`` and a few numbers."""
        return self._window.snapshot() | {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "delta": self.delta.copy(),
            "clock": self.clock,
            "min_window_length": self.min_window_length,
            "grace_period": self.grace_period,
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        parameters = ("delta", "clock", "max_buckets", "min_window_length", "grace_period")
        window = Window.restore(snapshot)
        adwin = cls(window.signals, **{name: snapshot[name] for name in parameters})
        adwin._window = window
        return adwin

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        return self.delta.nbytes + self._window.nbytes

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        return 8 * self.signals + self._window.bytes_max(slices)

    def _may_exceed(self) -> NDArray[np.bool_]:
        """False where no cut can exceed its bound: a cheap test on all signals, exact where False.

        With m >= W / (n0 n1) >= 4 / W a cut's bound is at least that of the two terms squared and added.
        """
        buckets = self._window.buckets
        n0 = np.cumsum(buckets.n, axis=0)
        total0 = np.cumsum(buckets.total, axis=0)
        width = np.maximum(self._window.n, 2.0)
        confidence = np.log(2.0 * np.log(width) / self.delta)
        least = 2.0 * self._window.m2 / width * confidence + (4.0 / 3.0 * confidence) ** 2 / width
        moved = np.square(total0 - n0 * (self._window.total / width)) * width
        needed = n0 * (width - n0) * (least * (1.0 - ROUNDING))
        possible: NDArray[np.bool_] = np.any((moved > needed) & (needed > 0), axis=0)
        return possible

    def _check(self, suspects: Int64s) -> Changes | None:
        """The exact test of all cuts of some signals."""
        window = self._window
        buckets = window.buckets.of(suspects)
        cuts = Cuts.through(buckets, window.total[suspects])
        epsilon = self._epsilon(suspects, cuts)
        shift = np.abs(cuts.shift())
        exceeds = shift > epsilon
        found = np.any(exceeds, axis=0)
        if not found.any():
            return None
        changed, cuts = suspects[found], cuts.of(found)
        place = locate(buckets.of(found), cuts, window.m2[changed], among=exceeds[:, found])
        at = (place.row, np.flatnonzero(found))
        window.reset(changed)
        return describe(changed, cuts, place, window.current, shift[at], epsilon[at])

    def _epsilon(self, suspects: Int64s, cuts: Cuts) -> Float64s:
        """The bound of every cut, in river's order of operations; infinite where a side is too short."""
        least = self.min_window_length
        long_enough = (cuts.n0 >= least) & (cuts.n1 >= least)
        width = self._window.n[suspects]
        confidence = np.log(2.0 * np.log(width) / self.delta[suspects])
        spare0 = np.where(long_enough, cuts.n0 - least + 1.0, 1.0)
        spare1 = np.where(long_enough, cuts.n1 - least + 1.0, 1.0)
        m_reciprocal = 1.0 / spare0 + 1.0 / spare1
        spread = np.sqrt(2.0 * m_reciprocal * (self._window.m2[suspects] / width) * confidence)
        return np.where(long_enough, spread + 2.0 / 3.0 * confidence * m_reciprocal, np.inf)

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
    restored,
)
from stream_monitor.detectors.cuts import Buckets, Cuts, locate

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

    Memory: ``nbytes``, at most ``bytes_max(signals, slices)``: 32 bytes x (max_buckets + 1) x S for
    each doubling of the window. An update costs O(log(slices) S); most of it is the search for a cut.

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

    def __init__(  # noqa: PLR0913 - river's parameters under river's names
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
            message = f"adwin.delta: expected 0 < delta < 1, got {delta!r}"
            raise ValueError(message)
        for name, value, least in (
            ("clock", clock, 1),
            ("max_buckets", max_buckets, 2),
            ("min_window_length", min_window_length, 1),
            ("grace_period", grace_period, 1),
        ):
            if value < least:
                message = f"adwin.{name}: expected at least {least}, got {value}"
                raise ValueError(message)
        self.signals = signals
        self.clock = clock
        self.max_buckets = max_buckets
        self.min_window_length = min_window_length
        self.grace_period = grace_period

        self._slices = 0
        self._tick: Int64s = np.zeros(signals, np.int64)
        self._width: Float64s = np.zeros(signals)
        self._total: Float64s = np.zeros(signals)
        self._m2: Float64s = np.zeros(signals)
        # Row r holds the buckets of 2 ** (rows - 1 - r) slices, oldest first: flattened, the rows are
        # the window in time order. Slots from count[r] on are empty.
        self._count: Int64s = np.zeros((1, signals), np.int64)
        self._buckets = _empty(max_buckets + 1, signals)

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        current = self._slices
        self._slices += 1
        self._widen(seen, n[seen], mean[seen], m2[seen])
        self._insert(seen, n[seen], n[seen] * mean[seen], current)
        due = np.zeros(self.signals, np.bool_)
        due[seen] = (self._tick[seen] % self.clock == 0) & (self._width[seen] > self.grace_period)
        if not due.any():
            return None
        suspects = np.flatnonzero(due & self._may_exceed())
        return self._check(suspects, current) if suspects.size else None

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            message = f"skip: expected slices >= 0, got {slices}"
            raise ValueError(message)
        self._slices += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot; at most ``bytes_max`` and a few numbers."""
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "clock": self.clock,
            "max_buckets": self.max_buckets,
            "min_window_length": self.min_window_length,
            "grace_period": self.grace_period,
            "slices": self._slices,
            "delta": self.delta.copy(),
            "tick": self._tick.copy(),
            "width": self._width.copy(),
            "total": self._total.copy(),
            "m2": self._m2.copy(),
            "count": self._count.copy(),
        } | {f"bucket_{name}": values.copy() for name, values in self._buckets._asdict().items()}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        parameters = ("delta", "clock", "max_buckets", "min_window_length", "grace_period")
        adwin = cls(len(snapshot["delta"]), **{name: snapshot[name] for name in parameters})
        rows, slots, signals = len(snapshot["count"]), adwin.max_buckets + 1, adwin.signals
        adwin._slices = snapshot["slices"]
        adwin._tick = restored(snapshot, "tick", np.int64, (signals,))
        adwin._width = restored(snapshot, "width", np.float64, (signals,))
        adwin._total = restored(snapshot, "total", np.float64, (signals,))
        adwin._m2 = restored(snapshot, "m2", np.float64, (signals,))
        adwin._count = restored(snapshot, "count", np.int64, (rows, signals))
        adwin._buckets = Buckets(
            restored(snapshot, "bucket_n", np.float64, (rows, slots, signals)),
            restored(snapshot, "bucket_total", np.float64, (rows, slots, signals)),
            restored(snapshot, "bucket_first", np.int64, (rows, slots, signals)),
            restored(snapshot, "bucket_last", np.int64, (rows, slots, signals)),
        )
        return adwin

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        arrays = (self.delta, self._tick, self._width, self._total, self._m2, self._count)
        return sum(array.nbytes for array in (*arrays, *self._buckets))

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen.

        A row of buckets of 2^r slices begins when max_buckets + 1 of 2^(r-1) exist.
        """
        capacity = self.max_buckets + 1
        rows = 1 if slices < capacity else 2 + (slices // capacity).bit_length() - 1
        return self.signals * (5 * 8 + rows * (8 + 32 * capacity))

    def _widen(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        """Window totals, in river's order of operations."""
        width = self._width[seen]
        deviation = mean - self._total[seen] / np.maximum(width, 1.0)
        self._tick[seen] += 1
        self._m2[seen] += m2 + width * n * deviation * deviation / (width + n)
        self._width[seen] += n
        self._total[seen] += n * mean

    def _insert(self, seen: Int64s, n: Float64s, total: Float64s, current: int) -> None:
        """Append the slice as the newest bucket, and merge the two oldest of every row that is full."""
        row = len(self._count) - 1
        self._append(row, seen, n, total, current, current)
        while (full := seen[self._count[row, seen] > self.max_buckets]).size:
            if row == 0:
                self._add_row()
                row = 1
            buckets = self._buckets
            self._append(
                row - 1,
                full,
                buckets.n[row, 0, full] + buckets.n[row, 1, full],
                buckets.total[row, 0, full] + buckets.total[row, 1, full],
                buckets.first[row, 0, full],
                buckets.last[row, 1, full],
            )
            for values in buckets:
                values[row, :-2, full] = values[row, 2:, full]
                values[row, -2:, full] = 0
            self._count[row, full] -= 2
            row -= 1
            seen = full

    def _append(
        self, row: int, at: Int64s, n: Float64s, total: Float64s, first: Int64s | int, last: Int64s | int
    ) -> None:
        slot = self._count[row, at]
        self._buckets.n[row, slot, at] = n
        self._buckets.total[row, slot, at] = total
        self._buckets.first[row, slot, at] = first
        self._buckets.last[row, slot, at] = last
        self._count[row, at] += 1

    def _add_row(self) -> None:
        self._count = np.concatenate([np.zeros_like(self._count[:1]), self._count])
        self._buckets = Buckets(
            *(np.concatenate([np.zeros_like(values[:1]), values]) for values in self._buckets)
        )

    def _may_exceed(self) -> NDArray[np.bool_]:
        """False where no cut can exceed its bound: a cheap test on all signals, exact where False.

        With m >= W / (n0 n1) >= 4 / W a cut's bound is at least that of the two terms squared and added.
        """
        n0 = np.cumsum(self._buckets.n.reshape(-1, self.signals), axis=0)
        sum0 = np.cumsum(self._buckets.total.reshape(-1, self.signals), axis=0)
        width = np.maximum(self._width, 2.0)
        confidence = np.log(2.0 * np.log(width) / self.delta)
        least = 2.0 * self._m2 / width * confidence + (4.0 / 3.0 * confidence) ** 2 / width
        moved = np.square(sum0 - n0 * (self._total / width)) * width
        needed = n0 * (width - n0) * (least * (1.0 - ROUNDING))
        possible: NDArray[np.bool_] = np.any((moved > needed) & (needed > 0), axis=0)
        return possible

    def _check(self, suspects: Int64s, current: int) -> Changes | None:
        window = self._buckets.of(suspects)
        cuts = Cuts.through(window, self._total[suspects])
        epsilon = self._epsilon(suspects, cuts)
        shift = np.abs(cuts.shift())
        exceeds = shift > epsilon
        found = np.any(exceeds, axis=0)
        if not found.any():
            return None
        changed = suspects[found]
        cuts = cuts.of(found)
        place = locate(window.of(found), cuts, self._m2[changed], among=exceeds[:, found])
        at = (place.row, np.arange(len(changed)))
        changes = Changes(
            signal=changed,
            since=current - place.began,
            earliest=current - place.earliest,
            latest=current - place.latest,
            before_n=cuts.n0[at],
            before_mean=cuts.total0[at] / cuts.n0[at],
            after_n=cuts.n1[at],
            after_mean=cuts.total1[at] / cuts.n1[at],
            statistic=shift[:, found][at],
            threshold=epsilon[:, found][at],
        )
        self._reset(changed)
        return changes

    def _epsilon(self, suspects: Int64s, cuts: Cuts) -> Float64s:
        """The bound of every cut, in river's order of operations; infinite where a side is too short."""
        least = self.min_window_length
        long_enough = (cuts.n0 >= least) & (cuts.n1 >= least)
        width = self._width[suspects]
        confidence = np.log(2.0 * np.log(width) / self.delta[suspects])
        spare0 = np.where(long_enough, cuts.n0 - least + 1.0, 1.0)
        spare1 = np.where(long_enough, cuts.n1 - least + 1.0, 1.0)
        m_reciprocal = 1.0 / spare0 + 1.0 / spare1
        spread = np.sqrt(2.0 * m_reciprocal * (self._m2[suspects] / width) * confidence)
        return np.where(long_enough, spread + 2.0 / 3.0 * confidence * m_reciprocal, np.inf)

    def _reset(self, signals: Int64s) -> None:
        for totals in (self._tick, self._width, self._total, self._m2):
            totals[signals] = 0
        self._count[:, signals] = 0
        for values in self._buckets:
            values[:, :, signals] = 0


def _empty(slots: int, signals: int) -> Buckets:
    shape = (1, slots, signals)
    return Buckets(np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64))

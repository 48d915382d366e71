"""What control charts have in common: a level that was learned or given, and a statistic that leaves it."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_monitor.detectors.base import (
    ANEW,
    SNAPSHOT_VERSION,
    Changes,
    Float64s,
    Int64s,
    Snapshot,
    checked_slice,
    checked_snapshot,
    each,
    restored,
)
from stream_monitor.detectors.excursions import Excursions, margin
from stream_monitor.detectors.learner import Learner, part_of, prefixed
from stream_monitor.detectors.noise import Noise

SPENT = 0.5
"""Of the false alarms that are allowed, thresholds aim at so many: what they follow from is not exact."""


class Step(NamedTuple):
    """Of s signals the statistic and what it has to pass (s,), of R excursions which one is furthest (s,),
    and which begin with this slice, (R, s)."""

    statistic: Float64s
    threshold: Float64s
    row: Int64s
    resting: NDArray[np.bool_]


class Chart:
    """A detector that learns, of S signals; what it computes is ``_step``, on the rows of ``_state``.

    run_length: slices between false changes, a number or an array (S,). learn: so many slices are taken
    for healthy; None: until ``begin`` is called. dead: the level may move by this much, (S,). share:
    which signals are rates of events that are 0 or 1, (S,). level: what it is compared with, (S,); NaN:
    what was learned.
    """

    NAME: ClassVar[str]
    EXCURSIONS: ClassVar[int]
    STATE: ClassVar[int]
    LIMITS: ClassVar[int]

    def __init__(
        self,
        signals: int,
        *,
        run_length: ArrayLike = 1e6,
        learn: int | None = 2_000,
        dead: ArrayLike = 0.0,
        share: ArrayLike = False,
        level: ArrayLike = np.nan,
    ) -> None:
        self.signals = signals
        self.run_length, self.dead = each(run_length, signals), each(dead, signals)
        self.level = each(level, signals)
        if not ((self.run_length >= 1).all() and (self.dead >= 0).all()):
            raise ValueError(
                f"{self.NAME}: expected run_length >= 1 and dead >= 0, got {run_length!r} and {dead!r}"
            )
        self._learner = Learner(signals, learn, np.broadcast_to(np.asarray(share, np.bool_), signals).copy())
        self._state: Float64s = np.zeros((self.STATE, signals))
        self._excursions = Excursions(self.EXCURSIONS, signals)
        self._limits: Float64s = np.zeros((self.LIMITS, signals))
        self._current = -1

    @property
    def noise(self) -> Noise:
        """What was learned."""
        return self._learner.noise

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        self._current += 1
        seen, ready = self._learner.add(seen, n, mean, m2)
        changes = None
        if seen.size:
            step = self._step(seen, n[seen], mean[seen], m2[seen])
            self._excursions.add(self._current, seen, np.stack((n, n * mean))[:, seen], step.resting)
            passed = step.statistic > step.threshold
            if passed.any():
                changes = self._changes(seen[passed], step, passed)
        self._watch(ready)
        return changes

    def _step(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> Step:
        raise NotImplementedError

    def _limit(self, level: Float64s, error: Float64s) -> Float64s:
        """What a step needs of the noise, (LIMITS, S), where the level has that variance."""
        raise NotImplementedError

    @property
    def _lag(self) -> float:
        """By how many slices noise has often left its rest when the change comes."""
        return 0.0

    def begin(self, anew: float = ANEW) -> None:
        """End learning, of signals that were seen in few slices as soon as there are enough."""
        self._watch(self._learner.begin(anew))

    def rate(self, run_length: ArrayLike) -> None:
        """From now on raise one false change in so many slices."""
        self.run_length = each(run_length, self.signals)
        given = ~np.isnan(self.level)
        level = np.where(given, self.level, self.noise.mean)
        self._limits = self._limit(level, np.where(given, 0.0, self.noise.error))

    def _watch(self, signals: Int64s) -> None:
        if signals.size:
            self._excursions.start(signals, self._current)
            self.rate(self.run_length)

    def _changes(self, changed: Int64s, step: Step, passed: NDArray[np.bool_]) -> Changes:
        first, after, n, total = self._excursions.of(step.row[passed], changed)
        self._state[:, changed] = 0.0
        noise, mean = self.noise, total / n
        level = np.where(np.isnan(self.level), noise.mean, self.level)[changed]
        off = margin(noise.long_run[changed], mean - level)
        return Changes(
            signal=changed,
            since=self._current - first,
            earliest=self._current - after + off,
            latest=np.maximum(self._current - first - off - math.ceil(self._lag), 0),
            before_n=noise.n[changed],
            before_mean=level,
            after_n=n,
            after_mean=mean,
            statistic=step.statistic[passed],
            threshold=step.threshold[passed],
        )

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            raise ValueError(f"skip: expected slices >= 0, got {slices}")
        self._current += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        parts = {"learner": self._learner.snapshot(), "excursions": self._excursions.snapshot()}
        arrays = {"run_length": self.run_length, "dead": self.dead, "level": self.level, "state": self._state}
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "current": self._current,
            **{name: one.copy() for name, one in arrays.items()},
            **prefixed(parts),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        signals = len(snapshot["dead"])
        names = ("run_length", "dead", "level")
        chart = cls(
            signals,
            learn=None,
            **{name: restored(snapshot, name, np.float64, (signals,)) for name in names},
            **cls._own(snapshot),
        )
        chart._current = int(snapshot["current"])
        chart._state = restored(snapshot, "state", np.float64, (cls.STATE, signals))
        chart._learner = Learner.restore(part_of(snapshot, "learner"))
        chart._excursions = Excursions.restore(part_of(snapshot, "excursions"))
        chart.rate(chart.run_length)
        return chart

    @classmethod
    def _own(cls, snapshot: Snapshot) -> Snapshot:
        """The parameters that only this chart has."""
        del snapshot
        return {}

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        arrays = self.run_length, self.dead, self.level, self._state, self._limits
        return sum(one.nbytes for one in arrays) + self._learner.nbytes + self._excursions.nbytes

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        rows = 4 + self.STATE + self.LIMITS + 4 * self.EXCURSIONS
        return self._learner.bytes_max(slices) + 8 * rows * self.signals

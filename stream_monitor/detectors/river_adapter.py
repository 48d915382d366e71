"""Any detector of river, one object a signal, fed one observation a slice."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Protocol, Self, cast

import numpy as np
import orjson

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
from stream_monitor.detectors.cuts import Buckets, Cuts, describe, locate

SEED = 1
"""Given to every detector that draws random numbers, unless the parameters name another."""

MODULES = ("drift", "drift.binary")


class _RiverDetector(Protocol):
    drift_detected: bool

    def update(self, x: float) -> object: ...


def river_class(name: str) -> type[_RiverDetector]:
    """A detector class by its name under ``river``, as in ``drift.KSWIN`` or ``drift.binary.DDM``.

    Imports river, which takes a second. Raises ValueError where river has no such detector.
    """
    path, _, class_name = name.rpartition(".")
    if path in MODULES:
        module = importlib.import_module(f"river.{path}")
        found: Any = getattr(module, class_name, None)
        if hasattr(found, "drift_detected"):
            return cast(type[_RiverDetector], found)
    raise ValueError(f"river: expected a detector such as drift.KSWIN or drift.binary.DDM, got {name!r}")


class River:
    """One river detector object per signal; an observation is the mean of a slice, however many events.

    Promise: each signal changes in exactly those updates in which the river detector, fed the same
    slice means and started afresh after each change, reports one; for the first 2 x ``memory``
    observations after a change. When it has seen so many without a change, it is built anew from the
    last ``memory`` of them, and forgets what came before.

    A detector for binary input (``drift.binary``) takes the mean as a rate: a signal that once had a
    mean outside [0, 1] is not watched by it any more.

    The objects of river are never serialized: what comes back from a topic may not be trusted with
    that. A snapshot holds the observations since the last change (at most 2 x ``memory``), and restoring
    feeds them again, at the price of as many updates.

    river's detectors say neither since when nor what exceeded what: the change time is the most likely
    cut of the remembered slices, ``statistic`` and ``threshold`` are NaN. A change
    reported on the very first observation is passed over: there is nothing before it.

    Memory: 32 bytes an observation remembered, and river's objects. An update costs S calls of river.

    >>> slices = np.r_[np.zeros(100), np.ones(50)]
    >>> detector, n, m2 = River(signals=1, name="drift.KSWIN"), np.array([20.0]), np.array([0.0])
    >>> for index, mean in enumerate(slices):
    ...     if changes := detector.update(n, np.array([mean]), m2):
    ...         print("began", index - changes.since[0], changes.before_mean, changes.after_mean)
    began 100 [0.] [1.]
    """

    NAME = "river"

    def __init__(
        self, signals: int, *, name: str, params: Mapping[str, Any] | None = None, memory: int = 1000
    ) -> None:
        if memory < 1:
            raise ValueError(f"river.memory: expected at least 1, got {memory}")
        self.signals = signals
        self.name = name
        self.memory = memory
        self.params = dict(params or {})
        self._class = river_class(name)
        if "seed" in inspect.signature(self._class).parameters:
            self.params.setdefault("seed", SEED)
        self._detectors = [self._fresh() for _ in range(signals)]
        self._binary = name.startswith("drift.binary.")

        self._slices = 0
        self._watched: Int64s = np.ones(signals, np.int64)
        self._count: Int64s = np.zeros(signals, np.int64)
        # Observations (rows, S), oldest first, count[i] of signal i, zeros behind: what it was fed.
        self._mean: Float64s = np.zeros((0, signals))
        self._n: Float64s = np.zeros((0, signals))
        self._m2: Float64s = np.zeros((0, signals))
        self._slice: Int64s = np.zeros((0, signals), np.int64)

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        current = self._slices
        self._slices += 1
        if self._binary:
            self._watched[seen] &= (mean[seen] >= 0) & (mean[seen] <= 1)
            seen = seen[self._watched[seen] > 0]
        self._remember(seen, n[seen], mean[seen], m2[seen], current)
        changed = np.array([i for i in seen if self._feed(self._detectors[i], mean[i])], np.int64)
        told = changed[self._count[changed] > 1]
        changes = self._changes(told, current) if told.size else None
        for i in changed:
            self._keep(i, 0)
        for i in seen[self._count[seen] == 2 * self.memory]:
            self._keep(i, self.memory)
        return changes

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            raise ValueError(f"skip: expected slices >= 0, got {slices}")
        self._slices += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        rows = self._count.max(initial=0)
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "name": self.name,
            "params": orjson.dumps(self.params).decode(),
            "memory": self.memory,
            "slices": self._slices,
            "watched": self._watched.copy(),
            "count": self._count.copy(),
            "mean": self._mean[:rows].copy(),
            "n": self._n[:rows].copy(),
            "m2": self._m2[:rows].copy(),
            "slice": self._slice[:rows].copy(),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore. Costs as many updates of river as there are observations."""
        checked_snapshot(snapshot, cls.NAME)
        signals, rows = len(snapshot["count"]), len(snapshot["mean"])
        params = orjson.loads(snapshot["params"])
        river = cls(signals, name=snapshot["name"], params=params, memory=snapshot["memory"])
        river._slices = snapshot["slices"]
        river._watched = restored(snapshot, "watched", np.int64, (signals,))
        river._count = restored(snapshot, "count", np.int64, (signals,))
        river._mean = restored(snapshot, "mean", np.float64, (rows, signals))
        river._n = restored(snapshot, "n", np.float64, (rows, signals))
        river._m2 = restored(snapshot, "m2", np.float64, (rows, signals))
        river._slice = restored(snapshot, "slice", np.int64, (rows, signals))
        for i in range(signals):
            river._rebuild(i)
        return river

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes, without river's own objects."""
        arrays = (self._watched, self._count, self._mean, self._n, self._m2, self._slice)
        return sum(array.nbytes for array in arrays)

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        rows = min(2 * slices, 2 * self.memory)
        return self.signals * (16 + 32 * rows)

    def _fresh(self) -> _RiverDetector:
        try:
            return self._class(**self.params)
        except TypeError as error:
            raise ValueError(f"river: {self.name}: {error}") from error

    @staticmethod
    def _feed(detector: _RiverDetector, mean: np.float64) -> bool:
        detector.update(float(mean))
        return detector.drift_detected

    def _remember(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s, current: int) -> None:
        slot = self._count[seen]
        rows = len(self._mean)
        if slot.max(initial=-1) == rows:
            more = ((0, min(max(rows, 1), 2 * self.memory - rows)), (0, 0))
            self._mean, self._n = np.pad(self._mean, more), np.pad(self._n, more)
            self._m2, self._slice = np.pad(self._m2, more), np.pad(self._slice, more)
        self._mean[slot, seen] = mean
        self._n[slot, seen] = n
        self._m2[slot, seen] = m2
        self._slice[slot, seen] = current
        self._count[seen] += 1

    def _keep(self, signal: int, observations: int) -> None:
        """Forget all but the latest: a function of what was fed, not of when a snapshot was taken."""
        count = self._count[signal]
        for log in (self._mean, self._n, self._m2, self._slice):
            log[:observations, signal] = log[count - observations : count, signal]
            log[observations:, signal] = 0
        self._count[signal] = observations
        self._rebuild(signal)

    def _rebuild(self, signal: int) -> None:
        self._detectors[signal] = detector = self._fresh()
        for mean in self._mean[: self._count[signal], signal]:
            self._feed(detector, mean)

    def _changes(self, changed: Int64s, current: int) -> Changes:
        rows = self._count[changed].max()
        n, mean = self._n[:rows, changed], self._mean[:rows, changed]
        index = self._slice[:rows, changed]
        window = Buckets(n, n * mean, index, index)
        # cumsum, because the rounding of a plain sum depends on how many signals changed together.
        cuts = Cuts.through(window, np.cumsum(window.total, axis=0)[-1])
        deviation = mean - cuts.total0[-1] / cuts.n0[-1]
        m2 = np.cumsum(self._m2[:rows, changed] + n * np.square(deviation), axis=0)[-1]
        place = locate(window, cuts, m2, among=cuts.real)
        nothing = np.full(len(changed), np.nan)
        return describe(changed, cuts, place, current, statistic=nothing, threshold=nothing)

"""Healthy slices of many signals, in bounded memory however many there are."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored

STEPS_MAX = 1_024
"""A signal's slices are kept in so many steps; where there are more, two become one."""


class Learned(NamedTuple):
    """Of s signals with L steps of 2^``level`` slices each. ``n``, ``total`` (L, s): events, sum of values.

    ``slices`` (s,): seen. ``m2`` and ``spare`` (s,): squared deviations within slices, and how many of them
    are free. ``squares``, ``inverse`` and ``pairs`` (level, s): of neighbouring blocks of 2^0, 2^1, .. slices
    the squared differences, the sum of 1 / n of both, and how many pairs there were. ``further`` (F, L, s):
    sums of something else.
    """

    level: int
    n: Float64s
    total: Float64s
    slices: Float64s
    m2: Float64s
    spare: Float64s
    squares: Float64s
    inverse: Float64s
    pairs: Float64s
    further: Float64s


class Learning:
    """Collects slices of S signals, each with a clock of its own: slices without events are in none.

    ``further``: so many other sums are kept of each step. Values are added up as deviations from the first
    mean, so that float32 is enough. Memory: 8 KB a signal, 4 KB for each further sum, and 40 bytes for each
    doubling of its steps.
    """

    def __init__(self, signals: int, further: int = 0) -> None:
        self.signals, self.further = signals, further
        self.slices: Int64s = np.zeros(signals, np.int64)
        self.level: Int64s = np.zeros(signals, np.int64)
        self._size: Int64s = np.zeros(signals, np.int64)
        self._within: Float64s = np.zeros((2, signals))
        self._origin: Float64s = np.zeros(signals)
        self._steps = np.zeros((2 + further, 0, signals), np.float32)
        self._half: Float64s = np.zeros((2 + further, 0, signals))
        self._differences: Float64s = np.zeros((3, 0, signals))

    def add(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s, *further: Float64s) -> None:
        """The next slice, in which the signals ``seen`` (s,) saw n > 0 events."""
        self._origin[seen] = np.where(self.slices[seen] > 0, self._origin[seen], mean)
        self.slices[seen] += 1
        self._within[:, seen] += m2, np.maximum(n - 1.0, 0.0)
        block, level = np.stack((n, n * (mean - self._origin[seen]), *further)), 0
        while seen.size:
            whole = self.level[seen] == level
            if whole.any():
                self._append(seen[whole], block[:, whole])
                seen, block = seen[~whole], block[:, ~whole]
            seen, block = self._paired(level, seen, block)
            level += 1

    def _paired(self, level: int, seen: Int64s, block: Float64s) -> tuple[Int64s, Float64s]:
        """Two blocks as one; the first of two waits for the second."""
        if not seen.size:
            return seen, block
        waited = self._half[0, level, seen] > 0
        self._half[:, level, seen[~waited]] = block[:, ~waited]
        seen, second = seen[waited], block[:, waited]
        first = self._half[:, level, seen]
        self._half[:, level, seen] = 0.0
        self._differ(level, seen, first, second)
        return seen, first + second

    def _append(self, signals: Int64s, block: Float64s) -> None:
        size = self._size[signals]
        if int(size.max()) == self._steps.shape[1]:
            more = max(64, self._steps.shape[1])
            self._steps = np.pad(self._steps, ((0, 0), (0, more), (0, 0)))
        self._steps[:, size, signals] = block
        self._size[signals] += 1
        full = signals[self._size[signals] == STEPS_MAX]
        if full.size:
            self._coarsen(full)

    def _coarsen(self, signals: Int64s) -> None:
        """Take pairs of steps together."""
        steps = self._steps[:, :, signals].astype(np.float64)
        first, second = steps[:, ::2], steps[:, 1::2]
        levels = self._half.shape[1]
        if int(self.level[signals].max()) == levels:
            self._half = np.pad(self._half, ((0, 0), (0, 1), (0, 0)))
            self._differences = np.pad(self._differences, ((0, 0), (0, 1), (0, 0)))
        for pair in range(STEPS_MAX // 2):
            self._differ(self.level[signals], signals, first[:, pair], second[:, pair])
        self._steps[:, : STEPS_MAX // 2, signals] = first + second
        self._steps[:, STEPS_MAX // 2 :, signals] = 0.0
        self._size[signals] = STEPS_MAX // 2
        self.level[signals] += 1

    def _differ(self, level: int | Int64s, signals: Int64s, first: Float64s, second: Float64s) -> None:
        squared = np.square(second[1] / second[0] - first[1] / first[0])
        inverse = 1.0 / first[0] + 1.0 / second[0]
        self._differences[:, level, signals] += squared, inverse, np.ones_like(squared)

    def groups(self, signals: Int64s) -> list[tuple[Int64s, Learned]]:
        """What was learned of these signals, those together that have equally many steps.

        One alone comes twice: numpy adds up one column in another order than several.
        """
        keys, group = np.unique(
            np.stack((self.level[signals], self._size[signals])), axis=1, return_inverse=True
        )
        found = []
        for at, (level, size) in enumerate(keys.T.tolist()):
            mine = signals[group.ravel() == at]
            mine = mine.repeat(2) if len(mine) == 1 else mine
            n, off, *further = self._steps[:, :size, mine].astype(np.float64, order="C")
            squares, inverse, pairs = self._differences[:, :level, mine]
            m2, spare = self._within[:, mine]
            slices = self.slices[mine].astype(np.float64)
            total, more = off + n * self._origin[mine], np.array(further).reshape(-1, *n.shape)
            found.append((mine, Learned(level, n, total, slices, m2, spare, squares, inverse, pairs, more)))
        return found

    def so_far(self, signals: Int64s) -> Float64s:
        """Mean and number of the events in whole steps, (2, s); NaN without events."""
        n, off = self._steps[:2, :, signals].sum(axis=1, dtype=np.float64)
        shift = np.divide(off, n, out=np.full_like(n, np.nan), where=n > 0)
        return np.stack((self._origin[signals] + shift, n))

    @property
    def nbytes(self) -> int:
        return sum(one.nbytes for one in self._arrays().values())

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "slices": self.slices,
            "level": self.level,
            "size": self._size,
            "within": self._within,
            "origin": self._origin,
            "steps": self._steps,
            "half": self._half,
            "differences": self._differences,
        }

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {name: one.copy() for name, one in self._arrays().items()}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """FormatError, KeyError, TypeError or ValueError if it is no snapshot of one."""
        signals = len(snapshot["slices"])
        sums, rows = snapshot["steps"].shape[:2]
        learning, levels = cls(signals, sums - 2), snapshot["half"].shape[1]
        learning.slices = restored(snapshot, "slices", np.int64, (signals,))
        learning.level = restored(snapshot, "level", np.int64, (signals,))
        learning._size = restored(snapshot, "size", np.int64, (signals,))
        learning._within = restored(snapshot, "within", np.float64, (2, signals))
        learning._origin = restored(snapshot, "origin", np.float64, (signals,))
        learning._steps = restored(snapshot, "steps", np.float32, (sums, rows, signals))
        learning._half = restored(snapshot, "half", np.float64, (sums, levels, signals))
        learning._differences = restored(snapshot, "differences", np.float64, (3, levels, signals))
        return learning

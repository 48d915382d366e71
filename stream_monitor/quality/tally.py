"""Sparse counts that may be taken back: keys with what is left of +1s and -1s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality.exact import exact_sums
from stream_monitor.summary.histogram import run_starts, sum_by_key


def _none() -> Int64s:
    return np.empty(0, np.int64)


@dataclass(slots=True, eq=False)
class Net:
    """Counts of keys, which are not negative: keys ascending, no count of zero. 16 bytes a key.

    Never changed in place, so that several may share it.
    """

    keys: Int64s = field(default_factory=_none)
    counts: Int64s = field(default_factory=_none)

    @classmethod
    def of(cls, keys: Int64s, counts: Int64s, size: int) -> Net:
        """Of keys in 0..size-1, in any order and repeated."""
        return cls._left(*sum_by_key(keys, counts, size))

    @classmethod
    def _left(cls, keys: Int64s, counts: Int64s) -> Net:
        left = counts != 0
        return cls(keys, counts) if left.all() else cls(keys[left], counts[left])

    def __add__(self, other: Net) -> Net:
        if not len(self.keys) or not len(other.keys):
            return self if len(self.keys) else other
        keys = np.concatenate((self.keys, other.keys))
        # Of two runs in order a stable sort is a merge, ten times as fast as another.
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], np.concatenate((self.counts, other.counts))[order]
        starts = run_starts(keys)
        return Net._left(keys[starts], np.add.reduceat(counts, starts))

    def between(self, first: int, last: int) -> Net:
        """The counts of keys in first..last-1, as keys from 0 on."""
        low, high = np.searchsorted(self.keys, (first, last)).tolist()
        return Net(self.keys[low:high] - first, self.counts[low:high])

    def dense(self, size: int) -> Int64s:
        """The counts of all keys, int64 (size,); 0 where more was taken back than had come."""
        counts = np.zeros(size, np.int64)
        counts[self.keys] = np.maximum(self.counts, 0)
        return counts

    def halves(self) -> tuple[Net, Net]:
        """The lower and the upper half; the upper one is never the longer."""
        middle = (len(self.keys) + 1) // 2
        low, high = slice(None, middle), slice(middle, None)
        return Net(self.keys[low], self.counts[low]), Net(self.keys[high], self.counts[high])

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Net)
            and np.array_equal(self.keys, other.keys)
            and np.array_equal(self.counts, other.counts)
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Emissions:
    """Pairs that come (sign 1) or are taken back (-1): int64 (n,) signs, and groups in 0..groups-1."""

    sign: Int64s
    group: Int64s
    groups: int

    def take(self, rows: NDArray[np.bool_] | Int64s) -> Emissions:
        return Emissions(self.sign[rows], self.group[rows], self.groups)

    def count(self) -> list[int]:
        """What is left of each group."""
        # Exact: whole numbers, far below 2^53.
        return np.bincount(self.group, self.sign, self.groups).astype(np.int64).tolist()  # type: ignore[no-any-return]

    def sum(self, values: Float64s) -> list[int]:
        """The exact sum of each group."""
        return exact_sums(values, self.sign, self.group, self.groups)

    def tally(self, keys: Sequence[Int64s], rows: Sequence[Int64s], size: int) -> list[Net]:
        """The counts of each group: arrays of keys in 0..size-1, each with the pairs that the keys are of."""
        at = np.concatenate(rows)
        whole = Net.of(self.group[at] * size + np.concatenate(keys), self.sign[at], self.groups * size)
        group, inside = np.divmod(whole.keys, size)
        ends = np.searchsorted(group, np.arange(self.groups + 1)).tolist()
        return [Net(inside[first:last], whole.counts[first:last]) for first, last in pairwise(ends)]

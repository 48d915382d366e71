"""Sparse exact counts over integer keys, and their sum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Int64s

Keys = NDArray[np.integer]

_DENSE_RATIO = 8
"""Counting into a dense array pays while it is at most this many times longer than the keys."""

_PENDING_MAX = 1 << 17
"""Keys kept before they are summed: enough to make a dense count cheap, and 0.5 to 2 MB."""


def sum_by_key(keys: Keys, counts: Int64s | None, size: int) -> tuple[Int64s, Int64s]:
    """The distinct keys, ascending, with the sum of their counts (None: each counts one).

    ``keys`` are in 0..size-1. Dense or by sorting, whichever is cheaper; the result is the same.
    """
    if size <= _DENSE_RATIO * len(keys):
        return _sum_dense(keys, counts, size)
    return _sum_sorted(keys, counts)


def _sum_dense(keys: Keys, counts: Int64s | None, size: int) -> tuple[Int64s, Int64s]:
    if counts is None:
        totals = np.bincount(keys, minlength=size)
    else:
        totals = np.zeros(size, np.int64)
        np.add.at(totals, keys, counts)
    found = np.flatnonzero(totals != 0)
    return found, totals[found]


def _sum_sorted(keys: Keys, counts: Int64s | None) -> tuple[Int64s, Int64s]:
    if len(keys) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if counts is None:
        keys = np.sort(keys)
    else:
        # Of a few ascending runs, which tallies are: stable is the sort that merges them.
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
    starts = run_starts(keys)
    totals = lengths_of(starts, len(keys)) if counts is None else np.add.reduceat(counts, starts)
    return keys[starts].astype(np.int64), totals


def lengths_of(starts: Int64s, total: int) -> Int64s:
    """How long segments are that begin there and follow one another, the last up to ``total``."""
    lengths = np.empty_like(starts)
    lengths[:-1] = starts[1:] - starts[:-1]
    lengths[-1] = total - starts[-1]
    return lengths


def run_starts(values: Keys) -> Int64s:
    """Where runs of equal values begin; there must be a value."""
    return np.concatenate(([0], (values[1:] != values[:-1]).nonzero()[0] + 1))


class Tally:
    """Counts of keys in 0..size-1, kept as unsummed chunks until somebody asks or there are many.

    Chunks are shared between tallies and never changed in place. Holds at most _PENDING_MAX unsummed
    keys, or twice what is already summed, whichever is more.
    """

    __slots__ = ("_counted", "_pending", "_raw", "_summed", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._raw: list[Keys] = []
        self._counted: list[tuple[Int64s, Int64s]] = []
        self._pending = 0
        self._summed = 0

    @classmethod
    def of(cls, keys: Int64s, counts: Int64s, size: int) -> Tally:
        """Of keys that are distinct and ascending already."""
        tally = cls(size)
        if len(keys):
            tally._counted, tally._summed = [(keys, counts)], len(keys)
        return tally

    def add(self, keys: Keys) -> None:
        """Count every key once more."""
        if len(keys):
            self._raw.append(keys)
            self._grow(len(keys))

    def add_counts(self, keys: Int64s, counts: Int64s) -> None:
        """Count every key as often as ``counts`` says; keys may repeat."""
        if len(keys):
            self._counted.append((keys, counts))
            self._grow(len(keys))

    def merge(self, other: Tally) -> None:
        """Add the counts of a tally of the same size."""
        self._raw += other._raw
        self._counted += other._counted
        self._grow(other._pending + other._summed)

    def copy(self) -> Tally:
        tally = Tally(self.size)
        tally._raw, tally._counted = self._raw.copy(), self._counted.copy()
        tally._pending, tally._summed = self._pending, self._summed
        return tally

    def entries(self) -> tuple[Int64s, Int64s]:
        """Distinct keys, ascending, and their counts; read only."""
        if self._pending:
            self._sum()
        return self._counted[0] if self._counted else (np.empty(0, np.int64), np.empty(0, np.int64))

    @property
    def memory_bytes(self) -> int:
        """At most so many are held, without summing anything."""
        return 16 * (self._pending + self._summed)

    def halves(self) -> tuple[Tally, Tally]:
        """The lower and the upper half of the entries; the upper one is never the longer."""
        keys, counts = self.entries()
        middle = (len(keys) + 1) // 2
        low, high = slice(None, middle), slice(middle, None)
        return Tally.of(keys[low], counts[low], self.size), Tally.of(keys[high], counts[high], self.size)

    def _grow(self, keys: int) -> None:
        self._pending += keys
        if self._pending > max(_PENDING_MAX, 2 * self._summed):
            self._sum()

    def _sum(self) -> None:
        if self._raw:
            self._counted.append(sum_by_key(np.concatenate(self._raw), None, self.size))
            self._raw = []
        if self._counted:
            keys = np.concatenate([keys for keys, _ in self._counted])
            counts = np.concatenate([counts for _, counts in self._counted])
            self._counted = [sum_by_key(keys, counts, self.size)]
            self._summed = len(self._counted[0][0])
        self._pending = 0

"""The course of scores since they were first seen, finer the nearer to now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.alike import Alike, parted
from stream_monitor.detectors.base import Float32s
from stream_monitor.errors import FormatError
from stream_monitor.events import Float64s, Int64s

BLOCKS = 16
"""Kept of each length, at least."""
LEVELS = 20
"""Lengths are 1, 2, .. 2^(LEVELS - 1) slices. What is older than BLOCKS of the longest is forgotten."""
_SLOTS = BLOCKS + 2
_TIMES = 2


class Blocks(NamedTuple):
    """Runs of slices of one score in order of time, arrays (k,): from ``begin`` to ``end``, in ms.

    Between two blocks there may be slices without events. ``slices`` in a block saw ``n`` events, whose
    score adds up to ``total``; n is 0 where the score was not seen.
    """

    begin: Int64s
    end: Int64s
    slices: Float64s
    n: Float64s
    total: Float64s

    def take(self, which: slice | NDArray[np.bool_]) -> Blocks:
        """Some of them, in their order."""
        seen = self.slices[which], self.n[which], self.total[which]
        return Blocks(self.begin[which], self.end[which], *seen)


class Course:
    """Events and sums of S scores in blocks of 2^k slices, the oldest of each length merged in pairs.

    Promise: each of the last BLOCKS x 2^(LEVELS - 1) slices that were told is in exactly one block, and a
    block that ended ``a`` slices ago holds no more than 1 + a / BLOCKS. An empty slice need not be told.

    Memory: 72 bytes a score, as much for each of the groups that are ``Alike``, and 288 for all of them, for
    each doubling of the slices that were told beyond BLOCKS; 2.9 KB a score and 6 KB at most. Adding a slice
    writes 2 S sums and merges as many, amortized. Sums are float32, off by less than LEVELS / 2^24 of
    themselves, far below their noise.
    """

    def __init__(self, scores: int, slice_ms: int) -> None:
        self.scores, self._slice_ms = scores, slice_ms
        self._received: list[int] = []
        self._alike = Alike(scores)
        self._n: list[Float32s] = []
        self._total: list[Float32s] = []
        self._times: list[Int64s] = []
        self._grow()

    def add(self, start: int, n: Float64s, total: Float64s) -> None:
        """The slice that begins at ``start``, later than any before; arrays (S,), 0 where none was seen."""
        groups = self._alike.part(n)
        self._n = [parted(one, groups) for one in self._n] if groups.size else self._n
        at = self._received[0] % _SLOTS
        self._n[0][at], self._total[0][at] = n[self._alike.first], total
        self._times[0][at] = start, start + self._slice_ms
        self._received[0] += 1
        level = 0
        while level + 1 < LEVELS and len(self._live(level)) == _SLOTS:
            if level + 1 == len(self._received):
                self._grow()
            at = 2 * self._received[level + 1] % _SLOTS
            into = self._received[level + 1] % _SLOTS
            for sums in (self._n, self._total):
                np.add(sums[level][at], sums[level][at + 1], out=sums[level + 1][into])
            self._times[level + 1][into] = self._times[level][at, 0], self._times[level][at + 1, 1]
            self._received[level + 1] += 1
            level += 1

    def _live(self, level: int) -> range:
        """Numbers of the blocks that are kept of a level, less those that a longer one holds."""
        received = self._received[level]
        merged = 2 * self._received[level + 1] if level + 1 < len(self._received) else 0
        return range(max(merged, received - _SLOTS), received)

    def _grow(self) -> None:
        self._received.append(0)
        self._n.append(np.zeros((_SLOTS, len(self._alike.first)), np.float32))
        self._total.append(np.zeros((_SLOTS, self.scores), np.float32))
        self._times.append(np.zeros((_SLOTS, _TIMES), np.int64))

    def _slots(self) -> list[tuple[int, Int64s]]:
        """Level and places of what is kept, the oldest first."""
        levels = reversed(range(len(self._received)))
        return [(level, np.array(self._live(level), np.int64) % _SLOTS) for level in levels]

    def of(self, score: int) -> Blocks:
        """All that is known of one score."""
        slots = self._slots()
        times = np.concatenate([self._times[level][at] for level, at in slots])
        group = self._alike.of[score]
        n = np.concatenate([self._n[level][at, group] for level, at in slots]).astype(np.float64)
        total = np.concatenate([self._total[level][at, score] for level, at in slots]).astype(np.float64)
        slices = np.concatenate([np.full(len(at), 2.0**level) for level, at in slots])
        return Blocks(times[:, 0], times[:, 1], slices, n, total)

    @property
    def nbytes(self) -> int:
        sums = sum(one.nbytes for one in self._n + self._total)
        return self._alike.nbytes + sums + sum(one.nbytes for one in self._times)

    def bytes_max(self) -> int:
        """Bound on ``nbytes``, however long it goes on."""
        return Alike.bytes_max(self.scores) + LEVELS * _SLOTS * (8 * self.scores + 8 * _TIMES)

    def snapshot(self) -> dict[str, Any]:
        """What is kept, the oldest first; copies."""
        slots = self._slots()
        return {
            "received": self._received[0],
            "times": np.concatenate([self._times[level][at] for level, at in slots]),
            "n": np.concatenate([self._n[level][at] for level, at in slots]),
            "total": np.concatenate([self._total[level][at] for level, at in slots]),
            **self._alike.snapshot(),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], scores: int, slice_ms: int) -> Course:
        """Equal to the course that made the snapshot. FormatError if it is none of so many scores."""
        course = cls(scores, slice_ms)
        course._received = [int(state["received"])]
        while len(course._received) < LEVELS and course._received[-1] >= _SLOTS:
            course._grow()
            course._received[-1] = (course._received[-2] - BLOCKS) // 2
        slots = course._slots()
        times, n, total = state["times"], state["n"], state["total"]
        kept = sum(len(at) for _, at in slots)
        if times.shape != (kept, _TIMES) or total.shape != (kept, scores):
            message = f"course: expected {kept} blocks of {scores} scores, got {times.shape}, {total.shape}"
            raise FormatError(message)
        course._alike = Alike.restore({"alike": state["alike"]}, scores)
        groups = len(course._alike.first)
        course._n = [np.zeros((_SLOTS, groups), np.float32) for _ in course._n]
        if n.shape != (kept, groups):
            raise FormatError(f"course: expected {kept} blocks of {groups} groups, got {n.shape}")
        begin = 0
        for level, at in slots:
            course._times[level][at] = times[begin : begin + len(at)]
            course._n[level][at] = n[begin : begin + len(at)]
            course._total[level][at] = total[begin : begin + len(at)]
            begin += len(at)
        return course

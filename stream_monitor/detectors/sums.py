"""The sums of the latest slices of each signal, at once over windows of many lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.alike import Alike, Seen, parted
from stream_monitor.detectors.base import Float32s, Float64s, Int64s, Snapshot, T, restored

SIZES = np.array([1, 2, 3, 4, 6, 8, 12, 16])
"""Blocks in a window: one of many slices is looked at again after a twelfth of its length, or sooner."""
BLOCKS = int(SIZES[-1])
"""Kept of each length."""
_NEVER = np.iinfo(np.int64).max
_AGES = np.arange(BLOCKS)
ALL = slice(None)


class Windows(NamedTuple):
    """The windows of s signals that end now, of ``size`` (W,) blocks of 2^``level`` slices; arrays (W, s).

    ``signal`` (s,), or all. ``n`` events, whose values are ``off`` by so much in all, and ``squares``, the
    sum of n^2 over slices. Where a signal has not seen as many slices, a window is what there is.
    """

    level: int
    size: Int64s
    signal: Int64s | slice
    n: Float64s
    off: Float64s
    squares: Float64s


class Sums:
    """Blocks of 2^0, .. 2^(levels - 1) slices, the last BLOCKS of each length, of S signals.

    Slices without events are in none. Windows are given when their last block is complete. Sums are float32
    and of deviations from a level that stays: rounded by less than levels / 2^23 of what they are off.
    Memory: 64 bytes x levels x S, and 384 x levels for each of the groups that are ``Alike``; a length takes
    none until there is a block of it. Adding a slice is O(S), amortized, and three times as fast where no
    signal ever missed one.
    """

    def __init__(self, signals: int, levels: int) -> None:
        self.signals, self.levels = signals, levels
        self._alike = Alike(signals)
        groups = len(self._alike.first)
        self._count: Int64s = np.zeros(groups, np.int64)
        self._last: Int64s = np.full(groups, -1)
        self._off: list[Float32s] = []
        # Of the blocks of each group n and the sum of n^2 over slices; the index of the first slice, and of
        # the slice after the last one seen before it.
        self._events: list[Float32s] = []
        self._begin: list[Int64s] = []

    @property
    def count(self) -> Int64s:
        """Slices that each saw, (S,)."""
        return self._count[self._alike.of]

    def add(
        self, current: int, seen: Int64s, n: Float64s, off: Float64s, sizes: Sequence[Int64s]
    ) -> Iterator[Windows]:
        """The slice with index ``current``, in which the signals ``seen`` (s,) saw n > 0 events, which are
        ``off`` by so much in all.

        ``sizes``: of which sizes windows are wanted, for each level.
        """
        events = np.zeros(self.signals)
        events[seen] = n
        self._part(self._alike.part(events))
        of = self._alike.seen(seen)
        clock = self._count[of.groups]
        together = len(seen) == self.signals and bool((clock == clock[0]).all())
        at = _At(ALL, ALL, of.place, clock[0], clock[0]) if together else _At.apart(of, clock)
        self._count[of.groups] += 1
        self._begin_block(0)
        each = events[self._alike.first[of.groups]]
        self._off[0][at.signal_clock % BLOCKS, at.signals] = off
        slot = at.clock % BLOCKS
        self._events[0][0, slot, at.groups], self._events[0][1, slot, at.groups] = each, each * each
        self._begin[0][0, slot, at.groups] = current
        self._begin[0][1, slot, at.groups] = self._last[of.groups] + 1
        self._last[of.groups] = current
        yield self._windows(0, at, sizes[0])
        for level in range(1, self.levels):
            complete = (at.clock & 1) == 1
            if not complete.any():
                break
            if not together:
                of, _ = of.take(complete)
                at = _At.apart(of, at.clock[complete])
            at = self._join(level, at)
            yield self._windows(level, at, sizes[level])

    def _begin_block(self, level: int) -> None:
        if level == len(self._off):
            groups = len(self._alike.first)
            self._off.append(np.zeros((BLOCKS, self.signals), np.float32))
            self._events.append(np.zeros((2, BLOCKS, groups), np.float32))
            self._begin.append(np.full((2, BLOCKS, groups), _NEVER, np.int64))

    def _join(self, level: int, at: _At) -> _At:
        """Two blocks of the level below as one of this."""
        self._begin_block(level)
        up = at._replace(clock=at.clock >> 1, signal_clock=at.signal_clock >> 1)
        low, high = self._off[level - 1], at.signal_clock % BLOCKS
        self._off[level][up.signal_clock % BLOCKS, at.signals] = (
            low[high - 1, at.signals] + low[high, at.signals]
        )
        high = at.clock % BLOCKS
        for sums, two in ((self._events, np.add), (self._begin, np.minimum)):
            lower: NDArray[Any] = sums[level - 1]
            sums[level][:, up.clock % BLOCKS, at.groups] = two(
                lower[:, high - 1, at.groups], lower[:, high, at.groups]
            )
        return up

    def _windows(self, level: int, at: _At, size: Int64s) -> Windows:
        ages = _AGES[: size[-1]].reshape(-1, *[1] * np.ndim(at.clock))
        blocks = self._off[level][(at.signal_clock - ages) % BLOCKS, at.signals]
        off = np.cumsum(blocks.astype(np.float64), axis=0)[size - 1]
        events = self._events[level][:, (at.clock - ages) % BLOCKS, at.groups]
        n, squares = np.cumsum(events.astype(np.float64), axis=1)[:, size - 1].take(at.place, axis=2)
        return Windows(level, size, at.signals, n, off, squares)

    def latest(self, level: int, signals: Int64s, size: Int64s) -> tuple[Int64s, Windows]:
        """Those of ``signals`` that have any blocks, and their windows up to the last one."""
        if level >= len(self._off):
            return signals[:0], Windows(level, size, signals[:0], *np.zeros((3, len(size), 0)))
        groups = self._alike.of[signals]
        clock = (self._count[groups] >> level) - 1
        there = self._events[level][0, clock % BLOCKS, groups] > 0
        signals, groups, clock = signals[there], groups[there], clock[there]
        return signals, self._windows(
            level, _At(signals, groups, np.arange(len(signals)), clock, clock), size
        )

    def began(self, level: Int64s, size: Int64s, signal: Int64s) -> tuple[Int64s, Int64s]:
        """Of one window of each signal (k,) the first slice, and the one after the last seen before it."""
        found = np.zeros((2, len(signal)), np.int64)
        for one in np.unique(level).tolist():
            these = np.flatnonzero(level == one)
            groups = self._alike.of[signal[these], None]
            blocks = ((self._count[groups] >> one) - 1 - _AGES) % BLOCKS
            begin = self._begin[one][:, blocks, groups]
            found[:, these] = np.where(size[these, None] > _AGES, begin, _NEVER).min(axis=2)
        first, after = found
        return first, after

    def reset(self, signals: Int64s) -> None:
        """Forget what these signals saw. Their blocks end with those of the others, as before."""
        self._part(self._alike.part_from(signals))
        groups = self._alike.of[signals]
        for off, events, begin in zip(self._off, self._events, self._begin, strict=True):
            off[:, signals] = 0.0
            events[..., groups] = 0.0
            begin[..., groups] = _NEVER

    def start(self, signals: Int64s, current: int) -> None:
        """These signals were seen last in the slice ``current``, before any that is added."""
        others = signals[self._last[self._alike.of[signals]] != current]
        self._part(self._alike.part_from(others))
        self._last[self._alike.of[others]] = current

    def grow(self, levels: int) -> None:
        """Keep blocks of so many lengths from now on."""
        self.levels = max(levels, self.levels)

    def _part(self, groups: Int64s) -> None:
        """There are new groups, that saw what these did."""
        if groups.size:
            self._count, self._last = parted(self._count, groups), parted(self._last, groups)
            self._events = [parted(one, groups) for one in self._events]
            self._begin = [parted(one, groups) for one in self._begin]

    @property
    def nbytes(self) -> int:
        arrays: list[NDArray[Any]] = [self._count, self._last, *self._off, *self._events, *self._begin]
        return self._alike.nbytes + sum(one.nbytes for one in arrays)

    @staticmethod
    def bytes_max(signals: int, levels: int) -> int:
        """Bound on ``nbytes``."""
        return signals * (28 * BLOCKS * levels + 16) + Alike.bytes_max(signals)

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        levels, groups = len(self._off), len(self._count)
        return {
            "levels": self.levels,
            "count": self._count.copy(),
            "last": self._last.copy(),
            "off": np.array(self._off, np.float32).reshape(levels, BLOCKS, self.signals),
            "events": np.array(self._events, np.float32).reshape(levels, 2, BLOCKS, groups),
            "begin": np.array(self._begin, np.int64).reshape(levels, 2, BLOCKS, groups),
            **self._alike.snapshot(),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Raises FormatError, KeyError, TypeError or ValueError if it is no snapshot of sums."""
        levels, _, signals = snapshot["off"].shape
        sums = cls(signals, int(snapshot["levels"]))
        sums._alike = Alike.restore(snapshot, signals)
        groups = len(sums._alike.first)
        sums._count = restored(snapshot, "count", np.int64, (groups,))
        sums._last = restored(snapshot, "last", np.int64, (groups,))
        deep = levels, 2, BLOCKS, groups
        sums._off = _apart(restored(snapshot, "off", np.float32, (levels, BLOCKS, signals)))
        sums._events = _apart(restored(snapshot, "events", np.float32, deep))
        sums._begin = _apart(restored(snapshot, "begin", np.int64, deep))
        return sums


class _At(NamedTuple):
    """Signals (s,) and groups (g,) whose block of number ``clock`` (g,), ``signal_clock`` (s,) is complete,
    or all of them, and one number. ``place`` (s,): of a signal's group among the groups."""

    signals: Int64s | slice
    groups: Int64s | slice
    place: Int64s
    clock: Int64s
    signal_clock: Int64s

    @classmethod
    def apart(cls, of: Seen, clock: Int64s) -> Self:
        return cls(*of, clock, clock[of.place])


def _apart(levels: NDArray[T]) -> list[NDArray[T]]:
    return [level.copy() for level in levels]

"""Which of many signals saw the same events so far: what they share is kept once."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, T, restored


class Seen(NamedTuple):
    """Signals (s,) and their groups (g,), ascending; ``place`` (s,): of a signal's group among the groups."""

    signals: Int64s
    groups: Int64s
    place: Int64s

    def take(self, which: NDArray[np.bool_]) -> tuple[Seen, NDArray[np.bool_]]:
        """Some of the groups, ``which`` (g,); and which signals they have, (s,)."""
        mine = which[self.place]
        place = (np.cumsum(which) - 1)[self.place[mine]]
        return Seen(self.signals[mine], self.groups[which], place), mine


class Alike:
    """S signals in G groups, of which each saw as many events in every slice as the others of its group.

    At first all are one group; a group is parted when its signals come to differ, and is not joined again.
    ``first`` (G,): a signal of each. Memory: 8 bytes a signal and 8 a group.
    """

    def __init__(self, signals: int) -> None:
        self.of: Int64s = np.zeros(signals, np.int64)
        """The group of each signal, (S,)."""
        self.first: Int64s = np.zeros(min(signals, 1), np.int64)

    def part(self, n: Float64s) -> Int64s:
        """Events of the next slice, (S,). The groups (k,) that k new ones were parted from."""
        others = np.flatnonzero(n != n[self.first][self.of])
        return self._part(others, n[others]) if others.size else others

    def seen(self, signals: Int64s) -> Seen:
        """These signals (s,), ascending, which are all that there are of their groups."""
        if len(signals) == len(self.of):
            return Seen(signals, np.arange(len(self.first)), self.of)
        of = self.of[signals]
        there = np.zeros(len(self.first), np.bool_)
        there[of] = True
        return Seen(signals, np.flatnonzero(there), (np.cumsum(there) - 1)[of])

    def part_from(self, signals: Int64s) -> Int64s:
        """Let these signals (s,) be in groups without others. As ``part``."""
        inside = np.zeros(len(self.of), np.bool_)
        inside[signals] = True
        whole = np.bincount(self.of[signals], minlength=len(self.first)) == np.bincount(self.of)
        leave = np.flatnonzero(inside & ~whole[self.of])
        return self._part(leave, np.zeros(len(leave))) if leave.size else leave

    def _part(self, signals: Int64s, by: Float64s) -> Int64s:
        keys, new = np.unique(np.stack((self.of[signals], by)), axis=1, return_inverse=True)
        self.of[signals] = len(self.first) + new.ravel()
        self.first = np.unique(self.of, return_index=True)[1]
        parents: Int64s = keys[0].astype(np.int64)
        return parents

    @property
    def nbytes(self) -> int:
        return self.of.nbytes + self.first.nbytes

    @staticmethod
    def bytes_max(signals: int) -> int:
        """Bound on ``nbytes``."""
        return 16 * signals

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {"alike": self.of.copy()}

    @classmethod
    def restore(cls, snapshot: Snapshot, signals: int) -> Self:
        """FormatError, KeyError, TypeError or ValueError if it is no snapshot of so many signals."""
        alike = cls(signals)
        alike.of = restored(snapshot, "alike", np.int64, (signals,))
        groups, alike.first = np.unique(alike.of, return_index=True)
        if not np.array_equal(groups, np.arange(len(groups))):
            raise ValueError(f"alike: expected groups 0 to {len(groups) - 1}, got {groups}")
        return alike


def parted(values: NDArray[T], groups: Int64s) -> NDArray[T]:
    """``values`` (.., G) with those of new groups, parted from ``groups``."""
    return np.concatenate((values, values[..., groups]), axis=-1) if groups.size else values

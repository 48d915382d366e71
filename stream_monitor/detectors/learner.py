"""The first slices of a signal are taken for healthy: what detectors that learn have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import ANEW, Float64s, Int64s, Snapshot, restored
from stream_monitor.detectors.kept import Kept
from stream_monitor.detectors.learning import STEPS_MAX, Learned, Learning
from stream_monitor.detectors.noise import LEVELS, STEPS_MIN, Noise, noise_of
from stream_monitor.detectors.sums import SIZES

ENOUGH = 2_048
"""Slices from which the noise is well known: where learning took fewer, it goes on beside watching."""
NEVER = np.iinfo(np.int64).max


class Learner:
    """Learns the noise of S signals, each from the first ``learn`` slices in which it saw events.

    learn: None for until ``begin`` is called. share: which signals are rates of events that are 0 or 1, (S,).
    level: what signals are compared with, known before, as the means (S,) of so many events (S,); NaN: to be
    learned. follows: the signal, seen in the same slices, whose memory each has at the least; -1: its own
    only, (S,). ``watched`` (S,) says of which the noise is known, which is ``kept``.

    Where ``begin`` ends learning after less than ENOUGH slices, how far a signal moves by itself is estimated
    anew each time that ``anew`` times as many were seen. Its level stays.

    Memory: 4 KB a signal, and 4 KB for each group of those that are alike, until all is known of all; 0.4 KB
    then, and 0.1 KB for each doubling of a step.
    """

    def __init__(
        self,
        signals: int,
        learn: int | None,
        share: NDArray[np.bool_],
        level: tuple[Float64s, Float64s] | None = None,
        follows: Int64s | None = None,
    ) -> None:
        if learn is not None and learn < STEPS_MIN:
            raise ValueError(f"learn: expected at least {STEPS_MIN}, got {learn}")
        self.signals = signals
        self.share = share
        self.follows: Int64s = np.full(signals, -1) if follows is None else follows
        if (self.follows >= signals).any():
            raise ValueError(f"follows: expected signals below {signals}, got {self.follows.max()}")
        self.kept = Kept(Noise.none(signals))
        self.watched: NDArray[np.bool_] = np.zeros(signals, np.bool_)
        mean, n = np.full((2, signals), np.nan) if level is None else level
        self._level: Float64s = np.stack((mean, n))
        self._due: Int64s = np.full(signals, learn or NEVER)
        """At so many slices the noise is estimated next; 0: it is known."""
        self._enough = 0
        self._anew = ANEW
        self._learning = Learning(signals)

    @property
    def noise(self) -> Noise:
        """What is known: see Kept."""
        return self.kept.noise

    def steady(self, _current: int, n: Float64s, mean: Float64s) -> tuple[Float64s, Float64s]:
        """The slice of that index as it is learned from and watched."""
        return n, mean

    def add(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> tuple[Int64s, Int64s]:
        """A slice (S,) in which the signals ``seen`` saw events: those of them that are watched, and those
        whose noise is known, or known better, from the next slice on."""
        due = self._due[seen]
        if not due.any():
            return seen, seen[:0]
        watched = seen[self.watched[seen]]
        more = seen[due > 0]
        self._take(more, n[more], mean[more], m2[more])
        ready = more[self._learning.slices[more] >= self._due[more]]
        self._know(ready)
        return watched, ready

    def _take(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        self._learning.add(seen, n, mean, m2)

    def begin(self, anew: float = ANEW) -> Int64s:
        """End learning. Signals that were seen in less than STEPS_MIN slices keep the level that they had,
        and are watched as soon as they were seen in so many."""
        self._enough, self._anew = ENOUGH, anew
        self._due[~self.watched] = STEPS_MIN
        enough = self._learning.slices >= STEPS_MIN
        few = np.flatnonzero(~self.watched & ~enough & np.isnan(self._level[0]))
        self._level[:, few] = self._learning.so_far(few)
        ready = np.flatnonzero(~self.watched & enough)
        self._know(ready)
        return ready

    def _know(self, signals: Int64s) -> None:
        if not signals.size:
            return
        known = self.noise
        for before in (False, True):
            these = signals[self.watched[signals] == before]
            for several, learned in self._learning.groups(these) if these.size else ():
                noise = self._leveled(several, self._noise(several, learned))
                known = known.with_signals(several, noise)
        led = signals[self.follows[signals] >= 0]
        self.kept = Kept(known.remembering(led, self.follows[led]))
        self.watched[signals] = True
        later = np.ceil(self._anew * self._learning.slices[signals])
        self._due[signals] = np.where(self._goes_on(signals), later, 0)
        if not self._due.any():
            self._learning = type(self._learning)(self.signals, self._learning.further)

    def _goes_on(self, signals: Int64s) -> NDArray[np.bool_]:
        """Whether more is to be learned of them."""
        return self._learning.slices[signals] < self._enough

    def _leveled(self, signals: Int64s, noise: Noise) -> Noise:
        """With the level that is known; what was learned now is one where none is."""
        known, (mean, n) = ~np.isnan(self._level[0, signals]), self._level[:, signals]
        mean, n = np.where(known, mean, noise.mean), np.where(known, n, noise.n)
        self._level[:, signals] = mean, n
        times = n / noise.n
        return replace(noise, mean=mean, n=n, slices=noise.slices * times, error=noise.error / times)

    def _noise(self, signals: Int64s, learned: Learned) -> Noise:
        return noise_of(learned, self.share[signals])

    @property
    def nbytes(self) -> int:
        parts = self.kept, self._learning, self.share, self.follows, self.watched, self._level, self._due
        return sum(part.nbytes for part in parts)

    @staticmethod
    def levels_max(slices: int) -> int:
        """Bound on the levels of ``noise`` once so many slices were seen."""
        return LEVELS + max(0, (slices // STEPS_MAX).bit_length())

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        levels = self.levels_max(slices)
        learning = 8 * STEPS_MAX + 40 * (levels - LEVELS) + 48
        windows = levels * len(SIZES)
        return self.signals * (learning + 12 * windows + 98) + 16 * windows

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        parts = {"noise": self.kept.snapshot(), "learning": self._learning.snapshot()}
        return {
            "enough": self._enough,
            "anew": self._anew,
            "due": self._due.copy(),
            "level": self._level.copy(),
            "share": self.share.astype(np.int64),
            "follows": self.follows.copy(),
            "watched": self.watched.astype(np.int64),
            **prefixed(parts),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Raises FormatError, KeyError, TypeError or ValueError if it is no snapshot of a learner."""
        signals = len(snapshot["share"])
        share, watched = (restored(snapshot, name, np.int64, (signals,)) > 0 for name in ("share", "watched"))
        learner = cls(signals, None, share, follows=restored(snapshot, "follows", np.int64, (signals,)))
        learner._enough, learner.watched = int(snapshot["enough"]), watched
        # Reference files from before hold none.
        learner._anew = float(snapshot.get("anew", ANEW))
        learner._due = restored(snapshot, "due", np.int64, (signals,))
        learner._level = restored(snapshot, "level", np.float64, (2, signals))
        learner.kept = Kept.restore(part_of(snapshot, "noise"))
        learner._learning = Learning.restore(part_of(snapshot, "learning"))
        return learner


def prefixed(parts: dict[str, Snapshot]) -> Snapshot:
    """Snapshots of parts in one."""
    return {f"{part}.{name}": one for part, of in parts.items() for name, one in of.items()}


def part_of(snapshot: Snapshot, part: str) -> Snapshot:
    """The snapshot of one part."""
    start = f"{part}."
    return {name.removeprefix(start): one for name, one in snapshot.items() if name.startswith(start)}

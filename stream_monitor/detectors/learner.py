"""The first slices of a signal are taken for healthy: what detectors that learn have in common."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored
from stream_monitor.detectors.learning import STEPS_MAX, Learned, Learning
from stream_monitor.detectors.noise import LEVELS, STEPS_MIN, Noise, noise_of
from stream_monitor.detectors.sums import SIZES


class Learner:
    """Learns the noise of S signals, each from the first ``learn`` slices in which it saw events.

    learn: None for until ``begin`` is called. share: which signals are rates of events that are 0 or 1, (S,).
    follows: the signal, seen in the same slices, whose memory each has at the least; -1: its own only, (S,).
    ``watched`` (S,) says of which the ``noise`` is known; it does not change any more.

    Memory: 16 KB a signal until all are watched; 3 KB then, and 0.2 KB for each doubling of a step.
    """

    def __init__(
        self, signals: int, learn: int | None, share: NDArray[np.bool_], follows: Int64s | None = None
    ) -> None:
        if learn is not None and learn < STEPS_MIN:
            raise ValueError(f"learn: expected at least {STEPS_MIN}, got {learn}")
        self.signals = signals
        self.share = share
        self.follows: Int64s = np.full(signals, -1) if follows is None else follows
        if (self.follows >= signals).any():
            raise ValueError(f"follows: expected signals below {signals}, got {self.follows.max()}")
        self.noise = Noise.none(signals)
        self.watched: NDArray[np.bool_] = np.zeros(signals, np.bool_)
        self._learn = learn or 0
        self._learning = Learning(signals)

    def steady(self, _current: int, n: Float64s, mean: Float64s) -> tuple[Float64s, Float64s]:
        """The slice of that index as it is learned from and watched."""
        return n, mean

    def add(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> tuple[Int64s, Int64s]:
        """A slice (S,) in which the signals ``seen`` saw events: those of them that are watched, and those
        that are from the next slice on."""
        watched = self.watched[seen]
        if watched.all():
            return seen, seen[:0]
        more = seen[~watched]
        self._take(more, n[more], mean[more], m2[more])
        ready = more[self._learning.slices[more] >= self._learn] if self._learn else more[:0]
        self._know(ready)
        return seen[watched], ready

    def _take(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        self._learning.add(seen, n, mean, m2)

    def begin(self) -> Int64s:
        """End learning, of signals that were seen in less than STEPS_MIN slices as soon as they are."""
        self._learn = STEPS_MIN
        ready = np.flatnonzero(~self.watched & (self._learning.slices >= STEPS_MIN))
        self._know(ready)
        return ready

    def _know(self, signals: Int64s) -> None:
        if not signals.size:
            return
        for several, learned in self._learning.groups(signals):
            self.noise = self.noise.with_signals(several, self._noise(several, learned))
        led = signals[self.follows[signals] >= 0]
        self.noise = self.noise.remembering(led, self.follows[led])
        self.watched[signals] = True
        if self.watched.all():
            self._learning = Learning(self.signals)

    def _noise(self, signals: Int64s, learned: Learned) -> Noise:
        return noise_of(learned, self.share[signals])

    @property
    def nbytes(self) -> int:
        parts = self.noise, self._learning, self.share, self.follows, self.watched
        return sum(part.nbytes for part in parts)

    @staticmethod
    def levels_max(slices: int) -> int:
        """Bound on the levels of ``noise`` once so many slices were seen."""
        return LEVELS + max(0, (slices // STEPS_MAX).bit_length())

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        levels = self.levels_max(slices)
        learning = 16 * STEPS_MAX + 40 * (levels - LEVELS) + 40
        return self.signals * (learning + levels * 24 * len(SIZES) + 58)

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        parts = {"noise": self.noise.snapshot(), "learning": self._learning.snapshot()}
        return {
            "learn": self._learn,
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
        learner._learn, learner.watched = int(snapshot["learn"]), watched
        learner.noise = Noise.restore(part_of(snapshot, "noise"))
        learner._learning = Learning.restore(part_of(snapshot, "learning"))
        return learner


def prefixed(parts: dict[str, Snapshot]) -> Snapshot:
    """Snapshots of parts in one."""
    return {f"{part}.{name}": one for part, of in parts.items() for name, one in of.items()}


def part_of(snapshot: Snapshot, part: str) -> Snapshot:
    """The snapshot of one part."""
    start = f"{part}."
    return {name.removeprefix(start): one for name, one in snapshot.items() if name.startswith(start)}

"""How a signal moves from slice to slice: whether neighbours resemble each other, and how far they differ.

A stuck cache, a source that averages or repeats, a level that begins to wander: they leave the level where
it is, and its shape, and change how it moves. Two scores of a numeric signal tell, from its location:

*memory*: with a and b the deviations of two neighbours from a level that follows them, 2 a b / (a^2 + b^2).
Of Gaussian slices with the correlation rho its mean is (1 - sqrt(1 - rho^2)) / rho; it is within [-1, 1] and
the same for any spread.

*variation*: the logarithm of the squared difference of two neighbours over what their events alone explain
(von Neumann, Distribution of the ratio of the mean square successive difference to the variance, Ann. Math.
Statist. 12, 1941). A shift is one such difference, and not more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit
from stream_monitor.checks.numeric import NAME as DRIFT
from stream_monitor.events import Float64s, Int64s

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect

NAME = "movement"
MEMORY, VARIATION = "memory", "variation"
SLICES_MIN = 1_024
"""How a signal moves is learned from so many slices with events at the least."""
LASTS = {MEMORY: 192, VARIATION: 32}
"""A change is told when it has lasted for so many slices: what a shift does to a score is over sooner."""
_FOLLOWS = 1 / 8
_RECENT = 1 / 32
_LEAST, _MOST = 1e-2, 1e6
"""Of the ratio in *variation*: its logarithm has no tail downwards."""
_ROUNDING = 1e-20
"""Squares below this are what rounding leaves of a constant."""


class Movement:
    """The scores of the numeric signals among ``located``, told of slice by slice; K signals, 2 K scores.

    ``slices`` counts those that it was told of. ``begun``: enough of them to watch what comes. Memory: 48
    bytes a signal.
    """

    def __init__(self, located: Sequence[Score], min_effect: MinEffect) -> None:
        self._at: Int64s = np.array(
            [at for at, one in enumerate(located) if one.check == DRIFT and one.name == "location"], np.int64
        )
        self._at = self._at[[located[at].unit != Unit.SHARE for at in self._at.tolist()]]
        names = [located[at].signal for at in self._at.tolist()]
        self.scores = [Score(NAME, name, MEMORY, Unit.LIKENESS, min_effect.memory) for name in names]
        self.scores += [Score(NAME, name, VARIATION, Unit.LOG, min_effect.variation) for name in names]
        self.slices, self.begun = 0, False
        self._seen: Int64s = np.zeros(len(names), np.int64)
        self._last: Float64s = np.zeros((3, len(names)))
        self.recent: Float64s = np.zeros(len(self.scores))
        """Their means over the last slices, exponentially weighted."""

    def follow(self, seen: Observations) -> Observations:
        """The next slice, of the scores that it was made for: one event of each score that it can tell of."""
        n, mean, m2 = (one[self._at] for one in (seen.n, seen.mean, seen.m2))
        level, last, error_last = self._last
        error = np.divide(m2, n * (n - 1.0), out=np.zeros_like(n), where=n > 1)
        known = (n > 0) & (self._seen >= 1 / _FOLLOWS)
        one, other = mean - level, last - level
        both, noise = one * one + other * other, error + error_last
        like = np.divide(2.0 * one * other, both, out=np.zeros_like(both), where=both > 0)
        ratio = np.divide((mean - last) ** 2, noise, out=np.ones_like(noise), where=noise > 0)
        varied = np.log(np.clip(ratio, _LEAST, _MOST))
        told = np.concatenate(
            (known & (both > _ROUNDING), known & (np.minimum(error, error_last) > _ROUNDING))
        )
        found = np.where(told, np.concatenate((like, varied)), 0.0)
        self.recent += np.where(told, _RECENT * (found - self.recent), 0.0)
        follows = np.maximum(_FOLLOWS, 1.0 / np.maximum(self._seen, 1))
        level = np.where(self._seen > 0, level + follows * (last - level), mean)
        self._last = np.where(n > 0, np.stack((level, mean, error)), self._last)
        self._seen += n > 0
        self.slices += 1
        return Observations(told.astype(np.float64), found, np.zeros_like(found))

    @property
    def lasts(self) -> Int64s:
        """For how many slices a change of each score must last to be told."""
        return np.array([LASTS[score.name] for score in self.scores], np.int64)

    @property
    def nothing(self) -> Observations:
        """What is known before the first slice."""
        return Observations(*np.zeros((3, len(self.scores))))

    def only(self, seen: Observations) -> Observations:
        """Of all scores of a slice these, which are the last ones."""
        mine = np.arange(len(seen.n)) >= len(seen.n) - len(self.scores)
        return Observations(np.where(mine, seen.n, 0.0), seen.mean, seen.m2)

    def of(self, score: int, first: int) -> tuple[int, int]:
        """The scores of the signal of one; they are numbered from ``first`` on."""
        signal, signals = score % len(self._at), len(self._at)
        return first + signal, first + signal + signals

    def snapshot(self) -> dict[str, Any]:
        return {
            "slices": self.slices,
            "begun": self.begun,
            "seen": self._seen.copy(),
            "last": self._last.copy(),
            "recent": self.recent.copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.slices, self.begun = state["slices"], state["begun"]
        self._seen, self._last, self.recent = (state[name].copy() for name in ("seen", "last", "recent"))


def correlation(memory: float) -> float:
    """Of neighbouring slices, where the score *memory* has this mean.

    >>> round(correlation((1 - (1 - 0.9**2) ** 0.5) / 0.9), 9)
    0.9
    """
    return 2.0 * memory / (1.0 + memory * memory)


def times(before: float, after: float) -> float:
    """By how much neighbours differ more, where the score *variation* went from one mean to another.

    >>> round(times(0.0, math.log(4.0)), 9)
    2.0
    """
    return math.exp((after - before) / 2.0)

"""A score while nothing changes: where it rests, and how far means of it stray by chance."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from stream_monitor.checks.course import Blocks
from stream_monitor.detectors.noise import Noise

ALIKE_MIN = 8
"""Blocks of one length that tell how much the means of such blocks stray."""


class Calm(NamedTuple):
    """A score at rest: its ``level``, and ``error``, the variance of that estimate.

    The mean of n events in w slices has the variance ``within`` / n + ``memory`` / w, or less; a slice has
    ``events`` as a rule. A level that differs by less than ``dead`` has not changed. ``share``: events are
    0 or 1, and vary as their level does.
    """

    level: float
    error: float
    within: float
    memory: float
    events: float
    dead: float
    share: bool

    @classmethod
    def learned(cls, noise: Noise, score: int, dead: float, *, share: bool) -> Self | None:
        """As a detector learned it; None: not yet."""
        n, slices = float(noise.n[score]), float(noise.slices[score])
        if not n:
            return None
        level, error, within = (float(one[score]) for one in (noise.mean, noise.error, noise.within))
        memory = max(float(noise.long_run[score]) - within * slices / n, 0.0)
        return cls(level, error, within, memory, n / slices, dead, share)

    def remembering(self, before: Blocks) -> Self:
        """With the memory that the course shows from before a change, for who learned none.

        The largest over lengths of blocks, so rather too much than too little.
        """
        memory = self.memory
        for slices in np.unique(before.slices):
            alike = before.take((before.slices == slices) & (before.n > 0))
            if len(alike.n) >= ALIKE_MIN:
                strays = np.var(alike.total / alike.n, ddof=1) - np.mean(self.within / alike.n)
                memory = max(memory, float(slices * strays))
        return self._replace(memory=memory)

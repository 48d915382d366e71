"""What was learned of signals, as it is kept: without the windows that nobody looks at."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np

from stream_monitor.detectors.base import Float32s, Snapshot, restored
from stream_monitor.detectors.noise import DEEP, Noise
from stream_monitor.detectors.sums import SIZES


class Kept:
    """A noise of S signals: ``flat`` is all of it but what it says of windows, of which it has P.

    ``level`` and ``size`` (P,), ascending, and ``between`` (P, S), a row for each: see Noise. A window is
    left out if no signal looks at it and its level does not move, as far as is known. Memory: 12 bytes x
    P x S, 16 x P, and 56 x S.
    """

    def __init__(self, noise: Noise) -> None:
        self.levels = noise.levels
        used = ((noise.between != 0) | (noise.turnover != 0)).any(axis=2)
        self.level, self.size = np.nonzero(used)
        self._deep = np.stack([getattr(noise, name)[used] for name in DEEP]).astype(np.float32)
        self.flat = replace(
            noise, **dict.fromkeys(DEEP, np.zeros((0, len(SIZES), used.shape[1]), np.float32))
        )

    @property
    def noise(self) -> Noise:
        """All of it; a copy that is larger, made anew each time."""
        shape = self.levels, len(SIZES), self._deep.shape[2]
        between, turnover, freedom = whole = np.zeros((len(DEEP), *shape), np.float32)
        whole[:, self.level, self.size] = self._deep
        return replace(self.flat, between=between, turnover=turnover, freedom=freedom)

    @property
    def between(self) -> Float32s:
        rows: Float32s = self._deep[0]
        return rows

    @property
    def nbytes(self) -> int:
        return self.flat.nbytes + self.level.nbytes + self.size.nbytes + self._deep.nbytes

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        flat = {name: getattr(self.flat, name).copy() for name in self.flat.__slots__ if name not in DEEP}
        places = np.stack((self.level, self.size))
        return {"levels": self.levels, "places": places, "deep": self._deep.copy(), **flat}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """FormatError, IndexError, KeyError or TypeError if it is no snapshot of one."""
        places, signals = snapshot["places"].shape[1], len(snapshot["mean"])
        kept = cls(Noise.none(signals))
        kept.levels = int(snapshot["levels"])
        kept.level, kept.size = restored(snapshot, "places", np.int64, (2, places))
        kept._deep = restored(snapshot, "deep", np.float32, (len(DEEP), places, signals))
        names = [name for name in kept.flat.__slots__ if name not in DEEP]
        flat = {name: restored(snapshot, name, np.float64, (signals,)) for name in names}
        kept.flat = replace(kept.flat, **flat)
        return kept

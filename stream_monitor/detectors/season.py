"""The season of many signals: how far from its level each is at a time of the day, or of the week."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot, restored
from stream_monitor.detectors.season_hours import HOUR_MS


@dataclass(frozen=True, slots=True)
class Season:
    """Of S signals, in waves: whole ones to a period, of at most K kinds; arrays (S,) and (K, S).

    ``period`` in hours since 1970, of a calendar; 0: there is no season. The signal is off its ``level`` by
    the sum over k = 1, .. K of ``cosine`` cos(k a) + ``sine`` sin(k a), where a turns once a period.
    ``variance`` is that of such a wave as an estimate. Waves have no mean: a season says nothing about the
    level.

    Smooth: an hour is no step. What is known by the hour of the day or of the week only (a hard edge, as at
    the opening of a shop) is rounded off over about an hour. Where hours are those of UTC and
    clocks change, people's seasons move by an hour against it, and stay there until the season is learned
    again; a holiday is a day on which the season is not what it was. What a calendar does not know is told
    as a change where the signal then is beyond what noise and ``dead`` allow. Measured, a season of 1 sd of
    a slice (5 minutes, independent noise) that comes an hour late: 19 times the budget; with a dead zone of
    .15 sd 1.6 times, of .3 sd a tenth. Of .3 sd, or in noise that remembers (AR .9): within the budget.
    """

    period: Int64s
    level: Float64s
    cosine: Float64s
    sine: Float64s
    variance: Float64s

    @classmethod
    def none(cls, signals: int) -> Self:
        """No signal has one."""
        return cls(np.zeros(signals, np.int64), np.zeros(signals), *np.zeros((3, 0, signals)))

    def at(self, start: int, width: int) -> Float64s:
        """How far from its level each signal (S,) is on average from ``start`` on for ``width`` ms."""
        found = np.zeros(len(self.period))
        for period in np.unique(self.period[self.period > 0]).tolist():
            of = np.flatnonzero(self.period == period)
            turns = np.arange(1, len(self.cosine) + 1) * ((start + width / 2) / (period * HOUR_MS) % 1.0)
            seen = np.sinc(np.arange(1, len(self.cosine) + 1) * (width / (period * HOUR_MS)))
            waves = np.stack((np.cos(2 * np.pi * turns) * seen, np.sin(2 * np.pi * turns) * seen))
            terms = waves[0, :, None] * self.cosine[:, of] + waves[1, :, None] * self.sine[:, of]
            found[of] = np.cumsum(terms, axis=0)[-1]
        return found

    def around(self, middle: Float64s, width: int) -> Float64s:
        """The same of each signal at times of its own: the ``middle`` (L, S), in ms, of L times ``width``."""
        found = np.zeros(middle.shape)
        period = np.where(self.period > 0, self.period, 1) * float(HOUR_MS)
        turn = np.exp(2j * np.pi * (middle / period % 1.0))
        wave = np.ones_like(turn)
        for k in range(len(self.cosine)):
            wave = wave * turn
            seen = np.sinc((k + 1) * width / period)
            found += (self.cosine[k] * wave.real + self.sine[k] * wave.imag) * seen
        return found

    def error(self, widths: Float64s) -> Float64s:
        """The variance (W, S) of what the season adds to means over these many ms (W,), as an estimate."""
        found = np.zeros((len(widths), len(self.period)))
        period = np.where(self.period > 0, self.period, 1) * float(HOUR_MS)
        for k in range(len(self.variance)):
            found += self.variance[k] * np.sinc((k + 1) * widths[:, None] / period) ** 2
        return found

    def with_signals(self, signals: Int64s, other: Season) -> Season:
        """The same, but of ``signals`` (s,) what another one says of them."""
        period, level = self.period.copy(), self.level.copy()
        period[signals], level[signals] = other.period, other.level
        deep = []
        for name in ("cosine", "sine", "variance"):
            mine, new = getattr(self, name), getattr(other, name)
            waves = max(len(mine), len(new))
            mine, new = (np.pad(one, ((0, waves - len(one)), (0, 0))) for one in (mine, new))
            mine[:, signals] = new
            deep.append(mine)
        return Season(period, level, *deep)

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__slots__)

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {name: getattr(self, name).copy() for name in self.__slots__}

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """FormatError, KeyError or TypeError if it is no snapshot of a season."""
        deep = snapshot["cosine"].shape
        period = restored(snapshot, "period", np.int64, deep[1:])
        level = restored(snapshot, "level", np.float64, deep[1:])
        names = ("cosine", "sine", "variance")
        return cls(period, level, *(restored(snapshot, name, np.float64, deep) for name in names))

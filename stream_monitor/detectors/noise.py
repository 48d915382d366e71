"""What is learned of healthy signals: their level, and how far windows stray from it by chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float32s, Float64s, Int64s
from stream_monitor.detectors.dependence import demeaned, freedom_of_tails, spread_of
from stream_monitor.detectors.learning import Learned
from stream_monitor.detectors.sums import SIZES
from stream_monitor.detectors.thresholds import height, of_estimate

STEPS_MIN = 32
LEVELS = 9
"""Windows of up to 16 x 2^(LEVELS - 1) steps."""
SPENT = 0.7
"""Windows overlap: of the false alarms that their bounds add up to, so much is spent, or less."""
FINDS = 4.5
"""A window finds shifts of about so many of its standard deviations."""
SHIFTS = 0.05, 2.0
"""In standard deviations of an event: what matters. Windows that find others have less of the budget."""
LEAST = 1e-3
AVERAGED = 64
ALL = slice(None)
Deep = Float32s | Float64s
"""Estimates: float32 is kept of them, which is far more than is known."""
DEEP = ("between", "turnover", "freedom")
_TINY = 1e-200
_LATER = np.flatnonzero(SIZES >= 12)
"""Of longer blocks only the windows that shorter blocks do not have."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Of S signals over windows of SIZES blocks of 2^level slices; arrays (S,) and, float32, (levels, W, S).

    ``mean`` of ``n`` events in so many ``slices`` is the level, ``error`` its variance. The mean of a
    window of w slices and n events has the variance ``within`` / n + ``between``, the second of which is
    that of the level itself, times w sum(n_t^2) / n^2 where events are unevenly spread. ``turnover`` and
    ``freedom``: see Spread; the former is 0 where a window is not looked at. ``inflation``: by how much
    memory adds to the variance of long windows; ``jumps``: of the level while it was learned.
    """

    mean: Float64s
    n: Float64s
    slices: Float64s
    within: Float64s
    error: Float64s
    inflation: Float64s
    jumps: Float64s
    between: Deep
    turnover: Deep
    freedom: Deep

    @classmethod
    def none(cls, signals: int) -> Self:
        """Nothing is known, and no window is looked at."""
        flat, deep = np.zeros((7, signals)), np.zeros((3, 0, len(SIZES), signals), np.float32)
        return cls(*flat.copy(), *deep.copy())

    @property
    def levels(self) -> int:
        return len(self.between)

    def heights(self, run_length: Float64s, signals: Int64s | slice = ALL) -> Float32s:
        """What the deviation of a window, squared and in variances, has to pass, (levels, W, s).

        Noise alone passes any of them once in ``run_length`` (S,) slices.
        """
        turnover, freedom = self.turnover[..., signals], self.freedom[..., signals]
        looked = turnover > 0
        weight = self._weights(signals)
        whole = np.where(looked, weight, 0.0).sum((0, 1), initial=LEAST)
        looks = 2.0 ** -np.arange(self.levels, dtype=np.float64)[:, None, None]
        rate = weight / whole / (looks * SPENT * run_length[signals])
        found = np.full(looked.shape, np.inf, np.float32)
        with np.errstate(over="ignore"):
            passed = of_estimate(height(turnover[looked], rate[looked]), np.maximum(freedom[looked], 1.0))
            found[looked] = np.square(passed)
        return found

    def _weights(self, signals: Int64s | slice) -> Float64s:
        """What windows have of the budget, (levels, W, s), against one that finds shifts within SHIFTS: the
        less the further outside of them is what it finds."""
        lengths = SIZES[:, None] * 2.0 ** np.arange(self.levels)[:, None, None]
        within, between = self.within[signals], self.between[..., signals]
        n = lengths * np.maximum(self.n / np.maximum(self.slices, 1.0), _TINY)[signals]
        event = within + (between[0, 0] if self.levels else 0.0)
        found = FINDS * np.sqrt((within / n + between) / np.maximum(event, _TINY))
        least, most = SHIFTS
        weights: Float64s = np.minimum(found / least, most / np.maximum(found, _TINY))
        return np.clip(weights, LEAST, 1.0)

    @property
    def long_run(self) -> Float64s:
        """Variance of the mean of a slice of as many events as were learned, memory included, (S,)."""
        lengths = SIZES[:, None] * 2.0 ** np.arange(self.levels)[:, None, None]
        between = (lengths * self.between).max(axis=(0, 1), initial=0.0)
        variance: Float64s = self.within * self.slices / np.maximum(self.n, 1.0) + between
        return variance

    @property
    def freedom_least(self) -> Float64s:
        """Of the windows of AVERAGED slices and more that are looked at, (S,); 1 where none is.

        For charts, which add up many slices: tails of single ones do not reach them.
        """
        lengths = SIZES[:, None] * 2.0 ** np.arange(self.levels)[:, None, None]
        wanted = (self.turnover > 0) & (lengths >= AVERAGED)
        least = np.where(wanted, self.freedom, np.inf).min(axis=(0, 1), initial=np.inf)
        return np.where(np.isfinite(least), least, 1.0)

    def with_signals(self, signals: Int64s, other: Noise) -> Noise:
        """The same, but of ``signals`` (s,) what another one says of them."""
        levels = max(self.levels, other.levels)
        found = {}
        for name in self.__slots__:
            mine, new = getattr(self, name), getattr(other, name)
            if mine.ndim > 1:
                mine, new = (np.pad(one, ((0, levels - len(one)), (0, 0), (0, 0))) for one in (mine, new))
            found[name] = mine.copy()
            found[name][..., signals] = new
        return Noise(**found)

    def remembering(self, signals: Int64s, others: Int64s) -> Noise:
        """The same, but the level of each of ``signals`` (s,) moves at least as that of its other one (s,)
        does, both against the variance of an event."""
        if not signals.size:
            return self
        event = self.within + (self.between[0, 0] if self.levels else 0.0)
        ratio = event[signals] / np.maximum(event[others], _TINY)
        between, error = self.between.copy(), self.error.copy()
        between[..., signals] = np.maximum(between[..., signals], between[..., others] * ratio)
        error[signals] = np.maximum(error[signals], error[others] * ratio)
        return replace(self, between=between, error=error)

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__slots__)


def noise_of(learned: Learned, share: NDArray[np.bool_]) -> Noise:
    """What was learned of s signals; ``share`` (s,) says which are rates, whose events vary as their level.

    Needs STEPS_MIN steps. Cost: 0.2 ms a signal.
    """
    n = learned.n.sum(axis=0)
    mean = learned.total.sum(axis=0) / n
    within = np.divide(learned.m2, learned.spare, out=np.zeros_like(n), where=learned.spare > 0)
    rate = np.clip(mean, 1.0 / np.maximum(n, 2.0), 1.0 - 1.0 / np.maximum(n, 2.0))
    within = np.where(share, rate * (1.0 - rate), within)
    residuals, jumps = demeaned(learned.total / learned.n)
    between, turnover, freedom = _spread(learned, residuals, within, share)
    alone = within * learned.slices / n + between[0, 0]
    longest = SIZES[-1] * 2.0 ** (len(between) - 1) * between[-1, -1]
    whole = within * learned.slices / n + longest
    inflation = np.divide(whole, alone, out=np.ones_like(n), where=alone > 0)
    # Slices of many events count for more in the level: it is the mean of fewer than there were.
    uneven = np.square(learned.n / n).sum(axis=0) / 2**learned.level
    error = within / n + longest * uneven
    flat = mean, n, learned.slices, within, error, inflation, jumps.astype(np.float64)
    return Noise(*flat, between, turnover, freedom)


def _spread(
    learned: Learned, residuals: Float64s, within: Float64s, share: NDArray[np.bool_]
) -> tuple[Float64s, Float64s, Float64s]:
    """Of all windows ``between``, turnover and freedom.

    Steps of few events count for less: an autoregression is fitted to residuals of equal variance, and what
    is sampling is taken off again. Windows shorter than a step add what differs between neighbours.
    """
    n, level = learned.n, learned.level
    sampling = within / n
    excess = np.maximum((n * (residuals**2 - sampling)).sum(axis=0), 0.0) / n.sum(axis=0)
    scale = np.sqrt(np.maximum(sampling + excess, _TINY))
    scale /= np.sqrt(np.mean(scale * scale, axis=0))
    places = [(0, at) for at in range(len(SIZES))]
    places += [(more, at) for more in range(1, LEVELS) for at in _LATER.tolist()]
    of, at = np.array(places).T
    steps = SIZES[at] << of
    spread = spread_of(residuals / scale, steps, 1 << of)
    white, weight = np.mean(sampling / scale**2, axis=0), np.mean(1.0 / scale**2, axis=0)
    # Where steps are uneven, those of many events tell most of how the level moves: they are fewer.
    freedom_left = weight**2 / np.mean(1.0 / scale**4, axis=0)
    between = np.zeros((level + LEVELS, len(SIZES), n.shape[1]))
    turnover, freedom = np.zeros_like(between), np.zeros_like(between)
    between[level + of, at] = np.maximum(spread.variance - white / steps[:, None], 0.0) / weight
    turnover[level + of, at], freedom[level + of, at] = spread.turnover, spread.freedom * freedom_left
    for fine in reversed(range(level)):
        sampled = learned.squares[fine] - within * learned.inverse[fine]
        between[fine, 0] = between[fine + 1, 0] + np.maximum(sampled, 0.0) / learned.pairs[fine] / 4.0
    _as_if_steps_were_slices(level, between, turnover, freedom)
    # The deviance of a rate has the tails of a Gaussian.
    lengths = (SIZES * 2.0 ** np.arange(-level, LEVELS)[:, None]).ravel()
    tails = freedom_of_tails(residuals / scale, lengths).reshape(freedom.shape)
    heavy = np.where(share, np.inf, tails)
    return between, turnover, 1.0 / (1.0 / np.maximum(freedom, 1e-9) + 1.0 / heavy)


def _as_if_steps_were_slices(level: int, between: Float64s, turnover: Float64s, freedom: Float64s) -> None:
    """Of windows of whole steps, of 2^``level`` slices each, and of those of 1, 2, 4, .. slices, to windows
    that are looked at as often as if each slice was a step: of a delay, half a step matters.

    Where no variance is known, a sum is taken to vary as the middle between that of 2/3 and that of 4/3 as
    many slices, for it does not vary by more. What is new in a part of a step is that part of what is new in
    a step, or less.
    """
    known = {1 << fine: between[fine, 0] for fine in range(level)}
    steps = {int(size): at for at, size in enumerate(SIZES) if level}
    known |= {size << level: between[level, at] for size, at in steps.items()}
    one = turnover[level].copy(), freedom[level].copy()
    turnover[level, : _LATER[0] if level else 0] = 0.0
    for fine in range(level):
        for at in _LATER.tolist() if fine else range(len(SIZES)):
            length = int(SIZES[at]) << fine
            whole = steps.get(length >> level, 0) if length >> level << level == length else 0
            turned, freedom[fine, at] = one[0][whole], one[1][whole]
            between[fine, at] = (
                known[length]
                if length in known
                else (2.0 * known[length * 2 // 3] + 8.0 * known[length * 4 // 3]) / 9.0
            )
            part = 2.0 ** (fine - level) * turned
            turnover[fine, at] = part if length >> level else 2.0**fine / length

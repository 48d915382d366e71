"""Waves of a period in a record of hours that knows neither its noise nor its trend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.dependence import autoregression, demeaned
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_hours import HOUR_MS

LEVEL = 1e-2
"""Of signals without a season, so many are given one."""
PASSES = 3
"""Trend, jumps and season are estimated in turn, as often."""
FREEDOM = 4.0
"""So many hours are worth one degree of freedom of the noise that is judged by them."""
UNKNOWN = 0.5
"""Of the variance of a wave that does not stand out, so much is taken for what it leaves in the signal."""
ROUNDING = 1e-10
"""What is smaller than the signal by this is no season."""
TINY = 1e-200


class Hourly(NamedTuple):
    """T hours of s signals, ``phase`` (T,) hours since 1970, each the mean over ``cell`` ms; (T, s)."""

    phase: Int64s
    weights: Float64s
    values: Float64s
    cell: int

    def cells(self, period: int) -> Float64s:
        """The mean (period, s) of each hour of the period; of one that was not seen, as its neighbours, and 0
        where none was."""
        sums = np.zeros((2, period, self.values.shape[1]))
        block = np.stack((self.weights, self.weights * self.values))
        np.add.at(sums.transpose(1, 0, 2), self.phase % period, block.transpose(1, 0, 2))
        n, total = sums
        cells = np.divide(total, n, out=np.zeros_like(n), where=n > 0)
        places = np.arange(period)
        for signal in np.flatnonzero((n == 0).any(axis=0) & (n > 0).any(axis=0)).tolist():
            seen = np.flatnonzero(n[:, signal])
            cells[:, signal] = np.interp(places, seen, cells[seen, signal], period=period)
        return cells

    def rest(self, period: int) -> Float64s:
        """What the hours of the period leave."""
        left: Float64s = (self.values - self.cells(period)[self.phase % period]) * (self.weights > 0)
        return left

    def less(self, off: Float64s) -> Hourly:
        return self._replace(values=self.values - off)

    def halves(self, period: int) -> tuple[Hourly, Hourly]:
        """The first and the second, of equally many whole periods."""
        half = len(self.phase) // (2 * period) * period
        first, second = slice(0, half), slice(len(self.phase) - half, len(self.phase))
        return self._part(first), self._part(second)

    def _part(self, part: slice) -> Hourly:
        return Hourly(self.phase[part], self.weights[part], self.values[part], self.cell)

    def of(self, signals: Int64s) -> Hourly:
        """Only these."""
        return self._replace(weights=self.weights[:, signals], values=self.values[:, signals])


class Waves(NamedTuple):
    """Of s signals the waves of one period, K kinds: ``height`` (K, s) complex, ``noise`` (K, s) the mean of
    its squared size that noise alone would have, judged by ``spare`` hours."""

    period: int
    height: NDArray[np.complex128]
    noise: Float64s
    spare: int

    @property
    def presence(self) -> Float64s:
        """How likely noise alone is to show waves as high as these, (s,).

        Asked of the highest, and of the sum of the longest 1, 2, 4, ..: a season is either. Waves of noise
        are exponential in square, whatever its spectrum is.
        """
        kinds = len(self.height)
        ratio = np.abs(self.height) ** 2 / self.noise
        many = np.array([1 << at for at in range(kinds.bit_length())] + [kinds])
        sums = np.cumsum(ratio, axis=0)[many - 1] / many[:, None]
        least = fdtrc(2.0 * many[:, None], self.spare / FREEDOM, sums).min(axis=0) * len(many)
        highest = fdtrc(2.0, self.spare / FREEDOM, ratio.max(axis=0)) * kinds
        found: Float64s = np.minimum(2.0 * np.minimum(least, highest), 1.0)
        return found

    def kinds(self, of: Int64s) -> Waves:
        """Only these kinds."""
        return self._replace(height=self.height[of], noise=self.noise[of])

    def shrunk(self) -> Waves:
        """Those that noise would hardly make, less what it adds to them, and their error.

        Up to the kind that BIC prefers (Schwarz 1978), and of shorter ones those that it would add by
        themselves; each as far as it stands out of its noise (James and Stein, 1961).
        """
        ratio, price = np.abs(self.height) ** 2 / self.noise, np.log(self.spare)
        gain = np.cumsum(ratio - price, axis=0)
        order = np.where(gain.max(axis=0) > 0, gain.argmax(axis=0), -1)
        kept = (np.arange(len(ratio))[:, None] <= order) | (ratio > price)
        share = np.maximum(1.0 - 1.0 / np.maximum(ratio, TINY), 0.0) * kept
        return self._replace(height=self.height * share, noise=self.noise * np.where(kept, 1.0, UNKNOWN))

    def hours(self, cell: int) -> Float64s:
        """The waves as they are seen in each hour of the period, (period, s)."""
        k = np.arange(1, len(self.height) + 1)
        height = self.height * np.sinc(k * cell / (self.period * HOUR_MS))[:, None]
        turns = 2j * np.pi * np.outer(np.arange(self.period) + 0.5, k) / self.period
        return np.array([2.0 * (row[:, None] * height).sum(axis=0).real for row in np.exp(turns)])


def waves_of(hourly: Hourly, period: int) -> Waves:
    """The waves of a period of so many hours, the noise judged by what they leave."""
    kinds = (period * HOUR_MS - 1) // (2 * hourly.cell)
    # A slice of several hours is in all of them: of these, one counts.
    each = max(1, hourly.cell // HOUR_MS)
    rest = hourly.rest(period) * np.sqrt(hourly.weights / hourly.weights.mean(axis=0))
    fit = autoregression(rest[::each])
    k = np.arange(1, kinds + 1)
    turns = np.exp(-2j * np.pi * np.outer(k, np.arange(len(fit.filters))) * each / period)
    response = np.array([(row[:, None] * fit.filters).sum(axis=0) for row in turns])
    free = np.maximum((hourly.weights > 0).sum(axis=0) - period, each) / each
    noise = np.maximum(fit.power, TINY) / np.maximum(np.abs(response) ** 2, 1e-12) / free
    noise = np.maximum(noise, np.square(ROUNDING * np.abs(hourly.values).max(axis=0)))
    seen = np.sinc(k * hourly.cell / (period * HOUR_MS))[:, None]
    return Waves(period, _height(hourly, period, kinds), noise / seen**2, (len(rest) - period) // each)


def _height(hourly: Hourly, period: int, kinds: int) -> NDArray[np.complex128]:
    """Of so many kinds of waves, from the means of hours, whose middle is their time."""
    k, cells = np.arange(1, kinds + 1), hourly.cells(period)
    turns = np.exp(-2j * np.pi * np.outer(k, np.arange(period) + 0.5) / period)
    sums = np.array([(row[:, None] * cells).sum(axis=0) for row in turns])
    seen = np.sinc(k * hourly.cell / (period * HOUR_MS))[:, None]
    found: NDArray[np.complex128] = (sums / (period * seen)).astype(np.complex128)
    return found


def trend_of(hourly: Hourly, period: int) -> tuple[Float64s, Float64s]:
    """The line through what the hours of a period leave of the record, and its jumps: neither is a season."""
    length = len(hourly.phase)
    line = np.arange(length)[:, None] - (length - 1) / 2
    trend, jumps = np.zeros((2, *hourly.values.shape))
    for _ in range(PASSES):
        rest = hourly.less(trend + jumps).rest(period) + jumps
        trend = trend + line * ((rest * line).sum(axis=0) / (line * line).sum(axis=0))
        rest = hourly.less(trend + jumps).rest(period) + jumps
        jumps = rest - demeaned(rest)[0]
    return trend, jumps


def foretells(hourly: Hourly, waves: Waves, simpler: Waves | None) -> NDArray[np.bool_]:
    """Of which signals either half of the record is nearer to the waves of the other than to simpler ones."""
    gain = np.zeros(hourly.values.shape[1])
    halves = hourly.halves(waves.period)
    for known, other in (halves, halves[::-1]):
        cells = _from_half(known, waves)[other.phase % waves.period]
        less = np.zeros_like(cells)
        if simpler is not None:
            less = _from_half(known, simpler)[other.phase % simpler.period]
        values = other.values - (other.weights * other.values).sum(axis=0) / np.maximum(
            other.weights.sum(axis=0), TINY
        )
        gain += (other.weights * ((values - less) ** 2 - (values - cells) ** 2)).sum(axis=0)
    found: NDArray[np.bool_] = gain > 0
    return found


def _from_half(known: Hourly, waves: Waves) -> Float64s:
    height = _height(known, waves.period, len(waves.height)) * (np.abs(waves.height).sum(axis=0) > 0)
    return waves._replace(height=height, noise=2.0 * waves.noise).shrunk().hours(known.cell)


def season_in(hourly: Hourly, waves: Waves, there: NDArray[np.bool_]) -> Season:
    """Of the signals that have one."""
    height, noise = waves.height[:, there], waves.noise[:, there]
    period, level = np.full(height.shape[1], waves.period), hourly.cells(waves.period)[:, there].mean(axis=0)
    return Season(period, level, 2.0 * height.real, -2.0 * height.imag, 2.0 * noise)

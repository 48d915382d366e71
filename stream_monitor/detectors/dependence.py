"""How much the level of a stream moves by itself, learned from the means of its slices.

The mean of w slices of independent noise has the variance v / w. Real streams remember: what is high now will
be high in the next slice too, and the mean of w slices has many times that variance. Whoever asks whether a
level *changed* must know, and must learn it from a stream that may have changed while it was learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.beneath import beneath_noise
from stream_monitor.detectors.spectrum import TINY, Spread, bins, products, spread_of_density, variance_of

ORDER_MAX = 32
PIECES = 8
SPLITS_MAX = 8
COARSE = (4, 16)
"""Values in a block."""
COARSE_MIN = 24
"""Of which a fit is made."""
SPLIT_Z = 5.0
"""What is taken for a jump while learning: a CUSUM of so many long-run standard deviations."""
RARE = 1e-9
TAILS = 4
"""Kurtosis is learned of values, and of blocks of 2, 4, .. 2^(TAILS - 1) of them."""
CHANCE = 0.5
"""Of a learned kurtosis or skewness so much of a standard deviation is taken for chance."""


@dataclass(frozen=True, slots=True)
class Autoregression:
    """Fitted to S series of ``length`` values.

    ``filters`` (P + 1, S): 1, -phi_1, .. -phi_P, the filter that leaves white noise of variance ``power``.
    ``criterion`` (S,): BIC, the smaller the better.
    """

    filters: Float64s
    power: Float64s
    criterion: Float64s
    length: int

    def variance(self, window: float) -> Float64s:
        """Of the mean of so many values, (S,); never less than without memory."""
        return variance_of(self._density(bins()[0]), window)

    def spread(self, windows: Float64s | Int64s, steps: Float64s | Int64s) -> Spread:
        """Of windows of these lengths, each looked at every ``steps`` values. Its spectrum at zero has the
        freedom L / (2 + 2 D)."""
        width = bins()[1]
        density = self._density(bins()[0])
        whole = np.maximum(products(width[None], density)[0], TINY)
        inflation = np.maximum(np.pi * density[0] / whole, 1.0)
        return spread_of_density(density, windows, steps, self.length / (2.0 + 2.0 * inflation), self.length)

    def _density(self, frequencies: Float64s) -> Float64s:
        """The spectrum, (F, S): flat where nothing is remembered."""
        power, remembers = np.maximum(self.power, TINY), np.flatnonzero(self.filters[1:].any(axis=0))
        found = np.tile(power / np.pi, (len(frequencies), 1))
        response = self._response(frequencies, remembers)
        found[:, remembers] = power[remembers] / np.maximum(response, 1e-12) / np.pi
        return found

    def _response(self, frequencies: Float64s, signals: Int64s) -> Float64s:
        """What the filters of these signals make of the power at each frequency, (F, s)."""
        order = int(np.flatnonzero(self.filters.any(axis=1))[-1])
        filters = self.filters[: order + 1, signals]
        real, imaginary = np.zeros((2, len(frequencies), filters.shape[1]))
        for lag, one in enumerate(filters):
            angle = lag * frequencies[:, None]
            real += np.cos(angle) * one
            imaginary += np.sin(angle) * one
        found: Float64s = real * real + imaginary * imaginary
        return found


def autoregression(x: Float64s) -> Autoregression:
    """Fit one to each of the demeaned series ``x`` (L, S), of the order that BIC prefers.

    Cost: O(L S ORDER_MAX). Source: Burg, Maximum Entropy Spectral Analysis, Stanford 1975; Schwarz 1978.
    """
    length = len(x)
    order_max = int(min(ORDER_MAX, 10 * np.log10(length), length // 10))
    forward, backward, power = x[1:], x[:-1], np.mean(x * x, axis=0)
    filters = np.zeros((order_max + 1, x.shape[1]))
    filters[0] = 1.0
    best = length * np.log(np.maximum(power, TINY))
    best_filters, best_power = filters.copy(), power
    for order in range(1, order_max + 1):
        both = (forward * forward + backward * backward).sum(axis=0)
        cross = (forward * backward).sum(axis=0)
        reflection = np.divide(-2.0 * cross, both, out=np.zeros_like(both), where=both > 0)
        filters[1 : order + 1] += reflection * filters[order - 1 :: -1][:order]
        power = power * (1.0 - reflection * reflection)
        criterion = length * np.log(np.maximum(power, TINY)) + order * np.log(length)
        better = criterion < best
        best_filters = np.where(better, filters, best_filters)
        best_power, best = np.where(better, power, best_power), np.where(better, criterion, best)
        forward, backward = forward[1:] + reflection * backward[1:], backward[:-1] + reflection * forward[:-1]
    return Autoregression(best_filters, best_power, best, length)


def spread_of(x: Float64s, windows: Int64s, steps: Int64s) -> Spread:
    """Of windows of the demeaned series ``x`` (L, S), each looked at every ``steps`` values.

    By the autoregression, or by the memory beneath noise where that fits better (see Beneath). What both miss
    is seen in means of blocks: where the fit to them gives a window clearly more variance, it has that.
    """
    x, place = _moving(x)
    fit, beneath = autoregression(x), beneath_noise(x)
    found = fit.spread(windows, steps)
    if beneath is not None:
        better = beneath.criterion < fit.criterion
        other = beneath.spread(windows, steps)
        found = Spread(*(np.where(better, new, old) for new, old in zip(other, found, strict=True)))
    for size, means in _blocks(x):
        long = windows >= size
        coarse = autoregression(means).spread(windows[long] / size, np.ones(long.sum()))
        clearly = 1.0 + np.sqrt(2.0 / coarse.freedom)
        greater = coarse.variance > clearly * found.variance[long]
        found.variance[long] = np.where(greater, coarse.variance, found.variance[long])
        found.freedom[long] = np.where(greater, coarse.freedom, found.freedom[long])
    return Spread(*(one[:, place] for one in found))


def _moving(x: Float64s) -> tuple[Float64s, Int64s]:
    """Two series of zeros and those of ``x`` (L, S) that are none; and which of them each of ``x`` is, (S,).

    Of what never goes wrong there is much, and its rates are all alike.
    """
    moves = x.any(axis=0)
    found = np.zeros((len(x), 2 + np.count_nonzero(moves)))
    found[:, 2:] = x[:, moves]
    return found, np.where(moves, 1 + np.cumsum(moves), 0)


def _blocks(x: Float64s) -> Iterator[tuple[int, Float64s]]:
    """Means of so many values of each series, where there are enough of them."""
    for size in COARSE:
        blocks = len(x) // size
        if blocks >= COARSE_MIN:
            yield size, x[: blocks * size].reshape(blocks, size, -1).mean(axis=1)


def freedom_of_tails(x: Float64s, windows: Float64s) -> Float64s:
    """Of the Student t that has the tails of means of windows, (W, S); ``windows`` in values of ``x`` (L, S).

    Means of few values have the tails of what they are means of: a slice that holds one excursion of a stream
    with a long memory is no mean at all. Kurtosis and skewness are those of blocks, less what chance gives,
    and halve with each doubling beyond what the series can tell.
    """
    excess = []
    for doubled in range(TAILS):
        blocks = len(x) >> doubled
        means = x[: blocks << doubled].reshape(blocks, 1 << doubled, -1).mean(axis=1)
        z = means - means.mean(axis=0)
        z /= np.sqrt(np.maximum(np.mean(z * z, axis=0), TINY))
        kurtosis = np.mean(z**4, axis=0) - 3.0 - CHANCE * np.sqrt(24.0 / blocks)
        skewness = np.mean(z**3, axis=0) ** 2 - CHANCE * 6.0 / blocks
        excess.append(np.maximum(np.maximum(kurtosis, 1.5 * skewness), 0.0))
    doublings = np.log2(windows)
    known = np.clip(doublings.round().astype(np.int64), 0, TAILS - 1)
    # Of longer blocks there are few, and no mean has heavier tails than what it is of.
    left = np.minimum.accumulate(excess)[known] * 2.0 ** (known - doublings)[:, None]
    found: Float64s = 4.0 + 6.0 / np.maximum(left, TINY)
    return found


def demeaned(x: Float64s) -> tuple[Float64s, Int64s]:
    """Series (L, S) less the mean of each of their pieces between jumps, and how many jumps they have.

    A jump is where the CUSUM is higher than SPLIT_Z; its scale is the median of the long-run variances of
    PIECES pieces, of which a jump spoils one. Source: iterated CUSUM, Inclan and Tiao, JASA 89, 1994.
    """
    length, series = x.shape
    size = length // PIECES
    pieces = [x[at * size : (at + 1) * size] for at in range(PIECES)]
    variances = [size * _variance(piece - piece.mean(axis=0)) for piece in pieces]
    usual = np.median(variances, axis=0)
    # What is rare is in few pieces, but it is no jump.
    usual = np.where(usual > RARE * np.mean(variances, axis=0), usual, np.mean(variances, axis=0))
    scale = np.sqrt(np.maximum(usual, TINY))
    residuals = x - x.mean(axis=0)
    jumps = np.zeros(series, np.int64)
    for at in np.flatnonzero(_cusum(x, scale).max(axis=0) > SPLIT_Z).tolist():
        ends = _pieces(x[:, at], float(scale[at]), size // 2)
        jumps[at] = len(ends) - 1
        parts = np.split(x[:, at], ends[:-1])
        residuals[:, at] = np.concatenate([part - part.mean() for part in parts])
    return residuals, jumps


def _variance(x: Float64s) -> Float64s:
    """Of the mean of demeaned series (L, S): the greatest that a fit gives it."""
    x, place = _moving(x)
    found = autoregression(x).variance(len(x))
    for size, means in _blocks(x):
        found = np.maximum(found, autoregression(means).variance(len(x) / size))
    return found[place]


def _cusum(x: Float64s, scale: Float64s | float) -> Float64s:
    """Its height after 1, .. L - 1 values, in its own standard deviations there."""
    length = len(x)
    k = np.arange(1, length).reshape(-1, *[1] * (x.ndim - 1))
    sums = np.cumsum(x - x.mean(axis=0), axis=0)[:-1]
    height: Float64s = np.abs(sums) / (scale * np.sqrt(k * (length - k) / length))
    return height


def _pieces(x: Float64s, scale: float, least: int) -> list[int]:
    """The ends of the pieces of a series: it is cut where its CUSUM is highest, and then its parts are."""
    ends, unseen = list[int](), [(0, len(x))]
    while unseen:
        first, end = unseen.pop()
        if end - first >= 2 * least and len(ends) + len(unseen) < SPLITS_MAX:
            height = _cusum(x[first:end], scale)[least - 1 : end - first - least]
            if height.max() > SPLIT_Z:
                cut = first + least + int(height.argmax())
                unseen += [(cut, end), (first, cut)]
                continue
        ends.append(end)
    return sorted(ends)

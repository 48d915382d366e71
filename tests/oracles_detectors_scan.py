"""A slow twin of the scan, from the published formulas: one signal, plain Python, every sum anew."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from stream_monitor.detectors.spectrum import EDGES as GRID
from tests.oracles_detectors import Slice

SIZES = (1, 2, 3, 4, 6, 8, 12, 16)
EDGES = GRID.tolist()
"""Of the integral over the spectrum: the grid is taken over, and judged by tests of the closed form."""


TINY = 1e-100


class Window(NamedTuple):
    """What is known of the windows of ``size`` blocks of 2^``level`` slices."""

    level: int
    size: int
    between: float
    turnover: float
    freedom: float


class ScanTwin:
    """The scan; keeps every slice."""

    def __init__(
        self, *, run_length: float, learn: int, dead: float = 0.0, share: bool = False, steps_max: int = 1_024
    ) -> None:
        self.run_length, self.learn, self.dead, self.share = run_length, learn, dead, share
        self.steps_max = steps_max
        self.index, self.count, self.begin = -1, 0, 0
        self.learned: list[Slice] = []
        self.seen: list[tuple[int, Slice]] = []
        self.windows: list[Window] = []
        self.heights: list[float] = []

    def update(self, one: Slice) -> tuple[int, int, float] | None:
        """None, or of the window that passed most its first slice, events and mean."""
        self.index += 1
        if one.n == 0:
            return None
        if not self.windows:
            self.learned.append(one)
            if len(self.learned) == self.learn:
                self._know()
            return None
        self.count += 1
        self.seen.append((self.index, one))
        best, told = 1.0, None
        for window, height in zip(self.windows, self.heights, strict=True):
            if self.count % 2**window.level == 0:
                length = window.size * 2**window.level
                latest = [pair for pair in self.seen[-length:] if pair[0] >= self.begin]
                n, mean, ratio = self._ratio(window, height, [pair[1] for pair in latest])
                if ratio > best:
                    best, told = ratio, (latest[0][0], round(n), mean)
        if told is not None:
            self.begin = self.index + 1
        return told

    def _ratio(self, window: Window, height: float, slices: list[Slice]) -> tuple[float, float, float]:
        n = sum(one.n for one in slices)
        mean = sum(one.n * one.mean for one in slices) / n
        length = window.size * 2**window.level
        uneven = length * sum(one.n**2 for one in slices) / n**2
        variance = self.within / n + window.between * uneven + self.error
        squared = max(abs(mean - self.mean) - self.dead, 0.0) ** 2
        if self.share:
            least = 1 / self.n
            low, high = max(self.mean - self.dead, least), min(self.mean + self.dead, 1 - least)
            null = min(max(mean, low), high)
            squared = 2 * self.within * (_gain(mean, null) + _gain(1 - mean, 1 - null))
        return n, mean, squared / variance / height**2

    def _know(self) -> None:
        slices, level = self.learned, 0
        while len(slices) >> level >= self.steps_max:
            level += 1
        steps = _blocks(slices, 2**level)
        self.n = sum(n for n, _ in steps)
        self.mean = sum(total for _, total in steps) / self.n
        spare = sum(max(one.n - 1, 0.0) for one in slices)
        self.within = sum(one.m2 for one in slices) / spare if spare else 0.0
        if self.share:
            rate = min(max(self.mean, 1 / self.n), 1 - 1 / self.n)
            self.within = rate * (1 - rate)
        coarse = self._coarse(level, steps)
        fine = self._fine(level, slices, coarse) if level else []
        if level:
            coarse = [one for one in coarse if one.level > level or one.size > 8]
        self.windows = [
            one
            if self.share
            else one._replace(
                freedom=1 / (1 / one.freedom + 1 / tails(self.scaled, one.size * 2.0 ** (one.level - level)))
            )
            for one in fine + coarse
        ]
        last = coarse[-1]
        uneven = sum((n / self.n) ** 2 for n, _ in steps) / 2**level
        self.error = self.within / self.n + last.size * 2**last.level * last.between * uneven
        weights = [self._weight(one) for one in self.windows]
        whole = 0.7 * self.run_length * (sum(weights) + 0.001)
        self.heights = [
            height_of(one, 2**one.level * weight / whole)
            for one, weight in zip(self.windows, weights, strict=True)
        ]

    def _fine(self, level: int, slices: list[Slice], coarse: list[Window]) -> list[Window]:
        """Looked at within steps of 2^``level`` slices. Of the sum over w slices, for which there is no
        variance, it is the middle between that over 2/3 w and over 4/3 w."""
        of = {one.size << one.level: one for one in coarse}
        step = of[1 << level]
        sums = {length: one.between * length**2 for length, one in of.items()}
        between = step.between
        for down in reversed(range(level)):
            blocks = _blocks(slices, 2**down)
            pairs = [(blocks[at], blocks[at + 1]) for at in range(0, len(blocks) - 1, 2)]
            differ = sum((b[1] / b[0] - a[1] / a[0]) ** 2 for a, b in pairs)
            sampled = self.within * sum(1 / a[0] + 1 / b[0] for a, b in pairs)
            between += max(differ - sampled, 0.0) / len(pairs) / 4
            sums[1 << down] = between * 4**down
        found = []
        for down in range(level):
            for size in SIZES if down == 0 else (12, 16):
                length = size << down
                if length not in sums:
                    sums[length] = (sums[length * 2 // 3] + sums[length * 4 // 3]) / 2
                like = of[length] if length % 2**level == 0 else step
                turnover = 2**down / (2**level * 1.0) * like.turnover if length >= 2**level else 1 / size
                found.append(Window(down, size, sums[length] / length**2, turnover, like.freedom))
        return found

    def _weight(self, one: Window) -> float:
        """Less the further what a window finds is from shifts of .05 to 2 standard deviations of an event."""
        n = one.size * 2**one.level * self.n / len(self.learned)
        event = math.sqrt(self.within + self.windows[0].between)
        found = 4.5 * math.sqrt(self.within / n + one.between) / event
        return max(min(1.0, found / 0.05, 2.0 / found), 0.001)

    def _coarse(self, level: int, steps: list[tuple[float, float]]) -> list[Window]:
        residuals = demeaned([total / n for n, total in steps])
        sampling = [self.within / n for n, _ in steps]
        excess = (
            sum(n * (r * r - s) for (n, _), r, s in zip(steps, residuals, sampling, strict=True)) / self.n
        )
        raw = [math.sqrt(one + max(excess, 0.0)) for one in sampling]
        root = math.sqrt(fmean(one * one for one in raw))
        scale = [one / root for one in raw]
        self.scaled = [r / s for r, s in zip(residuals, scale, strict=True)]
        fits = all_fits(self.scaled)
        white = fmean(v / s**2 for v, s in zip(sampling, scale, strict=True))
        share = fmean(1 / s**2 for s in scale)
        left = share**2 / fmean(1 / s**4 for s in scale)
        found = []
        for up in range(9):
            for size in SIZES if up == 0 else (12, 16):
                length = size * 2**up
                variance, turnover, freedom = spread_of(fits, length, 2**up)
                between = max(variance - white / length, 0.0) / share
                found.append(Window(level + up, size, between, turnover, freedom * left))
        return found


def _gain(rate: float, null: float) -> float:
    return rate * math.log(rate / null) if rate > 0 else 0.0


def _blocks(slices: list[Slice], length: int) -> list[tuple[float, float]]:
    """Events and sum of every ``length`` slices, as far as they go."""
    whole = [slices[at : at + length] for at in range(0, len(slices) - length + 1, length)]
    return [(sum(one.n for one in part), sum(one.n * one.mean for one in part)) for part in whole]


def burg(x: list[float]) -> tuple[float, list[float], float]:
    """BIC, 1, -phi_1, .. -phi_p and the power, of the order p that BIC prefers."""
    length = len(x)
    forward, backward, taps, power = x[1:], x[:-1], [1.0], fmean(v * v for v in x)
    if power == 0:
        return -math.inf, taps, TINY
    best = length * math.log(power), taps, power
    for order in range(1, int(min(32, 10 * math.log10(length), length // 10)) + 1):
        cross = sum(f * b for f, b in zip(forward, backward, strict=True))
        k = -2 * cross / sum(f * f + b * b for f, b in zip(forward, backward, strict=True))
        taps = [one + k * other for one, other in zip([*taps, 0.0], [0.0, *reversed(taps)], strict=True)]
        power *= 1 - k * k
        best = min(best, (length * math.log(power) + order * math.log(length), taps, power))
        both = list(zip(forward, backward, strict=True))
        forward, backward = [f + k * b for f, b in both][1:], [b + k * f for f, b in both][:-1]
    return best


def remembering(phi: float, share: float, w: float) -> float:
    """The spectrum of noise and an autoregression of order 1 that has ``share`` of the variance."""
    return max(1 - share + share * (1 - phi * phi) / abs(1 - phi * cmath.exp(1j * w)) ** 2, 1e-6)


def whittle(x: list[float]) -> tuple[float, float, float, float] | None:
    """BIC, phi, share and variance of the best of a grid, by the periodogram in at most 96 bands."""
    length, half = len(x), (len(x) + 1) // 2 - 1
    if length < 64 or not any(x):
        return None
    power = [
        abs(sum(v * cmath.exp(-2j * math.pi * at * t / length) for t, v in enumerate(x))) ** 2 / length
        for at in range(1, half + 1)
    ]
    starts = sorted({int(half ** (at / 95) + 1e-9) for at in range(96)})
    bands = list(pairwise([*starts, half + 1]))
    sums = [sum(power[first - 1 : end - 1]) for first, end in bands]
    best = (math.inf, 0.0, 0.0, 0.0)
    for at in range(14):
        memory = 1.1 * (length / 20 / 1.1) ** (at / 13)
        phi = (memory - 1) / (memory + 1)
        for part in range(14):
            share = (1 + phi) / (2 * phi) / (1 + math.exp(4.5 - part * 7.5 / 13))
            of = [remembering(phi, share, math.pi * (first + end - 1) / length) for first, end in bands]
            variance = sum(s / f for s, f in zip(sums, of, strict=True)) / half
            logs = sum((end - first) * math.log(f) for (first, end), f in zip(bands, of, strict=True))
            bic = length * (math.log(variance) + logs / half) + math.log(length)
            best = min(best, (bic, phi, share, variance))
    return best


def spread(
    density: Callable[[float], float], length: int, window: float, step: float, at_zero: float | None = None
) -> tuple[float, float, float]:
    """Variance of the mean of a window, 1 - its correlation with the next one, degrees of freedom.

    ``at_zero``: of the spectrum at zero; None: L / (2 + 2 D).
    """
    variance = shifted = whole = squares = 0.0
    for low, high in pairwise(EDGES):
        w, width = (low + high) / 2, high - low
        of = density(w) / math.pi
        kernel = (math.sin(window * w / 2) / (window * math.sin(w / 2))) ** 2
        variance += kernel * of * width
        shifted += kernel * of * math.cos(step * w) * width
        squares += math.pi * kernel**2 * of**2 * width
        whole += of * width
    if at_zero is None:
        at_zero = length / (2 + 2 * max(density((EDGES[0] + EDGES[1]) / 2) / whole, 1.0))
    freedom = max(length / max(squares / variance**2, 1.0), at_zero)
    return max(variance, whole / window), min(max(1 - shifted / variance, 1e-9), 1.0), freedom


def tails(x: list[float], window: float) -> float:
    """Of the Student t with the excess kurtosis of means of windows, which halves where they double."""
    doubled = min(max(round(math.log2(window)), 0), 3)
    excess = min(_excess(x, 1 << doubling) for doubling in range(doubled + 1))
    return 4 + 6 / max(excess * 2.0**doubled / window, 1e-200)


def _excess(x: list[float], size: int) -> float:
    means = [fmean(x[at : at + size]) for at in range(0, len(x) - size + 1, size)]
    centre, n = fmean(means), len(means)
    second, third, fourth = (fmean((one - centre) ** power for one in means) for power in (2, 3, 4))
    kurtosis, skewness = (fourth / second**2 - 3, third**2 / second**3) if second else (-3.0, 0.0)
    return max(kurtosis - 0.5 * math.sqrt(24 / n), 1.5 * (skewness - 0.5 * 6 / n), 0.0)


class Fit(NamedTuple):
    """To means of blocks of ``size`` values: the spectrum, and ``at_zero`` its freedom there."""

    size: int
    density: Callable[[float], float]
    length: int
    at_zero: float | None

    def spread(self, window: int, step: int) -> tuple[float, float, float]:
        of = step if self.size == 1 else 1
        return spread(self.density, self.length, window / self.size, of, self.at_zero)


def autoregressions(x: list[float]) -> list[Fit]:
    """To values, and to the means of blocks of 4 and 16 if there are 24."""
    means = {
        size: [fmean(x[at : at + size]) for at in range(0, len(x) - size + 1, size)] for size in (1, 4, 16)
    }
    return [
        Fit(size, _of_taps(*burg(of)[1:]), len(of), None)
        for size, of in means.items()
        if size == 1 or len(of) >= 24
    ]


def _of_taps(taps: list[float], power: float) -> Callable[[float], float]:
    return lambda w: power / abs(sum(tap * cmath.exp(1j * w * at) for at, tap in enumerate(taps))) ** 2


def all_fits(x: list[float]) -> list[Fit]:
    """The same, but that to values is of a memory beneath noise where this is better."""
    fine, *coarse = autoregressions(x)
    beneath = whittle(x)
    if beneath is None or beneath[0] >= burg(x)[0]:
        return [fine, *coarse]
    _, phi, share, variance = beneath
    memory = (1 + phi) / (1 - phi)
    part = min(max(share * memory / (1 - share + share * memory), 0.0), 1.0)
    apart = 2 - min(share, 1)
    at_zero = len(x) / (part**2 * apart * (4 + 4 * memory) + (1 - part) ** 2 * 2)
    return [Fit(1, lambda w: variance * remembering(phi, share, w), len(x), at_zero), *coarse]


def spread_of(fits: list[Fit], window: int, step: int) -> tuple[float, float, float]:
    """Of a window by the fit to values, unless one to blocks has clearly more variance."""
    variance, turnover, freedom = fits[0].spread(window, step)
    for fit in fits[1:]:
        if window >= fit.size:
            greater, _, its = fit.spread(window, step)
            if greater > variance * (1 + math.sqrt(2 / its)):
                variance, freedom = greater, its
    return variance, turnover, freedom


def demeaned(x: list[float]) -> list[float]:
    """Less the mean of each piece between jumps."""
    size = len(x) // 8
    pieces = [x[at * size : (at + 1) * size] for at in range(8)]
    centred = [[v - fmean(piece) for v in piece] for piece in pieces]
    pieces_of = [
        size * max(fit.spread(size, 1)[0] for fit in autoregressions(piece) if fit.size <= size)
        for piece in centred
    ]
    usual = median(pieces_of)
    scale = math.sqrt(usual if usual > 1e-9 * fmean(pieces_of) else fmean(pieces_of))
    ends, todo = list[int](), [(0, len(x))]
    while todo:
        first, end = todo.pop()
        part, least = x[first:end], size // 2
        if len(part) >= 2 * least and len(ends) + len(todo) < 8:
            mean, at = fmean(part), range(least, len(part) - least)
            heights = [
                abs(sum(part[:k]) - k * mean) / (scale * math.sqrt(k * (len(part) - k) / len(part)))
                for k in at
            ]
            if heights and max(heights) > 5:
                cut = first + at[heights.index(max(heights))]
                todo += [(cut, end), (first, cut)]
                continue
        ends.append(end)
    starts = [0, *sorted(ends)]
    return [v - fmean(x[first:end]) for first, end in pairwise(starts) for v in x[first:end]]


def height_of(window: Window, rate: float) -> float:
    """Where Gaussian noise of that turnover is newly found beyond at that rate; for an estimated variance."""
    low, high = 2.0, 40.0
    for _ in range(60):
        h = (low + high) / 2
        half = h * math.sqrt(2 * window.turnover) / 2
        overshoot = (_phi(half) - 0.5) / half / (half * _phi(half) + _density(half))
        if 2 * h * _density(h) * window.turnover * overshoot > rate:
            low = h
        else:
            high = h
    return math.sqrt(window.freedom * math.expm1(high * high / window.freedom))


def _phi(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

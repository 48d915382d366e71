"""A slow twin of the scan, from the published formulas: one signal, plain Python, every sum anew."""

from __future__ import annotations

import math
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
        fine: list[Window] = []
        between = coarse[0].between
        for down in reversed(range(level)):
            blocks = _blocks(slices, 2**down)
            pairs = [(blocks[at], blocks[at + 1]) for at in range(0, len(blocks) - 1, 2)]
            differ = sum((b[1] / b[0] - a[1] / a[0]) ** 2 for a, b in pairs)
            sampled = self.within * sum(1 / a[0] + 1 / b[0] for a, b in pairs)
            between += max(differ - sampled, 0.0) / len(pairs) / 4
            fine.insert(0, Window(down, 1, between, 1.0, coarse[0].freedom))
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
        whole = 0.5 * self.run_length * (sum(weights) + 0.001)
        self.heights = [
            height_of(one, 2**one.level * weight / whole)
            for one, weight in zip(self.windows, weights, strict=True)
        ]

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


def burg(x: list[float]) -> tuple[list[float], float]:
    """1, -phi_1, .. -phi_p and the power, of the order p that BIC prefers."""
    length = len(x)
    forward, backward, taps, power = x[1:], x[:-1], [1.0], fmean(v * v for v in x)
    if power == 0:
        return taps, TINY
    best = length * math.log(power), taps, power
    for order in range(1, int(min(32, 10 * math.log10(length), length // 10)) + 1):
        cross = sum(f * b for f, b in zip(forward, backward, strict=True))
        k = -2 * cross / sum(f * f + b * b for f, b in zip(forward, backward, strict=True))
        taps = [one + k * other for one, other in zip([*taps, 0.0], [0.0, *reversed(taps)], strict=True)]
        power *= 1 - k * k
        best = min(best, (length * math.log(power) + order * math.log(length), taps, power))
        both = list(zip(forward, backward, strict=True))
        forward, backward = [f + k * b for f, b in both][1:], [b + k * f for f, b in both][:-1]
    return best[1], best[2]


def spread(
    taps: list[float], power: float, length: int, window: float, step: int
) -> tuple[float, float, float]:
    """Variance of the mean of a window, 1 - its correlation with the next one, degrees of freedom."""
    variance = shifted = whole = squares = 0.0
    first = None
    for low, high in pairwise(EDGES):
        w, width = (low + high) / 2, high - low
        real = sum(tap * math.cos(w * at) for at, tap in enumerate(taps))
        imaginary = sum(tap * math.sin(w * at) for at, tap in enumerate(taps))
        density = power / (real**2 + imaginary**2) / math.pi
        kernel = (math.sin(window * w / 2) / (window * math.sin(w / 2))) ** 2
        variance += kernel * density * width
        shifted += kernel * density * math.cos(step * w) * width
        squares += math.pi * kernel**2 * density**2 * width
        whole += density * width
        first = density if first is None else first
    assert first is not None
    inflation = max(math.pi * first / whole, 1.0)
    freedom = length / min(max(squares / variance**2, 1.0), 2 + 2 * inflation)
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


Fit = tuple[int, list[float], float, int]


def all_fits(x: list[float]) -> list[Fit]:
    """To values, and to the means of blocks of 4 and 16 if there are 24: size, taps, power, length."""
    means = {
        size: [fmean(x[at : at + size]) for at in range(0, len(x) - size + 1, size)] for size in (1, 4, 16)
    }
    return [(size, *burg(of), len(of)) for size, of in means.items() if size == 1 or len(of) >= 24]


def spread_of(fits: list[Fit], window: int, step: int) -> tuple[float, float, float]:
    """The greatest variance that a fit gives a window, and the freedom of that one."""
    _, taps, power, length = fits[0]
    variance, turnover, freedom = spread(taps, power, length, window, step)
    for size, taps, power, length in fits[1:]:
        if window >= size:
            greater, _, its = spread(taps, power, length, window / size, 1)
            variance, freedom = max((variance, freedom), (greater, its))
    return variance, turnover, freedom


def demeaned(x: list[float]) -> list[float]:
    """Less the mean of each piece between jumps."""
    size = len(x) // 8
    pieces = [x[at * size : (at + 1) * size] for at in range(8)]
    centred = [[v - fmean(piece) for v in piece] for piece in pieces]
    pieces_of = [size * spread_of(all_fits(piece), size, 1)[0] for piece in centred]
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

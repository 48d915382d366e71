"""Drift of numeric signals: the slice's values ranked in the reference.

With r the rank of a value in the reference and u = 2 r - 1, the scores are the means of the Legendre
polynomials P1 (location), P2 (spread), P3 (skew) and P4 (tails) of u, orthogonal under the reference,
and the rates above its maximum and below its minimum. They are bounded, so no outlier can dominate.

Where a signal is far from zero with a small spread (a year, kelvin) the histogram has a handful of bins,
and location is watched on the fine codes instead, in standard deviations of the reference.

Where it has two values only (a flag, an error that is 0 or 1) all polynomials say the same. Then location is
the share of the larger value, and the others are not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit, places, rates
from stream_monitor.events import Float64s, Int64s
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.codes import BINS, ZERO_BIN, fine_codes
from stream_monitor.summary.summary import Count, Summary

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal

NAME = "drift"
POLYNOMIALS = ("location", "spread", "skew", "tails")
BEYOND = ("above_maximum", "below_minimum")
SCORES = len(POLYNOMIALS) + len(BEYOND)
FAR_OUT = ("skew", "tails", *BEYOND)
"""What an excursion of the signal moves more than all else does."""
NARROW_BINS = 12
"""A signal whose reference occupies at most this many bins, all of one sign, is located by fine codes."""
NARROW_SD_CODES = 1.2
"""Below this standard deviation, in units of g = fine code >> 8, a changing signal cannot be seen."""


class NumericMeasure:
    """Scores of all numeric signals of a reference. Cost: a few vector operations over occupied bins."""

    def __init__(self, reference: Reference, min_effect: MinEffect) -> None:
        kinds = reference.kinds
        self._signals = tuple(sorted(name for name, kind in kinds.items() if kind is Kind.NUMBER))
        self._position = {name: position for position, name in enumerate(self._signals)}
        self._keys, self._counts, where = self._local(reference.summary)
        k = len(self._signals)
        self._total = np.bincount(where, self._counts, k)
        self._before = np.concatenate(([0.0], np.cumsum(self._counts)))
        self._base = np.concatenate(([0.0], np.cumsum(self._total)))[:-1]
        bins = self._keys % BINS
        self._lowest, self._highest = np.full(k, BINS), np.full(k, -1)
        np.minimum.at(self._lowest, where, bins)
        np.maximum.at(self._highest, where, bins)
        self._find_narrow(reference.summary, np.bincount(where, minlength=k))
        one, three = np.ones(k, np.bool_), ~self._binary
        self._watched = np.concatenate((one, three, three, three, one, one))
        self.scores = self._scores(min_effect)

    def _scores(self, min_effect: MinEffect) -> list[Score]:
        of_share = min(min_effect.location, min_effect.share)
        units = [Unit.SD if signal in self._narrow else Unit.RANK for signal in self._signals]
        found = [
            Score(NAME, signal, "location", Unit.SHARE, of_share)
            if binary
            else Score(NAME, signal, "location", unit, min_effect.location)
            for signal, binary, unit in zip(self._signals, self._binary, units, strict=True)
        ]
        others = dict.fromkeys(POLYNOMIALS[1:], (Unit.RANK, min_effect.shape))
        others |= dict.fromkeys(BEYOND, (Unit.SHARE, min_effect.rate))
        found += [Score(NAME, signal, name, *of) for name, of in others.items() for signal in self._signals]
        return [score for score, watched in zip(found, self._watched, strict=True) if watched]

    @property
    def unwatchable(self) -> list[str]:
        """Signals whose spread is lost in their size (epoch milliseconds): they need `center`."""
        return [name for name, blind in zip(self._signals, self._blind, strict=True) if blind]

    def measure(self, summary: Summary) -> Observations:
        keys, counts, where = self._local(summary)
        u, bins, lowest = self._rank(keys, where), keys % BINS, self._lowest[where]
        square, k = u * u, len(self._signals)
        polynomials = np.array(
            (
                u,
                1.5 * square - 0.5,
                (2.5 * square - 1.5) * u,
                (4.375 * square - 3.75) * square + 0.375,
            )
        )
        larger, above, below = bins > lowest, bins > self._highest[where], bins < lowest
        n, *hits = _sums(where, counts * np.array((counts > 0, larger, above, below)), k)
        rate = rates(np.array(hits), n)
        total = _sums(where, counts * polynomials, k)
        mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
        m2 = _sums(where, counts * (polynomials - mean.take(where, axis=1)) ** 2, k)
        self._locate(mean[0], m2[0], rate, summary)
        found = np.broadcast_to(n, (SCORES, len(n))), (mean, rate.mean[1:]), (m2, rate.m2[1:])
        return Observations(*(np.concatenate(one, axis=None)[self._watched] for one in found))

    def _local(self, summary: Summary) -> tuple[Int64s, Float64s, Int64s]:
        """The histogram under this table's own signal numbers: keys, counts, signal number per key."""
        keys, counts = summary.histogram
        where = places(summary.signals, self._signals)[keys // BINS]
        known = where >= 0
        where = where[known]
        return where * BINS + keys[known] % BINS, counts[known].astype(np.float64), where

    def _rank(self, keys: Int64s, where: Int64s) -> Float64s:
        """u in [-1, 1]: twice the mid-rank in the reference, less 1."""
        if not len(self._keys):
            return np.zeros(len(keys))
        left = np.searchsorted(self._keys, keys)
        right = left + (self._keys.take(left, mode="clip") == keys)
        middle = (self._before[left] + self._before[right]) / 2.0 - self._base[where]
        u: Float64s = 2.0 * middle / self._total[where] - 1.0
        return u

    def _find_narrow(self, reference: Summary, occupied: Int64s) -> None:
        n, mean, variance = self._fine(reference, self._position)
        one_sign = (self._lowest > ZERO_BIN) | (self._highest < ZERO_BIN)
        self._binary = (occupied == 2) & (self._two_values(reference) | ~one_sign)
        varies = variance > 0.0
        few = (occupied <= NARROW_BINS) & one_sign & (n > 0)
        narrow = few & varies & ~self._binary
        self._narrow = {name: at for name, at in self._position.items() if narrow[at]}
        self._blind = few & self._not_constant(reference) & (np.sqrt(variance) < NARROW_SD_CODES)
        self._fine_mean = mean
        self._fine_sd = np.sqrt(np.where(varies, variance, 1.0))

    def _not_constant(self, reference: Summary) -> np.ndarray:
        found = np.zeros(len(self._signals), np.bool_)
        for row, name in enumerate(reference.signals):
            if (at := self._position.get(name)) is not None:
                found[at] = reference.minimum[row] < reference.maximum[row]
        return found

    def _two_values(self, reference: Summary) -> np.ndarray:
        """Whether all fine codes are the least or the greatest: no (g - least)(g - greatest) is below 0."""
        found = np.zeros(len(self._signals), np.bool_)
        for row, name in enumerate(reference.signals):
            if (at := self._position.get(name)) is None or not (n := int(reference.numbers[row])):
                continue
            ends = fine_codes(np.array([reference.minimum[row], reference.maximum[row]]))
            least, greatest = ends.tolist()
            total, squares = int(reference.counts[row, Count.FINE_SUM]), reference.fine_squares(row)
            found[at] = squares - (least + greatest) * total + n * least * greatest == 0
        return found

    def _fine(self, summary: Summary, wanted: Mapping[str, int]) -> tuple[Float64s, Float64s, Float64s]:
        """n, mean and variance of the fine codes of those wanted, exact until the division; (k,)."""
        k = len(self._signals)
        n, mean, variance = np.zeros(k), np.zeros(k), np.zeros(k)
        for row, (name, size) in enumerate(zip(summary.signals, summary.numbers.tolist(), strict=True)):
            at = wanted.get(name)
            if at is None or not size:
                continue
            total = int(summary.counts[row, Count.FINE_SUM])
            n[at], mean[at] = size, total / size
            variance[at] = (summary.fine_squares(row) * size - total * total) / (size * size)
        return n, mean, variance

    def _locate(self, mean: Float64s, m2: Float64s, rate: Observations, summary: Summary) -> None:
        """Write over the location by rank, (k,), where it is the first ``rate``, or that of fine codes."""
        np.copyto(mean, rate.mean[0], where=self._binary)
        np.copyto(m2, rate.m2[0], where=self._binary)
        if self._narrow:
            n, by_code, variance = self._fine(summary, self._narrow)
            at = list(self._narrow.values())
            sd = self._fine_sd[at]
            mean[at] = (by_code[at] - self._fine_mean[at]) / sd
            m2[at] = n[at] * variance[at] / sd**2


def _sums(where: Int64s, weights: Float64s, k: int) -> Float64s:
    """Of rows of weights (rows, K) by ``where``, (rows, k): floats, also where there is nothing to add."""
    return np.array([np.bincount(where, row, k) for row in weights], np.float64)


def follows(scores: Sequence[Score]) -> Int64s:
    """Of each score the number of the one that it remembers as, or -1; (scores,).

    Where a signal with a memory stays far out for a while, so do these; and that is too rare to be learned.
    """
    located = {one.signal: at for at, one in enumerate(scores) if (one.check, one.name) == (NAME, "location")}
    found = [located.get(one.signal, -1) if one.name in FAR_OUT else -1 for one in scores]
    return np.array(found, np.int64)


class Numeric:
    """Data drift of numeric features, prediction drift of numeric outputs."""

    def __call__(
        self, reference: Reference, min_effect: MinEffect, _declared: Mapping[str, Signal]
    ) -> NumericMeasure:
        return NumericMeasure(reference, min_effect)

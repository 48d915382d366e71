"""ROC AUC and average precision from histograms of scores, with the bounds that bins leave.

A bin holds scores within 1/64 of their distance from 0 or from 1, whichever is nearer: fine where scores
crowd. (Bins of 1/32 left average precisions uncertain by up to .013.) All that a histogram does not know is
the order inside a bin. So the AUC is between that of the worst order and that of the best, and what is said
is the mean of the two, which is also what ties would give.
"""

from __future__ import annotations

import math

import numpy as np

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality.figures import Figure
from stream_monitor.summary.codes import EXPONENT_MIN, FINE_PER_OCTAVE, fine_codes

_PER_OCTAVE = 64
_FINE_PER_BIN = FINE_PER_OCTAVE // _PER_OCTAVE
_HALF = (-1 - EXPONENT_MIN) * _PER_OCTAVE + 2
"""Bins 0.._HALF-1 hold scores below .5: one for 0, the octaves, and one for what float32 rounds to .5."""
SCORE_BINS = 2 * _HALF


def score_bins(scores: Float64s) -> Int64s:
    """The bin, in 0..SCORE_BINS-1, of each score in 0..1. Monotone; 0 and 1 have bins of their own."""
    below = scores < 0.5
    codes = fine_codes(np.where(below, scores, 1.0 - scores)).astype(np.int64)
    distance = (codes + _FINE_PER_BIN - 1) // _FINE_PER_BIN
    return np.where(below, distance, SCORE_BINS - 1 - distance)


def roc_auc(positives: Int64s, negatives: Int64s) -> Figure:
    """Of counts by bin. Standard error: DeLong, DeLong, Clarke-Pearson 1988, of the binned scores."""
    p, n = int(positives.sum()), int(negatives.sum())
    if p <= 0 or n <= 0:
        return Figure(None, max(p + n, 0), "lower")
    below = np.cumsum(negatives) - negatives
    pairs = p * n
    sure, tied = _product(positives, below), _product(positives, negatives)
    value = (2 * sure + tied) / (2 * pairs)
    error = None
    if p > 1 and n > 1:
        above = p - np.cumsum(positives)
        beaten, beating = (below + negatives / 2) / n, (above + positives / 2) / p
        variance = float((positives * (beaten - value) ** 2).sum()) / ((p - 1) * p)
        variance += float((negatives * (beating - value) ** 2).sum()) / ((n - 1) * n)
        error = math.sqrt(max(variance, 0.0))
    return Figure(value, p + n, "lower", error, sure / pairs, (sure + tied) / pairs)


def _product(one: Int64s, other: Int64s) -> int:
    """The sum of products of counts, of any size."""
    if int(one.sum()) * int(other.max()) < 1 << 62:
        return int(one @ other)
    return sum(x * y for x, y in zip(one.tolist(), other.tolist(), strict=True) if x)


def average_precision(positives: Int64s, negatives: Int64s) -> Figure:
    """Of counts by bin: the mean over positives of the precision at their score, with no interpolation.

    Inside a bin with p positives and n negatives, below P and N in higher bins, the precision of the i-th
    positive is at least (P + i) / (P + i + N + n) and at most (P + p) / (P + p + N). Said is what positives
    and negatives evenly mixed would give.
    """
    total = int(positives.sum())
    if total <= 0:
        return Figure(None, max(total + int(negatives.sum()), 0), "lower")
    here = np.flatnonzero(positives)[::-1]
    p, n = positives[here].astype(np.float64), negatives[here].astype(np.float64)
    above = total - np.cumsum(positives)[here].astype(np.float64)
    others = float(negatives.sum()) - np.cumsum(negatives)[here].astype(np.float64)
    high = p * (above + p) / (above + p + others)
    # 1 / (x + t) is convex: its sum over t = 1..p is at most its integral from .5 to p + .5.
    every = others + n
    low = p - every * np.log1p(p / (above + every + 0.5))
    slope = 1 + n / p
    start = above + others + 0.5
    mixed = p / slope + (above - (start - slope / 2) / slope) / slope * np.log1p(slope * p / start)
    value = np.clip(mixed, low, high)
    low_sum, value_sum, high_sum = (math.fsum(part.tolist()) / total for part in (low, value, high))
    return Figure(value_sum, total + int(negatives.sum()), "lower", None, low_sum, high_sum)

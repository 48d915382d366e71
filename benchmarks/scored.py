"""The product's scores of many streams at once: what decide would measure on the summary of each slice.

By the formulas of ``checks.numeric`` and ``checks.category``, and a test holds them against these; only that
the streams are signals of one table, and the slices of a piece are measured together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import CATEGORIES
from stream_monitor.checks.base import Score, Unit
from stream_monitor.checks.numeric import follows
from stream_monitor.checks.shares import shares
from stream_monitor.events import Float64s, Int64s
from stream_monitor.summary.codes import BINS, bins_of, fine_codes

NUMERIC = ("location", "spread", "skew", "tails", "above_maximum", "below_minimum")


class Scores(NamedTuple):
    """Of K scores and S streams in T slices of ``n`` events: ``mean`` and ``m2`` (T, K S), by score."""

    n: float
    mean: Float64s
    m2: Float64s


class Ranks:
    """Scores of numbers against a reference histogram a stream, of ``counts`` (S, BINS)."""

    names = NUMERIC
    rates = np.array([name.endswith("imum") for name in NUMERIC])

    def __init__(self, counts: Float64s) -> None:
        streams = len(counts)
        after = np.cumsum(counts, axis=1)
        u = 2.0 * (after - counts / 2.0) / after[:, -1:] - 1.0
        square = u * u
        occupied = counts > 0
        bins = np.arange(BINS)
        lowest = occupied.argmax(axis=1)[:, None]
        highest = BINS - 1 - occupied[:, ::-1].argmax(axis=1)[:, None]
        columns = (
            u,
            1.5 * square - 0.5,
            (2.5 * square - 1.5) * u,
            (4.375 * square - 3.75) * square + 0.375,
            bins > highest,
            bins < lowest,
        )
        self._table = np.stack(columns, axis=-1).reshape(streams * BINS, len(columns)).astype(np.float64)
        self._first = (np.arange(streams) * BINS)[:, None]

    @classmethod
    def learned(cls, bins: NDArray[np.int16]) -> Ranks:
        """From the bins (S, events) of healthy values."""
        return cls(np.array([np.bincount(row, minlength=BINS) for row in bins], np.float64))

    def of(self, bins: NDArray[np.int16], n: int) -> Scores:
        """``bins`` (S, T n) in slices of n events."""
        streams, events = bins.shape
        slices = events // n
        found = self._table[(bins + self._first).reshape(streams, slices, n)]
        mean = found.mean(axis=2)
        spread = np.maximum(np.einsum("stnk,stnk->stk", found, found) - n * mean * mean, 0.0)
        return Scores(float(n), *(one.transpose(1, 2, 0).reshape(slices, -1) for one in (mean, spread)))


class Flags:
    """Scores of numbers that are one of two, as in the bins (S, events) of healthy values."""

    names = ("location", "above_maximum", "below_minimum")
    rates = np.ones(3, np.bool_)

    def __init__(self, bins: NDArray[np.int16]) -> None:
        self._lowest, self._highest = bins.min(axis=1)[:, None], bins.max(axis=1)[:, None]

    def of(self, bins: NDArray[np.int16], n: int) -> Scores:
        hits = bins > self._lowest, bins > self._highest, bins < self._lowest
        return _rates([one.astype(np.float64) for one in hits], n)


class Rates:
    """The share of events that are 1."""

    names = ("rate",)
    rates = np.array([True])

    def of(self, values: NDArray[np.int16], n: int) -> Scores:
        return _rates([values.astype(np.float64)], n)


class Shares:
    """The share of each category."""

    names = tuple(f"share of {number}" for number in range(CATEGORIES))
    rates = np.ones(CATEGORIES, np.bool_)

    def of(self, values: NDArray[np.int16], n: int) -> Scores:
        return _rates([(values == number).astype(np.float64) for number in range(CATEGORIES)], n)


def _rates(hits: list[Float64s], n: int) -> Scores:
    mean = np.concatenate([one.reshape(len(one), -1, n).mean(axis=2) for one in hits]).T
    return Scores(float(n), mean, n * mean * (1.0 - mean))


def kept(scored: str, values: Float64s) -> NDArray[np.int16]:
    """What of the values is needed for their scores: two bytes each."""
    if scored != "number":
        return values.astype(np.int16)
    shape = values.shape
    return bins_of(fine_codes(np.ascontiguousarray(values).ravel())).astype(np.int16).reshape(shape)


def learned(scored: str, healthy: NDArray[np.int16]) -> Ranks | Flags | Rates | Shares:
    """The scores of a kind, from healthy values (S, events) as ``kept`` gives them."""
    if scored == "number" and all(len(np.unique(row)) == 2 for row in healthy):
        return Flags(healthy)
    if scored == "number":
        return Ranks.learned(healthy)
    return Rates() if scored == "rate" else Shares()


def parts(names: Sequence[str]) -> Float64s:
    """Of the false alarms of a stream the part of each of its scores (K,), as the product divides them."""
    return shares(_scores(names))


def followed(names: Sequence[str], streams: int) -> Int64s:
    """Which score of its stream each (K S,) follows, -1 if none."""
    leads = follows(_scores(names))[:, None]
    return np.where(leads >= 0, leads * streams + np.arange(streams), leads).ravel()


def _scores(names: Sequence[str]) -> list[Score]:
    return [Score("drift", "stream", name, Unit.RANK, 0.0) for name in names]

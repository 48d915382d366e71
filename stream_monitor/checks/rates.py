"""Data quality as rates: missing, wrong type, out of range, not finite. One score a signal each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit, counts_of, rates
from stream_monitor.events import Int64s
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.summary import Count, Summary

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal

_PRESENT = slice(Count.NUMBER, Count.OBJECT + 1)
_NOT_NUMBERS = [Count.STRING, Count.BOOL, Count.ARRAY, Count.OBJECT]
_NOT_TEXTS = [Count.NUMBER, Count.ARRAY, Count.OBJECT]
Found = tuple[Int64s, Int64s]
"""Hits, and of how many, (S,)."""


class Values(NamedTuple):
    """Of S signals in so many ``rows``: ``counts`` (S, len(Count)); how many values are ``present`` (S,), and
    how many of these are ``strange`` (S,), of a type that the reference did not find the signal to be."""

    rows: int
    counts: Int64s
    present: Int64s
    strange: Int64s


def _missing(of: Values) -> Found:
    return of.rows - of.present, np.full_like(of.present, of.rows)


def _wrong_type(of: Values) -> Found:
    """As observe judged it by the declaration, or by what the reference found the signal to be."""
    return np.maximum(of.counts[:, Count.WRONG_TYPE], of.strange), of.present


def _out_of_range(of: Values) -> Found:
    return of.counts[:, Count.OUT_OF_RANGE], of.present


def _not_finite(of: Values) -> Found:
    return of.counts[:, Count.NAN] + of.counts[:, Count.INF], of.present


class Rate:
    """A check on how often something is wrong with a value."""

    def __init__(self, name: str, hits: Callable[[Values], Found]) -> None:
        self.name = name
        self.hits = hits

    def __call__(
        self, reference: Reference, min_effect: MinEffect, _declared: Mapping[str, Signal]
    ) -> RateMeasure:
        return RateMeasure([self], reference, min_effect.rate)


class Rates:
    """Several of them, one after the other, in one pass over the counts."""

    def __init__(self, *several: Rate) -> None:
        self._rates = several

    def __call__(
        self, reference: Reference, min_effect: MinEffect, _declared: Mapping[str, Signal]
    ) -> RateMeasure:
        return RateMeasure(self._rates, reference, min_effect.rate)


class RateMeasure:
    """Scores of rates over all signals of a reference, rate by rate."""

    def __init__(self, several: Sequence[Rate], reference: Reference, dead: float) -> None:
        self._rates = several
        self._signals = tuple(sorted(reference.kinds))
        self._strange = np.zeros((len(self._signals), len(Count)), np.int64)
        for row, name in enumerate(self._signals):
            self._strange[row, _NOT_NUMBERS if reference.kinds[name] is Kind.NUMBER else _NOT_TEXTS] = 1
        self.scores = [
            Score(one.name, name, "rate", Unit.SHARE, dead) for one in several for name in self._signals
        ]

    def measure(self, summary: Summary) -> Observations:
        counts = counts_of(summary, self._signals)
        strange = (counts * self._strange).sum(axis=1)
        values = Values(summary.rows, counts, counts[:, _PRESENT].sum(axis=1), strange)
        hits, n = zip(*(one.hits(values) for one in self._rates), strict=True)
        return rates(np.concatenate(hits, dtype=np.float64), np.concatenate(n, dtype=np.float64))


MISSING = Rate("missing", _missing)
"""Absent or null, of all events."""
WRONG_TYPE = Rate("wrong_type", _wrong_type)
"""Of another JSON type than declared, or than the reference has, of all values present."""
OUT_OF_RANGE = Rate("out_of_range", _out_of_range)
"""Outside the declared range or the declared values, of all values present."""
NOT_FINITE = Rate("not_finite", _not_finite)
"""NaN or infinite, of all values present."""

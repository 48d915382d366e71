"""Data quality as rates: missing, wrong type, out of range, not finite. One score a signal each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit, counts_of, rates
from stream_monitor.events import Float64s, Int64s
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.summary import Count, Summary

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal

_NOT_NUMBERS = [Count.STRING, Count.BOOL, Count.ARRAY, Count.OBJECT]
_NOT_TEXTS = [Count.NUMBER, Count.ARRAY, Count.OBJECT]
Counts = np.ndarray[tuple[int, int], np.dtype[np.int64]]


def _missing(counts: Counts, rows: int, _numeric: np.ndarray) -> tuple[Int64s, Int64s]:
    return rows - _present(counts), np.full(len(counts), rows, np.int64)


def _present(counts: Counts) -> Int64s:
    present: Int64s = counts[:, Count.NUMBER : Count.OBJECT + 1].sum(axis=1)
    return present


def _wrong_type(counts: Counts, _rows: int, numeric: np.ndarray) -> tuple[Int64s, Int64s]:
    """As observe judged it by the declaration, or by what the reference found the signal to be."""
    undeclared = np.where(numeric, counts[:, _NOT_NUMBERS].sum(axis=1), counts[:, _NOT_TEXTS].sum(axis=1))
    return np.maximum(counts[:, Count.WRONG_TYPE], undeclared), _present(counts)


def _out_of_range(counts: Counts, _rows: int, _numeric: np.ndarray) -> tuple[Int64s, Int64s]:
    return counts[:, Count.OUT_OF_RANGE], _present(counts)


def _not_finite(counts: Counts, _rows: int, _numeric: np.ndarray) -> tuple[Int64s, Int64s]:
    return counts[:, Count.NAN] + counts[:, Count.INF], _present(counts)


class RateMeasure:
    """Scores of one rate over all signals of a reference."""

    def __init__(
        self,
        check: str,
        hits: Callable[[Counts, int, np.ndarray], tuple[Int64s, Int64s]],
        reference: Reference,
        dead: float,
    ) -> None:
        self._hits = hits
        self._signals = tuple(sorted(reference.kinds))
        self._numeric = np.array([reference.kinds[name] is Kind.NUMBER for name in self._signals], np.bool_)
        self.scores = [Score(check, name, "rate", Unit.SHARE, dead) for name in self._signals]

    def measure(self, summary: Summary) -> Observations:
        counts = counts_of(summary, self._signals)
        hits, n = self._hits(counts, summary.rows, self._numeric)
        as_float: Float64s = hits.astype(np.float64)
        return rates(as_float, n.astype(np.float64))


class Rate:
    """A check on how often something is wrong with a value."""

    def __init__(self, name: str, hits: Callable[[Counts, int, np.ndarray], tuple[Int64s, Int64s]]) -> None:
        self.name = name
        self._hits = hits

    def __call__(
        self, reference: Reference, min_effect: MinEffect, _declared: Mapping[str, Signal]
    ) -> RateMeasure:
        return RateMeasure(self.name, self._hits, reference, min_effect.rate)


MISSING = Rate("missing", _missing)
"""Absent or null, of all events."""
WRONG_TYPE = Rate("wrong_type", _wrong_type)
"""Of another JSON type than declared, or than the reference has, of all values present."""
OUT_OF_RANGE = Rate("out_of_range", _out_of_range)
"""Outside the declared range or the declared values, of all values present."""
NOT_FINITE = Rate("not_finite", _not_finite)
"""NaN or infinite, of all values present."""

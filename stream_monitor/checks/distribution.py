"""Drift of the distribution of numeric signals: the share of values up to each of a few edges.

The edges part the reference into about equal shares. The furthest that one of these shares is from the
reference's is the Kolmogorov-Smirnov distance, on a grid. Watched by ``ks``, every edge and window at once,
they show what hides between the polynomials of ``numeric``: values that pile up at a limit, or are rounded;
one value that many events have, and that moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit, rates
from stream_monitor.events import Float64s, Int64s
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.codes import BINS, bin_value
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal

NAME = "distribution"
PARTS = 16
LEAST = 1.0 / (2 * PARTS)
"""An edge leaves so much on both sides. What is further out is told by the rates beyond the extremes."""


class DistributionMeasure:
    """Scores of all numeric signals of a reference, at most PARTS - 1 each: fewer where many events share a
    value, or all are in a handful of bins. ``edges`` (scores,): the last bin of each share. Cost: three
    look-ups an edge in the bins of the slice.
    """

    def __init__(self, reference: Reference, min_effect: MinEffect) -> None:
        self._signals = sorted(name for name, kind in reference.kinds.items() if kind is Kind.NUMBER)
        edges = [_edges(reference.summary, name) for name in self._signals]
        self._of: Int64s = np.repeat(np.arange(len(edges)), [len(bins) for bins in edges])
        self.edges: Int64s = np.concatenate([np.zeros(0, np.int64), *edges])
        names = [self._signals[of] for of in self._of.tolist()]
        self.scores = [
            Score(NAME, name, _told(edge, reference.centers.get(name, 0.0)), Unit.SHARE, min_effect.share)
            for name, edge in zip(names, bin_value(self.edges).tolist(), strict=True)
        ]

    def measure(self, summary: Summary) -> Observations:
        rows = {name: row for row, name in enumerate(summary.signals)}
        # A signal that is not there would come behind the last one, where no value is.
        first = np.array([rows.get(name, len(rows)) for name in self._signals], np.int64)[self._of] * BINS
        keys, counts = summary.histogram
        before = np.concatenate(([0.0], np.cumsum(counts)))
        begin, edge, end = before[np.searchsorted(keys, (first, first + self.edges + 1, first + BINS))]
        return rates(edge - begin, end - begin)


def _edges(reference: Summary, name: str) -> Int64s:
    """The bins after which one part ends and the next one begins, (E,), ascending."""
    keys, counts = reference.histogram
    first = reference.signals.index(name) * BINS
    begin, end = np.searchsorted(keys, (first, first + BINS))
    share: Float64s = np.cumsum(counts[begin:end]) / max(int(counts[begin:end].sum()), 1)
    possible = np.flatnonzero((share >= LEAST) & (share <= 1.0 - LEAST))
    if not possible.size:
        return np.zeros(0, np.int64)
    wanted = np.arange(1, PARTS)[:, None] / PARTS
    nearest = np.unique(np.abs(share[possible] - wanted).argmin(axis=1))
    edges: Int64s = keys[begin:end][possible[nearest]] - first
    return edges


def _told(edge: float, center: float) -> str:
    """An edge is known as a bin is, within 1/64."""
    return f"share up to {center + float(f'{edge:.4g}'):.12g}"


class Distribution:
    """Drift of numeric features and outputs, whatever its shape."""

    def __call__(
        self, reference: Reference, min_effect: MinEffect, _declared: Mapping[str, Signal]
    ) -> DistributionMeasure:
        return DistributionMeasure(reference, min_effect)

"""The values of the last slices, so that a finding can say before and after in the signal's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_monitor.checks.base import places
from stream_monitor.events import Float64s
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.codes import BINS, bin_value
from stream_monitor.summary.summary import Count, Summary

SLICES_MAX = 64
ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding leaves of none."""
_VALUES = np.asarray(bin_value(np.arange(BINS)), np.float64)


class History:
    """n, sum and sum of squares of each numeric signal, for the last SLICES_MAX slices that had events.

    Exact where the reference file gave a grid; else from the histogram, within 1/64 of each value.
    Memory: 24 bytes x signals x SLICES_MAX.
    """

    def __init__(self, reference: Reference, centers: Mapping[str, float]) -> None:
        kinds = reference.kinds
        self._signals = tuple(sorted(name for name, kind in kinds.items() if kind is Kind.NUMBER))
        self._grids = reference.grids
        self._center = np.array([centers.get(name, 0.0) for name in self._signals])
        self._starts = np.zeros(0, np.int64)
        self._sums = np.zeros((0, 3, len(self._signals)))
        self.reference = self._measure(reference.summary)

    def learn(self, summary: Summary) -> None:
        """More events of the reference."""
        self.reference = self.reference + self._measure(summary)

    def add(self, start: int, summary: Summary) -> None:
        keep = slice(-SLICES_MAX + 1, None)
        self._starts = np.append(self._starts[keep], start)
        self._sums = np.concatenate((self._sums[keep], self._measure(summary)[None]))

    def before(self, signal: str) -> tuple[float, float] | None:
        """Mean and standard deviation in the reference."""
        return self._describe(signal, self.reference)

    def after(self, signal: str, since: int) -> tuple[float, float] | None:
        """Mean and standard deviation since a time, or of the slices kept if that is longer ago."""
        return self._describe(signal, self._sums[self._starts >= since].sum(axis=0))

    def _describe(self, signal: str, sums: Float64s) -> tuple[float, float] | None:
        if signal not in self._signals:
            return None
        n, total, squares = sums[:, self._signals.index(signal)]
        if not n:
            return None
        mean, square = total / n, squares / n
        variance = square - mean * mean
        return mean, float(np.sqrt(variance)) if variance > ROUNDING * square else 0.0

    def _measure(self, summary: Summary) -> Float64s:
        numbers = places(summary.signals, self._signals)
        keys, counts = summary.histogram
        where = numbers[keys // BINS]
        known = where >= 0
        where, counts = where[known], counts[known].astype(np.float64)
        values = _VALUES[keys[known] % BINS] + self._center[where]
        k = len(self._signals)
        sums = np.stack(
            [
                np.bincount(where, counts, k),
                np.bincount(where, counts * values, k),
                np.bincount(where, counts * values * values, k),
            ]
        )
        for row, name in enumerate(summary.signals):
            if name in self._grids and numbers[row] >= 0:
                sums[:, numbers[row]] = self._on_grid(summary, row, name)
        return sums.astype(np.float64, copy=False)

    def _on_grid(self, summary: Summary, row: int, name: str) -> tuple[float, float, float]:
        grid, n = self._grids[name], int(summary.numbers[row])
        total, squares = int(summary.counts[row, Count.GRID_SUM]), summary.grid_squares(row)
        mean = grid.center * n + grid.unit * total
        square = grid.center**2 * n + 2.0 * grid.center * grid.unit * total + grid.unit**2 * squares
        return float(n), mean, square

    def snapshot(self) -> dict[str, Any]:
        return {"reference": self.reference, "starts": self._starts, "sums": self._sums}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.reference, self._starts, self._sums = state["reference"], state["starts"], state["sums"]

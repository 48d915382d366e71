"""The numbers of a block of rows: histogram keys, integer sums and extremes, all signals at once.

All numbers stand in one flat array, signal by signal and in each cell by cell, so that every statistic is
one pass over it, however many signals and cells there are. Sums run in float64 over whole numbers below 2^19.
In a block of at most 2^15 rows every partial sum of squares is below 2^53: exact, in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, Int64s
from stream_monitor.summary.codes import BINS, bins_of, fine_codes
from stream_monitor.summary.counts import LOW_BITS, Count
from stream_monitor.summary.grid import STEPS_MAX, steps_of
from stream_monitor.summary.histogram import Keys, Tally, sum_by_key
from stream_monitor.summary.plan import MIXED, Cells, Grids, Plan, Ranges, Table, starts_of, types_in

_INT32_MAX = np.iinfo(np.int32).max

Place = tuple[Int64s, Int64s]
"""Cell and signal: where in (C, S, ...) something belongs."""


@dataclass(slots=True)
class Numbers:
    """What the numbers of a block say, by cell and signal. ``bins``: of each cell signal * BINS + bin."""

    bins: list[Tally]
    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Segments:
    """Numbers in ``flat``: segment k, never empty, has ``lengths[k]`` of them, of one cell and signal."""

    flat: Float64s
    lengths: Int64s
    cell: Int64s
    signal: Int64s

    def only(self, wanted: Table) -> _Segments:
        """Those of the signals that are wanted."""
        mine = wanted[self.signal]
        if mine.all():
            return self
        return _Segments(
            self.flat[np.repeat(mine, self.lengths)], self.lengths[mine], self.cell[mine], self.signal[mine]
        )

    def spread(self, of_signal: Float64s) -> Float64s:
        """What is said of each signal, for each of its numbers."""
        return np.repeat(of_signal[self.signal], self.lengths)

    @property
    def place(self) -> Place:
        return self.cell, self.signal


def no_numbers(cells: int, signals: int) -> Numbers:
    """What a block without any says."""
    minimum = np.full((cells, signals), np.inf, np.float32)
    return Numbers([Tally(signals * BINS) for _ in range(cells)], minimum, -minimum)


def summarise_numbers(
    columns: Sequence[Column], types: Sequence[int], plan: Plan, cells: Cells, counts: Int64s
) -> Numbers:
    """Write what is counted and summed into ``counts`` (C, S, len(Count)), and return the rest."""
    size, signals = len(cells), len(plan.signals)
    numbers = no_numbers(size, signals)
    segments = _finite(*_gather(columns, types, plan, cells), size, counts)
    if len(segments.lengths) == 0:
        return numbers
    if plan.ranges is not None:
        _judge_range(segments.only(plan.ranges.declared), plan.ranges, counts)
    if plan.grids is not None:
        _sum_grid(segments.only(plan.grids.declared), plan.grids, counts)
    with np.errstate(over="ignore"):
        centered = segments.flat if plan.center is None else segments.flat - segments.spread(plan.center)
        values = centered.astype(np.float32)
    starts = starts_of(segments.lengths)
    # Adding zero makes -0.0 zero: which of the two is the least would depend on order.
    numbers.minimum[segments.place] = np.minimum.reduceat(values, starts) + np.float32(0)
    numbers.maximum[segments.place] = np.maximum.reduceat(values, starts) + np.float32(0)
    codes = fine_codes(values)
    _write_sums(codes.astype(np.float64), starts, segments.place, _FINE, counts)
    first = (segments.cell * signals + segments.signal) * BINS
    keys: Keys = bins_of(codes)
    if size * signals * BINS > _INT32_MAX:
        keys = keys.astype(np.int64)
    keys += np.repeat(first.astype(keys.dtype), segments.lengths)
    numbers.bins = _tallies(keys, size, signals * BINS)
    return numbers


def _gather(
    columns: Sequence[Column], types: Sequence[int], plan: Plan, cells: Cells
) -> tuple[Float64s, Int64s]:
    """All that counts as a number, flat, and how many each signal has in each cell, (S, C)."""
    lengths = np.zeros((len(columns), len(cells)), np.int64)
    numeric = plan.numeric[np.arange(len(columns)), types].tolist()
    parts = []
    for signal, column in enumerate(columns):
        if column.numbers is None:
            continue
        if numeric[signal]:
            parts.append(column.numbers[cells.index])
            lengths[signal] = cells.sizes
        elif types[signal] == MIXED:
            wanted = plan.numeric[signal, types_in(column, cells)]
            parts.append(column.numbers[cells.index][wanted])
            lengths[signal] = np.add.reduceat(wanted, cells.starts, dtype=np.int64)
    return np.concatenate(parts) if parts else np.empty(0), lengths


def _finite(flat: Float64s, lengths: Int64s, cells: int, counts: Int64s) -> _Segments:
    """The finite ones of the gathered numbers; the others are counted."""
    finite = np.isfinite(flat)
    if not finite.all():
        slot = np.repeat(np.arange(lengths.size), lengths.ravel())
        for column, found in ((Count.NAN, np.isnan(flat)), (Count.INF, np.isinf(flat))):
            counts[:, :, column] = np.bincount(slot[found], minlength=lengths.size).reshape(lengths.shape).T
        flat = flat[finite]
        lengths = np.bincount(slot[finite], minlength=lengths.size)
    lengths = lengths.ravel()
    used = lengths.nonzero()[0]
    signal, cell = np.divmod(used, cells)
    return _Segments(flat, lengths[used], cell, signal)


def _judge_range(segments: _Segments, ranges: Ranges, counts: Int64s) -> None:
    if len(segments.lengths):
        outside = segments.flat < segments.spread(ranges.lowest)
        outside |= segments.flat > segments.spread(ranges.highest)
        totals = np.add.reduceat(outside, starts_of(segments.lengths), dtype=np.int64)
        counts[*segments.place, Count.OUT_OF_RANGE] = totals


def _sum_grid(segments: _Segments, grids: Grids, counts: Int64s) -> None:
    if len(segments.lengths):
        starts = starts_of(segments.lengths)
        steps = steps_of(segments.flat, segments.spread(grids.center), segments.spread(grids.unit))
        clipped = np.abs(steps) > STEPS_MAX
        counts[*segments.place, Count.GRID_CLIPPED] = np.add.reduceat(clipped, starts, dtype=np.int64)
        np.clip(steps, -STEPS_MAX, STEPS_MAX, out=steps)
        _write_sums(steps, starts, segments.place, _GRID, counts)


_FINE = (Count.FINE_SUM, Count.FINE_SQUARES_HIGH, Count.FINE_SQUARES_LOW)
_GRID = (Count.GRID_SUM, Count.GRID_SQUARES_HIGH, Count.GRID_SQUARES_LOW)


def _write_sums(
    whole: Float64s, starts: Int64s, place: Place, columns: tuple[Count, Count, Count], counts: Int64s
) -> None:
    """The sum, and the sum of squares in its one form, of whole numbers. Overwrites them."""
    total, high, low = columns
    counts[*place, total] = np.add.reduceat(whole, starts).astype(np.int64)
    whole *= whole
    squares = np.add.reduceat(whole, starts).astype(np.int64)
    counts[*place, high] = squares >> LOW_BITS
    counts[*place, low] = squares & ((1 << LOW_BITS) - 1)


def _tallies(keys: Keys, cells: int, width: int) -> list[Tally]:
    """A tally per cell of keys in cell * width + (0..width-1)."""
    if cells == 1:
        tally = Tally(width)
        tally.add(keys)
        return [tally]
    found, totals = sum_by_key(keys, None, cells * width)
    ends = np.searchsorted(found, np.arange(cells + 1) * width)
    return [
        Tally.of(found[first:last] - cell * width, totals[first:last].copy(), width)
        for cell, (first, last) in enumerate(pairwise(ends.tolist()))
    ]

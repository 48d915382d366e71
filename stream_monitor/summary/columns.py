"""Columns of values to summaries: the hot loop of the whole system.

Rows are grouped into *cells* (slices of time). All numbers of all signals stand in one flat array, signal
by signal and in each cell by cell, so that every statistic is one pass over it, however many signals and
cells there are. Sums run in float64 over whole numbers: in a block of at most BLOCK_ROWS rows they stay
below 2^53, and so are exact in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, Int64s, JsonType
from stream_monitor.summary.categories import BUCKETS, Named, add_counts, bounded, bucket_of, number_text
from stream_monitor.summary.codes import BINS, bins_of, fine_codes
from stream_monitor.summary.counts import LOW_BITS, TYPES, Count
from stream_monitor.summary.grid import STEPS_MAX, steps_of
from stream_monitor.summary.histogram import Keys, Tally, sum_by_key
from stream_monitor.summary.plan import Plan, segment_starts
from stream_monitor.summary.summary import Summary

BLOCK_ROWS = 2_048
"""Small enough for the L2 cache; 2^48 bounds any sum of squares of one signal in a block."""

Index = slice | Int64s


@dataclass(frozen=True, slots=True)
class Cells:
    """Which rows of a block belong together: ``index`` takes them from a column, cell by cell."""

    index: Index
    sizes: Int64s

    def __len__(self) -> int:
        return len(self.sizes)


def summarise(columns: Mapping[str, Column], plan: Plan, cells: Cells) -> list[Summary]:
    """One summary per cell, with its rows and signals. At most BLOCK_ROWS rows in all.

    ``plan`` is made of the names of these columns. Cost, with all numbers and in one cell: 10 to 15 ns a value.
    """
    signals, size = len(plan.signals), len(cells)
    chosen = [columns[name] for name in plan.signals]
    counts = np.zeros((size, signals, len(Count)), np.int64)
    types = [_types(column, cells) for column in chosen]
    for signal, one in enumerate(types):
        _count_types(one, cells, counts[:, signal, TYPES])
    counts[:, :, Count.WRONG_TYPE] = np.einsum("cst,st->cs", counts[:, :, TYPES], plan.wrong[:, 1:])
    minimum = np.full((size, signals), np.inf, np.float32)
    maximum = np.full((size, signals), -np.inf, np.float32)
    numbers = _numbers(chosen, types, plan, cells, counts)
    keys = numbers.summarise(plan, counts, minimum, maximum) if len(numbers.used) else np.empty(0, np.int32)
    bins = _tallies(keys, size, signals * BINS)
    named, buckets = _texts(chosen, types, plan, cells, counts)
    dropped = _dropped(columns, plan, cells)
    present = counts[:, :, TYPES].any(axis=2)
    summaries = []
    for cell in range(size):
        summary = Summary(
            rows=int(cells.sizes[cell]),
            late=0,
            late_idle=0,
            dropped_values=int(dropped[cell]),
            signal_limit=plan.signal_limit,
            offsets={},
            signals=plan.signals,
            declared=plan.declared,
            counts=counts[cell].copy() if size > 1 else counts[0],
            minimum=minimum[cell].copy() if size > 1 else minimum[0],
            maximum=maximum[cell].copy() if size > 1 else maximum[0],
            bins=bins[cell],
            buckets=buckets[cell],
            named=named[cell],
        )
        if not present[cell].all():
            summary = summary.select(compress(plan.signals, present[cell].tolist()))
        summary.trim()
        summaries.append(summary)
    return summaries


# JSON types


def _types(column: Column, cells: Cells) -> NDArray[np.uint8] | JsonType:
    return column.types if isinstance(column.types, JsonType) else column.types[cells.index]


def _count_types(types: NDArray[np.uint8] | JsonType, cells: Cells, counts: Int64s) -> None:
    """Into ``counts`` (C, 7), by the types after ABSENT."""
    if isinstance(types, JsonType):
        if types is not JsonType.ABSENT:
            counts[:, types - 1] = cells.sizes
        return
    size, width = len(cells), len(JsonType)
    keys = types if size == 1 else types + width * np.repeat(np.arange(size), cells.sizes)
    counts[:] = np.bincount(keys, minlength=size * width).reshape(size, width)[:, 1:]


def _dropped(columns: Mapping[str, Column], plan: Plan, cells: Cells) -> Int64s:
    """Values in the columns that have no place in a summary, per cell."""
    counts = np.zeros((len(cells), len(JsonType) - 1), np.int64)
    dropped = np.zeros(len(cells), np.int64)
    for name in plan.unnamed:
        _count_types(_types(columns[name], cells), cells, counts)
        dropped += counts.sum(axis=1)
        counts[:] = 0
    return dropped


# Numbers


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The finite numbers ``flat`` in segments that are not empty: segment k has ``lengths[k]`` numbers from
    ``starts[k]`` on, and belongs to ``used[k]`` = signal * cells + cell."""

    flat: Float64s
    used: Int64s
    lengths: Int64s
    starts: Int64s
    cells: int

    def summarise(
        self, plan: Plan, counts: Int64s, minimum: NDArray[np.float32], maximum: NDArray[np.float32]
    ) -> Keys:
        """Write all sums and extremes; return the histogram keys, cell by cell: (cell * S + signal) * BINS + bin."""
        signal, cell = np.divmod(self.used, self.cells)
        self._judge_range(plan, signal, cell, counts)
        self._sum_grid(plan, signal, cell, counts)
        centered = (
            self.flat if plan.center is None else self.flat - np.repeat(plan.center[signal], self.lengths)
        )
        with np.errstate(over="ignore"):
            single = centered.astype(np.float32)
        # Adding zero makes -0.0 zero: which of them a minimum returns would depend on order.
        minimum[cell, signal] = np.minimum.reduceat(single, self.starts) + np.float32(0)
        maximum[cell, signal] = np.maximum.reduceat(single, self.starts) + np.float32(0)
        codes = fine_codes(single)
        columns = (Count.FINE_SUM, Count.FINE_SQUARES_HIGH, Count.FINE_SQUARES_LOW)
        _write_sums(codes.astype(np.float64), self.starts, (cell, signal), columns, counts)
        size = self.cells * len(plan.signals) * BINS
        first = (cell * len(plan.signals) + signal) * BINS
        keys: Keys = bins_of(codes)
        if size > np.iinfo(np.int32).max:
            return keys + np.repeat(first, self.lengths)
        keys += np.repeat(first.astype(np.int32), self.lengths)
        return keys

    def _judge_range(self, plan: Plan, signal: Int64s, cell: Int64s, counts: Int64s) -> None:
        values, lengths, mine = self._of(plan.ranged[signal])
        if len(mine):
            outside = values < np.repeat(plan.lowest[signal[mine]], lengths)
            outside |= values > np.repeat(plan.highest[signal[mine]], lengths)
            counts[cell[mine], signal[mine], Count.OUT_OF_RANGE] = _sums(outside, segment_starts(lengths))

    def _sum_grid(self, plan: Plan, signal: Int64s, cell: Int64s, counts: Int64s) -> None:
        values, lengths, mine = self._of(plan.gridded[signal])
        if len(mine) == 0:
            return
        place, starts = (cell[mine], signal[mine]), segment_starts(lengths)
        center, unit = plan.grid_center[signal[mine]], plan.grid_unit[signal[mine]]
        steps = steps_of(values, np.repeat(center, lengths), np.repeat(unit, lengths))
        counts[*place, Count.GRID_CLIPPED] = _sums(np.abs(steps) > STEPS_MAX, starts)
        np.clip(steps, -STEPS_MAX, STEPS_MAX, out=steps)
        columns = (Count.GRID_SUM, Count.GRID_SQUARES_HIGH, Count.GRID_SQUARES_LOW)
        _write_sums(steps, starts, place, columns, counts)

    def _of(self, wanted: NDArray[np.bool_]) -> tuple[Float64s, Int64s, Int64s]:
        """The numbers of the wanted segments only, their lengths, and which they are."""
        mine = np.flatnonzero(wanted)
        if len(mine) in {0, len(wanted)}:
            return self.flat, self.lengths, mine
        return self.flat[np.repeat(wanted, self.lengths)], self.lengths[mine], mine


def _numbers(
    columns: Sequence[Column],
    types: Sequence[NDArray[np.uint8] | JsonType],
    plan: Plan,
    cells: Cells,
    counts: Int64s,
) -> _Numbers:
    """The finite numbers of all signals; the others are counted."""
    size = len(cells)
    lengths = np.zeros((len(columns), size), np.int64)
    parts = []
    for signal, (column, one) in enumerate(zip(columns, types, strict=True)):
        if column.numbers is None:
            continue
        numeric = plan.numeric[signal, one]
        if isinstance(one, JsonType):
            if numeric:
                parts.append(column.numbers[cells.index])
                lengths[signal] = cells.sizes
        else:
            parts.append(column.numbers[cells.index][numeric])
            lengths[signal] = _sums(numeric, segment_starts(cells.sizes))
    flat = np.concatenate(parts) if parts else np.empty(0)
    finite = np.isfinite(flat)
    if not finite.all():
        slot = np.repeat(np.arange(lengths.size), lengths.ravel())
        for column, wanted in ((Count.NAN, np.isnan(flat)), (Count.INF, np.isinf(flat))):
            counted = np.bincount(slot[wanted], minlength=lengths.size)
            counts[:, :, column] = counted.reshape(lengths.shape).T
        flat = flat[finite]
        lengths = np.bincount(slot[finite], minlength=lengths.size).reshape(lengths.shape)
    used = np.flatnonzero(lengths)
    lengths = lengths.ravel()[used]
    return _Numbers(flat, used, lengths, segment_starts(lengths), size)


def _sums(values: NDArray[np.bool_], starts: Int64s) -> Int64s:
    return np.add.reduceat(values, starts, dtype=np.int64)


def _write_sums(
    whole: Float64s,
    starts: Int64s,
    place: tuple[Int64s, Int64s],
    columns: tuple[Count, Count, Count],
    counts: Int64s,
) -> None:
    """Sum, and sum of squares in its one form, of whole numbers below 2^19 in each segment."""
    total, high, low = columns
    counts[*place, total] = np.add.reduceat(whole, starts).astype(np.int64)
    squares = np.add.reduceat(whole * whole, starts).astype(np.int64)
    counts[*place, high] = squares >> LOW_BITS
    counts[*place, low] = squares & ((1 << LOW_BITS) - 1)


def _tallies(keys: Keys, cells: int, width: int) -> list[Tally]:
    """A tally per cell of keys in cell * width + (0..width-1)."""
    tallies = [Tally(width) for _ in range(cells)]
    if cells == 1:
        tallies[0].add(keys)
        return tallies
    found, totals = sum_by_key(keys, None, cells * width)
    ends = np.searchsorted(found, np.arange(cells + 1) * width)
    for cell, (first, last) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        tallies[cell].add_sums(found[first:last] - cell * width, totals[first:last].copy())
    return tallies


# Texts


def _texts(
    columns: Sequence[Column],
    types: Sequence[NDArray[np.uint8] | JsonType],
    plan: Plan,
    cells: Cells,
    counts: Int64s,
) -> tuple[list[dict[str, Named]], list[Tally]]:
    """The category counts of every cell. Cost: 50 ns a value, and 0.5 us a distinct one not met lately."""
    width = len(columns) * BUCKETS
    named: list[dict[str, Named]] = [{} for _ in cells.sizes]
    found: list[dict[int, int]] = [{} for _ in cells.sizes]
    for signal, (column, one) in enumerate(zip(columns, types, strict=True)):
        shape = plan.shapes[signal]
        for cell, texts in _texts_by_cell(column, one, plan.textual[signal], cells):
            by_text = Counter(texts)
            if not by_text:
                continue
            if shape.values is not None:
                known = sum(by_text[text] for text in shape.values)
                counts[cell, signal, Count.OUT_OF_RANGE] = by_text.total() - known
            by_name: dict[str, int] = {}
            add_counts(by_name, ((bounded(text), count) for text, count in by_text.items()))
            named[cell][plan.signals[signal]] = Named.of(by_name, shape.kept)
            for text, count in by_name.items():
                key = signal * BUCKETS + bucket_of(text)
                found[cell][key] = found[cell].get(key, 0) + count
    tallies = []
    for by_key in found:
        keys = np.fromiter(by_key.keys(), np.int64, len(by_key))
        totals = np.fromiter(by_key.values(), np.int64, len(by_key))
        tallies.append(Tally.of(*sum_by_key(keys, totals, width), width))
    return named, tallies


def _texts_by_cell(
    column: Column, types: NDArray[np.uint8] | JsonType, textual: NDArray[np.bool_], cells: Cells
) -> Iterator[tuple[int, Sequence[str]]]:
    """The category values of each cell, where there can be any."""
    wanted = textual[types]
    if not wanted.any():
        return
    texts = _picked(column.texts, cells.index)
    if textual[JsonType.NUMBER] and column.numbers is not None:
        texts = _with_numbers(texts, column.numbers[cells.index], types)
    mask = None if wanted.all() else wanted.tolist()
    first = 0
    for cell, size in enumerate(cells.sizes.tolist()):
        here = slice(first, first + size)
        yield cell, texts[here] if mask is None else list(compress(texts[here], mask[here]))
        first += size


def _picked(texts: Sequence[str] | None, index: Index) -> Sequence[str]:
    if texts is None:
        return ()
    return texts[index] if isinstance(index, slice) else [texts[row] for row in index.tolist()]


def _with_numbers(
    texts: Sequence[str], numbers: Float64s, types: NDArray[np.uint8] | JsonType
) -> Sequence[str]:
    """With the texts of numbers put in where a value is one."""
    are = np.broadcast_to(np.asarray(types) == JsonType.NUMBER, len(numbers))
    rows = np.flatnonzero(are).tolist()
    filled = list(texts) or [""] * len(numbers)
    for row, number in zip(rows, numbers[rows].tolist(), strict=True):
        filled[row] = number_text(number)
    return filled

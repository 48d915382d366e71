"""Columns of values to summaries: the hot loop of the whole system.

Rows are grouped into *cells* (slices of time), and each cell becomes a summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final

import numpy as np

from stream_monitor.events import Column, Int64s
from stream_monitor.summary import native as kernel
from stream_monitor.summary import numbers as plain
from stream_monitor.summary.counts import TYPES, Count
from stream_monitor.summary.histogram import Keys
from stream_monitor.summary.plan import MIXED, Cells, Plan, types_in, types_of
from stream_monitor.summary.summary import Summary
from stream_monitor.summary.texts import summarise_texts

BLOCK_ROWS: Final = 8_192
"""Enough to make little of what a block costs by itself; few enough for exact sums (see ``numbers``)."""

BLOCK_VALUES: Final = 1 << 20
"""Bounds the memory of a block of many signals, which takes 40 bytes a value."""

BLOCK_SIGNALS: Final = 1 << 15
"""Bounds the memory of a block of many cells: each signal of a cell takes 150 bytes and what it counts."""

_ONE_OF_TYPE = np.eye(MIXED + 1, dtype=np.int64)[:, 1:MIXED]


def block_rows(signals: int) -> int:
    """How many rows of so many signals are summarised at a time."""
    return min(BLOCK_ROWS, BLOCK_VALUES // max(signals, 1))


def block_cells(signals: int) -> int:
    """How many cells of so many signals are summarised at a time."""
    return max(1, BLOCK_SIGNALS // max(signals, 1))


def summarise(
    columns: Mapping[str, Column], plan: Plan, cells: Cells, *, native: bool = True
) -> list[Summary]:
    """One summary per cell, with its rows and signals. At most BLOCK_ROWS rows in all.

    ``plan`` is made of the names of these columns. ``native``: by the compiled kernel where it is installed,
    which changes the cost and nothing else.
    """
    chosen = [columns[name] for name in plan.signals]
    types = types_of(chosen)
    counts = np.zeros((len(cells), len(chosen), len(Count)), np.int64)
    _count_types(chosen, types, plan, cells, counts)
    compiled = native and kernel.is_installed()
    numbers = (kernel if compiled else plain).summarise_numbers(chosen, types, plan, cells, counts)
    texts = summarise_texts(chosen, types, plan, cells, counts)
    values = counts[:, :, TYPES].sum(axis=2)
    summaries = []
    for cell, (named, buckets) in enumerate(texts):
        summary = Summary(
            rows=int(cells.sizes[cell]),
            late=0,
            late_idle=0,
            dropped_values=0,
            signal_limit=plan.signal_limit,
            offsets={},
            signals=plan.signals,
            declared=plan.declared,
            counts=counts[cell],
            minimum=numbers.minimum[cell],
            maximum=numbers.maximum[cell],
            bins=numbers.bins[cell],
            buckets=buckets,
            named=named,
        )
        if not values[cell].all():
            summary = summary.select(compress(plan.signals, values[cell].tolist()))
        summary.trim()
        summaries.append(summary)
    return summaries


def _count_types(
    columns: Sequence[Column], types: Sequence[int], plan: Plan, cells: Cells, counts: Int64s
) -> None:
    """Values by JSON type, and those of a wrong one, into ``counts`` (C, S, len(Count))."""
    sizes, signals = cells.sizes[:, None], np.arange(len(columns))
    counts[:, :, TYPES] = sizes[:, :, None] * _ONE_OF_TYPE[types]
    counts[:, :, Count.WRONG_TYPE] = sizes * plan.wrong[signals, types]
    for signal, column in enumerate(columns):
        if types[signal] == MIXED:
            by_type = _by_type(column, cells)
            counts[:, signal, TYPES] = by_type
            counts[:, signal, Count.WRONG_TYPE] = by_type @ plan.wrong[signal, 1:MIXED]


def _by_type(column: Column, cells: Cells) -> Int64s:
    """Values by the types after ABSENT, int64 (C, 7)."""
    size = len(cells)
    keys: Keys = types_in(column, cells)
    if size > 1:
        keys = keys + np.repeat(np.arange(size) * MIXED, cells.sizes)
    return np.bincount(keys, minlength=size * MIXED).reshape(size, MIXED)[:, 1:]

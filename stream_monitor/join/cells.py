"""Rows put into cells, a cell for each slice and segment, in bounded number of segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream_monitor.events import Column, Int64s, SliceKey, Stream
from stream_monitor.summary.columns import BLOCK_ROWS, summarise
from stream_monitor.summary.histogram import lengths_of, run_starts
from stream_monitor.summary.plan import Cells as Runs
from stream_monitor.summary.plan import plan_of
from stream_monitor.summary.segments import bound_slices
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Summary

_SIZE_RATIO = 8
_SMALL_MAX = 1 << 16


def counted(*columns: Int64s) -> Iterator[tuple[tuple[int, ...], int]]:
    """The distinct rows of integer columns, and how many there are of each. Cost: 20 ns a row and column
    whose values differ."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, at = distinct(column)
        code = code * len(values) + at
    _, first, counts = np.unique(code, return_index=True, return_counts=True)
    rows = zip(*(column[first].tolist() for column in columns), strict=True)
    yield from zip(rows, counts.tolist(), strict=True)


def distinct(values: Int64s) -> tuple[Int64s, Int64s]:
    """The distinct values, ascending, and which of them each is: np.unique, without sorting where there are
    few steps between them."""
    if not len(values):
        return values, values
    low = values.min()
    step = int(np.gcd.reduce(values - low)) or 1
    place = (values - low) // step
    size = int(place.max()) + 1
    if size > _SIZE_RATIO * len(values) + 1:
        found, at = np.unique(values, return_inverse=True)
        return found, at
    there = np.bincount(place, minlength=size) > 0
    return np.flatnonzero(there) * step + low, (np.cumsum(there) - 1)[place]


class _Members(list[int]):
    """The cells before bounding that are one cell after it."""

    def __add__(self, other: Iterable[int]) -> Self:  # type: ignore[override]
        """Takes the other's in: many small ones become one, and a copy each would cost their square."""
        self.extend(other)
        return self


@dataclass(frozen=True, slots=True)
class Cells:
    """Every row, once in the cell of its slice and once for each of its segments there.

    ``row`` and ``cell`` (m,), m >= n, by cell ascending: which row is where; ``keys`` says of what a cell is.
    """

    keys: list[SliceKey]
    row: Int64s
    cell: Int64s

    @classmethod
    def of(cls, stream: Stream, slices: Int64s, segments: Sequence[Sequence[str]], most: int) -> Cells:
        """Of n rows of ``stream``; at most ``most`` values of a field are kept apart in each slice.

        Cost: 0.2 us a row and segment, and 2 us a cell.
        """
        names = {"": 0}
        width = np.fromiter(map(len, segments), np.int64, len(segments))
        code = np.zeros(len(slices) + int(width.sum()), np.int64)
        row = np.arange(len(code))
        if len(code) > len(slices):
            code[len(slices) :] = [names.setdefault(one, len(names)) for of in segments for one in of]
            row[len(slices) :] = np.repeat(np.arange(len(slices)), width)
        starts, at = distinct(slices)
        place, member = distinct(code * len(starts) + at[row])
        segment_of = list(names)
        members: dict[SliceKey, _Members] = {}
        for number, (name, start) in enumerate(zip(*np.divmod(place, len(starts)), strict=True)):
            key = SliceKey(stream._replace(segment=segment_of[name]), int(starts[start]))
            members[key] = _Members([number])
        bounded = bound_slices(members, lambda _: most)
        keys, of_member = sorted(bounded), np.empty(len(place), np.int64)
        for number, key in enumerate(keys):
            of_member[bounded[key]] = number
        cell = of_member[member]
        # Of small integers a stable sort is one by digits.
        small = cell.astype(np.uint16) if len(keys) <= _SMALL_MAX else cell
        order = np.argsort(small, kind="stable")
        return cls(keys, row[order], cell[order])


def summaries_of(columns: Mapping[str, Column], cells: Cells, shape: Shape) -> dict[SliceKey, Summary]:
    """The summary of every cell; ``columns`` are of the rows that are in them."""
    plan = plan_of(shape, "outputs", tuple(columns))
    found: dict[SliceKey, Summary] = {}
    for at in range(0, len(cells.row), BLOCK_ROWS):
        row, cell = cells.row[at : at + BLOCK_ROWS], cells.cell[at : at + BLOCK_ROWS]
        first = run_starts(cell)
        runs = Runs(row, lengths_of(first, len(row)), first)
        for number, summary in zip(cell[first].tolist(), summarise(columns, plan, runs), strict=True):
            key = cells.keys[number]
            if key in found:
                found[key].merge(summary)
            else:
                found[key] = summary
    return found

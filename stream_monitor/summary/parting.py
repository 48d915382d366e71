"""Rows put in the order in which they are summarised: those of one summary follow one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stream_monitor.events import Int64s
from stream_monitor.summary.histogram import lengths_of, run_starts
from stream_monitor.summary.plan import Cells, Index
from stream_monitor.summary.segments import OTHER, rank, segment
from stream_monitor.summary.vocabulary import Texts


@dataclass(frozen=True, slots=True)
class Parting:
    """n rows in cells. ``order`` (n,): the rows; ``cell`` (n,), ascending: in which each of them is.

    ``slices`` and ``segments``: of each cell. Rows of one cell keep their order.
    """

    order: Int64s
    cell: Int64s
    slices: list[int]
    segments: list[str]

    @classmethod
    def by_slice(cls, slices: Int64s) -> Parting:
        """By the number of the slice, (n,), with n > 0."""
        order = np.argsort(slices, kind="stable")
        ordered = slices[order]
        first = run_starts(ordered)
        cell = np.repeat(np.arange(len(first)), lengths_of(first, len(order)))
        return cls(order, cell, ordered[first].tolist(), [""] * len(first))

    def by_segment(self, field: str, values: Texts, values_max: int) -> Parting:
        """This parting by slice, parted further by the values (n,) of a field.

        Of each slice at most ``values_max`` values are kept apart, as ``segments`` says. Cost: 5 to 20 ns a
        row, and 1 us a distinct value.
        """
        texts = list(values.vocabulary)
        ranked = sorted(range(len(texts)), key=lambda code: rank(texts[code]))
        ranks = np.empty(len(texts), np.int64)
        ranks[ranked] = np.arange(len(texts))
        keys = self.cell * len(texts) + ranks[values.codes[self.order]]
        # 16 bits sort in linear time.
        again = np.argsort(keys.astype(np.min_scalar_type(keys.max())), kind="stable")
        first = run_starts(keys[again])
        slices, of_rank = np.divmod(keys[again[first]], len(texts))
        nth = np.arange(len(first)) - np.searchsorted(slices, slices)
        begins = nth <= values_max
        lengths = lengths_of(first, len(again))
        names = [segment(field, texts[code]) for code in ranked] + [segment(field, OTHER)]
        of_rank[nth == values_max] = len(texts)
        return Parting(
            self.order[again],
            np.repeat(np.cumsum(begins) - 1, lengths),
            [self.slices[index] for index in slices[begins].tolist()],
            [names[one] for one in of_rank[begins].tolist()],
        )

    def blocks(self, rows_max: int, cells_max: int) -> Iterator[tuple[Int64s, Cells, list[int]]]:
        """At most so many rows and cells at a time, their cells in this block, and which of all cells those
        are."""
        end = 0
        while end < len(self.order):
            at = end
            behind = int(np.searchsorted(self.cell, self.cell[at] + cells_max))
            end = min(at + rows_max, behind, len(self.order))
            block, cell = self.order[at:end], self.cell[at:end]
            first = run_starts(cell)
            yield block, Cells(_as_index(block), lengths_of(first, len(block)), first), cell[first].tolist()


def _as_index(positions: Int64s) -> Index:
    """A slice where positions follow one another: taking it copies nothing."""
    first, last = int(positions[0]), int(positions[-1])
    in_order = last - first + 1 == len(positions) and bool((positions[1:] > positions[:-1]).all())
    return slice(first, last + 1) if in_order else positions

"""Inputs and labels of many pairs as columns, one an output: what comes again is said once.

A column has the items of its output for all who ask for them, and says more to who knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s

Rows = Int64s | NDArray[np.bool_]


class _Sequence(Sequence[Any]):
    """What has ``__len__`` and ``item``."""

    __slots__ = ()

    def item(self, row: int) -> Any:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self.item(row) for row in range(*index.indices(len(self)))]
        return self.item(index)


@dataclass(frozen=True, slots=True, eq=False)
class Coded(_Sequence):
    """Row i (n,) has the value ``values[code[i]]``."""

    values: Sequence[Any]
    code: Int64s

    def __len__(self) -> int:
        return len(self.code)

    def item(self, row: int) -> Any:
        return self.values[self.code[row]]

    def take(self, rows: Rows) -> Coded:
        return Coded(self.values, self.code[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Numbers(_Sequence):
    """float64 (n,), NaN where there is None."""

    numbers: Float64s

    def __len__(self) -> int:
        return len(self.numbers)

    def item(self, row: int) -> float | None:
        number = float(self.numbers[row])
        return None if number != number else number  # noqa: PLR0124 (only NaN is not itself)

    def take(self, rows: Rows) -> Numbers:
        return Numbers(self.numbers[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Scored(_Sequence):
    """Of a binary output: the classes that predictions name, and their scores."""

    classes: Coded
    scores: Float64s

    def __len__(self) -> int:
        return len(self.scores)

    def item(self, row: int) -> tuple[str | None, float | None]:
        return self.classes.item(row), Numbers(self.scores).item(row)

    def take(self, rows: Rows) -> Scored:
        return Scored(self.classes.take(rows), self.scores[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Others(_Sequence):
    """Items of any form."""

    items: Sequence[Any]

    def __len__(self) -> int:
        return len(self.items)

    def item(self, row: int) -> Any:
        return self.items[row]

    def take(self, rows: Rows) -> Others:
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Others([self.items[row] for row in places.tolist()])


Column = Coded | Numbers | Scored | Others


@dataclass(frozen=True, slots=True, eq=False)
class Columns(_Sequence):
    """``n`` rows, of each an item of every output in the order of their names."""

    n: int
    outputs: Sequence[Column]

    def __len__(self) -> int:
        return self.n

    def item(self, row: int) -> tuple[Any, ...]:
        return tuple(one.item(row) for one in self.outputs)

    def take(self, rows: Rows) -> Columns:
        return Columns(int(np.arange(self.n)[rows].size), [one.take(rows) for one in self.outputs])


def output_of(rows: Sequence[Sequence[Any]], place: int) -> Sequence[Any]:
    """The items of one output of all rows."""
    return rows.outputs[place] if isinstance(rows, Columns) else [one[place] for one in rows]

"""What labels change for predictions, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s
from stream_monitor.join.entries import Prediction
from stream_monitor.join.outcome import Predictions
from stream_monitor.join.rows import Head
from stream_monitor.quality.kept import split


class Row(NamedTuple):
    """One row of Changes."""

    one: Prediction
    value: Any
    time: int
    at: int
    sign: int
    delay_ms: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Pairs (n,) that come (``sign`` 1) or go (-1), of predictions of ``time`` with ``heads[head[i]]`` and
    their ``numbers``, in the slice that holds ``at``. ``delay_ms``: of the label where it ``is_first``.
    """

    heads: Sequence[Head]
    head: Int64s
    numbers: Float64s
    values: Sequence[Any]
    time: Int64s
    at: Int64s
    sign: Int64s
    delay_ms: Int64s
    is_first: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.head)

    def take(self, rows: Int64s) -> Self:
        """Some of them, which ascend."""
        if len(rows) == len(self):
            return self
        return type(self)(
            self.heads,
            self.head[rows],
            self.numbers[rows],
            [self.values[row] for row in rows.tolist()],
            self.time[rows],
            self.at[rows],
            self.sign[rows],
            self.delay_ms[rows],
            self.is_first[rows],
        )


class _First(NamedTuple):
    ones: Predictions
    time: Int64s
    at: Int64s
    delay_ms: Int64s
    values: Sequence[Any]


class Gathered:
    """Changes, until they are asked for. Memory: some 150 bytes each."""

    def __init__(self) -> None:
        self._first: list[_First] = []
        self._rows: list[Row] = []

    def add_first(
        self, ones: Predictions, time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        """Predictions, each with its first label."""
        self._first.append(_First(ones, time, at, delay_ms, values))

    def add(self, row: Row) -> None:
        self._rows.append(row)

    def all(self) -> Changes:
        """All that came."""
        heads = dict[Head, int]()
        parts = [self._of_rows(heads)] if self._rows else []
        parts += [_of_first(one, heads) for one in self._first]
        wide = max((part.numbers.shape[1] for part in parts), default=0)
        none = np.empty(0, np.int64)
        return Changes(
            list(heads),
            np.concatenate([none, *(part.head for part in parts)]),
            np.concatenate([np.empty((0, wide)), *(_widened(part.numbers, wide) for part in parts)]),
            list(chain.from_iterable(part.values for part in parts)),
            np.concatenate([none, *(part.time for part in parts)]),
            np.concatenate([none, *(part.at for part in parts)]),
            np.concatenate([none, *(part.sign for part in parts)]),
            np.concatenate([none, *(part.delay_ms for part in parts)]),
            np.concatenate([np.empty(0, np.bool_), *(part.is_first for part in parts)]),
        )

    def _of_rows(self, heads: dict[Head, int]) -> Changes:
        ones, values, *columns = zip(*self._rows, strict=True)
        splits = [split(one.inputs) for one in ones]
        head = [
            _code(Head(one.model, one.version, one.role, one.segments, template), heads)
            for one, (template, _) in zip(ones, splits, strict=True)
        ]
        numbers = np.full((len(ones), max(len(row) for _, row in splits)), np.nan)
        for at, (_, row) in enumerate(splits):
            numbers[at, : len(row)] = row
        time, at_, sign, delay_ms, is_first = map(np.array, columns)
        return Changes((), np.array(head), numbers, values, time, at_, sign, delay_ms, is_first)


def _of_first(one: _First, heads: dict[Head, int]) -> Changes:
    used, at = np.unique(one.ones.head, return_inverse=True)
    codes = [_code(one.ones.heads[head][1], heads) for head in used.tolist()]
    n = len(one.ones)
    signs, is_first = np.ones(n, np.int64), np.ones(n, np.bool_)
    head = np.array(codes, np.int64)[at]
    return Changes((), head, one.ones.numbers, one.values, one.time, one.at, signs, one.delay_ms, is_first)


def _code(head: Head, heads: dict[Head, int]) -> int:
    return heads.setdefault(head, len(heads))


def _widened(numbers: Float64s, wide: int) -> Float64s:
    if numbers.shape[1] == wide:
        return numbers
    return np.pad(numbers, ((0, 0), (0, wide - numbers.shape[1])), constant_values=np.nan)

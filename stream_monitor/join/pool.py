"""Elements of one kind as columns: an object each would cost more than all that is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Int64s
from stream_monitor.join.entries import Label, Prediction
from stream_monitor.join.rows import Head
from stream_monitor.quality.kept import fill

_ROWS_MIN = 1_024

OfBoth = {"bucket": np.int64, "clock": np.int64, "time": np.int64, "head": np.int64}
OfLabels = {"offset": np.int64, "row": np.int64, "value": np.object_}
OfPredictions = {"numbers": np.float64}


class Pool:
    """Rows by number, from 0 on. ``key``: of the id. ``waits``: it is all that is known of its id; ``new``:
    it is not written yet. Memory: some 100 bytes a row, and its id."""

    def __init__(self, columns: Mapping[str, type[np.generic]]) -> None:
        self._kinds: dict[str, type[Any]] = {
            "key": np.object_,
            "waits": np.bool_,
            "new": np.bool_,
            **OfBoth,
            **columns,
        }
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._n = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty((_ROWS_MIN, 1) if name == "numbers" else (_ROWS_MIN,), kind)
            for name, kind in self._kinds.items()
        }

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name][: self._n]

    def add(self, n: int, columns: Mapping[str, Any]) -> int:
        """Put n rows; returns the number of the first."""
        first, self._n = self._n, self._n + n
        self._make_room(columns)
        for name, column in self._columns.items():
            if name == "numbers":
                numbers = columns[name]
                column[first : self._n, : numbers.shape[1]] = numbers
            else:
                column[first : self._n] = columns[name]
        return first

    def _make_room(self, columns: Mapping[str, Any]) -> None:
        wide = columns["numbers"].shape[1] if "numbers" in columns else 0
        size = len(self._columns["key"])
        if self._n > size:
            size = max(self._n, 2 * size)
        for name, column in self._columns.items():
            shape = (size, max(wide, column.shape[1])) if name == "numbers" else (size,)
            if column.shape != shape:
                grown = np.empty(shape, column.dtype)
                grown[tuple(map(slice, column.shape))] = column
                self._columns[name] = grown

    def keep(self, numbers: Int64s) -> None:
        """These rows alone, numbered anew."""
        self._n = len(numbers)
        for name, column in self._columns.items():
            kept = np.empty((max(_ROWS_MIN, 2 * self._n), *column.shape[1:]), column.dtype)
            kept[: self._n] = column[numbers]
            self._columns[name] = kept

    def take(self, name: str, numbers: Int64s) -> NDArray[Any]:
        """A column at these rows."""
        column: NDArray[Any] = self._columns[name][numbers]
        return column

    def lists(self, names: Sequence[str], numbers: Int64s) -> list[list[Any]]:
        """Columns at these rows, as lists."""
        return [self._columns[name][numbers].tolist() for name in names]


def as_objects(values: Sequence[Any]) -> NDArray[Any]:
    """An array of them, whatever they are."""
    column = np.empty(len(values), np.object_)
    column[:] = values
    return column


def is_none(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.fromiter((value is None for value in values), np.bool_, len(values))


def predictions_of(
    pool: Pool, heads: Sequence[tuple[str, Head]], numbers: Int64s, bucket_ms: int
) -> list[Prediction]:
    """These rows as elements of their buckets; ``heads`` have the topic with them."""
    columns = pool.lists(("bucket", "clock", "time", "head", "numbers"), numbers)
    found = []
    for bucket, clock, time, head, row in zip(*columns, strict=True):
        topic, one = heads[head]
        inputs = fill(one.template, row)
        since = clock - bucket * bucket_ms
        found.append(
            Prediction(topic, since, clock - time, one.model, one.version, one.role, one.segments, inputs)
        )
    return found


def labels_of(
    pool: Pool, heads: Sequence[tuple[str, str | None]], numbers: Int64s, bucket_ms: int
) -> list[Label]:
    """These rows as elements of their buckets; ``heads``: topics and models."""
    columns = pool.lists(("bucket", "clock", "time", "head", "offset", "row", "value"), numbers)
    found = []
    for bucket, clock, time, head, offset, row, value in zip(*columns, strict=True):
        topic, model = heads[head]
        found.append(Label(topic, offset, row, clock - bucket * bucket_ms, clock - time, model, value))
    return found

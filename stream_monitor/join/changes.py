"""What labels change for predictions of one stream, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Int64s
from stream_monitor.join.entries import Prediction
from stream_monitor.quality.values import Inputs


class Row(NamedTuple):
    """One row of Changes."""

    segments: tuple[str, ...]
    inputs: Inputs
    value: Any
    time: int
    at: int
    sign: int
    delay_ms: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Pairs (n,) that come (``sign`` 1) or go (-1), of predictions of ``time`` with what is kept of them, in
    the slice that holds ``at``. ``delay_ms`` is that of the label where it ``is_first``.
    """

    segments: Sequence[tuple[str, ...]]
    inputs: Sequence[Inputs]
    values: Sequence[Any]
    time: Int64s
    at: Int64s
    sign: Int64s
    delay_ms: Int64s
    is_first: NDArray[np.bool_]

    @classmethod
    def of_first(
        cls, ones: Sequence[Prediction], time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> Changes:
        """Of predictions, each with its first label."""
        segments, inputs = [one.segments for one in ones], [one.inputs for one in ones]
        n = len(ones)
        return cls(segments, inputs, values, time, at, np.ones(n, np.int64), delay_ms, np.ones(n, np.bool_))

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Changes:
        """Of one after the other."""
        segments, inputs, values, *rest = zip(*rows, strict=True)
        time, at, sign, delay_ms, is_first = (np.array(column) for column in rest)
        return cls(segments, inputs, values, time, at, sign, delay_ms, is_first)

    @classmethod
    def joined(cls, parts: Sequence[Changes]) -> Changes:
        """All of them as one."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls((), (), (), none, none, none, none, np.empty(0, np.bool_))
        columns: dict[str, Any] = {}
        for one in fields(cls):
            column: list[Any] = [getattr(part, one.name) for part in parts]
            is_array = isinstance(column[0], np.ndarray)
            columns[one.name] = np.concatenate(column) if is_array else list(chain.from_iterable(column))
        return cls(**columns)

    def __len__(self) -> int:
        return len(self.values)

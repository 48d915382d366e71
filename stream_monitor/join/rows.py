"""What a joiner takes in: the elements of one source as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import compress
from typing import Any, Self, TypeVar

import numpy as np

from stream_monitor.events import Int64s, Source

StreamKey = tuple[str, str, str]
"""(model, version, role)."""


@dataclass(slots=True)
class Rows:
    """Of one source; all columns n long. ``offset``, ``clock`` and ``time`` are int64 (n,)."""

    source: Source
    offset: Int64s
    clock: Int64s
    time: Int64s
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)

    def since(self, offset: int) -> Self:
        """Those from an offset on."""
        here = self.offset >= offset
        if here.all():
            return self
        chosen = here.tolist()
        columns: dict[str, Any] = {}
        for one in fields(self):
            column = getattr(self, one.name)
            if isinstance(column, np.ndarray):
                columns[one.name] = column[here]
            else:
                columns[one.name] = column if one.name == "source" else list(compress(column, chosen))
        return type(self)(**columns)


@dataclass(slots=True)
class PredictionRows(Rows):
    """Predictions, in (offset, row) order within each stream."""

    streams: Sequence[StreamKey]
    segments: Sequence[tuple[str, ...]]
    inputs: Sequence[tuple[Any, ...]]


@dataclass(slots=True)
class LabelRows(Rows):
    """Labels, in (offset, row) order."""

    row: Int64s
    models: Sequence[str | None]
    values: Sequence[Any]


R = TypeVar("R", PredictionRows, LabelRows)

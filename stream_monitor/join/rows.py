"""What a joiner takes in: the elements of one source as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import compress
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from stream_monitor.events import Float64s, Int64s, Source
from stream_monitor.quality.kept import Kept, Template
from stream_monitor.quality.values import Inputs

StreamKey = tuple[str, str, str]
"""(model, version, role)."""


class Head(NamedTuple):
    """What many predictions have in common: all that is kept of them but times and numbers."""

    model: str
    version: str
    role: str
    segments: tuple[str, ...]
    template: Template

    @property
    def stream(self) -> StreamKey:
        return self.model, self.version, self.role


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
                is_shared = one.name in {"source", "heads"}
                columns[one.name] = column if is_shared else list(compress(column, chosen))
        return type(self)(**columns)


@dataclass(slots=True)
class PredictionRows(Rows):
    """Predictions, in (offset, row) order within each stream. Row i has ``heads[head[i]]``, and as many of
    ``numbers`` (n, most of a template) as its template has slots."""

    heads: Sequence[Head]
    head: Int64s
    numbers: Float64s

    @classmethod
    def of(
        cls,
        source: Source,
        places: tuple[Int64s, Int64s, Int64s],
        ids: Sequence[str],
        streams: Sequence[StreamKey],
        segments: Sequence[tuple[str, ...]],
        inputs: Sequence[Inputs],
    ) -> PredictionRows:
        """One after the other; ``places`` are offsets, clocks and times."""
        kept, heads = Kept.of(inputs), dict[Head, int]()
        head = [
            heads.setdefault(Head(*stream, mine, kept.templates[template]), len(heads))
            for stream, mine, template in zip(streams, segments, kept.code.tolist(), strict=True)
        ]
        return cls(source, *places, ids, list(heads), np.array(head, np.int64), kept.numbers)

    @property
    def streams(self) -> Sequence[StreamKey]:
        """Of each row."""
        return [self.heads[head].stream for head in self.head.tolist()]


@dataclass(slots=True)
class LabelRows(Rows):
    """Labels, in (offset, row) order."""

    row: Int64s
    models: Sequence[str | None]
    values: Sequence[Any]


R = TypeVar("R", PredictionRows, LabelRows)

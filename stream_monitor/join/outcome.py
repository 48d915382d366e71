"""Who is told what elements change, while they are taken in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s
from stream_monitor.join.entries import Prediction
from stream_monitor.join.matching import Change
from stream_monitor.join.rows import Head, LabelRows, PredictionRows
from stream_monitor.quality.kept import fill
from stream_monitor.quality.values import Inputs

DUPLICATE: Final = 1
CORRECTED: Final = 2
WITHDRAWN: Final = 4
"""What a label is to the one of its id, topic and model before it, within a horizon: added up where several
hold."""


class One(NamedTuple):
    """A prediction, as far as it matters to what it is measured by."""

    topic: str
    model: str
    version: str
    role: str
    segments: tuple[str, ...]
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class Predictions:
    """Columns of n: each has the topic and the Head ``heads[head[i]]``, to which more may be added, and as
    many of ``numbers`` (n, most of a template) as its template has slots."""

    heads: Sequence[tuple[str, Head]]
    head: Int64s
    numbers: Float64s

    def __len__(self) -> int:
        return len(self.head)

    def __iter__(self) -> Iterator[One]:
        for head, numbers in zip(self.head.tolist(), self.numbers.tolist(), strict=True):
            topic, one = self.heads[head]
            inputs = fill(one.template, numbers)
            yield One(topic, one.model, one.version, one.role, one.segments, inputs)


class Outcome(Protocol):
    """Takes what elements change."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        """These predictions came, and those that are ``joinable`` (n,) are kept."""

    def labeled(self, rows: LabelRows, facts: Int64s) -> None:
        """These labels came; each with the sum of the facts that hold for it."""

    def paired(
        self, ones: Predictions, time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        """As ``changed``, of many predictions that have their first label, each with its value."""

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        """A label changed what counts for a prediction of ``time``, in the slice that holds ``at``."""

    def count(self, name: str) -> None:
        """Something happened once more."""


class Nothing:
    """The outcome that nobody asks for: of elements that are read again."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None: ...

    def labeled(self, rows: LabelRows, facts: Int64s) -> None: ...

    def paired(
        self, ones: Predictions, time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None: ...

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None: ...

    def count(self, name: str) -> None: ...

"""Who is told what elements change, while they are taken in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Int64s
from stream_monitor.join.entries import Prediction
from stream_monitor.join.matching import Change
from stream_monitor.join.rows import LabelRows, PredictionRows

DUPLICATE: Final = 1
CORRECTED: Final = 2
WITHDRAWN: Final = 4
"""What a label is to the one of its id, topic and model before it, within a horizon: added up where several
hold."""


class Outcome(Protocol):
    """Takes what elements change."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        """These predictions came, and those that are ``joinable`` (n,) are kept."""

    def labeled(self, rows: LabelRows, facts: Sequence[int]) -> None:
        """These labels came; each with the sum of the facts that hold for it."""

    def paired(
        self, ones: Sequence[Prediction], time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        """As ``changed``, of many predictions that have their first label, each with its value."""

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        """A label changed what counts for a prediction of ``time``, in the slice that holds ``at``."""

    def count(self, name: str) -> None:
        """Something happened once more."""


class Nothing:
    """The outcome that nobody asks for: of elements that are read again."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None: ...

    def labeled(self, rows: LabelRows, facts: Sequence[int]) -> None: ...

    def paired(
        self, ones: Sequence[Prediction], time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None: ...

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None: ...

    def count(self, name: str) -> None: ...

"""The error signals of pairs: what detectors of concept drift watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor.events import Column, Float64s, Int64s, JsonType
from stream_monitor.quality.columns import output_of
from stream_monitor.quality.judging import judge
from stream_monitor.quality.regression import errors_of, numbers
from stream_monitor.quality.values import Inputs, Labels

if TYPE_CHECKING:
    from stream_monitor.config import Quality

_Signal = tuple[str, Int64s, Float64s]
"""A name, the rows where it is defined, and its values there."""


def signals_of(
    quality: Mapping[str, Quality], inputs: Sequence[Inputs], labels: Sequence[Labels]
) -> dict[str, Column]:
    """Numbers of n pairs by "OUTPUT.SIGNAL"; absent where not defined, and left out where that is everywhere.

    Regression: ``error`` (prediction less label), ``absolute_error``, ``percentage_error`` (percent of the
    size of the label, none at label 0). Classification: ``error`` (1 where the predicted class is wrong),
    and where there is a score ``log_loss`` and ``brier``. Cost: 0.1 us a pair, and 0.4 us
    for each score of a class.
    """
    columns = {}
    for place, (name, one) in enumerate(sorted(quality.items())):
        mine, theirs = output_of(inputs, place), output_of(labels, place)
        of_task = (
            _regression(mine, theirs) if one.task == "regression" else _classification(one, mine, theirs)
        )
        for signal, rows, values in of_task:
            if len(rows):
                columns[f"{name}.{signal}"] = _column(rows, values, len(inputs))
    return columns


def _regression(inputs: Sequence[Any], labels: Sequence[Any]) -> Iterator[_Signal]:
    predictions, actual = numbers(inputs), numbers(labels)
    rows = np.flatnonzero(~(np.isnan(predictions) | np.isnan(actual)))
    errors, percentages = errors_of(predictions[rows], actual[rows])
    yield "error", rows, errors
    yield "absolute_error", rows, np.abs(errors)
    defined = ~np.isnan(percentages)
    yield "percentage_error", rows[defined], percentages[defined]


def _classification(quality: Quality, inputs: Sequence[Any], labels: Sequence[Any]) -> Iterator[_Signal]:
    judged = judge(quality, inputs, labels)
    yield "error", judged.rows, judged.wrong.astype(np.float64)
    scored = judged.rows[judged.scored]
    yield "log_loss", scored, judged.log_loss
    yield "brier", scored, judged.brier


def _column(rows: Int64s, values: Float64s, n: int) -> Column:
    if len(rows) == n:
        return Column(JsonType.NUMBER, values)
    types = np.full(n, JsonType.ABSENT, np.uint8)
    types[rows] = JsonType.NUMBER
    spread = np.zeros(n)
    spread[rows] = values
    return Column(types, spread)

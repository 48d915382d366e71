"""What of a prediction and of a label quality needs: few plain values, fit for msgpack.

A class is a text: 1, 1.0 and "1" are one class, so are true and "true". A value that cannot be used is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor.codecs.columns import is_numeric
from stream_monitor.events import Column, Float64s, Group, JsonType
from stream_monitor.summary.categories import bounded, number_text

if TYPE_CHECKING:
    from stream_monitor.config import Quality

Inputs = tuple[Any, ...]
"""Of one prediction, one item per output in the order of their names. Regression: a number or None; binary:
(class or None, score or None); multiclass: (class or None, scores or None), the scores those of each class
where ``classes`` names them, else a dict by class."""

Labels = tuple[Any, ...]
"""Of one label, one item per output in the order of their names: a number, a class, or None."""

_WORDS = {True: "true", False: "false"}
_NUMBERS = (JsonType.NUMBER, JsonType.NUMERIC_STRING)
_TEXTS = (JsonType.STRING, JsonType.NUMERIC_STRING, JsonType.BOOL)


def class_text(value: Any) -> str | None:
    """The class that a JSON value names; None where it names none.

    >>> [class_text(value) for value in ("x", 1, 1.0, 0.5, True, None, [1])]
    ['x', '1', '1', '0.5', 'true', None, None]
    """
    if isinstance(value, str):
        return bounded(value)
    if isinstance(value, bool):
        return _WORDS[value]
    number = _finite(value)
    return None if number is None else bounded(number_text(number))


def label_of(value: Any, quality: Mapping[str, Quality]) -> Labels:
    """The label of each output: the value itself where there is one output, or its member for each.

    Cost: 0.5 us an output.
    """
    if isinstance(value, dict):
        return tuple(_label(value.get(one.label or name), one) for name, one in sorted(quality.items()))
    if len(quality) == 1:
        return tuple(_label(value, one) for one in quality.values())
    return (None,) * len(quality)


def _label(value: Any, quality: Quality) -> float | str | None:
    if quality.task != "regression":
        return class_text(value)
    if isinstance(value, str):
        return _finite(float(value)) if is_numeric(value) else None
    return None if isinstance(value, bool) else _finite(value)


def _finite(value: Any) -> float | None:
    """As a float64, which is what a prediction is read as; -0.0 is 0.0, as it is there."""
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value) + 0.0
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def inputs_of(group: Group, quality: Mapping[str, Quality]) -> list[Inputs]:
    """What is kept of every row. Cost: 0.1 us a value, and 0.2 us for each score of a class."""
    rows = len(group.rows)
    outputs = [_OF_TASK[one.task](group.outputs, name, one, rows) for name, one in sorted(quality.items())]
    return list(zip(*outputs, strict=True)) if outputs else [()] * rows


def _regression(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Iterable[Any]:
    return _numbers(outputs.get(quality.prediction or name), rows)


def _binary(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Iterable[Any]:
    score = outputs.get(quality.score) if quality.score else None
    # An output that is the score names no class: its threshold does.
    named = None if quality.score == (quality.prediction or name) else outputs.get(quality.prediction or name)
    return zip(classes_column(named, rows), _numbers(score, rows, highest=1.0), strict=True)


def _multiclass(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Iterable[Any]:
    return zip(
        classes_column(outputs.get(quality.prediction or name), rows),
        _scores(outputs, quality, rows),
        strict=True,
    )


_Read = Callable[[Mapping[str, Column], str, "Quality", int], Iterable[Any]]
_OF_TASK: dict[str, _Read] = {"regression": _regression, "binary": _binary, "multiclass": _multiclass}


def _scores(outputs: Mapping[str, Column], quality: Quality, rows: int) -> Sequence[Any]:
    """The scores of each class; None where one that is there is no probability, or none is there."""
    if not quality.score:
        return [None] * rows
    if quality.classes is not None:
        columns = [outputs.get(name) for name in _elements(outputs, quality.score, quality.classes)]
        known = list(zip(*(_numbers(column, rows, highest=1.0) for column in columns), strict=True))
        return [None if None in scores else scores for scores in known]
    start = quality.score + "."
    names = sorted(name for name in outputs if name.startswith(start))
    classes = [bounded(name[len(start) :]) for name in names]
    there = [~_mask(outputs[name], (JsonType.ABSENT,), rows) for name in names]
    numbers = [_numbers(outputs[name], rows, highest=1.0) for name in names]
    found: list[Any] = []
    for row in range(rows):
        scores = {one: numbers[at][row] for at, one in enumerate(classes) if there[at][row]}
        found.append(scores if scores and None not in scores.values() else None)
    return found


def _elements(outputs: Mapping[str, Column], score: str, classes: Sequence[str]) -> list[str]:
    """The outputs with the scores of each class: by its name or, where scores are an array, by its place."""
    by_name = [f"{score}.{one}" for one in classes]
    by_place = [f"{score}.{place}" for place in range(len(classes))]
    return by_place if outputs.keys().isdisjoint(by_name) else by_name


def _numbers(column: Column | None, rows: int, highest: float | None = None) -> list[float | None]:
    """As ``numbers_column``, None in place of NaN."""
    numbers = numbers_column(column, rows, highest)
    values: list[float | None] = numbers.tolist()
    for row in np.flatnonzero(np.isnan(numbers)).tolist():
        values[row] = None
    return values


def numbers_column(column: Column | None, rows: int, highest: float | None = None) -> Float64s:
    """The finite numbers of a column; NaN elsewhere, and where one is not in 0..highest."""
    if column is None or column.numbers is None:
        return np.full(rows, math.nan)
    numbers = column.numbers
    usable = np.isfinite(numbers) & _mask(column, _NUMBERS, rows)
    if highest is not None:
        usable &= (numbers >= 0) & (numbers <= highest)
    return numbers if usable.all() else np.where(usable, numbers, math.nan)


def classes_column(column: Column | None, rows: int) -> list[str | None]:
    """The classes that the values of a column name; None elsewhere."""
    if column is None:
        return [None] * rows
    classes: list[str | None] = [None] * rows
    if column.texts is not None:
        texts = list(column.texts)
        for row in np.flatnonzero(_mask(column, _TEXTS, rows)).tolist():
            classes[row] = bounded(texts[row] or "")
    if column.numbers is not None:
        numbers = column.numbers.tolist()
        for row in np.flatnonzero(_mask(column, (JsonType.NUMBER,), rows)).tolist():
            classes[row] = class_text(numbers[row])
    return classes


def _mask(column: Column, types: Sequence[JsonType], rows: int) -> NDArray[np.bool_]:
    """Which rows have a value of one of these types, bool (n,)."""
    if isinstance(column.types, JsonType):
        return np.full(rows, column.types in types)
    return np.isin(column.types, types)

"""What is kept of predictions as columns: the numbers of each, and a template that says where they belong.

Most predictions of a stream differ in their numbers alone, so they have one template: ``(("yes", SLOT),)``
and a number is what ``inputs_of`` says of a binary prediction with a score. NaN is a number that is None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, Group, Int64s
from stream_monitor.quality.columns import Coded, Columns, Numbers, Others, Scored
from stream_monitor.quality.columns import Column as OfOutput
from stream_monitor.quality.values import Inputs, classes_column, inputs_of, numbers_column

if TYPE_CHECKING:
    from stream_monitor.config import Quality


_TEXTS, _NUMBERS, _ARRAYS = {str, NoneType}, {float, int, NoneType}, {tuple, list}
_PAIRS_FEW = 1_000
"""Counting all pairs that could be is cheaper than sorting those that are."""

A = TypeVar("A")
B = TypeVar("B")
H = TypeVar("H", bound=Hashable)


class _Slot:
    """A place for a number."""

    def __repr__(self) -> str:
        return "SLOT"


SLOT: Final = _Slot()
Template = tuple[Any, ...]
"""As Inputs, with SLOT for numbers, and ByClass for those that have names."""


class ByClass(NamedTuple):
    """Scores by class, of these classes in their order."""

    names: tuple[str, ...]


def split(inputs: Inputs) -> tuple[Template, list[float]]:
    """The template of what is kept of one prediction, and its numbers.

    >>> split((("yes", 0.25), 2.0))
    ((('yes', SLOT), SLOT), [0.25, 2.0])
    """
    numbers: list[float] = []

    def template(item: Any) -> Any:
        if isinstance(item, dict):
            numbers.extend(item.values())
            return ByClass(tuple(item))
        if isinstance(item, (tuple, list)):
            return tuple(map(template, item))
        if isinstance(item, (int, float)):
            numbers.append(item)
            return SLOT
        return item

    return template(inputs), numbers


def fill(template: Template, numbers: Sequence[float]) -> Inputs:
    """What is kept of one prediction, from what ``split`` made of it."""
    return _filled(template, iter(numbers))  # type: ignore[no-any-return]


def _filled(template: Any, numbers: Iterator[float]) -> Any:
    if template is SLOT:
        number = next(numbers)
        return None if number != number else number  # noqa: PLR0124 (only NaN is not itself)
    if isinstance(template, ByClass):
        return dict(zip(template.names, numbers, strict=False))
    if isinstance(template, tuple):
        return tuple([_filled(item, numbers) for item in template])
    return template


def slots_of(template: Any) -> int:
    """How many numbers belong to it."""
    if template is SLOT:
        return 1
    if isinstance(template, ByClass):
        return len(template.names)
    return sum(map(slots_of, template)) if isinstance(template, tuple) else 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Of n predictions: the template of each is ``templates[code[i]]``, its numbers begin row i of
    ``numbers`` (n, most numbers of a template)."""

    templates: Sequence[Template]
    code: Int64s
    numbers: Float64s

    @classmethod
    def of(cls, inputs: Sequence[Inputs]) -> Kept:
        """``split`` each. Cost: 50 ns a number, 0.1 us a text; where they are of several forms 3 us each, and
        0.5 us a number of a class."""
        found = _split_at_once(inputs) if inputs else None
        if found is not None:
            return cls.of_items(found)
        codes: dict[Template, int] = {}
        parts = [split(one) for one in inputs]
        code = np.array([codes.setdefault(template, len(codes)) for template, _ in parts], np.int64)
        filled = np.full((len(parts), max((len(row) for _, row in parts), default=0)), np.nan)
        for row, (_, numbers) in enumerate(parts):
            filled[row, : len(numbers)] = numbers
        return cls(list(codes), code, filled)

    @classmethod
    def of_items(cls, items: Items) -> Kept:
        """Whole ones."""
        templates, code, numbers = items
        return cls(templates, code, np.stack(numbers, 1) if numbers else np.empty((len(code), 0)))


class Items(NamedTuple):
    """An item of n templates: which there are, which of them a row has, and columns of numbers."""

    ones: Sequence[Any]
    code: Int64s
    numbers: list[Float64s]


def _split_at_once(items: Sequence[Any]) -> Items | None:
    """None where they are not of one form. Where some are numbers, None is one too."""
    kinds = set(map(type, items))
    if kinds <= _TEXTS:
        return Items(*coded(items), [])
    if kinds <= _NUMBERS:
        return Items((SLOT,), np.zeros(len(items), np.int64), [np.array(items, np.float64)])
    if kinds == {dict} and len(set(map(tuple, items))) == 1:
        numbers = np.array([list(item.values()) for item in items], np.float64)
        return Items((ByClass(tuple(items[0])),), np.zeros(len(items), np.int64), list(numbers.T))
    if kinds <= _ARRAYS and len(set(map(len, items))) == 1:
        parts = [_split_at_once(column) for column in zip(*items, strict=True)]
        found = [part for part in parts if part is not None]
        return _together(len(items), found) if len(found) == len(parts) else None
    return None


def _together(rows: int, parts: Iterable[Items]) -> Items:
    """The items that have these for items."""
    whole: list[Template] = [()]
    code, numbers = np.zeros(rows, np.int64), list[Float64s]()
    for part in parts:
        pairs, code = crossed(whole, code, part.ones, part.code)
        whole = [(*items, item) for items, item in pairs]
        numbers += part.numbers
    return Items(whole, code, numbers)


def crossed(
    firsts: Sequence[A], first: Int64s, seconds: Sequence[B], second: Int64s
) -> tuple[list[tuple[A, B]], Int64s]:
    """The pairs of two columns with codes, and the code of each row: no more than there are rows."""
    both = first * len(seconds) + second
    if len(firsts) * len(seconds) <= _PAIRS_FEW:
        return used(list(product(firsts, seconds)), both)
    there, code = np.unique(both, return_inverse=True)
    return [(firsts[pair // len(seconds)], seconds[pair % len(seconds)]) for pair in there.tolist()], code


def kept_of(group: Group, quality: Mapping[str, Quality]) -> Kept:
    """``inputs_of`` every row, as columns. Cost: 20 ns a number, 0.1 us a class; 2 us a row with scores of
    classes."""
    rows, outputs = len(group.rows), sorted(quality.items())
    if any(one.task == "multiclass" and one.score for _, one in outputs):
        return Kept.of(inputs_of(group, quality))
    parts = [_OF_TASK[one.task](group.outputs, name, one, rows) for name, one in outputs]
    return Kept.of_items(_together(rows, parts))


def used(values: Sequence[Any], code: Int64s) -> tuple[list[Any], Int64s]:
    """Those that are coded, and the codes anew."""
    if len(values) == 1 and len(code):
        return list(values), code
    there = np.bincount(code, minlength=len(values)) > 0
    chosen = [values[at] for at in np.flatnonzero(there).tolist()]
    return chosen, (np.cumsum(there) - 1)[code]


def _regression(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Items:
    numbers = numbers_column(outputs.get(quality.prediction or name), rows)
    return Items((SLOT,), np.zeros(rows, np.int64), [numbers])


def _binary(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Items:
    score = outputs.get(quality.score) if quality.score else None
    # An output that is the score names no class: its threshold does.
    named = None if quality.score == (quality.prediction or name) else outputs.get(quality.prediction or name)
    classes, code = _classes(named, rows)
    if not quality.score:
        return Items([(one, None) for one in classes], code, [])
    return Items([(one, SLOT) for one in classes], code, [numbers_column(score, rows, highest=1.0)])


def _multiclass(outputs: Mapping[str, Column], name: str, quality: Quality, rows: int) -> Items:
    classes, code = _classes(outputs.get(quality.prediction or name), rows)
    return Items([(one, None) for one in classes], code, [])


_OF_TASK: dict[str, Callable[[Mapping[str, Column], str, Quality, int], Items]] = {
    "regression": _regression,
    "binary": _binary,
    "multiclass": _multiclass,
}


def _classes(column: Column | None, rows: int) -> tuple[Sequence[str | None], Int64s]:
    if column is None:
        return (None,), np.zeros(rows, np.int64)
    return coded(classes_column(column, rows))


def coded(values: Sequence[H]) -> tuple[list[H], Int64s]:
    """The distinct ones, and which of them each is. Cost: 0.1 us each."""
    codes = {one: place for place, one in enumerate(dict.fromkeys(values))}
    return list(codes), np.fromiter(map(codes.__getitem__, values), np.int64, len(values))


def columns_of(
    quality: Mapping[str, Quality], templates: Sequence[Template], code: Int64s, numbers: Float64s
) -> Columns:
    """What ``Kept`` has, by output: as the measures of quality take it."""
    outputs: list[OfOutput] = []
    for place, (_, one) in enumerate(sorted(quality.items())):
        items = [template[place] for template in templates]
        first = np.array([slots_of(template[:place]) for template in templates], np.int64)
        if one.task == "multiclass":
            rows = zip(code.tolist(), numbers.tolist(), strict=True)
            outputs.append(Others([fill(templates[at], row)[place] for at, row in rows]))
        elif one.task == "regression":
            outputs.append(Numbers(_picked(first, [item is SLOT for item in items], code, numbers)))
        else:
            scores = _picked(first, [item[1] is SLOT for item in items], code, numbers)
            outputs.append(Scored(Coded([item[0] for item in items], code), scores))
    return Columns(len(code), outputs)


def _picked(first: Int64s, is_there: Sequence[bool], code: Int64s, numbers: Float64s) -> Float64s:
    """Of each row the number at the place that its template says; NaN where it has none."""
    if len(set(first.tolist())) == 1 and all(is_there):
        return numbers[:, first[0]]
    there: NDArray[np.bool_] = np.array(is_there, np.bool_)[code]
    found = np.full(len(code), np.nan)
    found[there] = numbers[np.flatnonzero(there), first[code[there]]]
    return found

"""From the values of many rows to typed columns, one a signal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import chain, islice
from struct import pack
from types import NoneType
from typing import Any

import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, JsonType
from stream_monitor.summary.vocabulary import Texts, Vocabulary

NAMES_MAX = 4_096
"""More signals than this in one event are not read as signals."""
NAME_LENGTH_MAX = 200
"""Longer names of signals are cut, and closed with a hash of the whole."""
ELEMENTS_MAX = 64
"""Of a nested array or object among the outputs, so many elements are read."""
DEPTH_MAX = 3
"""So many levels of the outputs are named; what lies deeper is one signal."""
NUMERIC_LENGTH_MAX = 64

Rows = Sequence[dict[str, Any]]
Layouts = set[tuple[str, ...]]

_TYPE_OF: dict[type, int] = {
    UnsetType: int(JsonType.ABSENT),
    NoneType: int(JsonType.NULL),
    int: int(JsonType.NUMBER),
    float: int(JsonType.NUMBER),
    str: int(JsonType.STRING),
    bool: int(JsonType.BOOL),
    list: int(JsonType.ARRAY),
    dict: int(JsonType.OBJECT),
}
_NUMBERS = frozenset({int, float})
_NUMBERS_OR_GAPS = _NUMBERS | {NoneType, UnsetType}
_TEXTS = frozenset({str, bool})
_WORDS = {True: "true", False: "false"}
_NESTED = frozenset({list, dict})
_NUMERIC = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
_NUMERIC_STARTS = frozenset("+-.0123456789nNiI")


def is_numeric(text: str) -> bool:
    """Whether a string is a number in plain decimal or exponent form, or one of the words NaN, Inf, Infinity.

    >>> [is_numeric(text) for text in ("4.2e1", "-.5", "NaN", "0x10", "1_000", " 1", "")]
    [True, True, True, False, False, False, False]
    """
    return (
        text[:1] in _NUMERIC_STARTS
        and len(text) <= NUMERIC_LENGTH_MAX
        and _NUMERIC.fullmatch(text) is not None
    )


def column(values: Sequence[Any], vocabulary: Vocabulary) -> Column:
    """Type the values of one signal, as parsed from JSON; UNSET where a row has none.

    Cost: about 40 ns a number or string, and a regular expression once a string of the vocabulary that
    begins as a number does.
    """
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return numbers_column(values)
    if kinds == {str}:
        return strings_column(values, vocabulary)
    if kinds <= _NUMBERS_OR_GAPS and kinds & _NUMBERS:
        return gappy_numbers_column(values)
    return _mixed(values, kinds, vocabulary)


def numbers_column(values: Sequence[float]) -> Column:
    """Type a column of numbers."""
    return Column(JsonType.NUMBER, _as_float64(values))


def _as_float64(values: Sequence[float]) -> Float64s:
    """Give float64 (n,) in which -0.0 is 0.0: JSON parsers do not agree about the sign of zero."""
    # Half the cost of np.array, which looks at each value twice.
    return np.frombuffer(pack(f"{len(values)}d", *values)) + 0.0


def strings_column(values: Sequence[str], vocabulary: Vocabulary) -> Column:
    """Type a column of strings."""
    return texts_column(vocabulary.encode(values))


def texts_column(texts: Texts) -> Column:
    """Type a column of strings that are coded."""
    are = texts.each(is_numeric, np.bool_)
    if not are.any():
        return Column(JsonType.STRING, texts=texts)
    numbers = texts.each(_number_of, np.float64)
    if are.all():
        return Column(JsonType.NUMERIC_STRING, numbers, texts)
    return Column(np.where(are, np.uint8(JsonType.NUMERIC_STRING), np.uint8(JsonType.STRING)), numbers, texts)


def _number_of(text: str) -> float:
    return float(text) + 0.0 if is_numeric(text) else 0.0


def gappy_numbers_column(values: Sequence[Any]) -> Column:
    """Type a column of numbers, nulls and UNSET."""
    numbers = _as_float64([math.nan if value is None or value is UNSET else value for value in values])
    gaps = np.flatnonzero(np.isnan(numbers)).tolist()
    if not gaps:
        return Column(JsonType.NUMBER, numbers)
    types = np.full(len(values), JsonType.NUMBER, np.uint8)
    types[gaps] = [_TYPE_OF[type(values[row])] for row in gaps]
    are = types == JsonType.NUMBER
    numbers[~are] = 0.0
    return Column(agreed(types), numbers if are.any() else None)


def _mixed(values: Sequence[Any], kinds: set[type], vocabulary: Vocabulary) -> Column:
    types = np.fromiter(map(_TYPE_OF.__getitem__, map(type, values)), np.uint8, len(values))
    numbers: Float64s | None = None
    texts: Texts | None = None
    if kinds & _NUMBERS:
        numbers = _as_float64([value if type(value) in _NUMBERS else 0.0 for value in values])
    if kinds & _TEXTS:
        texts = vocabulary.encode([_text(value) for value in values])
        if (numeric := texts.each(is_numeric, np.bool_)).any():
            types[numeric] = JsonType.NUMERIC_STRING
            numbers = texts.each(_number_of, np.float64) + (0.0 if numbers is None else numbers)
    return Column(agreed(types), numbers, texts)


def agreed(types: NDArray[np.uint8]) -> NDArray[np.uint8] | JsonType:
    """The types of the rows of a column, as one where all agree."""
    return JsonType(types[0]) if (types == types[0]).all() else types


def _text(value: Any) -> str:
    return value if type(value) is str else _WORDS[value] if type(value) is bool else ""


def layouts(rows: Rows) -> Layouts:
    """Give the distinct sequences of names that the rows have."""
    return set(map(tuple, rows))


def columns(rows: Rows, layouts: Layouts, vocabulary: Vocabulary) -> dict[str, Column]:
    """Turn rows of named values into one column a name that any of them has."""
    if len(layouts) == 1:
        names: Iterable[str] = next(iter(layouts))
        lists: Iterable[Sequence[Any]] = zip(*[row.values() for row in rows], strict=True)
    else:
        names = dict.fromkeys(chain.from_iterable(layouts))
        lists = ([row.get(name, UNSET) for row in rows] for name in names)
    return {short_name(name): column(values, vocabulary) for name, values in zip(names, lists, strict=True)}


def short_name(name: str) -> str:
    """Cut names that are longer than NAME_LENGTH_MAX, deterministically."""
    if len(name) <= NAME_LENGTH_MAX:
        return name
    closing = "#" + blake2b(name.encode(), digest_size=8).hexdigest()
    return name[: NAME_LENGTH_MAX - len(closing)] + closing


def as_features(value: Any, unread: frozenset[str]) -> dict[str, Any]:
    """Name the features of one event. ``unread`` are the names that other fields are mapped to.

    What is not an object of at most NAMES_MAX names is one signal, "features", so that it is counted
    as what it is.
    """
    if type(value) is dict and len(value) <= NAMES_MAX:
        return value if unread.isdisjoint(value) else {k: v for k, v in value.items() if k not in unread}
    return {} if value is None else {"features": value}


def as_outputs(value: Any) -> dict[str, Any]:
    """Name the outputs of one event, one signal for each element of nested arrays and objects.

    A value that is neither is one signal, "output"; elements of an array are "output.0" and on. Empty
    ones, and those nested deeper than DEPTH_MAX levels, are one signal of their type. So are all of
    them together, as "output", where they are more than NAMES_MAX.

    >>> as_outputs({"class": "stay", "probs": [0.1, 0.9], "box": {"width": 3}})
    {'class': 'stay', 'probs.0': 0.1, 'probs.1': 0.9, 'box.width': 3}
    """
    if value is None:
        return {}
    if type(value) is dict:
        if len(value) <= NAMES_MAX and _NESTED.isdisjoint(map(type, value.values())):
            return value
        elements = (_elements(name, element, 1) for name, element in value.items())
        named: Iterable[tuple[str, Any]] = chain.from_iterable(elements)
    else:
        named = _elements("output", value, 0)
    outputs = dict(islice(named, NAMES_MAX + 1))
    return outputs if len(outputs) <= NAMES_MAX else {"output": value}


def _elements(name: str, value: Any, depth: int) -> Iterable[tuple[str, Any]]:
    if depth == DEPTH_MAX or type(value) not in _NESTED or not value:
        yield name, value
        return
    inner = value.items() if type(value) is dict else enumerate(value)
    for key, element in islice(inner, ELEMENTS_MAX):
        yield from _elements(f"{name}.{key}", element, depth + 1)

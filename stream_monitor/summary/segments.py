"""Segments: the events that have one value in a configured field, kept apart, in bounded number.

A segment is written "FIELD=VALUE". Of each stream, field and slice those values are kept whose hashes are the
smallest, and the others together as "FIELD=*other*". The rule ignores order: a value that is among the
smallest of a union is among the smallest of every part, so what is kept is exact however the events were cut
and merged. (Bottom-k sampling, as in ``categories``.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, Self, TypeVar

import numpy as np

from stream_monitor.events import Column, Group, Int64s, JsonType, SliceKey, Stream
from stream_monitor.summary.categories import bounded, number_text, text_hash
from stream_monitor.summary.vocabulary import Texts, Vocabulary

MISSING = ""
"""The value of events that have none: the field is absent or null."""
OTHER = "*other*"
"""The value of all events whose own is not kept apart."""
VALUE_LENGTH_MAX = 64
"""Longer values are cut, and closed with a hash of the whole."""

_EMPTY = "*empty*"
_OF_TYPE = {
    JsonType.ABSENT: MISSING,
    JsonType.NULL: MISSING,
    JsonType.ARRAY: "*array*",
    JsonType.OBJECT: "*object*",
}
"""The value of those types whose values are not told apart."""

MaxOf = Callable[[str], int]
"""How many values of a field are kept apart, by model."""


class Mergeable(Protocol):
    """What can be kept per segment."""

    def __add__(self, other: Self, /) -> Self: ...


M = TypeVar("M", bound=Mergeable)


def segment(field: str, value: str) -> str:
    """The name of a segment, of a value as ``values_of`` gives it; no field has "=" in its name."""
    return f"{field}={value}"


def field_and_value(segment: str) -> tuple[str, str]:
    """What ``segment`` was given."""
    field, _, value = segment.partition("=")
    return field, value


def value_text(text: str) -> str:
    """The value that a text is: at most VALUE_LENGTH_MAX characters, and never one that has a meaning here.

    >>> [value_text(text) for text in ("DE", "", "*other*")]
    ['DE', '*empty*', '**other*']
    """
    if not text:
        return _EMPTY
    return bounded(f"*{text}" if text.startswith("*") else text, VALUE_LENGTH_MAX)


def values_of(column: Column | None, n: int) -> Texts:
    """The values of a column of n rows, None where no row has one; coded, each distinct one once.

    Numbers are written as JSON writes them, integral ones without a point; booleans "true" and "false".
    Cost: 10 ns a row where texts are coded, 20 ns where they are numbers, and up to 1 us a distinct value.
    """
    column = column or Column(JsonType.ABSENT)
    values, types = Vocabulary(), column.types
    codes = np.zeros(n, np.int64)
    if isinstance(types, JsonType):
        said, of_row = _distinct(column, types, slice(None))
        codes += values.encode(said).codes[of_row]
        return Texts(values, codes)
    for one in np.unique(types).tolist():
        rows = np.flatnonzero(types == one)
        said, of_row = _distinct(column, JsonType(one), rows)
        codes[rows] = values.encode(said).codes[of_row]
    return Texts(values, codes)


def _distinct(column: Column, of: JsonType, rows: slice | Int64s) -> tuple[list[str], Int64s]:
    """The values of rows of one type, each distinct text or number once, and which of them a row has."""
    if of in _OF_TYPE:
        return [_OF_TYPE[of]], np.zeros(1, np.int64)
    if of is JsonType.NUMBER:
        assert column.numbers is not None
        numbers, of_row = np.unique(column.numbers[rows], return_inverse=True)
        return [value_text(number_text(number)) for number in numbers.tolist()], of_row
    texts = Texts.of(column.texts or ()).take(rows)
    seen = np.bincount(texts.codes, minlength=len(texts.vocabulary)) > 0
    place = np.cumsum(seen) - 1
    return list(map(value_text, texts.vocabulary.texts(np.flatnonzero(seen)))), place[texts.codes]


def segments_of(group: Group, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """The segments of every row of a group, one a field in the order of ``fields``; not bounded in number.

    Cost: ``values_of``, and 30 ns a row and field.
    """
    n = len(group.rows)
    if not fields:
        return [()] * n
    columns = []
    for field in fields:
        values = values_of(group.features.get(field), n)
        names = [
            segment(field, value) for value in values.vocabulary.texts(np.arange(len(values.vocabulary)))
        ]
        columns.append([names[code] for code in values.codes.tolist()])
    return list(zip(*columns, strict=True))


def rank(value: str) -> tuple[int, str]:
    """Values with the least ranks are kept apart."""
    return text_hash(value), value


def bound_segments(
    streams: Mapping[Stream, M], max_of: MaxOf, known: Iterable[Stream] = ()
) -> dict[Stream, M]:
    """Of the streams of one slice, at most ``max_of(model)`` values of each field; the others as OTHER.

    Bounding parts, in any cut, and then what they merge to equals bounding the whole. Changes nothing that
    it is given. Cost: 1 us a segment, and a sum for each that is not kept.

    The values of ``known`` streams count as if they were here. So whoever follows segments from slice to
    slice keeps those with the smallest hashes of all slices so far, if it drops those ``crowded_out``.
    """
    moved = crowded_out({*streams, *known}, max_of)
    bounded = {stream: one for stream, one in streams.items() if stream not in moved}
    for stream in streams.keys() & moved.keys():
        rest = moved[stream]
        bounded[rest] = bounded[rest] + streams[stream] if rest in bounded else streams[stream]
    return bounded


def bound_slices(slices: Mapping[SliceKey, M], max_of: MaxOf) -> dict[SliceKey, M]:
    """``bound_segments`` of each slice."""
    if not any(stream.segment for stream, _ in slices):
        return dict(slices)
    by_start: defaultdict[int, dict[Stream, M]] = defaultdict(dict)
    for (stream, start), one in slices.items():
        by_start[start][stream] = one
    return {
        SliceKey(stream, start): one
        for start, streams in by_start.items()
        for stream, one in bound_segments(streams, max_of).items()
    }


def crowded_out(streams: Iterable[Stream], max_of: MaxOf) -> dict[Stream, Stream]:
    """The streams that are not kept apart, each with the one that it is counted in."""
    values: defaultdict[Stream, dict[str, Stream]] = defaultdict(dict)
    for stream in streams:
        field, apart, value = stream.segment.partition("=")
        if apart and value != OTHER:
            values[stream._replace(segment=f"{field}={OTHER}")][value] = stream
    moved = {}
    for rest, by_value in values.items():
        most = max_of(rest.model)
        if len(by_value) > most:
            for value in sorted(by_value, key=rank)[most:]:
                moved[by_value[value]] = rest
    return moved

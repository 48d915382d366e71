"""Arrow arrays to typed columns: what ``columns`` makes of JSON values, without a Python object a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from stream_monitor.codecs.arrow_values import (
    Array,
    Bools,
    filled,
    float64s,
    is_list,
    is_number,
    is_text,
    nulls_of,
)
from stream_monitor.codecs.columns import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    NAMES_MAX,
    agreed,
    short_name,
    texts_column,
)
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.events import Column, Int64s, JsonType
from stream_monitor.summary.rows import taken
from stream_monitor.summary.vocabulary import Texts, Vocabulary

CELLS_PER_VALUE_MAX = 8

Named = Iterator[tuple[str, Column]]


class IrregularError(Exception):
    """Rows differ in what they hold, so that they have to be looked at one by one."""


# Where in a row


def member(array: Array, path: tuple[str, ...]) -> Array | None:
    """Follow a path of names from each row; None where no row has it. Of equal names the last counts."""
    for name in path:
        places = array.type.get_all_field_indices(name) if types.is_struct(array.type) else []
        if not places:
            return None
        array = pc.struct_field(array, [places[-1]])
    return array


# Columns


def column(array: Array, vocabulary: Vocabulary) -> Column:
    """Type the values of one signal. Cost: 1 ns a number, 10 ns a string, 2 ns one from a dictionary."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return column(array.storage, vocabulary)
    if array.null_count == len(array):
        return Column(JsonType.NULL)
    if is_text(kind):
        return column(array.dictionary_encode(), vocabulary)
    if types.is_dictionary(kind):
        found = _of_dictionary(array.dictionary, filled(array.indices, 0), vocabulary)
    elif types.is_boolean(kind):
        words = vocabulary.encode(("false", "true")).codes
        found = Column(JsonType.BOOL, texts=Texts(vocabulary, words[filled(array, value=False).astype(int)]))
    elif is_number(kind):
        found = Column(JsonType.NUMBER, float64s(array))
    elif is_list(kind):
        found = Column(JsonType.ARRAY)
    else:
        found = Column(JsonType.OBJECT)
    return marked(found, nulls_of(array), JsonType.NULL)


def marked(one: Column, rows: Bools | None, kind: JsonType) -> Column:
    """The same column, but in these rows (n,) of another type."""
    if rows is None or not rows.any():
        return one
    kinds = np.full(len(rows), one.types, np.uint8) if isinstance(one.types, JsonType) else one.types.copy()
    kinds[rows] = kind
    return Column(agreed(kinds), one.numbers, one.texts)


def features(array: Array | None, unread: frozenset[str], wanted: Wanted | None, to: Vocabulary) -> Named:
    """The features of n rows, as ``as_features`` names them. IrregularError where it takes each row."""
    if array is None:
        return
    if types.is_struct(array.type):
        for name, one in _members(array, wanted.features if wanted else dict).items():
            if name not in unread:
                yield from _there(name, column(one, to), nulls_of(array))
    elif types.is_map(array.type):
        raise IrregularError
    else:
        yield from _there("features", column(array, to), nulls_of(array))


def outputs(array: Array | None, wanted: Wanted | None, to: Vocabulary) -> Named:
    """The outputs of n rows, as ``as_outputs`` names them. IrregularError where it takes each row."""
    if array is None:
        return
    absent = nulls_of(array)
    if not types.is_struct(array.type):
        yield from _elements("output", array, absent, 0, to)
        return
    for name, one in _members(array, wanted.outputs if wanted else dict).items():
        yield from _elements(name, one, absent, 1, to)


def named(columns: Named) -> dict[str, Column]:
    """Columns by name. IrregularError where there are too many, or several of one name."""
    found: dict[str, Column] = {}
    for name, one in columns:
        short = short_name(name)
        if short in found or len(found) == NAMES_MAX:
            raise IrregularError
        found[short] = one
    return found


def _members(array: Array, choose: Callable[[Any], Any]) -> dict[str, Array]:
    if array.type.num_fields > NAMES_MAX:
        raise IrregularError
    names = (one.name for one in array.type)
    chosen: dict[str, Array] = choose(dict(zip(names, array.flatten(), strict=True)))
    return chosen


def _there(name: str, one: Column, absent: Bools | None) -> Named:
    """The column without these rows, unless that is all of them."""
    one = marked(one, absent, JsonType.ABSENT)
    if one.types is not JsonType.ABSENT:
        yield name, one


def _elements(name: str, array: Array, absent: Bools | None, depth: int, to: Vocabulary) -> Named:
    """Name the elements of nested values. Where a row is ``absent``, the array is null."""
    kind = array.type
    if types.is_map(kind) and depth < DEPTH_MAX:
        raise IrregularError
    is_struct = types.is_struct(kind) and kind.num_fields > 0
    if depth == DEPTH_MAX or not (is_struct or is_list(kind)):
        yield from _there(name, column(array, to), absent)
        return
    null = nulls_of(array)
    if not is_struct:
        yield from _of_lists(name, array, null, absent, depth, to)
        return
    if null is not None:
        own = marked(Column(JsonType.ABSENT), null, JsonType.NULL)
        yield from _there(name, own, absent)
    inner = list(_members(array, dict).items())[:ELEMENTS_MAX]
    for key, one in inner:
        yield from _elements(f"{name}.{key}", one, null, depth + 1, to)


def _of_lists(
    name: str, array: Array, null: Bools | None, absent: Bools | None, depth: int, to: Vocabulary
) -> Named:
    """One element of every list at a time, where all lists that have elements have as many."""
    lengths = filled(pc.list_value_length(array), 0).astype(np.int64)
    full = lengths > 0
    if not full.all():
        own = marked(Column(JsonType.ARRAY), full, JsonType.ABSENT)
        yield from _there(name, marked(own, null, JsonType.NULL), absent)
    if not full.any():
        return
    length = int(lengths.max())
    if (lengths[full] != length).any() or len(full) > CELLS_PER_VALUE_MAX * np.count_nonzero(full):
        raise IrregularError
    flat, first = array.flatten(), np.zeros(len(full), np.int64)
    first[full] = np.arange(np.count_nonzero(full)) * length
    gaps = None if full.all() else ~full
    for place in range(min(length, ELEMENTS_MAX)):
        one = flat.take(pa.array(first + place, mask=gaps))
        yield from _elements(f"{name}.{place}", one, gaps, depth + 1, to)


def _of_dictionary(values: Array, index: Int64s, vocabulary: Vocabulary) -> Column:
    """The values at an index, each looked at once, and written out nowhere."""
    if not is_text(values.type):
        [found] = taken({"": column(values, vocabulary)}, index).values()
    else:
        texts = pc.fill_null(values, "") if values.null_count else values
        found = texts_column(Texts(vocabulary, vocabulary.encode(texts.to_pylist()).codes[index]))
    null = nulls_of(values)
    return marked(found, None if null is None else null[index], JsonType.NULL)

"""Arrow arrays to typed columns: what ``columns`` makes of JSON values, without a Python object a value.

An array stands for the JSON values that ``objects`` gives: structs and maps are objects, lists arrays,
times and dates epoch milliseconds (in UTC where they have no zone), and what JSON has no form for is an
empty object.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from stream_monitor.codecs.columns import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    NAMES_MAX,
    agreed,
    short_name,
    texts_column,
)
from stream_monitor.codecs.times import TIME_MS_END
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.events import Column, Float64s, Int64s, JsonType
from stream_monitor.summary.vocabulary import Texts, Vocabulary

VALUES_MAX = 1 << 22
"""So many elements of lists and maps are looked at one by one."""
CELLS_PER_VALUE_MAX = 8

Array = Any
"""An array of pyarrow, whose types do not say what those of nested values have."""
Bools = NDArray[np.bool_]
Named = Iterator[tuple[str, Column]]

_DAY_MS = 86_400_000
_INT64_MAX = pa.scalar(2**63 - 1, pa.uint64())
_PER_MS = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}


class IrregularError(Exception):
    """Rows differ in what they hold, so that they have to be looked at one by one."""


class TooManyValuesError(Exception):
    """Of elements of lists and maps."""


class Coded(NamedTuple):
    """The JSON values of n rows, ``values[codes[row]]``; each distinct one once, where that is cheap."""

    values: list[Any]
    codes: Int64s

    def each(self) -> list[Any]:
        return list(map(self.values.__getitem__, self.codes.tolist()))


# Where in a row


def member(array: Array, path: tuple[str, ...]) -> Array | None:
    """Follow a path of names from each row; None where no row has it. Of equal names the last counts."""
    for name in path:
        places = array.type.get_all_field_indices(name) if types.is_struct(array.type) else []
        if not places:
            return None
        array = pc.struct_field(array, [places[-1]])
    return array


def nulls_of(array: Array) -> Bools | None:
    """Where it is null (n,); None where it is so nowhere."""
    if not array.null_count:
        return None
    nulls: Bools = array.is_null().to_numpy(zero_copy_only=False)
    return nulls


# Columns


def column(array: Array, vocabulary: Vocabulary) -> Column:
    """Type the values of one signal. Cost: 1 ns a number, 10 ns a string, 2 ns one from a dictionary."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return column(array.storage, vocabulary)
    if array.null_count == len(array):
        return Column(JsonType.NULL)
    if types.is_dictionary(kind) and (not _is_text(kind.value_type) or array.dictionary.null_count):
        return column(array.dictionary_decode(), vocabulary)
    if types.is_dictionary(kind) or _is_text(kind):
        found = texts_column(_texts(array, vocabulary))
    elif types.is_boolean(kind):
        words = vocabulary.encode(("false", "true")).codes
        found = Column(JsonType.BOOL, texts=Texts(vocabulary, words[_filled(array, value=False).astype(int)]))
    elif _is_number(kind):
        found = Column(JsonType.NUMBER, _float64s(array))
    elif _is_list(kind):
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


def _members(array: Array, choose: Any) -> dict[str, Array]:
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
    if depth == DEPTH_MAX or not (is_struct or _is_list(kind)):
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
    lengths = _filled(pc.list_value_length(array), 0).astype(np.int64)
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


def _texts(array: Array, vocabulary: Vocabulary) -> Texts:
    """The strings of an array, each distinct one looked at once."""
    encoded = array if types.is_dictionary(array.type) else array.dictionary_encode()
    codes = vocabulary.encode(encoded.dictionary.to_pylist()).codes
    return Texts(vocabulary, codes[_filled(encoded.indices, 0)])


def _float64s(array: Array) -> Float64s:
    """Give float64 (n,), 0 where a row is null, in which -0.0 is 0.0."""
    if types.is_temporal(array.type):
        return epoch_ms(array).astype(np.float64)
    if types.is_decimal(array.type):
        array = array.cast(pa.float64())
    numbers = _filled(array, 0).astype(np.float64)
    numbers += 0.0
    return numbers


def epoch_ms(array: Array) -> Int64s:
    """Give integers, timestamps or dates as int64 (n,), 0 where a row is null.

    Of the last two in ms, cut off; what int64 cannot hold is the greatest that it can.
    """
    kind = array.type
    if types.is_date32(kind):
        return _filled(array.cast(pa.int32()), 0).astype(np.int64) * _DAY_MS
    if types.is_uint64(kind):
        array = pc.min_element_wise(array, _INT64_MAX, skip_nulls=False)
    if types.is_integer(kind):
        return _filled(array, 0).astype(np.int64)
    whole: Int64s = _filled(array.cast(pa.int64()), 0)
    if types.is_date64(kind):
        return whole
    if kind.unit == "s":
        whole = np.clip(whole, -TIME_MS_END, TIME_MS_END) * 1_000
    return whole // _PER_MS[kind.unit]


def _filled(array: Array, value: Any) -> NDArray[Any]:
    """Give (n,), often the array's own buffer, which cannot be written to."""
    filled = pc.fill_null(array, value) if array.null_count else array
    values: NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return values


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_time(kind: pa.DataType) -> bool:
    """Whether ``epoch_ms`` gives the time in ms."""
    return types.is_integer(kind) or types.is_timestamp(kind) or types.is_date(kind)


def _is_number(kind: pa.DataType) -> bool:
    return is_time(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


# Objects


def coded(array: Array) -> Coded:
    """The values of a field. Cost: 10 ns a string or integer, more for what is rarely one."""
    kind = array.type
    if _is_text(kind) or types.is_integer(kind):
        array = array.dictionary_encode()
    if not types.is_dictionary(array.type):
        return Coded(objects(array), np.arange(len(array)))
    values = objects(array.dictionary)
    if array.null_count:
        values.append(None)
    return Coded(values, _filled(array.indices, len(values) - 1).astype(np.int64))


def objects(array: Array) -> list[Any]:
    """The JSON values that an array stands for, by hand: 0.1 us a value and more.

    TooManyValuesError where lists and maps have more than VALUES_MAX elements.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return objects(array.storage)
    if types.is_dictionary(kind):
        return objects(array.dictionary_decode())
    if types.is_null(kind) or types.is_boolean(kind) or types.is_integer(kind) or _is_text(kind):
        plain: list[Any] = array.to_pylist()
        return plain
    null = nulls_of(array)
    if _is_number(kind):
        numbers = epoch_ms(array) if is_time(kind) else _float64s(array)
        found: list[Any] = numbers.tolist()
    elif types.is_struct(kind) and kind.num_fields:
        names = [one.name for one in kind]
        columns = zip(*map(objects, array.flatten()), strict=True)
        found = [dict(zip(names, row, strict=True)) for row in columns]
    elif _is_list(kind):
        found = _of_lists_by_hand(array)
    elif types.is_map(kind):
        found = _of_maps(array)
    else:
        found = [{} for _ in range(len(array))]
    return found if null is None else [None if no else one for one, no in zip(found, null, strict=True)]


def _of_lists_by_hand(array: Array) -> list[list[Any]]:
    lengths = _filled(pc.list_value_length(array), 0).astype(np.int64)
    ends = np.append(0, np.cumsum(lengths)).tolist()
    if ends[-1] > VALUES_MAX:
        raise TooManyValuesError(f"expected at most {VALUES_MAX} elements of lists, got {ends[-1]}")
    values = objects(array.flatten())
    return [values[first:last] for first, last in pairwise(ends)]


def _of_maps(array: Array) -> list[dict[str, Any]]:
    pair = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    pairs = _of_lists_by_hand(array.cast(pa.list_(pair)))
    return [{str(one["key"]): one["value"] for one in row} for row in pairs]

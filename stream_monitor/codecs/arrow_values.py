"""The JSON values that Arrow arrays stand for, as numbers at once or as objects by hand.

Structs and maps are objects, lists arrays, times and dates epoch milliseconds (in UTC where they have no
zone), and what JSON has no form for is an empty object.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from stream_monitor.events import Float64s, Int64s
from stream_monitor.times import TIME_MS_END

Array = Any
"""An array of pyarrow, whose types do not say what those of nested values have."""
Bools = NDArray[np.bool_]

_DAY_MS = 86_400_000
_INT64_MAX = pa.scalar(2**63 - 1, pa.uint64())
_PER_MS = {"s": 1, "ms": 1, "us": 1_000, "ns": 1_000_000}


class Coded(NamedTuple):
    """The JSON values of n rows, ``values[codes[row]]``; each distinct one once, where that is cheap."""

    values: list[Any]
    codes: Int64s

    def each(self) -> list[Any]:
        return list(map(self.values.__getitem__, self.codes.tolist()))


def nulls_of(array: Array) -> Bools | None:
    """Where it is null (n,); None where it is so nowhere."""
    if not array.null_count:
        return None
    nulls: Bools = array.is_null().to_numpy(zero_copy_only=False)
    return nulls


def float64s(array: Array) -> Float64s:
    """Give float64 (n,), 0 where a row is null, in which -0.0 is 0.0."""
    if types.is_temporal(array.type):
        return epoch_ms(array).astype(np.float64)
    if types.is_decimal(array.type):
        array = array.cast(pa.float64())
    # A NaN that is told to signal does.
    with np.errstate(invalid="ignore"):
        numbers = filled(array, 0).astype(np.float64)
        numbers += 0.0
    return numbers


def epoch_ms(array: Array) -> Int64s:
    """Give integers, timestamps or dates as int64 (n,), 0 where a row is null.

    Of the last two in ms, cut off; what int64 cannot hold is the greatest that it can.
    """
    kind = array.type
    if types.is_date32(kind):
        return filled(array.cast(pa.int32()), 0).astype(np.int64) * _DAY_MS
    if types.is_uint64(kind):
        array = pc.min_element_wise(array, _INT64_MAX, skip_nulls=False)
    if types.is_integer(kind):
        return filled(array, 0).astype(np.int64)
    whole: Int64s = filled(array.cast(pa.int64()), 0)
    if types.is_date64(kind):
        return whole
    if kind.unit == "s":
        whole = np.clip(whole, -TIME_MS_END, TIME_MS_END) * 1_000
    return whole // _PER_MS[kind.unit]


def filled(array: Array, value: Any) -> NDArray[Any]:
    """Give (n,), often the array's own buffer, which cannot be written to."""
    whole = pc.fill_null(array, value) if array.null_count else array
    values: NDArray[Any] = whole.to_numpy(zero_copy_only=False)
    return values


def is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind)


def is_time(kind: pa.DataType) -> bool:
    """Whether ``epoch_ms`` gives the time in ms."""
    return types.is_integer(kind) or types.is_timestamp(kind) or types.is_date(kind)


def is_number(kind: pa.DataType) -> bool:
    return is_time(kind) or types.is_floating(kind) or types.is_decimal(kind)


def is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


# Objects


def coded(array: Array) -> Coded:
    """The values of a field. Cost: 10 ns a string or integer, more for what is rarely one."""
    kind = array.type
    if is_text(kind) or types.is_integer(kind):
        array = array.dictionary_encode()
    if not types.is_dictionary(array.type):
        return Coded(objects(array), np.arange(len(array)))
    values, codes = objects(array.dictionary), filled(array.indices, 0).astype(np.int64)
    null = nulls_of(array)
    if null is not None:
        codes[null] = len(values)
        values.append(None)
    return Coded(values, codes)


def objects(array: Array) -> list[Any]:
    """The JSON values that an array stands for, by hand: 0.1 us a value and more.

    Those of a dictionary are shared by their rows.
    """
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return objects(array.storage)
    if types.is_dictionary(kind):
        return coded(array).each()
    if types.is_null(kind) or types.is_boolean(kind) or types.is_integer(kind) or is_text(kind):
        plain: list[Any] = array.to_pylist()
        return plain
    null = nulls_of(array)
    if is_number(kind):
        numbers = epoch_ms(array) if is_time(kind) else float64s(array)
        found: list[Any] = numbers.tolist()
    elif types.is_struct(kind) and kind.num_fields:
        names = [one.name for one in kind]
        columns = zip(*map(objects, array.flatten()), strict=True)
        found = [dict(zip(names, row, strict=True)) for row in columns]
    elif is_list(kind):
        found = _of_lists_by_hand(array)
    elif types.is_map(kind):
        found = _of_maps(array)
    else:
        found = [{} for _ in range(len(array))]
    return found if null is None else [None if no else one for one, no in zip(found, null, strict=True)]


def _of_lists_by_hand(array: Array) -> list[list[Any]]:
    lengths = filled(pc.list_value_length(array), 0).astype(np.int64)
    ends = np.append(0, np.cumsum(lengths)).tolist()
    values = objects(array.flatten())
    return [values[first:last] for first, last in pairwise(ends)]


def _of_maps(array: Array) -> list[dict[str, Any]]:
    pair = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    pairs = _of_lists_by_hand(array.cast(pa.list_(pair)))
    return [{str(one["key"]): one["value"] for one in row} for row in pairs]

"""Parquet as plain JSON values. Needs pyarrow (the extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream_monitor.codecs.arrow_values import objects
from stream_monitor.errors import InputError


def batches(path: Path, rows_max: int) -> Iterator[tuple[int, list[str], list[list[Any]]]]:
    """Give (first row, column names, columns) of up to ``rows_max`` rows, in file order.

    Timestamps and dates are epoch ms; infinities are the strings "Infinity" and "-Infinity", for JSON
    has no other form of them. (NaN stays: orjson writes it as null.) Members of structs are columns with
    dotted names; a map is an object. Raises InputError.
    """
    first = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows_max):
                named = zip(batch.schema.names, batch.columns, strict=True)
                flat = [column for name, array in named for column in _flat(name, array)]
                yield first, [name for name, _ in flat], [_values(array) for _, array in flat]
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: row {first} and on: cannot be read: {error}") from error


def _flat(name: str, array: pa.Array[Any]) -> Iterator[tuple[str, pa.Array[Any]]]:
    if isinstance(array, pa.StructArray):
        for member, inner in zip(array.type, array.flatten(), strict=True):
            yield from _flat(f"{name}.{member.name}", inner)
    else:
        yield name, array


def _values(array: pa.Array[Any]) -> list[Any]:
    kind = array.type
    if isinstance(kind, pa.DictionaryType):
        return _values(array.cast(kind.value_type))
    if pa.types.is_nested(kind):
        return objects(array)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        in_ms = pa.timestamp("ms", getattr(kind, "tz", None))
        return array.cast(in_ms, safe=False).cast(pa.int64()).to_pylist()
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
    values: list[Any] = array.to_pylist()
    if pa.types.is_floating(array.type) and pc.any(pc.is_inf(array)).as_py():
        infinite = {float("inf"): "Infinity", float("-inf"): "-Infinity"}
        return [infinite.get(value, value) for value in values]
    return values

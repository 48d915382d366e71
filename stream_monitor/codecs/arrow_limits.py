"""What a record of Arrow may hold: told by the headers of its messages, before anything is unpacked.

A buffer that is compressed, or that many columns share, may stand for a thousand times its own bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

import numpy as np
import pyarrow as pa
from pyarrow import types

from stream_monitor.events import Int64s

CELLS_MAX = 1 << 22
"""So many values a record may hold: those of all columns, the elements of nested ones and of dictionaries."""
UNPACKED_BYTES_MAX = 1 << 25
"""So many bytes its compressed buffers may unpack to: as many as these values have as numbers."""

FILE_MAGIC = b"ARROW1"

# Numbers of fields in Message.fbs and File.fbs of Arrow's format.
_HEADER = 2
_NODES, _BUFFERS, _COMPRESSION = 1, 2, 3
_DATA = 1
_BLOCKS = (2, 3)
_BLOCK_BYTES = 24


class TooLargeError(Exception):
    """A record holds more than is read."""


def check_size(value: bytes) -> None:
    """TooLargeError, or what pyarrow raises for no Arrow. Cost: 20 us a record of 22 columns."""
    cells = unpacked = 0
    for message in _messages(value):
        if message.type == "schema":
            continue
        header, at = _batch(message)
        cells += _sum(_pairs(header, at, _NODES)[:, 0], CELLS_MAX)
        if cells > CELLS_MAX:
            raise TooLargeError(f"expected at most {CELLS_MAX} values in a record, got more")
        if _field(header, at, _COMPRESSION):
            unpacked += _sum(_unpacked(message, _pairs(header, at, _BUFFERS)), UNPACKED_BYTES_MAX)
        if unpacked > UNPACKED_BYTES_MAX:
            raise TooLargeError(f"expected at most {UNPACKED_BYTES_MAX} unpacked bytes, got more")


def check_types(schema: pa.Schema) -> None:
    """ValueError where a column, or one in it, is of a type that is not read, or has a name that is no UTF-8.

    Those encode runs, choose among types, or point anywhere: pyarrow itself does not take all of them apart.
    """
    for field in schema:
        _check_type(field.name, field.type)


def _check_type(name: str, kind: pa.DataType) -> None:
    if isinstance(kind, pa.BaseExtensionType):
        _check_type(name, kind.storage_type)
    elif types.is_dictionary(kind):
        if kind.value_type.num_fields or types.is_null(kind.value_type):
            raise _unread(name, kind)
        _check_type(name, kind.value_type)
    elif types.is_union(kind) or types.is_run_end_encoded(kind) or _is_view(kind):
        raise _unread(name, kind)
    for at in range(kind.num_fields):
        _check_type(kind.field(at).name, kind.field(at).type)


def _unread(name: str, kind: pa.DataType) -> ValueError:
    return ValueError(f"{name[:60]} of type {str(kind)[:60]}")


def _is_view(kind: pa.DataType) -> bool:
    views = types.is_string_view, types.is_binary_view, types.is_list_view, types.is_large_list_view
    return any(is_one(kind) for is_one in views)


# The headers of messages, in Google's FlatBuffers. pyarrow has verified what is looked at here.


def _messages(value: bytes) -> Iterator[pa.ipc.Message]:
    if not value.startswith(FILE_MAGIC):
        yield from pa.ipc.MessageReader.open_stream(pa.py_buffer(value))
        return
    pa.ipc.open_file(value)
    size = _int32(value, len(value) - len(FILE_MAGIC) - 4)
    footer = memoryview(value)[len(value) - len(FILE_MAGIC) - 4 - size :]
    root, whole = _int32(footer, 0), pa.py_buffer(value)
    for blocks in _BLOCKS:
        for place in _places(footer, root, blocks, _BLOCK_BYTES):
            (offset,) = unpack_from("<q", footer, place)
            yield pa.ipc.read_message(whole.slice(offset))


def _batch(message: pa.ipc.Message) -> tuple[memoryview, int]:
    """The header of a batch of rows, or of those of a dictionary, and where it is."""
    data = memoryview(message.metadata)
    at = _table(data, _int32(data, 0), _HEADER)
    return data, at if message.type == "record batch" else _table(data, at, _DATA)


def _unpacked(message: pa.ipc.Message, buffers: Int64s) -> Int64s:
    """To how many bytes each of the compressed buffers unpacks: told in front, -1 where it is as it was."""
    body = memoryview(message.body or b"")
    words = np.frombuffer(body[: len(body) // 8 * 8], np.int64)
    offset = buffers[buffers[:, 1] > 0, 0]
    if len(offset) and (offset.min() < 0 or offset.max() // 8 >= len(words) or (offset % 8).any()):
        raise ValueError("a buffer that is not within its message")
    sizes: Int64s = words[offset // 8]
    return sizes


def _sum(sizes: Int64s, most: int) -> int:
    """Beyond ``most`` anything that is more."""
    return int(np.clip(sizes, 0, most + 1).sum())


def _pairs(data: memoryview, table: int, number: int) -> Int64s:
    """A vector of pairs of int64 (n, 2)."""
    places = _places(data, table, number, 16)
    return np.frombuffer(data, np.int64, 2 * len(places), places.start).reshape(-1, 2)


def _places(data: memoryview, table: int, number: int, size: int) -> range:
    """Where the structs of a vector are."""
    if not _field(data, table, number):
        return range(0)
    first = _table(data, table, number) + 4
    return range(first, first + size * _int32(data, first - 4), size)


def _table(data: memoryview, table: int, number: int) -> int:
    """What a field of a table points to."""
    place = _field(data, table, number)
    return place + _int32(data, place)


def _field(data: memoryview, table: int, number: int) -> int:
    """Where a field of a table is, 0 where it has none."""
    fields, place = table - _int32(data, table), 4 + 2 * number
    if place >= _int16(data, fields):
        return 0
    offset = _int16(data, fields + place)
    return table + offset if offset else 0


def _int32(data: bytes | memoryview, at: int) -> int:
    (value,) = unpack_from("<i", data, at)
    return int(value)


def _int16(data: memoryview, at: int) -> int:
    (value,) = unpack_from("<H", data, at)
    return int(value)

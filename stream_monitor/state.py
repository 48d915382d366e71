"""Plain state to bytes and back: the form of snapshots and reference files.

State is made of dicts with text keys, lists, numbers, text, bytes, None and numpy arrays. Reading never
runs code (no pickle): the topics that hold state may be written by others.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stream_monitor.errors import FormatError

_ARRAY = 1
_DTYPES = frozenset({"|b1", "|u1", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"})


def pack(kind: str, version: int, state: dict[str, Any]) -> bytes:
    """Bytes that name their kind and version; equal states give equal bytes."""
    return _encoder.encode([kind, version, state])


def unpack(kind: str, version: int, data: bytes) -> dict[str, Any]:
    """The state in ``data``. FormatError where it is of another kind, newer, or damaged."""
    try:
        found_kind, found_version, state = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        message = f"{kind}: expected bytes of this kind, got {len(data)} damaged bytes ({error}); not used"
        raise FormatError(message) from error
    if found_kind != kind or found_version != version or not isinstance(state, dict):
        message = (
            f"{kind}: expected version {version}, got {found_kind!r} version {found_version!r}; not used"
        )
        raise FormatError(message)
    return state


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        header = [plain.dtype.str, *value.shape]
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode([header, plain.tobytes()]))
    message = f"state of type {type(value).__name__} cannot be packed"
    raise TypeError(message)


def _decode_array(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        message = f"unknown extension {code}"
        raise ValueError(message)
    (dtype, *shape), raw = msgspec.msgpack.decode(data)
    if dtype not in _DTYPES:
        message = f"unknown dtype {dtype!r}"
        raise ValueError(message)
    return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_array, order="deterministic")
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_array)

"""The bytes of a summary: a mark, a version, and one msgpack array of integers and packed integers.

The same content gives the same bytes: everything is in order, and each array has the least item size.
Not compressed here: Kafka does that.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from stream_monitor.errors import FormatError
from stream_monitor.events import Int64s
from stream_monitor.summary.categories import BUCKETS, NAMED_MAX, TEXT_MAX
from stream_monitor.summary.codes import BINS
from stream_monitor.summary.counts import HIGH, LOW, LOW_BITS, PLAIN, ROWS_MAX, Count

MARK = b"SMS"
VERSION = 1
SIGNAL_LIMIT_MAX = 1 << 16

Natural = Annotated[int, Meta(ge=0, le=ROWS_MAX)]
Positive = Annotated[int, Meta(ge=1, le=ROWS_MAX)]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
PackedTally = tuple[bytes, bytes]
NamedForm = tuple[Natural, dict[Text, Positive], Annotated[dict[Text, Positive], Meta(max_length=NAMED_MAX)]]


class Form(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What is written, in this order. ``counts`` row by row; ``extremes``: float32, minima then maxima."""

    rows: Natural
    late: Natural
    late_idle: Natural
    dropped_values: Int64
    signal_limit: Annotated[int, Meta(ge=0, le=SIGNAL_LIMIT_MAX)]
    offsets: list[tuple[str, Int64, Int64, Int64]]
    signals: list[str]
    declared: bytes
    counts: list[Int64]
    extremes: bytes
    bins: PackedTally
    buckets: PackedTally
    named: list[NamedForm]


_ITEMS = {size: np.dtype(f"<u{size}") for size in (1, 2, 4, 8)}
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Form)


def bytes_max(sources: int, signals: int, name_bytes: int, kept: int) -> int:
    """No summary is longer, with ``kept`` reference values a signal. Usual: about 1 kB a signal."""
    numbers = 1 + 9 * len(Count) + 8 + 12 * (BINS + BUCKETS)
    texts = 16 + (NAMED_MAX + kept) * (3 + 4 * TEXT_MAX + 9)
    return 128 + sources * (3 + 249 + 27 + 1) + signals * (5 + name_bytes + numbers + texts)


def encode(form: Form) -> bytes:
    """With mark and version."""
    return MARK + bytes([VERSION]) + _ENCODER.encode(form)


def decode(data: bytes) -> Form:
    """Raises FormatError where the bytes are damaged, or of a later version than this one reads."""
    if data[: len(MARK)] != MARK or len(data) <= len(MARK):
        raise FormatError(f"summary: expected bytes that begin with {MARK!r} and a version, got {data[:8]!r}")
    if data[len(MARK)] != VERSION:
        raise FormatError(
            f"summary: expected version {VERSION}, got {data[len(MARK)]}; upgrade the reader first"
        )
    try:
        form = _DECODER.decode(memoryview(data)[len(MARK) + 1 :])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"summary: damaged: {error}") from error
    _check_order(form)
    return form


def _check_order(form: Form) -> None:
    signals = len(form.signals)
    named = [index for index, _, _ in form.named]
    _require(form.signals == sorted(set(form.signals)), "signals not ascending")
    _require(form.offsets == sorted(set(form.offsets)), "offsets not ascending")
    _require(named == sorted(set(named)), "named signals not ascending")
    _require(not named or named[-1] < signals, "named signal beyond the signals")
    for _, kept, others in form.named:
        _require(list(kept) == sorted(kept) and list(others) == sorted(others), "texts not ascending")
        _require(kept.keys().isdisjoint(others), "text kept twice")
    _require(len(form.declared) == (signals + 7) // 8, "length of declared")
    _require(len(form.counts) == signals * len(Count), "length of counts")
    _require(len(form.extremes) == signals * 8, "length of extremes")


def read_counts(form: Form) -> Int64s:
    """int64 (S, len(Count))."""
    counts = np.array(form.counts, np.int64).reshape(len(form.signals), len(Count))
    # Without its sign what is below 0 is above all bounds.
    bits = counts.view(np.uint64)
    _require((bits[:, PLAIN] <= ROWS_MAX).all(), "counts out of bounds")
    _require((bits[:, HIGH] <= ROWS_MAX << 8).all(), "squares out of bounds")
    _require((bits[:, LOW] < 1 << LOW_BITS).all(), "squares out of bounds")
    return counts


def pack_tally(keys: Int64s, counts: Int64s) -> PackedTally:
    """Of distinct ascending keys; written are the gaps between them."""
    gaps = keys.copy()
    gaps[1:] -= keys[:-1]
    return _pack(gaps), _pack(counts)


def unpack_tally(packed: PackedTally, size: int) -> tuple[Int64s, Int64s]:
    """Keys in 0..size-1, distinct and ascending, and their counts."""
    gaps, counts = _unpack(packed[0], size - 1), _unpack(packed[1], ROWS_MAX)
    _require(len(gaps) == len(counts), "keys and counts differ in length")
    keys = np.cumsum(gaps)
    _require(len(keys) == 0 or (keys[-1] < size and gaps[1:].all()), "keys out of order")
    _require(counts.all(), "a count of zero")
    return keys, counts


def _pack(values: Int64s) -> bytes:
    if len(values) == 0:
        return b""
    # The least of 1, 2, 4 and 8 bytes that hold the greatest.
    size = 1 << max(0, (int(values.max()).bit_length() - 1) >> 3).bit_length()
    return bytes([size]) + values.astype(_ITEMS[size]).tobytes()


def _unpack(packed: bytes, highest: int) -> Int64s:
    if not packed:
        return np.empty(0, np.int64)
    size = packed[0]
    _require(size in _ITEMS and len(packed) % size == 1 % size and len(packed) > 1, "length of an array")
    values = np.frombuffer(packed, _ITEMS[size], offset=1)
    _require(highest >= 0 and values.max() <= highest, "value beyond its bound")
    return values.astype(np.int64)


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise FormatError(f"summary: damaged: {problem}")

"""The elements of an id as bytes: what is kept of its predictions and labels in one bucket.

An entry is the list of the elements of one id whose clocks are in one bucket, in the order in which they
came. Times are kept as differences, so that most take one to five bytes: the clock to the start of the
bucket, the time to the clock. Texts are written out: they are the same in all of a block, and the store's
compression takes them away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from stream_monitor.errors import FormatError
from stream_monitor.join.store import Entry, Key

KEY_BYTES = 16
"""Of a key at most. Two of a billion longer ids have one with a probability of 2^-61, and would be joined as
one; no shorter ids have."""
_DIGEST = b"\xff"
"""Begins the key of an id that is longer: no UTF-8 begins with it."""


class Prediction(msgspec.Struct, array_like=True, gc=False, tag=0):
    """A prediction that labels can join: the first of its stream and id within a horizon.

    ``clock`` is counted from the start of its bucket, ``lag`` is clock - time; ms.
    """

    topic: str
    clock: int
    lag: int
    model: str
    version: str
    role: str
    segments: tuple[str, ...]
    inputs: tuple[Any, ...]


class Again(msgspec.Struct, array_like=True, gc=False, tag=1):
    """The last of those that came after a prediction of their stream and id within a horizon. None joins."""

    topic: str
    clock: int
    model: str
    version: str
    role: str


class Label(msgspec.Struct, array_like=True, gc=False, tag=2):
    """A label; ``value`` None takes back the one before. It may be kept in a later bucket than its own:
    with a prediction that came after it, for as long as that one can be joined."""

    topic: str
    offset: int
    row: int
    clock: int
    lag: int
    model: str | None
    value: Any


Element = Prediction | Again | Label

Elements = tuple[Element, ...]
"""Those of one id in one bucket."""

encode: Callable[[Elements], Entry] = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Elements)


def key_of(identifier: str) -> Key:
    """The key of an id: itself where it is short, so that ids which are counted up lie side by side."""
    (key,) = keys_of((identifier,))
    return key


def keys_of(identifiers: Sequence[str]) -> list[Key]:
    """The key of each id. Cost: 0.1 us, and 0.4 us where it has more than KEY_BYTES."""
    try:
        keys = list(map(str.encode, identifiers))
    except UnicodeEncodeError:
        keys = [one.encode("utf-8", "surrogatepass") for one in identifiers]
    if max(map(len, keys), default=0) > KEY_BYTES:
        return [key if len(key) <= KEY_BYTES else _digest(key) for key in keys]
    return keys


def _digest(raw: bytes) -> Key:
    return _DIGEST + hashlib.blake2b(raw).digest()[: KEY_BYTES - 1]


def decode(entry: Entry) -> Elements:
    """Raises FormatError: what is damaged the store itself would have found."""
    try:
        return _decoder.decode(entry)
    except (msgspec.DecodeError, ValueError) as error:
        message = (
            f"store: expected an entry, got {len(entry)} bytes ({error}); remove the store to rebuild it"
        )
        raise FormatError(message) from error

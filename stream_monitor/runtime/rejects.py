"""What a reject looks like on drift.rejects: enough to find the record and see what is wrong with it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from confluent_kafka import Message

from stream_monitor.events import Reject
from stream_monitor.runtime.messages import Outgoing

VALUE_BYTES_MAX = 64 * 1024
KEY_BYTES_MAX = 1024
DETAIL_CHARS_MAX = 500
_OBJECTS_BYTES = 1_200
"""Of the objects that a message is made of, but for their bytes."""


def reject_message(topic: str, message: Message, reject: Reject) -> Outgoing:
    """The record under its key, up to 64 KiB; why, where from, its length and SHA-256 in headers.

    Of a record that holds several rows, a rejected one stands in its place, as JSON, and the header ``form``
    says "row". Cost: the hash of the record, once for all of its rows.
    """
    value = message.value() or b""
    key = message.key()
    headers = {
        "version": "1",
        "reason": str(reject.reason),
        "detail": reject.detail[:DETAIL_CHARS_MAX],
        "topic": message.topic() or "",
        "partition": str(message.partition()),
        "offset": str(message.offset()),
        "row": str(reject.row),
        "length": str(len(value)),
        "sha256": _sha256(value),
    }
    if reject.value is not None:
        headers["form"] = "row"
        value = reject.value
    encoded = [(name, text.encode(errors="backslashreplace")) for name, text in headers.items()]
    return Outgoing(topic, value[:VALUE_BYTES_MAX], None if key is None else key[:KEY_BYTES_MAX], encoded)


def held_bytes(message: Outgoing) -> int:
    """The memory that a reject takes until it is sent, at the most: headers weigh more than most values."""
    headers = sum(len(name) + len(value or b"") for name, value in message.headers)
    return _OBJECTS_BYTES + headers + len(message.key or b"") + len(message.value or b"")


@lru_cache(maxsize=1)
def _sha256(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()

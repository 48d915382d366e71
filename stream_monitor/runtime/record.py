"""A consumed record with the types that it has once it is known not to be an event of the consumer."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from confluent_kafka import Message

from stream_monitor.events import Header


class Record(NamedTuple):
    """``timestamp`` is Kafka's, in ms."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    headers: list[Header]
    value: bytes | None


def record_of(message: Message) -> Record:
    """``message`` holds no error."""
    fields = cast("Any", message)
    return Record(
        fields.partition(),
        fields.offset(),
        fields.timestamp()[1],
        fields.key(),
        headers_of(message),
        fields.value(),
    )


def headers_of(message: Message) -> list[Header]:
    return cast("list[Header] | None", message.headers()) or []

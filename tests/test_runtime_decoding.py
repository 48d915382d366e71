"""Consumed messages as arrays: what each of them says, in their order."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.events import Records, Source
from stream_monitor.runtime.decoding import Batches, Decoding, offsets_of, places_of

HEADERS: Any = [("h", b"1"), ("h", None)]
PLACES = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 5))


@st.composite
def messages(draw: st.DrawFn) -> list[Message]:
    texts = st.none() | st.binary(max_size=3)
    return [
        Message(
            topic=topic,
            partition=number,
            offset=offset,
            key=draw(texts),
            value=draw(texts),
            headers=draw(st.sampled_from([None, HEADERS])),
            timestamp=(1, draw(st.integers(-1, 9))),
        )
        for offset, (topic, number) in enumerate(draw(st.lists(PLACES, max_size=9)))
    ]


def taken(messages: list[Message], sources: tuple[Source, ...], places: list[str]) -> Records:
    """What is decoded."""
    found: list[Records] = []

    def decode(records: Records) -> Batches:
        found.append(records)
        return []

    Decoding(decode, places).batches(messages, sources, places_of(messages, sources), offsets_of(messages))
    return found[0]


@given(messages(), st.sets(PLACES))
def test_a_message_belongs_to_its_partition_or_to_none_that_is_read(
    messages: list[Message], read: set[tuple[str, int]]
) -> None:
    sources = tuple(Source(*one) for one in sorted(read))
    found = places_of(messages, sources).tolist()
    assert [place >= 0 for place in found] == [(one.topic(), one.partition()) in read for one in messages]
    assert all(
        sources[place] == (one.topic(), one.partition())
        for one, place in zip(messages, found, strict=True)
        if place >= 0
    )


@given(messages())
def test_records_say_what_the_messages_say(messages: list[Message]) -> None:
    records = taken(messages, (Source("a", 0),), ["key", "header:h"])
    assert records.offset.tolist() == [one.offset() for one in messages]
    assert records.timestamp.tolist() == [one.timestamp()[1] for one in messages]
    assert records.values == [one.value() for one in messages]
    assert records.keys == [one.key() for one in messages]
    assert records.headers == [one.headers() or [] for one in messages]


@given(messages())
def test_keys_and_headers_are_looked_at_only_where_a_field_is_mapped_to_them(messages: list[Message]) -> None:
    records = taken(messages, (), ["$.model"])
    assert records.keys is None
    assert records.headers is None

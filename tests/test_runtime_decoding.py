"""Consumed messages as arrays: what each of them says, in their order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.events import Records, Source
from stream_monitor.runtime.consumed import Consumed, has_errors
from stream_monitor.runtime.decoding import Batches, Decoding

HEADERS: Any = [("h", b"1"), ("h", None)]
TOPICS = ("a", "b")
NATIVE = pytest.mark.parametrize("native", [False, True], ids=["python", "compiled"])
"""Where the kernel is not installed both are the same."""
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

    consumed = Consumed.of(messages)
    Decoding(decode, places).batches(consumed, sources, consumed.places(sources, TOPICS))
    return found[0]


@given(messages(), st.sets(PLACES))
def test_a_message_belongs_to_its_partition_or_to_none_that_is_read(
    messages: list[Message], read: set[tuple[str, int]]
) -> None:
    sources = tuple(Source(*one) for one in sorted(read))
    found = Consumed.of(messages).places(sources, TOPICS).tolist()
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


@NATIVE
@given(messages=messages())
def test_messages_are_asked_for_what_they_say(messages: list[Message], native: bool) -> None:
    consumed = Consumed.of(messages, native=native)
    assert consumed.messages == messages
    assert consumed.partition.tolist() == [one.partition() for one in messages]
    assert consumed.offset.tolist() == [one.offset() for one in messages]
    assert consumed.timestamp.tolist() == [one.timestamp()[1] for one in messages]
    assert consumed.values == [one.value() for one in messages]
    assert not has_errors(messages, native=native)


@NATIVE
@pytest.mark.parametrize("number", [0, -1, 2**31 - 1, 2**63 - 1, -(2**63)])
def test_numbers_of_any_size_are_told_as_they_are(number: int, native: bool) -> None:
    offset = max(0, number)
    message = Message(topic="a", partition=7, offset=offset, value=b"", timestamp=(1, number))
    consumed = Consumed.of([message], native=native)
    assert (consumed.offset.tolist(), consumed.timestamp.tolist()) == ([offset], [number])


@NATIVE
@given(messages=messages(), at=st.integers(0, 9))
def test_one_error_among_them_is_seen(messages: list[Message], at: int, native: bool) -> None:
    failed = Message(topic="a", partition=0, offset=0, error=KafkaError(KafkaError._PARTITION_EOF))
    assert has_errors([*messages[:at], failed, *messages[at:]], native=native)


@NATIVE
def test_what_is_no_message_is_not_asked(native: bool) -> None:
    others: list[Any] = [Message(topic="a", partition=0, offset=0), "text"]
    with pytest.raises(TypeError):
        Consumed.of(others, native=native)
    with pytest.raises(TypeError):
        has_errors(others, native=native)


@given(messages(), st.data())
def test_those_that_are_wanted_are_what_they_were(messages: list[Message], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.booleans(), min_size=len(messages), max_size=len(messages)))
    consumed = Consumed.of(messages).only(np.array(wanted, np.bool_))
    left = Consumed.of([one for one, is_wanted in zip(messages, wanted, strict=True) if is_wanted])
    assert consumed.messages == left.messages
    assert consumed.values == left.values
    assert consumed.offset.tolist() == left.offset.tolist()
    assert consumed.timestamp.tolist() == left.timestamp.tolist()


@given(st.lists(st.integers(0, 5), max_size=9), st.sets(st.integers(0, 5)))
def test_where_there_is_one_topic_a_message_belongs_to_its_partition(
    numbers: list[int], read: set[int]
) -> None:
    messages = [Message(topic="a", partition=one, offset=i, value=b"") for i, one in enumerate(numbers)]
    sources = tuple(Source("a", one) for one in sorted(read))
    found = Consumed.of(messages).places(sources, ["a"]).tolist()
    assert [sources[one].partition if one >= 0 else None for one in found] == [
        one if one in read else None for one in numbers
    ]

"""Members of a consumer group on a real Kafka: partitions that leave and come back are read again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from stream_monitor.config import Config, parse_config
from stream_monitor.runtime.kafka import consumer_properties
from stream_monitor.runtime.members import FIRST_MAX, POLL_BYTES, POLL_S, Member, following, in_time
from tests.kafka.broker import Cluster
from tests.kafka_apps import wait_for

BOTH = {0, 1}


class Reader:
    """A member that reads its partitions from their beginning; ``seen`` are those that gave a record since
    they were assigned."""

    def __init__(self, config: Config, role: str, name: str) -> None:
        self.member = Member(consumer_properties(config, role, name))
        self.owned: set[int] = set()
        self.seen: set[int] = set()
        self.member.subscribe(config.predictions.topics, self._assigned, self._gone, self._gone)

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        self.owned |= {one.partition for one in partitions}
        self.seen -= self.owned
        self.member.place([TopicPartition(one.topic, one.partition, 0) for one in partitions])

    def _gone(self, partitions: list[TopicPartition]) -> None:
        self.owned -= {one.partition for one in partitions}

    def poll(self) -> None:
        self.seen |= {one.partition() or 0 for one in self.member.poll(0.1)[0]} & self.owned


def config_of(kafka: Cluster, partitions: int) -> Config:
    """Of a topic of its own, with a record in each of its partitions."""
    topic = kafka.create_topic(kafka.unique("members"), partitions)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for partition in range(partitions):
        producer.produce(topic, b"{}", partition=partition)
    assert producer.flush(30) == 0
    settings = {"bootstrap.servers": kafka.bootstrap, "session.timeout.ms": 2000}
    return parse_config({"pipeline": topic, "kafka": settings, "predictions": {"topics": [topic]}})


@pytest.mark.parametrize(("role", "given_up"), [("join", BOTH), ("observe", None)])
def test_a_partition_that_was_paused_when_it_left_is_read_when_it_is_back(
    kafka: Cluster, role: str, given_up: set[int] | None
) -> None:
    """``join`` gives up all partitions in every rebalance, ``observe`` only those that go elsewhere."""
    config = config_of(kafka, len(BOTH))
    (topic,) = config.predictions.topics
    first = Reader(config, role, "a")

    def polled(*readers: Reader) -> bool:
        for reader in readers:
            reader.poll()
        return True

    wait_for(lambda: polled(first) and first.seen == BOTH, "both partitions")
    first.member.consumer.pause([TopicPartition(topic, partition) for partition in BOTH])
    second = Reader(config, role, "b")
    wait_for(lambda: polled(first, second) and first.owned and second.owned, "one partition each")
    gone = given_up or set(second.owned)
    second.member.close()
    wait_for(lambda: polled(first) and first.owned == BOTH, "both partitions back")
    wait_for(lambda: polled(first) and first.seen >= gone, f"records of {gone}")
    first.member.close()


class Calls:
    """In the place of a consumer: the names of what was called, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Callable[[object], None]:
        return lambda _: self.names.append(name)


@pytest.mark.parametrize(
    ("role", "assigning"),
    [("join", ["assign"]), ("observe", ["incremental_unassign", "incremental_assign"])],
)
def test_nothing_is_paused_or_resumed_while_librdkafka_works_off_an_assignment(
    role: str, assigning: list[str]
) -> None:
    """It would lose one or the other, about once in 1000 times, and not read the partition."""
    settings = {"bootstrap.servers": "localhost:1"}
    config = parse_config({"pipeline": "p", "kafka": settings, "predictions": {"topics": ["t"]}})
    member = Member(consumer_properties(config, role, "a"))
    calls: Any = Calls()
    member.consumer.close()
    member.consumer = calls
    places = [TopicPartition("t", partition, 0) for partition in BOTH]
    member.place(places)
    assert calls.names == ["resume", assigning[-1]]
    calls.names.clear()
    member.move(places, places, paused=[places[0]])
    assert calls.names == ["resume", "pause", *assigning]


def test_what_is_to_stay_paused_is_not_read_after_a_move(kafka: Cluster) -> None:
    config = config_of(kafka, len(BOTH))
    (topic,) = config.predictions.topics
    reader = Reader(config, "join", "a")
    places = [TopicPartition(topic, partition, 0) for partition in BOTH]

    def seen(partitions: set[int]) -> bool:
        reader.poll()
        return reader.seen >= partitions

    wait_for(lambda: seen(BOTH), "both partitions")
    reader.seen.clear()
    for _ in range(5):
        reader.member.move(places, places, paused=[places[0]])
        wait_for(lambda: seen({1}), "the one that is read")
        reader.seen.discard(1)
    assert reader.seen == set()
    reader.member.move(places, places)
    wait_for(lambda: seen(BOTH), "both partitions again")
    reader.member.close()


def test_polls_double_up_to_their_most_and_hold_about_as_many_bytes_however_large_records_are() -> None:
    polls = [FIRST_MAX]
    for _ in range(8):
        polls.append(following(polls[-1], [b"x" * 500] * polls[-1], 4_000))
    assert polls[:4] == [100, 200, 400, 800]
    assert polls[-1] == 4_000
    for size in (25_000, 1_000_000, 2 * POLL_BYTES):
        records = following(4_000, [b"x" * size] * 100, 4_000)
        assert records == 1 or POLL_BYTES / 2 < records * size <= POLL_BYTES
    assert following(100, [b""], 4_000) == 200


def test_polls_are_smaller_where_what_comes_of_them_takes_long() -> None:
    # Who does not poll for 300 s is taken for dead.
    assert in_time(4_000, 1_000, POLL_S) == 4_000
    assert in_time(2_000, 1_000, 100.0) == 1_000 * POLL_S / 100
    assert in_time(2_000, 1, 100.0) == 1
    # Nothing came: what took long was not that.
    assert in_time(2_000, 0, 100.0) == 2_000

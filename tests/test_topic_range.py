"""A range of a real topic: which records it holds, and that reading them is bounded."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import InputError
from stream_monitor.events import Source
from stream_monitor.sources import topic as topic_module
from stream_monitor.sources.topic import BUFFERED_MAX, CONSUME_MAX, TopicRange
from tests.kafka.broker import Cluster, free_ports

HOUR_MS = 3_600_000


def config_of(kafka: Cluster, *topics: str, **fields: str) -> Config:
    return parse_config(
        {
            "kafka": {"bootstrap.servers": kafka.bootstrap},
            "predictions": {"topics": list(topics), "fields": fields},
        }
    )


def create(kafka: Cluster, partitions: int) -> str:
    return kafka.create_topic(kafka.unique("range"), partitions, {"retention.ms": "-1"})


def produce(kafka: Cluster, topic: str, records: list[tuple[int, int]]) -> None:
    """Records of (partition, timestamp), valued by their timestamp."""
    # Idempotent, so that a retry never puts a batch behind its successor.
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True})
    for partition, time in records:
        producer.produce(topic, b"%d" % time, key=b"k%d" % time, partition=partition, timestamp=time)
    assert producer.flush(30) == 0


def read_all(topics: TopicRange, source: Source) -> list[bytes | None]:
    values: list[bytes | None] = []
    while (records := topics.take(source)) is not None:
        assert len(records) <= CONSUME_MAX
        values += records.values
    return values


def test_range_is_from_since_up_to_until_by_kafka_timestamps(kafka: Cluster) -> None:
    topic = create(kafka, 4)
    hours = [(partition, hour * HOUR_MS) for hour in range(1, 11) for partition in (0, 1)]
    produce(kafka, topic, [*hours, (2, 2 * HOUR_MS)])
    with TopicRange(config_of(kafka, topic), 3 * HOUR_MS, 7 * HOUR_MS) as topics:
        # Partition 2 ends before the range, 3 is empty.
        assert topics.bounds == {Source(topic, 0): (2, 6), Source(topic, 1): (2, 6)}
        for source in topics.bounds:
            assert read_all(topics, source) == [b"%d" % (hour * HOUR_MS) for hour in range(3, 7)]


def test_range_without_times_is_all_there_is(kafka: Cluster) -> None:
    topic, other = create(kafka, 1), create(kafka, 1)
    produce(kafka, topic, [(0, HOUR_MS), (0, 2 * HOUR_MS)])
    produce(kafka, other, [(0, 3 * HOUR_MS)])
    with TopicRange(config_of(kafka, topic, other)) as topics:
        assert topics.bounds == {Source(topic, 0): (0, 2), Source(other, 0): (0, 1)}
        records = topics.take(Source(topic, 0))
        assert records is not None
        assert records.offset.tolist() == [0, 1]
        assert records.timestamp.tolist() == [HOUR_MS, 2 * HOUR_MS]
        assert records.keys is None
        assert records.headers is None


def test_keys_and_headers_are_read_where_a_field_is_mapped_to_them(kafka: Cluster) -> None:
    topic = create(kafka, 1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"{}", key=b"id-1", headers=[("model", b"m")])
    producer.produce(topic, b"{}")
    producer.flush(30)
    with TopicRange(config_of(kafka, topic, id="key", model="header:model")) as topics:
        records = topics.take(Source(topic, 0))
    assert records is not None
    assert records.keys == [b"id-1", None]
    assert records.headers == [[("model", b"m")], []]


def test_aborted_records_are_not_read_and_open_transactions_end_the_range(kafka: Cluster) -> None:
    topic = create(kafka, 1)
    config = {"bootstrap.servers": kafka.bootstrap, "transactional.id": kafka.unique("writer")}
    writer = Producer(config)
    writer.init_transactions(30)
    for value, end in (("kept", writer.commit_transaction), ("aborted", writer.abort_transaction)):
        writer.begin_transaction()
        writer.produce(topic, value.encode())
        writer.flush(30)
        end(30)
    with TopicRange(config_of(kafka, topic)) as topics:
        assert read_all(topics, Source(topic, 0)) == [b"kept"]
    writer.begin_transaction()
    writer.produce(topic, b"open")
    writer.flush(30)
    produce(kafka, topic, [(0, HOUR_MS)])
    try:
        with TopicRange(config_of(kafka, topic)) as topics:
            # Two records and the marks of two ended transactions.
            assert topics.bounds == {Source(topic, 0): (0, 4)}
            assert read_all(topics, Source(topic, 0)) == [b"kept"]
    finally:
        writer.abort_transaction(30)


def test_what_waits_for_its_turn_is_bounded_and_nothing_is_lost_or_doubled(kafka: Cluster) -> None:
    topic, n = create(kafka, 2), 3 * BUFFERED_MAX
    produce(kafka, topic, [(partition, time + 1) for time in range(n) for partition in (0, 1)])
    expected = [b"%d" % (time + 1) for time in range(n)]
    first, second = Source(topic, 0), Source(topic, 1)
    with TopicRange(config_of(kafka, topic)) as topics:
        taken = read_all(topics, second)
        assert len(topics._waiting[first]) <= BUFFERED_MAX + CONSUME_MAX
        assert taken == expected
        assert read_all(topics, first) == expected


def test_a_topic_that_is_not_there_is_an_input_error(kafka: Cluster) -> None:
    with pytest.raises(InputError, match=r"no-such-topic: expected to be readable, got .*[Uu]nknown topic"):
        TopicRange(config_of(kafka, "no-such-topic"))


def test_a_broker_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_module, "ANSWER_S", 1.0)
    [port] = free_ports(1)
    with pytest.raises(InputError, match=rf"t: expected to be readable, got .*127.0.0.1:{port}"):
        TopicRange(config_of(Cluster(f"127.0.0.1:{port}"), "t"))

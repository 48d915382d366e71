"""What the harness asks the broker about a run, from outside of the workers."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient

Place = tuple[str, int]
"""Topic and partition."""

CALL_TIMEOUT_S = 30.0
CONTROL_RECORDS_MAX = 20
"""A partition is expected to end with fewer markers of transactions than this."""


def committed(admin: AdminClient, group: str, places: list[Place]) -> dict[Place, int]:
    """The committed offset of each place; below 0 where there is none."""
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
    found = admin.list_consumer_group_offsets([asked])[group].result(CALL_TIMEOUT_S)
    return {(one.topic, one.partition): one.offset for one in found.topic_partitions or []}


def reached(admin: AdminClient, group: str, ends: Mapping[Place, int]) -> bool:
    """Whether the group has committed all ends."""
    offsets = committed(admin, group, list(ends))
    return all(offsets[place] >= end for place, end in ends.items())


def ends(bootstrap: str, topic: str) -> dict[Place, int]:
    """The offset after the last record of each partition that has one; markers of transactions are none."""
    last: dict[Place, int] = {}
    for message in read(bootstrap, topic, from_end=CONTROL_RECORDS_MAX):
        place = topic, _known(message.partition())
        last[place] = max(last.get(place, 0), _known(message.offset()) + 1)
    return last


def read(bootstrap: str, topic: str, from_end: int | None = None) -> list[Message]:
    """The committed records of a topic, or of the last ``from_end`` offsets of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmarks.looking",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    begins = []
    for partition in consumer.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CALL_TIMEOUT_S)
        begins.append(
            TopicPartition(topic, partition, low if from_end is None else max(low, high - from_end))
        )
    consumer.assign(begins)
    found, open_partitions = [], len(begins)
    while open_partitions:
        message = consumer.poll(CALL_TIMEOUT_S)
        if message is None:
            raise TimeoutError(f"{topic}: expected its end, got nothing in {CALL_TIMEOUT_S:g} s")
        error = message.error()
        if error is None:
            found.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (librdkafka's own code)
            open_partitions -= 1
        else:
            raise RuntimeError(f"{topic}: expected its records, got {error}")
    consumer.close()
    return found


def _known(number: int | None) -> int:
    assert number is not None
    return number

"""The topic that all contenders read, filled before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from confluent_kafka import KafkaError, Message, Producer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.generator import Chunk
from tests.kafka.broker import Cluster

PARTITIONS = 8
# Event times are old: a topic that keeps for a week would lose them at once.
TOPIC_SETTINGS = {"retention.ms": "-1"}
PRODUCER_SETTINGS = {
    "compression.type": "lz4",
    "linger.ms": 50,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 500_000,
    "partitioner": "consistent_random",
}


class Filling(Protocol):
    """``events`` records in chunks."""

    @property
    def events(self) -> int: ...

    def chunks(self) -> Iterator[Chunk]:
        """All of them."""


def fill(
    cluster: Cluster, topic: str, workload: Filling, partitions: int = PARTITIONS, *, create: bool = True
) -> None:
    """Create ``topic`` and produce the workload to it, by key, each event with its time as timestamp."""
    if create:
        cluster.create_topic(topic, partitions, TOPIC_SETTINGS)
    failed: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({**PRODUCER_SETTINGS, "bootstrap.servers": cluster.bootstrap})
    with _progress_bar() as bar:
        task = bar.add_task(f"filling {topic}", total=workload.events)
        for chunk in workload.chunks():
            for key, value, time in zip(*chunk, strict=True):
                while True:
                    try:
                        producer.produce(topic, value, key, timestamp=time, on_delivery=on_delivery)
                        break
                    except BufferError:
                        producer.poll(0.1)
            producer.poll(0)
            bar.advance(task, len(chunk.values))
        left = producer.flush(60)
    if failed or left:
        raise RuntimeError(f"{topic}: expected all events delivered, got {left} waiting and {failed[:1]}")


def _progress_bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns)

"""Records to Kafka as fast as one core sends them, and a count of those that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream_monitor.config import Config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.load.events import Chunk
from stream_monitor.runtime import client_log
from stream_monitor.runtime.input_topics import Topics, check_there
from stream_monitor.runtime.kafka import CommandAdmin, check_brokers

ANSWER_TIMEOUT_S = 10.0
FLUSH_TIMEOUT_S = 60.0
WAIT_S = 0.01
PARTITION_UNASSIGNED = -1

SETTINGS: Mapping[str, Any] = {
    "compression.type": "lz4",
    # Short queues stay in the processor's cache: half a million records in them cost a fifth more an event.
    "linger.ms": 5,
    "batch.size": 131_072,
    "queue.buffering.max.messages": 10_000,
}


def properties(config: Config) -> dict[str, Any]:
    """For a Sender to the cluster of ``config``, whose properties come before ours. Raises ConfigError."""
    check_brokers(config)
    return {**SETTINGS, **config.kafka_properties(), "logger": client_log.log}


def check_topics(config: Config, *, labels: bool) -> None:
    """StreamMonitorError where a topic that is to be loaded does not exist, or no broker answers."""
    topics = Topics(config.predictions.topics, config.labels.topics if labels and config.labels else ())
    admin = CommandAdmin(config)
    try:
        known = admin.list_topics(timeout=ANSWER_TIMEOUT_S).topics
    except KafkaException as error:
        problem = f"kafka: expected a cluster that tells its topics, got: {admin.why(error)}"
    else:
        check_there(topics, {name for name in topics.all if name not in known})
        return
    raise StreamMonitorError(problem)


class Sender:
    """``settings``: librdkafka's. Memory: its queue, by default 10,000 records."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._producer = Producer({**settings, "delivery.report.only.error": True})
        self.sent = 0
        self.failed = 0
        self.why: KafkaError | None = None
        """What the last one failed with."""

    def send(self, topic: str, chunk: Chunk, times: list[int] | None = None) -> None:
        """Put a chunk in the queue; waits while that is full. ``times``: Kafka timestamps, now without.

        What librdkafka does not take (a record that is too large) has failed.
        """
        produce, tell = self._producer.produce, self._delivered
        for key, value, extra in zip(chunk.keys, chunk.values, _extras(chunk, times), strict=False):
            while True:
                try:
                    produce(topic, value, key, PARTITION_UNASSIGNED, tell, **extra)
                    break
                except BufferError:
                    self._producer.poll(WAIT_S)
                except KafkaException as refused:
                    self.failed += 1
                    self.why = refused.args[0]
                    break
        self._producer.poll(0)
        self.sent += len(chunk.values)

    def close(self) -> None:
        """Wait until all are delivered or given up; what then still waits counts as failed."""
        self.failed += self._producer.flush(FLUSH_TIMEOUT_S)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failed += 1
            self.why = error


def _extras(chunk: Chunk, times: list[int] | None) -> Iterable[dict[str, Any]]:
    """Of each record what produce() is told beside."""
    if times is None and chunk.headers is None:
        return repeat({})
    at = [{}] * len(chunk.values) if times is None else [{"timestamp": time} for time in times]
    if chunk.headers is None:
        return at
    return [{**one, "headers": headers} for one, headers in zip(at, chunk.headers, strict=True)]

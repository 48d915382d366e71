"""A range of the topics of predictions and labels, for replay: every partition from one moment to another.

It belongs to no group and commits nothing, so it can run beside the workers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, cast

import numpy as np
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_monitor.codecs import records_max
from stream_monitor.config import Config
from stream_monitor.errors import DataLossError, InputError
from stream_monitor.events import NO_TIMESTAMP, Header, Records, Source

CONSUME_MAX = 1_000
BUFFERED_MAX = 5_000
"""Records of one partition that wait here before it is paused: memory is bounded by partitions times this."""
ANSWER_S = 10.0
STALLED_S = 60.0

Bounds = dict[Source, tuple[int, int]]


class TopicRange:
    """The records that Kafka stamped from ``since`` up to, but not with, ``until`` (epoch ms; None: from the
    beginning, to the end that the topics have now). Use as a context manager.

    ``bounds`` holds [first, end) offsets of each partition that has any; what transactions aborted is not
    read. Raises InputError where the topics cannot be read, DataLossError where retention overtakes it.
    """

    def __init__(self, config: Config, since: int | None = None, until: int | None = None) -> None:
        # Not librdkafka's own log: it repeats every refused connection twenty times a second.
        properties = {"log_level": 2, **config.kafka_properties()}
        troubles: deque[KafkaError] = deque(maxlen=2)
        admin = AdminClient({**properties, "error_cb": troubles.append})  # type: ignore[dict-item]
        topics, fields = list(config.predictions.topics), [config.predictions.fields.model_dump()]
        if config.labels is not None:
            topics += config.labels.topics
            fields.append(config.labels.fields.model_dump())
        try:
            self.bounds = _bounds(admin, topics, since, until)
        except KafkaException as error:
            admin.poll(0)
            why = "; ".join(dict.fromkeys(one.str() for one in (error.args[0], *troubles)))
            raise InputError(f"{', '.join(topics)}: expected to be readable, got {why}") from error
        mapped = {str(place) for one in fields for place in one.values()}
        # A label is withdrawn by a record that has nothing but its key.
        self._keys = "key" in mapped or config.labels is not None
        self._headers = any(place.startswith("header:") for place in mapped)
        self._consumer = Consumer(
            {
                "fetch.queue.backoff.ms": 10,
                **properties,
                "group.id": "stream-monitor.replay",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        self._take_max = min(records_max(config), CONSUME_MAX)
        self._buffered_max = BUFFERED_MAX * self._take_max // CONSUME_MAX
        self._waiting: dict[Source, deque[Message]] = {source: deque() for source in self.bounds}
        self._unread = set(self.bounds)
        self._paused: set[Source] = set()
        self._consumer.assign([TopicPartition(*source, first) for source, (first, _) in self.bounds.items()])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def __len__(self) -> int:
        """How many offsets the range spans; an upper bound of its records."""
        return sum(end - first for first, end in self.bounds.values())

    def take(self, source: Source) -> Records | None:
        """The next records of one partition, at most CONSUME_MAX; None at its end. Waits for them.

        Partitions may be taken in any order: what comes for others waits, up to BUFFERED_MAX each.
        """
        waiting = self._waiting[source]
        answered = time.monotonic()
        while not waiting and source in self._unread:
            self._resume(source)
            messages = self._consume()
            if messages:
                answered = time.monotonic()
            elif time.monotonic() - answered > STALLED_S:
                raise InputError(f"{_name(source)}: expected records, got no answer for {STALLED_S:.0f} s")
            for message in messages:
                self._sort(message)
            self._pause()
        taken = [waiting.popleft() for _ in range(min(len(waiting), self._take_max))]
        return self._records(source, taken) if taken else None

    def records(self, source: Source) -> Iterator[Records]:
        """All that is left of one partition, as ``take`` gives it."""
        while (records := self.take(source)) is not None:
            yield records

    def _consume(self) -> list[Message]:
        try:
            return self._consumer.consume(self._take_max, timeout=0.5)
        except KafkaException as error:
            raise InputError(f"replay: expected records, got {error.args[0].str()}") from error

    def _sort(self, message: Message) -> None:
        error = message.error()
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its own code)
            _judge(error, topic, partition)
            return
        assert topic is not None
        assert partition is not None
        assert offset is not None
        source = Source(topic, partition)
        if source not in self._unread:
            return
        end = self.bounds[source][1]
        if error is None and offset < end:
            self._waiting[source].append(message)
        if error is not None or offset >= end - 1:
            self._unread.remove(source)
            self._consumer.pause([TopicPartition(*source)])

    def _pause(self) -> None:
        full = {source for source in self._unread if len(self._waiting[source]) >= self._buffered_max}
        if new := full - self._paused:
            self._consumer.pause([TopicPartition(*source) for source in new])
            self._paused |= new

    def _resume(self, source: Source) -> None:
        if source in self._paused:
            self._consumer.resume([TopicPartition(*source)])
            self._paused.remove(source)

    def _records(self, source: Source, messages: list[Message]) -> Records:
        n = len(messages)
        return Records(
            (source,),
            np.zeros(n, np.int64),
            np.fromiter((message.offset() for message in messages), np.int64, n),
            np.fromiter(map(_timestamp, messages), np.int64, n),
            [message.value() for message in messages],
            [message.key() for message in messages] if self._keys else None,
            [cast("list[Header]", message.headers() or []) for message in messages]
            if self._headers
            else None,
        )


def _bounds(admin: AdminClient, topics: Sequence[str], since: int | None, until: int | None) -> Bounds:
    sources = [source for topic in topics for source in _partitions(admin, topic)]
    begin = OffsetSpec.earliest() if since is None else OffsetSpec.for_timestamp(since)  # type: ignore[no-untyped-call]
    ends = _offsets(admin, sources, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    first = _offsets(admin, sources, begin)
    stop = ends if until is None else _offsets(admin, sources, OffsetSpec.for_timestamp(until))
    # Where no record is as late as that, Kafka answers -1: the end.
    bounds = {}
    for source, end in ends.items():
        low = end if first[source] < 0 else first[source]
        high = end if stop[source] < 0 else min(stop[source], end)
        if low < high:
            bounds[source] = (low, high)
    return bounds


def _partitions(admin: AdminClient, topic: str) -> list[Source]:
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_S)[topic].result()
    return [Source(topic, partition.id) for partition in described.partitions]


def _offsets(admin: AdminClient, sources: Sequence[Source], spec: OffsetSpec) -> dict[Source, int]:
    """Per partition the offset that ``spec`` names, below which no transaction is open."""
    asked = {TopicPartition(*source): spec for source in sources}
    futures = admin.list_offsets(
        asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_S
    )
    return {Source(one.topic, one.partition): future.result().offset for one, future in futures.items()}


def _judge(error: KafkaError, topic: str | None, partition: int | None) -> None:
    """Raise what cannot pass by itself; librdkafka goes on trying after the rest."""
    where = f"{topic}[{partition}]"
    if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001 (its own code)
        raise DataLossError(
            f"{where}: expected records of the range, got {error.str()}; retention was faster"
        )
    if error.fatal() or topic is not None:
        raise InputError(f"{where}: expected records, got {error.str()}")


def _timestamp(message: Message) -> int:
    kind, time_ms = message.timestamp()
    return NO_TIMESTAMP if kind == TIMESTAMP_NOT_AVAILABLE else time_ms


def _name(source: Source) -> str:
    return f"{source.topic}[{source.partition}]"

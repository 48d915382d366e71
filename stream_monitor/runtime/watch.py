"""What the brokers say of the input topics, asked about once a second in the background.

librdkafka's threads do the asking. A worker looks for answers between two batches and never waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Source

log = logging.getLogger(__name__)

LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
INTERVAL_S = 1.0
CALL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """``id`` is "" where the broker knows no topic ids (the embedded one)."""

    id: str
    partitions: int


@dataclass(slots=True)
class Answer:
    """``asked_s`` (monotonic) and ``asked_ms`` (wall clock) are from before anything was asked."""

    asked_s: float
    asked_ms: int
    ends: dict[Source, int] = field(default_factory=dict)
    topics: dict[str, TopicFacts] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


class Watch:
    """Asks for end offsets (uncommitted records included), topic ids and partition counts.

    ``topic_ids`` False: the brokers know none (the embedded one).
    """

    def __init__(self, admin: AdminClient, topics: Iterable[str], *, topic_ids: bool = True) -> None:
        self._admin = admin
        self._topics = list(topics)
        self._topic_ids = topic_ids
        self._ends: dict[TopicPartition, Future[Any]] = {}
        self._descriptions: dict[str, Future[Any]] = {}
        self._answer = Answer(-INTERVAL_S, 0)

    def ask(self, sources: Iterable[Source]) -> None:
        """Begin a round, unless one is under way or the last one is younger than INTERVAL_S."""
        # Nothing comes of it but what the client has to say.
        self._admin.poll(0)
        now_s = time.monotonic()
        if self._ends or self._descriptions or now_s - self._answer.asked_s < INTERVAL_S:
            return
        self._answer = Answer(now_s, int(time.time() * 1000))
        self._descriptions = self._describe() if self._topic_ids else {}
        wanted = {TopicPartition(*source): LATEST for source in sources}
        if wanted:
            self._ends = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_TIMEOUT_S
            )

    def take(self) -> Answer | None:
        """The answer of a round, once, when all of it is there."""
        pending = [*self._ends.values(), *self._descriptions.values()]
        if not pending or not all(future.done() for future in pending):
            return None
        answer = self._answer
        for place, future in self._ends.items():
            if future.exception() is None:
                answer.ends[Source(place.topic, place.partition)] = future.result().offset
        _read(self._descriptions, answer)
        self._ends, self._descriptions = {}, {}
        return answer

    def facts(self) -> Answer:
        """Topic ids and partition counts, now. StreamMonitorError where no broker answers."""
        answer = Answer(time.monotonic(), int(time.time() * 1000))
        if self._topic_ids:
            _read(self._describe(), answer)
            return answer
        for topic in self._topics:
            known = self._admin.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic].partitions
            answer.topics[topic] = TopicFacts("", len(known))
        return answer

    def _describe(self) -> dict[str, Future[Any]]:
        collection = TopicCollection(self._topics)
        return self._admin.describe_topics(collection, request_timeout=CALL_TIMEOUT_S)


def _read(futures: Mapping[str, Future[Any]], answer: Answer) -> None:
    for topic, future in futures.items():
        try:
            description = future.result(2 * CALL_TIMEOUT_S)
        except TimeoutError as error:
            message = f"{topic}: expected its description within {CALL_TIMEOUT_S:g} s, got none"
            raise StreamMonitorError(message) from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                answer.missing.add(topic)
            elif error.args[0].code() != KafkaError._TIMED_OUT:  # noqa: SLF001 (its own code)
                # Of brokers that are away the client tells by itself.
                log.warning("topic not described", extra={"topic": topic, "error": error.args[0].str()})
        else:
            answer.topics[topic] = TopicFacts(str(description.topic_id), len(description.partitions))

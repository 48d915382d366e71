"""What the brokers say of the input topics, asked about once a second in the background.

librdkafka's threads do the asking. A worker looks for answers between two batches and never waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

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
    """Asks for end offsets (uncommitted records included), topic ids and partition counts."""

    def __init__(self, admin: AdminClient, topics: Iterable[str]) -> None:
        self._admin = admin
        self._topics = list(topics)
        self._ends: dict[TopicPartition, Future[Any]] = {}
        self._descriptions: dict[str, Future[Any]] = {}
        self._answer: Answer | None = None

    def ask(self, sources: Iterable[Source]) -> None:
        """Begin a round, unless one is under way or the last one is younger than INTERVAL_S."""
        now_s = time.monotonic()
        if self._answer is not None and (self._ends or self._descriptions):
            return
        if self._answer is not None and now_s - self._answer.asked_s < INTERVAL_S:
            return
        self._answer = Answer(now_s, int(time.time() * 1000))
        self._descriptions = self._describe()
        wanted = {TopicPartition(*source): LATEST for source in sources}
        if wanted:
            self._ends = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_TIMEOUT_S
            )

    def take(self) -> Answer | None:
        """The answer of a round, once, when all of it is there."""
        pending = [*self._ends.values(), *self._descriptions.values()]
        if self._answer is None or not pending or not all(future.done() for future in pending):
            return None
        answer = self._answer
        for place, future in self._ends.items():
            error = future.exception()
            if error is None:
                answer.ends[Source(place.topic, place.partition)] = future.result().offset
        self._read_descriptions(answer)
        self._ends, self._descriptions = {}, {}
        return answer

    def facts(self) -> Answer:
        """Topic ids and partition counts, now. Waits for the brokers."""
        answer = Answer(time.monotonic(), int(time.time() * 1000))
        self._read_descriptions(answer, self._describe())
        return answer

    def _describe(self) -> dict[str, Future[Any]]:
        collection = TopicCollection(self._topics)
        return self._admin.describe_topics(collection, request_timeout=CALL_TIMEOUT_S)

    def _read_descriptions(self, answer: Answer, futures: dict[str, Future[Any]] | None = None) -> None:
        for topic, future in (self._descriptions if futures is None else futures).items():
            try:
                description = future.result(CALL_TIMEOUT_S)
            except KafkaException as error:
                self._without_description(answer, topic, error.args[0])
            else:
                answer.topics[topic] = TopicFacts(str(description.topic_id), len(description.partitions))

    def _without_description(self, answer: Answer, topic: str, error: KafkaError) -> None:
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            answer.missing.add(topic)
        elif error.code() == KafkaError._UNSUPPORTED_FEATURE:  # noqa: SLF001 (confluent-kafka's own code)
            known = self._admin.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic].partitions
            answer.topics[topic] = TopicFacts("", len(known))
        else:
            log.warning("topic_not_described", extra={"topic": topic, "error": error.str()})

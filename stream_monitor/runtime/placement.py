"""Whether predictions and labels of one id meet on one partition number: where their producers put them.

Java's client places a key by murmur2, librdkafka by CRC32 unless it is told otherwise. A pipeline that scores
in Java and labels in Python puts the same id on two partitions, and nothing is ever joined.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from stream_monitor.codecs import codec_of
from stream_monitor.codecs.labels import LabelCodec
from stream_monitor.config import Config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Batch, LabelBatch, Records, Source
from stream_monitor.runtime import client_log
from stream_monitor.runtime.kafka import reader_properties
from stream_monitor.runtime.record import headers_of
from stream_monitor.sources.partitioners import BY_NAME

log = logging.getLogger(__name__)

SAMPLE_RECORDS = 200
SAMPLE_S = 5.0
CALL_TIMEOUT_S = 5.0
CHANCE_MAX = 1e-6
"""Nothing is said of a topic whose ids could lie as they do by chance, with more than this probability."""
STRAY_MAX = 0.01
"""So many of the ids may lie elsewhere: somebody once wrote some by hand."""

SAID = {
    "murmur2_random": "murmur2 (Java's default)",
    "consistent_random": "CRC32 (librdkafka's default)",
}


class Placed(NamedTuple):
    """Where an event or a label was found, and under which key."""

    partition: int
    key: bytes | None
    id: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A sample of a topic, latest records of each partition."""

    topic: str
    partitions: int
    rows: Sequence[Placed]

    @property
    def tells(self) -> bool:
        """Whether there are enough distinct ids that their places are no chance."""
        ids = len({one.id for one in self.rows})
        return self.partitions > 1 and ids * math.log(self.partitions) >= -math.log(CHANCE_MAX)

    @property
    def by(self) -> set[str]:
        """The partitioners that, given the id, put it where it was found."""
        return {name for name in BY_NAME if self._strays(name) <= STRAY_MAX * len(self.rows)}

    def _strays(self, name: str) -> int:
        place = BY_NAME[name]
        return sum(place(one.id.encode(), 0, self.partitions) != one.partition for one in self.rows)

    def said(self) -> str:
        """How it is placed, for a person."""
        other = next((one for one in self.rows if one.key != one.id.encode()), None)
        keyed = "keyed by the id" if other is None else "placed by the id"
        if found := self.by:
            return f"{keyed} with {' or '.join(SAID[name] for name in sorted(found))}"
        if other is None:
            return f"{keyed} with neither {' nor '.join(SAID.values())}"
        if all(one.key is None for one in self.rows):
            return "without keys"
        key = "none" if other.key is None else repr(other.key[:40].decode(errors="replace"))
        return f"not keyed by the id (key {key} of id {other.id[:40]!r})"


def check_placement(config: Config) -> None:
    """Look at some records of all topics that the join reads. Takes at most some SAMPLE_S seconds.

    StreamMonitorError where ids cannot meet: both placements and what to do. Where there are too few records
    to tell, a line in the log. Labels are compared with predictions of models that have ``quality``.
    """
    predictions, labels = config.joined("predictions"), config.joined("labels")
    sample = sample_topics(config, [*predictions, *labels])
    judge_placement([sample[topic] for topic in predictions], [sample[topic] for topic in labels])


def judge_placement(predictions: Sequence[Placement], labels: Sequence[Placement]) -> None:
    """StreamMonitorError unless the ids of each topic of labels can meet those of each of predictions."""
    for one in predictions:
        for other in labels:
            if one.partitions == other.partitions == 1:
                continue
            met = _meet(one, other)
            if met is None:
                topics = {"predictions": one.topic, "labels": other.topic}
                log.info("too few records to tell whether ids meet", extra=topics)
            elif not met:
                raise StreamMonitorError(_refusal(one, other))


def _meet(one: Placement, other: Placement) -> bool | None:
    """Whether ids meet; None where nothing can be said."""
    if one.tells and other.tells and not one.by.isdisjoint(other.by):
        return True
    where: dict[str, set[int]] = {}
    for placed in one.rows:
        where.setdefault(placed.id, set()).add(placed.partition)
    shared = {placed.id: placed.partition in where[placed.id] for placed in other.rows if placed.id in where}
    if shared and sum(shared.values()) < (1 - STRAY_MAX) * len(shared):
        return False
    if shared and len(shared) * math.log(one.partitions) >= -math.log(CHANCE_MAX):
        return True
    if not (one.tells and other.tells):
        return None
    if one.by or other.by:
        return False
    # Both by something else, which may be the same: that shows only where an id is seen in both.
    return None if all(placed.key is not None for placed in (*one.rows, *other.rows)) else False


def _refusal(one: Placement, other: Placement) -> str:
    if not one.by:
        remedies = "key the predictions by the id, or set labels.repartition: both"
    elif not other.by:
        remedies = "key the labels by the id, or set labels.repartition: labels"
    else:
        remedies = (
            "set partitioner=murmur2_random at the producer that uses librdkafka, or set "
            "labels.repartition: labels"
        )
    return (
        f"labels.topics: expected labels on the partition numbers of their predictions, got {one.topic} "
        f"{one.said()} and {other.topic} {other.said()}: they would never meet; the worker "
        f"stops. To mend it, {remedies}"
    )


def partitioner_of(placements: Iterable[Placement]) -> str | None:
    """The partitioner that puts predictions where they are, by their ids; None where it cannot be told yet.

    StreamMonitorError where they are not placed by their ids, or not all alike.
    """
    seen = [one for one in placements if one.rows and one.partitions > 1]
    names = set(BY_NAME).intersection(*(one.by for one in seen))
    if not names:
        said = "; ".join(f"{one.topic} {one.said()}" for one in seen)
        raise StreamMonitorError(
            "labels.repartition: labels: expected predictions that are all placed by their id, and by one "
            f"partitioner, got {said}; the worker stops. To mend it, set labels.repartition: both"
        )
    return names.pop() if len(names) == 1 else None


# What is in the topics


def sample_topics(config: Config, topics: Iterable[str]) -> dict[str, Placement]:
    """Up to about SAMPLE_RECORDS latest records of each topic, as far as they come in SAMPLE_S seconds.

    Belongs to no group and commits nothing. Raises KafkaException where no broker answers.
    """
    consumer = Consumer(reader_properties(config), logger=client_log.log)
    try:
        counts = {
            topic: len(consumer.list_topics(topic, timeout=CALL_TIMEOUT_S).topics[topic].partitions)
            for topic in topics
        }
        messages = list(_latest(consumer, counts))
    finally:
        consumer.close()
    rows: dict[str, list[Placed]] = {topic: [] for topic in counts}
    for topic, placed in _placed(config, messages):
        rows[topic].append(placed)
    return {topic: Placement(topic, count, rows[topic]) for topic, count in counts.items()}


def _latest(consumer: Consumer, counts: dict[str, int]) -> Iterator[Message]:
    until_s = time.monotonic() + SAMPLE_S
    assigned = []
    for topic, count in counts.items():
        wanted = -(-SAMPLE_RECORDS // count)
        for partition in range(count):
            place = TopicPartition(topic, partition)
            bounds: tuple[int, int] | None = consumer.get_watermark_offsets(place, timeout=CALL_TIMEOUT_S)
            if bounds is None:
                continue
            if bounds[0] < bounds[1] and time.monotonic() < until_s:
                # Each transaction ends with a record that is not delivered.
                place.offset = max(bounds[0], bounds[1] - 2 * wanted)
                assigned.append(place)
    consumer.assign(assigned)
    left = {(one.topic, one.partition) for one in assigned}
    while left and time.monotonic() < until_s:
        for message in consumer.consume(SAMPLE_RECORDS, 0.1):
            if message.error() is None:
                yield message
            else:
                # Its end, or an offset that retention took meanwhile.
                left.discard((message.topic(), message.partition()))


def _placed(config: Config, messages: Sequence[Message]) -> Iterator[tuple[str, Placed]]:
    """Topic and place of each event of a model with quality, and of each label."""
    keys = {(one.topic(), one.partition(), one.offset()): one.key() for one in messages}
    for batch in _decoded(config, messages):
        rows: Iterable[int] = range(len(batch))
        if isinstance(batch, Batch):
            joined = [group.rows for group in batch.groups if config.model(group.stream.model).quality]
            rows = np.concatenate(joined).tolist() if joined else ()
        for row in rows:
            source, found = batch.sources[batch.source[row]], batch.ids[row] if batch.ids else None
            if found is not None:
                yield source.topic, Placed(source.partition, keys[*source, int(batch.offset[row])], found)


def _decoded(config: Config, messages: Sequence[Message]) -> Iterator[Batch | LabelBatch]:
    of_labels = set(config.joined("labels"))
    labels = [one for one in messages if one.topic() in of_labels]
    predictions = [one for one in messages if one.topic() not in of_labels]
    if predictions:
        yield codec_of(config).decode(_records(predictions))
    if labels:
        yield LabelCodec(config).decode(_records(labels))


def _records(messages: Sequence[Message]) -> Records:
    places = [Source(one.topic() or "", one.partition() or 0) for one in messages]
    sources = tuple(sorted(set(places)))
    return Records(
        sources,
        np.array([sources.index(one) for one in places], np.int64),
        np.array([one.offset() for one in messages], np.int64),
        np.array([one.timestamp()[1] for one in messages], np.int64),
        [one.value() for one in messages],
        [one.key() for one in messages],
        [headers_of(one) for one in messages],
    )

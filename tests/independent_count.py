"""A second opinion on conservation: rows in = summarized + rejected + late, for every model.

Nothing here imports stream_monitor, so a mistake of the package cannot hide in its own count. What is known
of the wire is written down again: a delta on drift.summaries is a msgpack map with ``key`` ((model, version,
role), slice start), ``rows`` and ``data``; ``data`` is four bytes of mark and version before a msgpack array
that begins with the rows on time and the late rows. A delta of features has the role "" and counts no rows
of its own. A reject names its place in its headers.

    counted = count("localhost:9092", ["predictions"], "drift.summaries", "drift.rejects")
    assert not counted.differences

A row that is lost is a difference above zero, one that is counted twice is one below.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

NOBODY = ""
"""The model of rows that name none."""
ROWS_MAX = 10_000
"""An array of more events than this is one bad row."""
STALLED_S = 60

Place = tuple[str, int, int, int]
"""Topic, partition, offset and row within the record."""


@dataclass
class Counted:
    """Rows by model. ``rejects``: the reasons given for each place, more than one if it is told twice.

    ``reported`` is what progress records say of each source partition: accepted (late ones among them),
    rejected and late rows.
    """

    produced: Counter[str] = field(default_factory=Counter)
    summarized: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    rejects: dict[Place, list[str]] = field(default_factory=dict)
    reported: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, int]:
        """By model, produced - (summarized + rejected + late), where that is not zero."""
        models = {*self.produced, *self.summarized, *self.rejected, *self.late}
        missing = {
            model: self.produced[model] - self.summarized[model] - self.rejected[model] - self.late[model]
            for model in models
        }
        return {model: number for model, number in missing.items() if number}


def count(bootstrap: str, inputs: Iterable[str], summaries: str, rejects: str) -> Counted:
    """Count what is in the topics now, as a read_committed consumer sees them.

    Every worker has to have committed its last flush. Memory: that of the rejects. Cost: some 10 us an event.
    """
    counted = Counted()
    for message in records(bootstrap, [rejects]):
        headers = headers_of(message)
        partition, offset, row = (int(headers[name]) for name in ("partition", "offset", "row"))
        place = (headers["topic"].decode(), partition, offset, row)
        counted.rejects.setdefault(place, []).append(headers["reason"].decode())
    for message in records(bootstrap, inputs):
        _count_produced(counted, message)
    for message in records(bootstrap, [summaries]):
        _count_summary(counted, message)
    return counted


def _count_produced(counted: Counted, message: Message) -> None:
    topic, partition, offset = place_of(message)
    for row, model in enumerate(models_of(message.value())):
        counted.produced[model] += 1
        counted.rejected[model] += len(counted.rejects.get((topic, partition, offset, row), ()))


def models_of(value: bytes | None) -> list[str]:
    """The model that each row of a record names; NOBODY where it names none."""
    if value is None:
        return []
    try:
        # Numbers stay text: a model may be an integer, and Python does not read very long ones.
        document = json.loads(value.decode(), parse_int=str)
    except (ValueError, RecursionError):
        return [NOBODY]
    if isinstance(document, list) and len(document) <= ROWS_MAX:
        return [_model(row) for row in document]
    return [_model(document)]


def _model(row: Any) -> str:
    model = row.get("model") if isinstance(row, dict) else None
    return model if isinstance(model, str) else NOBODY


def _count_summary(counted: Counted, message: Message) -> None:
    headers = headers_of(message)
    content = msgspec.msgpack.decode(message.value() or b"")
    if headers["kind"] == b"delta":
        (model, _, role, segment), _ = content["key"]
        if role and not segment and content["kind"] == "events":
            on_time, late = msgspec.msgpack.decode(content["data"][4:])[:2]
            counted.summarized[model] += on_time
            counted.late[model] += late
    elif message.partition() == 0:
        # The same report goes to every partition.
        for one in content["progress"]:
            source = (one["source"][0], one["source"][1])
            before = counted.reported.get(source, (0, 0, 0))
            now = (one["rows"], one["rejected"], one["late"])
            counted.reported[source] = (before[0] + now[0], before[1] + now[1], before[2] + now[2])


def records(bootstrap: str, topics: Iterable[str]) -> Iterator[Message]:
    """All committed records that the topics hold now, in order within each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "independent-count",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 10,
        }
    )
    try:
        left = {
            (topic, partition)
            for topic in topics
            for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions
        }
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
        answered_s = time.monotonic()
        while left:
            # It waits as long as that for the whole thousand.
            messages = consumer.consume(1000, 0.2)
            if messages:
                answered_s = time.monotonic()
            elif time.monotonic() - answered_s > STALLED_S:
                raise TimeoutError(f"expected records of {sorted(left)}, got nothing for {STALLED_S} s")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic() or "", message.partition() or 0))
                else:
                    raise OSError(error.str())
    finally:
        consumer.close()


def headers_of(message: Message) -> dict[str, bytes]:
    """The headers of a record that the package wrote: all of them have a value."""
    return dict(cast("list[tuple[str, bytes]]", message.headers() or []))


def place_of(message: Message) -> tuple[str, int, int]:
    """Topic, partition and offset of a record."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return topic, partition, offset

"""The contenders that read the topic in this one process: ``python -m benchmarks.contenders NAME SETTINGS``.

SETTINGS is JSON: ``bootstrap``, ``topic``, ``events`` (so many are read), ``properties`` (librdkafka's)
and ``batch`` (records a call of consume). The clock starts with the first records at hand. Writes a Run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, Message, TopicPartition

from benchmarks.runs import Mark, Run, print_run
from benchmarks.topic import PARTITIONS
from benchmarks.workers import configuration

NAIVE_EVENTS_MAX = 100_000
SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Feed:
    """The topic from its beginning, in batches, up to a number of events."""

    bootstrap: str
    topic: str
    events: int
    properties: dict[str, Any]
    batch: int
    labels: str | None = None
    """A topic that is read as well; it holds as many records."""

    def batches(self) -> Iterator[list[Message]]:
        consumer = Consumer(
            {
                **self.properties,
                "bootstrap.servers": self.bootstrap,
                "group.id": "benchmarks",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            }
        )
        topics = [self.topic, self.labels] if self.labels else [self.topic]
        places = [TopicPartition(topic, one, 0) for topic in topics for one in range(PARTITIONS)]
        consumer.assign(places)
        left = self.events * len(topics)
        while left:
            messages = consumer.consume(min(self.batch, left), SILENCE_S)
            if not messages:
                raise TimeoutError(f"{self.topic}: expected {left} more events, got none in {SILENCE_S:g} s")
            left -= len(messages)
            yield messages
        consumer.close()


def _begin(feed: Feed) -> tuple[Mark, Iterator[list[Message]]]:
    batches = feed.batches()
    first = next(batches)
    return Mark.now(), chain([first], batches)


def c_limit(feed: Feed) -> Run:
    """Only consume: what librdkafka and its client cost."""
    mark, batches = _begin(feed)
    for messages in batches:
        for message in messages:
            message.value()
    return mark.until_now("c_limit", feed.events)


def limit(feed: Feed) -> Run:
    """Only consume and parse: what no pipeline that parses event by event can pass."""
    mark, batches = _begin(feed)
    for messages in batches:
        for message in messages:
            orjson.loads(message.value())  # type: ignore[arg-type]  # None would be our bug, and raise
    return mark.until_now("limit_labels" if feed.labels else "limit", feed.events)


def naive(feed: Feed) -> Run:
    """river's detectors and a variance for each number of each event, as ``per_event`` says."""
    from benchmarks.per_event import PerEvent  # noqa: PLC0415 (only this contender pays for the import)

    watch = PerEvent()
    mark, batches = _begin(feed)
    for messages in batches:
        for message in messages:
            watch.update(orjson.loads(message.value()))  # type: ignore[arg-type]  # as above
    return mark.until_now("naive", feed.events, signals=watch.signals, detections=watch.detections)


def core(feed: Feed) -> Run:
    """The pipeline's own codec and observer, with a flush a second, and no transaction, commit or decide."""
    from stream_monitor.codecs.json import JsonCodec  # noqa: PLC0415 (only this contender pays for the import)
    from stream_monitor.config import parse_config  # noqa: PLC0415 (as above)
    from stream_monitor.events import Records, Source  # noqa: PLC0415 (as above)
    from stream_monitor.observe import Observer  # noqa: PLC0415 (as above)
    from stream_monitor.reference import References  # noqa: PLC0415 (as above)

    config = parse_config(configuration(feed.bootstrap, feed.topic, "core", feed.events))
    codec, observer = JsonCodec(config), Observer(config, References(config))
    sources = tuple(Source(feed.topic, partition) for partition in range(PARTITIONS))
    rows = deltas = size = 0
    mark, batches = _begin(feed)

    def flush() -> None:
        nonlocal rows, deltas, size
        observed = observer.flush()
        rows += sum(counts.rows for counts in observed.counts.values())
        deltas += len(observed.deltas)
        size += sum(len(delta.data) for delta in observed.deltas)

    due_s = time.monotonic() + 1
    for messages in batches:
        records = Records(
            sources=sources,
            source=np.array([one.partition() for one in messages], np.int64),
            offset=np.array([one.offset() for one in messages], np.int64),
            timestamp=np.array([one.timestamp()[1] for one in messages], np.int64),
            values=[one.value() for one in messages],
        )
        observer.add(codec.decode(records))
        if time.monotonic() >= due_s:
            flush()
            due_s += 1
    flush()
    assert rows == feed.events, f"expected {feed.events} rows, got {rows}"
    return mark.until_now("core", feed.events, deltas=deltas, delta_bytes=size)


CONTENDERS: dict[str, Callable[[Feed], Run]] = {
    function.__name__: function for function in (c_limit, limit, naive, core)
}

if __name__ == "__main__":
    print_run(CONTENDERS[sys.argv[1]](Feed(**json.loads(sys.argv[2]))))

"""Where the time from the end of a slice to its alert goes, by the timestamps of records on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import msgspec
import orjson
from confluent_kafka import Consumer, Message, TopicPartition

from stream_monitor.events import Source
from stream_monitor.runtime.messages import Report

POLL_S = 0.005


class Seen(NamedTuple):
    """A record that a reader of committed records got at ``at_s`` (epoch)."""

    message: Message
    at_s: float


class Latency(NamedTuple):
    """Of one alert, in s. ``consume``: from the end of the slice until observe sends the flush that brings
    the watermark there (lag, and waiting for the flush); ``close``: until that flush is committed and read;
    ``decide``: until the alert is sent; ``commit``: until it is committed and read."""

    consume: float
    close: float
    decide: float
    commit: float

    @property
    def total(self) -> float:
        return sum(self)


@contextmanager
def watching(bootstrap: str, places: Sequence[tuple[str, int]]) -> Iterator[list[Seen]]:
    """Read these partitions from now on, as they are committed; the list grows until the end of the block."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "benchmarks.watching",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in places])
    found: list[Seen] = []
    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            messages = consumer.consume(100, POLL_S)
            at_s = time.time()
            found.extend(Seen(one, at_s) for one in messages if one.error() is None)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield found
    finally:
        stop.set()
        follower.join()
        consumer.close()


class _Reached(NamedTuple):
    watermark: int
    sent_s: float
    seen_s: float


def latencies(summaries: Sequence[Seen], alerts: Sequence[Seen], partitions: int) -> list[Latency]:
    """One an alert. ``summaries``: of one partition, from a topic of ``partitions``, with lateness 0."""
    reached = list(_watermarks(summaries, partitions))
    found = []
    for alert in alerts:
        said = orjson.loads(alert.message.value() or b"")
        end_ms = round(datetime.fromisoformat(said["time"]).timestamp() * 1000)
        flush = next((one for one in reached if one.watermark >= end_ms), None)
        if flush is None:
            continue
        sent_s, end_s = _sent_s(alert.message), end_ms / 1000
        found.append(
            Latency(
                flush.sent_s - end_s, flush.seen_s - flush.sent_s, sent_s - flush.seen_s, alert.at_s - sent_s
            )
        )
    return found


def _watermarks(summaries: Sequence[Seen], partitions: int) -> Iterator[_Reached]:
    """After each flush the least clock of all partitions; nothing until all have one."""
    decoder = msgspec.msgpack.Decoder(Report)
    clocks: dict[Source, int] = {}
    for seen in summaries:
        if dict(seen.message.headers() or [])["kind"] != b"progress":
            continue
        for one in decoder.decode(seen.message.value() or b"").progress:
            if one.clock is not None:
                clocks[one.source] = one.clock
        if len(clocks) == partitions:
            yield _Reached(min(clocks.values()), _sent_s(seen.message), seen.at_s)


def _sent_s(message: Message) -> float:
    return message.timestamp()[1] / 1000

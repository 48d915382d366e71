"""The input of the crash tests, and how it reaches the topic: no faster than the workers die."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import Producer

from tests import inputs
from tests.core import Record
from tests.kafka_apps import Pipeline

PARTITIONS = 4
WAVES = 12
EVENTS = 2_000
SECONDS = 30
APART_MS = 2_500
LEARN = 700
BAD_EVERY = 50
BAD = (
    (b'{"model": "alpha0", "ts": ', "not_json"),
    (b'{"model": "alpha0", "features": {"shifted": 1.0}}', "no_time"),
    (b'{"ts": 1767225600000}', "no_model"),
)
LATE_MS = 10_000
TICK_S = 0.05
TICK_RECORDS = 25

Placed = tuple[int, Record]
"""Partition and record."""


def config() -> dict[str, Any]:
    """The settings of a pipeline for ``waves``. Nothing is ever idle: the clocks are those of the records."""
    settings = inputs.config()
    predictions = {**settings["predictions"], "idle_after": "1h"}
    del predictions["topics"]
    return {
        "predictions": predictions,
        "models": {"*": {**settings["models"]["*"], "learn": LEARN}},
        "summaries": {"partitions": 2},
        "commit_interval": "250ms",
    }


def waves() -> list[Placed]:
    """In the order of arrival: messy inputs of models of their own, each APART_MS later than the one before,
    so that most of the time something has just changed; one record in BAD_EVERY is no event.
    """
    found: list[Placed] = []
    for wave in range(WAVES):
        later_ms = wave * APART_MS
        for partition, log in enumerate(inputs.messy(EVENTS, PARTITIONS, SECONDS, seed=wave)):
            for timestamp, value in log:
                event = orjson.loads(value)
                event["model"] += str(wave)
                event["ts"] += later_ms
                found.append((partition, (timestamp + later_ms, orjson.dumps(event))))
    found.sort(key=lambda one: one[1][0])
    return list(_with_bad_ones(found))


def _with_bad_ones(records: list[Placed]) -> Iterator[Placed]:
    for i, (partition, record) in enumerate(records):
        yield partition, record
        if i % BAD_EVERY == 0:
            yield partition, (record[0], BAD[i // BAD_EVERY % len(BAD)][0])


class Feed:
    """Produces ``records``. ``logs`` is what went to each partition, in order; ``rejected`` where which bad
    record went, and why it is one.

    With every tick go two events of a model that nothing happens to: whatever is held back, there is always
    something to read. The first is late, to everybody who knows the clock of the partition.
    """

    def __init__(self, pipeline: Pipeline, records: list[Placed]) -> None:
        self._topic = pipeline.input
        self._producer = Producer(
            {"bootstrap.servers": pipeline.cluster.bootstrap, "enable.idempotence": True, "linger.ms": 5}
        )
        self._records = records
        self._sent = 0
        self._ticks = 0
        self._now_ms = inputs.START_MS
        self.logs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self.rejected: dict[tuple[str, int, int, int], list[str]] = {}

    def tick(self, share: float) -> None:
        """A little of the first ``share`` (0..1) of the records."""
        due = min(int(share * len(self._records)), self._sent + TICK_RECORDS)
        self._send_until(due)
        self._ticks += 1
        partition = self._ticks % PARTITIONS
        self._send(partition, self._pulse(self._now_ms - LATE_MS))
        self._send(partition, self._pulse(self._now_ms))
        time.sleep(TICK_S)

    def finish(self) -> None:
        """The rest, and in each partition an event so late that every slice before it closes."""
        self._send_until(len(self._records))
        for partition in range(PARTITIONS):
            self._send(partition, self._pulse(self._now_ms + 60_000))
        assert self._producer.flush(60) == 0

    def _send_until(self, end: int) -> None:
        for partition, record in self._records[self._sent : end]:
            self._now_ms = record[0]
            self._send(partition, record)
        self._sent = max(self._sent, end)

    def _send(self, partition: int, record: Record) -> None:
        log = self.logs[partition]
        for bad, reason in BAD:
            if record[1] == bad:
                self.rejected[self._topic, partition, len(log), 0] = [reason]
        log.append(record)
        self._producer.produce(self._topic, record[1], partition=partition, timestamp=record[0])
        self._producer.poll(0)

    def _pulse(self, time_ms: int) -> Record:
        return time_ms, orjson.dumps({"model": "pulse", "ts": time_ms})

"""The law with labels on a real Kafka: read as they come or long after, with the join killed and its stores
lost: the alerts are those of the library over the same records.

Every partition ends with a prediction and a label a day later, so that all other slices close by the clocks
alone, and nothing depends on the wall clock.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from stream_monitor.events import Records, Source
from stream_monitor.monitor import Monitor
from tests.join_apps import committed, delete
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Sent, kill, wait_for
from tests.test_join_law import CONFIG, START_MS, feed

PARTITIONS = 2
END_MS = START_MS + 86_400_000
Logs = Mapping[int, Sequence[Sent]]


def split(log: Sequence[bytes], **last: Any) -> Logs:
    """By partition, each with an event of its own at the end."""
    found: dict[int, list[Sent]] = {number: [] for number in range(PARTITIONS)}
    for value in log:
        event = json.loads(value)
        number = int(event["prediction_id"][1:]) % PARTITIONS
        found[number].append((event["ts"], event["prediction_id"], value.decode()))
    for number, mine in found.items():
        event = {"prediction_id": f"p{10**6 + number}", "model": "end", "ts": END_MS, **last}
        mine.append((END_MS, event["prediction_id"], json.dumps(event)))
    return found


@pytest.fixture(scope="module")
def predictions() -> Logs:
    return split(feed(np.random.default_rng(1))[0], outputs={"eta": 1.0})


@pytest.fixture(scope="module")
def labels() -> Logs:
    return split(feed(np.random.default_rng(1))[1], label=1.0)


def expected(pipeline: Pipeline, predictions: Logs, labels: Logs) -> list[dict[str, Any]]:
    topics = ((pipeline.input, predictions), (pipeline.labels, labels))
    sources = [Source(topic, number) for topic, _ in topics for number in range(PARTITIONS)]
    monitor = Monitor(pipeline.config, sources)
    alerts = []
    for topic, logs in topics:
        for number, log in logs.items():
            times, _, values = zip(*log, strict=True)
            records = Records(
                (Source(topic, number),),
                np.zeros(len(log), np.int64),
                np.arange(len(log)),
                np.array(times, np.int64),
                [value.encode() for value in values],
            )
            alerts += monitor.update(records)
    return in_order(alert.to_dict() for alert in alerts)


def told(pipeline: Pipeline) -> list[dict[str, Any]]:
    return in_order(orjson.loads(one.value() or b"") for one in pipeline.read("alerts"))


def in_order(alerts: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(alerts, key=lambda one: (one["time"], one["id"], one["status"]))


def steps(logs: Logs, at: int, of: int) -> Logs:
    """The part ``at`` of so many."""
    return {n: log[len(log) * at // of : len(log) * (at + 1) // of] for n, log in logs.items()}


def send(pipeline: Pipeline, topic: str, logs: Logs) -> None:
    for number, log in logs.items():
        pipeline.send(topic, number, log)


def size(*logs: Logs) -> int:
    return sum(map(len, chain.from_iterable(one.values() for one in logs)))


def wait_committed(pipeline: Pipeline, records: int) -> None:
    wait_for(lambda: committed(pipeline) >= records, f"{records} records committed", 90)


def as_they_come(pipeline: Pipeline, folder: Path, predictions: Logs, labels: Logs) -> None:
    del folder
    with pipeline.running("join"):
        for at in range(6):
            send(pipeline, pipeline.input, steps(predictions, at, 6))
            send(pipeline, pipeline.labels, steps(labels, at, 6))
            sent = sum(size(steps(logs, n, 6)) for logs in (predictions, labels) for n in range(at + 1))
            wait_committed(pipeline, sent)


def long_after(pipeline: Pipeline, folder: Path, predictions: Logs, labels: Logs) -> None:
    del folder
    send(pipeline, pipeline.labels, labels)
    with pipeline.running("join"):
        wait_committed(pipeline, size(labels))
        send(pipeline, pipeline.input, predictions)
        wait_committed(pipeline, size(labels, predictions))


def killed(pipeline: Pipeline, folder: Path, predictions: Logs, labels: Logs) -> None:
    """Four times, in the midst; its stores are lost every other time."""
    process = pipeline.process(folder, "join")
    try:
        for at in range(4):
            before = committed(pipeline)
            send(pipeline, pipeline.input, steps(predictions, at, 4))
            send(pipeline, pipeline.labels, steps(labels, at, 4))
            wait_committed(pipeline, before + 1)
            kill(process)
            if at % 2:
                delete(folder)
            process = pipeline.process(folder, "join")
        wait_committed(pipeline, size(labels, predictions))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("read", [as_they_come, long_after, killed])
def test_alerts_are_those_of_the_library_however_it_is_read(
    kafka: Cluster, tmp_path: Path, predictions: Logs, labels: Logs, read: Callable[..., None]
) -> None:
    settings = {name: value for name, value in CONFIG["labels"].items() if name != "topics"}
    pipeline = Pipeline(
        kafka,
        PARTITIONS,
        labels={**settings, "store": str(tmp_path / "store")},
        predictions={"lateness": "10s", "idle_after": "1h"},
        models=CONFIG["models"],
    )
    wanted = expected(pipeline, predictions, labels)
    assert {one["check"] for one in wanted} == {"drift", "quality"}
    with pipeline.running("observe"), pipeline.running("decide"):
        read(pipeline, tmp_path, predictions, labels)
        wait_for(lambda: len(told(pipeline)) >= len(wanted), f"{len(wanted)} alerts")
    assert told(pipeline) == wanted

"""A pipeline on a real Kafka for tests: its topics, its workers as threads or processes, what they wrote."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import yaml
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from prometheus_client import CollectorRegistry

from stream_monitor.config import Config, parse_config
from stream_monitor.events import Delta, Progress
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.messages import Report
from stream_monitor.runtime.topics import create_topics
from stream_monitor.runtime.workers import worker
from tests.kafka.broker import Cluster

START_MS = 1_767_225_600_000
TIMEOUT_S = 90.0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """The first truthy answer of ``condition``."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    message = f"expected {what} within {timeout_s} s"
    raise AssertionError(message)


def event(second: float, value: float = 0.0, model: str = "m", **more: Any) -> bytes:
    """An event ``second`` seconds after START_MS."""
    time_ms = START_MS + int(second * 1000)
    fields = {"model": model, "ts": time_ms, "features": {"x": value}, "outputs": {"y": value}}
    return orjson.dumps({**fields, **more})


Sent = tuple[int, str | None, str | None]
"""Kafka timestamp (ms), key and value."""


class Pipeline:
    """One configuration under a name of its own, with its topics: one of labels too, where ``labels`` are
    set, and then no record is too old for Kafka."""

    def __init__(self, cluster: Cluster, partitions: int = 2, **settings: Any) -> None:
        self.cluster = cluster
        self.name = cluster.unique("p")
        self.input = f"{self.name}.predictions"
        self.labels = f"{self.name}.labels"
        if "labels" in settings:
            settings = {**settings, "labels": {"topics": [self.labels], **settings["labels"]}}
        self.document = _document(self.name, cluster.bootstrap, self.input, settings)
        self.config: Config = parse_config(self.document)
        for topic in [self.input, self.labels] if "labels" in settings else [self.input]:
            cluster.create_topic(topic, partitions, {"retention.ms": "-1"} if "labels" in settings else None)
        create_topics(self.config)
        self._producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": 1})

    def topic(self, name: str) -> str:
        return self.config.topic(name)

    def produce(self, *values: bytes | None, partition: int = 0) -> None:
        for value in values:
            self._producer.produce(self.input, value, partition=partition)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def send(self, topic: str, partition: int, records: Iterable[Sent]) -> None:
        """Kafka's timestamp is that of the record."""
        for timestamp, key, value in records:
            self._producer.produce(topic, value, key, partition=partition, timestamp=timestamp)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    @contextlib.contextmanager
    def running(self, role: str, name: str = "a") -> Iterator[Running]:
        """A worker in a thread of this process; stopped as SIGTERM would at the end."""
        one = Running(role, self.config, name)
        try:
            yield one
        finally:
            one.stop()

    def process(
        self, folder: Path, role: str, name: str = "a", **environment: str
    ) -> subprocess.Popen[bytes]:
        """A worker as a process of its own; its log is ROLE-NAME.log in ``folder``."""
        path = folder / "monitor.yaml"
        path.write_text(yaml.safe_dump(self.document))
        command = [
            sys.executable,
            "-m",
            "stream_monitor.cli",
            "run",
            str(path),
            "--role",
            role,
            "--name",
            name,
        ]
        with (folder / f"{role}-{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--port", "0"], stderr=log, stdout=log, env={**os.environ, **environment}
            )

    def read(self, topic: str, isolation: str = "read_committed") -> list[Message]:
        """All that is in a topic now, by partition and offset."""
        return read_all(
            self.cluster, topic if topic in {self.input, self.labels} else self.topic(topic), isolation
        )

    def committed(self, role: str, topic: str) -> dict[int, TopicPartition]:
        """Committed offsets of a role's group by partition."""
        properties = {"bootstrap.servers": self.cluster.bootstrap, "group.id": self.config.group(role)}
        consumer = Consumer(properties)
        partitions = self.cluster.admin().list_topics(topic, timeout=60).topics[topic].partitions
        try:
            found = consumer.committed([TopicPartition(topic, one) for one in partitions], timeout=60)
        finally:
            consumer.close()
        return {one.partition: one for one in found if one.offset >= 0}


class Running:
    """A worker in a thread."""

    def __init__(self, role: str, config: Config, name: str) -> None:
        self.registry = CollectorRegistry()
        self.health = Health(self.registry)
        self.error: BaseException | None = None
        self._end = threading.Event()
        self.worker = worker(role, config, name, Metrics(self.registry), self.health)
        self._thread = threading.Thread(target=self._run, name=f"{role}-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run(self._end)
        except BaseException as error:  # noqa: BLE001 (looked at by the test)
            self.error = error
            traceback.print_exc()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def ready(self) -> bool:
        return self.health.reply("/readyz", "").status == 200

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"stream_monitor_{name}", labels) or 0.0


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def read_all(cluster: Cluster, topic: str, isolation: str = "read_committed") -> list[Message]:
    """All records of a topic up to its end now."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": "tests.reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "fetch.wait.max.ms": 10,
        }
    )
    partitions = cluster.admin().list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages: list[Message] = []
    left = set(partitions)
    try:
        while left:
            # It waits as long as that for the whole thousand.
            for message in consumer.consume(1000, 0.1):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise AssertionError(error)
    finally:
        consumer.close()
    return sorted(messages, key=lambda one: (one.partition() or 0, one.offset() or 0))


def _document(name: str, bootstrap: str, topic: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "pipeline": name,
        "kafka": {"bootstrap.servers": bootstrap},
        "predictions": {"topics": [topic], "lateness": "1s", "max_clock_skew": "1s", "idle_after": "1h"},
        "commit_interval": "200ms",
        "models": {"*": {"learn": 500}},
    }
    for key, value in settings.items():
        known = document.get(key)
        document[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return document


def deltas(pipeline: Pipeline, isolation: str = "read_committed") -> list[Delta]:
    """The deltas in the summaries topic, by partition and offset."""
    return [
        msgspec.msgpack.decode(message.value() or b"", type=Delta)
        for message in pipeline.read("summaries", isolation)
        if ("kind", b"delta") in (message.headers() or [])
    ]


def reports(pipeline: Pipeline, partition: int = 0) -> list[Progress]:
    """What was reported to one summaries partition, in order."""
    return [
        progress
        for message in pipeline.read("summaries")
        if message.partition() == partition and ("kind", b"progress") in (message.headers() or [])
        for progress in msgspec.msgpack.decode(message.value() or b"", type=Report).progress
    ]

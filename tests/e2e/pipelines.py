"""A pipeline of real worker processes over a real Kafka, watched from outside only."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from tests.independent_count import Counted, count, headers_of
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline

ROLES = ("observe", "decide")
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
TIMEOUT_S = 120.0
END_TIMEOUT_S = 60


class RealPipeline(Pipeline):
    """``input_config`` are settings of the input topic, which keeps its records however old they are."""

    def __init__(
        self, cluster: Cluster, partitions: int, input_config: dict[str, str] | None = None, **settings: Any
    ) -> None:
        super().__init__(cluster, partitions, **settings)
        self._admin = cluster.admin()
        wanted = {"retention.ms": "-1", **(input_config or {})}
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.input, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(60)

    @contextlib.contextmanager
    def workers(self, folder: Path, observe: int, decide: int) -> Iterator[Workers]:
        """So many processes, once every partition has one. At the end they are stopped, and must end well."""
        folder.mkdir(parents=True, exist_ok=True)
        processes = {
            f"{role}-{number}": self.process(folder, role, str(number))
            for role, wanted in zip(ROLES, (observe, decide), strict=True)
            for number in range(wanted)
        }
        workers = Workers(self, self._admin, folder, processes)
        try:
            workers.wait_until_shared_out(observe, decide)
            yield workers
            codes = workers.stop()
        finally:
            workers.kill()
        assert set(codes.values()) == {0}, codes

    def alerts(self) -> list[dict[str, Any]]:
        """What was published, in order of time."""
        return in_order(orjson.loads(message.value() or b"") for message in self.read("alerts"))

    def writers(self) -> set[bytes]:
        """The observe workers that wrote summaries."""
        return {headers_of(one)["flush"].rpartition(b"/")[0] for one in self.read("summaries")}

    def counted(self) -> Counted:
        """By the counter that shares nothing with the package."""
        return count(self.cluster.bootstrap, [self.input], self.topic("summaries"), self.topic("rejects"))


class Workers:
    """The processes of one pipeline, by role and number."""

    def __init__(
        self,
        pipeline: Pipeline,
        admin: AdminClient,
        folder: Path,
        processes: dict[str, subprocess.Popen[bytes]],
    ) -> None:
        self._pipeline = pipeline
        self._admin = admin
        self._folder = folder
        self._processes = processes

    def wait_until_shared_out(self, observe: int, decide: int) -> None:
        """Every worker is a member of its group, and every partition somebody's."""
        inputs = len(self._ends(self._pipeline.input))
        summaries = self._pipeline.config.summaries.partitions
        self._wait(lambda: self._shares("observe") == (observe, inputs), f"{observe} members of observe")
        self._wait(lambda: self._shares("decide") == (decide, summaries), f"{decide} members of decide")

    def wait_until_done(self) -> None:
        """All that is in the input is committed by observe, and all that came of it by decide."""
        summaries = self._pipeline.topic("summaries")
        ends = self._ends(self._pipeline.input)
        self._wait(lambda: self._is_at("observe", self._pipeline.input, ends), "all input committed")
        ends = {one.partition() or 0: (one.offset() or 0) + 1 for one in self._pipeline.read("summaries")}
        self._wait(lambda: self._is_at("decide", summaries, ends), "all summaries committed")

    def stop(self) -> dict[str, int]:
        """As an operator would; returns the exit codes."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(END_TIMEOUT_S) for name, process in self._processes.items()}

    def kill(self) -> None:
        """Those that still run."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
                process.wait(END_TIMEOUT_S)

    def _shares(self, role: str) -> tuple[int, int]:
        """Members of a role's group and partitions assigned to them; none while that changes."""
        group = self._pipeline.config.group(role)
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=60)[group].result()
        except KafkaException:
            # Nobody has come to the group yet, or its coordinator is only just being chosen.
            return 0, 0
        if found.state != ConsumerGroupState.STABLE:
            return 0, 0
        return len(found.members), sum(len(one.assignment.topic_partitions) for one in found.members)

    def _is_at(self, role: str, topic: str, ends: dict[int, int]) -> bool:
        asked = ConsumerGroupTopicPartitions(
            self._pipeline.config.group(role), [TopicPartition(topic, partition) for partition in ends]
        )
        [answer] = self._admin.list_consumer_group_offsets([asked], request_timeout=60).values()
        committed = {one.partition: one.offset for one in answer.result().topic_partitions}
        return all(committed[partition] >= end for partition, end in ends.items())

    def _ends(self, topic: str) -> dict[int, int]:
        partitions = self._admin.list_topics(topic, timeout=60).topics[topic].partitions
        asked = {TopicPartition(topic, partition): LATEST for partition in partitions}
        answers = self._admin.list_offsets(asked, request_timeout=60)
        return {one.partition: answer.result().offset for one, answer in answers.items()}

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        """For ``condition`` to hold, as long as every worker lives."""
        end_s = time.monotonic() + TIMEOUT_S
        while not condition():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode}: {self._said(name)}")
            if time.monotonic() > end_s:
                said = "\n".join(self._said(name) for name in self._processes)
                raise AssertionError(f"expected {what} within {TIMEOUT_S:g} s; the logs end with:\n{said}")
            time.sleep(0.1)

    def _said(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-2000:]


def in_order(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alerts in the order of ``tests.core.comparable``."""
    return sorted(alerts, key=lambda one: (one["time"], one["model"], one["id"]))


def without_offsets(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All but the positions of the evidence."""
    return [{name: value for name, value in one.items() if name != "offsets"} for one in alerts]


def without_names(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """As two pipelines of different names and topics say the same. Ids are hashes of the name too."""
    names = {"pipeline", "id"}
    plain = [
        {name: value for name, value in one.items() if name not in names} for one in without_offsets(alerts)
    ]
    return sorted(plain, key=lambda one: (one["time"], one["model"], orjson.dumps(one)))


def append_ms(message: Message) -> int:
    """When the broker appended it, where the topic says LogAppendTime."""
    kind, time_ms = message.timestamp()
    assert kind == 2, "expected LogAppendTime"
    return time_ms

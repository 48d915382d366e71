"""librdkafka's properties: what the user passes through, and what delivery needs to be as it is."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from stream_monitor.config.config import BROKERS, Config
from stream_monitor.errors import ConfigError
from stream_monitor.runtime import client_log

SESSION_TIMEOUT_MS = 10_000
"""How long a worker that stops for good is missed; also the life of a transaction that it left open."""

CONSUME_MAX = 1000
"""Records a call of consume() where each of them costs much by itself."""

AHEAD_KB = 8192
"""Fetched ahead of a partition. Measured against the default of 64 MiB: as fast, and 100 MiB less memory."""
DECIDE_AHEAD_KB = 1024
"""Decide reads some MB a second at the most, and falls behind for minutes where all noise is estimated."""

_OURS = {
    "acks": "written records must be durable",
    "auto.offset.reset": "an offset that is gone is data loss, and is told as such",
    "enable.auto.commit": "offsets are committed with what was made of their records",
    "enable.auto.offset.store": "offsets are committed with what was made of their records",
    "enable.idempotence": "written records must not be doubled",
    "enable.partition.eof": "it tells when a partition is drained",
    "group.id": "it follows from `pipeline`",
    "group.instance.id": "it follows from --name",
    "group.protocol": "static members need the classic protocol",
    "isolation.level": "aborted records must not be counted",
    "message.max.bytes": "records are divided so that each fits its default",
    "partition.assignment.strategy": "it follows from the topics",
    "plugin.library.paths": "it loads foreign code",
    "request.required.acks": "written records must be durable",
    "transaction.timeout.ms": "it equals session.timeout.ms",
    "transactional.id": "it follows from --name",
}


def check_properties(config: Config) -> None:
    """Raise ConfigError for ``kafka`` properties that would break delivery, or that librdkafka refuses.

    No broker is asked. No message holds a value: any of them may be a password.
    """
    problems = [f"kafka.{name}: cannot be set: {why}" for name, why in _OURS.items() if name in config.kafka]
    try:
        properties = {name: value for name, value in config.kafka_properties().items() if name not in BROKERS}
        # Its logger is never polled: of a client without brokers there is nothing to say.
        AdminClient(properties, logger=client_log.log)
    except KafkaException as error:
        known = set(re.findall(r'"([a-z.]+)"', str(error.args[0].str()))) & set(config.kafka)
        named = f"kafka.{min(known)}" if known else "kafka"
        problems.append(f"{named}: expected a property and value that librdkafka accepts, got others")
    if problems:
        raise ConfigError(problems)


def check_brokers(config: Config) -> None:
    """``check_properties``, of a configuration for Kafka: ConfigError where it names no brokers."""
    if not config.names_brokers:
        raise ConfigError(["kafka.bootstrap.servers: expected the brokers, got nothing"])
    check_properties(config)


def identity(config: Config, role: str, name: str) -> str:
    """Of a worker: static group member and transactional id. Stable over restarts, one process at a time."""
    prefix = f"{config.pipeline}." if config.pipeline else ""
    return f"{prefix}stream-monitor.{role}.{name}"


def admin_properties(config: Config) -> dict[str, Any]:
    # Who leads a partition is kept for so long, and asking for offsets fails as long as it is out of date:
    # librdkafka does not look again when the brokers answer FENCED_LEADER_EPOCH. Its default is 15 minutes.
    return {"metadata.max.age.ms": 5_000, **config.kafka_properties()}


class CommandAdmin(AdminClient):
    """For a command that ends: it prints nothing by itself, and knows why no broker answered."""

    def __init__(self, config: Config) -> None:
        self._troubles: deque[KafkaError] = deque(maxlen=2)
        properties = {"log_level": 2, **admin_properties(config), "error_cb": self._troubles.append}
        super().__init__(properties)

    def why(self, error: KafkaException) -> str:
        """What a call failed with, and what was told of the connections before."""
        self.poll(0)
        return "; ".join(dict.fromkeys(one.str() for one in (error.args[0], *self._troubles)))


def reader_properties(config: Config) -> dict[str, Any]:
    """Of a consumer outside of any group, that is told where to read and commits nothing."""
    return {"fetch.wait.max.ms": 50, **_consumer_properties(config)}


def _consumer_properties(config: Config, ahead_kb: int = AHEAD_KB) -> dict[str, Any]:
    return {
        # Its default of 1 s starves a fast consumer.
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": ahead_kb,
        **config.kafka_properties(),
        "group.id": "stream-monitor.reader",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }


def consumer_properties(config: Config, role: str, name: str) -> dict[str, Any]:
    """Of a worker's consumer: static member of its role's group, classic protocol."""
    session_ms = int(config.kafka_properties().get("session.timeout.ms", SESSION_TIMEOUT_MS))
    return {
        "session.timeout.ms": session_ms,
        # librdkafka's default of 3 s would lose every shorter session, again and again.
        "heartbeat.interval.ms": max(1, min(3000, session_ms // 3)),
        # New partitions are found this soon.
        "topic.metadata.refresh.interval.ms": 10_000,
        **_consumer_properties(config, DECIDE_AHEAD_KB if role == "decide" else AHEAD_KB),
        "group.id": config.group(role),
        "group.instance.id": identity(config, role, name),
        "group.protocol": "classic",
        "partition.assignment.strategy": assignor(role),
    }


def assignor(role: str) -> str:
    """``range`` puts equal partitions of predictions and labels into one worker; alone, topics are spread."""
    return "range" if role == "join" else "cooperative-sticky"


def producer_properties(config: Config) -> dict[str, Any]:
    # Measured on deltas, zstd against lz4: 0.1 ms more for a flush of 20,000 events, a third less to store.
    properties = {"compression.type": "zstd", "linger.ms": 5, **config.kafka_properties()}
    return {**properties, "delivery.report.only.error": True, "enable.idempotence": True, "acks": "all"}


def transactional_properties(config: Config, role: str, name: str) -> dict[str, Any]:
    """Of a worker's producer. An abandoned transaction ends when its owner's session does."""
    properties = producer_properties(config)
    timeout_ms = int(properties.get("session.timeout.ms", SESSION_TIMEOUT_MS))
    return {
        **properties,
        "transactional.id": identity(config, role, name),
        "transaction.timeout.ms": timeout_ms,
    }

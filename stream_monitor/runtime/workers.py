"""Puts a worker together from a configuration: its clients, its core, its metrics."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream_monitor.codecs import codec_of, records_max
from stream_monitor.config import Config
from stream_monitor.decide import Decider
from stream_monitor.errors import StreamMonitorError
from stream_monitor.metrics import Metrics
from stream_monitor.observe import Observer
from stream_monitor.reference import References
from stream_monitor.runtime import client_log
from stream_monitor.runtime.decide_worker import DecideWorker
from stream_monitor.runtime.decoding import Decoding, mapped
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.input_topics import Topics
from stream_monitor.runtime.input_worker import InputWorker
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.kafka import (
    CONSUME_MAX,
    admin_properties,
    check_brokers,
    consumer_properties,
    producer_properties,
    reader_properties,
    transactional_properties,
)
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.outbox import AtLeastOnceOutbox, Outbox, TransactionalOutbox
from stream_monitor.runtime.repartition import repartitioner
from stream_monitor.runtime.restore import Store
from stream_monitor.runtime.task import NoStores, Task
from stream_monitor.runtime.watch import Watch

log = logging.getLogger(__name__)

ROLES = ("observe", "decide")
"""Of every pipeline."""

JOIN = "join"
"""Of those with labels."""

REPARTITION = "repartition"
"""Of those whose labels do not lie where their predictions are."""

UNSAFE = "STREAM_MONITOR_UNSAFE_NO_TRANSACTIONS"
"""Set to 1 by the test that proves that the crash tests see duplicates. Never by a user."""

CALL_TIMEOUT_S = 10.0
OBSERVED_ROWS_MAX = 1_000_000


def roles_of(config: Config) -> list[str]:
    if config.labels is None:
        return [*ROLES]
    return [*ROLES, JOIN] if config.labels.repartition == "none" else [*ROLES, JOIN, REPARTITION]


def worker(
    role: str, config: Config, name: str, metrics: Metrics, health: Health, *, embedded: bool = False
) -> InputWorker | DecideWorker:
    """A worker of ``role`` that is about to join. ``embedded``: on the demo's broker, at least once.

    ConfigError: Kafka properties that cannot be; StreamMonitorError: topics that are not there, or that
    cannot be joined.
    """
    check_brokers(config)
    admin = AdminClient(admin_properties(config), logger=client_log.log)
    _check_topics(admin, config)
    makers: dict[str, Callable[..., InputWorker | DecideWorker]]
    makers = {"observe": _observe, "decide": _decide, JOIN: _join, REPARTITION: _repartition}
    return makers[role](config, name, admin, metrics, health, embedded=embedded)


def _observe(
    config: Config, name: str, admin: AdminClient, metrics: Metrics, health: Health, *, embedded: bool
) -> InputWorker:
    topics = Topics(config.predictions.topics)
    observer, codec = Observer(config, References(config)), codec_of(config)
    decoding = Decoding(lambda records: [codec.decode(records)], mapped(config.predictions.fields))
    member = Member(consumer_properties(config, "observe", name), records_max(config))
    watch = Watch(admin, topics.all, topic_ids=not embedded)
    inputs = Inputs(config, topics, member, watch, observer.clocks, metrics)
    outbox = _outbox("observe", config, name, metrics, embedded=embedded)
    task = Task("observe", decoding, observer, NoStores(), OBSERVED_ROWS_MAX, lambda: observer.is_full)
    return InputWorker(config, task, inputs, member, outbox, metrics, health)


def _join(
    config: Config, name: str, admin: AdminClient, metrics: Metrics, health: Health, *, embedded: bool
) -> InputWorker:
    from stream_monitor.runtime.joining import join_parts  # noqa: PLC0415 (RocksDB is for this role alone)

    member = Member(consumer_properties(config, JOIN, name), min(CONSUME_MAX, records_max(config)))
    task, inputs = join_parts(config, admin, member, metrics, topic_ids=not embedded)
    outbox = _outbox(JOIN, config, name, metrics, embedded=embedded)
    return InputWorker(config, task, inputs, member, outbox, metrics, health)


def _repartition(
    config: Config, name: str, admin: AdminClient, metrics: Metrics, health: Health, *, embedded: bool
) -> InputWorker:
    member = Member(consumer_properties(config, REPARTITION, name), min(CONSUME_MAX, records_max(config)))
    outbox = _outbox(REPARTITION, config, name, metrics, embedded=embedded)
    return repartitioner(config, admin, member, outbox, metrics, health, topic_ids=not embedded)


def _decide(
    config: Config, name: str, admin: AdminClient, metrics: Metrics, health: Health, *, embedded: bool
) -> DecideWorker:
    references = References(config)
    store = Store(
        admin,
        reader_properties(config),
        config.topic("summaries"),
        config.topic("state"),
        config.summaries.partitions,
    )
    return DecideWorker(
        config,
        lambda: Decider(config, references),
        store,
        Member(consumer_properties(config, "decide", name)),
        _outbox("decide", config, name, metrics, embedded=embedded),
        metrics,
        health,
        math.inf if embedded else _retention_ms(admin, store.summaries),
    )


def _outbox(role: str, config: Config, name: str, metrics: Metrics, *, embedded: bool) -> Outbox:
    unsafe = os.environ.get(UNSAFE) == "1"
    if unsafe:
        log.critical("transactions are switched off: records will be lost or doubled", extra={"by": UNSAFE})
    if embedded or unsafe:
        return AtLeastOnceOutbox(role, producer_properties(config), metrics)
    return TransactionalOutbox(role, transactional_properties(config, role, name), metrics)


def _check_topics(admin: AdminClient, config: Config) -> None:
    """Summaries and state must have as many partitions as configured: models are spread over them."""
    try:
        topics = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
    except KafkaException as error:
        # Into the log, before the end, why no connection came about.
        admin.poll(0)
        message = f"kafka: expected an answer within {CALL_TIMEOUT_S:g} s, got {error.args[0].str()}"
        raise StreamMonitorError(message) from error
    wanted = dict.fromkeys((config.topic("summaries"), config.topic("state")), config.summaries.partitions)
    wanted |= dict.fromkeys((config.topic("alerts"), config.topic("rejects")), 0)
    problems = []
    for name, partitions in wanted.items():
        found = len(topics[name].partitions) if name in topics else 0
        if not found:
            problems.append(f"{name}: expected this topic, got none; `stream-monitor topics create` makes it")
        elif partitions and found != partitions:
            problems.append(f"{name}: expected {partitions} partitions, got {found}; they cannot change")
    if problems:
        raise StreamMonitorError("\n".join(problems))


def _retention_ms(admin: AdminClient, topic: str) -> float:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries: dict[str, Any] = admin.describe_configs([resource])[resource].result(CALL_TIMEOUT_S)
    retention_ms = int(entries["retention.ms"].value)
    return retention_ms if retention_ms >= 0 else math.inf

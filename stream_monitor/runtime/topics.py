"""Create the topics that the monitor writes, and look at those that it reads.

`topics create` may be repeated: what is there is checked, what is missing is created.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from stream_monitor.config import Config, Labels, load_config
from stream_monitor.config.values import DAY_MS
from stream_monitor.errors import ConfigError
from stream_monitor.runtime.kafka import CommandAdmin, check_brokers

ANSWER_TIMEOUT_S = 10
CREATE_TIMEOUT_S = 30
POLL_S = 0.05
BROKER_DEFAULT = -1

STATE_SEGMENT_BYTES = 64 * 2**20
"""Only closed segments are compacted: this bounds what a restore reads beside the newest snapshots."""


def add_arguments(parser: ArgumentParser) -> None:
    action = parser.add_subparsers(metavar="ACTION", required=True)
    create = action.add_parser("create", help="create what is missing, check what is there")
    create.add_argument("config", metavar="CONFIG", help="the YAML file")


def main(args: Namespace) -> int:
    config = load_config(args.config)
    check_brokers(config)
    for line in [*create_topics(config), *describe_inputs(config)]:
        sys.stdout.write(f"{line}\n")
    return 0


class Wanted(NamedTuple):
    """A topic as it has to be. ``checked``: other partition counts and policies are refused."""

    name: str
    partitions: int
    replication_factor: int | None
    config: dict[str, str]
    checked: bool


class Found(NamedTuple):
    """A topic as it is."""

    partitions: int
    config: Mapping[str, str | None]


def wanted_topics(config: Config) -> list[Wanted]:
    """The four internal topics.

    All of them carry the broker's time: their retention must not depend on the clock of a worker.
    """
    partitions = config.summaries.partitions
    summaries = {
        "cleanup.policy": "delete",
        # As the workers send it, whatever they are told to: else brokers would compress each batch again.
        "compression.type": "producer",
        **_retention(config.summaries.retention_ms),
    }
    state = {"cleanup.policy": "compact", "segment.bytes": str(STATE_SEGMENT_BYTES)}
    wanted = [
        Wanted(
            config.topic("summaries"),
            partitions,
            config.summaries.replication_factor,
            summaries,
            checked=True,
        ),
        Wanted(config.topic("state"), partitions, config.state.replication_factor, state, checked=True),
    ]
    for name, topic in (("alerts", config.alerts), ("rejects", config.rejects)):
        settings = _retention(topic.retention_ms)
        wanted.append(
            Wanted(config.topic(name), topic.partitions, topic.replication_factor, settings, checked=False)
        )
    by_broker = {"message.timestamp.type": "LogAppendTime"}
    return [topic._replace(config=topic.config | by_broker) for topic in wanted]


def wanted_copies(config: Config, labels: Labels, predictions: Iterable[Found]) -> list[Wanted]:
    """The topics of copies that the join reads where labels, or both, are repartitioned.

    They have as many partitions as the topics of predictions, and keep what a lost store is made of again.
    """
    partitions = max((topic.partitions for topic in predictions), default=0)
    if not partitions:
        topics = ", ".join(config.predictions.topics)
        problem = f"labels.repartition: expected topics of predictions that are there, got none of {topics}"
        raise ConfigError([problem])
    kept_ms = 2 * labels.horizon_ms + config.predictions.max_clock_skew_ms + DAY_MS
    settings = {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "message.timestamp.type": "LogAppendTime",
        **_retention(kept_ms),
    }
    kinds = ("labels", "predictions") if labels.repartition == "both" else ("labels",)
    replicas = config.summaries.replication_factor
    return [Wanted(config.topic(kind), partitions, replicas, settings, checked=True) for kind in kinds]


def create_topics(config: Config) -> list[str]:
    """Create those of the internal topics that are missing; returns a line for each of them.

    Raises ConfigError, before anything is created, where one that is there does not fit: the model's
    partition is a hash modulo their number, and a cleanup policy other than ours loses data.
    """
    admin = CommandAdmin(config)
    wanted = wanted_topics(config)
    if config.labels is not None and config.labels.repartition != "none":
        wanted += wanted_copies(config, config.labels, _found(admin, config.predictions.topics).values())
    before = _found(admin, [topic.name for topic in wanted])
    _refuse_misfits(wanted, before)
    _create(admin, [topic for topic in wanted if topic.name not in before])
    # Looked at again, for somebody else may have created one of them meanwhile.
    after = _awaited(admin, [topic.name for topic in wanted])
    _refuse_misfits(wanted, after)
    return [
        f"{topic.name}: {'there' if topic.name in before else 'created'}, "
        f"partitions: {after[topic.name].partitions}"
        for topic in wanted
    ]


def describe_inputs(config: Config) -> Iterator[str]:
    """A line for each input topic, and one for each thing about it that should be otherwise."""
    topics = [*config.predictions.topics, *(config.labels.topics if config.labels else [])]
    found = _found(CommandAdmin(config), topics)
    for name in topics:
        if name not in found:
            yield f"warning: {name}: not there; its owner has to create it before the monitor can read it"
            continue
        stamped = found[name].config.get("message.timestamp.type")
        yield f"{name}: input, partitions: {found[name].partitions}, message.timestamp.type: {stamped}"
        if stamped != "LogAppendTime":
            yield (
                f"warning: {name}: a producer with a wrong clock stamps both the event and the record; "
                "message.timestamp.type=LogAppendTime lets the monitor see it"
            )


def _retention(retention_ms: int | None) -> dict[str, str]:
    return {} if retention_ms is None else {"retention.ms": str(retention_ms)}


def _found(admin: CommandAdmin, names: Iterable[str]) -> dict[str, Found]:
    """Those of the topics that can be used."""
    found = {}
    try:
        known = admin.list_topics(timeout=ANSWER_TIMEOUT_S).topics
        there = [name for name in names if name in known and known[name].error is None]
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in there]
        described = admin.describe_configs(resources, request_timeout=ANSWER_TIMEOUT_S) if resources else {}
        for resource, future in described.items():
            if (settings := _unless(KafkaError.UNKNOWN_TOPIC_OR_PART, future)) is not None:
                values = {key: entry.value for key, entry in settings.items()}
                found[resource.name] = Found(len(known[resource.name].partitions), values)
    except KafkaException as error:
        problem = f"kafka: expected a cluster that describes its topics, got: {admin.why(error)}"
    else:
        return found
    raise ConfigError([problem])


def _awaited(admin: CommandAdmin, names: list[str]) -> dict[str, Found]:
    """The topics once all of them can be used: a broker learns of a new topic after it was created."""
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    while len(found := _found(admin, names)) < len(names):
        if time.monotonic() > deadline:
            missing = ", ".join(name for name in names if name not in found)
            message = (
                f"{missing}: expected to be usable {CREATE_TIMEOUT_S} s after being created, got nothing"
            )
            raise ConfigError([message])
        time.sleep(POLL_S)
    return found


def _refuse_misfits(wanted: Iterable[Wanted], found: Mapping[str, Found]) -> None:
    problems = []
    for topic in wanted:
        if not topic.checked or topic.name not in found:
            continue
        there, policy = found[topic.name], topic.config["cleanup.policy"]
        if there.partitions != topic.partitions:
            problems.append(_misfit(topic, there.partitions))
        if (got := there.config.get("cleanup.policy")) != policy:
            problems.append(f"{topic.name}: expected cleanup.policy={policy}, got {got}")
    if problems:
        raise ConfigError(problems)


def _misfit(topic: Wanted, there: int) -> str:
    if topic.name.endswith((".summaries", ".state")):
        return f"summaries.partitions: expected {there}, as {topic.name} has, got {topic.partitions}"
    return (
        f"{topic.name}: expected {topic.partitions} partitions, as the predictions have, got {there}; begin "
        "again under another name of `pipeline`"
    )


def _create(admin: CommandAdmin, missing: list[Wanted]) -> None:
    if not missing:
        return
    topics = [
        NewTopic(
            topic.name,
            topic.partitions,
            BROKER_DEFAULT if topic.replication_factor is None else topic.replication_factor,
            config=topic.config,
        )
        for topic in missing
    ]
    problems = []
    for name, future in admin.create_topics(topics, operation_timeout=CREATE_TIMEOUT_S).items():
        try:
            _unless(KafkaError.TOPIC_ALREADY_EXISTS, future)
        except KafkaException as error:
            problems.append(f"{name}: expected to be created, got: {_said(error)}")
    if problems:
        raise ConfigError(problems)


def _unless(code: int, future: Future[Any]) -> Any:
    """What a request came to; None where it failed with this code."""
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].code() != code:
            raise
        return None


def _said(error: KafkaException) -> str:
    return str(error.args[0].str())

"""`topics create` on a real Kafka: what it creates, and what it refuses."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import ConfigError
from stream_monitor.runtime import topics
from stream_monitor.runtime.kafka import CommandAdmin
from stream_monitor.runtime.topics import create_topics, describe_inputs
from tests.kafka.broker import Cluster

INTERNAL = ("summaries", "state", "alerts", "rejects")


def configured(kafka: Cluster, pipeline: str, **sections: Any) -> Config:
    return parse_config(
        {
            "pipeline": pipeline,
            "kafka": {"bootstrap.servers": kafka.bootstrap},
            "predictions": {"topics": [f"{pipeline}-predictions"]},
            **sections,
        }
    )


def partitions_of(kafka: Cluster, topic: str) -> int:
    return len(kafka.admin().list_topics(topic, timeout=60).topics[topic].partitions)


def settings_of(kafka: Cluster, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = kafka.admin()  # Its requests end with it.
    entries = admin.describe_configs([resource])[resource].result(60)
    return {name: entry.value for name, entry in entries.items()}


def test_topics_are_created_as_configured(kafka: Cluster) -> None:
    config = configured(
        kafka,
        kafka.unique("topics"),
        summaries={"partitions": 3, "retention": "2h", "replication_factor": 1},
        alerts={"partitions": 2, "retention": "30d"},
    )
    said = create_topics(config)
    assert said == [
        f"{config.topic(name)}: created, partitions: {count}"
        for name, count in zip(INTERNAL, (3, 3, 2, 1), strict=True)
    ]
    assert [partitions_of(kafka, config.topic(name)) for name in INTERNAL] == [3, 3, 2, 1]
    summaries, state, alerts, rejects = (settings_of(kafka, config.topic(name)) for name in INTERNAL)
    assert (summaries["cleanup.policy"], summaries["retention.ms"]) == ("delete", "7200000")
    assert summaries["compression.type"] == "producer"
    assert state["cleanup.policy"] == "compact"
    assert alerts["retention.ms"] == str(30 * 86_400_000)
    assert rejects["retention.ms"] == str(7 * 86_400_000), "the broker's default"
    for settings in (summaries, state, alerts, rejects):
        assert settings["message.timestamp.type"] == "LogAppendTime"


def test_creating_again_changes_nothing(kafka: Cluster) -> None:
    config = configured(kafka, kafka.unique("topics"))
    create_topics(config)
    before = [settings_of(kafka, config.topic(name)) for name in INTERNAL]
    said = create_topics(config)
    assert said == [
        f"{config.topic(name)}: there, partitions: {count}"
        for name, count in zip(INTERNAL, (4, 4, 1, 1), strict=True)
    ]
    assert [settings_of(kafka, config.topic(name)) for name in INTERNAL] == before


def test_topics_that_somebody_creates_meanwhile_are_used(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(kafka, kafka.unique("topics"))
    create_topics(config)
    look, looks = topics._found, [0]

    def late(admin: CommandAdmin, names: list[str]) -> dict[str, topics.Found]:
        """What brokers know that have not heard of the new topics yet, twice."""
        looks[0] += 1
        return {} if looks[0] <= 2 else look(admin, names)

    monkeypatch.setattr(topics, "_found", late)
    assert len(create_topics(config)) == 4
    assert looks == [3]


@pytest.mark.parametrize("name", ["summaries", "state"])
def test_another_number_of_partitions_is_refused_before_anything_is_created(
    kafka: Cluster, name: str
) -> None:
    config = configured(kafka, kafka.unique("topics"))
    there = config.topic(name)
    kafka.create_topic(there, 2, {"cleanup.policy": "compact" if name == "state" else "delete"})
    with pytest.raises(ConfigError) as caught:
        create_topics(config)
    assert caught.value.problems == [f"summaries.partitions: expected 2, as {there} has, got 4"]
    known = kafka.admin().list_topics(timeout=60).topics
    assert [other for other in INTERNAL if config.topic(other) in known] == [name]


@pytest.mark.parametrize(("name", "policy"), [("summaries", "compact"), ("state", "delete")])
def test_a_policy_that_loses_data_is_refused(kafka: Cluster, name: str, policy: str) -> None:
    config = configured(kafka, kafka.unique("topics"))
    kafka.create_topic(config.topic(name), 4, {"cleanup.policy": policy})
    with pytest.raises(ConfigError, match=rf"cleanup\.policy=.*got {policy}"):
        create_topics(config)


def test_other_partitions_of_alerts_are_the_operators_choice(kafka: Cluster) -> None:
    config = configured(kafka, kafka.unique("topics"))
    kafka.create_topic(config.topic("alerts"), 5)
    assert f"{config.topic('alerts')}: there, partitions: 5" in create_topics(config)


def test_what_the_broker_refuses_is_told(kafka: Cluster) -> None:
    config = configured(kafka, kafka.unique("topics"), alerts={"replication_factor": 99})
    with pytest.raises(ConfigError, match=rf"{config.topic('alerts')}: expected to be created, got: .*99"):
        create_topics(config)


def test_inputs_are_reported_with_what_should_be_otherwise(kafka: Cluster) -> None:
    names = [kafka.unique("input") for _ in range(3)]
    config = configured(kafka, kafka.unique("topics"), predictions={"topics": names})
    kafka.create_topic(names[0], 3, {"message.timestamp.type": "LogAppendTime"})
    kafka.create_topic(names[1], 1)
    good, plain, warning, missing = describe_inputs(config)
    assert good == f"{names[0]}: input, partitions: 3, message.timestamp.type: LogAppendTime"
    assert plain == f"{names[1]}: input, partitions: 1, message.timestamp.type: CreateTime"
    assert warning.startswith(f"warning: {names[1]}: ")
    assert missing.startswith(f"warning: {names[2]}: not there")
    assert names[2] not in kafka.admin().list_topics(timeout=60).topics


def test_a_cluster_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "ANSWER_TIMEOUT_S", 0.2)
    kafka = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    config = parse_config({"kafka": kafka, "predictions": {"topics": ["p"]}})
    with pytest.raises(ConfigError, match="kafka: expected a cluster that describes its topics, got: "):
        create_topics(config)


def test_the_command_prints_what_it_did(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline, path = kafka.unique("topics"), tmp_path / "monitor.yaml"
    bootstrap = f"bootstrap.servers: '{kafka.bootstrap}'"
    path.write_text(f"pipeline: {pipeline}\nkafka: {{{bootstrap}}}\npredictions: {{topics: [p]}}\n")
    parser = ArgumentParser()
    topics.add_arguments(parser)
    assert topics.main(parser.parse_args(["create", str(path)])) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{pipeline}.drift.summaries: created, partitions: 4"

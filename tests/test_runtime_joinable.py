"""What cannot be joined, and is told before anything is: on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from stream_monitor.errors import StreamMonitorError
from tests.join_apps import (
    committed,
    pipeline_of,
    prediction,
)
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, wait_for


def test_a_retention_below_the_horizon_is_an_error_that_says_both(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    alter(kafka, pipeline.labels, {"retention.ms": "3600000"})
    expected = (
        rf"{pipeline.labels}: expected retention.ms of at least labels.horizon, which is 2h \(7200000\), "
        r"got 1h \(3600000\)"
    )
    with pytest.raises(StreamMonitorError, match=expected), pipeline.running("join"):
        pass
    alter(kafka, pipeline.labels, {"cleanup.policy": "compact"})
    with pipeline.running("join") as join:
        wait_for(lambda: join.ready, "ready")


def alter(kafka: Cluster, topic: str, settings: dict[str, str]) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = kafka.admin()
    admin.incremental_alter_configs([resource])[resource].result(60)

    def is_known() -> bool:
        found = admin.describe_configs([resource])[resource].result(60)
        return all(found[name].value == value for name, value in settings.items())

    wait_for(is_known, f"{settings} of {topic}")


def test_topics_of_unequal_partition_counts_are_refused(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    grow(kafka, pipeline.labels, 3)
    expected = rf"got {pipeline.input}: 2, {pipeline.labels}: 3: .*labels.repartition"
    with pytest.raises(StreamMonitorError, match=expected), pipeline.running("join"):
        pass


def grow(kafka: Cluster, topic: str, partitions: int) -> None:
    admin = kafka.admin()
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(60)
    wait_for(lambda: len(admin.list_topics(topic, timeout=60).topics[topic].partitions) == partitions, "more")


def test_a_partition_count_that_grows_stops_the_worker_and_is_refused_ever_after(
    kafka: Cluster, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    pipeline.send(pipeline.input, 0, [prediction("a", 0, 10.0)])
    expected = f"{pipeline.input}: expected 2 partitions, as when its ids were first joined, got 3"
    with pipeline.running("join") as join:
        wait_for(lambda: committed(pipeline) == 1, "the prediction")
        grow(kafka, pipeline.input, 3)
        wait_for(lambda: not join.alive, "the worker to stop")
        assert expected in str(join.error)
    grow(kafka, pipeline.labels, 3)
    with pipeline.running("join") as join:
        wait_for(lambda: not join.alive, "the worker to stop again")
    assert isinstance(join.error, StreamMonitorError)
    assert "expected 2 partitions, as when its ids were first joined, got 3" in str(join.error)


def test_without_labels_there_is_nothing_to_join(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka)
    with pytest.raises(StreamMonitorError, match="labels: expected this section"), pipeline.running("join"):
        pass

"""Labels, or both, are brought to where their ids meet, each exactly once, on a real Kafka."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import ConfigResource, ResourceType

from stream_monitor.config import parse_config
from stream_monitor.errors import ConfigError, StreamMonitorError
from stream_monitor.runtime.topics import create_topics
from stream_monitor.runtime.workers import roles_of
from stream_monitor.sources.partitioners import BY_NAME
from tests import join_feed, join_oracle
from tests.join_apps import assert_as_the_oracle_says, cohorts, of_kind
from tests.join_feed import HORIZON_MS, LABELS, PREDICTIONS, Feed, Record
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Running, wait_for

JAVA, LIBRDKAFKA = "murmur2_random", "consistent_random"
PARTITIONS = 3


def pipeline_of(
    kafka: Cluster, folder: Path, repartition: str, partitions: int = PARTITIONS, **labels_settings: Any
) -> Pipeline:
    known = join_feed.config()
    labels = {name: value for name, value in known.pop("labels").items() if name != "topics"}
    predictions = {name: value for name, value in known.pop("predictions").items() if name != "topics"}
    labels |= {"store": str(folder / "store"), "repartition": repartition, **labels_settings}
    return Pipeline(kafka, partitions, labels=labels, predictions=predictions, **known)


def records(topic: str, seed: int, predictions: int = 400) -> list[Record]:
    """All that a feed has for a topic and that is read without a reject, in order of arrival."""
    feed = Feed.of(seed, predictions, partitions=1)
    return [one for one in feed.logs[topic, 0] if one[2] is None or usable(topic, one[2])]


def usable(topic: str, value: str) -> bool:
    needed = {"prediction_id", "ts", "label" if topic == LABELS else "model"}
    try:
        document = json.loads(value)
    except ValueError:
        return False
    rows = document if isinstance(document, list) else [document]
    return all(isinstance(row, dict) and needed <= row.keys() for row in rows)


def id_of(record: Record) -> bytes:
    _, key, value = record
    document = json.loads(value) if value is not None else {"prediction_id": key}
    row = document[0] if isinstance(document, list) and document else document
    return str(row["prediction_id"]).encode() if row else b""


def place(pipeline: Pipeline, topic: str, found: list[Record], by: str | None) -> None:
    """Put records where a partitioner puts their ids; without one in turn, and without keys."""
    for partition in range(PARTITIONS):
        mine = [
            (one[0], one[1] if by or one[2] is None else None, one[2])
            for row, one in enumerate(found)
            if (BY_NAME[by](id_of(one), 0, PARTITIONS) if by else row % PARTITIONS) == partition
        ]
        pipeline.send(topic, partition, mine)


def as_feed(predictions: list[Message], labels: list[Message]) -> Feed:
    """What the topics hold that the join reads, as the oracle knows it."""
    feed = Feed(PARTITIONS)
    for topic, messages in ((PREDICTIONS, predictions), (LABELS, labels)):
        for partition in range(PARTITIONS):
            feed.logs[topic, partition] = [
                (one.timestamp()[1], decoded(one.key()), decoded(one.value()))
                for one in messages
                if one.partition() == partition
            ]
    return feed


def decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def rows_of(found: list[Record]) -> int:
    documents = [json.loads(value) if value is not None else {} for _, _, value in found]
    return sum(len(one) if isinstance(one, list) else 1 for one in documents)


def copies_of(pipeline: Pipeline, kind: str, expected: int) -> list[Message]:
    """What was copied, once as much is there as is expected."""
    wait_for(lambda: len(pipeline.read(kind)) >= expected, f"{expected} copies")
    found = pipeline.read(kind)
    assert len(found) == expected
    return found


def assert_joined(pipeline: Pipeline, expected: Feed, folder: Path) -> None:
    """Run the join over what is there, and hold it to the second opinion."""
    logs = folder / "expected"
    logs.mkdir()
    expected.write(logs)
    counts, found = join_oracle.find(logs, [PREDICTIONS], [LABELS], join_feed.settings())
    labels = sum(one["labels"] for one in counts.values())
    predictions = sum(one["predictions"] for of, one in found.items() if of[3] == "")
    assert sum(one["pairs"] for one in counts.values()) > predictions // 10

    def is_done() -> bool:
        of_streams = (one for stream, one in cohorts(pipeline).items() if not stream.segment)
        read = sum(one.rows for one in of_kind(pipeline, "labels"))
        return read == labels and sum(one.total().predictions for one in of_streams) == predictions

    with pipeline.running("join") as join:
        wait_for(lambda: join.error or is_done(), "all that was copied")
    assert join.error is None
    # A copy leaves out what is no probability; to the oracle no score is known then, to the join one is 0.
    assert_as_the_oracle_says(pipeline, expected, folder, frozenset({"topic"}))


def test_labels_of_another_partitioner_are_brought_to_their_predictions(
    kafka: Cluster, tmp_path: Path
) -> None:
    """And their form, which the join would not know, becomes the default one."""
    pipeline = pipeline_of(kafka, tmp_path, "labels", fields={"value": "$.truth"})
    told = records(LABELS, seed=3)
    labels = [(time, key, value and value.replace('"label"', '"truth"')) for time, key, value in told]
    place(pipeline, pipeline.input, records(PREDICTIONS, seed=3), JAVA)
    place(pipeline, pipeline.labels, labels, LIBRDKAFKA)
    with pipeline.running("repartition"):
        found = copies_of(pipeline, "labels", rows_of(labels))
    assert_joined(pipeline, as_feed(pipeline.read(pipeline.input), found), tmp_path)


def test_both_are_brought_together_where_neither_is_placed_by_its_id(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "both")
    predictions, labels = records(PREDICTIONS, seed=4), records(LABELS, seed=4)
    place(pipeline, pipeline.input, predictions, None)
    place(pipeline, pipeline.labels, labels, LIBRDKAFKA)
    wanted = [one for one in predictions if one[2] is not None and '"model": "other"' not in one[2]]
    with pipeline.running("repartition"):
        of_labels = copies_of(pipeline, "labels", rows_of(labels))
        of_predictions = copies_of(pipeline, "predictions", rows_of(wanted))
    assert_joined(pipeline, as_feed(of_predictions, of_labels), tmp_path)


@pytest.mark.parametrize("point", ["after_produce", "in_commit", "after_commit"])
def test_killed_at_any_point_every_label_is_copied_once(kafka: Cluster, tmp_path: Path, point: str) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "labels")
    place(pipeline, pipeline.input, records(PREDICTIONS, seed=5), LIBRDKAFKA)
    labels = records(LABELS, seed=5)
    half = len(labels) // 2
    failpoint = {"STREAM_MONITOR_FAILPOINTS": f"repartition.{point}:2"}
    process = pipeline.process(tmp_path, "repartition", **failpoint)
    try:
        place(pipeline, pipeline.labels, labels[:half], JAVA)
        wait_for(lambda: pipeline.read("labels") or process.poll() is not None, "the first copies")
        place(pipeline, pipeline.labels, labels[half:], JAVA)
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    with pipeline.running("repartition"):
        found = copies_of(pipeline, "labels", rows_of(labels))
    partitioner = BY_NAME[LIBRDKAFKA]
    assert all(one.partition() == partitioner(one.key(), 0, PARTITIONS) for one in found)


def test_labels_keep_their_order_and_bad_ones_are_told_once(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "labels", partitions=1)
    values: list[dict[str, Any]] = [
        {"prediction_id": "p", "ts": join_feed.START_MS + i, "label": i} for i in range(50)
    ]
    sent: list[Record] = [(one["ts"], None, json.dumps(one)) for one in values]
    sent[20:20] = [(join_feed.START_MS, "p", "no json"), (join_feed.START_MS + 100, "p", None)]
    pipeline.send(pipeline.labels, 0, sent)
    with pipeline.running("repartition"):
        found = copies_of(pipeline, "labels", 51)
        [reject] = wait_for(lambda: pipeline.read("rejects"), "the reject")
    copied = [json.loads(one.value() or b"") for one in found]
    tombstone = {"prediction_id": "p", "ts": join_feed.START_MS + 100, "label": None}
    assert copied == [*values[:20], tombstone, *values[20:]]
    assert ("topic", pipeline.labels.encode()) in (reject.headers() or [])
    assert ("offset", b"20") in (reject.headers() or [])


def test_labels_wait_until_predictions_show_where_they_are_placed(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "labels")
    labels = records(LABELS, seed=6, predictions=50)
    place(pipeline, pipeline.labels, labels, JAVA)
    with pipeline.running("repartition") as worker:
        wait_for(
            lambda: "waits for predictions" in worker.health.reply("/readyz", "").body.decode(), "waiting"
        )
        assert pipeline.read("labels") == []
        place(pipeline, pipeline.input, records(PREDICTIONS, seed=6, predictions=50), LIBRDKAFKA)
        found = copies_of(pipeline, "labels", rows_of(labels))
        wait_for(lambda: worker.ready, "a ready worker")
    partitioner = BY_NAME[LIBRDKAFKA]
    assert all(one.partition() == partitioner(one.key(), 0, PARTITIONS) for one in found)


def test_predictions_that_are_not_placed_by_their_id_are_told(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "labels")
    place(pipeline, pipeline.input, records(PREDICTIONS, seed=7), None)
    with pipeline.running("repartition") as worker:
        wait_for(lambda: worker.error, "the refusal")
    assert isinstance(worker.error, StreamMonitorError)
    assert "without keys" in str(worker.error)
    assert "labels.repartition: both" in str(worker.error)


# Topics of copies


def test_topics_of_copies_are_as_the_predictions_are_and_outlast_a_rebuild(
    kafka: Cluster, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "both")
    lines = create_topics(pipeline.config)
    for kind in ("labels", "predictions"):
        assert f"{pipeline.topic(kind)}: there, partitions: {PARTITIONS}" in lines
    found = topic_config(pipeline, "labels")
    assert found["cleanup.policy"].value == "delete"
    assert found["message.timestamp.type"].value == "LogAppendTime"
    assert int(found["retention.ms"].value) > 2 * HORIZON_MS


def topic_config(pipeline: Pipeline, kind: str) -> dict[str, Any]:
    resource = ConfigResource(ResourceType.TOPIC, pipeline.topic(kind))
    admin = pipeline.cluster.admin()
    found: dict[str, Any] = admin.describe_configs([resource])[resource].result(60)
    return found


def test_topics_of_copies_with_other_partitions_are_refused(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "none")
    settings = {**pipeline.document["labels"], "repartition": "labels"}
    kafka.create_topic(f"{pipeline.name}.drift.labels", PARTITIONS + 1)
    pipeline.document["labels"] = settings
    pipeline.config = parse_config(pipeline.document)
    with pytest.raises(
        ConfigError, match=rf"drift\.labels: expected {PARTITIONS} partitions.*got {PARTITIONS + 1}"
    ):
        create_topics(pipeline.config)
    with pytest.raises(
        StreamMonitorError, match=r"expected equal numbers of partitions, got .*drift\.labels: 4"
    ):
        Running("repartition", pipeline.config, "a")


def test_a_pipeline_that_needs_no_copies_says_so(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, "none")
    with pytest.raises(StreamMonitorError, match=r"labels\.repartition: expected labels or both.*got none"):
        Running("repartition", pipeline.config, "a")


@pytest.mark.parametrize(
    ("repartition", "more"), [("none", []), ("labels", ["repartition"]), ("both", ["repartition"])]
)
def test_a_pipeline_runs_the_roles_that_it_needs(repartition: str, more: list[str]) -> None:
    known = join_feed.config()
    known["labels"] |= {"repartition": repartition}
    assert roles_of(parse_config(known)) == ["observe", "decide", "join", *more]

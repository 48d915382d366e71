"""Ids that cannot meet are told before the first of them is missed, and nothing is told that is not known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.runtime.placement import (
    SAMPLE_RECORDS,
    Placed,
    Placement,
    check_placement,
    judge_placement,
    partitioner_of,
    sample_topics,
)
from stream_monitor.sources.partitioners import BY_NAME
from tests.kafka.broker import Cluster

JAVA, LIBRDKAFKA = "murmur2_random", "consistent_random"
START_MS = 1_767_225_600_000
NAMES = tuple(f"p-{i}" for i in range(100))
OTHER = tuple(f"q-{i}" for i in range(100))
FEW = ("q-1", "q-2")


def placement(
    topic: str,
    by: str | None,
    names: Sequence[str] = NAMES,
    partitions: int = 6,
    key: str | None = "{id}",
) -> Placement:
    """Ids placed by a partitioner, or by something else; keys as given."""
    rows = []
    for i, name in enumerate(names):
        at = BY_NAME[by](name.encode(), 0, partitions) if by else (i * 7 + i // partitions) % partitions
        rows.append(Placed(at, key.format(id=name, i=i % 9).encode() if key else None, name))
    return Placement(topic, partitions, rows)


@pytest.mark.parametrize("by", [JAVA, LIBRDKAFKA])
@pytest.mark.parametrize("key", ["{id}", None, "customer-{i}"])
def test_ids_that_lie_alike_can_meet_whatever_the_key_is(by: str, key: str | None) -> None:
    judge_placement([placement("a", by, key=key)], [placement("b", by), placement("c", by, OTHER)])


@pytest.mark.parametrize("names", [OTHER, None], ids=["other ids", "the same ids"])
def test_two_partitioners_are_named_with_the_remedies(names: Sequence[str] | None) -> None:
    of_labels = placement("b", LIBRDKAFKA, names) if names else placement("b", LIBRDKAFKA)
    with pytest.raises(StreamMonitorError) as caught:
        judge_placement([placement("a", JAVA)], [of_labels])
    assert "a keyed by the id with murmur2 (Java's default)" in str(caught.value)
    assert "b keyed by the id with CRC32 (librdkafka's default)" in str(caught.value)
    assert "partitioner=murmur2_random" in str(caught.value)
    assert "labels.repartition: labels" in str(caught.value)


@pytest.mark.parametrize(
    ("predictions", "labels", "said", "remedy"),
    [
        (
            placement("a", JAVA),
            placement("b", None, OTHER, key="customer-{i}"),
            "b not keyed by the id (key 'customer-0' of id 'q-0')",
            "labels.repartition: labels",
        ),
        (
            placement("a", None, key="customer-{i}"),
            placement("b", JAVA, OTHER),
            "a not keyed by the id (key 'customer-0' of id 'p-0')",
            "labels.repartition: both",
        ),
        (placement("a", None, key=None), placement("b", JAVA), "a without keys", "labels.repartition: both"),
        (
            placement("a", None, key=None),
            placement("b", None, OTHER, key=None),
            "a without keys and b without keys",
            "labels.repartition: both",
        ),
        (
            placement("a", JAVA),
            placement("b", None, OTHER),
            "b keyed by the id with neither",
            "labels.repartition: labels",
        ),
    ],
)
def test_what_is_not_placed_by_the_id(
    predictions: Placement, labels: Placement, said: str, remedy: str
) -> None:
    with pytest.raises(StreamMonitorError) as caught:
        judge_placement([predictions], [labels])
    assert said in str(caught.value)
    assert remedy in str(caught.value)


def test_of_too_few_records_nothing_is_said_but_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    judge_placement([placement("a", JAVA)], [placement("b", LIBRDKAFKA, FEW), placement("c", JAVA, ())])
    assert [(one.__dict__["predictions"], one.__dict__["labels"]) for one in caplog.records] == [
        ("a", "b"),
        ("a", "c"),
    ]


def test_the_same_id_twice_tells_no_more_than_once() -> None:
    assert not placement("a", JAVA, ["p-1"] * 100).tells
    assert placement("a", JAVA).tells


def test_a_single_partition_holds_all_ids() -> None:
    judge_placement([placement("a", JAVA, partitions=1)], [placement("b", None, partitions=1, key=None)])


def test_an_id_seen_in_both_topics_says_more_than_keys(caplog: pytest.LogCaptureFixture) -> None:
    """The same customer's, by the same partitioner: ids meet, though nobody can know why."""
    names = [f"p-{i}" for i in range(30)]
    alike = placement("a", None, names, key="customer-{i}")
    caplog.set_level(logging.INFO)
    judge_placement([alike], [Placement("b", 6, alike.rows)])
    assert not caplog.records
    moved = [one._replace(partition=(one.partition + 1) % 6) for one in alike.rows[:2]]
    with pytest.raises(StreamMonitorError):
        judge_placement([alike], [Placement("b", 6, moved)])


def test_a_stray_record_is_passed_over() -> None:
    found = placement("b", JAVA)
    stray = found.rows[0]._replace(partition=(found.rows[0].partition + 1) % 6)
    strayed = [Placement("b", 6, [stray, *found.rows[1:]])]
    judge_placement([placement("a", JAVA, OTHER)], strayed)
    judge_placement([placement("a", JAVA, [stray.id, *OTHER])], strayed)


def test_the_partitioner_that_labels_are_sent_by_is_that_of_the_predictions() -> None:
    assert partitioner_of([placement("a", LIBRDKAFKA), placement("b", LIBRDKAFKA, FEW)]) == LIBRDKAFKA
    assert partitioner_of([placement("a", JAVA)]) == JAVA
    assert partitioner_of([placement("a", LIBRDKAFKA, FEW)]) == LIBRDKAFKA
    assert partitioner_of([placement("a", JAVA, ())]) is None
    alike = [name for name in NAMES if len({by(name.encode(), 0, 6) for by in BY_NAME.values()}) == 1]
    assert partitioner_of([placement("a", JAVA, alike), placement("b", JAVA, ())]) is None
    with pytest.raises(StreamMonitorError, match=r"a keyed.*murmur2.*; b keyed.*CRC32.*repartition: both"):
        partitioner_of([placement("a", JAVA), placement("b", LIBRDKAFKA)])
    with pytest.raises(StreamMonitorError, match=r"a without keys.*repartition: both"):
        partitioner_of([placement("a", None, key=None)])


# On Kafka


def config_of(kafka: Cluster, partitions: int = 4) -> Config:
    predictions, labels = (kafka.create_topic(kafka.unique(name), partitions) for name in ("p", "l"))
    document: dict[str, Any] = {
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "predictions": {"topics": [predictions]},
        "labels": {"topics": [labels]},
        "models": {"m": {"quality": {"y": {"task": "regression"}}}},
    }
    return parse_config(document)


def produce(
    kafka: Cluster, topic: str, partitioner: str, *, count: int = 300, keyed: bool = True, **more: Any
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": partitioner, "linger.ms": 5})
    for i in range(count):
        event = {"prediction_id": f"p-{i}", "model": "m", "ts": START_MS + i, **more}
        producer.produce(topic, orjson.dumps(event), key=f"p-{i}" if keyed else None)
    assert producer.flush(30) == 0


def test_producers_with_librdkafkas_default_are_seen_apart_from_java(kafka: Cluster) -> None:
    config = config_of(kafka)
    assert config.labels is not None
    produce(kafka, config.predictions.topics[0], JAVA, outputs={"y": 1.0})
    check_placement(config)
    produce(kafka, config.labels.topics[0], LIBRDKAFKA, label=1.0)
    with pytest.raises(
        StreamMonitorError, match=r"murmur2 \(Java's default\).*CRC32 \(librdkafka's default\)"
    ):
        check_placement(config)


def test_producers_that_place_alike_are_let_through(kafka: Cluster) -> None:
    config = config_of(kafka)
    assert config.labels is not None
    produce(kafka, config.predictions.topics[0], LIBRDKAFKA, outputs={"y": 1.0})
    produce(kafka, config.labels.topics[0], LIBRDKAFKA, label=1.0)
    check_placement(config)


def test_a_sample_holds_the_latest_events_of_joined_models_only(kafka: Cluster) -> None:
    config = config_of(kafka)
    topic = config.predictions.topics[0]
    produce(kafka, topic, JAVA, count=2_000, outputs={"y": 1.0})
    produce(kafka, topic, JAVA, count=50, keyed=False, model="nobody labels it")
    found = sample_topics(config, [topic])[topic]
    assert found.partitions == 4
    assert SAMPLE_RECORDS // 2 <= len(found.rows) <= 2 * SAMPLE_RECORDS
    assert min(int(one.id[2:]) for one in found.rows) > 1_000
    assert all(one.key == one.id.encode() for one in found.rows)
    assert found.by == {JAVA}


def test_one_keyed_by_nothing_is_refused(kafka: Cluster) -> None:
    config = config_of(kafka)
    assert config.labels is not None
    produce(kafka, config.predictions.topics[0], JAVA, keyed=False, outputs={"y": 1.0})
    produce(kafka, config.labels.topics[0], JAVA, label=1.0)
    with pytest.raises(StreamMonitorError, match=r"without keys.*labels\.repartition: both"):
        check_placement(config)

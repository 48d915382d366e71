"""What the join worker promises of delivery and time (DESIGN 8 and 9), on a real Kafka.

What comes out is held to the second opinion of ``tests/join_oracle.py``.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from stream_monitor.events import Source
from stream_monitor.runtime import positions
from stream_monitor.runtime.input_worker import InputWorker
from stream_monitor.runtime.kafka import transactional_properties
from tests.join_apps import (
    FARE,
    assert_as_the_oracle_says,
    assert_unbroken,
    by_source,
    cohorts,
    committed,
    label,
    of_kind,
    pairs,
    pipeline_of,
    prediction,
    send,
    share,
    size,
)
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.kafka.broker import Cluster
from tests.kafka_apps import START_MS, Pipeline, deltas, wait_for

POINTS = ("after_produce", "before_commit", "in_commit", "after_commit", "before_store", "after_store")


def test_pairs_come_as_deltas_of_the_join_whichever_came_first(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    pipeline.send(pipeline.labels, 0, [label("first", 0, 7.0)])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 1, "the label")
        pipeline.send(pipeline.input, 0, [prediction("first", 60, 10.0), prediction("second", 120, 1.0)])
        pipeline.send(pipeline.input, 0, [prediction("never", 180, 1.0)])
        wait_for(lambda: committed(pipeline) == 4, "the predictions")
        pipeline.send(pipeline.labels, 0, [label("second", 3600, 3.0), label("nobody", 3600, 3.0)])
        wait_for(lambda: committed(pipeline) == 6, "the labels")
    found = cohorts(pipeline)[FARE]
    assert [(start, one.predictions, one.labeled) for start, one in found.items()] == [(START_MS, 3, 2)]
    assert found.total().measures["amount"].figures()["mae"].value == pytest.approx(2.5)
    assert pairs(pipeline)[FARE] == 2
    assert pairs(pipeline)[FARE._replace(segment="country=DE")] == 2
    # The first pair came with its prediction, the second with its label.
    of_stream = {one.key.start for one in of_kind(pipeline, "pairs") if one.key.stream == FARE}
    assert of_stream == {START_MS + 60_000, START_MS + 3_600_000}
    assert sum(one.rows for one in of_kind(pipeline, "labels")) == 3
    assert deltas(pipeline) == [one for one in deltas(pipeline) if one.kind != "events"]
    assert_unbroken(pipeline)


def test_a_correction_and_a_tombstone_take_back_what_was_counted(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    pipeline.send(pipeline.input, 0, [prediction("a", 0, 10.0), prediction("b", 0, 20.0)])
    with pipeline.running("join") as join:
        pipeline.send(pipeline.labels, 0, [label("a", 60, 9.0), label("b", 60, 19.0)])
        wait_for(lambda: committed(pipeline) == 4, "labels")
        pipeline.send(pipeline.labels, 0, [label("a", 120, 5.0), (START_MS + 180_000, "b", None)])
        wait_for(lambda: committed(pipeline) == 6, "a correction and a tombstone")
        wait_for(lambda: join.metric("joined_rows_total", outcome="labels") == 4, "four labels counted")
    found = cohorts(pipeline)[FARE].total()
    assert (found.predictions, found.labeled) == (2, 1)
    assert found.measures["amount"].figures()["mae"].value == pytest.approx(5.0)
    assert pairs(pipeline)[FARE] == 2


def test_a_label_that_is_none_goes_to_the_rejects_and_a_prediction_that_is_none_does_not(
    kafka: Cluster, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    pipeline.send(pipeline.input, 0, [(START_MS, "p", "no json")])
    pipeline.send(pipeline.labels, 0, [label("a", 0, 1.0), (START_MS, "p", "no json"), label("b", 0, 1.0)])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 4, "all records")
        (reject,) = wait_for(lambda: pipeline.read("rejects"), "the reject")
    assert ("topic", pipeline.labels.encode()) in (reject.headers() or [])
    assert ("offset", b"1") in (reject.headers() or [])
    assert sum(one.rows for one in by_source(pipeline)[Source(pipeline.labels, 0)]) == 2


def test_labels_that_lag_behind_hold_no_prediction_back(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    slow = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": kafka.unique("slow")})
    slow.init_transactions(30)
    slow.begin_transaction()
    time_ms, key, value = label("p0", 60, 2.0)
    slow.produce(pipeline.labels, value, key, partition=0, timestamp=time_ms)
    slow.flush(30)
    with pipeline.running("join"):
        # A day of predictions, and not a label that can be read: it is further apart than ``ahead_max``.
        pipeline.send(pipeline.input, 0, [prediction(f"p{i}", i * 60, 1.0) for i in range(1440)])
        wait_for(lambda: committed(pipeline) == 1440, "all predictions")
        slow.commit_transaction(30)
        wait_for(lambda: pairs(pipeline)[FARE] == 1, "the pair")
    (told,) = (one for one in of_kind(pipeline, "pairs") if one.key.stream == FARE)
    assert told.key.start == START_MS + 60_000


def test_a_partition_that_the_client_does_not_fetch_is_woken(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "STALLED_S", 1.0)
    pipeline = pipeline_of(kafka, tmp_path)
    pipeline.send(pipeline.input, 0, [prediction("a", 0, 1.0), prediction("b", 0, 1.0)])
    pipeline.send(pipeline.labels, 0, [label("a", 60, 2.0)])
    with pipeline.running("join") as join:
        wait_for(lambda: committed(pipeline) == 3, "all records")
        # As if librdkafka had lost a resume: nothing else of the worker knows.
        assert isinstance(join.worker, InputWorker)
        join.worker._member.consumer.pause([TopicPartition(pipeline.labels, 0)])
        pipeline.send(pipeline.labels, 0, [label("b", 60, 2.0)])
        wait_for(lambda: pairs(pipeline)[FARE] == 2, "the second pair")
        assert join.metric("stalled_partitions_total", topic=pipeline.labels) >= 1
        assert join.metric("stalled_partitions_total", topic=pipeline.input) == 0
    assert sum(one.rows for one in of_kind(pipeline, "labels")) == 2
    assert_unbroken(pipeline)


def test_a_partition_of_labels_that_is_idle_claims_time(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, predictions={"idle_after": "1s"})
    pipeline.send(pipeline.labels, 0, [label("a", 0, 1.0)])

    def claim() -> int | None:
        told = by_source(pipeline)[Source(pipeline.labels, 0)]
        return told[-1].claim if told else None

    with pipeline.running("join"):
        claimed = wait_for(claim, "a claim")
    assert 0 < time.time() * 1000 - claimed < 60_000


@pytest.mark.parametrize("first", [PREDICTIONS, LABELS])
def test_in_catch_up_all_is_found_that_the_oracle_finds(kafka: Cluster, tmp_path: Path, first: str) -> None:
    """All of one topic is read before any of the other."""
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=3, predictions=800, partitions=2)
    send(pipeline, feed, first)
    with pipeline.running("join"):
        wait_for(
            lambda: committed(pipeline) == sum(len(feed.logs[first, one]) for one in (0, 1)), "one topic"
        )
        send(pipeline, feed, LABELS if first == PREDICTIONS else PREDICTIONS)
        wait_for(lambda: committed(pipeline) == size(feed), "the other")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def test_a_worker_whose_producer_was_let_go_goes_back_and_counts_all_once(
    kafka: Cluster, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=21, predictions=500, partitions=2)
    with pipeline.running("join") as join:
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0, 0.5)
        wait_for(lambda: committed(pipeline) == share(feed, 0.5), "one half")
        thief = Producer(transactional_properties(pipeline.config, "join", "a"))
        thief.init_transactions(30)
        for topic in (LABELS, PREDICTIONS):
            send(pipeline, feed, topic, 0.5)
        wait_for(lambda: committed(pipeline) == size(feed), "the other half")
        assert join.metric("aborts_total", role="join") >= 1
    assert join.error is None
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def test_workers_that_come_and_go_hand_over_partitions_and_count_every_pair_once(
    kafka: Cluster, tmp_path: Path
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 4)
    feed = Feed.of(seed=17, predictions=800, partitions=4)

    def feed_until(end: float) -> None:
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, end - 0.25, end)

    def done(end: float) -> bool:
        return committed(pipeline) == share(feed, end)

    with pipeline.running("join", "a") as first:
        feed_until(0.25)
        wait_for(lambda: done(0.25), "the first quarter")
        with pipeline.running("join", "b") as second:
            wait_for(lambda: second.metric("rebalances_total", role="join", change="assigned"), "a join")
            feed_until(0.5)
            wait_for(lambda: done(0.5), "the second quarter")
            assert first.metric("rebalances_total", role="join", change="revoked") >= 1
        with pipeline.running("join", "b"):
            feed_until(0.75)
            wait_for(lambda: done(0.75), "the third quarter")
        # After its session has ended, the first has all of them; what the second held is made again.
        feed_until(1.0)
        wait_for(lambda: done(1.0), "the last quarter")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_every_pair_counts_once(kafka: Cluster, tmp_path: Path, point: str) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=5, predictions=600, partitions=2)
    killed_while_fed(pipeline, feed, tmp_path, f"join.{point}:3")
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == size(feed), "all records")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def killed_while_fed(pipeline: Pipeline, feed: Feed, folder: Path, failpoint: str) -> None:
    """Feed a worker, by and by, that dies at ``failpoint``, and then the rest of the feed."""
    process = pipeline.process(folder, "join", STREAM_MONITOR_FAILPOINTS=failpoint)
    parts = 40
    sent = 0
    try:
        while process.poll() is None and sent < parts:
            for topic in (PREDICTIONS, LABELS):
                send(pipeline, feed, topic, sent / parts, (sent + 1) / parts)
            sent += 1
            threading.Event().wait(0.15)
        assert process.wait(30) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, sent / parts)

"""What the join worker promises of delivery and of its stores (DESIGN 8 and 9), on a real Kafka.

What comes out is held to the second opinion of ``tests/join_oracle.py``.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from stream_monitor.config import parse_config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Delta, Progress, Source, Stream
from stream_monitor.join.store import Position
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.runtime.catching_up import CatchingUp
from stream_monitor.runtime.positions import Owned
from stream_monitor.runtime.store import RocksStores
from stream_monitor.runtime.stores import unfit
from stream_monitor.watermark import Clock
from tests import join_feed, join_oracle
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.kafka.broker import Cluster
from tests.kafka_apps import START_MS, Pipeline, Sent, deltas, reports, wait_for

FARE = Stream("fare", "1", "live")
FIGURES = {"mae", "mean_error", "mape", "rmse"}
POINTS = ("after_produce", "before_commit", "in_commit", "after_commit", "before_store", "after_store")


def pipeline_of(cluster: Cluster, folder: Path, partitions: int = 1, **settings: Any) -> Pipeline:
    """One that ``join_feed`` is made for."""
    known = join_feed.config(**settings)
    labels = {name: value for name, value in known.pop("labels").items() if name != "topics"}
    predictions = {name: value for name, value in known.pop("predictions").items() if name != "topics"}
    labels = {**labels, "store": str(folder / "store")}
    return Pipeline(cluster, partitions, labels=labels, predictions=predictions, **known)


def prediction(name: str, second: int, value: float, **more: Any) -> Sent:
    time_ms = START_MS + second * 1000
    event = {"prediction_id": name, "model": "fare", "model_version": "1", "ts": time_ms}
    event |= {"features": {"country": "DE", "tier": 1}, "outputs": {"amount": value}}
    return time_ms, name, json.dumps({**event, **more})


def label(name: str, second: int, value: Any) -> Sent:
    time_ms = START_MS + second * 1000
    return time_ms, name, json.dumps({"prediction_id": name, "ts": time_ms, "label": value})


def of_kind(pipeline: Pipeline, kind: str) -> list[Delta]:
    return [delta for delta in deltas(pipeline) if delta.kind == kind]


def cohorts(pipeline: Pipeline) -> dict[Stream, Cohorts]:
    """All that was said of cohorts, together."""
    found: dict[Stream, Cohorts] = defaultdict(Cohorts)
    for delta in of_kind(pipeline, "cohorts"):
        found[delta.key.stream] += Cohorts.from_bytes(delta.data)
    return found


def pairs(pipeline: Pipeline) -> Counter[Stream]:
    found: Counter[Stream] = Counter()
    for delta in of_kind(pipeline, "pairs"):
        found[delta.key.stream] += delta.rows
    return found


def committed(pipeline: Pipeline) -> int:
    topics = (pipeline.input, pipeline.labels)
    return sum(one.offset for topic in topics for one in pipeline.committed("join", topic).values())


def by_source(pipeline: Pipeline) -> dict[Source, list[Progress]]:
    found: dict[Source, list[Progress]] = defaultdict(list)
    for one in reports(pipeline):
        found[one.source].append(one)
    return found


def assert_unbroken(pipeline: Pipeline) -> None:
    """Every report begins where the one before it ended, from the first record on."""
    for told in by_source(pipeline).values():
        assert told[0].first == 0
        assert all(one.next == other.first for one, other in pairwise(told))


# What is joined


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


# Against the second opinion


def send(pipeline: Pipeline, feed: Feed, topic: str, start: float = 0.0, end: float = 1.0) -> None:
    """A share of what the feed has for a topic."""
    name = pipeline.input if topic == PREDICTIONS else pipeline.labels
    for partition in range(feed.partitions):
        log = feed.logs[topic, partition]
        pipeline.send(name, partition, log[int(start * len(log)) : int(end * len(log))])


def size(feed: Feed, *topics: str) -> int:
    return sum(
        len(log) for (topic, _), log in feed.logs.items() if topic in (topics or (PREDICTIONS, LABELS))
    )


def assert_as_the_oracle_says(pipeline: Pipeline, feed: Feed, folder: Path) -> None:
    logs = folder / "logs"
    logs.mkdir()
    feed.write(logs)
    counts, expected = join_oracle.find(logs, [PREDICTIONS], [LABELS], join_feed.settings())
    found = {
        (*stream, start): (cohort.predictions, cohort.labeled)
        for stream, of_stream in cohorts(pipeline).items()
        for start, cohort in of_stream.items()
    }
    assert found == {place: (one["predictions"], len(one["pairs"])) for place, one in expected.items()}
    streams = {of: one["pairs"] for of, one in counts.items() if len(of) == 3 and one["pairs"]}
    assert {stream[:3]: rows for stream, rows in pairs(pipeline).items() if not stream.segment} == streams
    labels: Counter[str] = Counter()
    for delta in of_kind(pipeline, "labels"):
        labels[delta.key.stream.model] += delta.rows
    assert labels == {of[0]: one["labels"] for of, one in counts.items() if one["labels"]}
    assert len(pipeline.read("rejects")) == counts[LABELS,]["rejected"]
    compared = 0
    for stream, of_stream in cohorts(pipeline).items():
        for start, cohort in of_stream.items() if stream.model == FARE.model else ():
            figures = cohort.measures["amount"].figures() if "amount" in cohort.measures else {}
            for name in FIGURES & figures.keys():
                value = expected[*stream, start][f"amount.{name}"]
                assert figures[name].value == (value and pytest.approx(value, rel=1e-9)), (stream, name)
                compared += 1
    assert compared > 100


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


# Stores


def store_of(folder: Path, partition: int) -> Path:
    """Where the store of a partition lies."""
    (found,) = (folder / "store").glob(f"*/{partition}")
    return found


def delete(folder: Path) -> None:
    shutil.rmtree(store_of(folder, 0))


def damage(folder: Path) -> None:
    """Its files; where a young store has none yet, its write-ahead log."""
    store = store_of(folder, 0)
    files = sorted(store.glob("*.sst")) or sorted(store.glob("*.log"))
    assert files
    for file in files:
        data = bytearray(file.read_bytes())
        for at in range(0, len(data) - 50, 16):
            data[at] ^= 0xFF
        file.write_bytes(data)


def lose_current(folder: Path) -> None:
    (store_of(folder, 0) / "CURRENT").unlink()


@pytest.mark.parametrize("harm", [delete, damage, lose_current])
def test_a_store_that_is_lost_or_damaged_is_made_again_without_output(
    kafka: Cluster, tmp_path: Path, harm: Any
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=9, predictions=600, partitions=2)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0, 0.6)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == share(feed, 0.6), "the first part")
    before = len(deltas(pipeline))
    harm(tmp_path)
    with pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuild_seconds_count") == 1, "the rebuild")
        wait_for(lambda: join.ready, "ready")
        assert join.metric("rebuilt_records_total") > 100
        assert len(deltas(pipeline)) == before
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0.6)
        wait_for(lambda: committed(pipeline) == size(feed), "the rest")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def share(feed: Feed, end: float) -> int:
    return sum(int(end * len(log)) for log in feed.logs.values())


def test_a_store_ahead_of_what_is_committed_is_made_again(kafka: Cluster, tmp_path: Path) -> None:
    properties = {"bootstrap.servers": kafka.bootstrap, "session.timeout.ms": 2000}
    pipeline = pipeline_of(kafka, tmp_path, kafka=properties)
    feed = Feed.of(seed=11, predictions=400, partitions=1)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0, 0.5)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == share(feed, 0.5), "one half")
    earlier = [pipeline.committed("join", topic)[0] for topic in (pipeline.input, pipeline.labels)]
    half = cohorts(pipeline)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0.5)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == size(feed), "the other half")
    whole = cohorts(pipeline)
    # As an operator may do it, once nobody is in the group; an older copy of the offsets looks the same.
    asked = ConsumerGroupTopicPartitions(pipeline.config.group("join"), earlier)
    admin = kafka.admin()

    def set_back() -> bool:
        [answer] = admin.alter_consumer_group_offsets([asked]).values()
        return all(one.error is None for one in answer.result(30).topic_partitions)

    wait_for(set_back, "the group to be set back")
    with pipeline.running("join") as join:
        wait_for(lambda: committed(pipeline) == size(feed), "the other half, again")
        assert join.metric("rebuild_seconds_count") == 1
    # The other half was said twice, and nothing else.
    again = cohorts(pipeline)
    assert {stream: half.get(stream, Cohorts()) + again[stream] for stream in again} == {
        stream: one + one for stream, one in whole.items()
    }


def test_killed_in_a_rebuild_it_goes_on_where_the_store_stands(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=13, predictions=600, partitions=2)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0, 0.6)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == share(feed, 0.6), "the first part")
    delete(tmp_path)
    process = pipeline.process(tmp_path, "join", STREAM_MONITOR_FAILPOINTS="join.in_rebuild:1")
    try:
        assert process.wait(60) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    with pipeline.running("join"):
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0.6)
        wait_for(lambda: committed(pipeline) == size(feed), "the rest")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def test_while_a_store_is_made_again_other_partitions_go_on(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    for partition in (0, 1):
        pipeline.send(pipeline.input, partition, [prediction(f"p{partition}", 0, 1.0)] * 100)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 200, "the predictions")
    delete(tmp_path)
    may_go_on = threading.Event()
    step = CatchingUp.step
    monkeypatch.setattr(CatchingUp, "step", lambda self: may_go_on.is_set() and step(self))
    with pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuilding_partitions") == 1, "the rebuild to begin")
        for partition in (0, 1):
            pipeline.send(pipeline.labels, partition, [label(f"p{partition}", 60, 2.0)])
        wait_for(lambda: pairs(pipeline)[FARE] == 1, "the pair of the other partition")
        wait_for(lambda: not join.ready, "the worker to say that it is not ready")
        assert "rebuilding partition 0: " in join.health.reply("/readyz", "").body.decode()
        assert committed(pipeline) == 201
        may_go_on.set()
        wait_for(lambda: pairs(pipeline)[FARE] == 2, "the pair of the partition that was rebuilt")
        wait_for(lambda: join.ready and not join.metric("rebuilding_partitions"), "ready")
    assert_unbroken(pipeline)


def test_what_changes_the_form_of_the_store_makes_it_again(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    pipeline.send(pipeline.input, 0, [prediction("a", 0, 10.0, outputs={"amount": 10.0, "other": 3.0})])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 1, "the prediction")
    quality = {"amount": {"task": "regression"}, "aa": {"task": "regression", "prediction": "other"}}
    changed = {**pipeline.document["models"], "fare": {"quality": quality}}
    pipeline.config = parse_config({**pipeline.document, "models": changed})
    with pipeline.running("join"):
        pipeline.send(pipeline.labels, 0, [label("a", 60, {"amount": 8.0, "aa": 4.0})])
        wait_for(lambda: pairs(pipeline)[FARE] == 1, "the pair")
    found = cohorts(pipeline)[FARE].total().measures
    assert {name: one.figures()["mae"].value for name, one in found.items()} == {"amount": 2.0, "aa": 1.0}


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


def test_a_store_that_another_has_open_is_waited_for(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    elsewhere = RocksStores(pipeline.config).open(0)
    with pipeline.running("join") as join:
        for partition in (0, 1):
            pipeline.send(pipeline.input, partition, [prediction(f"p{partition}", 0, 1.0)])
        wait_for(lambda: committed(pipeline) == 1, "the prediction of the other partition")
        wait_for(lambda: "expected it to be closed" in join.health.reply("/readyz", "").body.decode(), "why")
        elsewhere.close()
        wait_for(lambda: committed(pipeline) == 2, "both predictions")
        wait_for(lambda: join.ready, "ready")
    assert_unbroken(pipeline)


def owned(topic: str, offset: int, clock: int = 5, topic_id: str = "id") -> Owned:
    return Owned(Source(topic, 0), topic_id, offset, offset, Clock(clock), 0.0)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (Position("id", 20, 5, None), None),
        (Position("id", 10, 3, None), None),
        (Position("id", 20, 5, 9), None),
        (Position("id", 21, 5, None), "l/0 is committed at 20, and the store stands at 21"),
        (Position("other", 10, 5, None), "l/0 had the topic id other, and has id"),
        (Position("id", 20, 4, None), "l/0 has the clock 5 there, and the store 4"),
    ],
)
def test_a_store_fits_that_stands_where_its_sources_are_committed_or_before(
    labels: Position, why: str | None
) -> None:
    positions = {Source("p", 0): Position("id", 7, 5, None), Source("l", 0): labels}
    assert unfit(positions, [owned("p", 7), owned("l", 20)]) == why


def test_a_store_of_other_topics_or_of_none_does_not_fit() -> None:
    positions = {Source("p", 0): Position("id", 7, 5, None)}
    assert unfit(positions, [owned("p", 7), owned("l", 20)]) == "made of p/0"
    assert unfit({}, [owned("p", 7)]) == "empty"


# What is refused


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
    admin.incremental_alter_configs([resource])[resource].result(30)


def test_topics_of_unequal_partition_counts_are_refused(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    grow(kafka, pipeline.labels, 3)
    expected = rf"got {pipeline.input}: 2, {pipeline.labels}: 3: .*labels.repartition"
    with pytest.raises(StreamMonitorError, match=expected), pipeline.running("join"):
        pass


def grow(kafka: Cluster, topic: str, partitions: int) -> None:
    admin = kafka.admin()
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)
    wait_for(lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == partitions, "more")


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

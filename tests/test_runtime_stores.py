"""What the join worker promises of its stores: they follow what is committed, and can be lost (DESIGN 8)."""

from __future__ import annotations

import shutil
import signal
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from stream_monitor.config import parse_config
from stream_monitor.events import Source
from stream_monitor.join.store import Position, StoreDamagedError
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.runtime.catching_up import CatchingUp
from stream_monitor.runtime.positions import Owned
from stream_monitor.runtime.store import RocksStore, RocksStores
from stream_monitor.runtime.stores import unfit
from stream_monitor.watermark import Clock
from tests.join_apps import (
    FARE,
    assert_as_the_oracle_says,
    assert_unbroken,
    by_source,
    cohorts,
    committed,
    damage,
    delete,
    label,
    pairs,
    pipeline_of,
    prediction,
    send,
    share,
    size,
    store_of,
)
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, deltas, wait_for


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
        return all(one.error is None for one in answer.result(60).topic_partitions)

    wait_for(set_back, "the group to be set back")
    with pipeline.running("join") as join:
        wait_for(lambda: committed(pipeline) == size(feed), "the other half, again")
        assert join.metric("rebuild_seconds_count") == 1
    # The other half was said twice, and nothing else.
    again = cohorts(pipeline)
    assert {stream: half.get(stream, Cohorts()) + again[stream] for stream in again} == {
        stream: one + one for stream, one in whole.items()
    }


def test_a_store_that_is_behind_reads_what_it_lacks_and_no_more(kafka: Cluster, tmp_path: Path) -> None:
    pipeline, feed = left_behind(kafka, tmp_path)
    with pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuild_seconds_count") == 1, "the store to be up to date")
        assert join.metric("rebuilt_records_total") == share(feed, 0.7) - share(feed, 0.4)
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0.7)
        wait_for(lambda: committed(pipeline) == size(feed), "the rest")
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
    assert_unbroken(pipeline)


def test_a_store_that_lacks_records_that_are_gone_is_made_again(kafka: Cluster, tmp_path: Path) -> None:
    pipeline, feed = left_behind(kafka, tmp_path)
    place = TopicPartition(pipeline.input, 0, int(0.4 * len(feed.logs[PREDICTIONS, 0])) + 1)
    admin = kafka.admin()
    admin.delete_records([place])[place].result(60)
    with pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuild_seconds_count") == 1, "the store to be made")
        assert join.metric("rebuilt_records_total") > share(feed, 0.7) - share(feed, 0.4)
        wait_for(lambda: join.ready, "ready")


def left_behind(kafka: Cluster, folder: Path) -> tuple[Pipeline, Feed]:
    """A pipeline that has committed seven tenths of a feed, with the store that it had at four tenths."""
    pipeline = pipeline_of(kafka, folder)
    feed = Feed.of(seed=19, predictions=400, partitions=1)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0, 0.4)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == share(feed, 0.4), "four tenths")
    store, before = store_of(folder, 0), folder / "before"
    shutil.copytree(store, before)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0.4, 0.7)
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == share(feed, 0.7), "seven tenths")
    shutil.rmtree(store)
    shutil.copytree(before, store)
    return pipeline, feed


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
    told = len(by_source(pipeline)[Source(pipeline.input, 0)])
    may_go_on = threading.Event()
    step = CatchingUp.step
    monkeypatch.setattr(CatchingUp, "step", lambda self: may_go_on.is_set() and step(self))
    with pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuilding_partitions") == 1, "the rebuild to begin")
        for partition in (0, 1):
            pipeline.send(pipeline.labels, partition, [label(f"p{partition}", 60, 2.0)])
        wait_for(lambda: pairs(pipeline)[FARE] == 1, "the pair of the other partition")
        wait_for(lambda: not join.ready, "the worker to say that it is not ready")
        assert "rebuilding partition 0: 0 %" in join.health.reply("/readyz", "").body.decode()
        assert committed(pipeline) == 201
        # Where it has said that it stands, it may not have a store.
        assert len(by_source(pipeline)[Source(pipeline.input, 0)]) == told
        may_go_on.set()
        wait_for(lambda: pairs(pipeline)[FARE] == 2, "the pair of the partition that was rebuilt")
        wait_for(lambda: join.ready and not join.metric("rebuilding_partitions"), "ready")
    assert_unbroken(pipeline)


def test_a_store_that_shows_damage_while_it_is_used_is_made_again(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, 2)
    feed = Feed.of(seed=15, predictions=500, partitions=2)
    for topic in (PREDICTIONS, LABELS):
        send(pipeline, feed, topic, 0, 0.5)
    get, write = RocksStore.get, RocksStore.write

    def damaged(*_: Any) -> NoReturn:
        monkeypatch.setattr(RocksStore, "get", get)
        monkeypatch.setattr(RocksStore, "write", write)
        raise StoreDamagedError

    with pipeline.running("join") as join:
        wait_for(lambda: committed(pipeline) == share(feed, 0.5), "one half")
        began = join.metric("rebuild_seconds_count")
        monkeypatch.setattr(RocksStore, "get", damaged)
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0.5, 0.75)
        wait_for(lambda: committed(pipeline) == share(feed, 0.75), "three quarters")
        monkeypatch.setattr(RocksStore, "write", damaged)
        for topic in (PREDICTIONS, LABELS):
            send(pipeline, feed, topic, 0.75)
        wait_for(lambda: committed(pipeline) == size(feed), "all of it")
        wait_for(lambda: join.metric("rebuild_seconds_count") >= began + 2, "the stores to be made again")
        assert join.metric("aborts_total", role="join") >= 2
    assert_as_the_oracle_says(pipeline, feed, tmp_path)
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

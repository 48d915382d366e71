"""What the decide worker promises of delivery and state (DESIGN section 9), on a real Kafka."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Config
from stream_monitor.decide import Decider
from stream_monitor.events import Progress, Records, Source
from stream_monitor.observe import Observer
from stream_monitor.reference import References
from stream_monitor.runtime.kafka import reader_properties, transactional_properties
from stream_monitor.runtime.messages import Outgoing, flush_messages
from stream_monitor.runtime.record import Record
from stream_monitor.runtime.restore import Store, restore
from stream_monitor.runtime.share import Share
from stream_monitor.runtime.snapshots import snapshot_messages
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Running, event, kill, wait_for


class Writer:
    """An observe worker without Kafka: one input partition to the records of its flushes."""

    def __init__(self, config: Config, partition: int, partitions: int) -> None:
        self._config = config
        self._codec = JsonCodec(config)
        self._observer = Observer(config, References(config))
        self._source = Source(config.predictions.topics[0], partition)
        self._partitions = partitions
        self._flushes = 0
        self._next = 0

    def flush(self, *events: bytes) -> list[Outgoing]:
        """Deltas, then the report to every summaries partition."""
        count = len(events)
        offsets = np.arange(self._next, self._next + count, dtype=np.int64)
        zeros = np.zeros(count, np.int64)
        self._observer.add(
            self._codec.decode(Records((self._source,), zeros, offsets, zeros - 1, list(events)))
        )
        observed = self._observer.flush()
        counts = observed.counts.get(self._source)
        clock = self._observer.clocks.get(self._source)
        progress = Progress(
            self._source,
            "id",
            self._partitions,
            self._next,
            self._next + count,
            None if clock is None else clock.known_event,
            None,
            drained=False,
            rows=count,
            rejected=0,
            late=0 if counts is None else counts.late,
        )
        self._next += count
        self._flushes += 1
        flush_id = f"writer{self._source.partition}/{self._flushes}"
        topic, partitions = self._config.topic("summaries"), self._config.summaries.partitions
        return list(flush_messages(flush_id, observed.deltas, [progress], topic, partitions))


class Log:
    """Produces records that a test made."""

    def __init__(self, cluster: Cluster) -> None:
        self._producer = Producer({"bootstrap.servers": cluster.bootstrap})

    def write(self, *messages: Outgoing) -> None:
        for one in messages:
            self._producer.produce(
                one.topic, one.value, one.key, partition=one.partition or 0, headers=list(one.headers)
            )
        assert self._producer.flush(30) == 0


def second_of(model: str, second: int, value: float) -> list[bytes]:
    return [event(second + i / 10, value + i / 10, model) for i in range(10)]


def alerts(pipeline: Pipeline) -> list[dict[str, Any]]:
    return [orjson.loads(message.value() or b"") for message in pipeline.read("alerts")]


def committed(pipeline: Pipeline, partition: int = 0) -> int:
    found = pipeline.committed("decide", pipeline.topic("summaries")).get(partition)
    return -1 if found is None else found.offset


def one_partition(kafka: Cluster, **settings: Any) -> Pipeline:
    # A model of drifting() lives for 14 slices: too few to learn how it moves.
    models = {"*": {"learn": 500, "detectors": ["adwin", "page_hinkley"]}}
    defaults: dict[str, Any] = {"summaries": {"partitions": 1}, "models": models}
    return Pipeline(kafka, **{**defaults, **settings})


# Restore


def interleaved(config: Config, seed: int) -> list[Outgoing]:
    """Flushes of two writers, their records mixed; models come in one by one, and some fall silent."""
    chance = random.Random(seed)
    queues: list[list[Outgoing]] = []
    for partition in range(2):
        writer = Writer(config, partition, partitions=2)
        queue: list[Outgoing] = []
        for second in range(40):
            models = ["early"] if second < 15 else ["middle"] if second < 30 else ["middle", "last"]
            queue += writer.flush(*(one for model in models for one in second_of(model, second, second % 3)))
        queues.append(queue)
    mixed = []
    while any(queues):
        queue = chance.choice([one for one in queues if one])
        count = chance.randint(1, 4)
        mixed += queue[:count]
        del queue[:count]
    return mixed


def live(share: Share, messages: list[Outgoing]) -> Iterator[int]:
    """Feed a share as a worker does; yields the position after each record."""
    for offset, one in enumerate(messages):
        share.take(Record(share.partition, offset, 0, one.key, list(one.headers), one.value))
        yield share.position


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_share_equals_the_one_that_never_stopped(kafka: Cluster, seed: int) -> None:
    pipeline = one_partition(kafka)
    config, log = pipeline.config, Log(kafka)
    messages = interleaved(config, seed)
    log.write(*messages)
    references = References(config)
    chance = random.Random(seed)
    share = Share(0, Decider(config, references), 0)
    goal = len(messages) - chance.randint(0, 20)
    # Models are snapshotted at different times, and only some of them again.
    for position in live(share, messages[:goal]):
        for model in share.decider.models():
            # Always while a flush is half there, and mostly another one has passed it.
            half = position - share.floor >= 4
            if half and (model not in share.saved or chance.random() < 0.1):
                snapshot = share.snapshot(model, 1)
                assert snapshot.position == position
                log.write(*snapshot_messages(snapshot, 0, pipeline.topic("state"), 0))
                share.keep(snapshot, 0.0, 1)
    store = Store(
        kafka.admin(), reader_properties(config), pipeline.topic("summaries"), pipeline.topic("state"), 1
    )
    restored = Share(0, Decider(config, references), goal)
    assert sum(restore(store, restored, share.floor)) > 0
    assert restored.position == goal
    assert restored.alerts == []
    assert states(restored) == states(share)
    # And it goes on as the other does.
    share.alerts.clear()
    for offset, one in enumerate(messages[goal:], goal):
        record = Record(0, offset, 0, one.key, list(one.headers), one.value)
        share.take(record)
        restored.take(record)
    assert restored.alerts == share.alerts
    assert states(restored) == states(share)


def states(share: Share) -> dict[str, bytes]:
    return {model: share.decider.snapshot(model) for model in share.decider.models()}


@pytest.mark.parametrize("snapshotted", [True, False])
def test_a_flush_that_was_half_there_at_the_commit_is_completed_after_a_kill(
    kafka: Cluster, tmp_path: Path, snapshotted: bool
) -> None:
    pipeline = one_partition(kafka)
    log = Log(kafka)
    slow, quick = (Writer(pipeline.config, partition, partitions=2) for partition in range(2))
    log.write(*slow.flush(), *quick.flush())
    half = slow.flush(*second_of("m", 0, 0))
    process = pipeline.process(tmp_path, "decide")
    try:
        # Deltas of the slow one, then whole flushes of the quick one.
        log.write(*half[:-1])
        # No model, no snapshot: where the half flush begins is then known from the commit alone.
        if snapshotted:
            log.write(*quick.flush(*second_of("m", 0, 0)), *quick.flush(*second_of("m", 10, 0)))
        count = len(pipeline.read("summaries"))
        wait_for(lambda: committed(pipeline) == count, "a commit of all records")
        kill(process)
        with pipeline.running("decide") as decide:
            wait_for(lambda: decide.ready, "the restored partition")
            log.write(*half[-1:], *slow.flush(*second_of("m", 10, 0)))
            if not snapshotted:
                log.write(*quick.flush(*second_of("m", 10, 0)))
            wait_for(lambda: decide.metric("closed_slices_total") >= 1, "a closed slice")
            for verdict in ("gap", "mismatch", "duplicate"):
                assert decide.metric("ledger_verdicts_total", verdict=verdict) == 0
    finally:
        process.kill()
        process.wait()
    assert alerts(pipeline) == []


def drifting(seconds: int) -> list[list[bytes]]:
    """Per second its events. Every 6 seconds a model begins, is learned for 5, and jumps after 8."""
    chance = random.Random(3)
    flushes = []
    for second in range(seconds):
        ages = {f"m{start}": second - start for start in range(0, second + 1, 6) if second - start < 14}
        flushes.append(
            [
                event(second + i / 100, chance.gauss(8.0 if age >= 8 else 0.0, 1), model)
                for i in range(100)
                for model, age in ages.items()
            ]
        )
    return flushes


def expected_alerts(config: Config, flushes: list[list[Outgoing]]) -> list[dict[str, Any]]:
    share = Share(0, Decider(config, References(config)), 0)
    for _ in live(share, [one for flush in flushes for one in flush]):
        pass
    return [orjson.loads(alert.to_json()) for alert in share.alerts]


@pytest.mark.parametrize(
    "point", ["after_produce", "before_commit", "in_commit", "after_commit", "in_snapshot", "in_restore"]
)
def test_killed_at_any_point_no_alert_is_lost_or_doubled(kafka: Cluster, tmp_path: Path, point: str) -> None:
    # In restore there is something to replay only where snapshots are older than commits.
    interval = "1h" if point == "in_restore" else "200ms"
    pipeline = one_partition(kafka, snapshot_interval=interval, commit_interval="100ms")
    writer = Writer(pipeline.config, 0, partitions=1)
    flushes = [writer.flush(*events) for events in drifting(100)]
    expected = expected_alerts(pipeline.config, flushes)
    assert len(expected) >= 10
    log = Log(kafka)
    process = pipeline.process(tmp_path, "decide", STREAM_MONITOR_FAILPOINTS=failpoints(point))
    try:
        left = iter(flushes)
        for written, flush in enumerate(left, 1):
            log.write(*flush)
            if written % 5 == 0 and ended_or_committed(process, pipeline):
                break
            if point == "in_restore" and written == 50:
                kill(process)
                process = pipeline.process(
                    tmp_path, "decide", STREAM_MONITOR_FAILPOINTS="decide.in_restore:1"
                )
                break
        assert process.wait(60) == -9
        log.write(*(one for flush in left for one in flush))
        with pipeline.running("decide"):
            wait_for(lambda: len(alerts(pipeline)) >= len(expected), "all alerts")
            end = len(pipeline.read("summaries"))
            wait_for(lambda: committed(pipeline) == end, "a commit of everything")
    finally:
        process.kill()
        process.wait()
    assert alerts(pipeline) == expected


def failpoints(point: str) -> str:
    return "" if point == "in_restore" else f"decide.{point}:3"


def has_committed(pipeline: Pipeline, offset: int) -> bool:
    return committed(pipeline) == offset


def test_what_was_decided_is_committed_as_soon_as_nothing_comes(kafka: Cluster) -> None:
    pipeline = one_partition(kafka, commit_interval="1h")
    writer, log, written = Writer(pipeline.config, 0, partitions=1), Log(kafka), 0
    with pipeline.running("decide"):
        for second in range(3):
            flush = writer.flush(*second_of("m", second, 1.0))
            log.write(*flush)
            written += len(flush)
            wait_for(partial(has_committed, pipeline, written), "a commit, an hour before the next one")


def ended_or_committed(process: subprocess.Popen[bytes], pipeline: Pipeline) -> bool:
    """Wait until all that is written is committed, or the process has ended: True."""
    end = len(pipeline.read("summaries"))
    wait_for(lambda: process.poll() is not None or committed(pipeline) == end, "a commit or an end")
    return process.poll() is not None


def test_a_worker_whose_producer_was_let_go_restores_and_doubles_nothing(kafka: Cluster) -> None:
    pipeline = one_partition(kafka, commit_interval="100ms")
    writer = Writer(pipeline.config, 0, partitions=1)
    flushes = [writer.flush(*events) for events in drifting(60)]
    expected = expected_alerts(pipeline.config, flushes)
    log = Log(kafka)
    with pipeline.running("decide") as decide:
        log.write(*(one for flush in flushes[:30] for one in flush))
        wait_for(lambda: len(alerts(pipeline)) >= 1, "alerts")
        thief = Producer(transactional_properties(pipeline.config, "decide", "a"))
        thief.init_transactions(30)
        log.write(*(one for flush in flushes[30:] for one in flush))
        wait_for(lambda: len(alerts(pipeline)) >= len(expected), "all alerts")
        assert decide.metric("aborts_total", role="decide") == 1
    assert decide.error is None
    assert alerts(pipeline) == expected


def test_a_worker_that_goes_back_asks_brokers_for_nothing_but_what_is_committed(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage the leader of a partition may still be unknown, which would end the worker."""
    pipeline = one_partition(kafka, commit_interval="100ms")
    writer = Writer(pipeline.config, 0, partitions=1)
    with pipeline.running("decide") as decide:
        Log(kafka).write(*(one for second in range(5) for one in writer.flush(*second_of("m", second, 0))))
        wait_for(lambda: committed(pipeline) > 0, "a commit")
        member = decide.worker._member
        monkeypatch.setattr(member, "consumer", WithoutLeader(member.consumer))
        thief = Producer(transactional_properties(pipeline.config, "decide", "a"))
        thief.init_transactions(30)
        Log(kafka).write(*(one for s in range(5, 9) for one in writer.flush(*second_of("m", s, 0))))
        wait_for(lambda: decide.metric("aborts_total", role="decide") and decide.ready, "a way back")
    assert decide.error is None


class WithoutLeader:
    """A consumer of partitions whose offsets nobody knows."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def get_watermark_offsets(self, *_: Any, **__: Any) -> NoReturn:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))


def test_a_second_worker_takes_over_where_the_first_stood(kafka: Cluster) -> None:
    pipeline = Pipeline(
        kafka, summaries={"partitions": 2}, models={"*": {"learn": 100, "detectors": ["adwin"]}}
    )
    log = Log(kafka)
    writer = Writer(pipeline.config, 0, partitions=1)
    with pipeline.running("decide", "a") as first:
        log.write(*(one for second in range(20) for one in writer.flush(*second_of("m", second, 0))))
        wait_for(lambda: first.metric("closed_slices_total") >= 18, "closed slices")
        with pipeline.running("decide", "b") as second:
            wait_for(lambda: second.metric("rebalances_total", role="decide", change="assigned"), "a join")
            wait_for(
                lambda: second.ready and first.metric("rebalances_total", role="decide", change="revoked"),
                "it",
            )
            log.write(*(one for s in range(20, 40) for one in writer.flush(*second_of("m", s, 0))))
            wait_for(lambda: total(first, second) >= 38, "the rest of the slices")
            # What was handed over stood at the committed offset: nothing had to be read again.
            assert second.metric("restored_records_total") == 0
    assert total(first, second) == 38


def total(*workers: Running) -> float:
    return sum(one.metric("closed_slices_total") for one in workers)


def test_the_snapshot_of_an_unchanged_model_is_renewed_before_a_quarter_of_the_retention_has_passed(
    kafka: Cluster,
) -> None:
    retention_s = 20
    topic = {"partitions": 1, "retention": f"{retention_s}s"}
    pipeline = one_partition(kafka, summaries=topic, snapshot_interval="1h")
    log = Log(kafka)
    writer = Writer(pipeline.config, 0, partitions=1)

    def snapshots(model: str) -> list[Message]:
        return [one for one in pipeline.read("state") if one.key() == f"{model}/0".encode()]

    log.write(*writer.flush(*second_of("still", 0, 0)), *writer.flush(*second_of("other", 10, 0)))
    with pipeline.running("decide"):
        second = 10
        while len(snapshots("still")) < 3:
            second += 1
            log.write(*writer.flush(*second_of("other", second, 0)))
        found = snapshots("still")
    appended_ms = [one.timestamp()[1] for one in found]
    assert max(late - soon for soon, late in pairwise(appended_ms)) < retention_s * 1000 / 4
    # Each stands further on: what is before it may go.
    positions = [int(dict(one.headers() or [])["position"] or 0) for one in found]
    assert positions == sorted(set(positions))


def test_a_newer_record_stops_its_partition_and_no_other(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, summaries={"partitions": 2})
    topic = pipeline.topic("summaries")
    log = Log(kafka)
    writer = Writer(pipeline.config, 0, partitions=1)
    with pipeline.running("decide") as decide:
        log.write(*writer.flush())
        wait_for(lambda: committed(pipeline, 0) == committed(pipeline, 1) == 1, "commits")
        newer = [("kind", b"delta"), ("version", b"2"), ("flush", b"writer0/9")]
        log.write(Outgoing(topic, b"?", None, newer, 0), *writer.flush(), *writer.flush())
        wait_for(lambda: committed(pipeline, 1) == 3, "the other partition to go on")
        wait_for(lambda: not decide.ready, "the worker to say that it is not ready")
        assert decide.health.reply("/readyz", "").body.startswith(b"summaries@1: expected version <= 1")
    assert committed(pipeline, 0) == 1


def test_records_gone_before_they_were_replayed_stop_the_partition_by_name(kafka: Cluster) -> None:
    pipeline = one_partition(kafka, snapshot_interval="1h")
    writer = Writer(pipeline.config, 0, partitions=1)
    log = Log(kafka)
    with pipeline.running("decide"):
        log.write(*writer.flush(*second_of("m", 0, 0)))
        wait_for(lambda: committed(pipeline) == 3, "a commit")
    log.write(*(one for second in range(1, 20) for one in writer.flush(*second_of("m", second, 0))))
    end = len(pipeline.read("summaries"))
    admin = kafka.admin()
    place = TopicPartition(pipeline.topic("summaries"), 0, end - 5)
    admin.delete_records([place])[place].result(60)
    with pipeline.running("decide") as decide:
        wait_for(
            lambda: decide.metric("data_losses_total", topic=pipeline.topic("summaries")) == 1, "the loss"
        )
        assert not decide.ready
        assert (
            "records from 3 on, got an end of retention" in decide.health.reply("/readyz", "").body.decode()
        )
    assert committed(pipeline) == 3


def test_a_gap_and_a_repetition_are_told(kafka: Cluster) -> None:
    pipeline = one_partition(kafka)
    writer = Writer(pipeline.config, 0, partitions=1)
    log = Log(kafka)
    first, lost, third = (writer.flush(*second_of("m", second, 0)) for second in range(3))
    with pipeline.running("decide") as decide:
        log.write(*first, *first, *third)
        wait_for(lambda: decide.metric("ledger_verdicts_total", verdict="gap") == 1, "the gap")
        assert decide.metric("ledger_verdicts_total", verdict="duplicate") == 1
        assert decide.metric("ledger_verdicts_total", verdict="mismatch") == 0
    del lost
    (alert,) = alerts(pipeline)
    assert alert["suspect"]

"""What the observe worker promises of delivery, time and topics (DESIGN 4 and 9), on a real Kafka."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Progress, Source
from stream_monitor.runtime import workers
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.kafka import transactional_properties
from stream_monitor.runtime.members import FencedError
from stream_monitor.runtime.positions import decode_metadata
from stream_monitor.watermark import NEVER
from tests.kafka.broker import Broker, Cluster
from tests.kafka_apps import START_MS, Pipeline, deltas, event, kill, read_all, reports, wait_for

SESSION_S = 60
"""Longer than a worker takes to start on a busy machine."""


def rows(pipeline: Pipeline) -> int:
    return sum(delta.rows for delta in deltas(pipeline))


def by_source(pipeline: Pipeline) -> dict[Source, list[Progress]]:
    found: dict[Source, list[Progress]] = defaultdict(list)
    for one in reports(pipeline):
        found[one.source].append(one)
    return found


def delete(cluster: Cluster, topic: str) -> None:
    admin = cluster.admin()
    admin.delete_topics([topic])[topic].result(60)
    wait_for(lambda: topic not in admin.list_topics(timeout=60).topics, "the topic to go")


def assert_unbroken(pipeline: Pipeline) -> None:
    """Every report begins where the one before it ended."""
    for told in by_source(pipeline).values():
        assert all(one.next == other.first for one, other in pairwise(told))


def test_each_summaries_partition_hears_of_each_input_partition_even_without_events(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=3)
    with pipeline.running("observe"):
        wait_for(lambda: len(reports(pipeline)) >= 3, "a report of every partition")
        wait_for(lambda: all(told[-1].drained for told in by_source(pipeline).values()), "drained")
    for partition in range(pipeline.config.summaries.partitions):
        told = reports(pipeline, partition)
        assert {one.source.partition for one in told} == {0, 1, 2}
        assert {(one.first, one.next, one.clock, one.partitions) for one in told} == {(0, 0, None, 3)}


def test_what_was_produced_and_committed_is_counted_by_topic(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka)
    pipeline.produce(event(0), event(1), b"no json")
    with pipeline.running("observe") as observe:
        wait_for(lambda: rows(pipeline) == 2 and pipeline.read("rejects"), "two rows and a reject")
    for name in ("summaries", "rejects"):
        found, topic = pipeline.read(name), pipeline.topic(name)
        assert observe.metric("produced_records_total", topic=topic) == len(found)
        assert observe.metric("produced_bytes_total", topic=topic) == sum(
            len(one.value() or b"") for one in found
        )


def test_offsets_carry_topic_id_and_clock_and_a_restart_judges_lateness_by_them(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=1)
    pipeline.produce(event(100))
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 1, "one row")
    committed = pipeline.committed("observe", pipeline.input)[0]
    topic_id, clock = decode_metadata(committed.metadata or "")
    assert committed.offset == 1
    assert clock.event == START_MS + 100_000
    assert topic_id == reports(pipeline)[0].topic_id
    pipeline.produce(event(50))
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 2, "two rows")
    assert sum(one.late for one in reports(pipeline)) == 1


def test_a_worker_whose_producer_was_let_go_goes_back_and_counts_all_once(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.running("observe") as observe:
        pipeline.produce(*[event(i / 10) for i in range(500)])
        wait_for(lambda: rows(pipeline) == 500, "500 rows")
        thief = Producer(transactional_properties(pipeline.config, "observe", "a"))
        thief.init_transactions(30)
        pipeline.produce(*[event(50 + i / 10) for i in range(500)])
        wait_for(lambda: rows(pipeline) >= 1000, "1000 rows")
        assert observe.metric("aborts_total", role="observe") == 1
    assert observe.error is None
    assert rows(pipeline) == 1000
    assert_unbroken(pipeline)


def test_of_two_processes_of_one_name_the_elder_stops_and_the_younger_works(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.running("observe") as elder:
        pipeline.produce(*[event(i / 10) for i in range(200)])
        wait_for(lambda: rows(pipeline) == 200, "200 rows")
        with pipeline.running("observe") as younger:
            wait_for(lambda: not elder.alive, "the elder to stop")
            assert isinstance(elder.error, FencedError)
            pipeline.produce(*[event(20 + i / 10) for i in range(200)], partition=1)
            wait_for(lambda: rows(pipeline) >= 400, "400 rows")
        assert younger.error is None
    assert rows(pipeline) == 400
    assert_unbroken(pipeline)


def test_workers_that_come_and_go_hand_over_clocks_and_lose_nothing(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=4)

    def produce(second: float) -> None:
        for partition in range(4):
            pipeline.produce(*[event(second + i / 100) for i in range(100)], partition=partition)

    def counted(count: int) -> bool:
        return rows(pipeline) >= count

    with pipeline.running("observe", "a") as first:
        produce(0)
        wait_for(lambda: counted(400), "the first rows")
        with pipeline.running("observe", "b") as second:
            wait_for(lambda: second.metric("rebalances_total", role="observe", change="assigned"), "a join")
            for i in range(1, 6):
                produce(i)
            wait_for(lambda: counted(2400), "more rows")
            assert first.metric("rebalances_total", role="observe", change="revoked") >= 1
        # The second is a static member that comes back within its session.
        with pipeline.running("observe", "b"):
            produce(6)
            wait_for(lambda: counted(2800), "the last rows")
    assert rows(pipeline) == 2800
    assert sum(one.late for one in reports(pipeline)) == 0
    assert_unbroken(pipeline)


def test_only_what_is_drained_claims_time_and_an_open_transaction_is_not(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=1, predictions={"idle_after": "1s", "max_clock_skew": "1s"})
    writer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": pipeline.name})
    writer.init_transactions(30)
    with pipeline.running("observe"):
        pipeline.produce(event(0))
        wait_for(lambda: rows(pipeline) == 1, "the first row")
        writer.begin_transaction()
        writer.produce(pipeline.input, event(1), partition=0)
        writer.flush(30)
        opened_ms = time.time() * 1000
        time.sleep(4)
        claims = [one.claim for one in reports(pipeline) if one.claim is not None]
        # Until the transaction began it may have claimed, always two seconds less than the time.
        assert all(claim <= opened_ms - 2000 + 1100 for claim in claims)
        assert rows(pipeline) == 1
        writer.commit_transaction(30)
        committed_ms = time.time() * 1000
        wait_for(lambda: rows(pipeline) == 2, "the row of the transaction")
        # The commit marker is the last record: it is never delivered, and yet the partition is drained.
        wait_for(lambda: (reports(pipeline)[-1].claim or 0) > committed_ms - 2000, "a claim")
        last = reports(pipeline)[-1]
        assert last.drained
        assert last.next == 3
        assert (last.claim or 0) <= time.time() * 1000 - 2000
        pipeline.produce(event(2))
        wait_for(lambda: rows(pipeline) == 3, "a row behind the claim")
    # The row of the transaction, too, if the worker had claimed before it began.
    assert sum(one.late for one in reports(pipeline)) == 1 + bool(claims)
    assert_unbroken(pipeline)


def test_a_topic_made_anew_is_halted_and_others_go_on(kafka: Cluster) -> None:
    other = kafka.create_topic(kafka.unique("other"))
    pipeline = Pipeline(kafka, partitions=1)
    pipeline = Pipeline(kafka, partitions=1, predictions={"topics": [pipeline.input, other]})
    changed = pipeline.config.predictions.topics[0]
    producer = Producer({"bootstrap.servers": kafka.bootstrap})

    def produce(topic: str, count: int) -> None:
        for i in range(count):
            producer.produce(topic, event(i))
        assert producer.flush(30) == 0

    produce(changed, 20)
    with pipeline.running("observe") as observe:
        wait_for(lambda: rows(pipeline) == 20, "20 rows")
        wait_for(lambda: observe.ready, "ready")
        delete(kafka, changed)
        kafka.create_topic(changed)
        wait_for(lambda: not observe.ready, "the worker to say that it is not ready")
        produce(changed, 50)
        produce(other, 30)
        wait_for(lambda: rows(pipeline) >= 50, "the other topic's rows")
        answer = observe.health.reply("/readyz", "").body.decode()
        assert changed in answer
        assert "deleted and created again" in answer
    assert rows(pipeline) == 50
    assert max(one.next for one in reports(pipeline) if one.source.topic == changed) == 20


def test_records_gone_before_they_were_read_are_named_and_leave_a_gap(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=1)
    pipeline.produce(*[event(i) for i in range(10)])
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 10, "10 rows")
    pipeline.produce(*[event(10 + i) for i in range(30)])
    place = TopicPartition(pipeline.input, 0, 25)
    admin = kafka.admin()
    admin.delete_records([place])[place].result(60)
    with pipeline.running("observe") as observe:
        wait_for(lambda: rows(pipeline) == 25, "the 15 rows that are left")
        assert observe.metric("data_losses_total", topic=pipeline.input) == 1
    told = reports(pipeline)
    assert [(one.next, other.first) for one, other in pairwise(told) if one.next != other.first] == [(10, 25)]


def test_a_partition_far_ahead_in_event_time_waits_for_the_others(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart, align = [0], Inputs.align

    def looked_at(inputs: Inputs) -> None:
        align(inputs)
        clocks = [one.clock.event for one in inputs.owned.values()]
        if len(clocks) == 2 and NEVER not in clocks:
            apart.append(abs(clocks[0] - clocks[1]))

    monkeypatch.setattr(Inputs, "align", looked_at)
    monkeypatch.setattr(workers, "records_max", lambda _: 500)
    settings = {"ahead_max": "1h", "lateness": "1s"}
    models = {"*": {"slice": "1h"}}
    pipeline = Pipeline(kafka, 2, predictions=settings, commit_interval="100ms", models=models)
    # The first holds a day in few events, the second the same day in many.
    pipeline.produce(*[event(i * 60) for i in range(1440)], partition=0)
    pipeline.produce(*[event(i) for i in range(0, 86_400, 6)], partition=1)
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 1440 + 14_400, "all rows")
    # One batch can carry it past the limit before it is paused: 500 records, here of one minute each.
    assert 0 < max(apart) <= 3_600_000 + 500 * 60_000


def test_sigterm_finishes_the_commit(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, partitions=1, commit_interval="10m")
    process = pipeline.process(tmp_path, "observe")
    try:
        # Until it has once been at the end it flushes as soon as it gets there.
        wait_for(lambda: any(one.drained for one in reports(pipeline)), "a report of the end")
        pipeline.produce(*[event(i / 10) for i in range(300)])
        time.sleep(2)
        assert rows(pipeline) == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert rows(pipeline) == 300
    assert pipeline.committed("observe", pipeline.input)[0].offset == 300


def test_a_killed_worker_is_back_with_its_partitions_before_its_session_ends(
    kafka: Cluster, tmp_path: Path
) -> None:
    settings = {"bootstrap.servers": kafka.bootstrap, "session.timeout.ms": SESSION_S * 1000}
    pipeline = Pipeline(kafka, partitions=4, kafka=settings)
    with pipeline.running("observe", "b"):
        process = pipeline.process(tmp_path, "observe")
        try:
            log = tmp_path / "observe-a.log"
            wait_for(lambda: b'"change": "assigned"' in log.read_bytes(), "partitions of its own")
            pipeline.produce(event(0), partition=0)
            kill(process)
            killed_s = time.monotonic()
            process = pipeline.process(tmp_path, "observe")
            for partition in range(4):
                pipeline.produce(*[event(1)] * 10, partition=partition)
            wait_for(lambda: rows(pipeline) == 41, "all rows")
            silent_s = time.monotonic() - killed_s
        finally:
            process.kill()
            process.wait()
    assert silent_s < 0.9 * SESSION_S
    assert_unbroken(pipeline)


def test_a_broker_that_dies_and_comes_back_loses_and_doubles_nothing(own_broker: Broker) -> None:
    # It is away for less than the session, however slow its start.
    kafka = {"bootstrap.servers": own_broker.bootstrap, "session.timeout.ms": SESSION_S * 1000}
    pipeline = Pipeline(own_broker, kafka=kafka)
    with pipeline.running("observe") as observe:
        pipeline.produce(*[event(i / 10) for i in range(300)])
        wait_for(lambda: rows(pipeline) == 300, "300 rows")
        own_broker.kill()
        own_broker.start()
        pipeline.produce(*[event(30 + i / 10) for i in range(300)])
        wait_for(lambda: rows(pipeline) >= 600, "600 rows")
        wait_for(lambda: committed(pipeline) == 600, "the commit")
        assert observe.alive
    assert rows(pipeline) == 600
    assert_unbroken(pipeline)


def test_a_huge_malformed_record_is_cut_and_does_not_stop_its_partition(kafka: Cluster) -> None:
    topic = kafka.create_topic(kafka.unique("big"), config={"max.message.bytes": "4000000"})
    pipeline = Pipeline(kafka, predictions={"topics": [topic]})
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 4_000_000})
    producer.produce(topic, b"x" * 3_000_000, key=b"k" * 5000)
    producer.produce(topic, event(1))
    assert producer.flush(30) == 0
    assert len(read_all(kafka, topic)) == 2
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 1, "the row after it")
        # The markers of one transaction reach its partitions one by one.
        (reject,) = wait_for(lambda: pipeline.read("rejects"), "the reject")
    assert reject.value() == b"x" * 65_536
    assert ("length", b"3000000") in (reject.headers() or [])


def test_a_worker_without_its_topics_says_which(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka)
    delete(kafka, pipeline.topic("summaries"))
    expected = r"drift\.summaries: expected this topic, got none; `stream-monitor topics"
    with pytest.raises(StreamMonitorError, match=expected), pipeline.running("observe"):
        pass


@pytest.mark.parametrize("point", ["after_produce", "before_commit", "in_commit", "after_commit"])
def test_killed_at_any_point_every_row_counts_once(kafka: Cluster, tmp_path: Path, point: str) -> None:
    pipeline, expected = killed_at(kafka, tmp_path, point)
    assert rows(pipeline) == expected
    assert_unbroken(pipeline)


def test_without_transactions_the_same_kill_counts_rows_twice(kafka: Cluster, tmp_path: Path) -> None:
    unsafe = {"STREAM_MONITOR_UNSAFE_NO_TRANSACTIONS": "1"}
    pipeline, expected = killed_at(kafka, tmp_path, "before_commit", **unsafe)
    assert rows(pipeline) > expected


def killed_at(kafka: Cluster, folder: Path, point: str, **environment: str) -> tuple[Pipeline, int]:
    """A pipeline whose worker died at the third pass of ``point`` and came back; the rows produced."""
    pipeline = Pipeline(kafka)
    failpoints = {"STREAM_MONITOR_FAILPOINTS": f"observe.{point}:3"}
    process = pipeline.process(folder, "observe", **failpoints, **environment)
    produced = 0
    try:
        while process.poll() is None:
            for partition in range(2):
                pipeline.produce(*[event(produced / 100 + i / 100) for i in range(50)], partition=partition)
            produced += 100
            time.sleep(0.1)
        assert process.returncode == -signal.SIGKILL
        with pipeline.running("observe"):
            wait_for(lambda: committed(pipeline) == produced, "a commit of everything")
    finally:
        process.kill()
        process.wait()
    return pipeline, produced


def committed(pipeline: Pipeline) -> int:
    return sum(one.offset for one in pipeline.committed("observe", pipeline.input).values())

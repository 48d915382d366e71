"""What is read while a flush is on its way (DESIGN 9): the next one holds it, or an abort drops it too."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_monitor import observe as observe_module
from stream_monitor.runtime import failpoints
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Running, event, reports, wait_for
from tests.test_runtime_observe import assert_unbroken, committed, rows


class Gate:
    """Where a flush passes that is written and not yet committed: shut, it waits; one may be aborted here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = threading.Event()
        self.aborts_next = False
        self._open = threading.Event()
        self._open.set()
        monkeypatch.setattr(failpoints, "hit", self._pass)

    def _pass(self, name: str) -> None:
        if name != "observe.after_produce":
            return
        if not self._open.is_set():
            self.holds.set()
        assert self._open.wait(60)
        if self.aborts_next:
            self.aborts_next = False
            raise KafkaException(KafkaError(KafkaError.INVALID_TXN_STATE, "aborted by a test"))

    def shut(self) -> None:
        self.holds.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


def read_meanwhile(pipeline: Pipeline, gate: Gate, observe: Running) -> None:
    """100 rows are on their way, held back at the gate; 100 more, and a reject, were read since."""
    wait_for(lambda: reports(pipeline), "the first report")
    gate.shut()
    pipeline.produce(*[event(i / 10) for i in range(100)])
    wait_for(gate.holds.is_set, "a flush at the gate")
    pipeline.produce(*[event(10 + i / 10) for i in range(100)], b"no json")
    wait_for(lambda: observe.metric("rejected_rows_total", reason="not_json"), "the reject to be read")
    assert rows(pipeline) == 0


def assert_all_once(pipeline: Pipeline) -> None:
    wait_for(lambda: committed(pipeline) == 201, "a commit of everything")
    assert rows(pipeline) == 200
    assert len(pipeline.read("rejects")) == 1
    assert sum(one.rows + one.rejected for one in reports(pipeline)) == 201
    assert_unbroken(pipeline)


def test_what_is_read_while_a_flush_is_on_its_way_is_in_the_next_one(kafka: Cluster, gate: Gate) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.running("observe") as observe:
        read_meanwhile(pipeline, gate, observe)
        gate.open()
        assert_all_once(pipeline)
    assert observe.metric("aborts_total", role="observe") == 0
    assert observe.metric("consumed_rows_total", topic=pipeline.input) == 201


def test_an_abort_drops_what_was_read_since_the_flush_too(kafka: Cluster, gate: Gate) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.running("observe") as observe:
        read_meanwhile(pipeline, gate, observe)
        gate.aborts_next = True
        gate.open()
        assert_all_once(pipeline)
    assert observe.metric("aborts_total", role="observe") == 1


def test_a_stop_waits_for_the_flush_on_its_way_and_writes_what_was_read_since(
    kafka: Cluster, gate: Gate
) -> None:
    pipeline = Pipeline(kafka, commit_interval="1s")
    with pipeline.running("observe") as observe:
        read_meanwhile(pipeline, gate, observe)
        opening = threading.Timer(0.5, gate.open)
        opening.start()
    opening.join()
    assert observe.error is None
    assert_all_once(pipeline)


def test_what_takes_much_memory_is_flushed_before_its_time(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VALUES_MAX", "SUMMARIES_BYTES_MAX", "DELTAS_BYTES_MAX"):
        monkeypatch.setattr(observe_module, name, 1)
    pipeline = Pipeline(kafka, commit_interval="1h")
    with pipeline.running("observe"):
        wait_for(lambda: reports(pipeline), "the first report")
        pipeline.produce(*[event(i / 10) for i in range(100)])
        wait_for(lambda: rows(pipeline) == 100, "all of them, an hour before the next commit")
        assert_unbroken(pipeline)


def test_what_was_caught_up_with_is_flushed_at_once(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, commit_interval="1h")
    events = [event(i / 1_000) for i in range(1_000)]
    pipeline.produce(*events[:500])
    pipeline.produce(*events[500:], partition=1)
    with pipeline.running("observe"):
        wait_for(lambda: rows(pipeline) == 1_000, "all that was there, an hour before the next commit")
        assert_unbroken(pipeline)


def test_partitions_are_handed_over_when_the_flush_on_its_way_is_done(kafka: Cluster, gate: Gate) -> None:
    pipeline = Pipeline(kafka)
    with pipeline.running("observe") as first:
        read_meanwhile(pipeline, gate, first)
        with pipeline.running("observe", "b") as second:
            # In vain: it gets them from the first.
            assert not second.ready
            gate.open()
            wait_for(lambda: first.metric("rebalances_total", role="observe", change="revoked"), "a change")
            assert_all_once(pipeline)
    assert first.error is None
    assert second.error is None
    assert first.metric("aborts_total", role="observe") == 0

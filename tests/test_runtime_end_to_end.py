"""Predictions in, alerts out, over a real Kafka and both workers."""

from __future__ import annotations

import hashlib
import random

import orjson

from stream_monitor.monitor import Monitor
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Running, deltas, event, wait_for


def test_a_shift_is_alerted_as_the_library_alerts_it(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=1)
    values = random.Random(5)
    events = [event(i / 50, values.gauss(0 if i < 2000 else 3, 1)) for i in range(3000)]
    with pipeline.running("observe"), pipeline.running("decide") as decide:
        pipeline.produce(*events)
        wait_for(lambda: closed(decide) >= 58, "59 closed slices")
    published = [orjson.loads(message.value() or b"") for message in pipeline.read("alerts")]
    monitor = Monitor(pipeline.config)
    expected = [alert.to_dict() for alert in monitor.update(events)]
    assert {alert["signal"]["name"] for alert in published} == {"x", "y"}
    assert published == orjson.loads(orjson.dumps(expected))


def test_every_row_is_summarized_or_rejected(kafka: Cluster) -> None:
    pipeline = Pipeline(kafka, partitions=3)
    bad = b'{"model": "m", "ts": '
    for partition in range(3):
        pipeline.produce(*[event(i / 10) for i in range(700)], bad, partition=partition)
    with pipeline.running("observe") as one, pipeline.running("observe", "b") as other:
        wait_for(lambda: consumed(one) + consumed(other) == 2103, "2103 rows read")
    assert sum(delta.rows for delta in deltas(pipeline)) == 2100
    # The markers of one transaction reach its partitions one by one.
    rejects = wait_for(lambda: len(found := pipeline.read("rejects")) == 3 and found, "three rejects")
    headers = [dict(message.headers() or []) for message in rejects]
    places = sorted((found["partition"], found["offset"]) for found in headers)
    assert places == [(b"0", b"700"), (b"1", b"700"), (b"2", b"700")]
    for message, found in zip(rejects, headers, strict=True):
        assert message.value() == bad
        assert found["reason"] == b"not_json"
        assert found["length"] == b"%d" % len(bad)
        assert found["sha256"] == hashlib.sha256(bad).hexdigest().encode()


def closed(decide: Running) -> float:
    return decide.metric("closed_slices_total")


def consumed(observe: Running) -> float:
    return sum(
        sample.value
        for metric in observe.registry.collect()
        for sample in metric.samples
        if sample.name == "stream_monitor_consumed_rows_total"
    )

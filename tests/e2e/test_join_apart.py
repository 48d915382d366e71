"""The join has positions of its own: neither a batch of labels nor a store that is made again holds back what
is said of features.
"""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_monitor.join.joins import Joins
from stream_monitor.runtime.catching_up import CatchingUp
from tests.join_apps import committed, delete, pairs
from tests.kafka.broker import Cluster
from tests.kafka_apps import START_MS, Pipeline, Sent, wait_for

SECONDS = 60
PER_SECOND = 50
MODELS = {"*": {"learn": 500, "quality": {"y": {"task": "regression"}}}}


def pipeline_of(kafka: Cluster, folder: Path) -> Pipeline:
    labels = {"horizon": "2h", "cohort": "30m", "store": str(folder / "store")}
    return Pipeline(kafka, 1, labels=labels, models=MODELS)


def predictions() -> list[Sent]:
    """The feature and the output move after three fifths of the time."""
    values = random.Random(5)
    found: list[Sent] = []
    for i in range(SECONDS * PER_SECOND):
        time_ms = START_MS + i * 1000 // PER_SECOND
        value = values.gauss(0 if i < SECONDS * PER_SECOND * 3 // 5 else 3, 1)
        event = {"prediction_id": f"p{i}", "model": "m", "ts": time_ms}
        event |= {"features": {"x": value}, "outputs": {"y": value}}
        found.append((time_ms, f"p{i}", orjson.dumps(event).decode()))
    return found


def labels(of: list[Sent]) -> list[Sent]:
    """A batch at night: all of them an hour later."""
    later_ms = START_MS + 3_600_000
    return [
        (later_ms, key, orjson.dumps({"prediction_id": key, "ts": later_ms, "label": 0.0}).decode())
        for _, key, _ in of
    ]


def moved(pipeline: Pipeline) -> set[str]:
    """The signals that alerts were published about."""
    alerts: list[dict[str, Any]] = [orjson.loads(one.value() or b"") for one in pipeline.read("alerts")]
    return {alert["signal"]["name"] for alert in alerts}


def total(pipeline: Pipeline) -> int:
    return sum(rows for stream, rows in pairs(pipeline).items() if not stream.segment)


def test_a_batch_of_labels_that_is_not_joined_yet_holds_back_no_alert(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    events = predictions()
    pipeline.send(pipeline.labels, 0, labels(events))
    may_go_on = threading.Event()
    add = Joins.add
    monkeypatch.setattr(Joins, "add", lambda self, batch: (may_go_on.wait(60), add(self, batch)))
    with pipeline.running("observe"), pipeline.running("decide"), pipeline.running("join"):
        pipeline.send(pipeline.input, 0, events)
        wait_for(lambda: {"x", "y"} <= moved(pipeline), "alerts of the feature and the output")
        assert committed(pipeline) == 0
        may_go_on.set()
        wait_for(lambda: total(pipeline) == len(events), "all pairs")


def test_a_store_that_is_made_again_holds_back_no_alert(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(kafka, tmp_path)
    events = predictions()
    pipeline.send(pipeline.input, 0, events[:500])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 500, "the first predictions")
    delete(tmp_path)
    may_go_on = threading.Event()
    step = CatchingUp.step
    monkeypatch.setattr(CatchingUp, "step", lambda self: may_go_on.is_set() and step(self))
    with pipeline.running("observe"), pipeline.running("decide"), pipeline.running("join") as join:
        wait_for(lambda: join.metric("rebuilding_partitions") == 1, "the rebuild to begin")
        pipeline.send(pipeline.input, 0, events[500:])
        wait_for(lambda: {"x", "y"} <= moved(pipeline), "alerts of the feature and the output")
        assert join.metric("rebuilding_partitions") == 1
        pipeline.send(pipeline.labels, 0, labels(events))
        may_go_on.set()
        wait_for(lambda: total(pipeline) == len(events), "all pairs")

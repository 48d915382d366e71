"""How fast a store of the join that is lost is made again: a worker as its users run it, on a real Kafka.

Half as many labels as predictions, each some time after its prediction; the worker has a core for itself.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer

from benchmarks.cores import BROKER_CORES, WORKER_CORES, pinned
from tests.kafka.broker import Broker
from tests.kafka_apps import START_MS, Pipeline

EVENT_MS = 50
LABEL_AFTER = 1_000
TIMEOUT_S = 1_800.0
QUALITY = {"class": {"task": "binary", "score": "score", "positive": "leaves"}}


def measure(events: int) -> dict[str, float]:
    """``rebuild_events_per_s`` of a partition with so many predictions and labels together."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        with pinned(BROKER_CORES):
            broker = Broker(folder / "kafka").start()
        try:
            labels = {"horizon": "30d", "cohort": "1d", "slice": "1h", "store": str(folder / "store")}
            models = {"*": {"quality": QUALITY}}
            pipeline = Pipeline(broker, 1, labels=labels, models=models, commit_interval="1s")
            sent = _fill(pipeline, events)
            _run(pipeline, folder / "first", lambda _: _committed(pipeline) == sent)
            (store,) = (folder / "store").glob("*/0")
            shutil.rmtree(store)
            told = _run(pipeline, folder / "again", lambda line: line.get("event") == "store up to date")
        finally:
            broker.stop()
    assert told["anew"]
    return {"rebuild_events_per_s": told["records"] / told["seconds"]}


def _fill(pipeline: Pipeline, events: int) -> int:
    """Returns how many records there are now."""
    producer = Producer(
        {"bootstrap.servers": pipeline.cluster.bootstrap, "linger.ms": 20, "compression.type": "lz4"}
    )

    def send(topic: str, value: dict[str, Any]) -> None:
        while True:
            try:
                producer.produce(topic, json.dumps(value), value["prediction_id"], partition=0)
            except BufferError:
                producer.poll(0.1)
            else:
                return

    sent = 0
    for i in range(events * 2 // 3):
        time_ms, score = START_MS + i * EVENT_MS, i * 7919 % 1000 / 1000
        event = {"prediction_id": _id(i), "model": "churn", "model_version": "3", "ts": time_ms}
        event |= {"features": {"age": i % 80, "channel": "web", "spent": score * 100}}
        outputs = {"score": score, "class": "leaves" if score > 0.5 else "stays"}
        send(pipeline.input, event | {"outputs": outputs})
        sent += 1
        if i % 2 == 0:
            label = "leaves" if i % 3 else "stays"
            label_ms = time_ms + LABEL_AFTER * EVENT_MS
            send(pipeline.labels, {"prediction_id": _id(i), "ts": label_ms, "label": label})
            sent += 1
    assert producer.flush(60) == 0
    return sent


def _id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def _committed(pipeline: Pipeline) -> int:
    topics = (pipeline.input, pipeline.labels)
    try:
        return sum(one.offset for topic in topics for one in pipeline.committed("join", topic).values())
    except KafkaException:
        # The group's coordinator is only just being chosen.
        return 0


def _run(pipeline: Pipeline, folder: Path, is_done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A worker until ``is_done`` of a line of its log; that line."""
    folder.mkdir()
    with pinned(WORKER_CORES):
        process = pipeline.process(folder, "join")
    end_s = time.monotonic() + TIMEOUT_S
    try:
        while time.monotonic() < end_s and process.poll() is None:
            for text in (folder / "join-a.log").read_text().splitlines():
                line: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
                if is_done(line):
                    return line
            time.sleep(0.2)
        raise TimeoutError((folder / "join-a.log").read_text()[-2000:])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()

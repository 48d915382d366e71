"""The law on a real Kafka: one worker of each role, four and two, and replay say the same.

Every partition begins and ends with an event of a model of its own. The first is there before the rest
comes, so that no partition is taken for an empty one; the last is so late that all other slices close by the
clocks of the partitions alone. So nothing here depends on the wall clock. Takes about 30 s.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from stream_monitor.config import Config
from tests import inputs
from tests.core import Record, Schedule, comparable, run
from tests.e2e.pipelines import RealPipeline, in_order, without_names, without_offsets
from tests.kafka.broker import Cluster

PARTITIONS = 4
SECONDS = 60


def the_input() -> list[list[Record]]:
    first, last = inputs.START_MS, inputs.START_MS + (SECONDS + 60) * 1000
    logs = inputs.messy(events=12_000, partitions=PARTITIONS, seconds=SECONDS)
    return [[frame(number, first), *log, frame(number, last)] for number, log in enumerate(logs)]


def frame(partition: int, time: int) -> Record:
    """An event of the model "frame" whose id belongs to the partition, as librdkafka sees it."""
    name = next(name for name in map(str, range(1000)) if zlib.crc32(name.encode()) % PARTITIONS == partition)
    return time, orjson.dumps({"prediction_id": name, "model": "frame", "ts": time})


def pipeline_of(kafka: Cluster) -> RealPipeline:
    settings = inputs.config()
    times = {**settings["predictions"], "idle_after": "1h"}
    del times["topics"]
    return RealPipeline(kafka, PARTITIONS, predictions=times, models=settings["models"])


def produce(pipeline: RealPipeline, logs: Sequence[Sequence[Record]]) -> None:
    producer = Producer({"bootstrap.servers": pipeline.cluster.bootstrap, "linger.ms": 20})
    for partition, log in enumerate(logs):
        for timestamp, value in log:
            key = orjson.loads(value)["prediction_id"]
            producer.produce(pipeline.input, value, key, partition=partition, timestamp=timestamp)
            producer.poll(0)
    assert producer.flush(60) == 0


def replay(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "stream_monitor.cli", "replay", str(folder / "monitor.yaml"), "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=120)
    return in_order(map(orjson.loads, done.stdout.splitlines()))


def on_kafka(
    pipeline: RealPipeline, logs: Sequence[Sequence[Record]], folder: Path, observe: int, decide: int
) -> list[dict[str, Any]]:
    # Produced to workers that wait for it: each of them gets its share.
    with pipeline.workers(folder, observe, decide) as workers:
        produce(pipeline, [log[:1] for log in logs])
        workers.wait_until_done()
        produce(pipeline, [log[1:] for log in logs])
        workers.wait_until_done()
    assert len(pipeline.writers()) == observe
    counted = pipeline.counted()
    assert counted.differences == {}
    assert counted.produced.total() == sum(map(len, logs))
    assert counted.late.total() > 100
    accepted, rejected, late = map(sum, zip(*counted.reported.values(), strict=True))
    assert (accepted, rejected, late) == (counted.produced.total(), 0, counted.late.total())
    return pipeline.alerts()


def in_memory(config: Config, logs: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    return in_order(orjson.loads(orjson.dumps(comparable(run(config, logs, Schedule())))))


@pytest.mark.timeout(300)
def test_the_same_events_give_the_same_alerts(kafka: Cluster, tmp_path: Path) -> None:
    logs = the_input()
    one, many = pipeline_of(kafka), pipeline_of(kafka)
    of_one = on_kafka(one, logs, tmp_path / "one", observe=1, decide=1)
    of_many = on_kafka(many, logs, tmp_path / "many", observe=4, decide=2)

    kinds = Counter(alert["check"] for alert in of_one)
    assert kinds.total() >= 20
    assert len(kinds) >= 4
    # With the same name everything is the same, evidence and ids too: where the topics are the same.
    assert of_one == replay(tmp_path / "one") == in_memory(one.config, logs)
    assert of_many == replay(tmp_path / "many") == in_memory(many.config, logs)
    # In another topic of another pipeline, all but the names.
    assert without_names(of_one) == without_names(of_many)

    file = tmp_path / "input.jsonl"
    file.write_bytes(b"\n".join(value for log in logs for _, value in log))
    from_file = replay(tmp_path / "one", "--file", str(file), "--partitions", str(PARTITIONS))
    assert without_offsets(from_file) == without_offsets(of_one)

"""A live load on a real Kafka: exactly the injected shifts are alerted, and soon.

8 partitions, 2 observe and 2 decide processes, 500,000 events of 20 features at about 12,500 a second, of two
models, so that both decide processes may have one; one feature of the one and one output of the other
shift. Each seed takes about 70 s. One seed is run; STREAM_MONITOR_SEEDS=10 runs ten.

Soon is at most 5 s, from the broker's append time of the first event that makes the library raise the alert
(fed with the same records in the order in which the broker appended them) to that of the alert.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from stream_monitor.config import Config
from stream_monitor.events import Records, Source
from stream_monitor.monitor import Monitor
from tests.e2e.live_load import MODELS, SHIFTED, LiveLoad
from tests.e2e.pipelines import RealPipeline, append_ms, in_order
from tests.independent_count import records
from tests.kafka.broker import Cluster

PARTITIONS = 8
EVENTS = 500_000
SECONDS = 40
SEEDS = range(1, 1 + int(os.environ.get("STREAM_MONITOR_SEEDS", "1")))
LATENCY_MS_MAX = 5_000
STEP_MS = 20
"""The library is fed in steps of the broker's time. Latency is taken from the beginning of a step."""
CHANGE_TOLERANCE_MS = 3_000


def open_partitions(pipeline: RealPipeline) -> None:
    """An event of a model of its own in each: from then on none is taken for an empty one."""
    for partition in range(PARTITIONS):
        event = {"prediction_id": "first", "model": "frame", "ts": time.time_ns() // 1_000_000}
        pipeline.produce(orjson.dumps(event), partition=partition)


def in_append_order(pipeline: RealPipeline) -> Iterator[tuple[int, Records]]:
    """All input in steps of STEP_MS: the append time of the first record in it, and its records."""
    messages = list(records(pipeline.cluster.bootstrap, [pipeline.input]))
    appended = np.array([append_ms(one) for one in messages])
    order = np.argsort(appended, kind="stable")
    sources = tuple(Source(pipeline.input, partition) for partition in range(PARTITIONS))
    steps = np.flatnonzero(np.diff(appended[order] // STEP_MS)) + 1
    for taken in np.split(order, steps):
        step = [messages[i] for i in taken]
        yield (
            int(appended[taken[0]]),
            Records(
                sources,
                np.array([one.partition() for one in step], np.int64),
                np.array([one.offset() for one in step], np.int64),
                appended[taken].astype(np.int64),
                [one.value() for one in step],
            ),
        )


def of_the_library(config: Config, pipeline: RealPipeline) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The alerts as published, and for each id the append time of the event that raises it."""
    sources = [Source(pipeline.input, partition) for partition in range(PARTITIONS)]
    monitor = Monitor(config, sources)
    alerts, raised = [], {}
    for appended, step in in_append_order(pipeline):
        for alert in monitor.update(step):
            alerts.append(orjson.loads(alert.to_json()))
            raised[alert.id] = appended
    assert monitor.rows == PARTITIONS + EVENTS
    return in_order(alerts), raised


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_exactly_the_injected_shifts_are_alerted_within_five_seconds(
    kafka: Cluster, tmp_path: Path, seed: int
) -> None:
    pipeline = RealPipeline(
        kafka,
        PARTITIONS,
        {"message.timestamp.type": "LogAppendTime"},
        predictions={"lateness": "2s", "max_clock_skew": "1m"},
        commit_interval="1s",
        models={"*": {"slice": "100ms", "learn": EVENTS // 3 // len(MODELS), "labels": {"team": "payments"}}},
    )
    with pipeline.workers(tmp_path, observe=2, decide=2) as workers:
        open_partitions(pipeline)
        workers.wait_until_done()
        changed_ms = LiveLoad(seed, EVENTS, SECONDS).send(kafka.bootstrap, pipeline.input)
        workers.wait_until_done()

    alerts = pipeline.alerts()
    assert sorted(map(signal, alerts)) == sorted(SHIFTED)
    for alert in alerts:
        since_ms = datetime.fromisoformat(alert["since"]["at"]).timestamp() * 1000
        assert abs(since_ms - changed_ms) <= CHANGE_TOLERANCE_MS

    schema = json.loads(resources.files("stream_monitor.schemas").joinpath("alert.v1alpha.json").read_text())
    for alert in alerts:
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(alert)

    counted = pipeline.counted()
    assert counted.differences == {}
    assert counted.produced.total() == PARTITIONS + EVENTS
    assert len(pipeline.writers()) == 2

    expected, raised = of_the_library(pipeline.config, pipeline)
    assert alerts == expected
    published = {orjson.loads(one.value() or b"")["id"]: append_ms(one) for one in pipeline.read("alerts")}
    latencies = {name: published[name] - raised[name] for name in published}
    print(f"seed {seed}: from event to alert {sorted(latencies.values())} ms")
    assert max(latencies.values()) <= LATENCY_MS_MAX


def signal(alert: dict[str, Any]) -> tuple[str, str, str]:
    return alert["model"], alert["signal"]["kind"], alert["signal"]["name"]

"""The commands `run` and `alerts` as a user starts them, and the embedded broker of the demo."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import msgspec
import orjson
import yaml
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry

from stream_monitor.config import Config, parse_config
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.embedded import PARTITIONS, EmbeddedBroker
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.messages import Report
from stream_monitor.runtime.run import ended
from stream_monitor.runtime.tail import alerts
from stream_monitor.runtime.workers import ROLES, worker
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, event, wait_for

CLI = [sys.executable, "-m", "stream_monitor.cli"]


def shifted(seconds: int) -> list[bytes]:
    values = random.Random(5)
    return [event(i / 50, values.gauss(0 if i < seconds * 30 else 3, 1)) for i in range(seconds * 50)]


def test_run_starts_both_roles_and_ends_both_and_alerts_are_shown(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, partitions=1)
    path = tmp_path / "monitor.yaml"
    path.write_text(yaml.safe_dump(pipeline.document))
    run = subprocess.Popen(
        [*CLI, "run", str(path), "--name", "one", "--port", "0"], stderr=subprocess.DEVNULL
    )
    try:
        pipeline.produce(*shifted(60))
        tail = subprocess.run(
            [*CLI, "alerts", str(path), "--from-beginning", "--json", "--max", "2"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        shown = [orjson.loads(line) for line in tail.stdout.splitlines()]
        assert {one["signal"]["name"] for one in shown} == {"x", "y"}
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.wait()
    # Watching alerts leaves no group behind.
    admin = kafka.admin()
    groups = {one.group_id for one in admin.list_consumer_groups(request_timeout=60).result().valid}
    assert {one for one in groups if one.startswith(pipeline.name)} == {
        pipeline.config.group("observe"),
        pipeline.config.group("decide"),
    }


def test_where_labels_are_configured_run_starts_the_join_too(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, partitions=1, labels={"horizon": "2h", "store": str(tmp_path / "store")})
    path = tmp_path / "monitor.yaml"
    path.write_text(yaml.safe_dump(pipeline.document))
    run = subprocess.Popen(
        [*CLI, "run", str(path), "--name", "one", "--port", "0"], stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: {one.stage for one in stages(pipeline)} == {"observe", "join"}, "reports of both")
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.wait()


def stages(pipeline: Pipeline) -> list[Report]:
    return [
        msgspec.msgpack.decode(message.value() or b"", type=Report)
        for message in pipeline.read("summaries")
        if ("kind", b"progress") in (message.headers() or [])
    ]


def test_when_one_role_ends_the_other_is_ended_and_its_code_kept(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, partitions=1)
    path = tmp_path / "monitor.yaml"
    topics = {"topics": [pipeline.input, kafka.unique("missing")]}
    path.write_text(yaml.safe_dump(pipeline.document | {"predictions": topics}))
    ended = subprocess.run(
        [*CLI, "run", str(path), "--port", "0"], capture_output=True, check=False, timeout=60, text=True
    )
    assert ended.returncode == 2
    assert "predictions.topics: expected topics that exist, got missing" in ended.stderr


def test_a_role_that_does_not_end_is_killed_and_none_is_left_behind() -> None:
    hears = "import time; print(flush=True); time.sleep(60)"
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {hears}"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in (deaf, hears)
    ]
    for process in processes:
        with process.stdout or BytesIO() as said:
            said.readline()
    assert ended(processes, timeout_s=0.2) == [-signal.SIGKILL, -signal.SIGTERM]


def test_the_embedded_broker_carries_the_whole_pipeline() -> None:
    with EmbeddedBroker() as broker:
        config = embedded_config(broker.bootstrap)
        broker.create_topics("predictions", *map(config.topic, ("summaries", "alerts", "rejects", "state")))
        stop = threading.Event()
        workers = [
            worker(
                role,
                config,
                "demo",
                Metrics(registry := CollectorRegistry()),
                Health(registry),
                embedded=True,
            )
            for role in ROLES
        ]
        threads = [threading.Thread(target=one.run, args=(stop,)) for one in workers]
        for thread in threads:
            thread.start()
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for i, value in enumerate(shifted(60)):
            producer.produce("predictions", value, partition=i % PARTITIONS)
        assert producer.flush(30) == 0
        stream = alerts(config, from_beginning=True)
        found = {orjson.loads(next(stream))["signal"]["name"] for _ in range(2)}
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert found == {"x", "y"}


def embedded_config(bootstrap: str) -> Config:
    return parse_config(
        {
            "kafka": {"bootstrap.servers": bootstrap},
            "predictions": {"topics": ["predictions"], "lateness": "1s"},
            "commit_interval": "200ms",
            "summaries": {"partitions": PARTITIONS},
            "models": {"*": {"learn": 500}},
        }
    )

"""Replay: a file and the topics give what the library gives, and say what became of every event."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import Producer

from stream_monitor import cli
from stream_monitor.config import load_config
from stream_monitor.monitor import Monitor
from stream_monitor.sources.replay import alerts_of, feeds_of
from stream_monitor.sources.topic import CONSUME_MAX, TopicRange
from tests.kafka.broker import Cluster

START = 1_700_000_000_000
SECONDS = 150
EVENTS_PER_SECOND = 30
CHANGE_S = 110
LEARN_S = 60
SLICE_MS = 1_000
Event = dict[str, Any]


def stream(seed: int = 1) -> list[Event]:
    """In order of time. After CHANGE_S x is up by two standard deviations, and half of c is new."""
    rng = random.Random(seed)
    events = []
    for n in range(SECONDS * EVENTS_PER_SECOND):
        second = n / EVENTS_PER_SECOND
        x = rng.gauss(50, 5) + (10 if second >= CHANGE_S else 0)
        c = rng.choice("ab") if second < CHANGE_S else rng.choice("ad")
        time = START + int(second * 1_000)
        features = {"x": x, "c": c, "still": rng.random()}
        events.append({"prediction_id": f"p{n}", "model": "m", "ts": time, "features": features})
    return events


def write(path: Path, events: Iterable[Event | bytes]) -> Path:
    path.write_bytes(b"".join((e if isinstance(e, bytes) else orjson.dumps(e)) + b"\n" for e in events))
    return path


def configure(folder: Path, topic: str = "t", **kafka: str) -> Path:
    path = folder / "monitor.yaml"
    model = {"learn": f"{LEARN_S}s", "labels": {"team": "growth"}}
    path.write_text(
        yaml.safe_dump({"kafka": kafka, "predictions": {"topics": [topic]}, "models": {"*": model}})
    )
    return path


def replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[str], list[str]]:
    """Lines of stdout and of stderr, their spaces made one."""
    assert cli.main(["replay", *map(str, arguments)]) == 0
    said = capsys.readouterr()
    return said.out.splitlines(), [" ".join(line.split()) for line in said.err.splitlines()]


def without_offsets(lines: Iterable[str]) -> list[Event]:
    alerts = [orjson.loads(line) for line in lines]
    for alert in alerts:
        assert alert.pop("offsets")
    return alerts


def test_file_gives_the_alerts_of_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = configure(tmp_path), write(tmp_path / "f.jsonl", stream())
    monitor = Monitor(config)
    alerts = [*monitor.update(stream()), *monitor.close()]
    assert {alert.finding.signal for alert in alerts} == {"x", "c"}
    lines, _ = replay(capsys, config, "--file", file, "--json")
    assert without_offsets(lines) == without_offsets(alert.to_json().decode() for alert in alerts)


def test_readable_line_has_time_severity_and_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = configure(tmp_path), write(tmp_path / "f.jsonl", stream())
    monitor = Monitor(config)
    alerts = [*monitor.update(stream()), *monitor.close()]
    lines, _ = replay(capsys, config, "--file", file)
    assert len(lines) == len(alerts)
    for line, alert in zip(lines, alerts, strict=True):
        at = alert.to_dict()["time"].replace("T", " ").replace(".000Z", "Z")
        assert line == f"{at} page   {alert.summary}"


def test_partitions_do_not_change_the_alerts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, file = configure(tmp_path), write(tmp_path / "f.jsonl", stream())
    one, _ = replay(capsys, config, "--file", file, "--json")
    for more in (["--partitions", "3"], ["--partitions", "4", "--partitioner", "murmur2_random"]):
        several, _ = replay(capsys, config, "--file", file, "--json", *more)
        assert without_offsets(several) == without_offsets(one)
        assert {place["partition"] for alert in several for place in orjson.loads(alert)["offsets"]} == set(
            range(int(more[1]))
        )


def test_out_takes_the_alerts_and_leaves_stdout_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = configure(tmp_path), write(tmp_path / "f.jsonl", stream())
    expected, _ = replay(capsys, config, "--file", file, "--json")
    lines, _ = replay(capsys, config, "--file", file, "--json", "--out", tmp_path / "alerts.jsonl")
    assert lines == []
    assert (tmp_path / "alerts.jsonl").read_text().splitlines() == expected


def test_outcome_says_what_became_of_every_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = stream()
    late = [{**events[0], "prediction_id": f"late{n}"} for n in range(7)]
    newcomer = {**events[-1], "features": {"new": 1.0}}
    lines: list[Event | bytes] = [*events, *late, newcomer, b"{", b"{", b'{"model": "m"}']
    _, said = replay(capsys, configure(tmp_path), "--file", write(tmp_path / "f.jsonl", lines))
    alerts, _ = replay(capsys, configure(tmp_path), "--file", tmp_path / "f.jsonl", "--json")
    checks = [orjson.loads(alert)["check"] for alert in alerts]
    expected = [
        f"events {len(lines):,}",
        "rejected, no_time 1",
        "rejected, not_json 2",
        "late 7",
        f"slices closed {SECONDS}",
        f"alerts {len(checks)}",
        *(f"alerts, {check} {checks.count(check)}" for check in sorted(set(checks))),
        "still learning, m new",
    ]
    assert said == expected


def test_file_needs_no_kafka_client(tmp_path: Path) -> None:
    config, file = configure(tmp_path), write(tmp_path / "f.jsonl", stream()[:100])
    code = (
        "import sys; from stream_monitor import cli; code = cli.main(sys.argv[1:]);"
        "assert 'confluent_kafka' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "replay", str(config), "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--file", "none.jsonl"], "none.jsonl: cannot be read"),
        (["--file", "f.jsonl", "--out", "no/alerts"], "no/alerts: expected to write alerts there"),
        (["--since", "yesterday"], 'expected RFC 3339 with a zone or epoch ms, got "yesterday"'),
        (["--file", "f.jsonl", "--partitions", "0"], 'expected a number from 1, got "0"'),
        (["--file", "f.jsonl", "--since", "0"], "--since and --until are for the topics, not for a file"),
    ],
)
def test_what_is_wrong_ends_it_with_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    config = configure(tmp_path)
    write(tmp_path / "f.jsonl", stream()[:10])
    monkeypatch.chdir(tmp_path)
    try:
        code = cli.main(["replay", str(config), *arguments])
    except SystemExit as error:  # argparse
        code = int(str(error.code))
    assert code == 2
    assert message in capsys.readouterr().err


# Topics


def produce(
    kafka: Cluster, events: Iterable[Event], partitions: int, partition: int = -1, topic: str = ""
) -> str:
    if not topic:
        topic = kafka.create_topic(kafka.unique("replay"), partitions, {"retention.ms": "-1"})
    # Idempotent, so that a retry never puts a batch behind its successor.
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True})
    for event in events:
        key, time = event["prediction_id"], event["ts"]
        producer.produce(topic, orjson.dumps(event), key=key, partition=partition, timestamp=time)
    assert producer.flush(30) == 0
    return topic


def test_topics_give_what_a_file_gives_offsets_too(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = produce(kafka, stream(), partitions=3)
    config = configure(tmp_path, topic, **{"bootstrap.servers": kafka.bootstrap})
    file = write(tmp_path / "f.jsonl", stream())
    expected, outcome = replay(capsys, config, "--file", file, "--partitions", "3", "--json")
    assert expected
    assert replay(capsys, config, "--json") == (expected, outcome)


def test_since_and_until_cut_the_range(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = produce(kafka, stream(), partitions=3)
    config = configure(tmp_path, topic, **{"bootstrap.servers": kafka.bootstrap})
    since, until = START + 20_000, START + 130_000
    kept = [event for event in stream() if since <= event["ts"] < until]
    expected, outcome = replay(capsys, config, "--file", write(tmp_path / "f.jsonl", kept), "--json")
    assert expected
    lines, said = replay(capsys, config, "--since", "2023-11-14T22:13:40Z", "--until", until, "--json")
    assert without_offsets(lines) == without_offsets(expected)
    assert said == outcome


@pytest.mark.parametrize("last_of_second", [10, 6_000])
def test_slices_close_while_the_range_is_read(kafka: Cluster, tmp_path: Path, last_of_second: int) -> None:
    """Whether partitions are equally long or one ends at once: what is open is what their batches span."""
    events = [{"prediction_id": f"p{n}", "model": "m", "ts": START + n * SLICE_MS} for n in range(6_000)]
    topic = produce(kafka, events, partitions=3, partition=0)
    produce(kafka, events[:last_of_second], partitions=3, partition=1, topic=topic)
    config = load_config(configure(tmp_path, topic, **{"bootstrap.servers": kafka.bootstrap}))
    with TopicRange(config) as topics:
        monitor = Monitor(config, list(topics.bounds))
        open_slices = [monitor.decider.open_slices() for _ in alerts_of(monitor, feeds_of(topics))]
    assert monitor.rows == 6_000 + last_of_second
    assert open_slices[-1] == 0
    lateness_slices = config.predictions.lateness_ms // SLICE_MS
    assert max(open_slices) <= 2 * CONSUME_MAX + lateness_slices + 1


def test_an_empty_range_has_no_alerts(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = kafka.create_topic(kafka.unique("replay"), 2)
    config = configure(tmp_path, topic, **{"bootstrap.servers": kafka.bootstrap})
    assert replay(capsys, config) == ([], ["events 0", "late 0", "slices closed 0", "alerts 0"])

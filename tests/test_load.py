"""A load is what it was asked to be: events of the configured form, at their pace, with their labels."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from benchmarks import looking
from stream_monitor import cli
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.labels import LabelCodec
from stream_monitor.config import Config, parse_config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Records, Source
from stream_monitor.load.events import CHUNK, Chunk, Events, Mix
from stream_monitor.load.population import Synthetic
from stream_monitor.load.sender import Sender
from tests.kafka.broker import Cluster

BEGIN_MS = 1_767_225_600_000
TIMES = BEGIN_MS + np.arange(CHUNK)
MAPPED = {
    "id": "$.meta.id",
    "model": "header:model",
    "version": "=7",
    "time": "$.meta.at",
    "features": "$",
    "outputs": "$.said",
}


def config(fields: dict[str, Any] | None = None, **more: Any) -> Config:
    predictions = {"topics": ["predictions"], "fields": fields or {}}
    return parse_config({"kafka": {"bootstrap.servers": "x"}, "predictions": predictions, **more})


def healthy(models: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.zeros(len(models), np.bool_)


def drifted(models: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return ~healthy(models)


def records(topic: str, chunk: Chunk) -> Records:
    n = len(chunk.values)
    return Records(
        sources=(Source(topic, 0),),
        source=np.zeros(n, np.int64),
        offset=np.arange(n),
        timestamp=np.full(n, BEGIN_MS + 10_000),
        values=chunk.values,
        keys=chunk.keys,
        headers=chunk.headers,
    )


@pytest.mark.parametrize("fields", [{}, MAPPED, {"id": "key", "time": "kafka", "outputs": None}])
def test_events_are_read_back_by_the_mapping_they_were_made_by(fields: dict[str, Any]) -> None:
    asked = config(fields)
    mix = Mix(seed=1, models=["load-0", "load-1"])
    chunk = Events(mix, Synthetic(12, 3, 5), asked).events(3, TIMES, healthy)
    batch = JsonCodec(asked).decode(records("predictions", chunk))
    assert batch.rejects == []
    assert {group.stream.model for group in batch.groups} == {"load-0", "load-1"}
    assert {group.stream.version for group in batch.groups} == {"7" if fields is MAPPED else "3"}
    if fields.get("time") != "kafka":
        assert batch.time.tolist() == TIMES.tolist()
    names = {name for group in batch.groups for name in group.features} - {"meta", "said"}
    assert names == set(Synthetic(12, 3, 5).features(np.random.default_rng(0), 1, drifted=False))


def test_events_are_distinct_and_follow_the_seed() -> None:
    def made(seed: int) -> list[bytes]:
        events = Events(Mix(seed, ["load-0"]), Synthetic(), config())
        return [value for number in range(20) for value in events.events(number, TIMES, healthy).values]

    values = made(1)
    assert values == made(1)
    assert not set(values) & set(made(2))
    features = {json.dumps(orjson.loads(value)["features"], sort_keys=True) for value in values}
    assert len(features) == len(values)


def test_fewer_events_of_a_chunk_are_its_first() -> None:
    events = Events(Mix(1, ["load-0"], size=(700, 800)), Synthetic(), config())
    whole = events.events(5, TIMES, healthy)
    assert events.events(5, TIMES[:7], healthy).values == whole.values[:7]
    assert all(700 <= len(value) <= 800 for value in whole.values)


def test_skewed_models_and_keys_follow_zipfs_law() -> None:
    mix = Mix(1, [f"load-{number}" for number in range(10)], model_skew=1.0, key_skew=1.0)
    events = Events(mix, Synthetic(), config())
    chunks = [events.events(number, TIMES, healthy) for number in range(40)]
    models = Counter(orjson.loads(value)["model"] for chunk in chunks for value in chunk.values)
    assert [name for name, _ in models.most_common()][:3] == ["load-0", "load-1", "load-2"]
    assert models["load-0"] / models["load-4"] == pytest.approx(5, rel=0.2)
    keys = Counter(key for chunk in chunks for key in chunk.keys).most_common()
    assert keys[0][1] / keys[1][1] == pytest.approx(2, rel=0.2)


def test_drift_moves_each_fifth_number_and_the_score_and_nothing_else() -> None:
    events = Events(Mix(1, ["load-0"]), Synthetic(20, 4), config())

    def means(state: Any) -> dict[str, float]:
        sums: dict[str, list[float]] = {}
        for number in range(20):
            for value in events.events(number, TIMES, state).values:
                event = orjson.loads(value)
                for name, one in {**event["features"], **event["outputs"]}.items():
                    if isinstance(one, int | float):
                        sums.setdefault(name, []).append(one)
        return {name: float(np.mean(one)) for name, one in sums.items()}

    before, after = means(healthy), means(drifted)
    moved = {name for name in before if after[name] != before[name]}
    assert moved == {"amount_0", "score_5", "count_10", "balance_15", "score"}


def test_labels_carry_the_ids_and_keys_of_their_events() -> None:
    quality = {"class": {"task": "multiclass"}, "risk": {"task": "binary", "score": "score", "label": "bad"}}
    asked = config(labels={"topics": ["labels"]}, models={"load-0": {"quality": quality}})
    events = Events(Mix(1, ["load-0"], labels=0.5, key_skew=1.0), Synthetic(), asked)
    predictions = events.events(4, TIMES, healthy)
    labels = events.labels(4, TIMES + 5_000, healthy)
    batch = LabelCodec(asked).decode(records("labels", labels))
    assert batch.rejects == []
    assert 0.4 < len(batch) / CHUNK < 0.6
    key_of = {
        orjson.loads(value)["prediction_id"]: key
        for key, value in zip(predictions.keys, predictions.values, strict=True)
    }
    assert [key_of[one] for one in batch.ids] == labels.keys
    assert all(set(value) == {"class", "bad"} for value in batch.values if isinstance(value, dict))
    assert (batch.time >= BEGIN_MS + 5_000).all()


@pytest.mark.parametrize(
    ("mix", "fields", "said"),
    [
        (Mix(1, ["a"], size=(9, 9)), {"features": "$"}, "size: expected features"),
        (Mix(1, ["a"], key_skew=1.0), {"id": "key"}, "key skew: expected the id in the value"),
        (Mix(1, ["a"]), {"time": "$.features"}, "fields: expected features to hold members alone"),
    ],
)
def test_what_cannot_be_made_is_refused(mix: Mix, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(StreamMonitorError, match=said):
        Events(mix, Synthetic(), config(fields))


def test_a_record_that_is_too_large_to_be_sent_has_failed() -> None:
    sender = Sender({"bootstrap.servers": "localhost:1", "log_level": 0})
    sender.send("predictions", Chunk([b"k"] * 2, [b"x" * 2_000_000] * 2, None))
    sender.close()
    assert (sender.sent, sender.failed) == (2, 2)
    assert sender.why is not None
    assert "too large" in sender.why.str()


def test_the_command_sends_what_it_says(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, labels = (
        kafka.create_topic(kafka.unique(name), 2, {"retention.ms": "-1"})
        for name in ("predictions", "labels")
    )
    path = tmp_path / "monitor.yaml"
    document = {
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "predictions": {"topics": [predictions]},
        "labels": {"topics": [labels]},
    }
    path.write_text(json.dumps(document))
    arguments = ["--rate", "2000", "--events", "1500", "--labels", "0.5", "--label-delay", "200ms"]
    assert cli.main(["load", str(path), *arguments]) == 0
    sent = looking.read(kafka.bootstrap, predictions)
    said = capsys.readouterr().out
    assert said.startswith("1,500 events in ")
    assert "0 failed" in said
    events = {value["prediction_id"]: (one.partition(), value) for one in sent if (value := _value(one))}
    assert len(events) == len(sent) == 1_500
    labelled = looking.read(kafka.bootstrap, labels)
    assert 600 < len(labelled) < 900
    for label in labelled:
        value = _value(label)
        home, event = events[value["prediction_id"]]
        assert label.partition() == home
        assert value["ts"] == event["ts"] + 200 <= label.timestamp()[1]


def _value(message: Any) -> Any:
    return orjson.loads(message.value())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--labels", "0.5"], "--labels: expected the section labels"),
        (["--models", "2"], "models: expected an entry that names load-0"),
        (["--categories", "21"], "--categories: expected at most --features, 20, got 21"),
        (["--events", "1", "--labels", "0"], "kafka: expected a cluster that tells its topics, got: "),
    ],
)
def test_a_load_that_the_deployment_cannot_take_is_refused(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "monitor.yaml"
    unknown = "reject" if "--models" in arguments else "accept"
    predictions = {"topics": ["predictions"], "unknown_models": unknown}
    path.write_text(json.dumps({"kafka": {"bootstrap.servers": "127.0.0.1:1"}, "predictions": predictions}))
    assert cli.main(["load", str(path), *arguments]) == cli.REFUSED
    assert said in capsys.readouterr().err


def test_a_topic_that_is_not_there_is_refused_before_anything_is_sent(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, missing = tmp_path / "monitor.yaml", kafka.unique("missing")
    document = {"kafka": {"bootstrap.servers": kafka.bootstrap}, "predictions": {"topics": [missing]}}
    path.write_text(json.dumps(document))
    assert cli.main(["load", str(path), "--events", "1"]) == cli.REFUSED
    assert f"predictions.topics: expected topics that exist, got {missing}" in capsys.readouterr().err

"""Tables of Arrow on a real Kafka: rows, rejects, alerts and pairs are those of the same events in JSON."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from stream_monitor.alerting.alert import Alert
from stream_monitor.codecs import FORMATS, codec_of, records_max
from stream_monitor.config import parse_config
from stream_monitor.config.config import Predictions
from stream_monitor.errors import ConfigError
from stream_monitor.events import Source
from stream_monitor.join.joins import Joins
from stream_monitor.monitor import Monitor
from stream_monitor.observe import Summaries
from stream_monitor.runtime import catching_up
from stream_monitor.runtime.copies import as_copied
from stream_monitor.runtime.joining import REREAD_FACTOR
from stream_monitor.sources.replay import alerts_of, feeds_of
from stream_monitor.sources.topic import TopicRange
from stream_monitor.summary.summary import Summary
from tests.join_apps import FARE, cohorts, committed, delete, label, pairs, pipeline_of, prediction
from tests.kafka.broker import Cluster
from tests.kafka_apps import START_MS, Pipeline, deltas, wait_for
from tests.test_codec_arrow import rows_as, stream_of

ARROW = {"format": "arrow"}


def events(first: int, n: int) -> list[dict[str, Any]]:
    """One a millisecond, the first one without a model; ``x`` rises after 4,000."""
    return [
        {
            "model": "m" if i > first else "",
            "ts": START_MS + i,
            "features": {"x": i % 7 + (3.5 if i > 4_000 else 0), "c": "ab"[i % 2]},
            "outputs": {"p": [0.25, float(i % 5)]},
        }
        for i in range(first, first + n)
    ]


TABLES = [events(first, 500) for first in range(0, 10_000, 500)]


def filled(cluster: Cluster, kind: str, **settings: Any) -> Pipeline:
    """A pipeline whose input is there, in one of the formats, and after it a record that is none."""
    pipeline = Pipeline(cluster, 1, predictions={"format": kind}, **settings)
    write = orjson.dumps if kind == "json" else lambda rows: stream_of(rows_as(rows))
    pipeline.produce(*map(write, TABLES), b"garbage")
    return pipeline


def wait_for_all(pipeline: Pipeline) -> None:
    def position() -> int:
        committed = pipeline.committed("observe", pipeline.input)
        return committed[0].offset if committed else 0

    wait_for(lambda: position() == len(TABLES) + 1, "all records")


def summaries(pipeline: Pipeline) -> Summaries:
    found = Summaries()
    for delta in deltas(pipeline):
        summary = Summary.from_bytes(delta.data)
        # They have the name of the topic in them.
        summary.offsets.clear()
        found.add(delta.key, summary)
    return found


def test_rows_and_rejects_of_tables_are_those_of_json_and_a_rejected_row_is_told_as_json(
    kafka: Cluster,
) -> None:
    told = []
    for kind in ("arrow", "json"):
        pipeline = filled(kafka, kind)
        with pipeline.running("observe") as observe:
            wait_for_all(pipeline)
        assert observe.metric("consumed_rows_total", topic=pipeline.input) == 10_001
        rejects = pipeline.read("rejects")
        places = [dict(one.headers() or [])[name] for one in rejects for name in ("reason", "offset", "row")]
        told.append((summaries(pipeline), places))
        if kind == "arrow":
            for one, table in zip(rejects, TABLES, strict=False):
                headers = dict(one.headers() or [])
                digest = sha256(stream_of(rows_as(table))).hexdigest()
                assert json.loads(one.value() or b"") == table[0]
                assert (headers["form"], headers["sha256"]) == (b"row", digest.encode())
            assert rejects[-1].value() == b"garbage"
            assert "form" not in dict(rejects[-1].headers() or [])
    assert told[0] == told[1]


def alerts(monitor: Monitor, topics: TopicRange) -> list[Alert]:
    return [alert for some in alerts_of(monitor, feeds_of(topics)) for alert in some]


def test_a_replay_of_tables_gives_the_alerts_of_their_events(kafka: Cluster) -> None:
    pipeline = filled(kafka, "arrow", models={"*": {"learn": 500, "detectors": ["adwin"]}})
    with TopicRange(pipeline.config) as topics:
        found = alerts(Monitor(pipeline.config, list(topics.bounds), from_topics=True), topics)
    library = Monitor(pipeline.config, [Source(pipeline.input, 0)])
    expected = [alert for rows in TABLES for alert in library.update(rows)] + library.close()
    assert [(one.id, one.summary) for one in found] == [(one.id, one.summary) for one in expected]
    assert found


def test_predictions_in_tables_join_labels_in_json(kafka: Cluster, tmp_path: Path) -> None:
    pipeline = pipeline_of(kafka, tmp_path, predictions=ARROW)
    rows = [json.loads(prediction(f"p{i}", i, float(i))[2] or "") for i in range(200)]
    pipeline.produce(stream_of(rows_as(rows[:150])), stream_of(rows_as(rows[150:])))
    pipeline.send(pipeline.labels, 0, [label(f"p{i}", 3_600 + i, i + 2.5) for i in range(0, 200, 2)])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 102, "predictions and labels")
    found = cohorts(pipeline)[FARE].total()
    assert (found.predictions, found.labeled, pairs(pipeline)[FARE]) == (200, 100, 100)
    assert found.measures["amount"].figures()["mae"].value == pytest.approx(2.5)


def test_a_store_made_anew_of_tables_joins_as_before_and_few_of_their_rows_are_held(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pipeline_of(kafka, tmp_path, predictions=ARROW)
    rows = [json.loads(prediction(f"p{i}", i // 10, float(i))[2] or "") for i in range(6_000)]
    pipeline.produce(*(stream_of(rows_as(rows[first : first + 50])) for first in range(0, 6_000, 50)))
    pipeline.send(pipeline.labels, 0, [label("p0", 1, 2.5)])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 121, "the predictions")
    delete(tmp_path)
    held, replay, replayed = [0], Joins.replay, Joins.replayed

    def counted(joins: Joins, batch: Any, clocks: Any) -> None:
        held[-1] += len(batch)
        replay(joins, batch, clocks)

    def written(joins: Joins, partition: int, positions: Any) -> None:
        held.append(0)
        replayed(joins, partition, positions)

    monkeypatch.setattr(Joins, "replay", counted)
    monkeypatch.setattr(Joins, "replayed", written)
    monkeypatch.setattr(catching_up, "WRITE_ROWS_MAX", 1_000)
    pipeline.send(pipeline.labels, 0, [label(f"p{i}", 1_000 + i // 10, i + 2.5) for i in range(0, 6_000, 2)])
    with pipeline.running("join"):
        wait_for(lambda: committed(pipeline) == 3_121, "the labels")
    assert sum(held) == 6_001
    assert max(held) < 1_000 + 50 * REREAD_FACTOR * records_max(pipeline.config)
    found = cohorts(pipeline)[FARE].total()
    assert (found.predictions, found.labeled) == (6_000, 3_000)
    assert found.measures["amount"].figures()["mae"].value == pytest.approx(2.5)


def test_every_format_has_a_codec_and_what_is_copied_is_json() -> None:
    assert set(FORMATS) == set(get_args(Predictions.model_fields["format"].annotation))
    labels = {"topics": ["l"], "repartition": "both"}
    config = parse_config({"predictions": {"topics": ["p"], **ARROW}, "labels": labels})
    assert records_max(config) < records_max(as_copied(config))


def test_without_pyarrow_the_format_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "stream_monitor.codecs.arrow", None)
    config = parse_config({"predictions": {"topics": ["p"], **ARROW}})
    with pytest.raises(ConfigError, match=r'predictions\.format: .*pip install "stream-monitor\[arrow\]"'):
        codec_of(config)

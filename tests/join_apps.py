"""A pipeline with labels on a real Kafka for tests: what it is fed, what it said, and what it should say.

``join_feed`` makes the input, ``join_oracle`` the answer.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from stream_monitor.events import Delta, Progress, Source, Stream
from stream_monitor.quality.cohorts import Cohorts
from tests import join_feed, join_figures, join_oracle
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.kafka.broker import Cluster
from tests.kafka_apps import START_MS, Pipeline, Sent, deltas, reports

FARE = Stream("fare", "1", "live")


def pipeline_of(cluster: Cluster, folder: Path, partitions: int = 1, **settings: Any) -> Pipeline:
    """One that ``join_feed`` is made for."""
    known = join_feed.config()
    known |= {**settings, "predictions": {**known["predictions"], **settings.get("predictions", {})}}
    labels = {name: value for name, value in known.pop("labels").items() if name != "topics"}
    predictions = {name: value for name, value in known.pop("predictions").items() if name != "topics"}
    labels = {**labels, "store": str(folder / "store")}
    return Pipeline(cluster, partitions, labels=labels, predictions=predictions, **known)


def prediction(name: str, second: int, value: float, **more: Any) -> Sent:
    time_ms = START_MS + second * 1000
    event = {"prediction_id": name, "model": "fare", "model_version": "1", "ts": time_ms}
    event |= {"features": {"country": "DE", "tier": 1}, "outputs": {"amount": value}}
    return time_ms, name, json.dumps({**event, **more})


def label(name: str, second: int, value: Any) -> Sent:
    time_ms = START_MS + second * 1000
    return time_ms, name, json.dumps({"prediction_id": name, "ts": time_ms, "label": value})


def of_kind(pipeline: Pipeline, kind: str) -> list[Delta]:
    return [delta for delta in deltas(pipeline) if delta.kind == kind]


def cohorts(pipeline: Pipeline) -> dict[Stream, Cohorts]:
    """All that was said of cohorts, together."""
    found: dict[Stream, Cohorts] = defaultdict(Cohorts)
    for delta in of_kind(pipeline, "cohorts"):
        found[delta.key.stream] += Cohorts.from_bytes(delta.data)
    return found


def pairs(pipeline: Pipeline) -> Counter[Stream]:
    found: Counter[Stream] = Counter()
    for delta in of_kind(pipeline, "pairs"):
        found[delta.key.stream] += delta.rows
    return found


def committed(pipeline: Pipeline) -> int:
    topics = (pipeline.input, pipeline.labels)
    return sum(one.offset for topic in topics for one in pipeline.committed("join", topic).values())


def by_source(pipeline: Pipeline) -> dict[Source, list[Progress]]:
    found: dict[Source, list[Progress]] = defaultdict(list)
    for one in reports(pipeline):
        found[one.source].append(one)
    return found


def assert_unbroken(pipeline: Pipeline) -> None:
    """Every report begins where the one before it ended, from the first record on."""
    for told in by_source(pipeline).values():
        assert told[0].first == 0
        assert all(one.next == other.first for one, other in pairwise(told))


def send(pipeline: Pipeline, feed: Feed, topic: str, start: float = 0.0, end: float = 1.0) -> None:
    """A share of what the feed has for a topic."""
    name = pipeline.input if topic == PREDICTIONS else pipeline.labels
    for partition in range(feed.partitions):
        log = feed.logs[topic, partition]
        pipeline.send(name, partition, log[int(start * len(log)) : int(end * len(log))])


def size(feed: Feed, *topics: str) -> int:
    return sum(
        len(log) for (topic, _), log in feed.logs.items() if topic in (topics or (PREDICTIONS, LABELS))
    )


def share(feed: Feed, end: float) -> int:
    return sum(int(end * len(log)) for log in feed.logs.values())


def assert_as_the_oracle_says(
    pipeline: Pipeline, feed: Feed, folder: Path, without: frozenset[str] = frozenset()
) -> None:
    """Of models ``without`` the counts alone are compared."""
    logs = folder / "logs"
    logs.mkdir()
    feed.write(logs)
    counts, expected = join_oracle.find(logs, [PREDICTIONS], [LABELS], join_feed.settings())
    found = {
        tuple(stream): Cohorts({start: one for start, one in these.items() if one.predictions or one.labeled})
        for stream, these in cohorts(pipeline).items()
    }
    quality = {model: one for model, one in join_feed.QUALITY.items() if model not in without}
    assert join_figures.assert_as_the_oracle_says(found, expected, quality) > 100
    streams = {of: one["pairs"] for of, one in counts.items() if len(of) == 3 and one["pairs"]}
    assert {stream[:3]: rows for stream, rows in pairs(pipeline).items() if not stream.segment} == streams
    labels: Counter[str] = Counter()
    for delta in of_kind(pipeline, "labels"):
        labels[delta.key.stream.model] += delta.rows
    assert labels == {of[0]: one["labels"] for of, one in counts.items() if one["labels"]}
    assert len(pipeline.read("rejects")) == counts[LABELS,]["rejected"]


def store_of(folder: Path, partition: int) -> Path:
    """Where the store of a partition lies."""
    (found,) = (folder / "store").glob(f"*/{partition}")
    return found


def has_store(folder: Path) -> bool:
    """Whether partition 0 has one that holds anything."""
    return any((folder / "store").glob("*/0/*.log"))


def delete(folder: Path) -> None:
    shutil.rmtree(store_of(folder, 0))


def damage(folder: Path) -> None:
    """Its files; where a young store has none yet, its write-ahead log."""
    store = store_of(folder, 0)
    files = sorted(store.glob("*.sst")) or sorted(store.glob("*.log"))
    assert files
    for file in files:
        data = bytearray(file.read_bytes())
        for at in range(0, len(data) - 50, 16):
            data[at] ^= 0xFF
        file.write_bytes(data)

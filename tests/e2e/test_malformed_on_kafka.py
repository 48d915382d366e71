"""1,000 malformed events of every kind of the table among 100,000 good ones, on a real Kafka.

Each lands where the table says, and for the good ones it is as if they were not there: summaries, alerts
and what was learned equal those of a pipeline that never saw them. Takes about 30 s.
"""

from __future__ import annotations

import copy
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import pytest
from confluent_kafka import KafkaError, Message, Producer

from stream_monitor.config import parse_config
from stream_monitor.decide import KIND, VERSION
from stream_monitor.events import JsonType as Type
from stream_monitor.events import Stream
from stream_monitor.observe import Summaries
from stream_monitor.runtime.rejects import VALUE_BYTES_MAX
from stream_monitor.state import pack, unpack
from stream_monitor.summary.counts import Count
from stream_monitor.summary.summary import Summary
from tests.e2e.pipelines import RealPipeline, without_names
from tests.independent_count import headers_of
from tests.kafka.broker import Cluster
from tests.kafka_apps import deltas
from tests.malformed import BROKER_LIMIT_BYTES, CONFIG, KINDS, MODEL, Kind, Place, Seen

PARTITIONS = 4
GOOD, BAD = 100_000, 1_000
SECONDS = 100
START_MS = 1_767_225_600_000
GOOD_MODELS = ("good-a", "good-b")
USUAL = {
    ("features", "n"): Seen(Type.NUMBER),
    ("features", "c"): Seen(Type.STRING),
    ("outputs", "score"): Seen(Type.NUMBER),
}
"""What a signal of the model "odd" is counted as where its kind says nothing of it."""
JUDGEMENTS = {
    "nan": Count.NAN,
    "inf": Count.INF,
    "wrong_type": Count.WRONG_TYPE,
    "out_of_range": Count.OUT_OF_RANGE,
}


class Line(NamedTuple):
    """A record of the input. ``kind`` is None where it is a good one."""

    time: int
    value: bytes | None
    kind: Kind | None = None


def good_log() -> list[list[Line]]:
    """By partition, in order of time. After 60 s a feature and the output shift."""
    random = np.random.default_rng(11)
    logs: list[list[Line]] = [[frame(START_MS)] for _ in range(PARTITIONS)]
    times = START_MS + np.sort(random.integers(0, SECONDS * 1000, GOOD))
    shifted = times >= START_MS + SECONDS * 600
    columns = (
        times.tolist(),
        (random.normal(0, 1, GOOD) + shifted).round(4).tolist(),
        random.choice(np.array(["web", "app", "shop"]), GOOD).tolist(),
        random.beta(np.where(shifted, 3, 2), 5).round(4).tolist(),
    )
    for i, (time, x, channel, score) in enumerate(zip(*columns, strict=True)):
        event = {
            "prediction_id": f"good-{i}",
            "model": GOOD_MODELS[i % 3 % 2],
            "ts": time,
            "features": {"x": x, "steady": i % 97, "channel": channel},
            "outputs": {"score": score},
        }
        logs[zlib.crc32(b"%d" % i) % PARTITIONS].append(Line(time, orjson.dumps(event)))
    for log in logs:
        log.append(frame(START_MS + (SECONDS + 60) * 1000))
    return logs


def frame(time: int) -> Line:
    """The first event of every partition, or the last one, which closes all other slices."""
    event = {"prediction_id": f"frame-{time}", "model": "good-frame", "ts": time}
    return Line(time, orjson.dumps(event))


def with_malformed(logs: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """Each kind in turn, at random places. Its time is that of the event before it."""
    random = np.random.default_rng(12)
    mixed = [list(log) for log in logs]
    for seed, kind in enumerate(islice(cycle(KINDS), BAD)):
        log = mixed[random.integers(0, PARTITIONS)]
        place = int(random.integers(1, len(log)))
        time = log[place - 1].time
        log.insert(place, Line(time, kind.make(seed, time), kind))
    return mixed


def produce(pipeline: RealPipeline, logs: Sequence[Sequence[Line]]) -> None:
    producer = Producer(
        {
            "bootstrap.servers": pipeline.cluster.bootstrap,
            "message.max.bytes": 2 * BROKER_LIMIT_BYTES,
            # A record that is larger than this has a batch to itself.
            "batch.size": 100_000,
            "linger.ms": 20,
            # All of it, however slow the broker is.
            "queue.buffering.max.kbytes": 2**21 - 1,
        }
    )
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    for partition, log in enumerate(logs):
        for line in log:
            producer.produce(
                pipeline.input,
                line.value,
                b"key",
                partition=partition,
                timestamp=line.time,
                on_delivery=delivered,
            )
            producer.poll(0)
    assert producer.flush(60) == 0
    assert not failed


def pipeline_of(kafka: Cluster) -> RealPipeline:
    settings = copy.deepcopy(CONFIG)
    del settings["kafka"], settings["predictions"]["topics"]
    settings["models"]["good*"] = {"learn": 15_000}
    pipeline = RealPipeline(kafka, PARTITIONS, **settings)
    # The default entry of test pipelines would make every model a known one.
    del pipeline.document["models"]["*"]
    pipeline.config = parse_config(pipeline.document)
    return pipeline


@pytest.mark.timeout(300)
def test_each_lands_in_its_place_and_leaves_the_statistics_alone(kafka: Cluster, tmp_path: Path) -> None:
    assert len(KINDS) >= 30
    logs = good_log()
    mixed = with_malformed(logs)
    clean, dirty = pipeline_of(kafka), pipeline_of(kafka)
    with (
        clean.workers(tmp_path / "clean", 1, 1) as of_clean,
        dirty.workers(tmp_path / "dirty", 2, 1) as of_dirty,
    ):
        both = ((clean, logs, of_clean), (dirty, mixed, of_dirty))
        for part in (slice(None, 1), slice(1, None)):
            for pipeline, log, _ in both:
                produce(pipeline, [lines[part] for lines in log])
            for _, _, workers in both:
                workers.wait_until_done()

    assert_places(dirty, mixed)
    assert_counted(dirty, mixed)
    assert_equal_but_for_offsets(of_good_models(clean), of_good_models(dirty))
    alerts = clean.alerts()
    assert {alert["signal"]["name"] for alert in alerts} == {"x", "score"}
    assert without_names(dirty.alerts()) == without_names(alerts)
    assert learned(dirty) == learned(clean)


def assert_places(pipeline: RealPipeline, logs: Sequence[Sequence[Line]]) -> None:
    """Rejects are those of the table, each told once, with reason, place and the beginning of its bytes, or
    the row where its record is an array."""
    expected = {
        (pipeline.input, partition, offset, row): [str(line.kind.reason)]
        for partition, offset, line in of_kinds(logs)
        if line.kind is not None and line.kind.place is Place.REJECTED
        for row in range(line.kind.rows)
    }
    assert pipeline.counted().rejects == expected
    for message in pipeline.read("rejects"):
        headers = headers_of(message)
        value = logs[int(headers["partition"])][int(headers["offset"])].value or b""
        told = message.value() or b""
        if "form" in headers:
            assert json.loads(told) == json.loads(value)[int(headers["row"])]
        else:
            assert told == value[:VALUE_BYTES_MAX]
        assert int(headers["length"]) == len(value)


def assert_counted(pipeline: RealPipeline, logs: Sequence[Sequence[Line]]) -> None:
    """Accepted ones are counted as what the table says, late ones as late, and no row is lost."""
    kinds = [line.kind for _, _, line in of_kinds(logs) if line.kind is not None]
    assert len(kinds) == BAD
    assert {kind.name for kind in kinds} == {kind.name for kind in KINDS}
    accepted = [kind for kind in kinds if kind.place is Place.ACCEPTED]
    counted = pipeline.counted()
    assert counted.differences == {}
    accepted_rows, rejected_rows, _ = map(sum, zip(*counted.reported.values(), strict=True))
    assert rejected_rows == counted.rejected.total()
    assert accepted_rows == counted.summarized.total() + counted.late.total()
    assert counted.summarized[MODEL] == len(accepted)
    assert counted.late[MODEL] == sum(kind.place is Place.LATE for kind in kinds)
    assert sum(counted.summarized[model] for model in GOOD_MODELS) == GOOD

    expected: Counter[tuple[str, str, str]] = Counter()
    names = set(USUAL)
    for kind in accepted:
        seen = USUAL | {("features", name): one for name, one in kind.features.items()}
        seen |= {("outputs", name): one for name, one in kind.outputs.items()}
        names |= set(seen)
        for name, (kind_of_value, judgement) in seen.items():
            if kind_of_value is not Type.ABSENT:
                expected[*name, kind_of_value.name] += 1
            if judgement is not None:
                expected[*name, JUDGEMENTS[judgement].name] += 1
    found = dict(odd_counts(pipeline, names))
    assert found == dict(expected)


def odd_counts(
    pipeline: RealPipeline, names: set[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str, str], int]]:
    """How often each of these signals was seen with which type and judgement, in all slices."""
    total = {"features": Summary.empty(), "outputs": Summary.empty()}
    for delta in deltas(pipeline):
        stream = delta.key.stream
        if stream.model == MODEL:
            total["features" if stream.of_features else "outputs"].merge(Summary.from_bytes(delta.data))
    columns = [one for one in Count if one.name in Type.__members__ or one in JUDGEMENTS.values()]
    for kind, name in names:
        summary = total[kind]
        if name in summary.signals:
            row = summary.counts[summary.signals.index(name)]
            yield from (((kind, name, one.name), int(row[one])) for one in columns if row[one])


def of_good_models(pipeline: RealPipeline) -> Summaries:
    summaries = Summaries()
    for delta in deltas(pipeline):
        if delta.key.stream.model != MODEL:
            summaries.add(delta.key, Summary.from_bytes(delta.data))
    return summaries


def assert_equal_but_for_offsets(one: Summaries, other: Summaries) -> None:
    assert {key.stream for key in one} >= {Stream(model) for model in GOOD_MODELS}
    assert len(one) > SECONDS * 4
    for summaries in (one, other):
        for summary in summaries.values():
            summary.offsets = {}
    assert {key: summary.to_bytes() for key, summary in one.items()} == {
        key: summary.to_bytes() for key, summary in other.items()
    }


def learned(pipeline: RealPipeline) -> dict[str, bytes]:
    """References and detectors of the good models, less offsets, as the clean stop saved them."""
    parts = {message.key() or b"": message.value() for message in pipeline.read("state")}
    found = {}
    for model in GOOD_MODELS:
        of_model = [parts[key] for key in sorted(parts) if key.rpartition(b"/")[0] == model.encode()]
        state = unpack(KIND, VERSION, b"".join(part for part in of_model if part is not None))
        subjects = state["observe"]["model"]["judge"]
        for _, _, subject in subjects:
            assert not subject["learners"]
            for watch in subject["watches"]:
                reference = Summary.from_bytes(watch["reference"]["summary"])
                watch["reference"]["summary"] = replace(reference, offsets={}).to_bytes()
        found[model] = pack(KIND, VERSION, {"subjects": subjects})
        assert len(subjects) == 2
    return found


def of_kinds(logs: Sequence[Sequence[Line]]) -> Iterator[tuple[int, int, Line]]:
    """Partition, offset and line of all that is not good."""
    for partition, log in enumerate(logs):
        for offset, line in enumerate(log):
            if line.kind is not None:
                yield partition, offset, line

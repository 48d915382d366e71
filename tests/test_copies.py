"""What is copied says the same to the join as what it was copied from, in whatever form users write it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Batch, LabelBatch, Records, Source
from stream_monitor.quality.values import inputs_of
from stream_monitor.runtime.copies import Copies, as_copied
from stream_monitor.sources.partitioners import BY_NAME
from stream_monitor.summary.segments import segments_of

TIME = 1_767_225_600_000
PARTITIONS = 4
QUALITY = {
    "y": {"task": "regression"},
    "class": {"task": "multiclass", "score": "probs", "classes": ["a", "b"]},
}


def config_of(repartition: str, **mapped: dict[str, str]) -> Config:
    return parse_config(
        {
            "pipeline": "team",
            "predictions": {"topics": ["p"], "fields": mapped.get("predictions", {})},
            "labels": {"topics": ["l"], "fields": mapped.get("labels", {}), "repartition": repartition},
            "models": {"m": {"quality": QUALITY, "segments": ["country"]}},
        }
    )


def records_of(topic: str, values: list[bytes | None], **more: Any) -> Records:
    n = len(values)
    keys = more.get("keys", [b"k-%d" % i for i in range(n)])
    places = np.arange(n, dtype=np.int64)
    return Records(
        (Source(topic, 0),),
        np.zeros(n, np.int64),
        places,
        np.full(n, TIME),
        values,
        keys,
        more.get("headers"),
    )


def copied(config: Config, records: Records) -> list[Batch | LabelBatch]:
    """What the join reads of the copies."""
    assert config.labels is not None
    direct = config.model_copy(update={"labels": config.labels.model_copy(update={"repartition": "none"})})
    copies = Copies(config, PARTITIONS)
    copies.place_by(BY_NAME["murmur2_random"])
    for batch in JoinCodec(direct).decode(records):
        copies.add(batch)
    messages = copies.flush().messages
    for one in messages:
        assert one.key is not None
        assert one.partition == BY_NAME["murmur2_random"](one.key, 0, PARTITIONS)
    topics = {one.topic for one in messages}
    assert len(topics) <= 1
    again = records_of(min(topics, default="p"), [one.value for one in messages])
    return JoinCodec(as_copied(config)).decode(again)


def said_by_labels(batches: list[Batch | LabelBatch]) -> list[Any]:
    return [
        (name, model, time, repr(value))
        for batch in batches
        if isinstance(batch, LabelBatch)
        for name, model, time, value in zip(
            batch.ids, batch.models, batch.time.tolist(), batch.values, strict=True
        )
    ]


def said_by_predictions(config: Config, batches: list[Batch | LabelBatch]) -> list[Any]:
    found = []
    for batch in batches:
        assert isinstance(batch, Batch)
        assert batch.ids is not None
        for group in batch.groups:
            model = config.model(group.stream.model)
            if model.quality:
                rows = zip(
                    group.rows.tolist(),
                    inputs_of(group, model.quality),
                    segments_of(group, model.segments),
                    strict=True,
                )
                found += [
                    (row, batch.ids[row], int(batch.time[row]), group.stream, repr(inputs), segments)
                    for row, inputs, segments in rows
                ]
    return [one[1:] for one in sorted(found, key=lambda one: one[0])]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = SCALARS | st.sampled_from(["", "a", "b", "7", "1e3", "nan", "x" * 100, "\u00e9\n"])
LABELS_OF = st.fixed_dictionaries(
    {"prediction_id": st.sampled_from(["p-1", "\u00fc", 7, ""]), "ts": st.just(TIME)},
    optional={
        "label": VALUES | st.dictionaries(st.sampled_from(["y", "class"]), VALUES, max_size=2),
        "model": st.sampled_from(["m", "other", None, ""]),
    },
)
PREDICTIONS_OF = st.fixed_dictionaries(
    {
        "prediction_id": st.sampled_from(["p-1", "\u00fc", 7]),
        "ts": st.just(TIME),
        "model": st.sampled_from(["m", "other"]),
    },
    optional={
        "model_version": st.sampled_from(["1", 2, None]),
        "role": st.sampled_from(["live", "shadow", None]),
        "features": st.dictionaries(
            st.sampled_from(["country", "age"]), VALUES | st.just([1]) | st.just({"a": 1})
        ),
        "outputs": st.dictionaries(
            st.sampled_from(["y", "class", "probs", "other"]),
            VALUES | st.just({"a": 0.25, "b": 0.75}) | st.just([0.5, 0.5]) | st.just([]),
        ),
    },
)


@given(st.lists(LABELS_OF | st.none(), max_size=8))
def test_copies_of_labels_say_the_same(labels: list[dict[str, Any] | None]) -> None:
    values = [None if one is None else orjson.dumps(one) for one in labels]
    records = records_of("l", values)
    expected = said_by_labels(JoinCodec(config_of("none")).decode(records))
    assert said_by_labels(copied(config_of("labels"), records)) == expected


@given(st.lists(PREDICTIONS_OF, max_size=8))
def test_copies_of_predictions_say_the_same(predictions: list[dict[str, Any]]) -> None:
    records = records_of("p", [orjson.dumps(one) for one in predictions])
    expected = said_by_predictions(config_of("none"), JoinCodec(config_of("none")).decode(records))
    assert said_by_predictions(config_of("both"), copied(config_of("both"), records)) == expected


@pytest.mark.parametrize("repartition", ["labels", "both"])
def test_whatever_the_form_of_labels_is_copies_have_the_default_one(repartition: str) -> None:
    mapped = {"labels": {"id": "key", "model": "topic", "time": "header:at", "value": "$.truth.value"}}
    config = config_of(repartition, **mapped)
    headers = [[("at", b"2026-01-01T00:00:00Z")]]
    records = records_of("l", [orjson.dumps({"truth": {"value": 7}})], headers=headers)
    assert said_by_labels(copied(config, records)) == [("k-0", "l", TIME, "7")]


def test_a_copy_holds_what_is_needed_and_no_more() -> None:
    event = {"prediction_id": "p", "model": "m", "ts": TIME, "features": {"country": "DE", "name": "secret"}}
    event["outputs"] = {"y": 1.5, "probs": {"a": 0.25, "b": 0.75}, "explanation": "secret"}
    config = config_of("both")
    copies = Copies(config, PARTITIONS)
    copies.place_by(BY_NAME["consistent_random"])
    codec = JoinCodec(config_of("none"))
    for batch in codec.decode(
        records_of("p", [orjson.dumps(event), orjson.dumps({**event, "model": "other"})])
    ):
        copies.add(batch)
    [message] = copies.flush().messages
    assert message.topic == "team.drift.predictions"
    assert orjson.loads(message.value or b"") == {
        "prediction_id": "p",
        "model": "m",
        "model_version": "",
        "role": "live",
        "ts": TIME,
        "features": {"country": "DE"},
        "outputs": {"y": 1.5, "probs.a": 0.25, "probs.b": 0.75},
    }
    assert copies.flush().messages == []


def test_copies_of_several_sources_go_out_in_the_order_of_their_clocks() -> None:
    config = config_of("labels")
    copies = Copies(config, 1)
    copies.place_by(BY_NAME["murmur2_random"])
    for partition, times in enumerate([[0, 500, 400, 900], [100, 450, 900]]):
        labels = [
            {"prediction_id": f"{partition}/{i}", "ts": TIME - 1_000 + time, "label": 1}
            for i, time in enumerate(times)
        ]
        records = records_of("l", [orjson.dumps(one) for one in labels])
        records.sources = (Source("l", partition),)
        for batch in JoinCodec(config_of("none")).decode(records):
            copies.add(batch)
    sent = [(one.key or b"").decode() for one in copies.flush().messages]
    assert sent == ["0/0", "1/0", "1/1", "0/1", "0/2", "0/3", "1/2"]


def test_what_is_discarded_is_not_sent() -> None:
    config = config_of("labels")
    copies = Copies(config, PARTITIONS)
    copies.place_by(BY_NAME["murmur2_random"])
    label = orjson.dumps({"prediction_id": "p", "ts": TIME, "label": math.pi})
    for batch in JoinCodec(config_of("none")).decode(records_of("l", [label])):
        copies.add(batch)
    copies.discard()
    assert copies.flush().messages == []
    assert as_copied(config_of("none")) == config_of("none")

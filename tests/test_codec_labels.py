"""The codec of labels: what a record comes to, and that all ways of decoding and ids of both kinds agree."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor import native
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.labels import VALUE_LENGTH_MAX, JoinCodec, LabelCodec
from stream_monitor.codecs.reasons import OF_LABELS, Reason
from stream_monitor.config import Config, parse_config
from stream_monitor.events import NO_TIMESTAMP, Batch, LabelBatch, Records, Source
from tests.malformed import event
from tests.test_codec_json import NOW_MS, rows_of
from tests.test_codec_typed import changed

LABELS, PREDICTIONS = Source("labels", 0), Source("predictions", 0)
QUALITY = {"s": {"task": "regression"}}


def configured(**labels: Any) -> Config:
    return parse_config(
        {
            "predictions": {"topics": ["predictions"]},
            "labels": {"topics": ["labels"], **labels},
            "models": {"*": {"quality": QUALITY}},
        }
    )


def codec(**fields: Any) -> LabelCodec:
    return LabelCodec(configured(fields=fields))


def without_kernel(**fields: Any) -> LabelCodec:
    return LabelCodec(configured(fields=fields), native=False)


def general(**fields: Any) -> LabelCodec:
    only_general = codec(**fields)
    only_general._decode = None
    return only_general


def records(values: Sequence[bytes | None], timestamp: int = NOW_MS, **more: Any) -> Records:
    n = len(values)
    return Records(
        (LABELS,), np.zeros(n, np.int64), np.arange(n, dtype=np.int64), np.full(n, timestamp), values, **more
    )


def label(i: int, **fields: Any) -> dict[str, Any]:
    return {"prediction_id": f"p-{i}", "model": "churn", "ts": NOW_MS - i, "label": "stay"} | fields


def good(i: int) -> bytes:
    return orjson.dumps(label(i))


def told(batch: LabelBatch) -> tuple[Any, ...]:
    """All that a batch says; values as text, for 1, 1.0 and true are equal to Python."""
    rows = zip(
        batch.source.tolist(), batch.offset.tolist(), batch.row.tolist(), batch.time.tolist(), strict=True
    )
    said = zip(batch.ids, batch.models, map(repr, batch.values), strict=True)
    rejects = [(one.record, one.row, one.reason, one.detail, one.source) for one in batch.rejects]
    return list(rows), list(said), rejects, batch.skipped


def decoded(values: Sequence[bytes | None], **more: Any) -> LabelBatch:
    """What all ways of decoding say alike."""
    batch = codec().decode(records(values, **more))
    for other in (without_kernel(), general()):
        assert told(batch) == told(other.decode(records(values, **more)))
    return batch


def decode_one(value: bytes | None, **more: Any) -> tuple[Any, ...]:
    """The id, model, time and value of one label, or the reason of its reject, all ways alike."""
    batch = decoded([value], **more)
    if batch.rejects:
        [reject] = batch.rejects
        return reject.reason, reject.detail
    return batch.ids[0], batch.models[0], int(batch.time[0]), batch.values[0]


# What a label comes to


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("p-1", "churn", NOW_MS - 1, "stay")),
        ({"prediction_id": 7, "model": 8}, ("7", "8", NOW_MS - 1, "stay")),
        ({"model": None}, ("p-1", None, NOW_MS - 1, "stay")),
        ({"model": ""}, ("p-1", None, NOW_MS - 1, "stay")),
        ({"ts": "2025-11-23T02:40:00.123Z"}, ("p-1", "churn", NOW_MS, "stay")),
        ({"ts": float(NOW_MS)}, ("p-1", "churn", NOW_MS, "stay")),
        ({"label": None}, ("p-1", "churn", NOW_MS - 1, None)),
        ({"label": 0}, ("p-1", "churn", NOW_MS - 1, 0)),
        ({"label": False}, ("p-1", "churn", NOW_MS - 1, False)),
        ({"label": ""}, ("p-1", "churn", NOW_MS - 1, "")),
        ({"label": 2**64 - 1}, ("p-1", "churn", NOW_MS - 1, 2**64 - 1)),
        ({"label": {"price": 2.5, "kind": "x"}}, ("p-1", "churn", NOW_MS - 1, {"price": 2.5, "kind": "x"})),
        ({"label": {"deep": {"er": [1]}}}, ("p-1", "churn", NOW_MS - 1, {"deep": {"er": [1]}})),
    ],
)
def test_a_label_has_an_id_a_time_a_value_and_perhaps_a_model(
    fields: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    found = decode_one(orjson.dumps(label(1, **fields)))
    assert found == expected
    assert type(found[3]) is type(expected[3])


def test_a_label_without_a_model_is_for_every_model() -> None:
    without = {name: value for name, value in label(1).items() if name != "model"}
    assert decode_one(orjson.dumps(without))[1] is None
    assert codec(model=None).decode(records([good(1)])).models == [None]


BAD = {
    b"": Reason.NOT_JSON,
    b"7": Reason.NOT_OBJECT,
    b"null": Reason.NOT_OBJECT,
    orjson.dumps(label(1, model=[])): Reason.BAD_MODEL,
    orjson.dumps(label(1, model="a\nb")): Reason.BAD_MODEL,
    orjson.dumps(label(1, ts=None)): Reason.NO_TIME,
    orjson.dumps(label(1, ts="yesterday")): Reason.BAD_TIME,
    orjson.dumps(label(1, ts=NOW_MS + 60_001)): Reason.TIME_IN_FUTURE,
    orjson.dumps(label(1, prediction_id=None)): Reason.NO_ID,
    orjson.dumps(label(1, prediction_id="")): Reason.NO_ID,
    orjson.dumps(label(1, prediction_id=1.5)): Reason.BAD_ID,
    orjson.dumps(label(1, prediction_id="i" * 201)): Reason.BAD_ID,
    orjson.dumps({"prediction_id": "p", "ts": NOW_MS}): Reason.NO_LABEL,
    orjson.dumps(label(1, label=[1])): Reason.BAD_LABEL,
    orjson.dumps(label(1, label="x" * (VALUE_LENGTH_MAX + 1))): Reason.BAD_LABEL,
    orjson.dumps(label(1, label={"x": "x" * VALUE_LENGTH_MAX})): Reason.BAD_LABEL,
    json.dumps(label(1, label=float("nan"))).encode(): Reason.BAD_LABEL,
    json.dumps(label(1, label=float("-inf"))).encode(): Reason.BAD_LABEL,
    json.dumps(label(1, label={"x": [float("nan")]})).encode(): Reason.BAD_LABEL,
    good(1).replace(b'"stay"', b'{"x":' * 300 + b"1" + b"}" * 300): Reason.BAD_LABEL,
}


@pytest.mark.parametrize("value", BAD, ids=lambda value: value[:40].decode())
def test_a_bad_label_is_rejected_and_changes_nothing_for_others(value: bytes) -> None:
    assert decode_one(value)[0] == BAD[value]
    around = codec().decode(records([good(0), value, good(2)]))
    assert (around.ids, around.offset.tolist()) == (["p-0", "p-2"], [0, 2])


def test_the_labels_rejected_here_show_every_reason_that_only_labels_have() -> None:
    assert set(BAD.values()) >= OF_LABELS


def test_a_reject_says_what_was_expected_and_what_came() -> None:
    bad: list[dict[str, Any]] = [label(1, label=[1]), label(1, label="x" * 4_001), {"prediction_id": "p"}]
    values = [*map(orjson.dumps, bad), json.dumps(label(1, label=float("nan"))).encode()]
    values += [orjson.dumps({"prediction_id": "p", "ts": NOW_MS})]
    assert [reject.detail for reject in codec().decode(records(values)).rejects] == [
        "label: expected a string, a number, a boolean, an object or null, got an array",
        "label: expected at most 4000 characters, got 4001",
        "time: expected one, got none",
        "label: expected a finite number, got NaN",
        "label: expected one, or null to take it back, got none",
    ]


def test_a_label_of_a_model_that_is_not_known_is_rejected_where_such_models_are() -> None:
    config = parse_config(
        {
            "predictions": {"topics": ["predictions"], "unknown_models": "reject"},
            "labels": {"topics": ["labels"]},
            "models": {"churn": {"quality": QUALITY}},
        }
    )
    values = [good(0), orjson.dumps(label(1, model="other")), orjson.dumps(label(2, model=None))]
    batch = LabelCodec(config).decode(records(values))
    assert (batch.ids, batch.models) == (["p-0", "p-2"], ["churn", None])
    assert [reject.reason for reject in batch.rejects] == [Reason.UNKNOWN_MODEL]


# Tombstones


def test_a_tombstone_takes_back_the_label_of_the_id_that_is_its_key() -> None:
    assert decode_one(None, keys=[b"p-1"]) == ("p-1", None, NOW_MS, None)


@pytest.mark.parametrize(
    ("keys", "timestamp", "reason"),
    [
        (None, NOW_MS, Reason.NO_ID),
        ([None], NOW_MS, Reason.NO_ID),
        ([b""], NOW_MS, Reason.NO_ID),
        ([b"\xff"], NOW_MS, Reason.BAD_ID),
        ([b"p-1"], NO_TIMESTAMP, Reason.NO_TIME),
    ],
)
def test_a_tombstone_needs_a_key_and_a_timestamp(
    keys: list[bytes | None] | None, timestamp: int, reason: Reason
) -> None:
    assert decode_one(None, keys=keys, timestamp=timestamp)[0] == reason


# Rows and records


def test_labels_are_in_order_of_offset_and_row_however_each_was_decoded() -> None:
    several = orjson.dumps([label(2), 7, label(3, ts=str(NOW_MS))])
    values = [good(0), None, several, b"[]", good(4), orjson.dumps(label(5, ts=str(NOW_MS))), None]
    keys = [b"k"] * 6 + [b"p-6"]
    batch = codec().decode(records(values, keys=keys))
    assert list(zip(batch.offset.tolist(), batch.row.tolist(), batch.ids, strict=True)) == [
        *((0, 0, "p-0"), (1, 0, "k"), (2, 0, "p-2"), (2, 2, "p-3")),
        *((4, 0, "p-4"), (5, 0, "p-5"), (6, 0, "p-6")),
    ]
    assert [(one.record, one.row, one.reason) for one in batch.rejects] == [(2, 1, Reason.NOT_OBJECT)]
    assert batch.skipped == {0: 1}


def test_an_empty_batch_has_no_labels() -> None:
    batch = codec().decode(records([]))
    assert (len(batch), batch.ids, batch.rejects, batch.skipped) == (0, [], [], {})


# Where fields are


def test_fields_are_found_where_they_are_mapped() -> None:
    mapped = codec(id="key", model="header:m", time="kafka", value="$.what.came")
    value = orjson.dumps({"what": {"came": 3}})
    batch = mapped.decode(
        records([value, value, b"{}"], keys=[b"a", b"\xff", b"c"], headers=[[("m", b"churn")], [], []])
    )
    assert (batch.ids, batch.models, batch.values) == (["a"], ["churn"], [3])
    assert batch.time.tolist() == [NOW_MS]
    assert [reject.reason for reject in batch.rejects] == [Reason.BAD_ID, Reason.NO_LABEL]


def test_a_whole_event_may_be_the_value() -> None:
    batch = codec(value="$", model="topic", id="key").decode(
        records([b'{"ts":5,"price":2.5}', b'{"ts":5,"price":[NaN]}'], keys=[b"a", b"b"])
    )
    assert (batch.models, batch.values) == (["labels"], [{"ts": 5, "price": 2.5}])
    assert [reject.reason for reject in batch.rejects] == [Reason.BAD_LABEL]


# Laws

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["1", "i" * 200, "i" * 201, "a\x00", 7, 7.0, str(NOW_MS), NOW_MS]),
)
ANY = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.text(max_size=2), SCALARS, max_size=2)
)
NAMES = ("prediction_id", "model", "ts", "label")
EVENTS = st.one_of(
    st.builds(label, st.integers(0, 9)),
    st.builds(lambda i, fields: label(i, **fields), st.just(1), st.dictionaries(st.sampled_from(NAMES), ANY)),
    st.dictionaries(st.sampled_from((*NAMES, "other")), ANY),
)
VALUES = st.one_of(
    EVENTS.map(json.dumps).map(str.encode),
    st.lists(EVENTS | SCALARS, max_size=3).map(json.dumps).map(str.encode),
    st.sampled_from([None, b"", b"{", b"1],[2", b"null", good(1)[:-2], good(1) + good(2), b"\xff"]),
)
NUMBERS = [
    b"-0",
    b"-0.0",
    b"1e400",
    b"1E2",
    b"01",
    b"-",
    b"1" * 18,
    b"-" + b"9" * 18,
    b"9" * 20,
    b"1.0",
    b"-7",
]
MEMBERS = [b'"label":1,', b'"label":[],', b'"l\\u0061bel":"x",', b'"label":{"a":1e400},', b'"label":null,']
REGULAR = [orjson.dumps(label(i, label=["stay", i, i / 7, None, {"a": i}][i % 5])) for i in range(40)]


@settings(max_examples=150)
@given(st.lists(VALUES, max_size=12), st.data())
def test_all_ways_of_decoding_agree_for_any_cut_into_batches(
    values: list[bytes | None], data: st.DataObject
) -> None:
    keys = [data.draw(st.sampled_from([None, b"k", b"\xff"])) for _ in values]
    whole = told(decoded(values, keys=keys))
    cut = data.draw(st.integers(0, len(values)))
    parts = [
        told(codec().decode(records(values[part], keys=keys[part])))
        for part in (slice(0, cut), slice(cut, None))
    ]
    assert whole[1] == parts[0][1] + parts[1][1]
    assert [one[2:] for one in whole[2]] == [one[2:] for part in parts for one in part[2]]


@settings(max_examples=150)
@given(st.integers(0))
def test_changed_bytes_are_decoded_alike_all_ways(seed: int) -> None:
    choose = random.Random(seed)
    values = [changed(choose.choice(REGULAR), choose) for _ in range(40)]
    values[::4] = [b"{" + choose.choice(MEMBERS) + choose.choice(REGULAR)[1:] for _ in values[::4]]
    values[::7] = REGULAR[: len(values[::7])]
    assert len(decoded(values).offset) > 0


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("field", ["prediction_id", "ts", "label", "model"])
def test_numbers_are_read_alike(field: str, number: bytes) -> None:
    whole = orjson.dumps(label(1, **{field: "@"}))
    assert told(decoded([good(0), whole.replace(b'"@"', number), good(2)]))[0][0] == (0, 0, 0, NOW_MS)


def test_regular_labels_need_no_general_way() -> None:
    """Without this the tests above would compare the general way with itself."""
    for changed_fields in ({}, {"value": "$.label", "time": "kafka", "id": "key"}):
        typed = without_kernel(**changed_fields)
        assert typed._decode is not None
        batch, _ = typed._events(records(REGULAR))
        assert len(batch.typed) == len(REGULAR)
        compiled = codec(**changed_fields)
        if native.installed() is not None:
            assert compiled._kernel is not None
            batch, _ = compiled._events(records(REGULAR))
            assert [one["label"] for one in batch.objects] == [{"a": i} for i in range(4, 40, 5)]
    assert codec(value="$.a.b")._decode is codec(value="$.ts")._decode is None


@given(ANY)
def test_ids_of_labels_and_predictions_meet(value: Any) -> None:
    prediction = JsonCodec(configured()).decode(
        records([json.dumps(event(1, NOW_MS, prediction_id=value)).encode()])
    )
    labelled = codec().decode(records([json.dumps(label(1, prediction_id=value)).encode()]))
    assert prediction.ids == labelled.ids
    assert [one.reason for one in prediction.rejects] == [one.reason for one in labelled.rejects]


# Predictions and labels of one poll


def poll() -> Records:
    values = [
        *(good(0), orjson.dumps(event(0, NOW_MS, model="churn", prediction_id="p-0"))),
        *(b"{", b"{", good(1), None, None),
        orjson.dumps([event(1, NOW_MS, model="churn", prediction_id="p-1"), 7]),
    ]
    source = np.array([1, 0, 0, 1, 1, 0, 1, 0])
    offset = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    keys = [b"k"] * len(values)
    return Records((PREDICTIONS, LABELS), source, offset, np.full(len(values), NOW_MS), values, keys)


def test_a_poll_is_taken_apart_into_predictions_and_labels() -> None:
    predictions, labels = JoinCodec(configured()).decode(poll())
    assert isinstance(predictions, Batch)
    assert isinstance(labels, LabelBatch)
    assert [(row.place, row.id) for row in rows_of(predictions)] == [
        ((PREDICTIONS, 0, 0), "p-0"),
        ((PREDICTIONS, 3, 0), "p-1"),
    ]
    assert list(zip(labels.offset.tolist(), labels.ids, labels.values, strict=True)) == [
        (0, "p-0", "stay"),
        (2, "p-1", "stay"),
        (3, "k", None),
    ]
    assert set(labels.source.tolist()) == {1}


def test_only_labels_are_rejected_where_they_are_joined_and_in_their_place_of_the_poll() -> None:
    predictions, labels = JoinCodec(configured()).decode(poll())
    assert predictions.rejects == []
    assert [(one.record, one.source, one.reason) for one in labels.rejects] == [(3, 1, Reason.NOT_JSON)]


def test_a_poll_of_one_kind_is_one_batch_and_an_empty_one_none() -> None:
    both = JoinCodec(configured())
    assert [type(one) for one in both.decode(records([good(1)]))] == [LabelBatch]
    of_predictions = records([orjson.dumps(event(1, NOW_MS))])
    of_predictions.sources = (PREDICTIONS,)
    assert [type(one) for one in both.decode(of_predictions)] == [Batch]
    assert both.decode(records([])) == []


@pytest.mark.parametrize("repartition", ["labels", "both"])
def test_labels_are_read_from_the_topic_that_they_are_sent_through(repartition: str) -> None:
    through = records([good(1)])
    through.sources = (Source("drift.labels", 0),)
    [batch] = JoinCodec(configured(repartition=repartition)).decode(through)
    assert isinstance(batch, LabelBatch)

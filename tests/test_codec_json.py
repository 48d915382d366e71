"""The JSON codec: the table of malformed events, the field mapping, and its laws."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.codecs import parse
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.reasons import OF_LABELS, OF_TABLES, Reason
from stream_monitor.config import parse_config
from stream_monitor.events import (
    NO_TIMESTAMP,
    Batch,
    Column,
    Header,
    JsonType,
    Records,
    Source,
    Stream,
)
from tests.malformed import (
    CONFIG,
    KINDS,
    SHORTENED_LONG_NAME_LENGTH,
    Kind,
    Place,
    event,
    text,
)

NOW_MS = 1_763_865_600_123
SOURCE = Source("predictions", 0)


class Value(NamedTuple):
    """A value as a column tells it. NaN is told as text, so that it equals itself."""

    type: JsonType
    number: float | str | None = None
    text: str | None = None


class Row(NamedTuple):
    """A row of a batch, with all that is known of it."""

    place: tuple[Source, int, int]
    time: int
    id: str | None
    stream: Stream
    features: dict[str, Value]
    outputs: dict[str, Value]


def records(values: Sequence[bytes | None], timestamp: int = NO_TIMESTAMP, **more: Any) -> Records:
    n = len(values)
    return Records(
        (SOURCE,), np.zeros(n, np.int64), np.arange(n, dtype=np.int64), np.full(n, timestamp), values, **more
    )


def codec(labels: bool = False, **predictions: Any) -> JsonCodec:
    config: dict[str, Any] = {
        "kafka": {"bootstrap.servers": "localhost:9092"},
        "predictions": {"topics": ["predictions"], **predictions},
    }
    joined = {"labels": {"topics": ["labels"]}, "models": {"*": {"quality": {"s": {"task": "regression"}}}}}
    return JsonCodec(parse_config(config | (joined if labels else {})))


def values_of(column: Column, n: int) -> list[Value]:
    values = []
    types = column.types.tolist() if isinstance(column.types, np.ndarray) else [column.types] * n
    for row, kind in enumerate(map(JsonType, types)):
        number: float | str | None = None
        if kind in (JsonType.NUMBER, JsonType.NUMERIC_STRING):
            assert column.numbers is not None
            number = float(column.numbers[row])
            number = "nan" if math.isnan(number) else number
        texts = column.texts if kind in (JsonType.STRING, JsonType.NUMERIC_STRING, JsonType.BOOL) else None
        values.append(Value(kind, number, texts[row] if texts is not None else None))
    return values


def rows_of(batch: Batch) -> list[Row]:
    rows: dict[int, Row] = {}
    for group in batch.groups:
        assert (np.diff(group.rows) > 0).all()
        columns = {
            kind: {name: values_of(column, len(group.rows)) for name, column in signals.items()}
            for kind, signals in (("features", group.features), ("outputs", group.outputs))
        }
        for at, row in enumerate(group.rows.tolist()):
            assert row not in rows
            place = (batch.sources[batch.source[row]], int(batch.offset[row]), int(batch.row[row]))
            present = {
                kind: {
                    name: column[at] for name, column in signals.items() if column[at].type != JsonType.ABSENT
                }
                for kind, signals in columns.items()
            }
            one_id = None if batch.ids is None else batch.ids[row]
            rows[row] = Row(place, int(batch.time[row]), one_id, group.stream, **present)
    assert sorted(rows) == list(range(len(batch)))
    return [rows[row] for row in range(len(batch))]


def decode_one(event: dict[str, Any], **config: Any) -> Row:
    [row] = rows_of(codec(**config).decode(records([orjson.dumps(event)])))
    return row


def good(i: int) -> bytes:
    fields = {
        "prediction_id": f"p-{i}",
        "model": "good",
        "ts": NOW_MS + i,
        "features": {"x": i / 7},
        "outputs": {},
    }
    return json.dumps(fields).encode()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_malformed_kind_lands_where_the_table_says(kind: Kind) -> None:
    """... and changes nothing for the events around it."""
    codec = JsonCodec(parse_config(CONFIG))
    around = [good(i) for i in range(6)]
    batch = codec.decode(records([*around[:3], kind.make(7, NOW_MS), *around[3:]], timestamp=NOW_MS + 50))
    rows = rows_of(batch)

    expected = rows_of(codec.decode(records(around, timestamp=NOW_MS + 50)))
    moved = [row._replace(place=(SOURCE, row.place[1] + (row.place[1] > 2), 0)) for row in expected]
    assert [row for row in rows if row.stream.model == "good"] == moved

    odd = [row for row in rows if row.stream.model != "good"]
    rejects = [(reject.record, reject.row, reject.reason) for reject in batch.rejects]
    if kind.place is Place.REJECTED:
        assert (rejects, odd, batch.skipped) == ([(3, row, kind.reason) for row in range(kind.rows)], [], {})
    elif kind.place is Place.SKIPPED:
        assert (rejects, odd, batch.skipped) == ([], [], {0: kind.rows})
    else:
        assert (rejects, len(odd), batch.skipped) == ([], kind.rows, {})
        assert (odd[0].time < NOW_MS - 10_000) == (kind.place is Place.LATE)
        assert_signals(kind.features, odd[0].features, {"n", "c"})
        assert_signals(kind.outputs, odd[0].outputs, {"score"})


def assert_signals(expected: dict[str, Any], found: dict[str, Value], usual: set[str]) -> None:
    for name, seen in expected.items():
        value = found.get(name, Value(JsonType.ABSENT))
        assert value.type is seen.type
        if seen.judgement in ("nan", "inf"):
            assert value.number is not None
            assert str(value.number).lstrip("-") == seen.judgement
        elif value.number is not None:
            assert math.isfinite(float(value.number))
    absent = {name for name, seen in expected.items() if seen.type is JsonType.ABSENT}
    shortened = {name for name in found if len(name) == SHORTENED_LONG_NAME_LENGTH}
    assert set(found) - shortened == (usual | set(expected)) - absent


def test_a_rejected_row_of_an_array_brings_itself_along_and_not_its_record() -> None:
    rows: list[Any] = [{"note": "é" * 100, "model": ""}, event(1, NOW_MS), 7]
    deep = b"[1," + b"[" * 1_000 + b"]" * 1_000 + b"]"
    batch = JsonCodec(parse_config(CONFIG)).decode(records([json.dumps(rows).encode(), b"[7]", deep]))
    assert [(one.record, one.row) for one in batch.rejects] == [(0, 0), (0, 2), (1, 0), (2, 0), (2, 1)]
    told = [None if one.value is None else json.loads(one.value or b"{}") for one in batch.rejects]
    assert told == [rows[0], 7, None, 1, {}]


def test_the_table_covers_every_reason() -> None:
    assert {kind.reason for kind in KINDS if kind.place is Place.REJECTED} == set(
        Reason
    ) - OF_LABELS - OF_TABLES


def test_accepted_times_are_the_event_time() -> None:
    for kind in KINDS:
        if kind.place is Place.ACCEPTED:
            batch = JsonCodec(parse_config(CONFIG)).decode(records([kind.make(1, NOW_MS)]))
            assert batch.time.tolist() == [NOW_MS], kind.name


def test_a_reject_says_what_was_expected_and_what_came() -> None:
    bad = [
        orjson.dumps(event(1, NOW_MS, ts="yester\nday" + "!" * 100)),
        orjson.dumps(event(1, NOW_MS, model=[])),
        text(1, NOW_MS, ts=NOW_MS + 60_001).encode(),
        text(1, NOW_MS, model_version=1.5).encode(),
    ]
    rejects = codec().decode(records(bad, timestamp=NOW_MS)).rejects
    assert [reject.detail for reject in rejects] == [
        "time: expected whole epoch milliseconds or RFC 3339 with a zone, 1970 to 2248, "
        'got "yester\\nday' + "!" * 50 + '..."',
        "model: expected a string or an integer, got an array",
        "time: expected at most 60000 ms after the Kafka timestamp, got 60001 ms",
        "version: expected a string or an integer, got 1.5",
    ]


def test_an_event_up_to_the_skew_ahead_is_accepted_and_files_have_no_timestamp() -> None:
    ahead = text(1, NOW_MS, ts=NOW_MS + 60_000).encode()
    assert len(codec().decode(records([ahead], timestamp=NOW_MS))) == 1
    far_ahead = text(1, NOW_MS, ts=NOW_MS + 10**9).encode()
    assert len(codec().decode(records([far_ahead]))) == 1


def test_only_the_first_reason_is_told() -> None:
    value = orjson.dumps({"model": "m", "model_version": [], "role": "x", "ts": "x"})
    [reject] = codec(labels=True).decode(records([value])).rejects
    assert reject.reason == Reason.BAD_VERSION


def test_without_labels_an_unusable_id_is_no_id() -> None:
    unusables: list[Any] = [{}, 1.5, "", "i" * 201, None]
    for unusable in unusables:
        assert decode_one(event(1, NOW_MS, prediction_id=unusable)).id is None
    assert decode_one(event(1, NOW_MS, prediction_id=12)).id == "12"
    assert codec(fields={"id": None}).decode(records([good(1)])).ids is None


def test_only_events_of_models_with_quality_need_an_id() -> None:
    joined = {"churn": {"quality": {"score": {"task": "regression"}}}}
    config = {"predictions": {"topics": ["p"]}, "labels": {"topics": ["l"]}, "models": joined}
    values = [
        orjson.dumps(event(i, NOW_MS, model=model, prediction_id=None))
        for i, model in enumerate(["churn", "fraud", "", "churn"])
    ]
    batch = JsonCodec(parse_config(config)).decode(records(values))
    assert [(reject.record, reject.reason) for reject in batch.rejects] == [
        (0, Reason.NO_ID),
        (2, Reason.NO_MODEL),
        (3, Reason.NO_ID),
    ]
    assert [(row.stream.model, row.id) for row in rows_of(batch)] == [("fraud", None)]


def test_several_events_of_one_record_are_rows_of_it() -> None:
    first, second = event(1, NOW_MS), event(2, NOW_MS + 1)
    batch = codec().decode(records([good(0), orjson.dumps([first, 7, second]), good(1)]))
    assert [(row.place[1], row.place[2], row.id) for row in rows_of(batch)] == [
        (0, 0, "p-0"),
        (1, 0, "odd-1"),
        (1, 2, "odd-2"),
        (2, 0, "p-1"),
    ]
    assert [(reject.record, reject.row, reject.reason) for reject in batch.rejects] == [
        (1, 1, Reason.NOT_OBJECT)
    ]


def test_fields_are_found_where_they_are_mapped() -> None:
    fields = {"model": "topic", "version": "header:v", "id": "key", "time": "kafka", "features": "$.in.x"}
    fields |= {"outputs": "$.out", "role": "=shadow"}
    headers: list[Sequence[Header]] = [[("v", b"1"), ("w", b"9"), ("v", b"2")], []]
    value = orjson.dumps({"in": {"x": {"a": 1}}, "out": [True]})
    batch = codec(fields=fields).decode(
        records([value, value], timestamp=NOW_MS, keys=[b"k", None], headers=headers)
    )
    first, second = rows_of(batch)
    assert first[1:4] == (NOW_MS, "k", Stream("predictions", "2", "shadow"))
    assert second[1:4] == (NOW_MS, None, Stream("predictions", "", "shadow"))
    assert first.features == {"a": Value(JsonType.NUMBER, 1.0)}
    assert first.outputs == {"output.0": Value(JsonType.BOOL, None, "true")}


def test_a_key_or_header_that_is_no_text_cannot_name() -> None:
    mapped = codec(labels=True, fields={"model": "header:m", "id": "key"})
    headers: list[Sequence[Header]] = [[("m", b"\xff")], [("m", b"m")], [("m", None)]]
    batch = mapped.decode(records([good(0)] * 3, keys=[b"k", b"\xff", b"k"], headers=headers))
    assert [reject.reason for reject in batch.rejects] == [Reason.BAD_MODEL, Reason.BAD_ID, Reason.NO_MODEL]


def test_kafka_time_without_a_timestamp_is_no_time() -> None:
    [reject] = codec(fields={"time": "kafka"}).decode(records([good(0)])).rejects
    assert reject.reason == Reason.NO_TIME


def test_a_flat_log_keeps_mapped_fields_out_of_its_features() -> None:
    fields = {"features": "$", "outputs": "$.out", "version": None, "id": "$.request.id"}
    flat = {
        "model": "m",
        "ts": NOW_MS,
        "age": 41,
        "out": {"score": 1},
        "request": {"id": "r"},
        "role": "live",
    }
    row = decode_one(flat, fields=fields)
    assert row.features == {"age": Value(JsonType.NUMBER, 41.0)}
    assert (row.id, row.outputs) == ("r", {"score": Value(JsonType.NUMBER, 1.0)})


def test_what_leads_nowhere_is_absent() -> None:
    row = decode_one({"model": "m", "ts": NOW_MS, "features": {"a": 1}}, fields={"outputs": "$.features.a.b"})
    assert row.outputs == {}
    assert row.stream == Stream("m", "", "live")


def test_values_are_typed_and_minus_zero_is_zero() -> None:
    features: dict[str, Any] = {"a": 2**64 - 1, "b": "-1.5e3", "c": False, "d": None, "e": "", "f": "0"}
    row = decode_one(event(1, NOW_MS, features=features))
    assert row.features == {
        "a": Value(JsonType.NUMBER, float(2**64 - 1)),
        "b": Value(JsonType.NUMERIC_STRING, -1500.0, "-1.5e3"),
        "c": Value(JsonType.BOOL, None, "false"),
        "d": Value(JsonType.NULL),
        "e": Value(JsonType.STRING, None, ""),
        "f": Value(JsonType.NUMERIC_STRING, 0.0, "0"),
    }
    zeros = text(1, NOW_MS, features={"a": "@", "b": "-0.0"}).replace('"@"', "-0.0").encode()
    [group] = codec().decode(records([zeros])).groups
    for column in group.features.values():
        assert column.numbers is not None
        assert not np.signbit(column.numbers).any()


def test_uniform_columns_have_one_type_and_number_columns_hide_no_bool() -> None:
    rows = [{"x": 1.5, "y": "a", "z": 1}, {"x": 2, "y": "b", "z": True}]
    [group] = codec().decode(records([orjson.dumps(event(1, NOW_MS, features=row)) for row in rows])).groups
    assert group.features["x"].types is JsonType.NUMBER
    assert group.features["y"].types is JsonType.STRING
    assert not isinstance(group.features["z"].types, JsonType)
    assert group.features["z"].types.tolist() == [JsonType.NUMBER, JsonType.BOOL]


def test_groups_are_the_streams_and_their_rows() -> None:
    values = [
        orjson.dumps(event(i, NOW_MS, model=f"m{i % 3}", role=["live", "shadow"][i % 2])) for i in range(12)
    ]
    batch = codec().decode(records(values))
    assert {group.stream: group.rows.tolist() for group in batch.groups} == {
        Stream(f"m{i % 3}", "1", ["live", "shadow"][i % 2]): [i, i + 6] for i in range(6)
    }


def test_names_that_differ_in_every_event_cost_no_product() -> None:
    """200 events of 100 names that no other has would fill 4 million cells; 20,000 are values."""
    values = [
        orjson.dumps(event(i, NOW_MS, features={f"f{i}.{j}": 1 for j in range(100)})) for i in range(200)
    ]
    batch = codec().decode(records(values))
    assert sum(len(group.rows) * len(group.features) for group in batch.groups) <= 8 * 20_000
    assert all(len(row.features) == 100 for row in rows_of(batch))


def test_outputs_are_bounded_in_width_and_in_total() -> None:
    wide = decode_one(event(1, NOW_MS, outputs={"probs": [0.5] * 1_000, "boxes": []}))
    assert set(wide.outputs) == {*(f"probs.{i}" for i in range(64)), "boxes"}
    assert wide.outputs["boxes"] == Value(JsonType.ARRAY)
    many = decode_one(event(1, NOW_MS, outputs={f"o{i}": [[1] * 64] * 64 for i in range(2)}))
    assert many.outputs == {"output": Value(JsonType.OBJECT)}


def test_a_bad_record_has_no_other_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    loads_really = orjson.loads

    def loads(value: bytes) -> Any:
        parsed.append(value)
        return loads_really(value)

    monkeypatch.setattr("stream_monitor.codecs.parse.orjson.loads", loads)
    values = [good(i) for i in range(50)]
    values[10] = values[30] = b"{"
    parse.parse_all(values)
    assert parsed == values


JSON_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.sampled_from(["1", "-2.5e300", "1e999", "nan", "a", "", "true"]),
    st.text(max_size=3),
)
JSON_VALUES = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)
SIGNALS = st.dictionaries(st.sampled_from("abcd"), JSON_VALUES) | JSON_VALUES
EVENTS = st.fixed_dictionaries(
    {"ts": st.sampled_from([NOW_MS, NOW_MS + 1, str(NOW_MS), None])},
    optional={
        "model": st.sampled_from(["m", "n", 1, True, None]),
        "model_version": st.sampled_from(["1", 1, None, 1.5]),
        "role": st.sampled_from(["live", "shadow", None, "x"]),
        "prediction_id": st.sampled_from(["p", 7, None, []]),
        "features": SIGNALS,
        "outputs": SIGNALS,
    },
)
VALUES = st.one_of(
    EVENTS.map(json.dumps).map(str.encode),
    st.lists(EVENTS, max_size=3).map(json.dumps).map(str.encode),
    st.sampled_from([None, b"", b"{", b'{"a":NaN}', b"1],[2"]),
)


@settings(max_examples=150)
@given(st.lists(VALUES, max_size=12), st.data())
def test_any_cut_into_batches_gives_the_same_rows(values: list[bytes | None], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    decoder = codec(labels=data.draw(st.booleans()))
    whole = decoder.decode(records(values))
    parts = [decoder.decode(records(part)) for part in (values[:cut], values[cut:])]
    rows = [
        row._replace(place=(row.place[0], row.place[1] + start, row.place[2]))
        for part, start in zip(parts, (0, cut), strict=True)
        for row in rows_of(part)
    ]
    assert rows_of(whole) == rows
    rejects = [
        (one.record + start, one.row, one.reason, one.detail)
        for part, start in zip(parts, (0, cut), strict=True)
        for one in part.rejects
    ]
    assert [(one.record, one.row, one.reason, one.detail) for one in whole.rejects] == rejects
    assert whole.skipped.get(0, 0) == sum(part.skipped.get(0, 0) for part in parts)


def test_an_empty_batch_has_no_rows() -> None:
    batch = codec().decode(records([]))
    assert (len(batch), batch.groups, batch.rejects, batch.skipped) == (0, [], [], {})

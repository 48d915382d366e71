"""The Arrow codec: what it says of a table is what the JSON codec says of the same events, row by row."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from importlib import import_module
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stream_monitor.codecs.arrow import TOLD_BYTES_MAX, ArrowCodec
from stream_monitor.codecs.arrow_limits import CELLS_MAX, UNPACKED_BYTES_MAX
from stream_monitor.codecs.arrow_tables import ROWS_MAX
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.reasons import Reason
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Batch, Header, JsonType, Stream
from stream_monitor.observe import observe
from stream_monitor.summary.shape import Shape
from tests.malformed import CONFIG, KINDS, Place, event
from tests.test_codec_json import NOW_MS, Value, records, rows_of
from tests.test_codec_typed import told

pa: Any = import_module("pyarrow")
"""Its types know less than it does."""

Table = Any
"""A record batch of Arrow."""

Cells = tuple[Any, list[Any]]
"""A column: its type, and the values of its rows."""


def configured(labels: bool = False, **predictions: Any) -> Config:
    config: dict[str, Any] = {"predictions": {"topics": ["predictions"], **predictions}}
    joined = {"labels": {"topics": ["labels"]}, "models": {"m": {"quality": {"s": {"task": "regression"}}}}}
    return parse_config(config | (joined if labels else {}))


def stream_of(*batches: Table, options: Any = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def file_of(batch: Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def batch_of(**columns: Any) -> Table:
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def rows_as(rows: Sequence[dict[str, Any]]) -> Table:
    return pa.RecordBatch.from_struct_array(pa.array(rows))


def json_of(rows: Sequence[Any]) -> bytes:
    return json.dumps(rows).encode()


def compare(
    config: Config, arrow: Sequence[bytes | None], objects: Sequence[bytes | None], **more: Any
) -> Batch:
    """Both say the same of the same events, but that Arrow tells the JSON of a rejected row."""
    found = ArrowCodec(config).decode(records(arrow, **more))
    assert told(found) == told(JsonCodec(config).decode(records(objects, **more)))
    return found


def events(n: int) -> list[dict[str, Any]]:
    """Events of few kinds of values, and one bad one in ten."""
    return [
        {
            "prediction_id": f"p-{i}",
            "model": "mn"[i % 2],
            "model_version": "3",
            "ts": NOW_MS + i if i % 10 else None,
            "features": {
                "a": i / 7,
                "b": i if i % 3 else None,
                "c": ["x", "é", "12"][i % 3],
                "d": i % 2 == 0,
            },
            "outputs": {"s": i / 3, "p": [0.1, float(i)], "q": {"r": i, "t": {"u": "v"}}},
        }
        for i in range(n)
    ]


def test_a_stream_and_a_file_are_read_and_bad_rows_are_told_alone() -> None:
    rows = events(40)
    halves = stream_of(rows_as(rows[:20]), rows_as(rows[20:]))
    for value in (halves, file_of(rows_as(rows)), stream_of(rows_as(rows))):
        batch = compare(configured(), [value], [json_of(rows)])
        assert [reject.row for reject in batch.rejects] == [0, 10, 20, 30]
        assert [json.loads(reject.value or b"") for reject in batch.rejects] == rows[::10]
        assert {group.stream for group in batch.groups} == {Stream(one, "3", "live") for one in "mn"}


def test_buffers_may_be_compressed() -> None:
    rows = events(100)
    for codec in ("lz4", "zstd"):
        value = stream_of(rows_as(rows), options=pa.ipc.IpcWriteOptions(compression=codec))
        compare(configured(), [value], [json_of(rows)])


def test_records_of_several_schemas_tombstones_and_empty_tables_keep_their_order() -> None:
    rows = events(12)
    other = [{"model": "o", "ts": NOW_MS, "features": {"z": 1}}, {"model": "", "ts": NOW_MS}]
    empty = rows_as(rows).slice(0, 0)
    arrow = [rows_as(rows[:5]), rows_as(other), None, rows_as(rows[5:]), empty, rows_as(other)]
    objects = [rows[:5], other, None, rows[5:], [], other]
    batch = compare(
        configured(),
        [None if one is None else stream_of(one) for one in arrow],
        [None if one is None else json_of(one) for one in objects],
    )
    assert batch.skipped == {0: 2}
    assert list(zip(batch.offset.tolist(), batch.row.tolist(), strict=True)) == sorted(
        zip(batch.offset.tolist(), batch.row.tolist(), strict=True)
    )


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_no_arrow_is_one_reject_and_changes_nothing_for_others(kind: Any, labels: bool) -> None:
    good = stream_of(rows_as(events(4)))
    value = kind.make(7, NOW_MS)
    batch = ArrowCodec(configured(labels)).decode(records([good, value, good]))
    whole = [(one.record, one.row, one.reason) for one in batch.rejects if one.record == 1]
    assert whole == ([] if value is None else [(1, 0, Reason.NOT_JSON)])
    assert batch.offset.tolist() == [0] * 3 + [2] * 3


def expressible() -> list[Any]:
    """Those malformed events that a table can hold; of the reasons only the limit of rows is another."""
    found = []
    for kind in (one for one in KINDS if one.reason is not Reason.TOO_MANY_ROWS):
        value = kind.make(7, NOW_MS)
        try:
            document = orjson.loads(value or b"")
            array = pa.array(document if isinstance(document, list) else [document])
            if pa.types.is_struct(array.type) and array.null_count == 0:
                stream_of(pa.RecordBatch.from_struct_array(array))
                found.append(kind)
        except (ValueError, TypeError, OverflowError, RecursionError, pa.ArrowException):
            continue
    return found


@pytest.mark.parametrize("kind", expressible(), ids=lambda kind: kind.name)
def test_every_malformed_kind_that_a_table_can_hold_lands_where_the_table_says(kind: Any) -> None:
    document = orjson.loads(kind.make(7, NOW_MS))
    rows = document if isinstance(document, list) else [document]
    arrow = stream_of(pa.RecordBatch.from_struct_array(pa.array(rows)))
    batch = compare(parse_config(CONFIG), [arrow], [json_of(rows)], timestamp=NOW_MS + 50)
    assert bool(batch.rejects) == (kind.place is Place.REJECTED)


def test_the_table_of_malformed_kinds_is_mostly_expressible() -> None:
    """Without this the test above might compare nothing."""
    assert len(expressible()) > 60


# Any table


NUMBERS = st.one_of(st.floats(width=64), st.sampled_from([0.0, -0.0, 1e300, float("nan"), float("inf")]))
TEXTS = st.sampled_from(["web", "app", "12", "-2.5e3", "nan", "", "é", "true", "x" * 70])


def cells(kind: Any, values: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[Cells]:
    rows = st.lists(st.none() | values, min_size=n, max_size=n) | st.lists(values, min_size=n, max_size=n)
    return rows.map(lambda one: (kind, one))


def scalars(n: int) -> st.SearchStrategy[Cells]:
    integers = [
        (getattr(pa, f"{sign}int{bits}")(), st.integers(low, high))
        for bits in (8, 16, 32, 64)
        for sign, low, high in (("", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), ("u", 0, 2**bits - 1))
    ]
    return st.one_of(
        cells(pa.float64(), NUMBERS, n),
        cells(pa.float32(), st.floats(width=32), n),
        cells(pa.float16(), st.floats(width=16), n),
        *(cells(kind, values, n) for kind, values in integers),
        cells(pa.bool_(), st.booleans(), n),
        cells(pa.string(), TEXTS, n),
        cells(pa.large_string(), TEXTS, n),
        cells(pa.dictionary(pa.int8(), pa.string()), TEXTS, n),
        cells(pa.dictionary(pa.int32(), pa.int64()), st.integers(-5, 5), n),
        cells(pa.null(), st.none(), n),
    )


def nested(n: int) -> st.SearchStrategy[Cells]:
    number, text = st.floats(allow_nan=False), TEXTS
    pair = pa.struct([("x", pa.float64()), ("y", pa.string())])
    pairs = st.fixed_dictionaries({"x": st.none() | number, "y": st.none() | text})
    deep = pa.struct([("l", pa.list_(pair)), ("s", pa.struct([("t", pa.struct([("u", pa.int64())]))]))])
    deeps = st.fixed_dictionaries(
        {
            "l": st.none() | st.lists(st.none() | pairs, max_size=2),
            "s": st.none() | st.fixed_dictionaries({"t": st.fixed_dictionaries({"u": st.integers(0, 9)})}),
        }
    )
    return st.one_of(
        cells(pa.list_(pa.float64()), st.lists(number, max_size=3), n),
        cells(pa.large_list(pa.string()), st.lists(text, min_size=2, max_size=2), n),
        cells(pa.list_(pa.float32(), 3), st.lists(st.floats(width=32), min_size=3, max_size=3), n),
        cells(
            pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2), n
        ),
        cells(pair, pairs, n),
        cells(pa.list_(pair), st.lists(pairs, min_size=1, max_size=2), n),
        cells(deep, deeps, n),
    )


def structs(n: int) -> st.SearchStrategy[Cells]:
    """A column of objects, some of them null; or of anything else."""
    members = st.dictionaries(
        st.sampled_from(["a", "b", "c", "c.0", "c.x"]), scalars(n) | nested(n), max_size=4
    )
    absent = st.lists(st.booleans(), min_size=n, max_size=n) | st.just([False] * n)

    def column(of: tuple[dict[str, Cells], list[bool]]) -> Cells:
        names, gone = of
        kind = pa.struct([(name, one) for name, (one, _) in names.items()])
        rows = [{name: values[row] for name, (_, values) in names.items()} for row in range(n)]
        return kind, [None if no else row for no, row in zip(gone, rows, strict=True)]

    return st.tuples(members, absent).map(column) | scalars(n) | nested(n)


def tables(n: int) -> st.SearchStrategy[dict[str, Cells]]:
    ids = st.sampled_from(["p", "q", "", "i" * 201])
    times = [
        cells(pa.int64(), st.sampled_from([NOW_MS, NOW_MS + 1, -1, 2**62, NOW_MS + 10**7]), n),
        cells(pa.uint64(), st.sampled_from([NOW_MS, 2**63 - 1]), n),
        cells(pa.float64(), st.sampled_from([float(NOW_MS), NOW_MS + 0.5, float("nan")]), n),
        cells(pa.string(), st.sampled_from([str(NOW_MS), "2025-11-23T02:40:00.1Z", "x"]), n),
    ]
    return st.fixed_dictionaries(
        {
            "model": cells(pa.string(), st.sampled_from(["m", "n", "", "a\n"]), n)
            | cells(pa.dictionary(pa.int16(), pa.string()), st.sampled_from(["m", "n"]), n)
            | cells(pa.int32(), st.integers(0, 2), n)
            | cells(pa.list_(pa.int64()), st.just([1]), n),
            "ts": st.one_of(*times),
        },
        optional={
            "model_version": cells(pa.int64(), st.integers(0, 2), n) | cells(pa.float64(), st.just(1.5), n),
            "role": cells(pa.string(), st.sampled_from(["live", "shadow", "x"]), n),
            "prediction_id": cells(pa.string(), ids, n)
            | cells(pa.int64(), st.integers(0, 9), n)
            | cells(pa.dictionary(pa.int8(), pa.string()), ids, n)
            | cells(pa.bool_(), st.booleans(), n),
            "features": structs(n),
            "outputs": structs(n),
        },
    )


TABLES = st.integers(1, 12).flatmap(tables)


def table_of(columns: dict[str, Cells]) -> Table:
    batch = batch_of(**{name: pa.array(values, kind) for name, (kind, values) in columns.items()})
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        # Of nothing but null structs pyarrow makes indices into an empty dictionary.
        assume(condition=False)
    return batch


def objects_of(columns: dict[str, Cells]) -> list[dict[str, Any]]:
    rows = zip(*(values for _, values in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


@settings(max_examples=80)
@given(st.lists(TABLES, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_a_table_means_what_the_same_events_mean_as_json(
    columns: list[dict[str, Cells]], labels: bool, flat: bool
) -> None:
    config = configured(labels, **({"fields": {"features": "$"}} if flat else {}))
    values = [stream_of(table_of(one)) for one in columns]
    batch = compare(config, values, [json_of(objects_of(one)) for one in columns], timestamp=NOW_MS)
    for reject in batch.rejects:
        row = objects_of(columns[reject.record])[reject.row]
        value = json.dumps(json.loads(reject.value or b""), sort_keys=True)
        assert value == re.sub(r"-0\.0\b", "0.0", json.dumps(row, sort_keys=True))


@settings(max_examples=40)
@given(st.lists(TABLES, min_size=1, max_size=3))
def test_summaries_are_equal_too(columns: list[dict[str, Cells]]) -> None:
    config = configured()
    shape = Shape.of(config.model("m"), None)
    arrow = ArrowCodec(config).decode(records([stream_of(table_of(one)) for one in columns]))
    plain = JsonCodec(config).decode(records([json_of(objects_of(one)) for one in columns]))
    summaries = [observe(one, lambda _: shape, {}, 10_000) for one in (arrow, plain)]
    assert summaries[0] == summaries[1]


@settings(max_examples=30)
@given(TABLES)
def test_what_is_wanted_is_read_as_json_reads_it(columns: dict[str, Cells]) -> None:
    config, some = configured(), Wanted(features=["b"], outputs=["c.0", "a"])
    arrow = ArrowCodec(config, some).decode(records([stream_of(table_of(columns))]))
    plain = JsonCodec(config, some).decode(records([json_of(objects_of(columns))]))
    assert told(arrow) == told(plain)


@settings(max_examples=30)
@given(st.lists(TABLES, min_size=1, max_size=4), st.data())
def test_any_cut_into_batches_gives_the_same_rows(
    columns: list[dict[str, Cells]], data: st.DataObject
) -> None:
    values = [stream_of(table_of(one)) for one in columns]
    cut = data.draw(st.integers(0, len(values)))
    decoder = ArrowCodec(configured())
    whole = rows_of(decoder.decode(records(values)))
    parts = [rows_of(decoder.decode(records(part))) for part in (values[:cut], values[cut:])]
    moved = [row._replace(place=(row.place[0], row.place[1] + cut, row.place[2])) for row in parts[1]]
    assert whole == parts[0] + moved


def test_any_change_of_bytes_is_a_reject_or_rows_and_never_an_error() -> None:
    """A changed byte within values changes a value; the rows of other records are as they were."""
    choose, table = random.Random(5), rows_as(events(20))
    packing = pa.ipc.IpcWriteOptions(compression="lz4")
    goods = [stream_of(table), file_of(table), stream_of(table, options=packing)]
    decoder = ArrowCodec(configured())
    expected = rows_of(decoder.decode(records(goods[:1])))
    for number in range(1_000):
        good = goods[number % len(goods)]
        value = bytearray(good)
        for _ in range(choose.choice((1, 1, 2, 8))):
            value[choose.randrange(len(value))] = choose.randrange(256)
        found = rows_of(decoder.decode(records([good, bytes(value[: choose.choice((len(value), 700))])])))
        assert found[: len(expected)] == expected


# What JSON cannot say, and what is bounded


def test_times_are_cut_off_to_milliseconds_and_without_a_zone_in_utc() -> None:
    moment = datetime(2025, 11, 23, 2, 40, 0, 123_900, UTC)
    ms = int(moment.timestamp() * 1000)
    kinds = [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ms")]
    for kind in kinds:
        at = pa.array([moment, None], pa.timestamp("us", kind.tz)).cast(kind, safe=False)
        batch = batch_of(model=pa.array(["m", "m"]), ts=at, features=pa.StructArray.from_arrays([at], ["t"]))
        [row] = rows_of(found := ArrowCodec(configured()).decode(records([stream_of(batch)])))
        assert (row.time, row.features["t"]) == (ms, Value(JsonType.NUMBER, float(ms)))
        assert [reject.reason for reject in found.rejects] == [Reason.NO_TIME]
    day = batch_of(model=pa.array(["m"]), ts=pa.array([date(2025, 11, 23)]))
    [row] = rows_of(ArrowCodec(configured()).decode(records([stream_of(day)])))
    assert row.time == int(datetime(2025, 11, 23, tzinfo=UTC).timestamp() * 1000)
    seconds = batch_of(model=pa.array(["m"] * 2), ts=pa.array([2**62, NOW_MS // 1000], pa.timestamp("s")))
    [row] = rows_of(ArrowCodec(configured()).decode(records([stream_of(seconds)])))
    assert row.time == NOW_MS // 1000 * 1000


def test_a_nan_of_any_bits_is_one() -> None:
    bits = pa.array(np.array([0x7FF0_0000_0000_0001]).view(np.float64))
    features = pa.StructArray.from_arrays([bits], ["x"])
    batch = batch_of(model=pa.array(["m"]), ts=pa.array([NOW_MS]), features=features)
    [row] = rows_of(ArrowCodec(configured()).decode(records([stream_of(batch)])))
    assert row.features["x"].number == "nan"


def test_float32_counts_as_the_float64_that_equals_it() -> None:
    batch = batch_of(
        model=pa.array(["m"]),
        ts=pa.array([NOW_MS]),
        features=pa.array([{"x": 0.1}], pa.struct([("x", "f4")])),
    )
    [row] = rows_of(ArrowCodec(configured()).decode(records([stream_of(batch)])))
    assert row.features["x"].number == struct.unpack("f", struct.pack("f", 0.1))[0]


def test_maps_are_objects_and_what_json_has_no_form_for_is_of_a_wrong_type() -> None:
    pairs = pa.array([[("a", 1.5), ("b", None)], None, []], pa.map_(pa.string(), pa.float64()))
    odd = pa.StructArray.from_arrays([pa.array([b"x", None, b"y"])], ["bytes"])
    batch = batch_of(model=pa.array(["m"] * 3), ts=pa.array([NOW_MS] * 3), features=pairs, outputs=odd)
    first, second, third = rows_of(ArrowCodec(configured()).decode(records([stream_of(batch)])))
    assert first.features == {"a": Value(JsonType.NUMBER, 1.5), "b": Value(JsonType.NULL)}
    assert second.features == third.features == {}
    assert [row.outputs["bytes"].type for row in (first, second)] == [JsonType.OBJECT, JsonType.NULL]


def test_of_columns_of_one_name_the_last_counts() -> None:
    kind = pa.struct([("x", pa.int64()), ("x", pa.string())])
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array(["a"])], fields=list(kind))
    arrays = [pa.array(["a"]), pa.array(["m"]), pa.array([NOW_MS]), twice]
    batch = pa.RecordBatch.from_arrays(arrays, names=["model", "model", "ts", "features"])
    [row] = rows_of(ArrowCodec(configured()).decode(records([stream_of(batch)])))
    assert (row.stream.model, row.features) == ("m", {"x": Value(JsonType.STRING, None, "a")})


def test_fields_outside_of_the_table_are_those_of_its_record() -> None:
    fields = {"model": "topic", "version": "header:v", "id": "key", "time": "kafka", "role": "=shadow"}
    headers: list[Sequence[Header]] = [[("v", b"1")], []]
    rows = [{"features": {"a": i}} for i in range(3)]
    batch = compare(
        configured(fields=fields),
        [stream_of(rows_as(rows))] * 2,
        [json_of(rows)] * 2,
        timestamp=NOW_MS,
        keys=[b"k", None],
        headers=headers,
    )
    assert batch.ids is not None
    assert list(batch.ids) == ["k"] * 3 + [None] * 3
    compare(configured(fields={"time": "kafka"}), [stream_of(rows_as(rows))], [json_of(rows)])


def test_dictionaries_of_records_that_do_not_fit_into_one_are_read_apart() -> None:
    def table(record: int) -> Table:
        names = pa.array([f"{record}-{i}" for i in range(100)])
        column = pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), names)
        features = pa.StructArray.from_arrays([column], ["c"])
        return batch_of(model=pa.array(["m"] * 100), ts=pa.array([NOW_MS] * 100), features=features)

    batch = ArrowCodec(configured()).decode(records([stream_of(table(record)) for record in range(3)]))
    texts = [row.features["c"].text for row in rows_of(batch)]
    assert texts == [f"{record}-{i}" for record in range(3) for i in range(100)]


def test_a_record_of_more_rows_or_elements_than_are_read_is_one_reject() -> None:
    rows = batch_of(model=pa.nulls(ROWS_MAX + 1))
    lists = pa.ListArray.from_arrays(pa.array([0, CELLS_MAX, CELLS_MAX + 1]), pa.nulls(CELLS_MAX + 1))
    wide = batch_of(model=pa.array(["m", "m"]), ts=pa.array([NOW_MS] * 2), outputs=lists)
    batch = ArrowCodec(configured()).decode(records([stream_of(rows), stream_of(wide)]))
    assert [(one.record, one.row, one.reason) for one in batch.rejects] == [
        (0, 0, Reason.TOO_MANY_ROWS),
        (1, 0, Reason.TOO_LARGE),
    ]
    assert len(batch) == 0


def packed(write: Any, *batches: Table) -> bytes:
    sink = pa.BufferOutputStream()
    with write(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


@pytest.mark.parametrize("write", [pa.ipc.new_stream, pa.ipc.new_file])
def test_a_record_that_stands_for_much_more_than_its_bytes_is_one_reject(write: Any) -> None:
    n = ROWS_MAX
    identity = {"model": pa.array(["m"] * n), "ts": pa.array([NOW_MS] * n)}
    half = batch_of(**identity, note=pa.array(["x" * 400] * n))
    word = pa.array(["x" * UNPACKED_BYTES_MAX])
    values = [
        packed(write, batch_of(**identity, **{f"c{i}": pa.nulls(n) for i in range(CELLS_MAX // n)})),
        packed(write, batch_of(model=pa.array(["m"]), ts=pa.array([NOW_MS]), note=word)),
        packed(write, batch_of(model=pa.array(["m"]), ts=pa.array([NOW_MS]), note=word.dictionary_encode())),
        packed(write, *[half.slice(0, 0)] * 3, half.slice(0, 30_000), half.slice(30_000, 20_000)),
    ]
    assert max(map(len, values)) < UNPACKED_BYTES_MAX / 16
    batch = ArrowCodec(configured()).decode(records(values))
    assert [(one.record, one.reason) for one in batch.rejects] == [(i, Reason.TOO_LARGE) for i in range(3)]
    assert len(batch) == 50_000


def unread() -> list[Any]:
    """Columns of two rows, of types that pyarrow itself does not take apart."""
    twice, text = pa.array([0, 0], pa.int8()), pa.array(["a", "b"])
    kinds = [
        pa.UnionArray.from_sparse(twice, [text]),
        pa.UnionArray.from_dense(twice, pa.array([0, 1], pa.int32()), [text]),
        pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"])),
        text.cast(pa.string_view()),
        pa.array([[1], []], pa.list_view(pa.int64())),
        pa.DictionaryArray.from_arrays(twice, pa.nulls(1)),
        pa.DictionaryArray.from_arrays(twice, pa.array([[1]])),
    ]
    return kinds + [pa.StructArray.from_arrays([one], ["in"]) for one in kinds]


@pytest.mark.parametrize("column", unread(), ids=lambda one: str(one.type))
def test_a_column_of_a_type_that_is_not_read_is_a_reject_of_its_record(column: Any) -> None:
    odd = batch_of(model=pa.array(["m", ""]), ts=pa.array([NOW_MS] * 2), note=column)
    batch = ArrowCodec(configured()).decode(records([stream_of(odd), stream_of(rows_as(events(4)))]))
    assert [(one.record, one.row, one.reason) for one in batch.rejects] == [
        (0, 0, Reason.NOT_JSON),
        (1, 0, Reason.NO_TIME),
    ]
    assert batch.offset.tolist() == [1] * 3


def test_a_dictionary_may_use_all_of_its_indices_and_hold_nulls() -> None:
    values = [f"m{i}" if i else None for i in range(128)]
    column = pa.DictionaryArray.from_arrays(pa.array([0, 127, None], pa.int8()), pa.array(values))
    table = batch_of(
        model=column, ts=pa.array([NOW_MS] * 3), features=pa.StructArray.from_arrays([column], ["c"])
    )
    rows = [{"model": one, "ts": NOW_MS, "features": {"c": one}} for one in (None, "m127", None)]
    compare(configured(), [stream_of(table)], [json_of(rows)])


def test_rejected_rows_that_share_a_text_bring_along_a_bounded_number_of_bytes() -> None:
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int8()), pa.array(["x" * 1_000_000]))
    outputs = pa.array([[1.0] * (i % 3) for i in range(100)])
    table = batch_of(model=pa.array([""] * 100), ts=pa.array([NOW_MS] * 100), note=note)
    by_hand = table.append_column("outputs", outputs)
    rejects = [ArrowCodec(configured()).decode(records([stream_of(one)])).rejects for one in (table, by_hand)]
    for some in rejects:
        assert len(some) == 100
        assert TOLD_BYTES_MAX <= sum(len(one.value or b"") for one in some) < TOLD_BYTES_MAX + 1_000_100


def test_more_rows_than_json_has_in_a_record_are_read_when_they_differ_in_what_they_hold() -> None:
    outputs = pa.array([[1.0] * (i % 3) for i in range(25_000)])
    model = pa.array(["m" if i != 12_000 else "" for i in range(25_000)])
    batch = ArrowCodec(configured()).decode(
        records([stream_of(batch_of(model=model, ts=pa.array([NOW_MS] * 25_000), outputs=outputs))])
    )
    assert [(one.row, one.reason) for one in batch.rejects] == [(12_000, Reason.NO_MODEL)]
    assert batch.row.tolist() == [row for row in range(25_000) if row != 12_000]


def test_no_text_or_dictionary_points_outside_of_its_record() -> None:
    offsets = pa.py_buffer(np.array([0, 2, 4], np.int32))
    texts = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab\xff\xfe"))
    index = pa.DictionaryArray.from_arrays(pa.array([0, 9]), pa.array(["a"]), safe=False)
    for column in (texts, index):
        value = stream_of(batch_of(model=pa.array(["m"] * 2), ts=pa.array([NOW_MS] * 2), note=column))
        [reject] = ArrowCodec(configured()).decode(records([value])).rejects
        assert reject.reason == Reason.NOT_JSON


@pytest.mark.parametrize("outputs", [[1.0], [[1.0], [2.0, 3.0]]])
def test_a_name_that_is_no_text_is_a_reject_of_its_record_alone(outputs: list[Any]) -> None:
    n = len(outputs)
    columns = {
        "ts": pa.array([NOW_MS] * n),
        "features": pa.array([{"@@": 1}] * n),
        "outputs": pa.array(outputs),
    }
    odd = stream_of(batch_of(model=pa.array(["m"] * n), **columns)).replace(b"@@", b"\xff@")
    good = stream_of(rows_as(events(4)[1:]))
    batch = ArrowCodec(configured()).decode(records([odd, good]))
    assert [(one.record, one.row, one.reason) for one in batch.rejects] == [(0, 0, Reason.NOT_JSON)]
    assert batch.offset.tolist() == [1] * 3


def test_two_streams_in_one_record_are_no_stream() -> None:
    value = stream_of(rows_as([event(1, NOW_MS)]))
    [reject] = ArrowCodec(configured()).decode(records([value * 2])).rejects
    assert (reject.reason, "more bytes after the end" in reject.detail) == (Reason.NOT_JSON, True)


def test_an_output_whose_lists_are_long_names_as_many_elements_as_json() -> None:
    rows = [{"model": "m", "ts": NOW_MS, "outputs": {"p": [0.5] * 100}} for _ in range(3)]
    compare(configured(), [stream_of(rows_as(rows))], [json_of(rows)])
    deep = [{"model": "m", "ts": NOW_MS, "outputs": {f"o{i}": [[1] * 64] * 64 for i in range(2)}}]
    compare(configured(), [stream_of(rows_as(deep))], [json_of(deep)])

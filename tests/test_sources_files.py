"""Files as topics: what each format becomes, and where a producer would have put it."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Message, Producer

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Fields, parse_config
from stream_monitor.errors import InputError
from stream_monitor.events import NO_TIMESTAMP, JsonType, Source
from stream_monitor.sources.files import BATCH_ROWS, PARTITIONERS, key_at, partitioned, read
from stream_monitor.sources.partitioners import BY_NAME, murmur2
from tests.kafka.broker import Cluster

Write = Callable[[str, bytes | str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def objects(path: Path, **options: Any) -> list[Any]:
    values = [value for records in read(path, **options) for value in records.values]
    return [orjson.loads(value) for value in values if value is not None]


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_json_lines_pass_as_they_are_with_their_row_as_offset(write: Write) -> None:
    path = write("events.jsonl", b'{"a": 1}\r\n\n  \n[{"a":2}]\nnot json')
    [records] = read(path)
    assert records.values == [b'{"a": 1}', b'[{"a":2}]', b"not json"]
    assert records.offset.tolist() == [0, 3, 4]
    assert records.sources == (Source("events.jsonl", 0),)
    assert set(records.timestamp.tolist()) == {NO_TIMESTAMP}


def test_batches_are_cut_and_nothing_is_lost(write: Write) -> None:
    path = write("events.ndjson.gz", gzip.compress(b"{}\n" * (2 * BATCH_ROWS + 7), mtime=0))
    batches = list(read(path, topic="t"))
    assert [len(records) for records in batches] == [BATCH_ROWS, BATCH_ROWS, 7]
    assert np.concatenate([records.offset for records in batches]).tolist() == list(range(2 * BATCH_ROWS + 7))
    assert batches[2].sources == (Source("t", 0),)


def test_csv_cells_are_json_where_they_look_like_it_and_dots_nest(write: Write) -> None:
    path = write(
        "events.csv",
        "\ufeffmodel,model_version,prediction_id,ts,features.age,features.zip,features.b.c,outputs\n"
        "m,1.10,007,1763865600000,41,01234,true,-1.5e3\n\n"
        '7,,,2025-11-23T02:40:00Z,,"a ""b"",\nc",1e400,18446744073709551616\n',
    )
    first, second = objects(path)
    assert first == {
        "model": "m",
        "model_version": "1.10",
        "prediction_id": "007",
        "ts": "1763865600000",
        "features": {"age": 41, "zip": "01234", "b": {"c": True}},
        "outputs": -1500.0,
    }
    assert type(first["features"]["age"]) is int
    assert second["model"] == "7"
    assert second["features"] == {"age": None, "zip": 'a "b",\nc', "b": {"c": "1e400"}}
    assert second["outputs"] == 18446744073709551616.0


def test_csv_keeps_text_where_the_fields_are_mapped(write: Write) -> None:
    path = write("flat.csv", "name,v,when\n7,1.0,5\n")
    fields = Fields(model="$.name", version="$.v", features="$")
    assert objects(path, fields=fields) == [{"name": "7", "v": "1.0", "when": 5}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "x,y\n1,2\n1,2,3\n", "row 1: expected 2 cells, got 3"),
        ("a.csv", "", "expected a header line"),
        ("a.csv", "x,x\n", "'x' twice"),
        ("a.csv", "x.y,x\n", "'x' twice or with members"),
        ("a.csv", b"x\n\xff\n", "line 2: expected UTF-8"),
        ("a.csv", 'x\n"1\n', "line 2: "),
        ("a.csv", 'x\n"1"2\n', "line 2: "),
        ("a.jsonl.gz", gzip.compress(b"{}\n" * 9_000, mtime=0)[:-20], "cannot be read"),
        ("a.jsonl.gz", b"plain", "cannot be read"),
        ("a.parquet", b"plain", "cannot be read"),
        ("a.avro", b"", "expected .jsonl"),
        ("a.parquet.gz", b"", "expected .jsonl"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_place(
    write: Write, name: str, content: bytes, said: str
) -> None:
    path = write(name, content)
    with pytest.raises(InputError) as raised:
        list(read(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)


def test_a_missing_file_and_a_line_without_end_are_errors(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"none\.csv"):
        list(read(tmp_path / "none.csv"))
    monkeypatch.setattr("stream_monitor.sources.files.LINE_BYTES_MAX", 100)
    with pytest.raises(InputError, match="row 1: expected less than 100 bytes"):
        list(read(write("a.jsonl", b"x" * 98 + b"\n" + b"x" * 100)))


def test_parquet_becomes_plain_json(tmp_path: Path) -> None:
    moment = datetime(2025, 11, 23, 2, 40, 0, 123_900, tzinfo=UTC)
    path = parquet(
        tmp_path / "a.parquet",
        **{
            "ts": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "local": pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
            "day": pa.array([date(1970, 1, 2), None]),
            "features": pa.array([{"x": 1.5, "in": {"y": 2}}, {"x": float("nan"), "in": None}]),
            "outputs.p": pa.array([float("inf"), float("-inf")], pa.float32()),
            "outputs.q": pa.array([["a"], []], pa.list_(pa.string())),
            "kind": pa.array(["u", "v"]).dictionary_encode(),
        },
    )
    assert objects(path) == [
        {
            "ts": 1_763_865_600_123,
            "local": 1_763_865_600_123,
            "day": 86_400_000,
            "features": {"x": 1.5, "in": {"y": 2}},
            "outputs": {"p": "Infinity", "q": ["a"]},
            "kind": "u",
        },
        {
            "ts": None,
            "local": 1_763_865_600_123,
            "day": None,
            "features": {"x": None, "in": {"y": None}},
            "outputs": {"p": "-Infinity", "q": []},
            "kind": "v",
        },
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"\xff"], {}),
        ([timedelta(seconds=1)], {}),
        ([[b"x", None]], [{}, None]),
        ([[Decimal("1.5")]], [1.5]),
        (pa.array([b"x"]).dictionary_encode(), {}),
    ],
)
def test_of_what_json_has_no_form_for_parquet_makes_what_a_table_on_kafka_means(
    tmp_path: Path, values: Any, expected: Any
) -> None:
    path = parquet(tmp_path / "a.parquet", **{"features.x": values, "features.y": [1]})
    assert objects(path) == [{"features": {"x": expected, "y": 1}}]


def test_a_map_of_parquet_is_an_object(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.float64())
    features = pa.array([[("x", 1.5), ("y", None)], None, []], kind)
    path = parquet(tmp_path / "a.parquet", features=features)
    assert objects(path) == [{"features": {"x": 1.5, "y": None}}, {"features": None}, {"features": {}}]


def test_parquet_offsets_are_rows_over_all_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    n = 2 * BATCH_ROWS + 300
    pq.write_table(pa.table({"i": list(range(n))}), path, row_group_size=700)
    offsets = [offset for records in read(path) for offset in records.offset.tolist()]
    assert offsets == list(range(n)) == [row["i"] for row in objects(path)]


def test_parquet_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "stream_monitor.sources.parquet", raising=False)
    monkeypatch.delattr("stream_monitor.sources.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"stream-monitor\[parquet\]"):
        list(read(tmp_path / "a.parquet"))


def test_all_formats_decode_to_the_same_events(write: Write, tmp_path: Path) -> None:
    rows = [
        {"model": "m", "ts": 5 + i, "features": {"x": i / 3, "c": "abc"[i]}, "outputs": {"p": i}}
        for i in range(3)
    ]
    names = ("model", "ts", "features.x", "features.c", "outputs.p")
    flat = [(row["model"], row["ts"], *row["features"].values(), row["outputs"]["p"]) for row in rows]  # type: ignore[attr-defined, index]
    paths = [
        write("a.jsonl", b"\n".join(map(orjson.dumps, rows))),
        write("a.csv", "\n".join([",".join(names), *(",".join(map(str, row)) for row in flat)])),
        parquet(tmp_path / "a.parquet", **{name: [row[i] for row in flat] for i, name in enumerate(names)}),
    ]
    codec = JsonCodec(parse_config({"kafka": {}, "predictions": {"topics": ["t"]}}))
    decoded = []
    for path in paths:
        [batch] = [codec.decode(records) for records in read(path)]
        [group] = batch.groups
        columns = group.features | group.outputs
        assert [column.types for column in columns.values()] == [
            JsonType.NUMBER,
            JsonType.STRING,
            JsonType.NUMBER,
        ]
        numbers = [None if column.numbers is None else column.numbers.tolist() for column in columns.values()]
        decoded.append((batch.time.tolist(), group.stream, numbers, list(columns["c"].texts or ())))
    assert decoded[0] == decoded[1] == decoded[2]


# Partitions


def test_one_partition_is_the_file_itself(write: Write) -> None:
    path = write("a.jsonl", b"{}\n\n{}\n")
    [records] = partitioned(read(path, topic="t"))
    assert records.sources == (Source("t", 0),)
    assert records.offset.tolist() == [0, 1]


def test_rows_are_laid_out_by_key_and_offsets_go_on_over_batches(write: Write) -> None:
    events = [{"prediction_id": i % 50 if i % 3 else f"p-{i}"} for i in range(2_500)]
    path = write("a.jsonl", b"\n".join(map(orjson.dumps, events)))
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    order = []
    for records in partitioned(read(path, topic="t"), 3):
        assert records.sources == tuple(Source("t", partition) for partition in range(3))
        order += [orjson.loads(value or b"") for value in records.values]
        for value, partition, offset in zip(records.values, records.source, records.offset, strict=True):
            key = str(orjson.loads(value or b"")["prediction_id"]).encode()
            assert partition == BY_NAME["consistent_random"](key, 0, 3)
            seen[int(partition)].append(int(offset))
    assert order == events
    assert all(offsets == list(range(len(offsets))) for offsets in seen.values())
    assert all(seen.values())


def test_records_without_a_key_are_laid_out_in_turn() -> None:
    for name in PARTITIONERS:
        assert [BY_NAME[name](None, row, 3) for row in range(4)] == [0, 1, 2, 0]
    assert BY_NAME["consistent_random"](b"", 2, 3) == 2
    assert BY_NAME["murmur2_random"](b"", 2, 1_000) == BY_NAME["murmur2_random"](b"", 3, 1_000)


def test_keys_are_found_where_the_id_is_mapped() -> None:
    nested = key_at("$.a.b")
    assert [nested(value) for value in (b'{"a":{"b":"k"}}', b'{"a":{"b":12}}')] == [b"k", b"12"]
    assert [nested(value) for value in (b'{"a":{"b":true}}', b'{"a":1}', b"{", None)] == [None] * 4
    assert key_at(None)(b'{"a":1}') is None
    assert key_at("topic")(b'{"a":1}') is None


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_agrees_with_the_vectors_of_kafkas_own_tests(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_real_producers_put_keys_where_we_say(kafka: Cluster, partitioner: str) -> None:
    topic = kafka.unique("partitioner")
    kafka.create_topic(topic, 7)
    found: dict[bytes, int] = {}

    def delivered(error: Any, message: Message) -> None:
        assert error is None
        found[message.key() or b""] = message.partition() or 0

    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": partitioner})
    keys = [bytes([97 + i % 26]) * (i % 17 + 1) + str(i).encode() for i in range(300)] + ["é".encode() * 3]
    for key in keys:
        producer.produce(topic, key=key, value=b"", on_delivery=delivered)
    assert producer.flush(30) == 0
    assert found == {key: BY_NAME[partitioner](key, 0, 7) for key in keys}

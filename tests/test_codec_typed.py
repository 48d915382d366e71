"""Decoding by learned layouts: always what the general path gives, which is the oracle here."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.typed import MODELS_MAX, NAMES_MAX
from stream_monitor.config import parse_config
from stream_monitor.events import Batch, JsonType
from tests.malformed import CONFIG, KINDS
from tests.test_codec_json import EVENTS, NOW_MS, codec, records, rows_of

FRAGMENTS = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"/", b"0", b"-", b".", b"e", b"E+"),
    *(b"9" * 20, b"9" * 40, b"1e400", b"-0", b"-0.0", b"1e-400", b"0.1", b"2.2250738585072014e-308", b"NaN"),
    *(b"null", b"true", b"false", b'""', b'"2.5"', b"[1]", b"[]", b"{}", b"\xff", b"\xc3", b"\xed\xa0\x80"),
    *(b"\\ud800", b"\\u0061", b"\\ud83d\\ude00", b"\x00", b"\x1f", b"\x7f", b"\xef\xbb\xbf", b"1],[2"),
]
MEMBERS = [
    *(b'"a":1,', b'"b":null,', b'"c":"q",', b'"s":2,', b'"\\u0061":3,', b'"unknown":{"x":["\\n"]},'),
    *(b'"model":"n",', b'"mode\\u006c":"n",', b'"ts":5,', b'"role":"shadow",', b'"prediction_id":7,'),
    b'"features":{"a":1,"b":2,"c":"x","d e":true},',
]
TOKEN = re.compile(rb'"[^"]*"|-?[0-9][0-9.eE+-]*|true|null')
NAME = re.compile(rb'"[^"]*"\s*:')


def regular(i: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"prediction_id": f"p-{i}", "model": "mn"[i % 2], "model_version": "3"}
    fields["ts"] = NOW_MS + i
    fields["features"] = {"a": i / 7, "b": [1, 2.5, None][i % 3], "c": ["x", "é", "12"][i % 3], "d e": True}
    return fields | {"outputs": {"s": i / 3, "p": [0.1, i]}, "note": {"x": [1, {"y": "é\n"}]}, "big": 1.5e300}


REGULAR = [json.dumps(regular(i), ensure_ascii=i % 2 == 0).encode() for i in range(120)]


def taught(labels: bool = False) -> JsonCodec:
    """A codec that knows the layouts of REGULAR."""
    learned = codec(labels=labels)
    learned.decode(records(REGULAR))
    return learned


def untaught(labels: bool = False) -> JsonCodec:
    general = codec(labels=labels)
    general._typed = None
    return general


TAUGHT = {labels: taught(labels) for labels in (False, True)}
GENERAL = {labels: untaught(labels) for labels in (False, True)}


def told(batch: Batch) -> tuple[Any, ...]:
    rejects = [(one.record, one.row, one.reason, one.detail, one.source) for one in batch.rejects]
    return rows_of(batch), rejects, batch.skipped, batch.ids is None


def fitting(learned: JsonCodec, values: list[bytes]) -> int:
    assert learned._typed is not None
    return sum(event is not None for event in learned._typed.decode(values))


def changed(value: bytes, choose: random.Random) -> bytes:
    """Change a value in one place: bytes, a token, or a member more."""
    kind = choose.choice(("cut", "insert", "byte", "token", "member", "member"))
    at = choose.randrange(len(value))
    if kind == "cut":
        return value[:at] + value[at + choose.choice((1, 2, 5, 30)) :]
    if kind == "insert":
        return value[:at] + choose.choice(FRAGMENTS) + value[at:]
    if kind == "byte":
        return value[:at] + bytes([choose.randrange(256)]) + value[at + 1 :]
    spans = [match.span() for match in (TOKEN if kind == "token" else NAME).finditer(value)]
    start, end = choose.choice(spans or [(0, 0)])
    if kind == "token":
        return value[:start] + choose.choice(FRAGMENTS) + value[end:]
    return value[:start] + choose.choice(MEMBERS) + value[start:]


def test_regular_events_fit_what_was_learned() -> None:
    """Without this the other tests would compare the general path with itself."""
    assert fitting(TAUGHT[False], REGULAR) == len(REGULAR)
    assert fitting(codec(), REGULAR) == 0


@settings(max_examples=200)
@given(st.integers(0), st.booleans())
def test_changed_events_give_what_the_general_path_gives(seed: int, labels: bool) -> None:
    choose = random.Random(seed)
    values = [changed(choose.choice(REGULAR), choose) for _ in range(40)]
    values[::4] = [changed(value, choose) for value in values[::4]]
    values[::5] = REGULAR[: len(values[::5])]
    assert told(TAUGHT[labels].decode(records(values))) == told(GENERAL[labels].decode(records(values)))


@settings(max_examples=60)
@given(st.lists(st.lists(EVENTS, min_size=1, max_size=3), min_size=1, max_size=6))
def test_what_was_learned_before_changes_nothing(batches: list[list[dict[str, Any]]]) -> None:
    learning, general = codec(), untaught()
    for events in batches:
        values = [json.dumps(one).encode() for one in events * 10]
        assert told(learning.decode(records(values))) == told(general.decode(records(values)))


def test_malformed_events_among_events_of_a_known_layout_land_where_the_general_path_puts_them() -> None:
    taught, general = (JsonCodec(parse_config(CONFIG)) for _ in range(2))
    general._typed = None
    good = [json.dumps(regular(i) | {"model": "odd"}).encode() for i in range(64)]
    taught.decode(records(good))
    assert fitting(taught, good) == len(good)
    values = [value for kind in KINDS for value in (kind.make(3, NOW_MS), good[0])]
    of_kinds = records(values, timestamp=NOW_MS)
    assert told(taught.decode(of_kinds)) == told(general.decode(of_kinds))


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "topic"},
        {"model": "=m", "version": None, "role": None, "id": None},
        {"time": "kafka", "id": "key"},
        {"features": "$.outputs", "outputs": "$.features"},
    ],
)
def test_other_field_mappings_learn_too(fields: dict[str, Any]) -> None:
    learning, general = codec(fields=fields), codec(fields=fields)
    general._typed = None
    batch = records(REGULAR, timestamp=NOW_MS, keys=[b"k"] * len(REGULAR))
    for _ in range(3):
        assert told(learning.decode(batch)) == told(general.decode(batch))
    expected = len(REGULAR) if "features" not in fields else 0
    assert fitting(learning, REGULAR) == expected


def test_a_layout_widens_when_events_change() -> None:
    learning = codec()
    for features in ({"x": 1.5}, {"x": None}, {}, {"x": "a", "y": False}):
        values = [json.dumps(regular(i) | {"model": "m", "features": features}).encode() for i in range(64)]
        for _ in range(8):
            learning.decode(records(values))
        assert fitting(learning, values) == len(values)
    [group] = learning.decode(records([values[0], json.dumps(regular(0) | {"features": {}}).encode()])).groups
    assert {name: list(column.types) for name, column in group.features.items()} == {  # type: ignore[arg-type]
        "x": [JsonType.STRING, JsonType.ABSENT],
        "y": [JsonType.BOOL, JsonType.ABSENT],
    }


@pytest.mark.parametrize("taught", [[{"p": [1.0], "p.0": 5.0}], [{"p": [1.0]}, {"p.0": 5.0}]])
def test_of_outputs_with_one_name_the_last_counts_whatever_was_learned(taught: list[dict[str, Any]]) -> None:
    learning, general = codec(), untaught()
    values = [json.dumps(regular(i) | {"outputs": one}).encode() for i in range(64) for one in taught]
    learning.decode(records(values))
    turned = json.dumps(regular(0) | {"outputs": {"p.0": 5.0, "p": [1.0]}}).encode()
    assert told(learning.decode(records([turned]))) == told(general.decode(records([turned])))


def test_signals_that_no_event_of_a_batch_has_are_no_columns() -> None:
    learning = codec()
    some = [
        json.dumps(regular(i) | {"model": "m", "features": {"x": 1} if i % 2 else {}}).encode()
        for i in range(64)
    ]
    learning.decode(records(some))
    assert fitting(learning, some) == len(some)
    [group] = learning.decode(records(some[::2])).groups
    assert group.features == {}


def test_what_is_learned_is_bounded() -> None:
    learning = codec()
    wide = json.dumps(regular(0) | {"features": {f"x{i}": 1 for i in range(NAMES_MAX + 1)}}).encode()
    learning.decode(records([wide] * 64))
    assert fitting(learning, [wide]) == 0
    values = [json.dumps(regular(0) | {"model": f"m{i}"}).encode() for i in range(MODELS_MAX + 40)]
    learning.decode(records([value for value in values for _ in range(8)]))
    assert fitting(learning, values) <= MODELS_MAX


def test_rejected_events_teach_nothing() -> None:
    learning = codec(unknown_models="reject")
    learning.decode(records(REGULAR))
    assert fitting(learning, REGULAR) == 0


@pytest.mark.parametrize("known", ["m", "a"])
def test_an_event_without_a_model_is_not_of_the_only_one_that_is_known(known: str) -> None:
    learning = codec()
    learning.decode(records([json.dumps(regular(i) | {"model": known}).encode() for i in range(64)]))
    nameless = {name: value for name, value in regular(0).items() if name != "model"}
    for one in (nameless, regular(0) | {"model": "a"}, regular(0) | {"model": "b"}):
        value = json.dumps(one).encode()
        assert told(learning.decode(records([value]))) == told(untaught().decode(records([value])))

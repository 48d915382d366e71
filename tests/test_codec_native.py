"""Decoding by the compiled kernel: always what the general path gives, which is the oracle here."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.native import installed
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import parse_config
from stream_monitor.events import JsonType
from stream_monitor.summary import vocabulary
from tests.malformed import CONFIG, KINDS
from tests.test_codec_json import EVENTS, NOW_MS, records
from tests.test_codec_typed import changed, regular, told

if installed() is None:
    pytest.skip("the kernel is not installed: pip install ./native", allow_module_level=True)

LABELS: dict[str, Any] = {
    "labels": {"topics": ["labels"]},
    "models": {"*": {"quality": {"s": {"task": "regression"}}}},
}
SOME = Wanted(features=["c", "b"], outputs=["s"])
MODELS = ("m", "n", "wide")


def config_of(**more: Any) -> dict[str, Any]:
    return {"predictions": {"topics": ["predictions"], "fields": more.pop("fields", {})}, **more}


def event(i: int) -> dict[str, Any]:
    """As regular(i), with scalars alone, of one model with everything in it that is out of the ordinary."""
    model = MODELS[i % 3]
    one = regular(i) | {"model": model, "outputs": {"s": i / 3, "class": ["stay", "go"][i % 2]}}
    if model == "wide":
        one["features"] |= {
            f"x{j}": [j, -0.0, 1e-300 * i, None, "t", "-1.5e3", True][(i // 3 + j) % 7] for j in range(9)
        }
    return one


REGULAR = [json.dumps(event(i), ensure_ascii=i % 2 == 0).encode() for i in range(240)]


def codecs(wanted: Wanted | None = None, **more: Any) -> tuple[JsonCodec, JsonCodec, JsonCodec]:
    """One with the kernel and one without that were taught REGULAR, and one that goes the general path."""
    config = parse_config(config_of(**more))
    native, typed = JsonCodec(config, wanted), JsonCodec(config, wanted, native=False)
    general = JsonCodec(config, wanted, native=False)
    general._typed = None
    for _ in range(4):
        native.decode(records(REGULAR))
        typed.decode(records(REGULAR))
    return native, typed, general


ALL, JOINED, OF_SOME = codecs(), codecs(**LABELS), codecs(wanted=SOME)


def fitting(codec: JsonCodec, values: list[bytes]) -> int:
    """How many of them the kernel reads."""
    assert codec._native is not None
    part, others = codec._native.decode(values, codec._vocabulary)
    assert len(part.record) + len(others) == len(values)
    return len(part.record)


def agree(codecs: tuple[JsonCodec, ...], values: list[bytes | None], **more: Any) -> None:
    expected = told(codecs[-1].decode(records(values, **more)))
    for codec in codecs[:-1]:
        assert told(codec.decode(records(values, **more))) == expected


@pytest.mark.parametrize("codecs", [ALL, JOINED, OF_SOME])
def test_regular_events_are_read_by_the_kernel(codecs: tuple[JsonCodec, ...]) -> None:
    """Without this the other tests would compare the other paths with each other."""
    assert fitting(codecs[0], REGULAR) == len(REGULAR)
    agree(codecs, [*REGULAR, None])
    general = JsonCodec(parse_config(config_of()), native=False)
    assert general._native is None


@settings(max_examples=200)
@given(st.integers(0), st.sampled_from([ALL, JOINED, OF_SOME]))
def test_changed_events_give_what_the_general_path_gives(seed: int, codecs: tuple[JsonCodec, ...]) -> None:
    choose = random.Random(seed)
    values = [changed(choose.choice(REGULAR), choose) for _ in range(40)]
    values[::4] = [changed(value, choose) for value in values[::4]]
    values[::5] = REGULAR[: len(values[::5])]
    agree(codecs, [*values])


@settings(max_examples=60)
@given(st.lists(st.lists(EVENTS, min_size=1, max_size=3), min_size=1, max_size=6))
def test_what_was_learned_before_changes_nothing(batches: list[list[dict[str, Any]]]) -> None:
    config = parse_config(config_of())
    learning, general = JsonCodec(config), JsonCodec(config, native=False)
    general._typed = None
    for events in batches:
        agree((learning, general), [json.dumps(one).encode() for one in events * 10])


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**70), 2**70),
            st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_numbers_are_those_of_orjson_to_the_last_bit(numbers: list[float | int | str]) -> None:
    values = [
        json.dumps(event(0) | {"features": {"a": "?"}}).encode().replace(b'"?"', str(one).encode())
        for one in numbers
    ]
    native, _, general = ALL
    given, expected = native.decode(records([*values])), general.decode(records([*values]))
    assert told(given) == told(expected)
    for value in values:
        [mine], [other] = native.decode(records([value])).groups, general.decode(records([value])).groups
        one, another = mine.features["a"].numbers, other.features["a"].numbers
        assert isinstance(one, np.ndarray)
        assert isinstance(another, np.ndarray)
        assert one.tobytes() == another.tobytes()


@settings(max_examples=150)
@given(st.lists(st.text(), min_size=1, max_size=12), st.booleans())
def test_texts_are_those_of_the_general_path_however_they_are_escaped(
    texts: list[str], ascii_only: bool
) -> None:
    texts = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
    values = [
        json.dumps(
            regular(i)
            | {
                "model": "m",
                "model_version": text,
                "prediction_id": text,
                "role": None,
                "outputs": {"s": text},
            }
            | {"features": {"c": text}, text: {text: text}},
            ensure_ascii=ascii_only,
        ).encode()
        for i, text in enumerate(texts)
    ]
    agree(ALL, [*values])
    agree(JOINED, [*values])


@pytest.mark.parametrize(
    "inserted",
    [
        *(
            b'"\\u0061"',
            b'"\\ud800"',
            b'"\\ud83d\\ude00"',
            b'"\\ud83d\\u0041"',
            b'"\\udc00"',
            b'"\\x"',
            b'"\\u00g0"',
        ),
        *(
            b'"\\',
            b'"\\"',
            b'"\x1f"',
            b'"\x7f"',
            b'"\xff"',
            b'"\xc3\xa9"',
            b'"\\/\\b\\f\\n\\r\\t\\"\\\\"',
            b'"ab\\u00e9cd"',
        ),
        *(
            b"-",
            b"01",
            b"-01",
            b"1.",
            b".5",
            b"1e",
            b"1e+",
            b"+1",
            b"1.5E+3",
            b"-0",
            b"-0.0",
            b"0.0",
            b"1e400",
            b"-1e400",
        ),
        *(
            b"9007199254740993",
            b"9223372036854775808",
            b"18446744073709551616",
            b"123456789012345678901234567890",
        ),
        *(
            b"0.1e-400",
            b"4.9e-324",
            b"2.4703282292062327e-324",
            b"1.7976931348623159e308",
            b"0." + b"1" * 400,
        ),
        *(b"NaN", b"Infinity", b"nul", b"truee", b"[1]", b"{}", b"[" * 200 + b"]" * 200, b'{"a":{"b":[]}}'),
        *(b"", b" 1 ", b"\t1\n", b"1,", b"1}", b'"2.5"', b'" 2.5"', b'"NaN"', b"\xef\xbb\xbf1"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        b'"a": 1',
        b'"s": 1',
        b'"ts": 1',
        b'"prediction_id": 1',
        b'"model_version": 1',
        b'"role": 1',
        b'"model": 1',
        b'"note": 1',
    ],
)
def test_odd_values_in_any_place_land_where_the_general_path_puts_them(place: bytes, inserted: bytes) -> None:
    plain = b'{"prediction_id": 1, "model": 1, "model_version": 1, "role": 1, "ts": 1, '
    plain += b'"features": {"a": 1, "d": 1}, "outputs": {"s": 1, "q": 1}, "note": 1}'
    assert fitting(ODD[0], PLAINLY_ODD) == len(PLAINLY_ODD)
    filled = plain.replace(place, place[:-1] + inserted)
    usual = {b'"model": 1': b'"model": "odd"', b'"role": 1': b'"role": "live"'}
    for before, after in usual.items():
        filled = filled.replace(before, after)
    agree(
        ODD,
        [
            filled,
            filled.replace(b'"model": "odd", ', b"")[:-1] + b', "model": "odd"}',
            filled + b" ",
            filled + b",",
        ],
    )


_MEMBERS = {"model": "odd", "features": {"a": 1, "d": 1}, "outputs": {"s": 1, "q": 1}, "note": 1}
PLAINLY_ODD = [json.dumps(regular(i) | _MEMBERS).encode() for i in range(64)]


def taught_odd() -> tuple[JsonCodec, JsonCodec]:
    config = parse_config(config_of(**LABELS))
    native, general = JsonCodec(config), JsonCodec(config, native=False)
    general._typed = None
    native.decode(records(PLAINLY_ODD))
    return native, general


ODD = taught_odd()


def test_malformed_events_among_events_of_a_known_layout_land_where_the_general_path_puts_them() -> None:
    config = parse_config(CONFIG)
    native, general = JsonCodec(config), JsonCodec(config, native=False)
    general._typed = None
    good = [json.dumps(event(i) | {"model": "odd"}).encode() for i in range(64)]
    native.decode(records(good))
    assert fitting(native, good) == len(good)
    values = [value for kind in KINDS for value in (kind.make(3, NOW_MS), good[0])]
    agree((native, general), values, timestamp=NOW_MS)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "topic"},
        {"model": "=m", "version": None, "role": None, "id": None},
        {"time": "kafka", "id": "key"},
        {"version": "$.note.v"},
        {"features": "$.outputs", "outputs": "$.features"},
    ],
)
def test_other_field_mappings_are_read_too(fields: dict[str, Any]) -> None:
    native, typed, general = codecs(fields=fields)
    more = {"timestamp": NOW_MS, "keys": [b"k"] * len(REGULAR)}
    agree((native, typed, general), [*REGULAR], **more)
    if "features" not in fields and "version" not in fields:
        assert native._native is not None
        assert fitting(native, REGULAR) == len(REGULAR)


def test_the_order_of_members_and_white_space_change_nothing() -> None:
    one = event(2)
    orders = [dict(reversed(one.items())), one | {"features": dict(reversed(one["features"].items()))}]
    values = [json.dumps(each, indent=indent).encode() for each in orders for indent in (None, 0, 3)]
    values += [json.dumps(each, separators=(",", ":")).encode() for each in orders]
    assert fitting(ALL[0], values) == len(values)
    agree(ALL, [*values])


def test_of_two_values_of_one_name_the_last_counts() -> None:
    twice = [
        b'"a": %b, "a": %b' % pair for pair in itertools.product([b"1.5", b'"x"', b'"12"', b"null"], repeat=2)
    ]
    plain = json.dumps(event(0) | {"features": {"a": 7}}).encode()
    values = [plain.replace(b'"a": 7', members) for members in twice]
    agree(ALL, [*values])


def test_times_in_words_are_read_beside_others() -> None:
    times = ["2025-11-23T02:40:00.123Z", NOW_MS, "1763865600124", "no time", "2025-11-23T02:40:00+01:00"]
    values = [json.dumps(event(0) | {"ts": time}).encode() for time in times]
    assert fitting(ALL[0], values) == len(values)
    agree(ALL, [*values])


def test_streams_and_late_comers_of_one_batch_are_told_apart() -> None:
    values = []
    for i in range(60):
        one: dict[str, Any] = event(i) | {"model_version": [3, "3", None, "é"][i % 4]}
        one |= {"role": ["live", "shadow", None, "none"][i // 4 % 4]}
        values.append(json.dumps(one).encode())
    values[7::9] = [b"[%b,%b]" % (value, value) for value in values[7::9]]
    agree(ALL, [*values])
    agree(JOINED, [*values])


def test_ids_are_strings_only_where_they_are_asked_for() -> None:
    ids: list[Any] = ["a", "é" * 200, "x" * 201, "", None, 7, -7, 2**63, True, "\n"]
    values = [json.dumps(event(0) | {"prediction_id": one}).encode() for one in ids]
    agree(ALL, [*values])
    agree(JOINED, [*values])
    good = ALL[0].decode(records([*values[:1], values[5]]))
    assert good.ids is not None
    assert (len(good.ids), list(good.ids), good.ids[1]) == (2, ["a", "7"], "7")


def test_signals_may_be_missing_or_of_another_type_than_was_learned() -> None:
    shapes: list[dict[str, Any]] = [{}, {"a": None}, {"a": "x"}, {"b": True, "c": 1}, {"c": "12", "d e": 2.5}]
    values = [json.dumps(event(0) | {"features": shape}).encode() for shape in shapes]
    assert fitting(ALL[0], values) == len(values)
    agree(ALL, [*values])
    [group] = ALL[0].decode(records(values[:2])).groups
    assert {name: list(column.types) for name, column in group.features.items()} == {  # type: ignore[arg-type]
        "a": [JsonType.ABSENT, JsonType.NULL]
    }


def test_names_that_nobody_wants_are_passed_over_and_wanted_ones_are_not() -> None:
    new = [event(0) | {"features": {"c": "x", "new": [{}]}, "outputs": {"s": 1, "t": {"u": 1}}}]
    values = [json.dumps(one).encode() for one in new]
    assert fitting(OF_SOME[0], values) == len(values)
    agree((OF_SOME[0], OF_SOME[2]), [*values])
    learned = JsonCodec(parse_config(config_of()), SOME)
    without = [
        json.dumps(event(i) | {"features": {"c": "x"}, "outputs": {}}).encode() for i in range(0, 96, 3)
    ]
    learned.decode(records(without))
    assert fitting(learned, without) == len(without)
    assert fitting(learned, REGULAR[::3]) == 0


def test_a_new_vocabulary_gives_new_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "TEXTS_MAX", 8)
    native, typed, general = codecs()
    for first in range(0, len(REGULAR), 30):
        several = [value.replace(b'"stay"', b'"stay %d"' % first) for value in REGULAR[first : first + 30]]
        agree((native, typed, general), [*several])


def test_columns_keep_nothing_of_the_batch_before() -> None:
    for values in (REGULAR, REGULAR[:3], [REGULAR[2][:-9]], REGULAR[2:3], REGULAR * 20, REGULAR[5:6]):
        agree(ALL, [*values])


@pytest.mark.parametrize("length", [*range(5, 10), *range(12, 19), 40])
@pytest.mark.parametrize("colon", [b":", b": ", b" :", b"\n: "])
def test_names_texts_and_numbers_are_told_apart_by_their_last_byte(length: int, colon: bytes) -> None:
    """They are compared and read some bytes at a time, in the middle of an event and at its end."""
    names = ["n" * length + last for last in "ab"]
    values = []
    for i in range(32):
        text, digits = "t" * length + "xy"[i % 2], "123456789" * 5
        number = float(digits[:length] + str(i % 10)) / 10 ** (i % 4)
        features: dict[str, Any] = {names[0]: text, names[1]: -number}
        one = {"ts": NOW_MS, "model": "m", "outputs": {"s": number}, "features": features}
        values.append(json.dumps(one if i % 2 else dict(reversed(one.items()))).encode().replace(b":", colon))
    native, general = JsonCodec(parse_config(config_of())), JsonCodec(parse_config(config_of()), native=False)
    general._typed = None
    native.decode(records(values))
    assert fitting(native, values) == len(values)
    agree((native, general), [*values])
    other = [value.replace(names[1].encode(), names[1][:-1].encode() + b"c") for value in values]
    agree((native, general), [*other])

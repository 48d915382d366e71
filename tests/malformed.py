"""The table of malformed events: what each kind is, where it must land, and why.

It was written before the codec. Every kind is told by bytes on the wire, the place where it lands (of
``Place``), the reason for a rejection, and for an accepted event what its odd signals are counted as.
It holds for ``CONFIG``. Accepted events belong to the model ``odd``, so that the statistics of every
other model must equal those of a run without them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from stream_monitor.codecs.reasons import Reason
from stream_monitor.events import JsonType

MODEL = "odd"

CONFIG: dict[str, Any] = {
    "kafka": {"bootstrap.servers": "localhost:9092"},
    "predictions": {"topics": ["predictions"], "unknown_models": "reject"},
    "labels": {"topics": ["labels"]},
    "models": {
        "good*": {},
        MODEL: {
            "features": {
                "n": {"type": "number", "range": [0, 100]},
                "c": {"type": "category", "values": ["web", "app"]},
            },
            "quality": {"score": {"task": "regression"}},
        },
    },
}
"""The configuration that the table is about. Its topics may be renamed; everything else is assumed."""

DAY_MS = 86_400_000
BROKER_LIMIT_BYTES = 1_048_588
"""Kafka's default max.message.bytes. It bounds a record batch: 61 bytes, and about 20 for the record."""
LARGEST_VALUE_BYTES = BROKER_LIMIT_BYTES - 140
"""What fits with a key of up to 48 bytes."""


class Place(Enum):
    """Where a record of the table ends up."""

    REJECTED = "rejected"
    """On drift.rejects, with ``Kind.reason``."""
    ACCEPTED = "accepted"
    """In the statistics of its model, counted as ``Kind.features`` and ``Kind.outputs`` say."""
    LATE = "late"
    """Accepted, and counted as late where its partition has seen a later event."""
    SKIPPED = "skipped"
    """Counted, and nothing else."""


class Seen(NamedTuple):
    """A signal as it is counted: its JSON type, and what is said of the value (None: nothing).

    ``judgement`` is one of nan, inf, wrong_type, out_of_range.
    """

    type: JsonType
    judgement: str | None = None


Make = Callable[[int, int], bytes | None]


@dataclass(frozen=True)
class Kind:
    """One row of the table. ``make(seed, time_ms)`` gives the value of the record.

    ``time_ms`` is a usable event time near the record's Kafka timestamp. ``features`` and ``outputs``
    name the signals that the kind is about; the others are those of a good event. ``rows`` is how many
    rows the record counts as in its place.
    """

    name: str
    make: Make
    place: Place
    why: str
    reason: Reason | None = None
    features: dict[str, Seen] = field(default_factory=dict)
    outputs: dict[str, Seen] = field(default_factory=dict)
    rows: int = 1


ABSENT = Seen(JsonType.ABSENT)
GOOD_FEATURES: dict[str, Any] = {"n": 1.5, "c": "web"}
REMOVE = object()


def event(seed: int, time_ms: int, **fields: Any) -> dict[str, Any]:
    """A good event of the model ``odd``, with some fields replaced (REMOVE: left out)."""
    good = {
        "prediction_id": f"odd-{seed}",
        "model": MODEL,
        "model_version": "1",
        "ts": time_ms,
        "features": GOOD_FEATURES,
        "outputs": {"score": 0.5},
    }
    return {name: value for name, value in (good | fields).items() if value is not REMOVE}


def text(seed: int, time_ms: int, **fields: Any) -> str:
    return json.dumps(event(seed, time_ms, **fields))


def _with(**fields: Any) -> Make:
    return lambda seed, time_ms: text(seed, time_ms, **fields).encode()


def _raw(field_name: str, literal: str) -> Make:
    """A good event whose field holds this literal, which json.dumps may not be able to write."""
    return lambda seed, time_ms: (
        text(seed, time_ms, **{field_name: "@@"}).replace('"@@"', literal).encode("utf-8", "surrogatepass")
    )


def _feature(name: str, literal: str) -> Make:
    rest = json.dumps({key: value for key, value in GOOD_FEATURES.items() if key != name})
    return _raw("features", f'{{"{name}": {literal}, {rest[1:]}')


def _bytes(value: bytes | None) -> Make:
    return lambda _seed, _time_ms: value


def _time(write: Callable[[int], Any]) -> Make:
    return lambda seed, time_ms: text(seed, time_ms, ts=write(time_ms)).encode()


def _rejected(name: str, reason: Reason, make: Make, why: str, rows: int = 1) -> Kind:
    return Kind(name, make, Place.REJECTED, why, reason, rows=rows)


def _accepted(
    name: str, make: Make, why: str, outputs: dict[str, Seen] | None = None, **features: Seen
) -> Kind:
    return Kind(name, make, Place.ACCEPTED, why, features=features, outputs=outputs or {})


def _rfc3339(time_ms: int, zone: str = "Z") -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + zone


def _filled(seed: int, time_ms: int) -> bytes:
    """A good event grown by one string feature to the largest value that the broker takes."""
    empty = text(seed, time_ms, features={**GOOD_FEATURES, "s": ""})
    room = LARGEST_VALUE_BYTES - len(empty.encode())
    return text(seed, time_ms, features={**GOOD_FEATURES, "s": "x" * room}).encode()


_TYPE = JsonType
_WIDE = {f"f{i}": i for i in range(10_000)}
_LONG_NAME = "n" * 1_000_000
SHORTENED_LONG_NAME_LENGTH = 200

UNPARSABLE = [
    _rejected("empty", Reason.NOT_JSON, _bytes(b""), "no bytes are not a tombstone"),
    _rejected("blank", Reason.NOT_JSON, _bytes(b"  \n"), "white space alone is no document"),
    _rejected("text", Reason.NOT_JSON, _bytes(b"hello"), "a bare word"),
    _rejected("truncated", Reason.NOT_JSON, lambda s, t: text(s, t).encode()[:-7], "cut off by its producer"),
    _rejected(
        "trailing", Reason.NOT_JSON, lambda s, t: text(s, t).encode() + b"}", "bytes after the document"
    ),
    _rejected(
        "two_documents",
        Reason.NOT_JSON,
        lambda s, t: (text(s, t) + "\n" + text(s, t)).encode(),
        "several events are an array; lines are for files",
    ),
    _rejected(
        "splice",
        Reason.NOT_JSON,
        lambda s, t: (text(s, t) + "],[" + text(s, t)).encode(),
        "must not leave its record",
    ),
    _rejected(
        "splice_comma",
        Reason.NOT_JSON,
        lambda s, t: (text(s, t) + "," + text(s, t)).encode(),
        "nor make a second row",
    ),
    _rejected(
        "invalid_utf8",
        Reason.NOT_JSON,
        lambda s, t: text(s, t, note="@@").encode().replace(b"@@", b"\xff\xfe"),
        "JSON is UTF-8, in fields that nobody reads too",
    ),
    _rejected("utf8_surrogate", Reason.NOT_JSON, _feature("c", '"\ud800"'), "a surrogate has no UTF-8 form"),
    _rejected(
        "lone_surrogate", Reason.NOT_JSON, _feature("c", '"\\ud800"'), "an escape that is no character"
    ),
    _rejected("utf16", Reason.NOT_JSON, lambda s, t: text(s, t).encode("utf-16"), "the wrong encoding"),
    _rejected(
        "byte_order_mark",
        Reason.NOT_JSON,
        lambda s, t: b"\xef\xbb\xbf" + text(s, t).encode(),
        "RFC 8259: not in JSON",
    ),
    _rejected(
        "two_byte_order_marks",
        Reason.NOT_JSON,
        lambda s, t: b"\xef\xbb\xbf" * 2 + text(s, t).encode(),
        "nor two",
    ),
    _rejected(
        "control_in_string", Reason.NOT_JSON, _feature("c", '"\x01"'), "control characters must be escaped"
    ),
    _rejected("single_quotes", Reason.NOT_JSON, lambda s, t: str(event(s, t)).encode(), "a Python repr"),
    _rejected(
        "deep_unread",
        Reason.NOT_JSON,
        _raw("note", "[" * 100_000 + "]" * 100_000),
        "deeper than the parser goes",
    ),
    _rejected("deep_open", Reason.NOT_JSON, _bytes(b"[" * 1_000_000), "a million opened arrays"),
    _rejected(
        "binary_at_limit",
        Reason.NOT_JSON,
        _bytes(b"\x00" * LARGEST_VALUE_BYTES),
        "the largest record, no JSON",
    ),
    _rejected(
        "avro_like", Reason.NOT_JSON, _bytes(b"\x00\x00\x00\x00\x07\x06odd\x02"), "another wire format"
    ),
]

NOT_EVENTS = [
    Kind("tombstone", _bytes(None), Place.SKIPPED, "a deletion in a compacted topic is not an event"),
    Kind("no_events", _bytes(b"[]"), Place.SKIPPED, "an array of no events"),
    _rejected("null", Reason.NOT_OBJECT, _bytes(b"null"), "JSON null is no tombstone"),
    _rejected("number", Reason.NOT_OBJECT, _bytes(b"42"), "a bare number"),
    _rejected("string", Reason.NOT_OBJECT, _bytes(b'"event"'), "a bare string"),
    _rejected("bool", Reason.NOT_OBJECT, _bytes(b"true"), "a bare truth value"),
    _rejected(
        "array_of_scalars",
        Reason.NOT_OBJECT,
        _bytes(b"[1, null, []]"),
        "each row of an array is judged alone",
        rows=3,
    ),
    _rejected(
        "too_many_rows",
        Reason.TOO_MANY_ROWS,
        _bytes(b"[" + b"{}," * 10_000 + b"{}]"),
        "10,000 events a record at most",
    ),
]

IDENTITY = [
    _rejected("no_model", Reason.NO_MODEL, _with(model=REMOVE), "cannot be attributed"),
    _rejected("null_model", Reason.NO_MODEL, _with(model=None), "null is missing"),
    _rejected("empty_model", Reason.NO_MODEL, _with(model=""), "an empty name names nothing"),
    _rejected(
        "model_object", Reason.BAD_MODEL, _with(model={"name": MODEL}), "a name is a string or an integer"
    ),
    _rejected("model_bool", Reason.BAD_MODEL, _with(model=True), "true is not the integer 1"),
    _rejected("model_float", Reason.BAD_MODEL, _with(model=1.5), "one number has many spellings"),
    _rejected(
        "long_model",
        Reason.BAD_MODEL,
        _with(model="m" * 201),
        "200 characters at most: it is a label and a key",
    ),
    _rejected("huge_model", Reason.BAD_MODEL, _with(model="m" * 1_000_000), "1 MB of name"),
    _rejected(
        "control_in_model", Reason.BAD_MODEL, _with(model="odd\n"), "control characters spoil logs and labels"
    ),
    _rejected(
        "unknown_model", Reason.UNKNOWN_MODEL, _with(model="nobody"), "unknown models are rejected here"
    ),
    _rejected("model_number", Reason.UNKNOWN_MODEL, _with(model=7), "an integer is a name, but nobody's"),
    _rejected("version_float", Reason.BAD_VERSION, _with(model_version=1.10), "1.10 and 1.1 are one number"),
    _rejected(
        "version_array", Reason.BAD_VERSION, _with(model_version=["1"]), "a version is a string or an integer"
    ),
    _rejected("long_version", Reason.BAD_VERSION, _with(model_version="v" * 201), "200 characters at most"),
    _accepted("version_int", _with(model_version=1), "an integer is its text: stream (odd, 1)"),
    _accepted("no_version", _with(model_version=REMOVE), "one without a version is the empty version"),
    _rejected(
        "role_unknown", Reason.BAD_ROLE, _with(role="canary"), "live or shadow: it decides who is paged"
    ),
    _rejected("role_number", Reason.BAD_ROLE, _with(role=1), "live or shadow"),
    _accepted("role_null", _with(role=None), "null is missing is live"),
    _rejected("no_id", Reason.NO_ID, _with(prediction_id=REMOVE), "labels are joined by it"),
    _rejected("null_id", Reason.NO_ID, _with(prediction_id=None), "null is missing"),
    _rejected("empty_id", Reason.NO_ID, _with(prediction_id=""), "an empty id would join with every other"),
    _rejected("id_object", Reason.BAD_ID, _with(prediction_id={"id": 1}), "an id is a string or an integer"),
    _rejected("id_float", Reason.BAD_ID, _with(prediction_id=12.0), "one number has many spellings"),
    _rejected("id_bool", Reason.BAD_ID, _with(prediction_id=False), "false is not the integer 0"),
    _rejected(
        "id_40_digits", Reason.BAD_ID, _raw("prediction_id", "9" * 40), "beyond 64 bits a number is not exact"
    ),
    _rejected("huge_id", Reason.BAD_ID, _with(prediction_id="i" * 1_000_000), "200 characters at most"),
    _accepted("id_int", lambda s, t: text(s, t, prediction_id=s).encode(), "an integer is its text"),
]

TIMES = [
    _rejected("no_time", Reason.NO_TIME, _with(ts=REMOVE), "belongs to no slice"),
    _rejected("null_time", Reason.NO_TIME, _with(ts=None), "null is missing"),
    _rejected("time_bool", Reason.BAD_TIME, _with(ts=True), "true is not the first millisecond"),
    _rejected("time_array", Reason.BAD_TIME, _with(ts=[2025, 11, 23]), "milliseconds or RFC 3339"),
    _rejected("time_text", Reason.BAD_TIME, _with(ts="yesterday"), "milliseconds or RFC 3339"),
    _rejected("time_no_zone", Reason.BAD_TIME, _with(ts="2025-11-23T02:40:00"), "local times are ambiguous"),
    _rejected("time_date", Reason.BAD_TIME, _with(ts="2025-11-23"), "a day is not a moment"),
    _rejected("time_month_13", Reason.BAD_TIME, _with(ts="2025-13-23T02:40:00Z"), "no such month"),
    _rejected(
        "time_second_60", Reason.BAD_TIME, _with(ts="2025-11-23T02:40:60Z"), "no leap second in mid-day"
    ),
    _rejected(
        "time_fraction",
        Reason.BAD_TIME,
        _time(lambda t: t / 1000 + 0.25),
        "seconds, by mistake: 1970 otherwise",
    ),
    _rejected("time_negative", Reason.BAD_TIME, _with(ts=-1), "before 1970"),
    _rejected("time_nan", Reason.BAD_TIME, _raw("ts", "NaN"), "not a moment"),
    _rejected("time_inf", Reason.BAD_TIME, _raw("ts", "1e400"), "not a moment"),
    _rejected("time_40_digits", Reason.BAD_TIME, _raw("ts", "9" * 40), "beyond 2248"),
    _rejected(
        "time_micros", Reason.BAD_TIME, _time(lambda t: t * 1000), "microseconds, by mistake: beyond 2248"
    ),
    _rejected(
        "far_future", Reason.TIME_IN_FUTURE, _time(lambda t: t + 3650 * DAY_MS), "ten years ahead of Kafka"
    ),
    _rejected(
        "future", Reason.TIME_IN_FUTURE, _time(lambda t: t + DAY_MS), "a day ahead of its own Kafka timestamp"
    ),
    Kind("far_past", _with(ts=0), Place.LATE, "1970 is usable, and late where the partition is further"),
    Kind("seconds", _time(lambda t: t // 1000), Place.LATE, "seconds, by mistake, cannot be told from 1970"),
    Kind(
        "leap_second", _with(ts="2016-12-31T23:59:60Z"), Place.LATE, "a real one: the last millisecond before"
    ),
    _accepted("time_float", _time(float), "an integral float is an integer"),
    _accepted("time_digits", _time(str), "so is a string of digits"),
    _accepted("time_rfc3339", _time(_rfc3339), "digits beyond milliseconds are cut off"),
    _accepted("time_offset", _time(lambda t: _rfc3339(t + 19_800_000, "+05:30")), "a zone east of UTC"),
]

VALUES = [
    _accepted("null_value", _feature("n", "null"), "null is missing", n=Seen(_TYPE.NULL)),
    _accepted("string_for_number", _feature("n", '"n/a"'), "counted", n=Seen(_TYPE.STRING, "wrong_type")),
    _accepted(
        "numeric_string", _feature("n", '"4.2e1"'), "a number, unless strict", n=Seen(_TYPE.NUMERIC_STRING)
    ),
    _accepted(
        "hex_string", _feature("n", '"0x10"'), "plain decimals only", n=Seen(_TYPE.STRING, "wrong_type")
    ),
    _accepted(
        "underscores", _feature("n", '"1_000"'), "plain decimals only", n=Seen(_TYPE.STRING, "wrong_type")
    ),
    _accepted(
        "arabic_digits", _feature("n", '"\u0661\u0662"'), "ASCII only", n=Seen(_TYPE.STRING, "wrong_type")
    ),
    _accepted(
        "long_digits",
        _feature("n", f'"{"1" * 65}"'),
        "64 characters at most",
        n=Seen(_TYPE.STRING, "wrong_type"),
    ),
    _accepted("bool_for_number", _feature("n", "true"), "true is not 1", n=Seen(_TYPE.BOOL, "wrong_type")),
    _accepted("array_for_number", _feature("n", "[1]"), "counted", n=Seen(_TYPE.ARRAY, "wrong_type")),
    _accepted("object_for_number", _feature("n", '{"v": 1}'), "counted", n=Seen(_TYPE.OBJECT, "wrong_type")),
    _accepted("nan", _feature("n", "NaN"), "what json.dumps of Python writes", n=Seen(_TYPE.NUMBER, "nan")),
    _accepted("infinity", _feature("n", "-Infinity"), "likewise", n=Seen(_TYPE.NUMBER, "inf")),
    _accepted(
        "nan_string", _feature("n", '"NaN"'), "likewise, in quotes", n=Seen(_TYPE.NUMERIC_STRING, "nan")
    ),
    _accepted("overflow", _feature("n", "1e400"), "beyond float64 is infinite", n=Seen(_TYPE.NUMBER, "inf")),
    _accepted(
        "digits_40", _feature("n", "9" * 40), "a number all the same", n=Seen(_TYPE.NUMBER, "out_of_range")
    ),
    _accepted(
        "digits_5000", _feature("n", "9" * 5_000), "beyond float64 is infinite", n=Seen(_TYPE.NUMBER, "inf")
    ),
    _accepted("underflow", _feature("n", "1e-400"), "is zero", n=Seen(_TYPE.NUMBER)),
    _accepted("out_of_range", _feature("n", "100.5"), "counted", n=Seen(_TYPE.NUMBER, "out_of_range")),
    _accepted("number_for_category", _feature("c", "5"), "its text", c=Seen(_TYPE.NUMBER, "out_of_range")),
    _accepted("array_for_category", _feature("c", '["web"]'), "counted", c=Seen(_TYPE.ARRAY, "wrong_type")),
    _accepted(
        "new_category", _feature("c", '"fax"'), "not among the values", c=Seen(_TYPE.STRING, "out_of_range")
    ),
    _accepted(
        "empty_string", _feature("c", '""'), "a string like others", c=Seen(_TYPE.STRING, "out_of_range")
    ),
    _accepted(
        "escaped_control", _feature("c", '"\\u0000"'), "a string", c=Seen(_TYPE.STRING, "out_of_range")
    ),
    _accepted(
        "huge_string", _feature("c", f'"{"w" * 1_000_000}"'), "1 MB", c=Seen(_TYPE.STRING, "out_of_range")
    ),
    _accepted("at_limit", _filled, "the largest record that the broker takes", s=Seen(_TYPE.STRING)),
    _accepted(
        "deep_value", _feature("n", "[" * 500 + "]" * 500), "500 deep", n=Seen(_TYPE.ARRAY, "wrong_type")
    ),
    _accepted(
        "duplicate_key", _feature("n", '1, "n": "n/a"'), "the last wins", n=Seen(_TYPE.STRING, "wrong_type")
    ),
    _accepted(
        "inner_mark", _feature("c", '"\\ufeffweb"'), "a BOM is text", c=Seen(_TYPE.STRING, "out_of_range")
    ),
]

SHAPES = [
    _accepted("no_features", _with(features=REMOVE), "all absent", n=ABSENT, c=ABSENT),
    _accepted("null_features", _with(features=None), "null is missing: all absent", n=ABSENT, c=ABSENT),
    _accepted("empty_features", _with(features={}), "all absent", n=ABSENT, c=ABSENT),
    _accepted(
        "features_array",
        _with(features=[1, 2]),
        "not an object: one signal of that type, so that it shows",
        n=ABSENT,
        c=ABSENT,
        features=Seen(_TYPE.ARRAY, "wrong_type"),
    ),
    _accepted(
        "features_string",
        _with(features='{"n": 1}'),
        "JSON in a string is a string",
        n=ABSENT,
        c=ABSENT,
        features=Seen(_TYPE.STRING),
    ),
    _accepted(
        "features_10000",
        _with(features=_WIDE),
        "more than 4,096 names are not read as features: one signal of type object",
        n=ABSENT,
        c=ABSENT,
        features=Seen(_TYPE.OBJECT, "wrong_type"),
    ),
    _accepted(
        "feature_name_1mb",
        _with(features={**GOOD_FEATURES, _LONG_NAME: 1}),
        "a name longer than 200 characters is cut and closed with its hash",
    ),
    _accepted(
        "control_in_name",
        _with(features={**GOOD_FEATURES, "a\u0000b": 1}),
        "names of signals are text like any other",
        None,
        **{"a\u0000b": Seen(_TYPE.NUMBER)},
    ),
    _accepted(
        "outputs_scalar", _with(outputs=0.5), "one signal", {"output": Seen(_TYPE.NUMBER), "score": ABSENT}
    ),
    _accepted(
        "outputs_array",
        _with(outputs=[0.5, "x"]),
        "one signal an element",
        {"output.0": Seen(_TYPE.NUMBER), "output.1": Seen(_TYPE.STRING), "score": ABSENT},
    ),
    _accepted(
        "outputs_nested",
        _with(outputs={"box": {"at": [1, 2]}}),
        "one signal an element, three levels deep",
        {"box.at.0": Seen(_TYPE.NUMBER), "box.at.1": Seen(_TYPE.NUMBER), "score": ABSENT},
    ),
    _accepted(
        "outputs_deep",
        _with(outputs={"a": {"b": {"c": {"d": 1}}}}),
        "what lies deeper is one signal of its type",
        {"a.b.c": Seen(_TYPE.OBJECT, "wrong_type"), "score": ABSENT},
    ),
    _accepted("no_outputs", _with(outputs=REMOVE), "all absent", {"score": ABSENT}),
]

KINDS: list[Kind] = [*UNPARSABLE, *NOT_EVENTS, *IDENTITY, *TIMES, *VALUES, *SHAPES]

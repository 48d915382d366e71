"""The syntax of single values: durations, ranges, topic names and field mappings."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from stream_monitor.config.section import refuse
from stream_monitor.times import epoch_ms

UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
DAY_MS = UNITS_MS["d"]
DURATION_MAX_MS = 3_650 * DAY_MS

DURATION = r"^(?=\d)(\d{1,9}d)?(\d{1,9}h)?(\d{1,9}m)?(\d{1,9}s)?(\d{1,9}ms)?$"
TOPIC = r"^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,200}$"
JSON_PATH = r"\$(\.[^.]+)*"


def duration_ms(value: object, least_ms: int = 0, most_ms: int = DURATION_MAX_MS) -> int:
    """Milliseconds of a text such as "10s", "500ms" or "2h30m" (units d, h, m, s, ms, in this order).

    >>> duration_ms("2h30m")
    9000000
    """
    between = f"a duration between {duration_text(least_ms)} and {duration_text(most_ms)}"
    match = re.fullmatch(DURATION, value, re.ASCII) if isinstance(value, str) else None
    if match is None:
        refuse(f'{between}, as "10s", "500ms" or "2h30m"', value)
    ms = sum(
        int(part[: -len(unit)]) * UNITS_MS[unit]
        for part, unit in zip(match.groups(), UNITS_MS, strict=True)
        if part
    )
    if not least_ms <= ms <= most_ms:
        refuse(between, value)
    return ms


def duration_text(ms: int) -> str:
    """The shortest text that ``duration_ms`` reads back.

    >>> duration_text(9_000_000)
    '2h30m'
    """
    parts = []
    for unit, unit_ms in UNITS_MS.items():
        count, ms = divmod(ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _limited_ms(least_ms: int, most_ms: int) -> BeforeValidator:
    return BeforeValidator(lambda value: duration_ms(value, least_ms, most_ms))


_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["10s", "500ms", "2h30m"]})
Duration = Annotated[int, _limited_ms(0, DURATION_MAX_MS), _SCHEMA]
PositiveDuration = Annotated[int, _limited_ms(1, DURATION_MAX_MS), _SCHEMA]
Interval = Annotated[int, _limited_ms(10, UNITS_MS["h"]), _SCHEMA]
"""How often something is done: neither all the time nor never."""


def lasting(default: str, alias: str, description: str) -> Any:
    """A field in ms: without the unit in the file, where its values have one."""
    extra: dict[str, Any] = {"default": default}
    return Field(default=duration_ms(default), alias=alias, description=description, json_schema_extra=extra)


def slice_length_ms(value: object) -> int:
    """A duration of 100 ms to a day that divides a day, so that slices of all days begin alike."""
    ms = duration_ms(value, 100, DAY_MS)
    if DAY_MS % ms:
        refuse("a duration that divides a day", value)
    return ms


SliceLength = Annotated[int, BeforeValidator(slice_length_ms), _SCHEMA]


def time_ms(value: object) -> int:
    """Epoch milliseconds of a time with a zone.

    >>> time_ms("2026-01-05T10:00:00Z")
    1767607200000
    """
    found = epoch_ms(value)
    if found is None:
        refuse('a time, as "2026-01-05T10:00:00Z" or in epoch ms', value)
    return found


def zone_name(value: object) -> str:
    """The name of a time zone that this host has."""
    try:
        return ZoneInfo(value if isinstance(value, str) else "").key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        refuse('a time zone such as "Europe/Berlin" (where the host has none: pip install tzdata)', value)


def day_number(value: object) -> int:
    """Days since 1970."""
    try:
        return (date.fromisoformat(value if isinstance(value, str) else "") - date(1970, 1, 1)).days
    except ValueError:
        refuse("a day such as 2026-12-25", value)


def day_text(value: int) -> str:
    """As the configuration writes it."""
    return (date(1970, 1, 1) + timedelta(days=value)).isoformat()


TimeZone = Annotated[str, BeforeValidator(zone_name)]
Day = Annotated[
    int,
    PlainValidator(day_number),
    PlainSerializer(day_text),
    WithJsonSchema({"type": "string", "format": "date"}),
]
_TIME_SCHEMA = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]}
Time = Annotated[int, BeforeValidator(time_ms), WithJsonSchema(_TIME_SCHEMA)]


def number_range(value: object) -> tuple[float, float]:
    """[min, max]; either may be infinite."""
    numbers = isinstance(value, list | tuple) and all(type(x) in {int, float} for x in value)
    pair = tuple(map(float, value)) if numbers else ()  # type: ignore[call-overload]
    if len(pair) != 2 or not pair[0] < pair[1]:
        refuse("[min, max] with min < max", value)
    return pair[0], pair[1]


_NUMBER_PAIR = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
Range = Annotated[tuple[float, float], BeforeValidator(number_range), WithJsonSchema(_NUMBER_PAIR)]


def scalar(value: object) -> object:
    """A string, a number or a boolean."""
    if not isinstance(value, str | int | float) or (isinstance(value, float) and math.isnan(value)):
        refuse("a string, a number or a boolean", value)
    return value


Scalar = Annotated[str | int | float | bool, BeforeValidator(scalar)]


def class_name(value: object) -> str:
    """A class, or the number or boolean that labels hold in its place.

    >>> class_name("stay"), class_name(1), class_name(1.0), class_name(True)
    ('stay', '1', '1', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if not isinstance(value, str):
        refuse("the name of a class: a string, a whole number or a boolean", value)
    return value


_CLASS_SCHEMA = {"type": ["string", "integer", "boolean"]}
ClassName = Annotated[str, BeforeValidator(class_name), WithJsonSchema(_CLASS_SCHEMA)]


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value:
        refuse("the path of a folder", value)
    return Path(value)


Folder = Annotated[Path, BeforeValidator(_folder), WithJsonSchema({"type": "string", "minLength": 1})]


def _pattern(pattern: str, what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            refuse(what, value)
        return value

    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": pattern})


SegmentField = Annotated[str, *_pattern(r"^[^=]+$", "the name of a feature, without '='")]
TopicName = Annotated[str, *_pattern(TOPIC, "a topic name (letters, digits, '.', '_', '-')")]
PipelineName = Annotated[str, *_pattern(r"^[a-zA-Z0-9_-]{0,100}$", "a name of letters, digits, '_' and '-'")]
PathMapping = Annotated[str, *_pattern(rf"^{JSON_PATH}$", 'a JSON path such as "$.a.b"')]
ValueMapping = Annotated[
    str,
    *_pattern(
        rf"^({JSON_PATH}|key|topic|header:.+|=.*)$",
        'a JSON path such as "$.a.b", "key", "header:NAME", "topic" or a constant "=text"',
    ),
]
RoleMapping = Annotated[
    str,
    *_pattern(
        rf"^({JSON_PATH}|key|topic|header:.+|=live|=shadow)$",
        'a JSON path such as "$.a.b", "key", "header:NAME", "topic", "=live" or "=shadow"',
    ),
]
TimeMapping = Annotated[
    str,
    *_pattern(
        rf"^({JSON_PATH}|key|header:.+|kafka)$",
        'a JSON path such as "$.a.b", "key", "header:NAME" or "kafka"',
    ),
]

"""Event times: epoch milliseconds, or RFC 3339."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

TIME_MS_END = 2**43
"""Usable times are 0 <= t < this: from 1970 to September 2248."""

_DIGITS = re.compile(r"[0-9]{1,16}")
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,32}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def epoch_ms(value: Any) -> int | None:
    """Give the time that a JSON value says, in ms, or None where it says none that is usable.

    Integers, integral floats and strings of digits are epoch milliseconds; other strings are RFC 3339
    with a zone. Digits beyond milliseconds are cut off; a leap second is the last millisecond before.

    >>> epoch_ms(1763865600000), epoch_ms("2025-11-23T02:40:00.1239Z"), epoch_ms("2016-12-31T23:59:60Z")
    (1763865600000, 1763865600123, 1483228799999)
    >>> epoch_ms(True), epoch_ms(1763865600.25), epoch_ms("2025-11-23T02:40:00"), epoch_ms(-1)
    (None, None, None, None)
    """
    time_ms = _epoch_ms(value)
    return time_ms if time_ms is not None and 0 <= time_ms < TIME_MS_END else None


def _epoch_ms(value: Any) -> int | None:
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is float:
        return int(value) if math.isfinite(value) and value.is_integer() else None
    if kind is not str:
        return None
    if _DIGITS.fullmatch(value):
        return int(value)
    return _rfc_3339_ms(value)


def _rfc_3339_ms(text: str) -> int | None:
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
    leap = second == 60
    try:
        offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=zone)
        past = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    whole_ms = past // _MILLISECOND
    if leap:
        last_minute_of_day = (whole_ms // 60_000) % 1440 == 1439
        return whole_ms + 999 if last_minute_of_day else None
    return whole_ms + int(((fraction or "") + "000")[:3])

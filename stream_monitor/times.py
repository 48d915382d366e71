"""Event times: epoch milliseconds, or RFC 3339."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

TIME_MS_END = 2**43
"""Usable times are 0 <= t < this: from 1970 to September 2248."""

MINUTE_MS = 60_000

_DIGITS = re.compile(r"[0-9]{1,16}")
_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}):([0-9]{2})(?:\.([0-9]{1,32}))?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
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
    minute, second_text, fraction, zone = match.groups()
    minute_ms, second = _minute_ms(minute, zone), int(second_text)
    if minute_ms is None or second > 60:
        return None
    if second == 60:
        return minute_ms + 59_999 if minute_ms // MINUTE_MS % 1440 == 1439 else None
    return minute_ms + second * 1000 + int(((fraction or "") + "000")[:3])


@lru_cache(maxsize=4_096)
def _minute_ms(minute: str, zone: str) -> int | None:
    """Give the time of "2025-11-23T02:40" in the zone "+05:30" or "Z"; events of one minute share it."""
    try:
        moment = datetime.fromisoformat(minute.upper() + ":00" + zone.upper())
    except ValueError:
        return None
    return (moment - _EPOCH) // _MILLISECOND

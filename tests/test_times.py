"""Event times as producers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.times import TIME_MS_END, epoch_ms

MOMENT_MS = 1_763_865_600_000


@pytest.mark.parametrize(
    "value",
    [
        MOMENT_MS,
        float(MOMENT_MS),
        str(MOMENT_MS),
        "2025-11-23T02:40:00Z",
        "2025-11-23t02:40:00z",
        "2025-11-23 02:40:00.000999999+00:00",
        "2025-11-22T21:10:00-05:30",
        "2025-11-24T02:39:00+23:59",
    ],
)
def test_one_moment_in_many_forms(value: Any) -> None:
    assert epoch_ms(value) == MOMENT_MS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-11-23T02:40:00.5Z", MOMENT_MS + 500),
        ("2025-11-23T02:40:59.1239Z", MOMENT_MS + 59_123),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999),
        ("2017-01-01T05:29:60.7+05:30", 1_483_228_799_999),
        (TIME_MS_END - 1, TIME_MS_END - 1),
    ],
)
def test_moments_are_exact_to_the_millisecond(value: Any, expected: int) -> None:
    assert epoch_ms(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, [], {}, b"5", "", " 5", "5.0", "1e3", "-1", -1, 0.5, TIME_MS_END, 2**70),
        *(float("nan"), float("inf"), -float("inf"), 1e300, "9" * 17, "\u0661\u0662"),
        *(
            "2025-11-23",
            "2025-11-23T02:40Z",
            "2025-11-23T02:40:00",
            "20251123T024000Z",
            "2025-W47-7T02:40:00Z",
        ),
        *(
            "2025-11-23T02:40:00,5Z",
            "2025-11-23T02:40:00.Z",
            "2025-11-23T02:40:00+0530",
            "2025-11-23T02:40:00+05",
        ),
        *("2025-02-29T00:00:00Z", "2025-11-23T24:00:00Z", "2025-11-23T02:60:00Z", "2025-11-23T02:40:61Z"),
        *(
            "2025-11-23T02:40:00+24:00",
            "2025-11-23T02:40:00+05:60",
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ),
        *(
            "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00+23:59",
            "2025-06-30T12:59:60Z",
            "2025-11-23T02:40:00Z\n",
        ),
    ],
)
def test_what_is_no_usable_moment_is_none(value: Any) -> None:
    assert epoch_ms(value) is None


ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1970, 1, 3), datetime(2248, 1, 1), timezones=ZONES))  # noqa: DTZ001
def test_what_datetime_writes_is_read(moment: datetime) -> None:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected = since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000
    assert epoch_ms(moment.isoformat()) == expected

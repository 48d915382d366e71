"""Seasons go by the clock of a place: a clock change and a holiday are no drift where they are known."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stream_monitor.checks.subject import Subject
from stream_monitor.checks.watch import Watch
from stream_monitor.config import ModelConfig, parse_config
from stream_monitor.detectors import Seasonal, restore
from stream_monitor.detectors.season_calendar import Calendar
from stream_monitor.errors import ConfigError
from tests.test_checks import summary
from tests.test_watch import model as configured

BERLIN = "Europe/Berlin"
SLICE_MS = 600_000
DAY_MS = 86_400_000
SIGNALS = 12
RUN_LENGTH = 20_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def day(text: str) -> int:
    return ms(text) // DAY_MS


@pytest.mark.parametrize(
    ("at", "hours"),
    [("2026-03-29T00:59", 1), ("2026-03-29T01:00", 2), ("2026-10-25T00:59", 2), ("2026-10-25T01:00", 1)],
)
def test_a_zone_is_ahead_as_its_clocks_are(at: str, hours: int) -> None:
    assert Calendar(BERLIN).ahead(ms(at)) == hours * 3_600_000
    assert Calendar().ahead(ms(at)) == 0


def test_a_holiday_is_the_nearest_sunday_from_its_midnight_to_its_midnight() -> None:
    for at in range(40):
        calendar = Calendar.of(BERLIN, [day("2026-06-01") + at])
        midnight = ms("2026-05-31T22:00") + at * DAY_MS
        for minute, inside in ((-1, False), (0, True), (1_439, True), (1_440, False)):
            now = midnight + minute * 60_000
            local = datetime.fromtimestamp((now + calendar.ahead(now)) / 1000, UTC)
            real = datetime.fromtimestamp(now / 1000, ZoneInfo(BERLIN))
            assert (local.hour, local.minute) == (real.hour, real.minute)
            moved = (local.date() - real.date()) / timedelta(days=1)
            assert abs(moved) <= 3
            assert (local.isoweekday() == 7) if inside else (moved == 0)


def level(at: int, holidays: frozenset[int]) -> float:
    """Of people in Berlin, who sleep, and who stay at home on Sundays and holidays."""
    local = datetime.fromtimestamp(at / 1000, ZoneInfo(BERLIN))
    off = local.isoweekday() == 7 or day(local.date().isoformat()) in holidays
    hour = local.hour + local.minute / 60
    return (-0.8 if off else 0.3) - 0.5 * math.cos(2 * math.pi * hour / 24)


def alarms(calendar: Calendar, start: str, learn_days: int, days: int, holidays: frozenset[int]) -> int:
    """Of noise of .3 sd a slice around the level, half of it learned before a snapshot."""
    random, first = np.random.default_rng(5), ms(start)
    slices = learn_days * DAY_MS // SLICE_MS
    scan: Any = Seasonal(
        SIGNALS, learn=slices, run_length=RUN_LENGTH, slice_ms=SLICE_MS, start_ms=first, dead=0.05
    )
    scan.follow(calendar)
    found, n = 0, np.full(SIGNALS, 50.0)
    for at in range(slices + days * DAY_MS // SLICE_MS):
        if at == slices // 2:
            scan = restore(scan.snapshot())
        mean = level(first + at * SLICE_MS, holidays) + 0.3 * random.standard_normal(SIGNALS)
        found += len(scan.update(n, mean, n * 4.0) or ())
    return found


def test_a_clock_change_is_told_by_utc_and_not_by_the_clock_of_the_place() -> None:
    """The budget allows for less than one."""
    change = ("2026-03-08", 21, 7, frozenset[int]())
    assert alarms(Calendar(), *change) > SIGNALS
    assert alarms(Calendar(BERLIN), *change) <= 2


def test_a_holiday_is_told_where_it_is_not_known_and_not_where_it_is() -> None:
    """1 May 2026 is a Friday."""
    holidays = frozenset({day("2026-05-01")})
    assert alarms(Calendar(BERLIN), "2026-04-06", 21, 6, holidays) > SIGNALS
    assert alarms(Calendar(BERLIN, holidays), "2026-04-06", 21, 6, holidays) <= 2


def test_what_was_learned_by_one_clock_goes_on_with_more_holidays_and_not_by_another_clock() -> None:
    def settings(**more: Any) -> ModelConfig:
        return configured(learn="5d", detectors=["scan"], slice="1h", **more)

    config, random = settings(timezone=BERLIN), np.random.default_rng(1)
    subject = Subject(config, {}, None)
    for at in range(40):
        subject.close(at * 3_600_000, summary([{"x": x} for x in random.normal(size=50).tolist()]))
    [watch] = subject.watches
    for more, kept in (
        ({"timezone": BERLIN, "holidays": ["2026-12-25"]}, True),
        ({"timezone": "Asia/Tokyo"}, False),
        ({}, False),
    ):
        other = settings(**more)
        restored = Watch.restore(watch.snapshot(), other, {})
        [(detector, _)] = restored.detectors
        assert isinstance(detector, Seasonal)
        assert detector.calendar == Calendar.of(other.timezone or "", other.holidays)
        assert (detector.snapshot()["current"] > 0) == kept


def test_zones_and_days_that_there_are_not_are_refused() -> None:
    given = {"timezone": "Europe/Berlln", "holidays": ["2026-02-30", 20260501]}
    with pytest.raises(ConfigError) as caught:
        parse_config({"predictions": {"topics": ["p"]}, "models": {"m": given}})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "models.m.timezone",
        "models.m.holidays[0]",
        "models.m.holidays[1]",
    ]
    model = parse_config(
        {"predictions": {"topics": ["p"]}, "models": {"m": {"timezone": BERLIN, "holidays": ["2026-12-25"]}}}
    ).model("m")
    assert (model.timezone, model.holidays) == (BERLIN, [day("2026-12-25")])

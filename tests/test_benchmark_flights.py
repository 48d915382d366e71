"""The section ``flights`` judges alerts by what became of their days, and counts what it judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.flights_drift import Told, figures_of, show, told
from benchmarks.flights_judged import Day, Days, judged
from examples.flights import make
from tests.test_sentence import finding

DAY_MS = 86_400_000
START = datetime(2013, 2, 1, tzinfo=UTC)
QUIET = Day(cancelled=0.01, delay_min=10.0, no_report=0.0)


def days(**by_day: Day) -> Days:
    """Of February, ``d8`` being the eighth."""
    special = {int(name[1:]): day for name, day in by_day.items()}
    return Days({START + timedelta(days=i): special.get(i + 1, QUIET) for i in range(28)})


def verdict(signal: str, check: str, known: Days, since: int = 8, found: int = 9) -> str:
    """Of an alert that a day's slice showed, until the first moment of day ``found``."""
    at = [int(START.timestamp() * 1000) + (day - 1) * DAY_MS for day in (since, found)]
    return judged(finding(signal=signal, check=check, since=at[0], found=at[1]), known)[0]


@pytest.mark.parametrize(
    ("signal", "check", "day", "expected"),
    [
        ("dep_delay", "missing", QUIET, "nobody"),
        ("dep_delay", "missing", Day(0.36, 15.0, 0.0), "page"),
        ("arr_delay", "drift", Day(0.02, 40.0, 0.0), "page"),
        ("temp", "missing", Day(0.02, 8.6, 1.0), "page"),
        ("temp", "missing", Day(0.02, 8.6, 0.06), "ticket"),
        ("pressure", "missing", QUIET, "nobody"),
        ("temp", "drift", Day(0.36, 40.0, 0.0), "nobody"),
        ("carrier", "drift", QUIET, "ticket"),
    ],
)
def test_an_alert_is_judged_by_its_signal_and_its_day(
    signal: str, check: str, day: Day, expected: str
) -> None:
    assert verdict(signal, check, days(d8=day)) == expected


def test_only_days_from_the_beginning_until_it_was_found_count() -> None:
    storm = Day(0.36, 15.0, 0.0)
    assert verdict("dep_delay", "missing", days(d9=storm)) == "nobody"
    assert verdict("dep_delay", "missing", days(d7=storm)) == "nobody"
    assert verdict("dep_delay", "missing", days(d7=storm), since=6) == "page"
    # What was told of a change of weeks ago is about the days that showed it.
    assert verdict("dep_delay", "missing", days(d7=storm), since=1, found=21) == "nobody"


def test_days_are_those_of_the_flights() -> None:
    departure = pd.to_datetime(["2013-02-08T10:00Z", "2013-02-08T23:59Z", "2013-02-09T00:00Z"])
    flights = pd.DataFrame({"departure": departure, "dep_delay": [30.0, None, 2.0], "temp": [None, 1.0, 1.0]})
    known = Days.of(flights)
    assert known.at(START + timedelta(days=7)) == Day(0.5, 30.0, 0.5)
    assert known.at(START + timedelta(days=8)) == Day(0.0, 2.0, 0.0)


def test_a_feed_that_ends_is_told_judged_and_counted() -> None:
    hours = [START + timedelta(hours=hour) for hour in range(60 * 24)]
    reports = pd.DataFrame(dict.fromkeys(make.WEATHER, 1.0) | {"time_hour": hours, "origin": "JFK"})
    reports.loc[45 * 24 :, "temp"] = None
    ended = {START + timedelta(days=day): Day(0.0, 0.0, float(day >= 45)) for day in range(60)}
    events = make.weather_events(pd.concat([reports] * 3).sort_values("time_hour"))
    alerts = told("weather", events, "1d", "adwin, page_hinkley", Days(ended))
    assert [(one.signal, one.check, one.verdict, one.month) for one in alerts] == [
        ("temp", "missing", "page", "2013-03")
    ]
    assert figures_of(alerts) == {
        "weather_1d_adwin_page_hinkley_page": 1,
        "weather_1d_adwin_page_hinkley_ticket": 0,
        "weather_1d_adwin_page_hinkley_nobody": 0,
    }
    console = Console(record=True, width=200)
    show(
        [
            *alerts,
            Told(*("flights", "1h", "scan", "2013-02", "", "temp", "drift", "warmer", "nobody", "spring")),
        ],
        console,
    )
    said = console.export_text()
    assert "1 + 0 + 0" in said
    assert "flights 1h nobody: warmer (spring)" in said

"""The section ``flights`` judges alerts by what became of the flights, and counts what it judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks.flights_drift import Told, figures_of, show, told
from benchmarks.flights_judged import Fate, Year, judged
from examples.flights import make
from stream_monitor.config.values import DAY_MS
from tests.test_sentence import finding

START_MS = 1_359_676_800_000
"""1 February 2013."""


def year(delay_min: float | None = 10.0, *, report: bool = True, flights: int = 100, day: int = 8) -> Year:
    """Of February: flights evenly through each day, ten minutes late. On one day so many, so late; or half of
    them cancelled."""
    by_day = [[START_MS + at * DAY_MS // 100 + DAY_MS * one for at in range(100)] for one in range(28)]
    by_day[day - 1] = by_day[day - 1][:flights]
    delays = [[10.0] * len(one) for one in by_day]
    delays[day - 1] = [10.0 if delay_min is None else delay_min] * flights
    if delay_min is None:
        delays[day - 1][::2] = [np.nan] * len(delays[day - 1][::2])
    missing = [[float(not report and one == day - 1)] * len(at) for one, at in enumerate(by_day)]
    return Year(np.concatenate(by_day), np.concatenate(delays), np.concatenate(missing))


def verdict(signal: str, check: str, known: Year, since: float = 8, found: float = 9) -> str:
    """Of an alert on what began with day ``since`` and was found at the beginning of day ``found``."""
    at = [START_MS + int((day - 1) * DAY_MS) for day in (since, found)]
    return judged(finding(signal=signal, check=check, since=at[0], found=at[1]), known)[0]


@pytest.mark.parametrize(
    ("signal", "check", "known", "expected"),
    [
        ("dep_delay", "missing", year(), "nobody"),
        ("dep_delay", "missing", year(None), "page"),
        ("arr_delay", "drift", year(40.0), "page"),
        ("arr_delay", "drift", year(40.0, flights=19), "nobody"),
        ("temp", "missing", year(report=False), "page"),
        ("temp", "missing", year(), "nobody"),
        ("pressure", "missing", year(), "nobody"),
        ("temp", "drift", year(None), "nobody"),
        ("carrier", "drift", year(), "ticket"),
        ("carrier", "drift", year(flights=19), "nobody"),
    ],
)
def test_an_alert_is_judged_by_its_signal_and_what_became_of_its_flights(
    signal: str, check: str, known: Year, expected: str
) -> None:
    assert verdict(signal, check, known) == expected


def test_flights_from_the_beginning_until_it_was_found_count_and_of_a_long_time_the_last_day() -> None:
    assert verdict("dep_delay", "missing", year(None, day=9)) == "nobody"
    assert verdict("dep_delay", "missing", year(None, day=7)) == "nobody"
    assert verdict("dep_delay", "missing", year(None), since=3) == "page"
    assert verdict("dep_delay", "missing", year(None), since=8, found=12) == "nobody"
    # An hour without reports in a day that has them.
    assert verdict("temp", "missing", year(report=False), since=8.9, found=9.5) == "ticket"
    assert verdict("temp", "missing", year(report=False), since=7, found=8.009) == "ticket"


def test_timetables_that_follow_the_clock_are_no_news() -> None:
    march = 1 + 28 + 10
    hours = np.arange(START_MS, START_MS + 60 * DAY_MS, 3_600_000)
    known = Year(hours, np.zeros(len(hours)), np.zeros(len(hours)))
    assert verdict("hour", "drift", known, march - 9, march - 8) == "ticket"
    assert verdict("hour", "drift", known, march - 9, march + 1) == "nobody"
    assert verdict("hour", "drift", known, march + 3, march + 4) == "ticket"


def test_what_became_of_flights_is_that_of_the_table() -> None:
    departure = pd.to_datetime(["2013-02-08T10:00Z", "2013-02-08T23:59Z", "2013-02-09T00:00Z"])
    flights = pd.DataFrame({"departure": departure, "dep_delay": [30.0, None, 2.0], "temp": [None, 1.0, 1.0]})
    eighth = START_MS + 7 * DAY_MS
    known = Year.of(flights)
    assert known.between(eighth, eighth + DAY_MS) == Fate(2, 0.5, 30.0, 0.5)
    assert known.between(eighth + DAY_MS, eighth + 2 * DAY_MS) == Fate(1, 0.0, 2.0, 0.0)
    assert known.between(eighth - DAY_MS, eighth) == Fate(0, 0.0, 0.0, 0.0)


def test_a_feed_that_ends_is_told_judged_and_counted() -> None:
    hours = pd.date_range("2013-02-01", periods=60 * 24, freq="h", tz="UTC")
    reports = pd.DataFrame(dict.fromkeys(make.WEATHER, 1.0) | {"time_hour": hours, "origin": "JFK"})
    reports.loc[45 * 24 :, "temp"] = None
    ended = Year(make.epoch_ms(reports["time_hour"]), np.zeros(len(hours)), reports["temp"].isna().to_numpy())
    events = make.weather_events(pd.concat([reports] * 3).sort_values("time_hour"))
    alerts = told("weather", events, "1d", "adwin, page_hinkley", ended)
    assert [(one.signal, one.check, one.verdict, one.month) for one in alerts] == [
        ("temp", "missing", "page", "2013-03")
    ]
    assert figures_of(alerts) == {
        "weather_1d_adwin_page_hinkley_page": 1,
        "weather_1d_adwin_page_hinkley_ticket": 0,
        "weather_1d_adwin_page_hinkley_nobody": 0,
        "weather_1d_adwin_page_hinkley_2013-03": 1,
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

"""Whether a person would want an alert on the flights of 2013, by what is known of the days it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

from examples.flights import make
from stream_monitor.events import Finding

VERDICTS = ("page", "ticket", "nobody")
CANCELLED = 0.1
DELAY_MIN = 35.0
"""A day on which a tenth of the flights are cancelled, or they leave so late on average: 28 of the year."""
NO_REPORT = 0.02
"""A share of a day's flights: January has 0.2 % without a weather report, and 5 % on the first of it."""
LOOKED_BACK = timedelta(days=7)
WEATHER = frozenset(make.WEATHER)
DELAYS = frozenset(("dep_delay", "arr_delay"))


@dataclass(frozen=True, slots=True)
class Day:
    """``cancelled`` and ``no_report`` (of the weather): shares of its flights; their mean delay."""

    cancelled: float
    delay_min: float
    no_report: float


class Days:
    """What became of the flights of each day, in UTC."""

    def __init__(self, days: dict[datetime, Day]) -> None:
        self._days = days

    @classmethod
    def of(cls, flights: pd.DataFrame) -> Days:
        by_day = flights.groupby(flights["departure"].dt.floor("D"))
        table = pd.DataFrame(
            {
                "cancelled": by_day["dep_delay"].agg(lambda one: one.isna().mean()),
                "delay_min": by_day["dep_delay"].mean(),
                "no_report": by_day["temp"].agg(lambda one: one.isna().mean()),
            }
        )
        return cls({at.to_pydatetime(): Day(*row) for at, *row in table.itertuples()})

    def at(self, day: datetime) -> Day:
        return self._days[day]

    def of_finding(self, finding: Finding) -> list[Day]:
        """Those from its beginning on until it was found, of the last week."""
        found = datetime.fromtimestamp(finding.found / 1000 - 1e-3, UTC)
        since = max(datetime.fromtimestamp(finding.since / 1000, UTC), found - LOOKED_BACK)
        return [day for at, day in self._days.items() if since - timedelta(days=1) < at <= found]


def judged(finding: Finding, days: Days) -> tuple[str, str]:
    """A verdict, and its reason in a line."""
    near = days.of_finding(finding)
    no_report = max((day.no_report for day in near), default=0.0)
    if finding.signal in WEATHER and finding.check == "missing":
        if no_report > 0.99:
            return "page", "the weather feed has ended, and the model goes on without it"
        if no_report > NO_REPORT:
            return "ticket", "the weather feed has a gap of hours"
        return "nobody", "airports leave this out of their reports, in bad weather more often"
    if finding.signal in DELAYS:
        worst = max(near, key=lambda day: (day.cancelled >= CANCELLED, day.delay_min), default=None)
        if worst and worst.cancelled >= CANCELLED:
            return "page", f"{worst.cancelled:.0%} of a day's flights are cancelled"
        if worst and worst.delay_min >= DELAY_MIN:
            return "page", f"a day's flights leave {worst.delay_min:.0f} minutes late on average"
        return "nobody", "some days are worse than others, and some months"
    if finding.signal in WEATHER:
        return "nobody", "the weather, or the season"
    return "ticket", "the timetable is another one"

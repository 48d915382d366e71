"""Whether a person would want an alert on the flights of 2013, by what became of the flights it is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from examples.flights import make
from stream_monitor.config.values import DAY_MS
from stream_monitor.events import Finding, Float64s, Int64s

HOUR_MS = 3_600_000
VERDICTS = ("page", "ticket", "nobody")
CANCELLED = 0.1
"""Of the flights; on an average day it is one in forty."""
DELAY_MIN = 35.0
"""So late they leave on average; over the year it is 13 minutes. 28 days are beyond this or CANCELLED."""
NO_REPORT = 0.02
"""Of the flights have no weather report; January has .2 %."""
FEW = 20
"""Flights: less is a night."""
THIN = 0.5
"""Of the flights that there are on average in a time so long."""
CLOCKS_MS = (1_362_898_800_000, 1_383_458_400_000)
"""When clocks change in New York, and flights leave at other hours of UTC: 10 March and 3 November."""
REPORTED = frozenset(("temp", "visib", "wind_speed"))
"""What airports hardly ever leave out of a report."""
WEATHER = frozenset(make.WEATHER)
DELAYS = frozenset(("dep_delay", "arr_delay"))


@dataclass(frozen=True, slots=True)
class Fate:
    """Of ``flights``: shares of them that are cancelled, or without a weather report, and the mean delay."""

    flights: int
    cancelled: float
    delay_min: float
    no_report: float


class Year:
    """What became of all flights: ``departure`` in ms, ascending; ``delay_min`` is NaN of those cancelled."""

    def __init__(self, departure: Int64s, delay_min: Float64s, no_report: Float64s) -> None:
        self._departure, self._delay_min, self._no_report = departure, delay_min, no_report

    @classmethod
    def of(cls, flights: pd.DataFrame) -> Year:
        no_report = flights["temp"].isna().to_numpy().astype(np.float64)
        return cls(make.epoch_ms(flights["departure"]), flights["dep_delay"].to_numpy(), no_report)

    def between(self, start: int, end: int) -> Fate:
        first, last = np.searchsorted(self._departure, (start, end)).tolist()
        if first == last:
            return Fate(0, 0.0, 0.0, 0.0)
        delay_min = self._delay_min[first:last]
        left = delay_min[~np.isnan(delay_min)]
        return Fate(
            last - first,
            1.0 - len(left) / (last - first),
            float(left.mean()) if len(left) else 0.0,
            float(self._no_report[first:last].mean()),
        )

    def thin(self, start: int, end: int) -> bool:
        whole = self._departure[-1] - self._departure[0]
        return bool(self.between(start, end).flights < THIN * len(self._departure) * (end - start) / whole)


def judged(finding: Finding, year: Year) -> tuple[str, str]:
    """A verdict, and its reason in a line, by the flights since it began; at most those of the last day."""
    start, end = max(finding.since, finding.found - DAY_MS), finding.found
    fate = year.between(start, end)
    if finding.signal in WEATHER and finding.check == "missing":
        return _missing(finding.signal, fate, year.between(end - HOUR_MS, end))
    if finding.signal in DELAYS:
        return _delayed(fate)
    if finding.signal in WEATHER:
        return "nobody", "the weather, or the season"
    if any(finding.since - DAY_MS <= at <= finding.found for at in CLOCKS_MS):
        return "nobody", "clocks have changed, and timetables keep to them"
    if year.thin(start, end):
        return "nobody", f"only {fate.flights} flights: a night, or the end of the data"
    return "ticket", "the timetable is another one"


def _missing(signal: str, fate: Fate, last_hour: Fate) -> tuple[str, str]:
    if signal in REPORTED and fate.no_report > 0.99 and fate.flights >= FEW:
        return "page", "the weather feed is silent, and the model goes on without it"
    if signal in REPORTED and max(fate.no_report, last_hour.no_report) > NO_REPORT:
        return "ticket", "an airport is missing from the weather feed"
    return "nobody", "airports leave it out of their reports, in bad weather more often"


def _delayed(fate: Fate) -> tuple[str, str]:
    if fate.flights < FEW:
        return "nobody", f"{fate.flights} flights of a night"
    if fate.cancelled >= CANCELLED:
        return "page", f"{fate.cancelled:.0%} of {fate.flights} flights are cancelled"
    if fate.delay_min >= DELAY_MIN:
        return "page", f"{fate.flights} flights leave {fate.delay_min:.0f} minutes late on average"
    return "nobody", f"{fate.delay_min:.0f} minutes late on average: some days and months are like that"

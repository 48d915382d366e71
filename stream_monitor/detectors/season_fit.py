"""Is there a season, and which? Asked of a record of hours."""

from __future__ import annotations

import numpy as np

from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_hours import DAY, HOUR_MS, HOURS_MAX, WEEK, Record
from stream_monitor.detectors.season_period import other_season
from stream_monitor.detectors.season_waves import LEVEL, Hourly, foretells, season_in, trend_of, waves_of

DAYS_MIN, WEEKS_MIN = 4, 2


def season_of(record: Record, width: int) -> Season:
    """What was learned of s signals from slices of ``width`` ms.

    Of signals without one LEVEL or fewer are given one, whatever their noise, if its memory is short against
    a period: measured, a day .000 to .008; a week .000 to .006, in AR .9 of hours .018; another period, less
    than .001. Of those that jumped by 7 standard deviations of an hour while they were learned, .13. A season
    needs DAYS_MIN days, WEEKS_MIN weeks where days differ, and eight periods of any other whole number of
    hours; and it must foretell the halves of the record from each other better than what is simpler. Cost:
    2 to 7 ms a signal.
    """
    signals, cell = record.n.shape[1], max(width, HOUR_MS)
    length = len(record.n)
    season, known = Season.none(signals), None
    if length < DAYS_MIN * DAY:
        return season
    phase = record.first + np.arange(length)
    often = record.n.sum(axis=0) / np.maximum((record.n > 0).sum(axis=0), 1)
    weights = np.minimum(record.n, often)
    seen = hourly = Hourly(phase, weights, record.mean, cell)
    trend, jumps = trend_of(hourly, DAY)
    if 2 * cell < DAY * HOUR_MS:
        steady = hourly.less(trend + jumps)
        day = waves_of(steady, DAY)
        there = (day.presence < LEVEL) & foretells(steady, day, None)
        season = season.with_signals(there.nonzero()[0], season_in(steady, day.shrunk(), there))
        known = day._replace(height=day.height * there)
    if length >= WEEKS_MIN * WEEK and 2 * cell < WEEK * HOUR_MS:
        # A part of a week's wave is a line through two of them, and would be missing from the season.
        hourly = hourly.less(trend_of(hourly, WEEK)[0])
        week = waves_of(hourly, WEEK)
        only = np.arange(1, len(week.height) + 1) % (WEEK // DAY) > 0
        there = (week.kinds(only.nonzero()[0]).presence < LEVEL) & foretells(hourly, week, known)
        season = season.with_signals(there.nonzero()[0], season_in(hourly, week.shrunk(), there))
    # Hours of a longer record lie on each other as days and weeks do.
    return season if length >= HOURS_MAX else other_season(seen, season)

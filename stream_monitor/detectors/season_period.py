"""A season that is neither of the day nor of the week: which period it has, and whether that is believed."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft
from scipy.ndimage import median_filter

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_hours import DAY, HOUR_MS, WEEK
from stream_monitor.detectors.season_waves import (
    LEVEL,
    TINY,
    Hourly,
    foretells,
    season_in,
    trend_of,
    waves_of,
)

OTHERS_MIN = 8
"""So many periods are to be seen: more than of a day, for it is not known which."""
KINDS = 4
"""Waves of a period that are looked at for a guess: the whole, its half, .."""
AROUND = 21
"""So many frequencies of the record tell how high noise is at the one in their middle."""
MEDIAN = np.log(2.0)
"""Of the squared height of waves of noise, which is exponential with mean 1."""


def other_season(hourly: Hourly, season: Season) -> Season:
    """Of signals without a season of the day, one of any other period of whole hours.

    The record has to hold OTHERS_MIN of them. It is that which stands out most, if it explains more than a
    week does, if each half of the record by itself has its waves, and if the halves foretell each other.
    """
    bare = np.flatnonzero(season.period != DAY)
    least, most = 2 * hourly.cell // HOUR_MS + 1, len(hourly.phase) // OTHERS_MIN
    if most < least:
        return season
    steady = _less_line(hourly.of(bare))
    periods = _guessed(steady.values, least, most)
    for period in sorted(set(periods.tolist()) - {0, DAY, WEEK}):
        these = bare[periods == period]
        steady = hourly.of(these)
        steady = steady.less(trend_of(steady, period)[0])
        waves = waves_of(steady, period)
        there = foretells(steady, waves, None) & (_unexplained(steady, period) < _unexplained(steady, WEEK))
        for half in steady.halves(1):
            there &= waves_of(half, period).presence < LEVEL / (most - least + 1)
        season = season.with_signals(these[there], season_in(steady, waves.shrunk(), there))
    return season


def _less_line(hourly: Hourly) -> Hourly:
    """Without the line through what was seen, 0 where nothing was."""
    seen = hourly.weights > 0
    line = np.arange(len(seen))[:, None] - np.zeros(seen.shape[1])
    n = np.maximum(seen.sum(axis=0), 1)
    line, values = ((one - (one * seen).sum(axis=0) / n) * seen for one in (line, hourly.values))
    slope = (line * values).sum(axis=0) / np.maximum((line * line).sum(axis=0), TINY)
    return hourly._replace(values=values - slope * line)


def _unexplained(hourly: Hourly, period: int) -> Float64s:
    """The variance of what the hours of a period leave, (s,); infinite where no more were seen."""
    free = (hourly.weights > 0).sum(axis=0) - period
    left = np.square(hourly.rest(period)).sum(axis=0)
    found: Float64s = np.where(free > 0, left / np.maximum(free, 1), np.inf)
    return found


def _guessed(values: Float64s, least: int, most: int) -> Int64s:
    """Of s signals the period from ``least`` to ``most``, in hours, whose waves stand out most; 0: none does.

    ``values`` (T, s) of hours, of mean 0, and 0 where there is none. Waves are those of the periodogram over
    what is usual around their frequency; they count where they are beyond ln T, the price of one by BIC.
    """
    length = len(values)
    usual = median_filter(np.abs(rfft(values, axis=0)) ** 2, (AROUND, 1), mode="nearest") / MEDIAN
    periods = np.arange(least, most + 1)
    k = np.arange(1, KINDS + 1)
    cycles = k[:, None] / periods
    turns = np.exp(-2j * np.pi * cycles[..., None] * np.arange(length))
    heights = np.abs(np.tensordot(turns, values, axes=1)) ** 2
    noise = usual[np.minimum(np.rint(cycles * length).astype(np.int64), len(usual) - 1)]
    # A wave must be longer than two hours to be seen in them.
    gain = np.where(cycles[..., None] < 0.5, heights / np.maximum(noise, TINY) - np.log(length), 0.0)
    found = np.maximum(gain, 0.0).sum(axis=0)
    best: Int64s = np.where(found.max(axis=0) > 0, periods[found.argmax(axis=0)], 0)
    return best

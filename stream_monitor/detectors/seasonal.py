"""The scan of what is left of signals when their season is taken off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.scan import Scan
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_calendar import Calendar
from stream_monitor.detectors.season_learner import SeasonLearner


class Seasonal(Scan):
    """A scan that learns the hour of the day, or of the week, or of a period that it finds itself, too.

    Promise: that of the scan, for what is left of a signal when its season is taken off. It is taken off
    where there is one (see ``season_fit``), and what is uncertain about it widens what a window may stray.
    Where there is none this is the scan, to the bit. Levels that are told are those of a whole period. It
    takes 4 days of learning to have a season of the day, 14 for one of the week, and eight periods for one of
    any other whole number of hours.

    A rate is not moved but stretched, for its noise goes with its level: events count for more in hours in
    which more of them are hits (of rates above a half: misses).

    Hours are those of ``follow``; without it those of UTC, and a clock that changes by an hour, or a holiday,
    is a change of the signal: it is told, if the season is then off by more than noise and ``dead``.

    slice_ms: of a slice. start_ms: when the first one begins, since 1970; from there on it counts slices,
    also those without events. The rest: as the scan.

    Memory: that of the scan; 26 KB a signal more while it learns, 2 KB after. Learning costs 2 ms a signal.
    """

    NAME = "seasonal"

    _learner: SeasonLearner

    def __init__(self, signals: int, *, slice_ms: int = 1_000, start_ms: int = 0, **params: Any) -> None:
        self._time = slice_ms, start_ms
        super().__init__(signals, **params)

    def _learns(
        self,
        signals: int,
        learn: int | None,
        share: NDArray[np.bool_],
        level: tuple[Float64s, Float64s] | None,
        follows: Int64s,
    ) -> SeasonLearner:
        return SeasonLearner(signals, learn, share, *self._time, level, follows)

    @property
    def season(self) -> Season:
        """What was learned."""
        return self._learner.season

    @property
    def calendar(self) -> Calendar:
        """Seasons go by it."""
        return self._learner.calendar

    def follow(self, calendar: Calendar) -> None:
        """From the next slice on."""
        self._learner.calendar = calendar

    def resume(self, start_ms: int) -> None:
        """The next slice begins at ``start_ms``, whichever was the last one."""
        self._learner.start_ms = start_ms - (self._current + 1) * self._learner.slice_ms

    def without_season(self, n: Float64s, mean: Float64s) -> tuple[Float64s, Float64s]:
        """The next slice, less its season."""
        return self._learner.steady(self._current + 1, n, mean)

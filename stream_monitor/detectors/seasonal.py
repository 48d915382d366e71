"""The scan of what is left of signals when their season is taken off."""

from __future__ import annotations

from typing import Any

from stream_monitor.detectors.scan import Scan
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_learner import SeasonLearner


class Seasonal(Scan):
    """A scan that learns the hour of the day, or of the week, too.

    Promise: that of the scan, for what is left of a signal when its season is taken off. It is taken off
    where there is one (see ``season_fit``), and what is uncertain about it widens what a window may stray.
    Where there is none this is the scan, to the bit. Levels that are told are those of a whole period. It
    takes 4 days of learning to have a season of the day, and 14 for one of the week.

    A rate is not moved but stretched, for its noise goes with its level: events count for more in hours in
    which more of them are hits (of rates above a half: misses).

    A clock that changes by an hour, or a holiday, is a change of the signal: it is told, if the season is
    then off by more than noise and ``dead``. See Season.

    slice_ms: of a slice. start_ms: when the first one begins, since 1970; from there on it counts slices,
    also those without events. The rest: as the scan.

    Memory: that of the scan; 30 KB a signal more while it learns, 2 KB after. Learning costs 2 ms a signal.
    """

    NAME = "seasonal"

    _learner: SeasonLearner

    def __init__(self, signals: int, *, slice_ms: int = 1_000, start_ms: int = 0, **params: Any) -> None:
        super().__init__(signals, **params)
        learn, share, follows = params.get("learn", 2_000), self._learner.share, self._learner.follows
        self._learner = SeasonLearner(signals, learn, share, slice_ms, start_ms, follows)

    @property
    def season(self) -> Season:
        """What was learned."""
        return self._learner.season

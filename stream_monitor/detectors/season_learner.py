"""Learns the season of signals, and the noise of what is left when it is taken off."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot
from stream_monitor.detectors.learner import Learner, part_of, prefixed
from stream_monitor.detectors.learning import STEPS_MAX, Learned, Learning
from stream_monitor.detectors.noise import Noise, noise_of
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_calendar import Calendar
from stream_monitor.detectors.season_fit import season_of
from stream_monitor.detectors.season_hours import HOUR_MS, WEEK, Hours
from stream_monitor.detectors.sums import SIZES

LEAST = 0.1
"""A rate is taken for at least so much of its level, at any time."""


class SeasonLearner(Learner):
    """A learner that knows the time: slices are of ``slice_ms``, that of index 0 begins at ``start_ms``, and
    seasons go by ``calendar``.

    Signals in which it sees no season are learned as by a Learner, to the bit. Memory: 26 KB a signal more
    until all are watched, 2 KB after.
    """

    def __init__(
        self,
        signals: int,
        learn: int | None,
        share: NDArray[np.bool_],
        slice_ms: int = 1_000,
        start_ms: int = 0,
        level: tuple[Float64s, Float64s] | None = None,
        follows: Int64s | None = None,
    ) -> None:
        super().__init__(signals, learn, share, level, follows)
        if not 0 < slice_ms <= WEEK * HOUR_MS:
            raise ValueError(f"slice_ms: expected 1 to {WEEK * HOUR_MS}, got {slice_ms}")
        self.slice_ms, self.start_ms = slice_ms, start_ms
        self.season = Season.none(signals)
        self.hours = Hours(signals)
        self.calendar = Calendar()
        self._learning = Learning(signals, further=1)
        self._since = 0

    def steady(self, current: int, n: Float64s, mean: Float64s) -> tuple[Float64s, Float64s]:
        """The slice as it would be without season."""
        self._since = current * self.slice_ms
        self._since += self.calendar.ahead(self.start_ms + self._since)
        if not self.season.period.any():
            return n, mean
        return _less(
            n, mean, self.season.at(self.start_ms + self._since, self.slice_ms), self.season, self.share
        )

    def _take(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        self.hours.add(self.start_ms + self._since, self.slice_ms, seen, n, mean)
        self._learning.add(seen, n, mean, m2, n * (self._since + self.slice_ms / 2))

    def _know(self, signals: Int64s) -> None:
        super()._know(signals)
        if signals.size and self.watched.all():
            self.hours = Hours(self.signals)

    def _goes_on(self, signals: Int64s) -> NDArray[np.bool_]:
        """What is taken off from now on was not taken off before."""
        goes_on: NDArray[np.bool_] = super()._goes_on(signals) & (self.season.period[signals] == 0)
        return goes_on

    def _noise(self, signals: Int64s, learned: Learned) -> Noise:
        """What is left of these signals; their season is kept. It is looked for once."""
        if self.watched[signals].all():
            return super()._noise(signals, learned)
        season, share = season_of(self.hours.of(signals), self.slice_ms), self.share[signals]
        if not season.period.any():
            return super()._noise(signals, learned)
        self.season = self.season.with_signals(signals, season)
        off = season.around(self.start_ms + learned.further[0] / learned.n, self.slice_ms << learned.level)
        n, mean = _less(learned.n, learned.total / learned.n, off, season, share)
        total = np.where(season.period > 0, n * mean, learned.total)
        noise = noise_of(learned._replace(n=n, total=total), share)
        widths = SIZES * (float(self.slice_ms) * 2.0 ** np.arange(noise.levels))[:, None]
        error = season.error(widths.ravel()).reshape(noise.between.shape)
        return replace(noise, between=noise.between + error)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.season.nbytes + self.hours.nbytes

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        waves, steps = 16 + 3 * 8 * WEEK // 2, 4 * STEPS_MAX + 8 * self.levels_max(slices)
        return super().bytes_max(slices) + self.signals * (waves + steps) + self.hours.bytes_max()

    def snapshot(self) -> Snapshot:
        """Arrays copied."""
        return {
            **super().snapshot(),
            "slice_ms": self.slice_ms,
            "start_ms": self.start_ms,
            "zone": self.calendar.zone,
            "holidays": np.array(sorted(self.calendar.holidays), np.int64),
            **prefixed({"season": self.season.snapshot(), "hours": self.hours.snapshot()}),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """Raises FormatError, KeyError, TypeError or ValueError if it is no snapshot of one."""
        learner = super().restore(snapshot)
        learner.slice_ms, learner.start_ms = int(snapshot["slice_ms"]), int(snapshot["start_ms"])
        learner.calendar = Calendar.of(str(snapshot["zone"]), snapshot["holidays"].tolist())
        learner.season = Season.restore(part_of(snapshot, "season"))
        learner.hours = Hours.restore(part_of(snapshot, "hours"))
        return learner


def _less(
    n: Float64s, mean: Float64s, off: Float64s, season: Season, share: NDArray[np.bool_]
) -> tuple[Float64s, Float64s]:
    """Slices (.., S) less their season, which is ``off`` now; rates as of more or of fewer events.

    The noise of a rate goes with its level: hits of a rate p are taken as those of n p(t) / p events.
    """
    rates, misses = share & (season.period > 0), season.level > 0.5
    steady = mean - off
    if not rates.any():
        return n, steady
    rarer = np.maximum(np.where(misses, 1.0 - season.level, season.level), 1e-9)
    times = np.where(rates, np.maximum(1.0 + np.where(misses, -off, off) / rarer, LEAST), 1.0)
    rate = np.minimum(np.where(misses, 1.0 - mean, mean) / times, 1.0)
    return n * times, np.where(rates, np.where(misses, 1.0 - rate, rate), steady)

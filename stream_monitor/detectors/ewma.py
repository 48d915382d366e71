"""EWMA: the mean that forgets is too far from the level that was learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot
from stream_monitor.detectors.chart import SPENT, Chart, Step
from stream_monitor.detectors.excursions import ROUNDING
from stream_monitor.detectors.rates import deviance, nearest
from stream_monitor.detectors.sums import SIZES
from stream_monitor.detectors.thresholds import height, of_estimate

_TINY = 1e-200


class Ewma(Chart):
    """The two-sided EWMA control chart over S signals, on weighted slices.

    Promise: on a stationary signal whose memory is short against what was learned, noise alone raises
    fewer than one change in ``run_length`` slices, be it independent or remember, where the mean of
    ``window`` slices is about Gaussian; rates are judged by their deviance. Its variance is exact from
    the first slice on, for slices of any n: the squared weights are summed. Memory is that of the
    shortest window learned that is not shorter: for a mean that forgets gradually it errs to the safe
    side.

    window: the mean has the variance of one of so many slices; 2 / (window + 1) is the share of the latest.
    For ``run_length`` and so on see Chart.

    Memory: as the learner, and 200 bytes a signal. An update is O(S).

    Source: Roberts, Control Chart Tests Based on Geometric Moving Averages, Technometrics 1, 1959. The
    threshold is that of the scan, for one window (Siegmund and Venkatraman 1995).

    >>> random = np.random.default_rng(1)
    >>> ewma, n, m2 = Ewma(signals=1, learn=500), np.array([20.0]), np.array([20.0])
    >>> for index in range(700):
    ...     mean = random.normal(size=1) / 20**0.5 + (index >= 600) * 0.3
    ...     if changes := ewma.update(n, mean, m2):
    ...         print("began about", round(index - changes.since[0], -1))
    ...         break
    began about 600
    """

    NAME = "ewma"
    EXCURSIONS = 1
    STATE = 5
    LIMITS = 8

    def __init__(self, signals: int, *, window: float = 16.0, **params: Any) -> None:
        if not 1 <= window < np.inf:
            raise ValueError(f"ewma.window: expected 1 <= window, got {window}")
        super().__init__(signals, **params)
        self.window = float(window)

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        return super().snapshot() | {"window": self.window}

    @classmethod
    def _own(cls, snapshot: Snapshot) -> Snapshot:
        return {"window": snapshot["window"]}

    @property
    def _lag(self) -> float:
        return self.window

    def _limit(self, level: Float64s, error: Float64s) -> Float64s:
        noise, latest = self.noise, 2.0 / (self.window + 1.0)
        length = SIZES[:, None] * 2.0 ** np.arange(noise.levels)[:, None, None]
        looked = noise.turnover > 0
        rank = np.where(looked & (length >= self.window), length, np.inf).reshape(-1, self.signals)
        if len(rank):
            at = np.where(np.isfinite(rank).any(axis=0), rank.argmin(axis=0), len(rank) - 1)
            place = at, np.arange(self.signals)
            between = (length * noise.between).reshape(-1, self.signals)[place]
            freedom = noise.freedom.reshape(-1, self.signals)[place]
        else:
            between, freedom = np.zeros(self.signals), np.zeros(self.signals)
        passed = of_estimate(height(latest, SPENT / self.run_length), np.maximum(freedom, 1.0))
        slack = self.dead + ROUNDING * np.abs(level)
        found: Float64s = np.stack(
            (level, slack, noise.within, between, error, passed, *nearest(level, noise.n, self.dead))
        )
        return found

    def _step(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> Step:
        del m2
        level, slack, within, between, error, passed, *null = self._limits[:, seen]
        latest = 2.0 / (self.window + 1.0)
        *sums, side = self._state[:, seen]
        weights = latest, latest, latest * latest, latest * latest
        kept = np.array([1.0 - latest] * 2 + [(1.0 - latest) ** 2] * 2)[:, None]
        sums = kept * np.stack(sums) + np.stack((n, n * mean, n, n * n)) * np.array(weights)[:, None]
        events, total, single, squares = sums
        average = total / events
        variance = (within * single + between * squares) / events**2 + error
        squared = np.square(np.maximum(np.abs(average - level) - slack, 0.0))
        rates = self._learner.share[seen]
        if rates.any():
            squared = np.where(rates, deviance(average, np.stack(null), within), squared)
        rounding = ROUNDING * np.abs(level)
        beyond = np.where(np.abs(average - level) > rounding, np.sign(average - level), 0.0)
        self._state[:, seen] = np.concatenate((sums, beyond[None]))
        statistic = np.sqrt(squared / np.maximum(variance, _TINY))
        return Step(statistic, passed, np.zeros(len(seen), np.int64), (beyond != side)[None])

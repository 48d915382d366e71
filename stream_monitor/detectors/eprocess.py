"""E-process: the capital of those who bet against the level that was learned has grown too large."""

from __future__ import annotations

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.chart import Chart, Step
from stream_monitor.detectors.excursions import ROUNDING

SHIFTS = np.array([2.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.0])
"""What is bet on, in standard deviations of an event; 0: on anything, half of what one has."""
STAKE_MAX = 0.9
ERRORS = 3.0
"""A learned level is known up to so many of its standard errors."""
_TINY = 1e-200
_OUTSIDE = 1e-9


class EProcess(Chart):
    """An e-detector over S signals of events in [0, 1], on weighted slices.

    Promise: where the mean of an event, whatever came before it, is within ``dead`` of the level, at least
    ``run_length`` slices pass on average until a change is told: for any distribution and slices of any n,
    without an approximation. A level that was learned is taken to be within ERRORS standard errors. Where
    events remember, there is no such mean: what was learned of memory divides the evidence, and the promise
    is that of long sums.

    Each bet multiplies its capital, at least 1, by exp(stake S - cost V), with S and V the sums of deviations
    from the level and of their squares: no more than by 1 + stake x deviation, event by event. A signal that
    once had a mean outside [0, 1] is not watched any more.

    For ``run_length`` and so on see Chart; ``share`` helps where hits are few. Memory: as the learner, and
    1 KB a signal. An update is O(S).

    Source: Shin, Ramdas and Rinaldo, E-detectors, New England J. Stat. Data Sci. 2, 2024; Waudby-Smith and
    Ramdas, Estimating means of bounded random variables by betting, JRSS B 86, 2024; the bound that needs
    only n, mean and m2 is that of Fan, Grama and Liu, Electron. J. Probab. 20, 2015.

    >>> random = np.random.default_rng(1)
    >>> bets, n, m2 = EProcess(signals=1, learn=500, level=0.3), np.array([20.0]), np.array([4.2])
    >>> for index in range(700):
    ...     mean = random.binomial(20, 0.3 + (index >= 600) * 0.2, size=1) / 20
    ...     if changes := bets.update(n, mean, m2):
    ...         print("began about", round(index - changes.since[0], -1))
    ...         break
    began about 600
    """

    NAME = "eprocess"
    EXCURSIONS = 2 * len(SHIFTS)
    STATE = EXCURSIONS + 1
    LIMITS = 4 + 2 * EXCURSIONS

    def _limit(self, level: Float64s, error: Float64s) -> Float64s:
        noise = self.noise
        slack = self.dead + ROUNDING * np.abs(level) + ERRORS * np.sqrt(error)
        null = np.clip(level + np.outer((1, -1), slack), 0.0, 1.0)
        # No deviation is below -reach.
        reach = np.maximum(np.stack((null[0], 1.0 - null[1])), _OUTSIDE)
        events = np.maximum(noise.n, 1.0)
        finest = noise.between[0, 0] if noise.levels else np.zeros(self.signals)
        variance = np.maximum(noise.within + finest, 1.0 / events)
        memory = np.maximum(noise.long_run * events / np.maximum(noise.slices, 1.0) / variance, 1.0)
        bets = np.where(SHIFTS > 0, SHIFTS, 0.5)[:, None] / np.where(
            SHIFTS[:, None] > 0, np.sqrt(variance), 1.0
        )
        stake = np.minimum(bets, STAKE_MAX / reach[:, None])
        cost = -(np.log1p(-stake * reach[:, None]) + stake * reach[:, None]) / np.square(reach[:, None])
        flat = (self.EXCURSIONS, self.signals)
        found: Float64s = np.concatenate(
            (
                null,
                np.log(self.run_length)[None],
                (np.abs(level - 0.5) > 0.5 + _OUTSIDE)[None].astype(np.float64),
                (stake / memory).reshape(flat),
                (cost / memory).reshape(flat),
            )
        )
        return found

    def _step(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> Step:
        limits, bets = self._limits[:, seen], len(SHIFTS)
        rows, shape = self.EXCURSIONS, (2, bets, len(seen))
        high, low, threshold, misplaced = limits[:4]
        stake, cost = limits[4 : 4 + rows].reshape(shape), limits[4 + rows :].reshape(shape)
        outside = self._state[rows, seen] + misplaced + (np.abs(mean - 0.5) > 0.5 + _OUTSIDE) > 0
        inside = np.clip(mean, 0.0, 1.0)
        deviation = np.stack((inside - high, low - inside))
        squares = m2 + n * np.square(deviation)
        gain = (stake * (n * deviation)[:, None] - cost * squares[:, None]).reshape(rows, len(seen))
        before = self._state[:rows, seen]
        capital = np.where(outside, 0.0, before + gain)
        self._state[:rows, seen] = np.maximum(capital, 0.0)
        self._state[rows, seen] = outside
        statistic = np.logaddexp.reduce(capital, axis=0) - np.log(rows)
        return Step(statistic, threshold, capital.argmax(axis=0), before <= 0)

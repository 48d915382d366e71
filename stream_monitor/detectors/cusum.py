"""CUSUM: the sum of deviations from the learned level, less an allowance, has risen or fallen too far."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s, Snapshot
from stream_monitor.detectors.chart import SPENT, Chart, Step
from stream_monitor.detectors.excursions import ROUNDING
from stream_monitor.detectors.thresholds import OVERSHOOT, excursion_height

_TINY = 1e-200


class Cusum(Chart):
    """The two-sided CUSUM over S signals, on weighted slices.

    Promise: on a stationary signal whose memory is short against what was learned, noise alone raises
    fewer than one change in ``run_length`` slices, be it independent or remember, where slice means are
    about Gaussian: of bounded scores, or of many events. Rates sum their log likelihood ratio instead, at
    any n. It is the fastest of all charts for a shift of ``shift`` (long-run standard deviations of a
    slice), and blind to one of less than half of it. A slice counts by what it tells: its weight is the
    usual variance of a slice over its own. Where traffic is k times what it was while it was learned,
    there may be k times as many.

    For ``run_length`` and so on see Chart. The threshold averages Siegmund's run length over what the level
    and the variance may truly be; steps that remember are not credited with all of the overshoot.

    Memory: as the learner, and 200 bytes a signal. An update is O(S).

    Source: Page, Biometrika 41, 1954; Siegmund, Sequential Analysis, 1985.

    >>> random = np.random.default_rng(1)
    >>> cusum, n, m2 = Cusum(signals=1, learn=500), np.array([20.0]), np.array([20.0])
    >>> for index in range(700):
    ...     mean = random.normal(size=1) / 20**0.5 + (index >= 600) * 0.3
    ...     if changes := cusum.update(n, mean, m2):
    ...         print("began about", round(index - changes.since[0], -1))
    ...         break
    began about 600
    """

    NAME = "cusum"
    EXCURSIONS = STATE = 2
    LIMITS = 10

    def __init__(self, signals: int, *, shift: float = 0.5, **params: Any) -> None:
        if not 0 < shift < np.inf:
            raise ValueError(f"cusum.shift: expected 0 < shift, got {shift}")
        super().__init__(signals, **params)
        self.shift = float(shift)

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        return super().snapshot() | {"shift": self.shift}

    @classmethod
    def _own(cls, snapshot: Snapshot) -> Snapshot:
        return {"shift": snapshot["shift"]}

    @property
    def _lag(self) -> float:
        return 8.0 / self.shift**2

    def _limit(self, level: Float64s, error: Float64s) -> Float64s:
        noise = self.noise
        variance = np.maximum(noise.long_run, _TINY)
        sampling = noise.within * noise.slices / np.maximum(noise.n, 1.0)
        inflation = np.maximum(np.where(sampling > 0, variance / np.maximum(sampling, _TINY), 1.0), 1.0)
        remembered = np.maximum(noise.inflation, 1.0)
        height = excursion_height(
            SPENT / self.run_length, self.shift / 2, error / variance, noise.freedom_least
        )
        credit = np.where(self._learner.share, 0.0, OVERSHOOT / np.sqrt(remembered))
        slack = self.dead + ROUNDING * np.abs(level)
        least = 1.0 / np.maximum(noise.n, 2.0)
        null = np.clip(level + np.outer((1, -1), slack), least, 1.0 - least)
        moved = np.clip(null + np.outer((1, -1), self.shift * np.sqrt(variance)), least, 1.0 - least)
        hit, miss = np.log(moved / null), np.log1p(-moved) - np.log1p(-null)
        limits = level, slack, variance, noise.within, np.maximum(variance - sampling, 0.0)
        evidence = np.concatenate((hit, miss)) / inflation / self.shift
        found: Float64s = np.stack((*limits, np.maximum(height - credit, 0.1), *evidence))
        return found

    def _step(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> Step:
        del m2
        level, slack, variance, within, between, height, *evidence = self._limits[:, seen]
        weight = variance / np.maximum(within / n + between, _TINY)
        deviation = np.stack((mean - level, level - mean)) - slack
        gain = weight * (deviation / np.sqrt(variance) - self.shift / 2)
        rates = self._learner.share[seen]
        if rates.any():
            hit, miss = np.stack(evidence).reshape(2, 2, -1)
            gain = np.where(rates, n * (mean * hit + (1.0 - mean) * miss), gain)
        before = self._state[:, seen]
        sums = np.maximum(before + gain, 0.0)
        self._state[:, seen] = sums
        return Step(sums.max(axis=0), height, sums.argmax(axis=0), before <= 0)

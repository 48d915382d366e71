"""The scan: a window of any length whose mean is too far from the level that was learned."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stream_monitor.detectors.base import (
    ANEW,
    SNAPSHOT_VERSION,
    Changes,
    Float32s,
    Float64s,
    Int64s,
    Snapshot,
    checked_slice,
    checked_snapshot,
    each,
    restored,
)
from stream_monitor.detectors.excursions import ROUNDING, margin
from stream_monitor.detectors.learner import Learner, part_of, prefixed
from stream_monitor.detectors.noise import Noise
from stream_monitor.detectors.rates import deviance, nearest
from stream_monitor.detectors.sums import SIZES, Sums, Windows

UNLIKELY = 0.4
"""A change may have begun with any window whose squared deviation is so much of the one that was found."""
_TINY = 1e-200


class _Limit(NamedTuple):
    """Of windows of ``size`` (W,) blocks, numbers ``looked`` of SIZES, of so many slices, ``length`` (W, 1):
    see Noise; arrays (W, S)."""

    looked: Int64s
    size: Int64s
    length: Float32s
    between: Float32s
    heights: Float32s


class Scan:
    """Looks at windows of K lengths at once, over S signals, for one too far from the level that was learned.

    Promise: on a stationary signal whose memory is short against what was learned (D, the inflation, below
    1 / 25 of the slices), noise alone raises fewer than one change in ``run_length`` slices, whatever the
    signal's dependence is and however many events its slices have, down to one. For rates near 0 or 1 the
    deviance takes the place of the squared deviation, for their noise is not Gaussian. What was too rare
    to learn its memory is taken for independent, or for as dependent as the signal that it ``follows``.

    The first ``learn`` slices are taken for healthy: the level, the spread of events, and how far the level
    moves by itself are learned from them (see ``dependence``), and no change is told. A jump in them widens
    nothing. The level is then what every window is compared with, for ever: a slow drift adds up, and what
    stays away is told again and again, each time from new slices.

    run_length: slices between false changes, a number or an array (S,). learn: so many slices; None: until
    ``begin`` is called. dead: the level may move by this much, (S,). share: which signals are rates of events
    that are 0 or 1, (S,). follows: the signal whose memory each has at the least, -1: only its own, (S,).
    level: see Learner.

    Memory: 1.4 KB a signal where ten are alike, see Sums, 3.4 KB where none are, and 0.1 to 0.3 KB for each
    doubling of a step; 4.7 to 8.4 KB while it learns. An update is O(K S).

    Source: Siegmund and Venkatraman, Ann. Statist. 23, 1995, for the scan; Chu, Stinchcombe and White,
    Monitoring Structural Change, Econometrica 64, 1996, for a level that is an estimate.

    >>> import numpy as np
    >>> random = np.random.default_rng(1)
    >>> scan, n, m2 = Scan(signals=1, learn=500), np.array([20.0]), np.array([20.0])
    >>> for index in range(700):
    ...     mean = random.normal(size=1) / 20**0.5 + (index >= 600)
    ...     if changes := scan.update(n, mean, m2):
    ...         print("began about", round(index - changes.since[0], -1))
    ...         break
    began about 600
    """

    NAME = "scan"

    def __init__(
        self,
        signals: int,
        *,
        run_length: ArrayLike = 1e6,
        learn: int | None = 2_000,
        dead: ArrayLike = 0.0,
        share: ArrayLike = False,
        level: tuple[Float64s, Float64s] | None = None,
        follows: ArrayLike = -1,
    ) -> None:
        self.signals = signals
        self.run_length = each(run_length, signals)
        self.dead = each(dead, signals)
        if not ((self.run_length >= 1).all() and (self.dead >= 0).all()):
            raise ValueError(f"scan: expected run_length >= 1 and dead >= 0, got {run_length!r} and {dead!r}")
        rates = np.broadcast_to(np.asarray(share, np.bool_), signals).copy()
        leads = np.broadcast_to(np.asarray(follows, np.int64), signals).copy()
        self._learner = self._learns(signals, learn, rates, level, leads)
        self._sums = Sums(signals, 0)
        self._limits = list[_Limit]()
        self._null: Float64s = np.zeros((2, signals))
        self._current = -1

    def _learns(
        self,
        signals: int,
        learn: int | None,
        share: NDArray[np.bool_],
        level: tuple[Float64s, Float64s] | None,
        follows: Int64s,
    ) -> Learner:
        return Learner(signals, learn, share, level, follows)

    @property
    def noise(self) -> Noise:
        """What was learned."""
        return self._learner.noise

    @property
    def watched(self) -> Int64s:
        """Slices with events that each signal had since it is watched, (S,)."""
        return self._sums.count

    @property
    def busy(self) -> Float64s:
        """The share of slices that had events, (S,)."""
        return (self._learner.kept.flat.slices + self._sums.count) / max(self._current + 1, 1)

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        self._current += 1
        n, mean = self._learner.steady(self._current, n, mean)
        seen, ready = self._learner.add(seen, n, mean, m2)
        changes = None
        if seen.size:
            highest, found = np.zeros(self.signals), list[tuple[Windows, Float64s]]()
            level, sizes = self._learner.kept.flat.mean, [one.size for one in self._limits]
            off = n[seen] * (mean[seen] - level[seen])
            for windows in self._sums.add(self._current, seen, n[seen], off, sizes):
                ratio = self._ratio(windows)
                found.append((windows, ratio))
                of = windows.signal
                highest[of] = np.maximum(highest[of], ratio.max(axis=0))
            changed = np.flatnonzero(highest > 1.0)
            changes = self._changes(changed, highest[changed], found) if changed.size else None
        self._watch(ready)
        return changes

    def begin(self, anew: float = ANEW) -> None:
        """End learning, of signals that were seen in less than STEPS_MIN slices as soon as they are."""
        self._watch(self._learner.begin(anew))

    def _watch(self, signals: Int64s) -> None:
        """From the next slice on."""
        if signals.size:
            noise = self.noise
            self._sums.grow(noise.levels)
            self._sums.start(signals, self._current)
            heights = np.full(noise.between.shape, np.inf, np.float32)
            for level, limit in enumerate(self._limits):
                heights[level, limit.looked] = limit.heights
            heights[..., signals] = noise.heights(self.run_length, signals)
            self._limit(noise, heights)

    def rate(self, run_length: ArrayLike) -> None:
        """From now on raise one false change in so many slices."""
        self.run_length, noise = each(run_length, self.signals), self.noise
        self._limit(noise, noise.heights(self.run_length))

    def _limit(self, noise: Noise, heights: Float32s) -> None:
        """What an update needs of noise and heights, of the windows that are looked at."""
        self._limits, kept = [], self._learner.kept
        for level in range(noise.levels):
            looked = np.flatnonzero((noise.turnover[level] > 0).any(axis=1))
            first, end = np.searchsorted(kept.level, (level, level + 1))
            rows, size = kept.between[first:end], SIZES[looked]
            between = rows if len(rows) == len(looked) else rows[np.isin(kept.size[first:end], looked)]
            length = (size[:, None] << level).astype(np.float32)
            self._limits.append(_Limit(looked, size, length, between, heights[level, looked]))
        self._null = nearest(noise.mean, noise.n, self.dead)

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            raise ValueError(f"skip: expected slices >= 0, got {slices}")
        self._current += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "run_length": self.run_length.copy(),
            "dead": self.dead.copy(),
            "current": self._current,
            **prefixed({"learner": self._learner.snapshot(), "sums": self._sums.snapshot()}),
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        signals = len(snapshot["dead"])
        often, dead = (restored(snapshot, name, np.float64, (signals,)) for name in ("run_length", "dead"))
        scan = cls(signals, learn=None, run_length=often, dead=dead)
        scan._current = int(snapshot["current"])
        scan._learner = type(scan._learner).restore(part_of(snapshot, "learner"))
        scan._sums = Sums.restore(part_of(snapshot, "sums"))
        scan.rate(scan.run_length)
        return scan

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        limits = sum(limit.heights.nbytes for limit in self._limits)
        parts = self._sums, self._learner, self._null, self.run_length, self.dead
        return sum(part.nbytes for part in parts) + limits

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        levels = self._learner.levels_max(slices)
        limits = levels * 4 * len(SIZES) + 32
        sums = Sums.bytes_max(self.signals, levels)
        return self._learner.bytes_max(slices) + sums + self.signals * limits

    def _ratio(self, windows: Windows) -> Float64s:
        """The squared deviation of each window (W, s), in variances, over what it has to pass."""
        noise, of, limit = self._learner.kept.flat, windows.signal, self._limits[windows.level]
        shift, within = windows.off / windows.n, noise.within[of]
        variance = limit.between[:, of] * limit.length * (windows.squares / (windows.n * windows.n))
        variance += within / windows.n + noise.error[of]
        level = noise.mean[of]
        # A constant whose sums were rounded has not moved.
        slack = self.dead[of] + ROUNDING * np.abs(level)
        squared = np.square(np.maximum(np.abs(shift) - slack, 0.0))
        rates = self._learner.share[of]
        if rates.any():
            of_rates = deviance(level + shift, self._null[:, of], within)
            squared = np.where(rates, of_rates, squared)
        found: Float64s = squared / (np.maximum(variance, _TINY) * limit.heights[:, of])
        return found

    def _changes(self, changed: Int64s, highest: Float64s, found: list[tuple[Windows, Float64s]]) -> Changes:
        """Of each changed signal (k,) the window that passed by most, the shorter of equal ones."""
        noise, k = self.noise, len(changed)
        level, size = np.zeros((2, k), np.int64)
        n, off = np.zeros((2, k))
        for windows, ratio in reversed(found):
            signals = np.arange(self.signals)[windows.signal]
            there = np.flatnonzero(np.isin(changed, signals))
            of = np.searchsorted(signals, changed[there])
            best = ratio[:, of].argmax(axis=0)
            equal = ratio[best, of] == highest[there]
            there, best, of = there[equal], best[equal], of[equal]
            level[there], size[there] = windows.level, self._limits[windows.level].looked[best]
            n[there], off[there] = windows.n[best, of], windows.off[best, of]
        first, after = self._sums.began(level, SIZES[size], changed)
        shift = off / n
        mean, rates = noise.mean[changed] + shift, self._learner.share[changed]
        wide = self._margin(changed, level, size, n, shift) + (1 << level)
        heights = self._height(level, size, changed)
        earliest = np.minimum(after - wide, self._earliest(changed, highest))
        self._sums.reset(changed)
        return Changes(
            signal=changed,
            since=self._current - first,
            earliest=self._current - earliest,
            latest=np.maximum(self._current - first - wide, 0),
            before_n=noise.n[changed],
            before_mean=noise.mean[changed],
            after_n=n,
            after_mean=np.where(rates, np.clip(mean, 0.0, 1.0), mean),
            statistic=np.sqrt(highest * heights),
            threshold=np.sqrt(heights),
        )

    def _height(self, level: Int64s, size: Int64s, signal: Int64s) -> Float32s:
        """Of one window of each signal (k,)."""
        limits = [self._limits[one] for one in level.tolist()]
        rows = [int(np.searchsorted(limit.looked, one)) for limit, one in zip(limits, size, strict=True)]
        found = [float(limit.heights[row, at]) for limit, row, at in zip(limits, rows, signal, strict=True)]
        return np.array(found, np.float32)

    def _earliest(self, changed: Int64s, highest: Float64s) -> Int64s:
        """Where the longest window begins that is unlikely, too, (k,).

        A short window is often the first to pass by chance, though the level had moved before.
        """
        found = np.full(self.signals, self._current + 1)
        least = np.zeros(self.signals)
        least[changed] = UNLIKELY * highest
        for level, limit in enumerate(self._limits):
            of, windows = self._sums.latest(level, changed, limit.size)
            near = self._ratio(windows) >= least[of]
            for size, unlikely in zip(limit.size, near, strict=True):
                alike = of[unlikely]
                _, after = self._sums.began(np.full(len(alike), level), np.full(len(alike), size), alike)
                found[alike] = np.minimum(found[alike], after)
        return found[changed]

    def _margin(self, signal: Int64s, level: Int64s, size: Int64s, n: Float64s, shift: Float64s) -> Int64s:
        length = SIZES[size] << level
        variance = self.noise.within[signal] / n + self.noise.between[level, size, signal]
        return margin(length * variance, shift)

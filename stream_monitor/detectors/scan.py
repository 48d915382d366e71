"""The scan: a window of any length whose mean is too far from the level that was learned."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from stream_monitor.detectors.base import (
    SNAPSHOT_VERSION,
    Changes,
    Float64s,
    Int64s,
    Snapshot,
    checked_slice,
    checked_snapshot,
    restored,
)
from stream_monitor.detectors.learning import STEPS_MAX, Learning
from stream_monitor.detectors.noise import LEVELS, STEPS_MIN, Noise, noise_of
from stream_monitor.detectors.sums import BLOCKS, SIZES, Sums, Windows

QUANTILE = 11.0
"""Of the place of a change in 95 %, in units of long-run variance over squared shift (Bai 1997)."""
MARGIN_MAX = 1e9
_TINY = 1e-200


class Scan:
    """Looks at windows of K lengths at once, over S signals, for one too far from the level that was learned.

    Promise: on a stationary signal whose memory is short against what was learned (D, the inflation, below
    1 / 25 of the slices), noise alone raises fewer than one change in ``run_length`` slices, whatever the
    signal's dependence is and however many events its slices have, down to one. For rates near 0 or 1 the
    deviance takes the place of the squared deviation, for their noise is not Gaussian.

    The first ``learn`` slices are taken for healthy: the level, the spread of events, and how far the level
    moves by itself are learned from them (see ``dependence``), and no change is told. A jump in them widens
    nothing. The level is then what every window is compared with, for ever: a slow drift adds up, and what
    stays away is told again and again, each time from new slices.

    run_length: slices between false changes, a number or an array (S,). learn: so many slices; None: until
    ``begin`` is called. dead: the level may move by this much, (S,). share: which signals are rates of events
    that are 0 or 1, (S,).

    Memory: 3 KB a signal and 0.2 KB for each doubling of a step; 16 KB while it learns. An update is O(K S).

    Source: Siegmund and Venkatraman, Ann. Statist. 23, 1995, for the scan; Chu, Stinchcombe and White,
    Monitoring Structural Change, Econometrica 64, 1996, for a level that is an estimate.

    >>> import numpy as np
    >>> random = np.random.default_rng(1)
    >>> scan, n, m2 = Scan(signals=1, learn=500), np.array([20.0]), np.array([20.0])
    >>> for index in range(700):
    ...     mean = random.normal(size=1) / 20**0.5 + (index >= 600)
    ...     if changes := scan.update(n, mean, m2):
    ...         print(index, "began", index - changes.since[0])
    ...         break
    601 began 600
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
    ) -> None:
        if learn is not None and learn < STEPS_MIN:
            raise ValueError(f"scan.learn: expected at least {STEPS_MIN}, got {learn}")
        self.signals = signals
        self.run_length: Float64s = _each(run_length, signals)
        self.dead: Float64s = _each(dead, signals)
        self.share: NDArray[np.bool_] = np.broadcast_to(np.asarray(share, np.bool_), (signals,)).copy()
        if not ((self.run_length >= 1).all() and (self.dead >= 0).all()):
            raise ValueError(f"scan: expected run_length >= 1 and dead >= 0, got {run_length!r} and {dead!r}")
        self.noise = Noise.none(signals)
        self._learn = learn or 0
        self._learning = Learning(signals)
        self._watched: NDArray[np.bool_] = np.zeros(signals, np.bool_)
        self._heights = self.noise.heights(self.run_length)
        self._sums = Sums(signals, 0)
        self._current = -1

    def update(self, n: Float64s, mean: Float64s, m2: Float64s) -> Changes | None:
        """See Detector.update."""
        seen = checked_slice(self.signals, n, mean, m2)
        self._current += 1
        watched = self._watched[seen]
        if not watched.all():
            self._take(seen[~watched], n, mean, m2)
            seen = seen[watched]
        highest, found = np.zeros(self.signals), list[tuple[Windows, Float64s]]()
        if seen.size:
            for windows in self._sums.add(self._current, seen, n[seen], n[seen] * mean[seen]):
                ratio = self._ratio(windows)
                found.append((windows, ratio))
                of = windows.signal
                highest[of] = np.maximum(highest[of], ratio.max(axis=0))
        changed = np.flatnonzero(highest > 1.0)
        return self._changes(changed, highest[changed], found) if changed.size else None

    def _take(self, seen: Int64s, n: Float64s, mean: Float64s, m2: Float64s) -> None:
        """Learn from a slice of signals that are not watched yet."""
        self._learning.add(seen, n[seen], mean[seen], m2[seen])
        if self._learn:
            self._watch(seen[self._learning.slices[seen] >= self._learn])

    def begin(self) -> None:
        """End learning, of signals that were seen in less than STEPS_MIN slices as soon as they are."""
        self._learn = STEPS_MIN
        self._watch(np.flatnonzero(~self._watched & (self._learning.slices >= STEPS_MIN)))

    def _watch(self, signals: Int64s) -> None:
        if not signals.size:
            return
        for several, learned in self._learning.groups(signals):
            self.noise = self.noise.with_signals(several, noise_of(learned, self.share[several]))
        self._heights = self.noise.heights(self.run_length)
        self._sums.grow(self.noise.levels)
        self._watched[signals] = True
        if self._watched.all():
            self._learning = Learning(self.signals)

    def rate(self, run_length: ArrayLike) -> None:
        """From now on raise one false change in so many slices."""
        self.run_length = _each(run_length, self.signals)
        self._heights = self.noise.heights(self.run_length)

    def skip(self, slices: int) -> None:
        """See Detector.skip."""
        if slices < 0:
            raise ValueError(f"skip: expected slices >= 0, got {slices}")
        self._current += slices

    def snapshot(self) -> Snapshot:
        """See Detector.snapshot."""
        parts = {
            "noise": self.noise.snapshot(),
            "learning": self._learning.snapshot(),
            "sums": self._sums.snapshot(),
        }
        return {
            "detector": self.NAME,
            "version": SNAPSHOT_VERSION,
            "learn": self._learn,
            "run_length": self.run_length.copy(),
            "dead": self.dead.copy(),
            "share": self.share.astype(np.int64),
            "watched": self._watched.astype(np.int64),
            "current": self._current,
            **{f"{part}.{name}": one for part, of in parts.items() for name, one in of.items()},
        }

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Self:
        """See Detector.restore."""
        checked_snapshot(snapshot, cls.NAME)
        signals = len(snapshot["dead"])
        arrays = {name: restored(snapshot, name, np.float64, (signals,)) for name in ("run_length", "dead")}
        masks = {name: restored(snapshot, name, np.int64, (signals,)) > 0 for name in ("share", "watched")}
        scan = cls(signals, learn=None, share=masks["share"], **arrays)
        scan._learn, scan._watched = int(snapshot["learn"]), masks["watched"]
        scan._current = int(snapshot["current"])
        scan.noise = Noise.restore(_part(snapshot, "noise"))
        scan._learning = Learning.restore(_part(snapshot, "learning"))
        scan._sums = Sums.restore(_part(snapshot, "sums"))
        scan.rate(scan.run_length)
        return scan

    @property
    def nbytes(self) -> int:
        """What the state takes, in bytes."""
        parts = self._sums, self.noise, self._learning, self._heights, self.run_length, self.dead
        return sum(part.nbytes for part in parts) + 2 * self.signals

    def bytes_max(self, slices: int) -> int:
        """Bound on ``nbytes`` once so many slices with events were seen."""
        deep = max(0, slices.bit_length() - 10)
        learning = 16 * 2 * STEPS_MAX + 48 * (deep + 1) + 32
        watching = (deep + LEVELS) * (40 * BLOCKS + 4 * 8 * len(SIZES)) + 100
        return self.signals * (learning + watching)

    def _ratio(self, windows: Windows) -> Float64s:
        """The squared deviation of each window (W, s), in variances, over what it has to pass."""
        noise, of = self.noise, windows.signal
        mean = windows.total / windows.n
        uneven = SIZES[:, None] * 2.0**windows.level * windows.squares / windows.n**2
        between = noise.between[windows.level][:, of]
        variance = noise.within[of] / windows.n + between * uneven + noise.error[of]
        squared = np.square(np.maximum(np.abs(mean - noise.mean[of]) - self.dead[of], 0.0))
        rates = self.share[of]
        if rates.any():
            squared[:, rates] = self._deviance(mean[:, rates], of[rates])
        found: Float64s = squared / np.maximum(variance, _TINY) / self._heights[windows.level][:, of]
        return found

    def _deviance(self, rate: Float64s, of: Int64s) -> Float64s:
        """Twice the log likelihood ratio of rates (W, s) against the nearest that is within reach, in squared
        deviations: times the variance of an event."""
        least = 1.0 / np.maximum(self.noise.n[of], 2.0)
        level, dead = np.clip(self.noise.mean[of], least, 1.0 - least), self.dead[of]
        null = np.clip(rate, np.maximum(level - dead, least), np.minimum(level + dead, 1.0 - least))
        gain = xlogy(rate, rate / null) + xlogy(1.0 - rate, (1.0 - rate) / (1.0 - null))
        found: Float64s = 2.0 * np.maximum(gain, 0.0) * self.noise.within[of]
        return found

    def _changes(self, changed: Int64s, highest: Float64s, found: list[tuple[Windows, Float64s]]) -> Changes:
        """Of each changed signal (k,) the window that passed by most, the shorter of equal ones."""
        noise, k = self.noise, len(changed)
        first, after, level, size = np.zeros((4, k), np.int64)
        n, total = np.zeros((2, k))
        for windows, ratio in reversed(found):
            place = np.searchsorted(windows.signal, changed)
            there = np.flatnonzero(np.isin(changed, windows.signal))
            of = place[there]
            best = ratio[:, of].argmax(axis=0)
            equal = ratio[best, of] == highest[there]
            there, best, of = there[equal], best[equal], of[equal]
            level[there], size[there] = windows.level, best
            n[there], total[there] = windows.n[best, of], windows.total[best, of]
            first[there], after[there] = windows.first[best, of], windows.after[best, of]
        self._sums.reset(changed)
        mean = total / n
        margin = self._margin(changed, level, size, n, mean - noise.mean[changed]) + (1 << level)
        heights = self._heights[level, size, changed]
        return Changes(
            signal=changed,
            since=self._current - first,
            earliest=self._current - after + margin,
            latest=np.maximum(self._current - first - margin, 0),
            before_n=noise.n[changed],
            before_mean=noise.mean[changed],
            after_n=n,
            after_mean=mean,
            statistic=np.sqrt(highest * heights),
            threshold=np.sqrt(heights),
        )

    def _margin(self, signal: Int64s, level: Int64s, size: Int64s, n: Float64s, shift: Float64s) -> Int64s:
        """How many slices off the place of a change is, at most, in 95 % (Bai, Econom. Theory 13, 1997)."""
        length = SIZES[size] << level
        variance = self.noise.within[signal] / n + self.noise.between[level, size, signal]
        slices = QUANTILE * length * variance / np.maximum(shift * shift, _TINY)
        return np.minimum(slices, MARGIN_MAX).astype(np.int64)


def _part(snapshot: Snapshot, part: str) -> Snapshot:
    return {
        name.removeprefix(f"{part}."): one for name, one in snapshot.items() if name.startswith(f"{part}.")
    }


def _each(value: ArrayLike, signals: int) -> Float64s:
    return np.broadcast_to(np.asarray(value, np.float64), (signals,)).copy()

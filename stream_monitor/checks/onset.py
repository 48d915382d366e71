"""How a change began, from the course of a score: at once or gradually, since when; whether it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream_monitor.checks.calm import Calm
from stream_monitor.checks.course import Blocks
from stream_monitor.events import Float64s

Kind = Literal["sudden", "gradual", "undecided"]

GRADUAL = 5.0
"""A ramp must be better than the best step by so much deviance. Of steps 5 % pass 3.1 and 1 % pass 5.6,
at most (seen of 400 each of 1 to 100 sd, 8 to 3,000 slices ago, without and with memory)."""
SUDDEN = 5.0
"""Every ramp that took longer than SUDDEN_SHARE of the time since must be worse by so much."""
SUDDEN_SHARE = 0.25
ENDED = 12.0
"""A change that ended must be better than one that goes on by so much."""
PLACE = 7.35
"""Of the deviance at the true place of a step above the least, 95 % (Siegmund 1988); of a kink, more."""
STILL = 3.84
"""A ramp may still go on if that is worse by no more."""
CONTEXT = 8
"""The beginning is looked for so many times as long ago as a change was noted, and further if it is there."""
BEFORE_MIN = 32
"""Blocks from before a change was noted that are looked at, where there are as many."""
ROUNDING = 1e-9
"""Variances are taken to be at least this share of the largest deviation, squared."""
_BLOCKS_MIN = 4
_RESIDUALS_MIN = 6
_TINY = 1e-200


@dataclass(frozen=True, slots=True)
class Onset:
    """How a change began. Times are epoch ms, at the edges of slices.

    ``since`` the start of the first changed slice, between ``earliest`` and ``latest`` (95 % or more). A
    gradual change moved until ``until``, None where it may still. ``ended``: back at the level since then.
    """

    kind: Kind
    since: int
    earliest: int
    latest: int
    until: int | None
    ended: int | None


def onset(blocks: Blocks, noted: int, calm: Calm) -> Onset | None:
    """Of the change that was noted to have begun at ``noted``; None where the course is too short to say.

    Compares by least squares a step with a ramp, at all places that the course can tell apart. Where the
    score strays by more than ``calm`` says, before or after, it is believed less.

    Promise: where noise is as ``calm`` says, fewer than 5 % of sudden changes are said to be gradual, and
    fewer than 5 % of those that took longer than SUDDEN_SHARE of the time since, sudden. A finding is told
    early: of a slow change there is then little to see, and it is undecided.
    Cost: O(k^2) for k blocks that are looked at, 3 ms for 130.
    """
    blocks = blocks.take(blocks.n > 0)
    first = _first_looked_at(blocks, noted)
    found = _told_of(blocks.take(slice(first, None)), noted, calm)
    while found is not None and first > 0 and found.earliest <= blocks.begin[first + 1]:
        # What lies before may be as high: a slow change is noted long after it began.
        first = max(2 * first - len(blocks.n), 0)
        found = _told_of(blocks.take(slice(first, None)), noted, calm)
    return found


def _first_looked_at(blocks: Blocks, noted: int) -> int:
    if not len(blocks.n):
        return 0
    first = int(np.searchsorted(blocks.end, noted - CONTEXT * (int(blocks.end[-1]) - noted), "right"))
    least = int(np.searchsorted(blocks.end, noted, "right")) - BEFORE_MIN
    return max(min(first, least), 0)


def _told_of(blocks: Blocks, noted: int, calm: Calm) -> Onset | None:
    if len(blocks.n) < _BLOCKS_MIN:
        return None
    factor = _as_shares(blocks, noted, calm)
    fits = _fitted(blocks, calm, factor)
    end = fits.ended(int(np.searchsorted(blocks.begin, noted, "right")))
    if end is None:
        return _told(blocks, fits, None)
    before = blocks.take(slice(end - 1))
    if len(before.n) < _BLOCKS_MIN:
        return None
    return _told(before, _fitted(before, calm, factor[: end - 1]), int(blocks.begin[end]))


def _fitted(blocks: Blocks, calm: Calm, factor: Float64s) -> _Fits:
    """With variances ``factor`` times as large as told, (k,), or more where the best fit leaves more."""
    return _Fits(blocks, calm, factor * _Fits(blocks, calm, factor).excess())


def _as_shares(blocks: Blocks, noted: int, calm: Calm) -> Float64s:
    """By how much the variance of blocks is another since the share of events changed, (k,)."""
    since = blocks.end > noted
    factor = np.ones(len(blocks.n))
    if calm.share and since.any():
        rate = blocks.total[since].sum() / blocks.n[since].sum()
        factor[since] = max(1.0, rate * (1.0 - rate) / max(calm.within, _TINY))
    return factor


class _Fits:
    """Deviances of all fits to N blocks: level and shift by least squares, for each place.

    ``ramps[i, j]`` (N, N + 1): up from the begin of block i to that of j, N: to the end. ``steps`` (N,) at
    the begin of a block, ``broken`` (N,) within it, for the ``share`` of it that is after the change.
    """

    def __init__(self, blocks: Blocks, calm: Calm, factor: Float64s) -> None:
        began, span = blocks.begin[0], float(blocks.end[-1] - blocks.begin[0])
        self.edge = (np.append(blocks.begin, blocks.end[-1]) - began) / span
        self.t = ((blocks.begin + blocks.end) / 2.0 - began) / span
        self.z = blocks.total / blocks.n - calm.level
        slices = np.clip(blocks.n / calm.events, 1.0, blocks.slices)
        variance = (calm.within / blocks.n + calm.memory / slices) * factor
        # A constant that moved has no noise to be measured by.
        least = ROUNDING * (float(np.max(self.z * self.z)) or 1.0)
        self.w = 1.0 / np.maximum(variance, least)
        self.dead = calm.dead
        # The level may rest anywhere where it has not changed, and is known no better than it was learned.
        self.prior = 1.0 / max(calm.error + calm.dead**2, least)
        w, t, z = self.w, self.t, self.z
        self.weight, self.weight_t, self.weight_tt = _sums(w), _sums(w * t), _sums(w * t * t)
        self.moved, self.moved_t = _sums(w * z), _sums(w * t * z)
        self.squares = float(np.sum(w * z * z))
        self.ramps = self._ramps()
        self.steps, self.broken, self.share = self._steps()

    @property
    def least_step(self) -> float:
        return float(min(self.steps.min(), self.broken.min()))

    @property
    def least(self) -> float:
        return float(min(self.least_step, self.ramps.min()))

    def _deviance(self, g: Float64s, gg: Float64s, gz: Float64s) -> Float64s:
        """Of a fit of level + shift x g, by the weighted sums of g, g^2 and g z."""
        whole, moved = self.weight[-1] + self.prior, self.moved[-1]
        left, along = gg - g * g / whole, gz - g * moved / whole
        gain = np.divide(along * along, left, out=np.zeros_like(left), where=left > 1e-12 * gg)
        deviance: Float64s = self.squares - moved * moved / whole - gain
        return deviance

    def _ramps(self) -> Float64s:
        i, j = np.arange(len(self.w))[:, None], np.arange(len(self.w) + 1)
        weight, moved = self.weight[j] - self.weight[i], self.moved[j] - self.moved[i]
        weight_t, moved_t = self.weight_t[j] - self.weight_t[i], self.moved_t[j] - self.moved_t[i]
        weight_tt = self.weight_tt[j] - self.weight_tt[i]
        begin, length = self.edge[i], np.where(j > i, self.edge[j] - self.edge[i], 1.0)
        after, moved_after = self.weight[-1] - self.weight[j], self.moved[-1] - self.moved[j]
        g = (weight_t - begin * weight) / length + after
        gg = (weight_tt - 2.0 * begin * weight_t + begin * begin * weight) / (length * length) + after
        gz = (moved_t - begin * moved) / length + moved_after
        return np.where(j > i, self._deviance(g, gg, gz), np.inf)

    def _steps(self) -> tuple[Float64s, Float64s, Float64s]:
        """At edges; within blocks, as if these had not been seen but for being between both levels."""
        w, z = self.w, self.z
        after, moved = self.weight[-1] - self.weight[:-1], self.moved[-1] - self.moved[:-1]
        steps = self._deviance(after, after, moved)
        after, moved = after - w, moved - w * z
        whole, rest = self.weight[-1] + self.prior - w, self.moved[-1] - w * z
        left, along = after - after * after / whole, moved - after * rest / whole
        shift = np.divide(along, left, out=np.zeros_like(left), where=left > 1e-12 * after)
        level = (rest - shift * after) / whole
        apart = np.where(shift == 0.0, 1.0, shift)
        share = np.clip((z - level) / apart, 0.0, 1.0)
        off = z - level - share * shift
        broken = self.squares - w * z * z - rest * rest / whole - shift * along + w * off * off
        return steps, np.where(shift == 0.0, np.inf, broken), share

    def ended(self, first: int) -> int | None:
        """The block, ``first`` or later, with whose begin the score came back; None: it did not, or may not
        have."""
        i, j = np.arange(len(self.w))[:, None], np.arange(len(self.w))
        g, gz = self.weight[j] - self.weight[i], self.moved[j] - self.moved[i]
        deviance = np.where((j > i) & (j >= first), self._deviance(g, g, gz), np.inf)
        end = int(deviance.min(axis=0).argmin())
        if deviance[:, end].min() > self.least - ENDED:
            return None
        back = self.weight[-1] - self.weight[end]
        off = (self.moved[-1] - self.moved[end]) / back
        return end if abs(off) <= self.dead + 2.0 / np.sqrt(back) else None

    def excess(self) -> Float64s:
        """By how much each block strays by more than was told, (N,): before the change, and since."""
        i, j = self.best()
        g = np.clip((self.t - self.edge[i]) / max(self.edge[j] - self.edge[i], 1e-12), 0.0, 1.0)
        a = np.stack((np.ones_like(g), g), axis=1) * np.sqrt(self.w)[:, None]
        level, shift = np.linalg.lstsq(a, self.z * np.sqrt(self.w), rcond=None)[0].tolist()
        squares = self.w * np.square(self.z - level - shift * g)
        at, factor = np.arange(len(g)), np.ones_like(g)
        for side, inner in ((at < i, at < i - 1), (at >= i, (at > i) & ~((at >= j - 1) & (at <= j)))):
            if (count := int(inner.sum())) >= _RESIDUALS_MIN:
                factor[side] = max(1.0, squares[inner].sum() / (count - 2.0))
        return np.asarray(factor, np.float64)

    def best(self) -> tuple[int, int]:
        """From the begin of which block to that of which other the best fit moves."""
        if self.ramps.min() < self.least_step:
            i, j = np.unravel_index(int(self.ramps.argmin()), self.ramps.shape)
            return int(i), int(j)
        at = int(np.minimum(self.steps, self.broken).argmin())
        return at, at


def _sums(values: Float64s) -> Float64s:
    """Of the first k, (N + 1,)."""
    return np.concatenate((np.zeros(1), np.cumsum(values)))


def _told(blocks: Blocks, fits: _Fits, ended: int | None) -> Onset:
    kind = _kind(fits)
    at, until = _first(blocks, fits), None
    if kind == "gradual":
        i, j = np.unravel_index(int(fits.ramps.argmin()), fits.ramps.shape)
        at = int(blocks.begin[i])
        still = fits.ramps[:, -1].min() <= fits.ramps.min() + STILL
        if not still or ended is not None:
            until = int(blocks.begin[j]) if j < len(blocks.n) else int(blocks.end[-1])
    earliest, latest = _interval(blocks, fits)
    return Onset(kind, at, min(earliest, at), max(latest, at), until, ended)


def _kind(fits: _Fits) -> Kind:
    if fits.ramps.min() < fits.least_step - GRADUAL:
        return "gradual"
    i, _ = fits.best()
    lengths = fits.edge - fits.edge[: len(fits.w), None]
    long = lengths >= SUDDEN_SHARE * (fits.edge[-1] - fits.edge[i])
    slow = np.where(long, fits.ramps, np.inf).min()
    return "sudden" if slow > fits.least + SUDDEN else "undecided"


def _first(blocks: Blocks, fits: _Fits) -> int:
    """The start of the first slice after the best step."""
    if fits.steps.min() <= fits.broken.min():
        return int(blocks.begin[fits.steps.argmin()])
    at = int(fits.broken.argmin())
    begin, end, slices = int(blocks.begin[at]), int(blocks.end[at]), float(blocks.slices[at])
    before = round((1.0 - float(fits.share[at])) * slices)
    if before == slices and at + 1 < len(blocks.n):
        return int(blocks.begin[at + 1])
    return begin + int((end - begin) * before / slices)


def _interval(blocks: Blocks, fits: _Fits) -> tuple[int, int]:
    """Of the begin: places that are worse by no more than PLACE, to the edges of their blocks."""
    near = fits.least + PLACE
    ramps, within = np.flatnonzero(fits.ramps.min(axis=1) <= near), np.flatnonzero(fits.broken <= near)
    places = np.concatenate((ramps - 1, ramps + 1, np.flatnonzero(fits.steps <= near), within, within + 1))
    first, last = np.clip((places.min(), places.max()), 0, len(blocks.n) - 1)
    return int(blocks.begin[first]), int(blocks.begin[last])

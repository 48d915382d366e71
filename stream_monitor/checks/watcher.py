"""A configured detector on the scores that it watches, in the terms that its thresholds are stated in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor import detectors
from stream_monitor.checks import distribution, movement
from stream_monitor.checks.base import Observations, Score, Unit
from stream_monitor.checks.numeric import follows
from stream_monitor.checks.shares import shares
from stream_monitor.detectors import Ks, Seasonal
from stream_monitor.detectors.base import Changes, Detector, Learns, Snapshot
from stream_monitor.detectors.noise import Noise
from stream_monitor.detectors.season_calendar import Calendar
from stream_monitor.events import Float64s, Int64s

if TYPE_CHECKING:
    from stream_monitor.config import Detector as Configured

LEARN = frozenset({"scan", "cusum", "ewma", "eprocess", "ks"})
"""Detectors that learn from slices as they come, how far a level moves by itself, and keep the budget."""
APART = frozenset({distribution.NAME, movement.NAME})
"""Checks whose scores have a detector of their own."""
SEASONAL: dict[str, type[Seasonal]] = {"scan": Seasonal, "ks": Ks}
"""Those that learn a season, too."""


class Watcher:
    """One detector, of all ``scores`` on those that it is made for.

    ``reference``: what they are compared with, where that is known; None: it is learned from what comes,
    until ``begin``. ``start``: of the first slice, in ms. ``season``: whether that takes long enough to learn
    one, for which more is kept. ``check``: whose scores it is for, of those APART; "": as it is configured.
    """

    def __init__(
        self,
        configured: Configured,
        scores: Sequence[Score],
        slice_ms: int,
        start: int,
        reference: Observations | None,
        *,
        season: bool,
        check: str = "",
    ) -> None:
        self.name = str(configured.river or configured.name)
        only = check or {"ks": distribution.NAME}.get(configured.name, "")
        self.at: Int64s = np.array(
            [at for at, one in enumerate(scores) if (one.check if one.check in APART else "") == only],
            np.int64,
        )
        """Places of the scores that it watches."""
        self.scores = [scores[at] for at in self.at.tolist()]
        self.learns = configured.name in LEARN
        self.keeps_budget = self.learns and "run_length" not in configured.params
        self._kind = configured.name
        self._scale: tuple[Float64s, Float64s] = self._bounded()
        level = None if reference is None else self._seen(reference)
        clock = {"slice_ms": slice_ms, "start_ms": start} if season else {}
        self.detector = self._make(configured.params, level, clock)

    def compare(self, reference: Observations, sd: Float64s) -> None:
        """From now on with this. Page-Hinkley's thresholds are stated in its standard deviations."""
        if self._kind == "page_hinkley":
            self._scale = reference.mean[self.at], sd[self.at]

    def _bounded(self) -> tuple[Float64s, Float64s]:
        """Offset and unit of what a detector sees: the bounded score itself, which ADWIN's guarantee asks
        for, or as a share where its bounds are stated."""
        ranks = np.array([score.unit == Unit.RANK for score in self.scores], np.bool_)
        ranks &= self._kind == "eprocess"
        return np.where(ranks, -1.0, 0.0), np.where(ranks, 2.0, 1.0)

    @property
    def _dead(self) -> Float64s:
        return np.array([score.dead for score in self.scores]) / self._scale[1]

    def _make(
        self, params: Mapping[str, Any], level: Observations | None, clock: Mapping[str, int]
    ) -> Detector:
        """ADWIN's delta is the model's: its scores share it.

        Page-Hinkley's defaults are in standard deviations of the reference: changes below 0.05 are tolerated,
        and by Wald's approximation, exp(2 delta threshold) / (2 delta^2) events, a score of independent
        events alarms once in 10^11.
        """
        params, scores = dict(params), len(self.scores)
        if self._kind == "adwin":
            params["delta"] = params.get("delta", 0.002) / max(scores, 1)
        if self._kind == "page_hinkley":
            params = {"delta": 0.05, "threshold": 200.0} | params
        if self.learns:
            params |= self._learning(params, level)
        if self._kind in SEASONAL and clock:
            return SEASONAL[self._kind](scores, **clock, **params)
        return detectors.make(self.name, scores, params)

    def _learning(self, params: Mapping[str, Any], level: Observations | None) -> dict[str, Any]:
        often = params.get("run_length", 1e6) * max(len(self.scores), 1)
        found: dict[str, Any] = {"learn": None, "run_length": often, "dead": self._dead}
        if self._kind != "ks":
            found["share"] = [score.unit == Unit.SHARE for score in self.scores]
        if self._kind == "scan":
            found["follows"] = follows(self.scores)
        if level is not None:
            mean = np.where(level.n > 0, level.mean, np.nan)
            found["level"] = (mean, level.n) if self._kind in SEASONAL else mean
        return found

    def _seen(self, slices: Observations) -> Observations:
        """The scores that it watches, in its terms."""
        offset, unit = self._scale
        n, mean, m2 = slices.n[self.at], slices.mean[self.at], slices.m2[self.at]
        return Observations(n, (mean - offset) / unit, m2 / unit**2)

    def begin(self, reference: Observations, anew: float) -> None:
        """What was learned is what is watched against; see Learns."""
        if isinstance(self.detector, Learns):
            self.detector.begin(anew)
        else:
            # What comes first is compared with the reference, and not only with what came before it.
            self.update(reference)

    def follow(self, calendar: Calendar) -> None:
        """Seasons go by it."""
        if isinstance(self.detector, Seasonal):
            self.detector.follow(calendar)

    def restore(self, snapshot: Snapshot) -> None:
        """The detector as it was, but for how far levels may move: as is configured, from ``rate`` on."""
        self.detector = detectors.restore(snapshot)
        if isinstance(self.detector, Learns):
            self.detector.dead = self._dead

    def resume(self, start: int) -> None:
        """The next slice begins at ``start``."""
        if isinstance(self.detector, Seasonal):
            self.detector.resume(start)

    def rate(self, slices: float) -> None:
        """From now on no signal raises more than one false alarm in so many slices with events."""
        assert isinstance(self.detector, Learns)
        self.detector.rate(np.maximum(slices / shares(self.scores), 1.0))

    def update(self, slices: Observations) -> Changes | None:
        """The next slice, of all scores; what changed, by their places and in their own terms."""
        seen = self._seen(slices)
        changes = self.detector.update(seen.n, seen.mean, seen.m2)
        if changes is None:
            return None
        offset, unit = (of[changes.signal] for of in self._scale)
        before, after = (mean * unit + offset for mean in (changes.before_mean, changes.after_mean))
        return replace(changes, signal=self.at[changes.signal], before_mean=before, after_mean=after)

    def without_season(self, slices: Observations) -> Observations:
        """The next slice, of all scores, less the season of those that it watches."""
        if not isinstance(self.detector, Seasonal):
            return slices
        n, mean = slices.n.copy(), slices.mean.copy()
        n[self.at], mean[self.at] = self.detector.without_season(n[self.at], mean[self.at])
        return Observations(n, mean, slices.m2)

    @property
    def takes_off_season(self) -> bool:
        return isinstance(self.detector, Seasonal)

    def noise(self, score: int) -> tuple[Noise, int] | None:
        """What was learned, and the place of a score in it; None: nothing of that one."""
        noise, place = getattr(self.detector, "noise", None), np.flatnonzero(self.at == score)
        return (noise, int(place[0])) if isinstance(noise, Noise) and place.size else None

"""A watch: the scores of one reference, the detectors on them, and what they found so far.

A detector says that a score *changed*. Whether that is a finding is asked of every slice from then on:
is the level since the change further from the reference than the minimum effect, by more than its own
noise? So a slow drift that a detector follows in small steps is found when it has gone far enough, and a
change that is too small to matter never resets anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor import detectors
from stream_monitor.checks import ALL, distribution
from stream_monitor.checks.base import Observations, Score, Unit, concatenate
from stream_monitor.checks.budget import Pace
from stream_monitor.checks.calm import Calm
from stream_monitor.checks.course import Blocks, Course
from stream_monitor.checks.history import History
from stream_monitor.checks.numeric import NumericMeasure, follows
from stream_monitor.checks.onset import onset
from stream_monitor.checks.period import Period
from stream_monitor.checks.shares import shares
from stream_monitor.detectors import Ks, Seasonal
from stream_monitor.detectors.base import Changes, Detector, Learns
from stream_monitor.detectors.noise import Noise
from stream_monitor.events import Contributor, Finding, Float64s, Int64s, Level, Shape
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import Detector as ConfiguredDetector
    from stream_monitor.config import ModelConfig, Signal

NOISE_SDS = 3.0
"""The level since a change must be beyond the minimum effect by this many of its standard errors."""
LEARN = frozenset({"scan", "cusum", "ewma", "eprocess", "ks"})
"""Detectors that learn from slices as they come, how far a level moves by itself, and keep the budget."""
SEASONAL: dict[str, type[Seasonal]] = {"scan": Seasonal, "ks": Ks}
"""Those that learn a season, too."""
REARM = 0.5
"""A finding is over when every score of it is back within this share of its minimum effect."""
OPPOSITE = 0.1
"""It is over, too, when a score has been beyond it on the other side for this share of the reference's
events: what merely swings (the weather) is told once."""

_PENDING = (
    ("changed", np.bool_),
    ("since", np.int64),
    ("earliest", np.int64),
    ("latest", np.int64),
    ("n", np.float64),
    ("total", np.float64),
    ("statistic", np.float64),
    ("threshold", np.float64),
    ("detector", np.int64),
    ("direction", np.int64),
    ("told", np.int64),
    ("turned", np.float64),
)
"""Per score: whether and since when it changed, its level since then, where it went (-1, 0, 1), where it was
told to have gone, and how many events long it has been beyond its minimum effect in the other."""


class Watch:
    """Watches the signals of one reference. Cost: that of its checks and detectors, once a slice.

    ``declared`` are the configured fields of the subject; ``detectors``, ``budget`` and ``min_effect`` the
    model's. ``start``: of the first slice that it may be told, in ms. ``period``: since when these signals
    have been learned, where that is to go on; else the reference is what they are compared with.
    """

    def __init__(
        self,
        reference: Reference,
        model: ModelConfig,
        declared: Mapping[str, Signal],
        start: int = 0,
        period: Period | None = None,
    ) -> None:
        self.reference = reference
        self._model = model
        self._slice_ms = model.slice_ms
        more = [distribution.Distribution()] if any(one.name == "ks" for one in model.detectors) else []
        self._measures = [check(reference, model.min_effect, declared) for check in (*ALL, *more)]
        self.scores: list[Score] = [score for measure in self._measures for score in measure.scores]
        self._dead = np.array([score.dead for score in self.scores])
        centers = {name: field.center for name, field in declared.items() if field.center is not None}
        self._history = History(reference, centers)
        self._course = Course(len(self.scores), self._slice_ms)
        groups = sorted({(score.signal, score.check) for score in self.scores})
        self._group_names = groups
        numbers = {group: number for number, group in enumerate(groups)}
        self._group: Int64s = np.array([numbers[s.signal, s.check] for s in self.scores], np.int64)
        self._pending: dict[str, np.ndarray] = {
            name: np.zeros(len(self.scores), dtype) for name, dtype in _PENDING
        }
        self._last = start - self._slice_ms
        self._pace = Pace(start)
        # Until it is told of others, the budget is its own.
        self._slices = model.budget.slices_between(model.slice_ms) * max(len(reference.kinds), 1)
        said = [[score[:4] for score in self.scores], [one.entry() for one in model.detectors]]
        self._watching = blake2b(repr(said).encode(), digest_size=8).hexdigest()
        self._period = period
        self._names = [_label(one) for one in model.detectors]
        self._watched = [_watched(one, self.scores) for one in model.detectors]
        self._compare(self._measure(reference.summary), reference.summary.rows)
        self._detectors = [self._make(one) for one in model.detectors]
        self._share_out()
        if period is None:
            self._begin()

    def _compare(self, baseline: Observations, rows: int) -> None:
        """From now on with this, of so many events."""
        self._baseline, self._rows = baseline, rows
        n = baseline.n
        variance = np.divide(baseline.m2, n, out=np.zeros_like(n), where=n > 0)
        self._sd = np.sqrt(np.maximum(variance, _least_variance(n)))
        self._scales = [self._scale(one.name) for one in self._model.detectors]

    def _begin(self) -> None:
        """What was learned is what is watched against."""
        for number, (one, detector) in enumerate(zip(self._model.detectors, self._detectors, strict=True)):
            if one.name in LEARN:
                assert isinstance(detector, Learns)
                detector.begin()
            else:
                # What comes first is compared with the reference, and not only with what came before it.
                self._detect(number, self._baseline)

    @property
    def learning(self) -> bool:
        """Whether what is normal is still being learned."""
        return self._period is not None

    def rate(self, slices: float) -> None:
        """From now on no signal raises more than one false alarm in so many slices, as far as detectors keep
        a budget."""
        if slices != self._slices:
            self._slices = slices
            self._share_out()

    def _share_out(self) -> None:
        """Slices without events raise nothing, so those that have some may raise more."""
        kept = [
            (detector, [self.scores[at] for at in watched.tolist()])
            for one, detector, watched in zip(
                self._model.detectors, self._detectors, self._watched, strict=True
            )
            if one.name in LEARN and "run_length" not in one.params
        ]
        often = self._slices * self._pace.share * len(kept)
        for detector, scores in kept:
            assert isinstance(detector, Learns)
            detector.rate(np.maximum(often / shares(scores), 1.0))

    @property
    def detectors(self) -> list[tuple[Detector, list[Score]]]:
        """In the order of the configuration, each with the scores that are its signals."""
        return [
            (detector, [self.scores[at] for at in watched.tolist()])
            for detector, watched in zip(self._detectors, self._watched, strict=True)
        ]

    @property
    def unwatchable(self) -> list[str]:
        """Signals that these statistics cannot see: they need `center` in the config."""
        return [name for one in self._measures if isinstance(one, NumericMeasure) for name in one.unwatchable]

    def close(self, start: int, summary: Summary) -> list[Finding]:
        """One closed slice, in order of time. Slices without events need not be told."""
        for detector in self._detectors:
            detector.skip((start - self._last) // self._slice_ms - 1)
        self._last = start
        if self._pace.passes(start, self._slice_ms, self._model.budget.per_ms):
            self._share_out()
        seen = self._measure(summary)
        if self._period is not None:
            self._learn(self._period.and_(summary.rows), seen, summary)
            return []
        self._history.add(start, summary)
        steady = self._without_season(seen)
        self._pending["n"] += steady.n
        self._pending["total"] += steady.n * steady.mean
        self._course.add(start, steady.n, np.where(steady.n > 0, steady.n * steady.mean, 0.0))
        for number in reversed(range(len(self._detectors))):
            whole = isinstance(self._detectors[number], Seasonal)
            changes = self._detect(number, seen if whole else steady)
            if changes is not None:
                self._note(number, changes, start)
        return self._judge(start, steady.n)

    def _learn(self, period: Period, seen: Observations, summary: Summary) -> None:
        """Detectors learn how healthy slices move, and the reference becomes that of all of them."""
        for number, one in enumerate(self._model.detectors):
            if one.name in LEARN:
                self._detect(number, seen)
        self._compare(self._baseline + seen, self._rows + summary.rows)
        self._history.learn(summary)
        self._period, end = period, self._last + self._slice_ms
        if period.holds(end, self._model.learn):
            self._period = None
            self._pace.settle(end, self._slice_ms)
            self._share_out()
            self._begin()

    def _without_season(self, seen: Observations) -> Observations:
        n, mean = seen.n.copy(), seen.mean.copy()
        for detector, watched in reversed(list(zip(self._detectors, self._watched, strict=True))):
            if isinstance(detector, Seasonal):
                n[watched], mean[watched] = detector.without_season(seen.n[watched], seen.mean[watched])
        return Observations(n, mean, seen.m2)

    def _measure(self, summary: Summary) -> Observations:
        return concatenate([measure.measure(summary) for measure in self._measures])

    def _scale(self, detector: str) -> tuple[Float64s, Float64s]:
        """Offset and unit of what a detector sees: the bounded score itself, which ADWIN's guarantee asks
        for, as a share where its bounds are stated, or standard deviations of the reference, which
        Page-Hinkley's thresholds are stated in."""
        if detector == "page_hinkley":
            return self._baseline.mean, self._sd
        if detector == "eprocess":
            ranks = np.array([score.unit == Unit.RANK for score in self.scores])
            return np.where(ranks, -1.0, 0.0), np.where(ranks, 2.0, 1.0)
        return np.zeros(len(self.scores)), np.ones(len(self.scores))

    def _detect(self, number: int, seen: Observations) -> Changes | None:
        (offset, unit), watched = self._scales[number], self._watched[number]
        mean, m2 = (seen.mean - offset) / unit, seen.m2 / unit**2
        changes = self._detectors[number].update(seen.n[watched], mean[watched], m2[watched])
        return None if changes is None else replace(changes, signal=watched[changes.signal])

    def _note(self, number: int, changes: Changes, start: int) -> None:
        at, pending = changes.signal, self._pending
        offset, unit = self._scales[number]
        mean = changes.after_mean * unit[at] + offset[at]
        direction = np.sign(mean - self._baseline.mean[at]).astype(np.int64)
        # What is compared with one level for ever tells again what lasts: it began when it was told first.
        lasts = pending["changed"][at] & (direction == pending["direction"][at])
        new = ~lasts if self._model.detectors[number].name in LEARN else np.ones_like(lasts)
        for name in ("since", "earliest", "latest"):
            pending[name][at[new]] = start - getattr(changes, name)[new] * self._slice_ms
        pending["changed"][at] = True
        pending["direction"][at] = direction
        pending["n"][at] = changes.after_n
        pending["total"][at] = changes.after_n * mean
        pending["statistic"][at] = changes.statistic
        pending["threshold"][at] = changes.threshold
        pending["detector"][at] = number

    def _judge(self, start: int, seen: Float64s) -> list[Finding]:
        """``seen``: events of the slice, by score."""
        pending = self._pending
        changed = pending["changed"]
        if not changed.any():
            return []
        n = np.maximum(pending["n"], 1.0)
        effect = pending["total"] / n - self._baseline.mean
        beyond = changed & (np.abs(effect) - self._dead > NOISE_SDS * self._sd / np.sqrt(n))
        firing = self._still_told(effect, beyond, seen)
        groups = np.unique(self._group[beyond])
        return [
            self._finding(np.flatnonzero(beyond & (self._group == group)), effect, start)
            for group in groups[~firing[groups]]
        ]

    def _still_told(self, effect: Float64s, beyond: NDArray[np.bool_], seen: Float64s) -> NDArray[np.bool_]:
        """Per group, whether what was told of it still holds. Where it does not, it is forgotten."""
        told, size = self._pending["told"], len(self._group_names)
        away = self._pending["changed"] & (np.abs(effect) > REARM * self._dead)
        turned = np.where(beyond & (effect * told < 0), self._pending["turned"] + seen, 0.0)
        self._pending["turned"] = turned
        opposite = turned >= OPPOSITE * np.maximum(self._baseline.n, 1.0)
        firing = np.bincount(self._group, told != 0, size) > 0
        firing &= np.bincount(self._group, away, size) > 0
        firing &= np.bincount(self._group, opposite, size) == 0
        over = (told != 0) & ~firing[self._group]
        self._pending["changed"][over & (np.abs(effect) <= self._dead)] = False
        told[over] = 0
        return firing

    def _finding(self, scores: Int64s, effect: np.ndarray, start: int) -> Finding:
        times_dead = np.abs(effect) / np.maximum(self._dead, 1e-9)
        order = sorted(scores.tolist(), key=lambda at: (-float(times_dead[at]), at))
        at, pending = order[0], self._pending
        pending["told"][scores] = np.sign(effect[scores]).astype(np.int64)
        score, (since, earliest, latest, shape) = self.scores[at], self._began(at)
        before = self._history.before(score.signal) or (None, None)
        after = self._history.after(score.signal, since) or (None, None)
        reference_mean = self._baseline.mean
        return Finding(
            check=score.check,
            signal=score.signal,
            score=score.name,
            unit=str(score.unit),
            since=since,
            earliest=earliest,
            latest=latest,
            found=start + self._slice_ms,
            before=Level(self._rows, float(reference_mean[at]), *before),
            after=Level(int(pending["n"][at]), float(reference_mean[at] + effect[at]), *after),
            effect=float(effect[at]),
            dead=score.dead,
            detector=self._names[int(pending["detector"][at])],
            statistic=float(pending["statistic"][at]),
            threshold=float(pending["threshold"][at]),
            contributors=tuple(
                Contributor(
                    self.scores[other].name,
                    float(reference_mean[other]),
                    float(reference_mean[other] + effect[other]),
                )
                for other in order[1:]
            ),
            shape=shape,
        )

    def _began(self, at: int) -> tuple[int, int, int, Shape | None]:
        """Since when, earliest and latest: by the course, where that was gradual, or where a detector has one
        level for ever, and may tell late of what began long ago; else as the detector says."""
        since, earliest, latest = (int(self._pending[name][at]) for name in ("since", "earliest", "latest"))
        blocks = self._course.of(at)
        found = onset(blocks, since, self._calm(at, blocks.take(blocks.end <= since)))
        if found is None:
            return since, earliest, latest, None
        shape = Shape(found.kind, found.until, found.ended)
        if found.kind == "gradual" or self._model.detectors[int(self._pending["detector"][at])].name in LEARN:
            return found.since, found.earliest, found.latest, shape
        return since, earliest, latest, shape

    def _calm(self, at: int, before: Blocks) -> Calm:
        """How a score moves by itself: as a detector learned it, or as it did before."""
        score = self.scores[at]
        share = score.unit == Unit.SHARE
        for detector, watched in zip(self._detectors, self._watched, strict=True):
            noise, place = getattr(detector, "noise", None), np.flatnonzero(watched == at)
            if isinstance(noise, Noise) and place.size:
                learned = Calm.learned(noise, int(place[0]), score.dead, share=share)
                if learned is not None:
                    return learned
        level, n = float(self._baseline.mean[at]), max(float(self._baseline.n[at]), 1.0)
        variance = float(self._sd[at]) ** 2
        return Calm(level, variance / n, variance, 0.0, 1.0, score.dead, share).remembering(before)

    def _make(self, configured: ConfiguredDetector) -> Detector:
        """ADWIN's delta is the model's: its scores share it.

        Page-Hinkley's defaults are in standard deviations of the reference: changes below 0.05 are tolerated,
        and by Wald's approximation, exp(2 delta threshold) / (2 delta^2) events, a score of independent
        events alarms once in 10^11.
        """
        params, watched = dict(configured.params), _watched(configured, self.scores)
        scores = len(watched)
        if configured.name == "adwin":
            params["delta"] = params.get("delta", 0.002) / max(scores, 1)
        if configured.name == "page_hinkley":
            params = {"delta": 0.05, "threshold": 200.0} | params
        if configured.name in LEARN:
            params["run_length"] = params.get("run_length", 1e6) * max(scores, 1)
            params["learn"] = None
            offset, unit = self._scale(configured.name)
            params["dead"] = (self._dead / unit)[watched]
            if configured.name != "ks":
                params["share"] = [self.scores[at].unit == Unit.SHARE for at in watched.tolist()]
            if self._period is None:
                n = self._baseline.n[watched]
                level = np.where(n > 0, ((self._baseline.mean - offset) / unit)[watched], np.nan)
                params["level"] = (level, n) if configured.name in SEASONAL else level
        if configured.name == "scan":
            params["follows"] = follows([self.scores[at] for at in watched.tolist()])
        if configured.name in SEASONAL:
            start_ms = self._last + self._slice_ms
            return SEASONAL[configured.name](scores, slice_ms=self._slice_ms, start_ms=start_ms, **params)
        return detectors.make(_label(configured), scores, params)

    def snapshot(self) -> dict[str, Any]:
        baseline, period = self._baseline, self._period
        return {
            "reference": self.reference.snapshot(),
            "detectors": [detector.snapshot() for detector in self._detectors],
            "watching": self._watching,
            "history": self._history.snapshot(),
            "course": self._course.snapshot(),
            "pending": dict(self._pending),
            "last": self._last,
            "baseline": [self._rows, baseline.n, baseline.mean, baseline.m2],
            "period": None if period is None else [period.start, period.rows],
            "pace": [self._slices, *self._pace.snapshot()],
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], model: ModelConfig, declared: Mapping[str, Signal]) -> Watch:
        """As it was. If scores or detectors are others now, by the configuration, they begin anew."""
        period = None if state["period"] is None else Period(*state["period"])
        start = state["last"] + model.slice_ms
        watch = cls(Reference.restore(state["reference"]), model, declared, start, period)
        watch._history.restore(state["history"])
        if watch._watching != state["watching"]:
            return watch
        rows, *baseline = state["baseline"]
        watch._compare(Observations(*baseline), rows)
        watch._slices, *pace = state["pace"]
        watch._pace = Pace.restore(pace)
        watch._detectors = [detectors.restore(saved) for saved in state["detectors"]]
        watch._pending = {name: state["pending"][name] for name, _ in _PENDING}
        watch._course = Course.restore(state["course"], len(watch.scores), model.slice_ms)
        return watch


def needs_noise(model: ModelConfig) -> bool:
    """Whether a detector learns how scores move, for which slices of healthy events are needed."""
    return any(one.name in LEARN for one in model.detectors)


def _watched(configured: ConfiguredDetector, scores: list[Score]) -> Int64s:
    """Which scores a detector watches: ``ks`` those of distributions, any other all but these."""
    edges = [score.check == distribution.NAME for score in scores]
    return np.flatnonzero(np.array(edges, np.bool_) == (configured.name == "ks"))


def _least_variance(n: np.ndarray) -> np.ndarray:
    """The variance of a score that the reference never saw vary: that of one hit in n, at the least."""
    rate = 1.0 / np.maximum(n, 1.0)
    least: np.ndarray = rate * (1.0 - rate)
    np.maximum(least, 1e-4, out=least)
    return least


def _label(configured: ConfiguredDetector) -> str:
    """The detector's name; of one of river's, the name it has there."""
    return str(configured.river or configured.name)

"""A watch: the scores of one reference, the detectors on them, and what they found so far.

A detector says that a score *changed*. Whether that is a finding is asked of every slice from then on:
is the level since the change further from the reference than the minimum effect, by more than its own
noise? So a slow drift that a detector follows in small steps is found when it has gone far enough, and a
change that is too small to matter never resets anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor.checks import ALL, distribution
from stream_monitor.checks.base import Observations, Score, Unit, concatenate
from stream_monitor.checks.budget import Pace
from stream_monitor.checks.calm import Calm
from stream_monitor.checks.course import Blocks, Course
from stream_monitor.checks.history import History
from stream_monitor.checks.movement import NAME, SLICES_MIN, Movement
from stream_monitor.checks.numeric import NumericMeasure
from stream_monitor.checks.onset import onset
from stream_monitor.checks.pending import Pending
from stream_monitor.checks.period import Period
from stream_monitor.checks.shares import MOVEMENT
from stream_monitor.checks.watcher import Watcher
from stream_monitor.config.detectors import Detector as Configured
from stream_monitor.detectors.base import ANEW, Detector
from stream_monitor.detectors.season_calendar import Calendar
from stream_monitor.events import Contributor, Finding, Int64s, Level, Shape
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import ModelConfig, Signal

SEASON_MS_MIN = 4 * 86_400_000
"""No season is learned in less."""
LONGER = 1 / 32
"""Learning takes up to so much longer than is asked for, by ``_turn``: its end takes 0.2 s of each model."""
_MOVING = Configured("cusum", params={"shift": 0.4})
"""Watches how signals move: only large changes are told, and it keeps a quarter of what the scan does."""


class Watch:
    """Watches the signals of one reference. Cost: that of its checks and detectors, once a slice.

    ``declared`` are the configured fields of the subject; ``detectors``, ``budget`` and ``min_effect`` the
    model's. ``start``: of the first slice that it may be told, in ms. ``period``: since when these signals
    have been learned, where that is to go on; else the reference is what they are compared with. ``moves``:
    it is watched, too, how they move from slice to slice, where the scan keeps a budget. ``whole``: the
    reference is that of all slices that are learned from.
    """

    def __init__(
        self,
        reference: Reference,
        model: ModelConfig,
        declared: Mapping[str, Signal],
        start: int = 0,
        period: Period | None = None,
        *,
        moves: bool = False,
        whole: bool = False,
    ) -> None:
        self.reference = reference
        self._whole = whole
        self._model = model
        self._slice_ms = model.slice_ms
        more = [distribution.Distribution()] if any(one.name == "ks" for one in model.detectors) else []
        self._measures = [check(reference, model.min_effect, declared) for check in (*ALL, *more)]
        self.scores: list[Score] = [score for measure in self._measures for score in measure.scores]
        self._movement: Movement | None = None
        self._levels = len(self.scores)
        if moves and any(one.name == "scan" and "run_length" not in one.params for one in model.detectors):
            movement = Movement(self.scores, model.min_effect)
            self._movement = movement if movement.scores else None
            self.scores += movement.scores
        centers = {name: field.center for name, field in declared.items() if field.center is not None}
        self._history = History(reference, centers)
        self._course = Course(self._levels, self._slice_ms)
        self._pending = Pending(self.scores, self._levels, self._slice_ms)
        self._last = start - self._slice_ms
        self._pace = Pace(start)
        # Until it is told of others, the budget is its own.
        self._slices = model.budget.slices_between(model.slice_ms) * max(len(reference.kinds), 1)
        said = [
            [score[:4] for score in self.scores],
            [one.entry() for one in model.detectors],
            model.slice_ms,
        ]
        # Holidays are added year by year, and what was learned stays; by another clock it would not.
        said += [model.timezone] if model.timezone else []
        self._watching = blake2b(repr(said).encode(), digest_size=8).hexdigest()
        self._period = period
        baseline = self._of_levels(reference.summary)
        self._turn = _turn(baseline)
        if self._movement is not None:
            baseline = concatenate([baseline, self._movement.nothing])
        known = baseline if period is None else None
        # Of an end by a number of events it is not known how long that takes.
        season = period is not None and (model.learn.ms is None or model.learn.ms >= SEASON_MS_MIN)
        self._watchers = [
            Watcher(one, self.scores, self._slice_ms, start, known, season=season) for one in model.detectors
        ]
        if self._movement is not None:
            moving = Watcher(_MOVING, self.scores, self._slice_ms, start, known, season=False, check=NAME)
            self._watchers.append(moving)
        self._calendar = Calendar.of(model.timezone or "", model.holidays)
        for watcher in self._watchers:
            watcher.follow(self._calendar)
        self._compare(baseline, reference.summary.rows)
        self._share_out()
        if period is None:
            self._begin()

    def _compare(self, baseline: Observations, rows: int) -> None:
        """From now on with this, of so many events."""
        self._baseline, self._rows = baseline, rows
        n = baseline.n
        variance = np.divide(baseline.m2, n, out=np.zeros_like(n), where=n > 0)
        self._sd = np.sqrt(np.maximum(variance, _least_variance(n)))
        for watcher in self._watchers:
            watcher.compare(baseline, self._sd)

    def _begin(self) -> None:
        for watcher in self._watchers[: len(self._model.detectors)]:
            watcher.begin(self._baseline, ANEW - self._turn / 2)
        self._begin_moving()

    def _begin_moving(self) -> None:
        """As soon as enough is known of how signals move."""
        if (movement := self._movement) is None or movement.begun:
            return
        movement.begun = self._period is None and movement.slices >= SLICES_MIN * (1.0 + self._turn / 4)
        if movement.begun:
            self._watchers[-1].begin(self._baseline, ANEW - self._turn / 2)

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
        kept = [watcher for watcher in self._watchers if watcher.keeps_budget]
        slices, part = self._slices * self._pace.share, 0.0
        if self._movement is not None:
            part = MOVEMENT
            kept.pop().rate(slices / part)
        for watcher in kept:
            watcher.rate(slices * len(kept) / (1.0 - part))

    @property
    def detectors(self) -> list[tuple[Detector, list[Score]]]:
        """Those of the configuration, in its order, each with the scores that are its signals."""
        levels = self._watchers[: len(self._model.detectors)]
        return [(watcher.detector, watcher.scores) for watcher in levels]

    @property
    def unwatchable(self) -> list[str]:
        """Signals that these statistics cannot see: they need `center` in the config."""
        return [name for one in self._measures if isinstance(one, NumericMeasure) for name in one.unwatchable]

    def close(self, start: int, summary: Summary) -> list[Finding]:
        """One closed slice, in order of time. Slices without events need not be told."""
        for watcher in self._watchers:
            watcher.detector.skip((start - self._last) // self._slice_ms - 1)
        self._last = start
        if self._pace.passes(start, self._slice_ms, self._model.budget.per_ms):
            self._share_out()
        seen = self._measure(summary)
        if self._period is not None:
            self._learn(self._period.and_(summary.rows), seen, summary)
            return []
        self._history.add(start, summary)
        steady = seen
        for watcher in reversed(self._watchers):
            steady = watcher.without_season(steady)
        self._pending.add(steady)
        total = np.where(steady.n > 0, steady.n * steady.mean, 0.0)
        self._course.add(start, steady.n[: self._levels], total[: self._levels])
        for number, watcher in reversed(list(enumerate(self._watchers))):
            changes = watcher.update(seen if watcher.takes_off_season else steady)
            if changes is not None:
                self._pending.note(number, changes, start, self._baseline.mean, learns=watcher.learns)
        self._follow(seen)
        self._begin_moving()
        told = self._pending.judge(start, steady.n, self._baseline, self._sd, self._movement)
        return [self._finding(scores, start) for scores in told]

    def _learn(self, period: Period, seen: Observations, summary: Summary) -> None:
        """Detectors learn how healthy slices move, and the reference becomes that of all of them."""
        for watcher in self._watchers:
            if watcher.learns:
                watcher.update(seen)
        if self._whole:
            self._follow(seen)
        else:
            self._compare(self._baseline + seen, self._rows + summary.rows)
            self._history.learn(summary)
        self._period, end = period, self._last + self._slice_ms
        if self._learned(period, end):
            self.settle(end)

    def _learned(self, period: Period, end: int) -> bool:
        """Whether it was enough so many slices ago that its turn has come."""
        slices = (end - period.start) // self._slice_ms
        more = int(self._turn * slices * LONGER)
        return period.holds(end, self._model.learn, 1.0 + more / max(slices - more, 1))

    def settle(self, end: int) -> None:
        """What was learned until ``end`` is what is watched against, if that is not so already."""
        if self._period is not None:
            self._period = None
            self._pace.settle(end, self._slice_ms)
            self._share_out()
            self._begin()

    def _follow(self, seen: Observations) -> None:
        """What the reference does not hold is how signals move: that is learned, until it is watched."""
        if self._movement is not None and not self._movement.begun:
            self._compare(self._baseline + self._movement.only(seen), self._rows)

    def _measure(self, summary: Summary) -> Observations:
        """The next slice."""
        seen = self._of_levels(summary)
        return seen if self._movement is None else concatenate([seen, self._movement.follow(seen)])

    def _of_levels(self, summary: Summary) -> Observations:
        return concatenate([measure.measure(summary) for measure in self._measures])

    def _finding(self, scores: Int64s, start: int) -> Finding:
        pending, effect = self._pending, self._pending.effect(self._baseline.mean)
        times_dead = np.abs(effect) / np.maximum(pending.dead, 1e-9)
        order = sorted(scores.tolist(), key=lambda at: (-float(times_dead[at]), at))
        at = order[0]
        pending.tell(scores, effect)
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
            detector=self._watchers[int(pending["detector"][at])].name,
            statistic=float(pending["statistic"][at]),
            threshold=float(pending["threshold"][at]),
            contributors=self._also(at, order[1:], effect),
            shape=shape,
        )

    def _also(self, at: int, others: list[int], effect: np.ndarray) -> tuple[Contributor, ...]:
        """What moved with the one that is told. Of a movement all that is known of it, as it was of late."""
        level, now = self._baseline.mean, self._baseline.mean + effect
        if self._movement is not None and at >= self._levels:
            others = [other for other in self._movement.of(at - self._levels, self._levels) if other != at]
            now = np.concatenate([np.zeros(self._levels), self._movement.recent])
        return tuple(
            Contributor(self.scores[other].name, float(level[other]), float(now[other])) for other in others
        )

    def _began(self, at: int) -> tuple[int, int, int, Shape | None]:
        """Since when, earliest and latest: by the course, where that was gradual, or where a detector has one
        level for ever, and may tell late of what began long ago; else as the detector says."""
        since, earliest, latest = (int(self._pending[name][at]) for name in ("since", "earliest", "latest"))
        if at >= self._levels:
            return since, earliest, latest, None
        blocks = self._course.of(at)
        found = onset(blocks, since, self._calm(at, blocks.take(blocks.end <= since)))
        if found is None:
            return since, earliest, latest, None
        shape = Shape(found.kind, found.until, found.ended)
        if found.kind == "gradual" or self._watchers[int(self._pending["detector"][at])].learns:
            # Within a block of many slices, some of them empty, the course knows no edges.
            since = found.since - found.since % self._slice_ms
            return since, min(found.earliest, since), found.latest, shape
        return since, earliest, latest, shape

    def _calm(self, at: int, before: Blocks) -> Calm:
        """How a score moves by itself: as a detector learned it, or as it did before."""
        score = self.scores[at]
        share = score.unit == Unit.SHARE
        for watcher in self._watchers:
            if (known := watcher.noise(at)) is not None:
                learned = Calm.learned(*known, score.dead, share=share)
                if learned is not None:
                    return learned
        level, n = float(self._baseline.mean[at]), max(float(self._baseline.n[at]), 1.0)
        variance = float(self._sd[at]) ** 2
        return Calm(level, variance / n, variance, 0.0, 1.0, score.dead, share).remembering(before)

    def snapshot(self) -> dict[str, Any]:
        baseline, period = self._baseline, self._period
        return {
            "reference": self.reference.snapshot(),
            "detectors": [watcher.detector.snapshot() for watcher in self._watchers],
            "watching": self._watching,
            "history": self._history.snapshot(),
            "course": self._course.snapshot(),
            "pending": self._pending.snapshot(),
            "last": self._last,
            "baseline": [self._rows, baseline.n, baseline.mean, baseline.m2],
            "period": None if period is None else [period.start, period.rows],
            "pace": [self._slices, *self._pace.snapshot()],
            "movement": None if self._movement is None else self._movement.snapshot(),
        }

    @classmethod
    def of_file(
        cls,
        reference: Reference,
        movements: Mapping[str, Any],
        model: ModelConfig,
        declared: Mapping[str, Signal],
        start: int,
    ) -> Watch:
        """Watches from ``start`` on, with what a snapshot says of how signals move. Where that is of other
        scores or detectors than are configured now, it is learned from what comes."""
        watch = cls.restore({**movements, "reference": reference.snapshot()}, model, declared, moves=True)
        known = watch.resumes(movements, start)
        return watch if known else cls(reference, model, declared, start, moves=True)

    def resumes(self, movements: Mapping[str, Any], start: int) -> bool:
        """Whether it was restored from what is watched now. Then the next slice begins at ``start``."""
        if self._watching != movements["watching"]:
            return False
        self._last = start - self._slice_ms
        self._pace = Pace(start, share=self._pace.share)
        for watcher in self._watchers:
            watcher.resume(start)
        self._share_out()
        return True

    @classmethod
    def restore(
        cls,
        state: Mapping[str, Any],
        model: ModelConfig,
        declared: Mapping[str, Signal],
        *,
        moves: bool = False,
    ) -> Watch:
        """As it was. If scores, detectors or slices are others now, by the configuration, they begin anew."""
        period = None if state["period"] is None else Period(*state["period"])
        start = state["last"] + model.slice_ms
        watch = cls(Reference.restore(state["reference"]), model, declared, start, period, moves=moves)
        if watch._watching != state["watching"]:
            # The first slice to come may hold the last that was told, if slices are longer now.
            start = state["last"] // model.slice_ms * model.slice_ms
            watch = cls(watch.reference, model, declared, start, period, moves=moves)
            watch._history.restore(state["history"])
            return watch
        watch._history.restore(state["history"])
        rows, *baseline = state["baseline"]
        watch._compare(Observations(*baseline), rows)
        watch._slices, *pace = state["pace"]
        watch._pace = Pace.restore(pace)
        for watcher, saved in zip(watch._watchers, state["detectors"], strict=True):
            watcher.restore(saved)
            watcher.follow(watch._calendar)
        watch._pending.restore(state["pending"])
        watch._course = Course.restore(state["course"], watch._levels, model.slice_ms)
        if watch._movement is not None:
            watch._movement.restore(state["movement"])
        watch._share_out()
        return watch


def _turn(baseline: Observations) -> float:
    """From 0 to 1, by chance, but the same for the same reference.

    By it watches that begin in one slice, as all models do at a start, do in different ones what takes long.
    """
    said = blake2b(baseline.mean.tobytes() + baseline.m2.tobytes(), digest_size=4)
    return int.from_bytes(said.digest()) / 2**32


def _least_variance(n: np.ndarray) -> np.ndarray:
    """The variance of a score that the reference never saw vary: that of one hit in n, at the least."""
    rate = 1.0 / np.maximum(n, 1.0)
    least: np.ndarray = rate * (1.0 - rate)
    np.maximum(least, 1e-4, out=least)
    return least

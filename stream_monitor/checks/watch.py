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
from numpy.typing import NDArray

from stream_monitor import detectors
from stream_monitor.checks import ALL
from stream_monitor.checks.base import Observations, Score, Unit, concatenate
from stream_monitor.checks.history import History
from stream_monitor.checks.numeric import NumericMeasure
from stream_monitor.detectors.base import Changes, Detector
from stream_monitor.events import Contributor, Finding, Float64s, Int64s, Level
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import Detector as ConfiguredDetector
    from stream_monitor.config import ModelConfig, Signal

NOISE_SDS = 3.0
"""The level since a change must be beyond the minimum effect by this many of its standard errors."""
LEARN = frozenset({"scan", "cusum", "ewma", "eprocess"})
"""Detectors that learn the level from slices as they come. What comes before them is not compared."""
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
    ("told", np.int64),
)
"""Per score: whether and since when it changed, its level since then, and the direction in which it was
told to have gone (-1, 0, 1)."""


class Watch:
    """Watches the signals of one reference. Cost: that of its checks and detectors, once a slice.

    ``declared`` are the configured fields of the subject; ``detectors`` and ``min_effect`` the model's.
    """

    def __init__(self, reference: Reference, model: ModelConfig, declared: Mapping[str, Signal]) -> None:
        self.reference = reference
        self._slice_ms = model.slice_ms
        self._measures = [check(reference, model.min_effect, declared) for check in ALL]
        self.scores: list[Score] = [score for measure in self._measures for score in measure.scores]
        baseline = self._measure(reference.summary)
        self._reference_mean = baseline.mean
        self._reference_n = baseline.n
        variance = np.divide(baseline.m2, baseline.n, out=np.zeros_like(baseline.n), where=baseline.n > 0)
        self._sd = np.sqrt(np.maximum(variance, _least_variance(baseline.n)))
        self._dead = np.array([score.dead for score in self.scores])
        self._names = [_label(one) for one in model.detectors]
        self._scales = [self._scale(one.name) for one in model.detectors]
        self._detectors = [_make(one, self.scores) for one in model.detectors]
        for number, one in enumerate(model.detectors):
            # What comes first is compared with the reference, and not only with what came before it.
            if one.name not in LEARN:
                self._detect(number, baseline)
        centers = {name: field.center for name, field in declared.items() if field.center is not None}
        self._history = History(reference, centers)
        groups = sorted({(score.signal, score.check) for score in self.scores})
        self._group_names = groups
        numbers = {group: number for number, group in enumerate(groups)}
        self._group: Int64s = np.array([numbers[s.signal, s.check] for s in self.scores], np.int64)
        self._pending: dict[str, np.ndarray] = {
            name: np.zeros(len(self.scores), dtype) for name, dtype in _PENDING
        }
        self._last: int | None = None
        said = [[score[:4] for score in self.scores], [one.entry() for one in model.detectors]]
        self._watching = blake2b(repr(said).encode(), digest_size=8).hexdigest()

    @property
    def detectors(self) -> list[Detector]:
        """In the order of the configuration; their signals are ``scores``."""
        return list(self._detectors)

    @property
    def unwatchable(self) -> list[str]:
        """Signals that these statistics cannot see: they need `center` in the config."""
        return [name for one in self._measures if isinstance(one, NumericMeasure) for name in one.unwatchable]

    def close(self, start: int, summary: Summary) -> list[Finding]:
        """One closed slice, in order of time. Slices without events need not be told."""
        if self._last is not None:
            for detector in self._detectors:
                detector.skip((start - self._last) // self._slice_ms - 1)
        self._last = start
        self._history.add(start, summary)
        seen = self._measure(summary)
        self._pending["n"] += seen.n
        self._pending["total"] += seen.n * seen.mean
        for number in reversed(range(len(self._detectors))):
            changes = self._detect(number, seen)
            if changes is not None:
                self._note(number, changes, start)
        return self._judge(start)

    def _measure(self, summary: Summary) -> Observations:
        return concatenate([measure.measure(summary) for measure in self._measures])

    def _scale(self, detector: str) -> tuple[Float64s, Float64s]:
        """Offset and unit of what a detector sees: the bounded score itself, which ADWIN's guarantee asks
        for, as a share where its bounds are stated, or standard deviations of the reference, which
        Page-Hinkley's thresholds are stated in."""
        if detector == "page_hinkley":
            return self._reference_mean, self._sd
        if detector == "eprocess":
            ranks = np.array([score.unit == Unit.RANK for score in self.scores])
            return np.where(ranks, -1.0, 0.0), np.where(ranks, 2.0, 1.0)
        return np.zeros(len(self.scores)), np.ones(len(self.scores))

    def _detect(self, number: int, seen: Observations) -> Changes | None:
        offset, unit = self._scales[number]
        return self._detectors[number].update(seen.n, (seen.mean - offset) / unit, seen.m2 / unit**2)

    def _note(self, number: int, changes: Changes, start: int) -> None:
        at, pending = changes.signal, self._pending
        offset, unit = self._scales[number]
        pending["changed"][at] = True
        pending["since"][at] = start - changes.since * self._slice_ms
        pending["earliest"][at] = start - changes.earliest * self._slice_ms
        pending["latest"][at] = start - changes.latest * self._slice_ms
        pending["n"][at] = changes.after_n
        pending["total"][at] = changes.after_n * (changes.after_mean * unit[at] + offset[at])
        pending["statistic"][at] = changes.statistic
        pending["threshold"][at] = changes.threshold
        pending["detector"][at] = number

    def _judge(self, start: int) -> list[Finding]:
        pending = self._pending
        changed = pending["changed"]
        if not changed.any():
            return []
        n = np.maximum(pending["n"], 1.0)
        effect = pending["total"] / n - self._reference_mean
        beyond = changed & (np.abs(effect) - self._dead > NOISE_SDS * self._sd / np.sqrt(n))
        firing = self._still_told(effect, beyond)
        groups = np.unique(self._group[beyond])
        return [
            self._finding(np.flatnonzero(beyond & (self._group == group)), effect, start)
            for group in groups[~firing[groups]]
        ]

    def _still_told(self, effect: Float64s, beyond: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Per group, whether what was told of it still holds. Where it does not, it is forgotten."""
        told, size = self._pending["told"], len(self._group_names)
        away = self._pending["changed"] & (np.abs(effect) > REARM * self._dead)
        lasting = self._pending["n"] >= OPPOSITE * self._reference_n
        opposite = beyond & lasting & (effect * told < 0)
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
        score, since = self.scores[at], int(pending["since"][at])
        before = self._history.before(score.signal) or (None, None)
        after = self._history.after(score.signal, since) or (None, None)
        reference_mean = self._reference_mean
        return Finding(
            check=score.check,
            signal=score.signal,
            score=score.name,
            unit=str(score.unit),
            since=since,
            earliest=int(pending["earliest"][at]),
            latest=int(pending["latest"][at]),
            found=start + self._slice_ms,
            before=Level(self.reference.summary.rows, float(reference_mean[at]), *before),
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
        )

    def snapshot(self) -> dict[str, Any]:
        return {
            "reference": self.reference.snapshot(),
            "detectors": [detector.snapshot() for detector in self._detectors],
            "watching": self._watching,
            "history": self._history.snapshot(),
            "pending": dict(self._pending),
            "last": self._last,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], model: ModelConfig, declared: Mapping[str, Signal]) -> Watch:
        """As it was. If scores or detectors are others now, by the configuration, they begin anew."""
        watch = cls(Reference.restore(state["reference"]), model, declared)
        watch._history.restore(state["history"])
        watch._last = state["last"]
        if watch._watching == state["watching"]:
            watch._detectors = [detectors.restore(saved) for saved in state["detectors"]]
            watch._pending = {name: state["pending"][name] for name, _ in _PENDING}
        return watch


def _least_variance(n: np.ndarray) -> np.ndarray:
    """The variance of a score that the reference never saw vary: that of one hit in n, at the least."""
    rate = 1.0 / np.maximum(n, 1.0)
    least: np.ndarray = rate * (1.0 - rate)
    np.maximum(least, 1e-4, out=least)
    return least


def _label(configured: ConfiguredDetector) -> str:
    """The detector's name; of one of river's, the name it has there."""
    return str(configured.river or configured.name)


def _make(configured: ConfiguredDetector, scores: list[Score]) -> Detector:
    """ADWIN's delta, and the run length of detectors that learn, is the model's: its scores share them.

    Page-Hinkley's defaults are in standard deviations of the reference: changes below 0.05 are tolerated,
    and by Wald's approximation, exp(2 delta threshold) / (2 delta^2) events, a score of independent
    events alarms once in 10^11.
    """
    params = dict(configured.params)
    if configured.name == "adwin":
        params["delta"] = params.get("delta", 0.002) / max(len(scores), 1)
    if configured.name == "page_hinkley":
        params = {"delta": 0.05, "threshold": 200.0} | params
    if configured.name in LEARN:
        params["run_length"] = params.get("run_length", 1e6) * max(len(scores), 1)
        params["share"] = np.array([score.unit == Unit.SHARE for score in scores], np.bool_)
    return detectors.make(_label(configured), len(scores), params)

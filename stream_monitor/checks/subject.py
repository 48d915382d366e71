"""A subject: the signals watched together, from the first event to learning to being watched.

Signals with a reference from a file are watched at once. Others are learned: those that first appear in
one slice share a learner, which becomes a watch of its own when it has seen enough. So a feature that a
new model version brings is learned and watched like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stream_monitor.checks.period import Period
from stream_monitor.checks.watch import Watch
from stream_monitor.checks.watcher import LEARN
from stream_monitor.events import Finding
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import ModelConfig, Signal

RANKED = 0.25
"""Where detectors learn noise, scores are defined by this share of what is learned from: how they move is
learned from the rest."""
RECENT_MAX = 8_192
"""Values of a learner that are not packed, at the least."""


class Learner:
    """Collects what signals look like until it is enough for a reference.

    What came first is kept as bytes, a fifth of what is made of them: many segments learn for long.
    """

    def __init__(self, start: int, summary: Summary) -> None:
        self.start = start
        self.signals = summary.signals
        self._rows = summary.rows
        self._packed = b""
        self._recent = summary

    @property
    def period(self) -> Period:
        return Period(self.start, self._rows)

    @property
    def summary(self) -> Summary:
        """All of it."""
        return Summary.from_bytes(self._packed) + self._recent if self._packed else self._recent

    def add(self, summary: Summary) -> None:
        summary = summary.select(list(self.signals))
        self._recent = self._recent + summary
        self._rows += summary.rows
        if self._recent.rows * len(self.signals) > max(RECENT_MAX, len(self._packed) // 4):
            self._packed = self.summary.to_bytes()
            self._recent = Summary.empty(summary.signal_limit)


class Subject:
    """``declared`` are its configured fields; ``reference`` comes from the model's reference file, if any.
    ``start``: of the first slice that it is told, in ms. ``moves``: see Watch.
    ``movements``: what the file says of how signals move, if it does.
    """

    def __init__(
        self,
        model: ModelConfig,
        declared: Mapping[str, Signal],
        reference: Reference | None,
        start: int = 0,
        *,
        moves: bool = False,
        movements: Mapping[str, Any] | None = None,
    ) -> None:
        self._moves = moves
        self._model = model
        self._declared = declared
        self.watches: list[Watch] = []
        self._learners: list[Learner] = []
        if reference is not None and movements is not None:
            self.watches.append(Watch.of_file(reference, movements, model, self._declared, start))
        elif reference is not None:
            self.watches.append(Watch(reference, model, self._declared, start, moves=moves))

    def close(self, start: int, summary: Summary) -> list[Finding]:
        """One closed slice with events, in order of time. Returns findings in order of signal."""
        findings = [finding for watch in self.watches for finding in watch.close(start, summary)]
        self._learn(start, summary)
        return sorted(findings, key=lambda finding: (finding.signal, finding.check))

    def _learn(self, start: int, summary: Summary) -> None:
        for learner in self._learners:
            learner.add(summary)
        known = {name for watch in self.watches for name in watch.reference.kinds}
        known.update(name for learner in self._learners for name in learner.signals)
        new = sorted(set(summary.signals) - known)
        if new:
            self._learners.append(Learner(start, summary.select(new)))
        end, share = start + self._model.slice_ms, self._ranked()
        for learner in [one for one in self._learners if one.period.holds(end, self._model.learn, share)]:
            self._learners.remove(learner)
            reference = Reference.of(learner.summary, self._declared)
            period = None if learner.period.holds(end, self._model.learn) else learner.period
            if reference.kinds:
                watch = Watch(reference, self._model, self._declared, end, period, moves=self._moves)
                self.watches.append(watch)

    def _ranked(self) -> float:
        """The share of what is learned from that defines the scores."""
        return RANKED if any(one.name in LEARN for one in self._model.detectors) else 1.0

    @property
    def signals(self) -> int:
        """That are watched, or are about to be."""
        return sum(len(watch.reference.kinds) for watch in self.watches)

    def rate(self, slices: float) -> None:
        """From now on no signal raises more than one false alarm in so many slices, as far as detectors keep
        a budget."""
        for watch in self.watches:
            watch.rate(slices)

    @property
    def learning(self) -> list[str]:
        """Signals that are not watched yet."""
        names = {name for learner in self._learners for name in learner.signals}
        names.update(name for watch in self.watches if watch.learning for name in watch.reference.kinds)
        return sorted(names)

    @property
    def slice_ms(self) -> int:
        return self._model.slice_ms

    @property
    def names(self) -> list[str]:
        """All of its signals, watched or learned."""
        return sorted({*self.learning, *(name for watch in self.watches for name in watch.reference.kinds)})

    @property
    def unwatchable(self) -> list[str]:
        return sorted(name for watch in self.watches for name in watch.unwatchable)

    def snapshot(self) -> dict[str, Any]:
        return {
            "watches": [watch.snapshot() for watch in self.watches],
            "learners": [[learner.start, learner.summary.to_bytes()] for learner in self._learners],
        }

    @classmethod
    def restore(
        cls,
        state: Mapping[str, Any],
        model: ModelConfig,
        declared: Mapping[str, Signal],
        *,
        moves: bool = False,
    ) -> Subject:
        """As it was; signals that are centered otherwise now are learned anew."""
        subject = cls(model, declared, None, moves=moves)
        watches = [Watch.restore(one, model, declared, moves=moves) for one in state["watches"]]
        subject.watches = [watch for watch in watches if watch.reference.fits(subject._declared)]
        subject._learners = [Learner(start, Summary.from_bytes(data)) for start, data in state["learners"]]
        return subject

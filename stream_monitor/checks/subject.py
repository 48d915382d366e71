"""A subject: the signals watched together, from the first event to learning to being watched.

Signals with a reference from a file are watched at once. Others are learned: those that first appear in
one slice share a learner, which becomes a watch of its own when it has seen enough. So a feature that a
new model version brings is learned and watched like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stream_monitor.checks.watch import Watch
from stream_monitor.events import Finding
from stream_monitor.reference import Reference
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import Learn, ModelConfig, Signal

EVENTS_MIN = 500
"""No reference is made of fewer events, however long they took."""
EVENTS_MAX = 1 << 25
"""Learning ends here at the latest."""


class Learner:
    """Collects what signals look like until it is enough for a reference."""

    def __init__(self, start: int, summary: Summary) -> None:
        self.start = start
        self.summary = summary

    def add(self, summary: Summary) -> None:
        self.summary = self.summary + summary.select(list(self.summary.signals))

    def is_done(self, end: int, learn: Learn) -> bool:
        rows = self.summary.rows
        enough = end - self.start >= learn.ms if learn.ms is not None else rows >= (learn.events or 0)
        return rows >= EVENTS_MAX or (enough and rows >= EVENTS_MIN)


class Subject:
    """``declared`` are its configured fields; ``reference`` comes from the model's reference file, if any."""

    def __init__(
        self, model: ModelConfig, declared: Mapping[str, Signal], reference: Reference | None
    ) -> None:
        self._model = model
        self._declared = declared
        self.watches: list[Watch] = []
        self._learners: list[Learner] = []
        if reference is not None:
            self.watches.append(Watch(reference, model, self._declared))

    def close(self, start: int, summary: Summary) -> list[Finding]:
        """One closed slice with events, in order of time. Returns findings in order of signal."""
        findings = [finding for watch in self.watches for finding in watch.close(start, summary)]
        self._learn(start, summary)
        return sorted(findings, key=lambda finding: (finding.signal, finding.check))

    def _learn(self, start: int, summary: Summary) -> None:
        for learner in self._learners:
            learner.add(summary)
        known = {name for watch in self.watches for name in watch.reference.kinds}
        known.update(name for learner in self._learners for name in learner.summary.signals)
        new = sorted(set(summary.signals) - known)
        if new:
            self._learners.append(Learner(start, summary.select(new)))
        end = start + self._model.slice_ms
        done = [learner for learner in self._learners if learner.is_done(end, self._model.learn)]
        for learner in done:
            self._learners.remove(learner)
            reference = Reference.of(learner.summary, self._declared)
            if reference.kinds:
                self.watches.append(Watch(reference, self._model, self._declared))

    @property
    def learning(self) -> list[str]:
        """Signals that have no reference yet."""
        return sorted(name for learner in self._learners for name in learner.summary.signals)

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
    def restore(cls, state: Mapping[str, Any], model: ModelConfig, declared: Mapping[str, Signal]) -> Subject:
        """As it was; signals that are centered otherwise now are learned anew."""
        subject = cls(model, declared, None)
        watches = [Watch.restore(one, model, subject._declared) for one in state["watches"]]
        subject.watches = [watch for watch in watches if watch.reference.fits(subject._declared)]
        subject._learners = [Learner(start, Summary.from_bytes(data)) for start, data in state["learners"]]
        return subject

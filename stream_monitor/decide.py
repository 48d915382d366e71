"""Decide: deltas to slices to checks to alerts. Pure: no Kafka, no wall clock.

One Decider serves one partition of the summaries. A flush is applied as a whole; a slice closes when the
watermark passes its end; closed slices are judged in one order, (slice end, model, stream). What was
learned, and every detector's state, lives here and in the snapshots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stream_monitor.alerting.alert import Alert
from stream_monitor.alerting.ledger import ledger_finding
from stream_monitor.checks.subject import Subject
from stream_monitor.events import Delta, Flush, Stream
from stream_monitor.state import pack, unpack
from stream_monitor.summary.shape import Kind as SubjectKind
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Summary
from stream_monitor.watermark import Ledger, Verdict

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig
    from stream_monitor.reference import References

KIND = "stream-monitor-state"
VERSION = 1
STREAM_IDLE_MS_MAX = 30 * 86_400_000
"""A stream (a version) without events for this long, in event time, is forgotten."""


@dataclass(slots=True)
class ModelState:
    """All that is known of one model: open slices by start, and what watches the closed ones."""

    config: ModelConfig
    shape: str
    open: dict[int, dict[Stream, Summary]] = field(default_factory=dict)
    suspect: set[int] = field(default_factory=set)
    subjects: dict[Stream, Subject] = field(default_factory=dict)
    seen: dict[Stream, int] = field(default_factory=dict)
    version: int = 0


class Decider:
    """``topics`` gives the lateness in ms of each input topic; default: those of the configuration.

    ``counters`` count what happened since the start of the process, for metrics.
    """

    def __init__(
        self, config: Config, references: References, topics: Mapping[str, int] | None = None
    ) -> None:
        self._config = config
        self._references = references
        self._topics = topics or dict.fromkeys(config.predictions.topics, config.predictions.lateness_ms)
        self.ledger = Ledger(self._topics)
        self.counters: Counter[str] = Counter()
        self._models: dict[str, ModelState] = {}
        self._closed: int | None = None

    def apply(self, flush: Flush) -> list[Alert]:
        """One flush. Returns the alerts of the slices that it closed, in order.

        A flush that was applied before is dropped. One that does not go on where its sources stood, or
        that brings other numbers than it announced, is applied, its slices marked, and told in an alert.
        """
        verdict = self.ledger.check(flush.progress)
        if verdict is Verdict.DUPLICATE:
            self.counters["flushes_duplicate"] += 1
            return []
        found = (len(flush.deltas), sum(delta.rows for delta in flush.deltas))
        if found != (flush.announced_deltas, flush.announced_rows):
            verdict = Verdict.MISMATCH
        alerts = [] if verdict is Verdict.NEW else [self._distrust(verdict, flush)]
        for delta in flush.deltas:
            self._merge(delta, suspect=verdict is not Verdict.NEW)
        self.ledger.record(flush.progress)
        watermark = self.ledger.watermark()
        return alerts if watermark is None else alerts + self._close_until(watermark)

    def close(self) -> list[Alert]:
        """The end of the input: closes every open slice."""
        ends = [start + state.config.slice_ms for state in self._models.values() for start in state.open]
        return self._close_until(max(ends)) if ends else []

    def _distrust(self, verdict: Verdict, flush: Flush) -> Alert:
        self.counters[f"flushes_{verdict.value}"] += 1
        finding = ledger_finding(verdict, flush, self.ledger)
        return Alert(Stream(""), "inputs", finding, "ticket", self._config.pipeline, suspect=True)

    def _merge(self, delta: Delta, *, suspect: bool) -> None:
        stream, start = delta.key
        state = self._models.get(stream.model) or self._begin(stream.model)
        if self._closed is not None and start + state.config.slice_ms <= self._closed:
            self.counters["rows_after_close"] += delta.rows
            return
        state.version += 1
        if delta.shape != state.shape:
            self.counters["rows_of_other_shape"] += delta.rows
            state.suspect.add(start)
            return
        if suspect:
            state.suspect.add(start)
        summary = Summary.from_bytes(delta.data)
        streams = state.open.setdefault(start, {})
        streams[stream] = streams[stream] + summary if stream in streams else summary

    def _begin(self, model: str) -> ModelState:
        config = self._config.model(model)
        shape = Shape.of(config, self._references.shape(model))
        state = self._models[model] = ModelState(config, shape.hash)
        return state

    def _close_until(self, time: int) -> list[Alert]:
        if self._closed is not None and time <= self._closed:
            return []
        self._closed = time
        due = sorted(
            (start + state.config.slice_ms, model, start)
            for model, state in self._models.items()
            for start in state.open
            if start + state.config.slice_ms <= time
        )
        self.counters["slices_closed"] += len(due)
        for state in self._models.values():
            state.suspect -= {start for start in state.suspect if start not in state.open and start < time}
        return [alert for _, model, start in due for alert in self._close_slice(model, start)]

    def _close_slice(self, model: str, start: int) -> list[Alert]:
        state = self._models[model]
        state.version += 1
        suspect = start in state.suspect
        state.suspect.discard(start)
        alerts = []
        for stream, summary in sorted(state.open.pop(start).items()):
            self.counters["rows_late"] += summary.late - summary.late_idle
            self.counters["rows_late_idle"] += summary.late_idle
            if not summary.rows:
                continue
            name: SubjectKind = "features" if stream.of_features else "outputs"
            subject = self._subject(state, stream, name)
            state.seen[stream] = start
            for finding in subject.close(start, summary):
                severity = "ticket" if stream.role == "shadow" else state.config.severity
                alerts.append(
                    Alert(
                        stream,
                        name,
                        finding,
                        severity,
                        self._config.pipeline,
                        state.config.labels,
                        summary.offsets,
                        suspect,
                    )
                )
        self._forget(state, start)
        return alerts

    def _subject(self, state: ModelState, stream: Stream, name: SubjectKind) -> Subject:
        if stream not in state.subjects:
            file = self._references.of(stream.model)
            reference = None if file is None else file.subjects[name]
            state.subjects[stream] = Subject(name, state.config, reference)
        return state.subjects[stream]

    def _forget(self, state: ModelState, now: int) -> None:
        for stream in [one for one, seen in state.seen.items() if now - seen > STREAM_IDLE_MS_MAX]:
            del state.seen[stream], state.subjects[stream]

    def models(self) -> list[str]:
        """The models that hold state, in order."""
        return sorted(self._models)

    def version(self, model: str) -> int:
        """Moves when the model's state moves; 0 without state."""
        return self._models[model].version if model in self._models else 0

    def open_slices(self) -> int:
        return sum(len(state.open) for state in self._models.values())

    def watermark(self) -> int | None:
        """All slices that end here or before are closed."""
        return self._closed

    def learning(self) -> dict[str, list[str]]:
        """By model, the signals that have no reference yet."""
        return self._list("learning")

    def unwatchable(self) -> dict[str, list[str]]:
        """By model, the signals that need `center` in the configuration to be seen at all."""
        return self._list("unwatchable")

    def _list(self, what: str) -> dict[str, list[str]]:
        listed = {}
        for model, state in self._models.items():
            names = {name for subject in state.subjects.values() for name in getattr(subject, what)}
            if names:
                listed[model] = sorted(names)
        return listed

    def snapshot(self, model: str) -> bytes:
        """The model's state, the ledger and the watermark. Cost and size: those of the state."""
        state = self._models[model]
        return pack(
            KIND,
            VERSION,
            {
                "ledger": self.ledger.snapshot(),
                "closed": self._closed,
                "shape": state.shape,
                "open": [
                    [start, list(stream), summary.to_bytes()]
                    for start, streams in sorted(state.open.items())
                    for stream, summary in sorted(streams.items())
                ],
                "suspect": sorted(state.suspect),
                "subjects": [
                    [list(stream), state.seen[stream], subject.snapshot()]
                    for stream, subject in sorted(state.subjects.items())
                ],
            },
        )

    def restore(self, model: str, data: bytes) -> None:
        """Put a model's state in the place of what is here. FormatError where it cannot be read.

        Open slices of another shape than today's are dropped and counted: they would not merge.
        """
        saved = unpack(KIND, VERSION, data)
        state = self._models[model] = self._begin(model)
        state.version += 1
        for start, stream, summary in saved["open"]:
            if saved["shape"] != state.shape:
                self.counters["rows_of_other_shape"] += Summary.from_bytes(summary).rows
                continue
            state.open.setdefault(start, {})[Stream(*stream)] = Summary.from_bytes(summary)
        state.suspect = set(saved["suspect"])
        for names, seen, subject in saved["subjects"]:
            stream = Stream(*names)
            kind = "features" if stream.of_features else "outputs"
            state.subjects[stream] = Subject.restore(subject, kind, state.config)
            state.seen[stream] = seen

    def restore_ledger(self, data: bytes) -> None:
        """Take over the ledger and the watermark of a snapshot."""
        saved = unpack(KIND, VERSION, data)
        self.ledger = Ledger.restore(self._topics, saved["ledger"])
        self._closed = saved["closed"]

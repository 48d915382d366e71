"""Closed slices of events: features and outputs against their references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stream_monitor.alerting.alert import Alert
from stream_monitor.checks import movement
from stream_monitor.checks.budget import divide
from stream_monitor.checks.subject import Subject
from stream_monitor.decide.following import follow
from stream_monitor.decide.gathered import Gathered
from stream_monitor.events import DeltaKind, Finding, Stream
from stream_monitor.summary.segments import bound_segments
from stream_monitor.summary.shape import Kind, Shape
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig
    from stream_monitor.reference import References

STREAM_IDLE_MS_MAX = 30 * 86_400_000
"""A stream (a version, a segment) without events for this long, in event time, is forgotten."""


def severity_of(stream: Stream, finding: Finding, config: ModelConfig) -> str:
    """Nobody is paged for a shadow, nor for a signal that keeps its level."""
    ticket = stream.role == "shadow" or finding.check == movement.NAME
    return "ticket" if ticket else config.severity


@dataclass(slots=True)
class Watched:
    """What watches the streams of one model, and when each was seen last."""

    subjects: dict[Stream, Subject] = field(default_factory=dict)
    seen: dict[Stream, int] = field(default_factory=dict)


class EventJudge:
    """The judge of the track of observe."""

    def __init__(self, config: Config, references: References, counters: Counter[str]) -> None:
        self._config = config
        self._references = references
        self._counters = counters
        self._models: dict[str, Watched] = {}

    def forget(self, model: str, start: int) -> None:
        del start
        self._models.pop(model, None)

    def shape(self, model: str) -> str:
        return Shape.of(self._config.model(model), self._references.shape(model)).hash

    def _segments_max(self, model: str) -> int:
        return self._config.model(model).segments_max

    def slice_ms(self, model: str) -> int:
        return self._config.model(model).slice_ms

    def load(self, kind: DeltaKind | None, data: bytes) -> Summary:
        del kind
        return Summary.from_bytes(data)

    def bound(self, streams: Mapping[Stream, Gathered[Summary]]) -> dict[Stream, Gathered[Summary]]:
        return bound_segments(streams, self._segments_max)

    def close(
        self, model: str, start: int, streams: Mapping[Stream, Summary], *, suspect: bool
    ) -> list[Alert]:
        watched = self._models.setdefault(model, Watched())
        config = self._config.model(model)
        divide(config.budget, config.slice_ms, self._config.tracks, watched.subjects.values())
        alerts: list[Alert] = []
        followed, gone = follow(streams, watched.subjects, self._segments_max)
        for stream, summary in followed:
            self._counters["rows_late"] += summary.late - summary.late_idle
            self._counters["rows_late_idle"] += summary.late_idle
            if summary.rows:
                watched.seen[stream] = start
                found = self._alerts(stream, config, watched, start, summary, suspect=suspect)
                alerts.extend(found)
        gone += [one for one, seen in watched.seen.items() if start - seen > STREAM_IDLE_MS_MAX]
        for stream in set(gone):
            del watched.seen[stream], watched.subjects[stream]
        return alerts

    def _alerts(
        self,
        stream: Stream,
        config: ModelConfig,
        watched: Watched,
        start: int,
        summary: Summary,
        *,
        suspect: bool,
    ) -> Iterator[Alert]:
        name: Kind = "features" if stream.of_features else "outputs"
        if stream not in watched.subjects:
            # The file is of all events: a segment is another thing by nature, and learns what it is.
            file = None if stream.segment else self._references.of(stream.model)
            watched.subjects[stream] = Subject(
                config,
                getattr(config, name),
                None if file is None else file.subjects[name],
                start,
                moves=not stream.segment,
                movements=None
                if file is None or file.movements is None
                else file.movements.watches.get(name),
            )
        for finding in watched.subjects[stream].close(start, summary):
            yield Alert(
                stream,
                name,
                finding,
                severity_of(stream, finding, config),
                self._config.pipeline,
                config.labels,
                summary.offsets,
                suspect,
            )

    def subjects(self) -> Iterator[tuple[Stream, Subject]]:
        """Every subject with its stream."""
        for watched in self._models.values():
            yield from watched.subjects.items()

    def snapshot(self, model: str) -> list[Any]:
        watched = self._models.get(model, Watched())
        return [
            [list(stream), watched.seen[stream], subject.snapshot()]
            for stream, subject in sorted(watched.subjects.items(), key=lambda item: item[0])
        ]

    def restore(self, model: str, state: Any) -> None:
        watched, config = Watched(), self._config.model(model)
        for names, seen, subject in state:
            stream = Stream(*names)
            declared = config.features if stream.of_features else config.outputs
            watched.subjects[stream] = Subject.restore(subject, config, declared, moves=not stream.segment)
            watched.seen[stream] = seen
        self._models[model] = watched

"""Closed slices of labels: what they say of the predictions that they came for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from stream_monitor.alerting.alert import Alert
from stream_monitor.checks.budget import divide
from stream_monitor.checks.quality import QualityBook
from stream_monitor.checks.subject import Subject
from stream_monitor.decide.following import follow
from stream_monitor.decide.gathered import Gathered
from stream_monitor.errors import FormatError
from stream_monitor.events import DeltaKind, Finding, Stream
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.quality.shape import shape_hash
from stream_monitor.summary.segments import bound_segments
from stream_monitor.summary.summary import Summary

if TYPE_CHECKING:
    from stream_monitor.config import Config, Labels, ModelConfig
    from stream_monitor.reference import References

LABELS = "labels"
"""In the place of a role: the labels of a model themselves."""
DELAY = "label_delay"
ERRORS_LOCATION_MAX = 0.05
"""The minimum effect on the location of error signals, at the most: of an error that is 0 or 1 it is a share
of predictions, and a model that errs in 10 % where it erred in 4 % is to be told.
"""


def of_errors(model: ModelConfig, labels: Labels) -> ModelConfig:
    """The settings of a model as those of its error signals, in the slices in which labels arrive."""
    location = min(model.min_effect.location, ERRORS_LOCATION_MAX)
    effect = model.min_effect.model_copy(update={"location": location})
    return model.model_copy(update={"slice_ms": labels.slice_ms, "min_effect": effect})


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the labels of one slice brought to one stream."""

    pairs: Summary = field(default_factory=Summary.empty)
    cohorts: Cohorts = field(default_factory=Cohorts)
    labels: Summary = field(default_factory=Summary.empty)

    @classmethod
    def of(cls, kind: DeltaKind, data: bytes) -> Self:
        """What one delta brings."""
        if kind == "cohorts":
            return cls(cohorts=Cohorts.from_bytes(data))
        summary = Summary.from_bytes(data)
        return cls(labels=summary) if kind == "labels" else cls(pairs=summary)

    @property
    def rows(self) -> int:
        return self.pairs.rows + self.labels.rows

    def __add__(self, other: Self, /) -> Self:
        return type(self)(self.pairs + other.pairs, self.cohorts + other.cohorts, self.labels + other.labels)

    def to_bytes(self) -> bytes:
        return msgspec.msgpack.encode(
            [self.pairs.to_bytes(), self.cohorts.to_bytes(), self.labels.to_bytes()]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        try:
            pairs, cohorts, labels = msgspec.msgpack.decode(data, type=tuple[bytes, bytes, bytes])
        except msgspec.DecodeError as error:
            message = f"arrival: damaged bytes ({error})"
            raise FormatError(message) from error
        return cls(Summary.from_bytes(pairs), Cohorts.from_bytes(cohorts), Summary.from_bytes(labels))


@dataclass(slots=True)
class Judged:
    """What watches one stream: its error signals as their labels come, and its cohorts."""

    signals: Subject
    book: QualityBook


class ArrivalJudge:
    """The judge of the track of join. Without labels in the configuration nothing ever comes to it."""

    def __init__(self, config: Config, references: References, counters: Counter[str]) -> None:
        self._config = config
        self._references = references
        self._counters = counters
        self._models: dict[str, dict[Stream, Judged]] = {}

    @property
    def _labels(self) -> Labels:
        assert self._config.labels is not None
        return self._config.labels

    def forget(self, model: str, start: int) -> None:
        """Cohorts are kept: labels still come for them."""
        for stream, judged in self._models.get(model, {}).items():
            anew = self._begin(stream, start)
            judged.signals = anew.signals
            judged.book.forget(anew.book.reference, start)

    def shape(self, model: str) -> str:
        return shape_hash(self._config.model(model), self._labels)

    def _segments_max(self, model: str) -> int:
        return self._config.model(model).segments_max

    def slice_ms(self, model: str) -> int:
        del model
        return self._labels.slice_ms

    def load(self, kind: DeltaKind | None, data: bytes) -> Arrival:
        return Arrival.from_bytes(data) if kind is None else Arrival.of(kind, data)

    def bound(self, streams: Mapping[Stream, Gathered[Arrival]]) -> dict[Stream, Gathered[Arrival]]:
        return bound_segments(streams, self._segments_max)

    def close(
        self, model: str, start: int, streams: Mapping[Stream, Arrival], *, suspect: bool
    ) -> list[Alert]:
        config = self._config.model(model)
        judged = self._models.setdefault(model, {})
        alerts = []
        signals = (one.signals for one in judged.values())
        divide(config.budget, self._labels.slice_ms, self._config.tracks, signals)
        followed, gone = follow(streams, judged, self._segments_max)
        for stream in gone:
            del judged[stream]
        for stream, arrival in followed:
            if stream not in judged:
                judged[stream] = self._begin(stream, start)
            for subject, finding in self._findings(judged[stream], start, arrival):
                ticket = stream.role in ("shadow", LABELS) or finding.signal == DELAY
                alerts.append(
                    Alert(
                        stream,
                        subject,
                        finding,
                        "ticket" if ticket else config.severity,
                        self._config.pipeline,
                        config.labels,
                        arrival.pairs.offsets if subject == "quality" else arrival.labels.offsets,
                        suspect,
                    )
                )
        return alerts

    def _begin(self, stream: Stream, start: int = 0) -> Judged:
        config, labels = self._config.model(stream.model), self._labels
        # The file is of all predictions: a segment learns its own quality, and labels what they are like.
        file = None if stream.segment or stream.role == LABELS else self._references.of(stream.model)
        reference = {} if file is None else file.quality
        book = QualityBook(config.quality, labels.cohort_ms, labels.horizon_ms, config.learn, reference)
        pairs = None if file is None else file.pairs
        return Judged(Subject(of_errors(config, self._labels), {}, pairs, start), book)

    def _findings(self, judged: Judged, start: int, arrival: Arrival) -> Iterator[tuple[str, Finding]]:
        """What the slice shows, with the subject that it is told of."""
        end = start + self._labels.slice_ms
        for finding in judged.book.close(end, arrival.cohorts):
            yield "quality", finding
        if arrival.pairs.rows:
            for finding in judged.signals.close(start, arrival.pairs):
                yield "quality", judged.book.explain(finding)
        if arrival.labels.rows:
            for finding in judged.signals.close(start, arrival.labels):
                yield "labels", finding

    def subjects(self) -> Iterator[tuple[Stream, Subject]]:
        """Every subject with its stream."""
        for judged in self._models.values():
            for stream, one in judged.items():
                yield stream, one.signals

    def books(self) -> Iterator[tuple[Stream, QualityBook]]:
        """The cohorts of every stream."""
        for judged in self._models.values():
            for stream, one in judged.items():
                yield stream, one.book

    def snapshot(self, model: str) -> list[Any]:
        return [
            [list(stream), one.signals.snapshot(), one.book.snapshot()]
            for stream, one in sorted(self._models.get(model, {}).items(), key=lambda item: item[0])
        ]

    def restore(self, model: str, state: Any) -> None:
        watched = of_errors(self._config.model(model), self._labels)
        judged = self._models[model] = {}
        for names, signals, book in state:
            stream = Stream(*names)
            judged[stream] = self._begin(stream)
            judged[stream].signals = Subject.restore(signals, watched, {})
            judged[stream].book.restore(book)

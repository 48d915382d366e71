"""What one partition of the summaries is decided by: a track for events, and one for labels.

A flush is applied as a whole; a slice closes when the watermark of its track passes its end; the closed
slices of a track are judged in one order, (slice end, model, stream). What was learned, and every
detector's state, lives here and in the snapshots.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stream_monitor.alerting.alert import Alert
from stream_monitor.checks.subject import Subject
from stream_monitor.decide.arrivals import ArrivalJudge
from stream_monitor.decide.events import EventJudge
from stream_monitor.decide.track import Track
from stream_monitor.events import Flush, Stage, Stream
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.state import pack, unpack
from stream_monitor.watermark import Ledger

if TYPE_CHECKING:
    from stream_monitor.config import Config
    from stream_monitor.reference import References

KIND = "stream-monitor-state"
VERSION = 5


class Decider:
    """``topics`` gives the lateness in ms of each topic that observe reads, ``joined`` all those that join
    reads; default: those of the configuration. ``counters`` count what happened since the start of the
    process, for metrics.
    """

    def __init__(
        self,
        config: Config,
        references: References,
        topics: Mapping[str, int] | None = None,
        joined: Sequence[str] | None = None,
    ) -> None:
        predictions = config.predictions
        self._lateness_ms = dict(topics or dict.fromkeys(predictions.topics, predictions.lateness_ms))
        if joined is None and config.labels is not None:
            joined = [*config.joined("predictions"), *config.joined("labels")]
        self._joined = tuple(joined or ())
        self.counters: Counter[str] = Counter()
        self._events = EventJudge(config, references, self.counters)
        self._arrivals = ArrivalJudge(config, references, self.counters)
        more = references.basis, config.pipeline, self.counters
        self._tracks: dict[Stage, Track[Any]] = {
            "observe": Track(self._ledger("observe"), self._events, *more)
        }
        if config.labels is not None:
            self._tracks["join"] = Track(self._ledger("join"), self._arrivals, *more)

    def _ledger(self, stage: Stage, state: Mapping[str, Any] | None = None) -> Ledger:
        """Pairs belong to slices of clocks, so nothing of them is late; and a partition that was idle from
        its beginning still holds the watermark at its claim, for its first label may be as old.
        """
        lateness_ms = self._lateness_ms if stage == "observe" else dict.fromkeys(self._joined, 0)
        empty_holds = stage == "join"
        if state is None:
            return Ledger(lateness_ms, empty_holds=empty_holds)
        return Ledger.restore(lateness_ms, state, empty_holds=empty_holds)

    @property
    def ledger(self) -> Ledger:
        """What observe reported."""
        return self._tracks["observe"].ledger

    def apply(self, flush: Flush) -> list[Alert]:
        """One flush. Returns the alerts of the slices that it closed, in order.

        A flush that was applied before is dropped. One that does not go on where its sources stood, or
        that brings other numbers than it announced, is applied, its slices marked, and told in an alert.
        One of a join that is not configured any more says nothing.
        """
        track = self._tracks.get(flush.stage)
        return [] if track is None else track.apply(flush)

    def close(self) -> list[Alert]:
        """The end of the input: closes every open slice."""
        return [alert for track in self._tracks.values() for alert in track.close()]

    def models(self) -> list[str]:
        """The models that hold state, in order."""
        return sorted({model for track in self._tracks.values() for model in track.models})

    def version(self, model: str) -> int:
        """Moves when the model's state moves; 0 without state."""
        return sum(track.models[model].version for track in self._tracks.values() if model in track.models)

    def open_slices(self, stage: Stage = "observe") -> int:
        return self._tracks[stage].open_slices() if stage in self._tracks else 0

    def watermark(self, stage: Stage = "observe") -> int | None:
        """All slices of this stage that end here or before are closed."""
        return self._tracks[stage].closed if stage in self._tracks else None

    def first(self) -> int | None:
        """The start of the earliest slice of predictions since this process began."""
        return self._tracks["observe"].first

    def learning(self) -> dict[str, list[str]]:
        """By model, the signals that have no reference yet."""
        return self._list("learning")

    def unwatchable(self) -> dict[str, list[str]]:
        """By model, the signals that need `center` in the configuration to be seen at all."""
        return self._list("unwatchable")

    def cohorts(self) -> Iterator[tuple[Stream, Cohorts]]:
        """Of every stream and segment the cohorts that labels may still change."""
        return ((stream, book.cohorts) for stream, book in self._arrivals.books())

    def _list(self, what: str) -> dict[str, list[str]]:
        listed: dict[str, set[str]] = defaultdict(set)
        for stream, subject in self.subjects():
            listed[stream.model].update(getattr(subject, what))
        return {model: sorted(names) for model, names in listed.items() if names}

    def subjects(self) -> Iterator[tuple[Stream, Subject]]:
        """Whatever is watched or learned, with its stream."""
        yield from self._events.subjects()
        yield from self._arrivals.subjects()

    def snapshot(self, model: str) -> bytes:
        """The model's state, the ledgers and the watermarks. Cost and size: those of the state."""
        return pack(KIND, VERSION, {stage: track.snapshot(model) for stage, track in self._tracks.items()})

    def restore(self, model: str, data: bytes) -> None:
        """Put a model's state in the place of what is here. FormatError where it cannot be read.

        Open slices of another shape than today's are dropped and counted: they would not merge. A track that
        was not there, for labels were configured later, begins anew.
        """
        saved = unpack(KIND, VERSION, data)
        for stage in self._tracks.keys() & saved.keys():
            self.counters["rows_of_other_shape"] += self._tracks[stage].restore(model, saved[stage])

    def restore_ledger(self, data: bytes) -> None:
        """Take over the ledgers and the watermarks of a snapshot."""
        saved = unpack(KIND, VERSION, data)
        for stage in self._tracks.keys() & saved.keys():
            ledger = self._ledger(stage, saved[stage]["ledger"])
            self._tracks[stage].restore_ledger(ledger, saved[stage]["closed"])

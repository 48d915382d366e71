"""A track: the slices of one stage, open until its watermark passes their end, then closed in one order.

Features are judged on the track of observe, labels on that of join: each reads the input at its own pace,
so labels that lag behind for days hold nothing back but what rests on labels.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

from stream_monitor.alerting.alert import Alert
from stream_monitor.alerting.ledger import ledger_finding
from stream_monitor.decide.gathered import C, Gathered
from stream_monitor.events import Delta, DeltaKind, Flush, Stream
from stream_monitor.reference import Basis
from stream_monitor.watermark import Ledger, Verdict

log = logging.getLogger(__name__)


BOUND_AT = 64
"""So many streams of a slice are gathered before their segments are bounded, or twice what that leaves."""


class Judge(Protocol[C]):
    """What becomes of closed slices: the part in which tracks differ."""

    def forget(self, model: str, start: int) -> None:
        """What was learned before the slice of this start."""

    def shape(self, model: str) -> str:
        """The hash that deltas of this model must name to be merged."""

    def slice_ms(self, model: str) -> int: ...

    def load(self, kind: DeltaKind | None, data: bytes) -> C:
        """What a delta of that kind brings; None: a content that ``to_bytes`` wrote. FormatError."""

    def bound(self, streams: Mapping[Stream, Gathered[C]]) -> dict[Stream, Gathered[C]]:
        """The streams of a slice, of segments no more than are kept apart."""

    def close(self, model: str, start: int, streams: Mapping[Stream, C], *, suspect: bool) -> list[Alert]:
        """One closed slice of a model, in order of time."""

    def snapshot(self, model: str) -> Any:
        """The model's state, plain."""

    def restore(self, model: str, state: Any) -> None: ...


@dataclass(slots=True)
class Slices(Generic[C]):
    """The open slices of one model by start, and those of them that cannot be trusted."""

    shape: str
    slice_ms: int
    open: dict[int, dict[Stream, Gathered[C]]] = field(default_factory=dict)
    suspect: set[int] = field(default_factory=set)
    version: int = 0
    bound_at: int = BOUND_AT
    basis: Basis | None = None
    """None until a slice closes."""


class Track(Generic[C]):
    """Flushes of one stage in, alerts out. ``basis`` gives that of a model, as configured; ``counters`` are
    shared by the tracks of a Decider."""

    def __init__(
        self,
        ledger: Ledger,
        judge: Judge[C],
        basis: Callable[[str], Basis],
        pipeline: str,
        counters: Counter[str],
    ) -> None:
        self.ledger = ledger
        self.models: dict[str, Slices[C]] = {}
        self.closed: int | None = None
        """All slices that end here or before are closed."""
        self.first: int | None = None
        """The start of the earliest slice since this process began."""
        self._judge = judge
        self._basis = basis
        self._pipeline = pipeline
        self._counters = counters

    def apply(self, flush: Flush) -> list[Alert]:
        """One flush. Returns the alerts of the slices that it closed, in order."""
        verdict = self.ledger.check(flush.progress)
        if verdict is Verdict.DUPLICATE:
            self._counters["flushes_duplicate"] += 1
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
        ends = [start + slices.slice_ms for slices in self.models.values() for start in slices.open]
        return self._close_until(max(ends)) if ends else []

    def open_slices(self) -> int:
        return sum(len(slices.open) for slices in self.models.values())

    def _distrust(self, verdict: Verdict, flush: Flush) -> Alert:
        self._counters[f"flushes_{verdict.value}"] += 1
        finding = ledger_finding(verdict, flush, self.ledger)
        return Alert(Stream(""), "inputs", finding, "ticket", self._pipeline, suspect=True)

    def _merge(self, delta: Delta, *, suspect: bool) -> None:
        stream, start = delta.key
        slices = self.models.get(stream.model) or self._begin(stream.model)
        if self.closed is not None and start + slices.slice_ms <= self.closed:
            self._counters["rows_after_close"] += delta.rows
            return
        slices.version += 1
        self.first = start if self.first is None else min(self.first, start)
        if delta.shape != slices.shape:
            self._counters["rows_of_other_shape"] += delta.rows
            slices.suspect.add(start)
            return
        if suspect:
            slices.suspect.add(start)
        content = Gathered(self._judge.load, ((delta.kind, delta.data),))
        streams = slices.open.setdefault(start, {})
        streams[stream] = streams[stream] + content if stream in streams else content
        if len(streams) >= slices.bound_at:
            # Many flushes may each bring other segments of a long slice.
            slices.open[start] = self._judge.bound(streams)
            slices.bound_at = max(slices.bound_at, 2 * len(slices.open[start]))

    def _begin(self, model: str) -> Slices[C]:
        slices: Slices[C] = Slices(self._judge.shape(model), self._judge.slice_ms(model))
        self.models[model] = slices
        return slices

    def _close_until(self, time: int) -> list[Alert]:
        if self.closed is not None and time <= self.closed:
            return []
        self.closed = time
        due = sorted(
            (start + slices.slice_ms, model, start)
            for model, slices in self.models.items()
            for start in slices.open
            if start + slices.slice_ms <= time
        )
        self._counters["slices_closed"] += len(due)
        for slices in self.models.values():
            slices.suspect -= {start for start in slices.suspect if start not in slices.open and start < time}
        return [alert for _, model, start in due for alert in self._close_slice(model, start)]

    def _close_slice(self, model: str, start: int) -> list[Alert]:
        slices = self.models[model]
        slices.version += 1
        self._rest_on(model, start)
        suspect = start in slices.suspect
        slices.suspect.discard(start)
        streams = {stream: one.content() for stream, one in slices.open.pop(start).items()}
        return self._judge.close(model, start, streams, suspect=suspect)

    def _rest_on(self, model: str, start: int) -> None:
        """What is configured, from the slice of this start on. Where a file is another one, segments learn
        anew, too."""
        slices, basis = self.models[model], self._basis(model)
        learned_from = 0 if slices.basis is None else slices.basis.learn_from
        if not learned_from < basis.learn_from <= start:
            basis = basis._replace(learn_from=learned_from)
        if slices.basis is not None and slices.basis != basis:
            self._judge.forget(model, start)
            log.warning("model %s: what was learned is forgotten, and learned anew", model)
        slices.basis = basis

    def snapshot(self, model: str) -> dict[str, Any]:
        """The ledger, the watermark, and what is known of the model on this track (None: nothing)."""
        saved: dict[str, Any] = {"ledger": self.ledger.snapshot(), "closed": self.closed, "model": None}
        slices = self.models.get(model)
        if slices is not None:
            saved["model"] = {
                "shape": slices.shape,
                "basis": None if slices.basis is None else list(slices.basis),
                "open": [
                    [start, list(stream), gathered.parts()]
                    for start, streams in sorted(slices.open.items())
                    for stream, gathered in sorted(streams.items(), key=lambda item: item[0])
                ],
                "suspect": sorted(slices.suspect),
                "judge": self._judge.snapshot(model),
            }
        return saved

    def restore(self, model: str, state: Mapping[str, Any]) -> int:
        """Put a model's state in the place of what is here. Returns how many rows of open slices were
        dropped, being of another shape than today's: they would not merge.
        """
        saved = state["model"]
        if saved is None:
            return 0
        slices = self._begin(model)
        slices.version += 1
        slices.basis = None if saved["basis"] is None else Basis(*saved["basis"])
        dropped = 0
        for start, stream, parts in saved["open"]:
            gathered = Gathered(self._judge.load, tuple((kind, data) for kind, data in parts))
            if saved["shape"] == slices.shape:
                slices.open.setdefault(start, {})[Stream(*stream)] = gathered
            else:
                dropped += gathered.content().rows
        slices.suspect = set(saved["suspect"])
        self._judge.restore(model, saved["judge"])
        return dropped

    def restore_ledger(self, ledger: Ledger, closed: int | None) -> None:
        """Take over the ledger and the watermark of a snapshot."""
        self.ledger, self.closed = ledger, closed

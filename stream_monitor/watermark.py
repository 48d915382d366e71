"""Time as the input tells it: the clock of a source partition, lateness, the watermark, the ledger.

Nothing here reads the wall clock. A *clock* is the largest time of the accepted events of one source
partition up to an offset. A *claim* is a time that an idle partition was said to have reached; it moves
lateness and the watermark as a clock does, but is told apart, for it came from a wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from stream_monitor.events import Batch, Delta, Int64s, LabelBatch, Progress, Source

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]

NEVER = np.iinfo(np.int64).min
"""The clock of a partition that never held an event."""


@dataclass(slots=True)
class Clock:
    """Of one source partition: ``event`` from its events, ``claim`` from idleness (NEVER: none)."""

    event: int = NEVER
    claim: int = NEVER

    @property
    def time(self) -> int:
        return max(self.event, self.claim)

    @property
    def known_event(self) -> int | None:
        return None if self.event == NEVER else self.event

    @property
    def known_claim(self) -> int | None:
        return None if self.claim == NEVER else self.claim


@dataclass(slots=True)
class Judged:
    """Per row of a batch: the clock once the row was read, whether it is late, and whether by a claim alone.

    A late row is counted in the slice that holds ``clock``: that slice cannot have closed before the
    row was read, and the choice depends on nothing but the row's own partition.
    """

    clock: Int64s
    late: Bools
    idle: Bools


def judge(
    batch: Batch | LabelBatch, clocks: dict[Source, Clock], lateness_ms: Mapping[str, int] | int
) -> Judged:
    """Judge every row against the clock of its own partition, and move ``clocks`` on.

    ``lateness_ms`` is one number or one per topic. Late means more than that behind the clock just
    before the row. Cost: a few vector operations a source partition.
    """
    n = len(batch)
    judged = Judged(np.empty(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.bool_))
    rows_of = np.bincount(batch.source, minlength=1)
    for index in np.flatnonzero(rows_of).tolist():
        rows = slice(None) if rows_of[index] == n else np.flatnonzero(batch.source == index)
        source = batch.sources[index]
        clock = clocks.setdefault(source, Clock())
        allowed = lateness_ms if isinstance(lateness_ms, int) else lateness_ms[source.topic]
        time = batch.time[rows]
        after = np.maximum(np.maximum.accumulate(time), clock.event)
        judged.clock[rows] = np.maximum(after, clock.claim)
        if int(time.min()) < max(int(after[-1]), clock.claim) - allowed:
            # Else none is late: all clocks before a row are at most the last one.
            judged.late[rows], judged.idle[rows] = _late(time, after, clock, allowed)
        clock.event = int(after[-1])
    return judged


def _late(time: Int64s, after: Int64s, clock: Clock, allowed: int) -> tuple[Bools, Bools]:
    """Which rows of a partition are late, and which by a claim alone. ``clock`` is that before the first."""
    before = np.concatenate(([clock.event], after[:-1]))
    by_event = time < before - allowed
    if clock.event == NEVER:
        # Nothing is behind it, and less than it is no number.
        by_event[0] = False
    by_claim = time < clock.claim - allowed if clock.claim != NEVER else np.zeros(len(time), np.bool_)
    return by_event | by_claim, by_claim & ~by_event


@dataclass(slots=True)
class RowCounts:
    """Rows of one source in a flush: accepted ones (``late`` of them late), and rejected ones."""

    rows: int = 0
    rejected: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What a flush of a stage sends: its deltas, and what became of the rows of each source."""

    deltas: list[Delta]
    counts: dict[Source, RowCounts]


class Verdict(Enum):
    """What the ledger says of a flush."""

    NEW = "new"
    DUPLICATE = "duplicate"
    GAP = "gap"
    MISMATCH = "mismatch"


@dataclass(slots=True)
class SourceState:
    """What is known of one source partition: up to where it was read, and its times."""

    topic_id: str
    next: int
    clock: int | None
    claim: int | None


class Ledger:
    """What every source partition has reported: where reading stands, and the watermark that follows.

    ``lateness_ms`` is that of each input topic. ``empty_holds``: the claim of a partition that never held an
    event holds the watermark, too. Bounded by the number of source partitions.
    """

    def __init__(self, lateness_ms: Mapping[str, int], *, empty_holds: bool = False) -> None:
        self._lateness_ms = dict(lateness_ms)
        self._empty_holds = empty_holds
        self.sources: dict[Source, SourceState] = {}
        self.partitions: dict[str, int] = {}

    def check(self, progress: Iterable[Progress]) -> Verdict:
        """Whether a flush goes on exactly where its sources stood. Changes nothing.

        A topic that was deleted and made anew has another id: its offsets begin again, after a gap.
        """
        verdicts = {verdict for one in progress if (verdict := self._check_one(one)) is not None}
        if verdicts == {Verdict.DUPLICATE}:
            return Verdict.DUPLICATE
        if verdicts <= {Verdict.NEW}:
            return Verdict.NEW
        return Verdict.GAP if Verdict.GAP in verdicts else Verdict.MISMATCH

    def _check_one(self, one: Progress) -> Verdict | None:
        """None for a source that did not move: it says nothing about the flush."""
        known = self.sources.get(one.source)
        if known is not None and one.topic_id != known.topic_id:
            return Verdict.GAP
        if known is not None and one.first == one.next <= known.next:
            return None
        if known is None or one.first == known.next:
            return Verdict.NEW
        if one.first > known.next:
            return Verdict.GAP
        return Verdict.DUPLICATE if one.next <= known.next else Verdict.MISMATCH

    def record(self, progress: Iterable[Progress]) -> None:
        """Take the reports over. Clocks and claims only move on."""
        for one in progress:
            self.partitions[one.source.topic] = one.partitions
            known = self.sources.get(one.source)
            if known is None or known.topic_id != one.topic_id:
                self.sources[one.source] = SourceState(one.topic_id, one.next, one.clock, one.claim)
                continue
            known.next = max(known.next, one.next)
            known.clock = _later(known.clock, one.clock)
            known.claim = _later(known.claim, one.claim)

    def watermark(self) -> int | None:
        """The time that no accepted event can be before; None until every partition has reported.

        A partition that never held an event is waited for until it claims, and then left out, but where
        ``empty_holds``: its claim, a good while behind the wall clock, holds back all others for ever. Topics
        that are not read any more are remembered, and hold nothing back.
        """
        if any(topic not in self.partitions for topic in self._lateness_ms):
            return None
        read, times = 0, []
        for source, state in self.sources.items():
            lateness_ms = self._lateness_ms.get(source.topic)
            if lateness_ms is None:
                continue
            read += 1
            if state.clock is None and state.claim is None:
                return None
            if state.clock is not None or self._empty_holds:
                known = [time for time in (state.clock, state.claim) if time is not None]
                times.append(max(known) - lateness_ms)
        if read < sum(self.partitions[topic] for topic in self._lateness_ms):
            return None
        return min(times, default=None)

    def snapshot(self) -> dict[str, Any]:
        """Plain state: lists, numbers, text."""
        return {
            "partitions": dict(sorted(self.partitions.items())),
            "sources": [
                [source.topic, source.partition, one.topic_id, one.next, one.clock, one.claim]
                for source, one in sorted(self.sources.items())
            ],
        }

    @classmethod
    def restore(
        cls, lateness_ms: Mapping[str, int], state: Mapping[str, Any], *, empty_holds: bool = False
    ) -> Ledger:
        ledger = cls(lateness_ms, empty_holds=empty_holds)
        ledger.partitions = dict(state["partitions"])
        for topic, partition, *known in state["sources"]:
            ledger.sources[Source(topic, partition)] = SourceState(*known)
        return ledger


def _later(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)

"""Where a worker stands in its input partitions, and what follows from it without Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_monitor.errors import FormatError
from stream_monitor.events import Int64s, Progress, Source
from stream_monitor.watermark import NEVER, Clock

METADATA_VERSION = 1

STALLED_S = 20.0
"""A partition that is read, has more, and brings nothing for so long has stalled."""
STALLED_AGAIN_S_MAX = 600.0
LOOKED_S_MAX = 2.0
"""Time in which nobody looked counts no further: then the worker was busy, or the brokers were away."""


class Metadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What travels with a committed offset: the topic that it belongs to, and the clock there.

    ``partitions``: how many the topic had, where ids must stay on theirs.
    """

    v: int
    topic_id: str
    clock: int | None
    claim: int | None
    partitions: int | None = None


_decoder = msgspec.json.Decoder(Metadata)


def encode_metadata(topic_id: str, clock: Clock, partitions: int | None = None) -> str:
    metadata = Metadata(METADATA_VERSION, topic_id, clock.known_event, clock.known_claim, partitions)
    return msgspec.json.encode(metadata).decode()


def decode_metadata(text: str) -> tuple[str, Clock]:
    """The topic id and the clock. FormatError: written by a newer version, or not by us."""
    metadata = _decoded(text)
    event = NEVER if metadata.clock is None else metadata.clock
    return metadata.topic_id, Clock(event, NEVER if metadata.claim is None else metadata.claim)


def decode_partitions(text: str | None) -> int | None:
    """How many partitions the topic had, where that was written. FormatError as above."""
    return _decoded(text).partitions if text else None


def _decoded(text: str) -> Metadata:
    try:
        metadata = _decoder.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        message = f"committed offset: expected metadata of this package, got {text[:80]!r}"
        raise FormatError(message) from error
    if metadata.v > METADATA_VERSION:
        message = f"committed offset: expected metadata version <= {METADATA_VERSION}, got {metadata.v}"
        raise FormatError(message)
    return metadata


@dataclass(slots=True)
class Stall:
    """Of one partition: how long it has had more to read and brought nothing.

    It is due after STALLED_S, and again each time that this has doubled, at the latest after
    STALLED_AGAIN_S_MAX: what holds the records back may be a transaction that is open for hours.
    """

    next: int = -1
    seconds: float = 0.0
    _looked_s: float = 0.0
    _told_s: float = 0.0

    def is_due(self, next_offset: int, now_s: float, *, expected: bool) -> bool:
        """To be asked about once a second. ``expected``: there is more to read, and it is read."""
        if not expected or next_offset != self.next:
            self.next, self.seconds, self._told_s = next_offset, 0.0, 0.0
        else:
            self.seconds += min(now_s - self._looked_s, LOOKED_S_MAX)
        self._looked_s = now_s
        if self.seconds < self._told_s + min(max(self._told_s, STALLED_S), STALLED_AGAIN_S_MAX):
            return False
        self._told_s = self.seconds
        return True


@dataclass(slots=True, eq=False)
class Owned:
    """One input partition of this worker. [first, next) is what the coming flush will stand for.

    ``clock`` is the observer's own, shared. ``active_s`` is when it last brought something (monotonic),
    ``end`` its last known end offset; ``met_end``: nothing has come since its end was met. A ``halted``
    partition waits for a person, a ``held`` one for its store: both are not read and say nothing. ``is_new``:
    nothing was ever committed for it.
    """

    source: Source
    topic_id: str
    first: int
    next: int
    clock: Clock
    active_s: float
    end: int | None = None
    drained: bool = False
    met_end: bool = False
    paused: bool = False
    halted: bool = False
    held: bool = False
    is_new: bool = False
    stall: Stall = field(default_factory=Stall)
    _reported: tuple[int, bool] | None = None

    def move(self, next_offset: int, now_s: float) -> None:
        """Everything below ``next_offset`` was read."""
        if next_offset > self.next:
            self.next = next_offset
            self.active_s = now_s
            self.drained = self.met_end = False

    def skip(self, next_offset: int) -> None:
        """Below ``next_offset`` there is nothing more that is ever delivered, and nothing above it yet."""
        self.next = max(self.next, next_offset)
        self.met_end = self.next == next_offset

    def learn_end(self, end: int) -> None:
        """``end`` is the end offset, uncommitted records included."""
        self.end = end
        self.drained = self.next >= end

    def has_stalled(self, now_s: float) -> bool:
        """Whether it is time, after ``learn_end``, to do something about what does not come."""
        return self.stall.is_due(self.next, now_s, expected=not (self.waits or self.paused or self.drained))

    def claim(self, time: int) -> None:
        """Say that the partition has reached a time although no event came."""
        self.clock.claim = max(self.clock.claim, time)

    @property
    def at_end(self) -> bool:
        """Whether all is read that there was to read a moment ago."""
        return self.met_end or (self.end is not None and self.next >= self.end)

    @property
    def waits(self) -> bool:
        return self.halted or self.held

    @property
    def has_news(self) -> bool:
        return not self.waits and (self.next != self.first or self._reported != self._state())

    def report(self, partitions: int, rows: int, rejected: int, late: int) -> Progress:
        return Progress(
            source=self.source,
            topic_id=self.topic_id,
            partitions=partitions,
            first=self.first,
            next=self.next,
            clock=self.clock.known_event,
            claim=self.clock.known_claim,
            drained=self.drained,
            rows=rows,
            rejected=rejected,
            late=late,
        )

    def handed_over(self) -> None:
        """What was reported is on its way. Where it does not arrive, all of this is made anew."""
        self.first = self.next
        self._reported = self._state()

    def _state(self) -> tuple[int, bool]:
        return self.clock.claim, self.drained


def unread(owned: Sequence[Owned], source: Int64s, offset: Int64s) -> NDArray[np.bool_]:
    """Which records were not seen yet. ``source`` indexes ``owned``; at -1 it is nobody's here."""
    return offset >= np.array([*(one.next for one in owned), np.iinfo(np.int64).max])[source]


def move(owned: Sequence[Owned], source: Int64s, offset: Int64s, now_s: float) -> None:
    """These records were read. Those of a partition are in the order of their offsets."""
    last = np.full(len(owned), -1, np.int64)
    last[source] = offset
    for one, read in zip(owned, last.tolist(), strict=True):
        if read >= 0:
            one.move(read + 1, now_s)


def ahead(owned: Iterable[Owned], ahead_max_ms: int) -> set[Source]:
    """The partitions that have to wait: too far before the least clock of those that have more to read.

    Claims do not count: where old events are read, the time of day is ahead of all of them.
    One that may hold events and has shown none comes before all others.
    One that waits goes on once the others are within half of the distance, so that it does not
    change its mind with every batch (a pause throws away what was fetched ahead).
    """
    reading = [one for one in owned if not one.waits]
    behind = [one.clock.event for one in reading if not one.drained]
    if not behind:
        return set()
    least = min(behind)
    return {
        one.source
        for one in reading
        if one.clock.event - least > (ahead_max_ms // 2 if one.paused else ahead_max_ms)
    }

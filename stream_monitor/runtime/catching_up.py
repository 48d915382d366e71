"""How a store gets to where its partition is committed: by reading the log again, without output.

A store that is behind goes on from where it stands. One that is made anew begins where everything lies that
may still join, with clocks that never held an event: whatever was before is beyond the horizon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_monitor.events import Int64s, Source
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import Position
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import client_log, failpoints
from stream_monitor.runtime.consumed import Consumed
from stream_monitor.runtime.decoding import Decoding
from stream_monitor.runtime.positions import Owned
from stream_monitor.watermark import NEVER, Clock

log = logging.getLogger(__name__)

STEP_S = 0.05
WRITE_ROWS_MAX = 50_000
"""Rows whose elements are held in memory before the store takes them."""
CALL_TIMEOUT_S = 10.0
TELL_S = 5.0


def position_at(topic_id: str, next_offset: int, clock: Clock) -> Position:
    return Position(topic_id, next_offset, clock.known_event, clock.known_claim)


def clock_at(position: Position) -> Clock:
    event = NEVER if position.clock is None else position.clock
    return Clock(event, NEVER if position.claim is None else position.claim)


class LogGoneError(Exception):
    """Records that the store still lacks are gone from the topic, or are not those that it was made of."""


class CatchingUp:
    """Of one partition number. ``owned``: its sources, as they are committed; ``positions``: where its store
    stands, empty for a new one. It reads with a consumer of its own, outside of any group, ``records_max``
    records at a time.

    Memory: the elements of WRITE_ROWS_MAX rows and of what is read at a time, and librdkafka's fetch queue.
    """

    def __init__(
        self,
        owned: Sequence[Owned],
        positions: Mapping[Source, Position],
        joins: Joins,
        decoding: Decoding,
        properties: dict[str, Any],
        history_ms: int,
        records_max: int,
        metrics: Metrics,
    ) -> None:
        self.partition = owned[0].source.partition
        self.is_rebuild = not positions
        self.records = 0
        self._owned = {one.source: one for one in owned}
        self._sources = tuple(sorted(self._owned))
        self._goals = {source: one.next for source, one in self._owned.items()}
        self._next = {source: position.next for source, position in positions.items()}
        self._clocks = {source: clock_at(position) for source, position in positions.items()}
        self._left: set[Source] = set()
        self._span = 0
        self._joins = joins
        self._decoding = decoding
        self._properties = properties
        self._history_ms = history_ms
        self._records_max = records_max
        self._metrics = metrics
        self._reader: Consumer | None = None
        self._unwritten = 0
        self._began_s = self._told_s = 0.0

    @property
    def left(self) -> int:
        """Offsets still to be read, as far as that is known."""
        return sum(self._goals[source] - self._next.get(source, 0) for source in self._goals)

    @property
    def share(self) -> float:
        """Of what there was to read, what was read."""
        if self._reader is None:
            return 0.0
        return 1 - self.left / self._span if self._span else 1.0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def step(self) -> bool:
        """Read a little. True: the store stands where its partition is committed.

        LogGoneError: it cannot get there from where it stands. KafkaException, StoreDamagedError.
        """
        reader = self._reader or self._begin()
        if self._left:
            self._take(reader.consume(self._records_max, STEP_S))
            self._tell()
        if self._left:
            if self._unwritten >= WRITE_ROWS_MAX:
                self._write()
            return False
        self._check_clocks()
        self._write()
        self.close()
        seconds = time.monotonic() - self._began_s
        self._metrics.rebuild_seconds.observe(seconds)
        extra = {"partition": self.partition, "records": self.records, "seconds": round(seconds, 3)}
        log.info("store up to date", extra={**extra, "anew": self.is_rebuild})
        return True

    def _begin(self) -> Consumer:
        self._began_s = self._told_s = time.monotonic()
        reader = self._reader = Consumer(self._properties, logger=client_log.log)
        if self.is_rebuild:
            self._next = self._starts(reader)
            self._clocks = {source: Clock() for source in self._sources}
            # From here on it is a store that is behind, whatever happens.
            self._write()
        self._left = {source for source in self._sources if self._next[source] < self._goals[source]}
        self._span = self.left
        reader.assign([TopicPartition(*source, self._next[source]) for source in self._left])
        return reader

    def _starts(self, reader: Consumer) -> dict[Source, int]:
        """The offset of each source before which nothing can join any more.

        An event is at most ``max_clock_skew`` later than its record.
        """
        lesser = min(one.clock.time for one in self._owned.values())
        since = 0 if lesser == NEVER else max(0, lesser - self._history_ms)
        starts = {source: one.next for source, one in self._owned.items()}
        asked = [TopicPartition(*one.source, since) for one in self._owned.values() if not one.is_new]
        for found in reader.offsets_for_times(asked, CALL_TIMEOUT_S) if asked else ():
            if found.error is not None:
                raise KafkaException(found.error)
            source = Source(found.topic, found.partition)
            if found.offset not in {OFFSET_END, -1}:
                starts[source] = min(found.offset, starts[source])
        return starts

    def _take(self, messages: list[Message]) -> None:
        records = [message for message in messages if message.error() is None]
        if records:
            self._take_records(records)
        if len(records) < len(messages):
            # The end of a partition comes behind its records.
            for message in messages:
                self._on_event(message)

    def _take_records(self, records: list[Message]) -> None:
        consumed = Consumed.of(records)
        source = consumed.places(self._sources, {one.topic for one in self._sources})
        # The last place, -1, is of what was not asked for.
        goals = [self._goals[one] if one in self._left else -1 for one in self._sources]
        goal = np.array([*goals, -1], np.int64)[source]
        wanted = consumed.offset < goal
        last = np.full(len(goals) + 1, -1, np.int64)
        last[source] = consumed.offset
        consumed = consumed.only(wanted)
        if len(consumed):
            self._replay(consumed, source[wanted])
        for i in np.flatnonzero(last[:-1] >= 0):
            self._pass(self._sources[i], int(last[i]) + 1)

    def _replay(self, consumed: Consumed, source: Int64s) -> None:
        for batch in self._decoding.batches(consumed, self._sources, source):
            self._joins.replay(batch, self._clocks)
            self._unwritten += len(batch)
        self.records += len(consumed)
        self._metrics.rebuilt_records.inc(len(consumed))
        failpoints.hit("join.in_rebuild")

    def _on_event(self, message: Message) -> None:
        error, offset = message.error(), message.offset()
        if error is None:
            return
        source = Source(message.topic() or "", cast("int", message.partition()))
        if error.code() == KafkaError._PARTITION_EOF and offset is not None:  # noqa: SLF001 (its own code)
            self._pass(source, offset)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its own code)
            message_text = f"{source.topic}/{source.partition}: {error.str()}"
            raise LogGoneError(message_text)
        elif not error.retriable():
            raise KafkaException(error)

    def _pass(self, source: Source, next_offset: int) -> None:
        """Nothing below ``next_offset`` is left to read: control records and aborted ones are never
        delivered, which the end of the partition or a later record shows."""
        if source in self._left:
            self._next[source] = min(self._goals[source], max(self._next[source], next_offset))
            if self._next[source] == self._goals[source]:
                self._left.remove(source)
                cast("Consumer", self._reader).pause([TopicPartition(*source)])

    def _check_clocks(self) -> None:
        """The clocks that came out must be those that were committed; the claims are the committed ones."""
        for source, one in self._owned.items():
            found, expected = self._clocks[source].event, one.clock.event
            if found != expected:
                message = f"{source.topic}/{source.partition}: expected the clock {expected}, got {found}"
                if not self.is_rebuild:
                    raise LogGoneError(message)
                # Of a partition that fell silent so long ago that its last records are gone.
                log.warning("clock not found in the topic", extra={"source": source, "problem": message})

    def _write(self) -> None:
        positions = {}
        for source, one in self._owned.items():
            place = self._next[source]
            clock = one.clock if place == one.next else self._clocks[source]
            positions[source] = position_at(one.topic_id, place, clock)
        self._joins.replayed(self.partition, positions)
        self._unwritten = 0

    def _tell(self) -> None:
        if time.monotonic() - self._told_s >= TELL_S:
            self._told_s = time.monotonic()
            done = self._span - self.left
            extra = {"partition": self.partition, "offsets": done, "of": self._span, "anew": self.is_rebuild}
            log.info("store catches up", extra=extra)

"""How a store gets to where its partition is committed: by reading the log again, without output.

A store that is behind goes on from where it stands. One that is made anew begins where everything lies that
may still join, with clocks that never held an event: whatever was before is beyond the horizon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_monitor.events import Source
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import Position
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import client_log, failpoints
from stream_monitor.runtime.decoding import Decoding
from stream_monitor.runtime.positions import Owned
from stream_monitor.watermark import NEVER, Clock

log = logging.getLogger(__name__)

BATCH_MAX = 2_000
STEP_S = 0.05
WRITE_RECORDS_MAX = 50_000
"""Records whose elements are held in memory before the store takes them."""
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
    stands, empty for a new one. It reads with a consumer of its own, outside of any group.

    Memory: WRITE_RECORDS_MAX records' elements and librdkafka's fetch queue.
    """

    def __init__(
        self,
        owned: Sequence[Owned],
        positions: Mapping[Source, Position],
        joins: Joins,
        decoding: Decoding,
        properties: dict[str, Any],
        history_ms: int,
        metrics: Metrics,
    ) -> None:
        self.partition = owned[0].source.partition
        self.is_rebuild = not positions
        self.records = 0
        self._owned = {one.source: one for one in owned}
        self._sources = tuple(sorted(self._owned))
        self._index = {source: i for i, source in enumerate(self._sources)}
        self._goals = {source: one.next for source, one in self._owned.items()}
        self._next = {source: position.next for source, position in positions.items()}
        self._clocks = {source: clock_at(position) for source, position in positions.items()}
        self._left: set[Source] = set()
        self._span = 0
        self._joins = joins
        self._decoding = decoding
        self._properties = properties
        self._history_ms = history_ms
        self._metrics = metrics
        self._reader: Consumer | None = None
        self._unwritten = 0
        self._began_s = self._told_s = time.monotonic()

    @property
    def left(self) -> int:
        """Offsets still to be read, as far as that is known."""
        return sum(self._goals[source] - self._next.get(source, 0) for source in self._goals)

    @property
    def share(self) -> float:
        return 1.0 if self._reader is None or not self._span else 1 - self.left / self._span

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
            self._take(reader.consume(BATCH_MAX, STEP_S))
            self._tell()
        if self._left:
            if self._unwritten >= WRITE_RECORDS_MAX:
                self._write()
            return False
        self._check_clocks()
        self._write()
        self.close()
        self._metrics.rebuild_seconds.observe(time.monotonic() - self._began_s)
        extra = {"partition": self.partition, "records": self.records, "anew": self.is_rebuild}
        log.info("store up to date", extra=extra)
        return True

    def _begin(self) -> Consumer:
        reader = self._reader = Consumer(self._properties, logger=client_log.log)
        if self.is_rebuild:
            self._next = self._starts(reader)
            self._clocks = {source: Clock() for source in self._sources}
            # From here on it is a store that is behind, whatever happens.
            self._write()
        else:
            self._check_reach(reader)
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

    def _check_reach(self, reader: Consumer) -> None:
        for source, start in self._next.items():
            bounds = reader.get_watermark_offsets(TopicPartition(*source), timeout=CALL_TIMEOUT_S)
            if bounds is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its own code)
            if start < self._goals[source] and start < bounds[0]:
                name = f"{source.topic}/{source.partition}"
                message = f"{name} begins at {bounds[0]}, and the store stands at {start}"
                raise LogGoneError(message)

    def _take(self, messages: list[Message]) -> None:
        fresh = [message for message in messages if self._is_wanted(message)]
        if not fresh:
            return
        source = np.array([self._index[_source(one)] for one in fresh], np.int64)
        offset = np.array([one.offset() for one in fresh], np.int64)
        for batch in self._decoding.batches(fresh, self._sources, source, offset):
            self._joins.replay(batch, self._clocks)
        self.records += len(fresh)
        self._unwritten += len(fresh)
        self._metrics.rebuilt_records.inc(len(fresh))
        failpoints.hit("join.in_rebuild")

    def _is_wanted(self, message: Message) -> bool:
        """Move on by a message. False: an event of the client, or a record that is not committed."""
        error, source, offset = message.error(), _source(message), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its own code)
            if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its own code)
                message_text = f"{source.topic}/{source.partition}: {error.str()}"
                raise LogGoneError(message_text)
            if not error.retriable():
                raise KafkaException(error)
            return False
        if source not in self._left or offset is None:
            return False
        goal = self._goals[source]
        wanted = error is None and offset < goal
        # Control records and aborted ones are passed over: the end, or a later record, shows that.
        self._next[source] = min(goal, offset + 1 if wanted else offset)
        if self._next[source] == goal:
            self._left.remove(source)
            if self._reader is not None:
                self._reader.pause([TopicPartition(*source)])
        return wanted

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


def _source(message: Message) -> Source:
    partition = message.partition()
    return Source(message.topic() or "", -1 if partition is None else partition)

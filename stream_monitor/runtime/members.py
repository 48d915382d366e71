"""A worker as a member of its consumer group: what both roles do alike."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence, Sized
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_monitor.errors import StreamMonitorError
from stream_monitor.runtime import client_log
from stream_monitor.runtime.consumed import has_errors
from stream_monitor.runtime.kafka import CONSUME_MAX, SESSION_TIMEOUT_MS

log = logging.getLogger(__name__)

COMMITTED_TIMEOUT_S = 2.0
COMMITTED_ATTEMPTS_MAX = 60

FIRST_MAX = 100
"""Records of the first poll; each next one brings twice as many. What the first ones teach a codec makes all
others cheap."""

POLL_BYTES = 8 * 2**20
"""A poll is of fewer records where they are so large that it would hold more."""
SAMPLED = 64
POLL_S = 5.0
"""A poll is of fewer records where as many took longer: who does not come back within `max.poll.interval.ms`,
300 s, is taken for dead."""

Event = tuple[Message, KafkaError]


class FencedError(StreamMonitorError):
    """Another process has this worker's name now, or brokers think so. Two would undo each other's work."""


class Member:
    """A consumer that is told where to start, and stops by name.

    Callbacks run inside ``consume``. ``cooperative``: partitions come and go one by one. ``records_max``: so
    many records a poll, or as many as have about POLL_BYTES and take about POLL_S.
    """

    def __init__(self, properties: dict[str, Any], records_max: int = CONSUME_MAX) -> None:
        self.name = properties["group.instance.id"]
        self._cooperative = properties["partition.assignment.strategy"] == "cooperative-sticky"
        self.consumer = Consumer(properties, logger=client_log.log)
        self._records_max = records_max
        self._next_max = min(FIRST_MAX, records_max)
        self._polled, self._polled_s = 0, time.monotonic()
        self._closing = False

    def subscribe(
        self,
        topics: Sequence[str],
        assigned: Callable[[list[TopicPartition]], None],
        revoked: Callable[[list[TopicPartition]], None],
        lost: Callable[[list[TopicPartition]], None],
    ) -> None:
        """Join. ``assigned`` calls ``place``; ``revoked`` and ``lost`` need not call anything."""

        def unless_closing(
            call: Callable[[list[TopicPartition]], None], *, remove: bool
        ) -> Callable[[Consumer, list[TopicPartition]], None]:
            def callback(_: Consumer, partitions: list[TopicPartition]) -> None:
                if not self._closing:
                    call(partitions)
                if remove:
                    self._remove(partitions)

            return callback

        self.consumer.subscribe(
            list(topics),
            on_assign=unless_closing(assigned, remove=False),
            on_revoke=unless_closing(revoked, remove=True),
            on_lost=unless_closing(lost, remove=True),
        )

    def place(self, partitions: list[TopicPartition]) -> None:
        """Take over what was assigned, to be read from the offsets given. Nothing of it stays paused."""
        self._resume(partitions)
        if self._cooperative:
            self.consumer.incremental_assign(partitions)
        else:
            self.consumer.assign(partitions)

    def _resume(self, partitions: list[TopicPartition]) -> None:
        """To be called before an assignment, never after.

        A pause outlives the assignment that it was asked for, and librdkafka tells nobody of it. An
        assignment that replaces another goes on in librdkafka's own thread after the call is back, and a
        pause or resume at that moment may be lost, or the start of the partition: it is not read then,
        without a word (librdkafka's issues 5591 and 2190).
        """
        if partitions:
            self.consumer.resume(partitions)

    def _remove(self, partitions: list[TopicPartition]) -> None:
        if self._cooperative:
            self.consumer.incremental_unassign(partitions)
        else:
            self.consumer.unassign()

    def committed(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """What is committed, once no transaction with these offsets is open any more.

        As long as a predecessor's is, brokers do not answer; it ends by itself with its transaction timeout.
        """
        wanted = [TopicPartition(one.topic, one.partition) for one in partitions]
        if not wanted:
            return []
        for _ in range(COMMITTED_ATTEMPTS_MAX):
            try:
                answers: list[TopicPartition] = self.consumer.committed(wanted, timeout=COMMITTED_TIMEOUT_S)
                failed = [one.error for one in answers if one.error is not None]
                if not failed:
                    return answers
                log.info("committed offsets not stable yet", extra={"error": str(failed[0])})
            except KafkaException as error:
                if not error.args[0].retriable() and error.args[0].code() != KafkaError._TIMED_OUT:  # noqa: SLF001
                    raise
                log.info("committed offsets not known yet", extra={"error": str(error)})
        asked = COMMITTED_ATTEMPTS_MAX
        message = f"{self.name}: expected committed offsets, got none in {asked} attempts; stops"
        raise StreamMonitorError(message)

    def move(
        self,
        partitions: list[TopicPartition],
        assignment: list[TopicPartition],
        paused: Collection[TopicPartition] = (),
    ) -> None:
        """Read these from the offsets given; ``assignment`` is all that is assigned, these among them, and
        ``paused`` what of it is not to be read for now.

        Unlike a seek this also moves a partition whose offset was gone.
        """
        placed = partitions if self._cooperative else assignment
        self._resume([one for one in placed if one not in paused])
        if paused:
            self.consumer.pause(list(paused))
        if self._cooperative:
            self.consumer.incremental_unassign(partitions)
            self.consumer.incremental_assign(partitions)
        else:
            self.consumer.assign(assignment)

    def await_verdict(self, stop: threading.Event) -> None:
        """FencedError when another process took this name over: the broker says so at the next heartbeat.

        To be asked before a producer that was let go is made anew, for the new one would fence that
        other process. What is read meanwhile is thrown away.
        """
        until_s = time.monotonic() + SESSION_TIMEOUT_MS / 1000
        while time.monotonic() < until_s and not stop.is_set():
            self.poll(0.2)

    def poll(self, timeout_s: float) -> tuple[list[Message], list[Event]]:
        """Records and events, apart.

        FencedError, or an error of ours, where the consumer cannot go on: no caller can pass that over.
        """
        self._next_max = in_time(self._next_max, self._polled, time.monotonic() - self._polled_s)
        try:
            with client_log.errors_as_they_are():
                messages: list[Message] = self.consumer.consume(self._next_max, timeout_s)
        except KafkaException as raised:
            self._check_fatal(raised.args[0])
            raise
        if messages:
            self._next_max = following(self._next_max, messages, self._records_max)
        self._polled, self._polled_s = len(messages), time.monotonic()
        if not has_errors(messages):
            return messages, []
        records: list[Message] = []
        events: list[Event] = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            else:
                self._check_fatal(error)
                events.append((message, error))
        return records, events

    def _check_fatal(self, error: KafkaError) -> None:
        if error.code() == KafkaError.FENCED_INSTANCE_ID or "fenced" in error.str().lower():
            # librdkafka fences itself when its session ran out while brokers were away (its issue 3437).
            message = (
                f"{self.name}: expected to be the only process of this name, got fenced: by another one, or "
                f"because brokers were away for longer than the session; stops, to be started again"
            )
            raise FencedError(message)
        if error.fatal():
            message = f"{self.name}: {error.str()}; stops"
            raise StreamMonitorError(message)

    def close(self) -> None:
        """Leave without a word to the group: a static member that comes back finds its partitions."""
        self._closing = True
        self.consumer.close()


def in_time(records: int, polled: int, took_s: float) -> int:
    """How many of ``records`` are to be polled, where what came of the last poll took so long."""
    if not polled or took_s <= POLL_S:
        return records
    return max(1, min(records, int(polled * POLL_S / took_s)))


def following(records: int, polled: Sequence[Sized], records_max: int) -> int:
    """How many records the poll after one of ``records`` is to bring, by the sizes of some that came."""
    some = polled[:: max(1, len(polled) // SAMPLED)]
    bytes_each = max(1, sum(map(len, some)) // len(some))
    return max(1, min(2 * records, records_max, POLL_BYTES // bytes_each))

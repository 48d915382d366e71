"""The worker of a stage that reads input: deltas, progress and rejects out, exactly once.

    poll -> decode -> observe -> produce deltas -> commit
    poll -> decode -> join -> produce deltas -> commit -> write the store

What is flushed is sent by a thread of its own, and the next interval is read meanwhile: brokers take up to a
tenth of each second to answer. One flush is on its way at a time. Between two commits a worker holds nothing
that the input does not hold too: whatever goes wrong, it drops what it has, also what was read since, and
goes back to what is committed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from itertools import chain
from typing import cast

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_monitor.config import Config
from stream_monitor.events import Batch, Int64s, LabelBatch, Progress, Source, Stage
from stream_monitor.join.store import StoreDamagedError
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.consumed import Consumed
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.messages import Outgoing, emptied, flush_messages
from stream_monitor.runtime.outbox import AbortedError, Outbox, ProducerFencedError
from stream_monitor.runtime.pace import Pace
from stream_monitor.runtime.positions import Owned, move, unread
from stream_monitor.runtime.rejects import held_bytes, reject_message
from stream_monitor.runtime.sending import Sending
from stream_monitor.runtime.task import Flushed, Task

log = logging.getLogger(__name__)

POLL_S = 0.1
BACKOFF_S = 0.5
FLUSH_REJECTED_BYTES_MAX = 16 * 2**20


class InputWorker:
    """``run`` returns after ``stop`` was set and the last flush is committed.

    Raises FencedError when another process has its name, StreamMonitorError when it cannot go on.
    Memory: what the core makes of one commit interval, at most ``rows_max`` rows' and until it ``is_full``,
    the records of a flush, FLUSH_REJECTED_BYTES_MAX of rejects in each of them, and librdkafka's fetch queue.
    """

    def __init__(
        self,
        config: Config,
        task: Task,
        inputs: Inputs,
        member: Member,
        outbox: Outbox,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._config = config
        self._stage = task.stage
        self._decoding = task.decoding
        self._core = task.core
        self._stores = task.stores
        self._rows_max = task.rows_max
        self._is_full = task.is_full
        self._inputs = inputs
        self._member = member
        self._outbox = outbox
        self._metrics = metrics
        self._health = health
        self._rejects: list[Outgoing] = []
        self._rejected_bytes = 0
        self._rows = 0
        self._pace = Pace(config.commit_interval_ms / 1000)
        self._flushes = 0
        self._flush_prefix = f"{member.name}/{os.urandom(6).hex()}"
        self._joined = False
        self._sending: Sending | None = None
        self._aborted: AbortedError | None = None

    def run(self, stop: threading.Event) -> None:
        try:
            self._inputs.start()
            topics = self._inputs.topics.all
            self._member.subscribe(topics, self._on_assign, self._on_revoke, self._on_lost)
            while not stop.is_set():
                self._step(stop)
            self._flush()
            self._settle()
        finally:
            if self._sending is not None:
                self._sending.end()
            self._member.close()
            self._inputs.forget_all()
            self._stores.forget()

    def _step(self, stop: threading.Event) -> None:
        self._tell()
        records, events = self._member.poll(0.0 if self._stores.busy else POLL_S)
        if self._sending is not None and self._sending.is_done:
            self._settle()
        if self._aborted is not None:
            # What was read meanwhile goes too: it may be from before or from after.
            self._go_back(self._aborted, stop)
            return
        if records:
            self._count(records)
        for message, error in events:
            self._on_event(message, error)
        if self._inputs.look_around():
            self._drop(AbortedError("a topic changed under what was read"))
            return
        if self._inputs.at_end:
            self._pace.caught_up()
        self._inputs.align()
        if self._aborted is None:
            self._step_stores()
        if self._is_due():
            self._flush()

    def _tell(self) -> None:
        self._health.tick()
        if self._joined:
            problem = self._inputs.problem or self._stores.problem
            self._health.ready(problem is None, problem or "")

    # In

    def _count(self, messages: list[Message]) -> None:
        consumed = Consumed.of(messages)
        source = consumed.places(self._inputs.sources, self._inputs.topics.all)
        new = unread(self._read, source, consumed.offset)
        consumed = consumed.only(new)
        if len(consumed):
            self._take(consumed, source[new])

    @property
    def _read(self) -> list[Owned]:
        return [self._inputs.owned[source] for source in self._inputs.sources]

    def _take(self, consumed: Consumed, source: Int64s) -> None:
        batches = self._decoding.batches(consumed, self._inputs.sources, source)
        try:
            for batch in batches:
                self._core.add(batch)
        except StoreDamagedError as error:
            self._drop(AbortedError(str(error)))
            return
        for batch in batches:
            self._note(batch, consumed.messages)
        move(self._read, source, consumed.offset, time.monotonic())

    def _step_stores(self) -> None:
        try:
            self._stores.step()
        except KafkaException as error:
            # Brokers come back, and the store stays where it is until then.
            self._drop(AbortedError(f"a store cannot be brought up to date: {error.args[0].str()}"))

    def _note(self, batch: Batch | LabelBatch, messages: list[Message]) -> None:
        self._rows += len(batch)
        topic = self._config.topic("rejects")
        for reject in batch.rejects:
            message = reject_message(topic, messages[reject.record], reject)
            self._rejects.append(message)
            self._rejected_bytes += held_bytes(message)
            self._metrics.rejected_rows.labels(str(reject.reason)).inc()
        for i, count in batch.skipped.items():
            self._metrics.skipped_tombstones.labels(batch.sources[i].topic).inc(count)

    def _on_event(self, message: Message, error: KafkaError) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        source = Source(topic or "", -1 if partition is None else partition)
        code = error.code() if source in self._inputs.sources else None
        if code == KafkaError._PARTITION_EOF and offset is not None:  # noqa: SLF001 (its own code)
            # Past control records and aborted ones too, which are never delivered.
            self._inputs.owned[source].skip(offset)
        elif code == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its own code)
            self._flush()
            self._settle()
            if self._aborted is None:
                self._inputs.lose(source)
        else:
            log.warning("kafka event", extra={"source": source, "error": error.str(), "code": error.name()})

    # Assignment: these run inside of poll

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self._inputs.assigned(partitions)
        self._stores.located()
        self._pace.hasten()
        self._say_change("assigned", partitions)

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._flush()
        self._settle()
        self._inputs.forget(partitions)
        self._stores.forget()
        self._say_change("revoked", partitions)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        self._settle()
        self._drop(AbortedError("partitions lost"))
        self._outbox.distrust()
        self._inputs.forget(partitions)
        self._stores.forget()
        self._say_change("lost", partitions)

    def _say_change(self, change: str, partitions: list[TopicPartition]) -> None:
        self._metrics.rebalances.labels(self._stage, change).inc()
        names = [f"{one.topic}/{one.partition}" for one in partitions]
        log.info("partitions change", extra={"change": change, "partitions": names})
        self._joined = True

    # Out

    def _is_due(self) -> bool:
        is_full = self._rows >= self._rows_max or self._rejected_bytes >= FLUSH_REJECTED_BYTES_MAX
        if is_full or self._is_full():
            return True
        return self._sending is None and self._pace.is_due(time.monotonic())

    def _flush(self) -> None:
        """Send what was counted since the last flush, with the offsets that it stands for."""
        self._settle()
        if self._aborted is not None:
            return
        started_s = time.monotonic()
        self._pace.flushed(started_s, at_end=self._inputs.at_end)
        news = self._inputs.news()
        if not news:
            return
        flushed = self._core.flush()
        deltas, counts = len(flushed.deltas), flushed.counts
        messages = chain(self._outgoing(flushed, self._inputs.progress(news, counts)), self._rejects)
        offsets = self._inputs.offsets(news)
        for one in news:
            one.handed_over()
        self._clear()
        sent = self._outbox.begin(messages, offsets, self._member.consumer)
        self._sending = Sending(deltas, counts, news, started_s, sent)
        if self._stores.in_step:
            self._settle()

    def _settle(self) -> None:
        """Wait until the flush that is on its way is committed, or dropped with all that was read since."""
        sending, self._sending = self._sending, None
        if sending is None:
            return
        try:
            sending.result(self._metrics, self._stage)
        except AbortedError as error:
            self._drop(error)
            return
        self._write_stores(sending.news)

    def _outgoing(self, flushed: Flushed, progress: list[Progress], /) -> Iterable[Outgoing]:
        """The records of a flush, whose deltas are gone once they are handed on."""
        self._flushes += 1
        flush_id = f"{self._flush_prefix}-{self._flushes}"
        summaries, partitions = self._config.topic("summaries"), self._config.summaries.partitions
        stage = cast("Stage", self._stage)
        return flush_messages(flush_id, emptied(flushed.deltas), progress, summaries, partitions, stage)

    def _write_stores(self, news: list[Owned]) -> None:
        """What is committed is committed: a store that cannot follow is made again."""
        try:
            self._stores.committed(news)
        except StoreDamagedError as error:
            self._drop(AbortedError(str(error)))

    def _clear(self) -> None:
        self._rejects = []
        self._rejected_bytes = self._rows = 0

    def _drop(self, error: AbortedError) -> None:
        """Nothing since the last flush counts. ``_go_back`` has to follow, outside of callbacks."""
        self._core.discard()
        self._clear()
        self._aborted = self._aborted or error

    def _go_back(self, error: AbortedError, stop: threading.Event) -> None:
        self._settle()
        self._metrics.aborts.labels(self._stage).inc()
        log.warning("back to the committed offsets", extra={"error": str(error)})
        if isinstance(error, ProducerFencedError):
            self._member.await_verdict(stop)
            self._outbox.renew()
        stop.wait(BACKOFF_S)
        self._inputs.rewind()
        self._stores.located()
        self._aborted = None
        self._pace.hasten()

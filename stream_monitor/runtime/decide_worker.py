"""The decide worker: summaries in; alerts and state out, exactly once.

    poll -> merge -> close slices -> check -> alert policy -> produce alerts + state -> commit

One share a partition of the summaries. A partition in restore, or one that is halted, commits nothing.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_monitor.config import Config
from stream_monitor.decide import Decider
from stream_monitor.errors import DataLossError, FormatError
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import failpoints
from stream_monitor.runtime.gauges import Gauges
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.members import Member
from stream_monitor.runtime.messages import Outgoing
from stream_monitor.runtime.outbox import AbortedError, Outbox, ProducerFencedError
from stream_monitor.runtime.record import record_of
from stream_monitor.runtime.restore import Store, lost, restore
from stream_monitor.runtime.share import Share, decode_floor
from stream_monitor.runtime.snapshots import Snapshot, snapshot_messages

log = logging.getLogger(__name__)

POLL_S = 0.1
BACKOFF_S = 0.5
SNAPSHOT_BYTES_MAX = 8 * 2**20
"""Of one commit; the rest waits for the next. New models and a clean stop are not held back."""


class _Sent(NamedTuple):
    """A snapshot, less its data, in so many parts of so many bytes in all."""

    share: Share
    snapshot: Snapshot
    parts: int
    size: int


class DecideWorker:
    """``run`` returns after ``stop`` was set and state and offsets are committed.

    ``retention_ms`` is the summaries topic's, infinity where it keeps everything.
    Raises FencedError when another process has its name, StreamMonitorError when it cannot go on.
    """

    def __init__(
        self,
        config: Config,
        new_decider: Callable[[], Decider],
        store: Store,
        member: Member,
        outbox: Outbox,
        metrics: Metrics,
        health: Health,
        retention_ms: float = math.inf,
    ) -> None:
        self._config = config
        self._new_decider = new_decider
        self._store = store
        self._member = member
        self._outbox = outbox
        self._metrics = metrics
        self._gauges = Gauges(metrics)
        self._health = health
        self._interval_s = config.snapshot_interval_ms / 1000
        # Half of the quarter that it has to be before: renewals wait for a commit, large ones for the next.
        self._renew_s = retention_ms / 8000
        self._shares: dict[int, Share] = {}
        self._restores: dict[int, Iterator[int]] = {}
        self._began_s: dict[int, float] = {}
        self._problems: dict[int, str] = {}
        self._next_commit_s = 0.0
        self._aborted: AbortedError | None = None

    def run(self, stop: threading.Event) -> None:
        self._member.subscribe([self._store.summaries], self._on_assign, self._on_revoke, self._on_lost)
        try:
            while not stop.is_set():
                self._step(stop)
            self._commit(self._shares.values(), everything=True)
        finally:
            self._member.close()

    def _step(self, stop: threading.Event) -> None:
        self._health.tick()
        # Nothing comes of it but what the client has to say.
        self._store.admin.poll(0)
        records, events = self._member.poll(0.0 if self._restores else POLL_S)
        if self._aborted is not None:
            self._go_back(self._aborted, stop)
            return
        for message in records:
            self._take(message)
        for message, error in events:
            self._on_event(message, error)
        for partition in list(self._restores):
            self._restore_on(partition)
        if self._aborted is not None:
            return
        # Where nothing comes a commit costs nobody time, and whoever takes over has less to read again.
        is_idle = not records and not self._restores
        is_due = is_idle or time.monotonic() >= self._next_commit_s
        if is_due or any(share.alerts for share in self._shares.values()):
            self._commit(self._shares.values())

    # In

    def _take(self, message: Message) -> None:
        # Slices of many models may be closed by each.
        self._health.tick()
        record = record_of(message)
        share = self._shares.get(record.partition)
        if share is None or share.restoring or share.halted or record.offset < share.position:
            # From before a rebalance, or to be read again once the share is restored.
            return
        try:
            share.take(record)
        except FormatError as problem:
            self._halt(record.partition, problem)

    def _on_event(self, message: Message, error: KafkaError) -> None:
        partition = message.partition()
        share = None if partition is None else self._shares.get(partition)
        if error.code() == KafkaError._AUTO_OFFSET_RESET and share is not None:  # noqa: SLF001 (its own code)
            self._halt(share.partition, lost(self._store.summaries, share.partition, share.position))
        elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 (its own code)
            log.warning("kafka event", extra={"error": error.str(), "code": error.name()})

    def _halt(self, partition: int, problem: Exception) -> None:
        """Nothing of this partition is read, written or committed until someone looks. Others go on."""
        log.error("partition halted", extra={"partition": partition, "problem": str(problem)})
        self._problems[partition] = str(problem)
        share = self._shares[partition]
        share.halted = True
        share.alerts.clear()
        self._restores.pop(partition, None)
        if isinstance(problem, DataLossError):
            self._metrics.data_losses.labels(self._store.summaries).inc()
        self._member.consumer.pause([TopicPartition(self._store.summaries, partition)])
        self._tell_ready()

    # Assignment: these run inside of poll

    def _on_assign(self, partitions: list[TopicPartition]) -> None:
        self._say_change("assigned", partitions)
        committed = self._member.committed(partitions)
        self._member.place([self._begin(one) for one in committed])
        # Read only once it is restored.
        self._member.consumer.pause(partitions)
        self._tell_ready()

    def _on_revoke(self, partitions: list[TopicPartition]) -> None:
        self._say_change("revoked", partitions)
        leaving = [self._shares[one.partition] for one in partitions if one.partition in self._shares]
        self._commit(leaving, everything=True)
        self._forget(partitions)

    def _on_lost(self, partitions: list[TopicPartition]) -> None:
        self._say_change("lost", partitions)
        self._outbox.distrust()
        self._forget(partitions)

    def _say_change(self, change: str, partitions: list[TopicPartition]) -> None:
        self._metrics.rebalances.labels("decide", change).inc()
        log.info(
            "partitions change", extra={"change": change, "partitions": [one.partition for one in partitions]}
        )

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for one in partitions:
            if self._shares.pop(one.partition, None) is not None:
                self._gauges.forget(one.partition)
            self._restores.pop(one.partition, None)
            self._problems.pop(one.partition, None)
        self._tell_ready()

    def _begin(self, committed: TopicPartition) -> TopicPartition:
        """A new share that is to be restored. Returns where its partition is to be placed."""
        partition = committed.partition
        place = TopicPartition(self._store.summaries, partition)
        if committed.offset < 0:
            # Asked only where it is needed: brokers that were away may not answer this yet.
            place.offset, _ = self._member.consumer.get_watermark_offsets(place, timeout=10)
        else:
            place.offset = committed.offset
        share = self._shares[partition] = Share(partition, self._new_decider(), place.offset)
        self._problems.pop(partition, None)
        try:
            floor = decode_floor(committed.metadata, place.offset)
        except FormatError as problem:
            self._problems[partition] = str(problem)
            share.halted = True
        else:
            self._restores[partition] = restore(self._store, share, floor)
            self._began_s[partition] = time.monotonic()
        return place

    def _restore_on(self, partition: int) -> None:
        """One step of a restore; at its end the partition is read on from there."""
        try:
            read = next(self._restores[partition], None)
        except (DataLossError, FormatError) as problem:
            self._halt(partition, problem)
            return
        except (KafkaException, TimeoutError) as problem:
            # Brokers come back: until then there is nothing to restore from, and nothing to end for.
            self._aborted = AbortedError(f"restore of partition {partition}: {problem}")
            return
        if read is not None:
            self._metrics.restored_records.inc(read)
            return
        del self._restores[partition]
        share = self._shares[partition]
        self._gauges.restored(share)
        place = TopicPartition(self._store.summaries, partition, share.position)
        self._member.move([place], [])
        self._metrics.restore_seconds.observe(time.monotonic() - self._began_s.pop(partition))
        log.info("partition restored", extra={"partition": partition, "models": len(share.saved)})
        self._tell_ready()

    def _tell_ready(self) -> None:
        restoring = f"restoring partitions {sorted(self._restores)}" if self._restores else ""
        why = next(iter(self._problems.values()), restoring)
        self._health.ready(not why, why)

    # Out

    def _commit(self, shares: Iterable[Share], *, everything: bool = False) -> None:
        """Alerts, due snapshots and offsets of these shares: all or nothing."""
        if self._aborted is not None:
            return
        started_s = time.monotonic()
        self._next_commit_s = started_s + self._config.commit_interval_ms / 1000
        live = [one for one in shares if not one.restoring and not one.halted]
        due = {one.partition: one.due(self._interval_s, self._renew_s, everything=everything) for one in live}
        live = [one for one in live if one.position != one.committed or due[one.partition]]
        if not live:
            return
        summaries = self._store.summaries
        offsets = [TopicPartition(summaries, one.partition, one.position, one.metadata) for one in live]
        saved = list[_Sent]()
        bytes_max = math.inf if everything else SNAPSHOT_BYTES_MAX
        messages = chain(self._alerts(live), self._snapshots(_oldest_first(live, due), bytes_max, saved))
        try:
            self._outbox.send(messages, offsets, self._member.consumer)
        except AbortedError as error:
            self._aborted = error
            return
        for one in saved:
            one.share.keep(one.snapshot, 0.0, one.parts)
            self._metrics.snapshot_bytes.inc(one.size)
        for share in live:
            self._committed(share)
        self._metrics.commit_seconds.labels("decide").observe(time.monotonic() - started_s)

    def _alerts(self, shares: list[Share]) -> Iterator[Outgoing]:
        topic = self._config.topic("alerts")
        for share in shares:
            for alert in share.alerts:
                yield Outgoing(topic, alert.to_json(), alert.key(), alert.headers())

    def _snapshots(
        self, due: list[tuple[Share, str]], bytes_max: float, sent: list[_Sent]
    ) -> Iterator[Outgoing]:
        """The records of what is due, and what was ``sent``. Each is made when the one before is handed over,
        and forgotten then: together they are as large as the state."""
        size = 0
        for share, model in due:
            saved = share.saved.get(model)
            if size > bytes_max and saved is not None:
                continue
            started_s = time.monotonic()
            snapshot = share.snapshot(model, self._store.partitions)
            parts_before = 0 if saved is None else saved.parts
            self._metrics.snapshot_seconds.observe(time.monotonic() - started_s)
            size += len(snapshot.data)
            parts = 0
            for message in snapshot_messages(snapshot, parts_before, self._store.state, share.partition):
                parts += message.value is not None
                yield message
                failpoints.hit("decide.in_snapshot")
            sent.append(_Sent(share, replace(snapshot, data=b""), parts, len(snapshot.data)))

    def _committed(self, share: Share) -> None:
        share.committed = share.position
        for alert in share.alerts:
            self._metrics.alerts.labels(alert.model, alert.check, alert.severity).inc()
        share.alerts.clear()
        self._gauges.show(share)

    def _go_back(self, error: AbortedError, stop: threading.Event) -> None:
        """What the shares hold is ahead of what is committed: begin again from there."""
        self._metrics.aborts.labels("decide").inc()
        log.warning("back to the committed offsets", extra={"error": str(error)})
        if isinstance(error, ProducerFencedError):
            self._member.await_verdict(stop)
            self._outbox.renew()
        stop.wait(BACKOFF_S)
        places = [TopicPartition(self._store.summaries, partition) for partition in self._shares]
        self._restores.clear()
        if places:
            self._member.consumer.pause(places)
        for committed in self._member.committed(places):
            self._begin(committed)
        self._aborted = None
        self._tell_ready()


def _oldest_first(shares: list[Share], due: Mapping[int, list[str]]) -> list[tuple[Share, str]]:
    """Models that are due, new ones before those that were saved long ago: so none waits for ever."""
    both = [(share, model) for share in shares for model in due[share.partition]]
    return sorted(both, key=lambda one: one[0].saved[one[1]].at_s if one[1] in one[0].saved else -math.inf)

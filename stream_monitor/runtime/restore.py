"""How a share gets back to where its last owner committed: snapshots, then the summaries since them.

Snapshots of several models stand at several offsets. The replay begins at the floor of the oldest, with
the ledger as it was there, and puts each further model's snapshot in its place when the replay comes by.
Nothing is put out. It reads with a consumer of its own, outside of any group, so nothing is committed here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from stream_monitor.errors import DataLossError
from stream_monitor.runtime import client_log, failpoints
from stream_monitor.runtime.record import Record, record_of
from stream_monitor.runtime.share import Share
from stream_monitor.runtime.snapshots import Collector, Snapshot
from stream_monitor.runtime.watch import LATEST

POLL_S = 0.05
CALL_TIMEOUT_S = 10.0
BATCH_MAX = 500


@dataclass(frozen=True, slots=True)
class Store:
    """Where state and summaries are read again. ``partitions``: of summaries and of state alike."""

    admin: AdminClient
    properties: dict[str, Any]
    summaries: str
    state: str
    partitions: int


def restore(store: Store, share: Share, floor: int) -> Iterator[int]:
    """Bring a new share to its position. Yields the records read, now and then, so that its caller lives on.

    ``floor`` is from the committed offset. DataLossError: what is needed is gone; FormatError: newer than
    this version. In both cases the share is not to be used.
    """
    place = TopicPartition(store.state, share.partition)
    yield from _until_settled(store.admin, place)
    with closing(Consumer(store.properties, logger=client_log.log)) as reader:
        collector = Collector()
        for record in _read(reader, place, OFFSET_BEGINNING):
            if record is None:
                yield 0
                continue
            collector.add(record)
        snapshots = collector.newest(store.partitions)
        start = min((one.floor for one in snapshots), default=floor)
        share.position = max(share.position, *(one.position for one in snapshots), start)
        if snapshots:
            share.decider.restore_ledger(snapshots[0].data)
        yield from _replay(reader, store, share, snapshots, start)
    share.restoring = False


def _until_settled(admin: AdminClient, place: TopicPartition) -> Iterator[int]:
    """Wait until no transaction is open there: a predecessor's may be about to end with a commit."""
    while True:
        ends = {
            _result(admin.list_offsets({place: LATEST}, isolation_level=level), place)
            for level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED)
        }
        if len(ends) == 1:
            return
        yield 0


def _result(futures: dict[TopicPartition, Any], place: TopicPartition) -> int:
    return int(futures[place].result(CALL_TIMEOUT_S).offset)


def _read(reader: Consumer, place: TopicPartition, start: int) -> Iterator[Record | None]:
    """The records from ``start`` to the end; None between batches."""
    reader.assign([TopicPartition(place.topic, place.partition, start)])
    while True:
        for message in reader.consume(BATCH_MAX, POLL_S):
            error = message.error()
            if error is None:
                yield record_of(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its own code)
                reader.unassign()
                return
            elif not error.retriable():
                raise KafkaException(error)
        yield None


def _replay(
    reader: Consumer, store: Store, share: Share, snapshots: list[Snapshot], start: int
) -> Iterator[int]:
    """Apply what lies between the oldest snapshot and the share's position."""
    goal = share.position
    place = TopicPartition(store.summaries, share.partition, start)
    _check_reach(reader, place, goal)
    waiting = list(snapshots)
    read = 0
    for record in _read(reader, place, start) if start < goal else ():
        if record is None:
            yield read
            read = 0
            continue
        if record.offset >= goal:
            break
        failpoints.hit("decide.in_restore")
        _install(share, waiting, record.offset)
        flush = share.flushes.add(record.offset, record.headers, record.value)
        if flush is not None:
            # Those that were complete before the oldest snapshot are in its ledger, and dropped by it.
            share.decider.apply(flush)
        read += 1
    _install(share, waiting, goal)
    yield read


def _check_reach(reader: Consumer, place: TopicPartition, goal: int) -> None:
    low, _ = reader.get_watermark_offsets(place, timeout=CALL_TIMEOUT_S)
    if min(place.offset, goal) < low:
        raise lost(place.topic, place.partition, min(place.offset, goal))


def lost(topic: str, partition: int, offset: int) -> DataLossError:
    """The error that says which records are gone."""
    name = f"{topic}/{partition}"
    message = (
        f"{name}: expected records from {offset} on, got an end of retention after it; the partition waits"
    )
    return DataLossError(message)


def _install(share: Share, waiting: list[Snapshot], offset: int) -> None:
    """Put those snapshots in place that stand at ``offset`` or before."""
    while waiting and waiting[0].position <= offset:
        snapshot = waiting.pop(0)
        share.decider.restore(snapshot.model, snapshot.data)
        age_s = max(0.0, time.time() - snapshot.written_ms / 1000)
        share.keep(snapshot, age_s, snapshot.parts)

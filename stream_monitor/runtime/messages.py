"""What observe and decide tell each other: records of drift.summaries, versioned.

One flush of an observe worker writes to each summaries partition its deltas and then one progress record
that says how many they were. All of them carry the id of the flush: ``WRITER/NUMBER``. Nothing here
can run code (no pickle), and what is newer than this version raises FormatError.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from stream_monitor.errors import FormatError
from stream_monitor.events import Delta, Flush, Header, Progress, Stage

VERSION = 1
_T = TypeVar("_T")
_KIND, _VERSION, _FLUSH = "kind", "version", "flush"
_DELTA, _PROGRESS = b"delta", b"progress"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to produce. ``partition`` None: the partitioner chooses by key."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


class Report(msgspec.Struct, frozen=True):
    """The progress record of one flush in one summaries partition, and what it wrote there."""

    progress: list[Progress]
    deltas: int
    rows: int
    stage: Stage = "observe"


_encoder = msgspec.msgpack.Encoder()
_deltas = msgspec.msgpack.Decoder(Delta)
_reports = msgspec.msgpack.Decoder(Report)


def partition_of(model: str, partitions: int) -> int:
    """The summaries and state partition of a model: the same in every process and release."""
    return zlib.crc32(model.encode()) % partitions


def flush_messages(
    flush_id: str,
    deltas: Iterable[Delta],
    progress: list[Progress],
    topic: str,
    partitions: int,
    stage: Stage = "observe",
) -> Iterator[Outgoing]:
    """The records of one flush: every delta to its model's partition, then one report to every partition.

    Each is made when it is asked for: bytes that have been handed on are held by nobody here.
    """
    count, rows = [0] * partitions, [0] * partitions
    for delta in deltas:
        model = delta.key.stream.model
        partition = partition_of(model, partitions)
        count[partition] += 1
        rows[partition] += delta.rows
        value = _encoder.encode(delta)
        yield Outgoing(topic, value, model.encode(), _headers(_DELTA, flush_id), partition)
    for partition in range(partitions):
        value = _encoder.encode(Report(progress, count[partition], rows[partition], stage))
        yield Outgoing(topic, value, None, _headers(_PROGRESS, flush_id), partition)


def emptied(items: list[_T]) -> Iterator[_T]:
    """The items from first to last; the list loses each that is given."""
    items.reverse()
    while items:
        yield items.pop()


def _headers(kind: bytes, flush_id: str) -> list[tuple[str, bytes]]:
    return [(_KIND, kind), (_VERSION, b"%d" % VERSION), (_FLUSH, flush_id.encode())]


@dataclass(slots=True)
class _Open:
    """A flush whose report has not come yet."""

    flush_id: str
    first: int
    deltas: list[Delta]


class Assembler:
    """Puts the records of one summaries partition together to flushes.

    A writer has one flush open at a time: when its next one begins, an earlier one that got no report is
    dropped (``torn`` counts them; the ledger then names the gap). So at most one flush a writer is held.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self.torn = 0

    def add(self, offset: int, headers: Iterable[Header], value: bytes | None) -> Flush | None:
        """The flush that this record completes. FormatError: newer than this version, or damaged."""
        kind, flush_id = _kind_and_flush(offset, headers)
        writer = flush_id.rpartition("/")[0]
        flush = self._open.get(writer)
        if flush is not None and flush.flush_id != flush_id:
            self.torn += 1
            flush = None
        if flush is None:
            flush = _Open(flush_id, offset, [])
        if kind == _DELTA:
            flush.deltas.append(_decode(_deltas, offset, value))
            self._open[writer] = flush
            return None
        report = _decode(_reports, offset, value)
        self._open.pop(writer, None)
        return Flush(flush.deltas, report.progress, report.deltas, report.rows, report.stage)

    def floor(self, position: int) -> int:
        """The least offset that is needed again by who starts reading at ``position``."""
        return min((flush.first for flush in self._open.values()), default=position)


def _kind_and_flush(offset: int, headers: Iterable[Header]) -> tuple[bytes, str]:
    found = dict(headers)
    version = found.get(_VERSION) or b""
    if not version.isdigit() or int(version) > VERSION:
        message = f"summaries@{offset}: expected version <= {VERSION}, got {version!r}; the partition waits"
        raise FormatError(message)
    kind, flush_id = found.get(_KIND), found.get(_FLUSH)
    if kind not in {_DELTA, _PROGRESS} or flush_id is None:
        message = (
            f"summaries@{offset}: expected a delta or a progress record, got {kind!r}; the partition waits"
        )
        raise FormatError(message)
    return kind, flush_id.decode()


def _decode(decoder: msgspec.msgpack.Decoder[_T], offset: int, value: bytes | None) -> _T:
    try:
        return decoder.decode(value or b"")
    except (msgspec.DecodeError, ValueError) as error:
        message = f"summaries@{offset}: damaged record ({error}); the partition waits"
        raise FormatError(message) from error

"""The state topic: one model's state in parts, each record below the size that brokers take.

A snapshot stands at offset ``position`` of its summaries partition: all records below were seen. Those of
flushes that were not complete by then begin at ``floor``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stream_monitor.errors import DataLossError, FormatError
from stream_monitor.runtime.messages import Outgoing
from stream_monitor.runtime.record import Record

VERSION = 1
PART_BYTES_MAX = 900_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``partitions`` is how many the summaries topic had; ``written_ms`` is Kafka's time of the record."""

    model: str
    generation: int
    position: int
    floor: int
    partitions: int
    data: bytes
    parts: int = 0
    written_ms: int = 0


def snapshot_messages(
    snapshot: Snapshot, parts_before: int, topic: str, partition: int
) -> Iterator[Outgoing]:
    """The parts, each copied when it is asked for, and a tombstone for each that the generation before had
    more."""
    data = snapshot.data
    parts = -(-max(1, len(data)) // PART_BYTES_MAX)
    numbers = {
        "version": VERSION,
        "generation": snapshot.generation,
        "parts": parts,
        "position": snapshot.position,
        "floor": snapshot.floor,
        "partitions": snapshot.partitions,
    }
    headers = [(name, b"%d" % number) for name, number in numbers.items()]
    for part in range(max(parts, parts_before)):
        value = data[part * PART_BYTES_MAX : (part + 1) * PART_BYTES_MAX] if part < parts else None
        yield Outgoing(topic, value, f"{snapshot.model}/{part}".encode(), headers, partition)


@dataclass(frozen=True, slots=True)
class _Part:
    numbers: dict[str, int]
    value: bytes
    written_ms: int


class Collector:
    """Reads one partition of the state topic, and holds the last record of every key."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[int, _Part]] = {}

    def add(self, record: Record) -> None:
        """One record. FormatError: newer than this version, or not of this package."""
        model, _, part = (record.key or b"").decode().rpartition("/")
        parts = self._parts.setdefault(model, {})
        if record.value is None:
            parts.pop(int(part), None)
            return
        numbers = {name: int(text) for name, text in record.headers if text is not None and text.isdigit()}
        if not 0 < numbers.get("version", 0) <= VERSION:
            got = numbers.get("version")
            message = f"state of {model}: expected version <= {VERSION}, got {got}; the partition waits"
            raise FormatError(message)
        parts[int(part)] = _Part(numbers, record.value, record.timestamp)

    def newest(self, partitions: int) -> list[Snapshot]:
        """The last snapshot of every model, by position and model.

        DataLossError: parts are missing, or it was written when there was another number of partitions.
        """
        found = [_whole(model, parts, partitions) for model, parts in self._parts.items() if parts]
        return sorted(found, key=lambda one: (one.position, one.model))


def _whole(model: str, parts: dict[int, _Part], partitions: int) -> Snapshot:
    generation = max(part.numbers["generation"] for part in parts.values())
    last = {i: part for i, part in parts.items() if part.numbers["generation"] == generation}
    numbers = next(iter(last.values())).numbers
    if sorted(last) != list(range(numbers["parts"])):
        expected = numbers["parts"]
        message = f"state of {model}: expected {expected} parts, got {sorted(last)}; the partition waits"
        raise DataLossError(message)
    if numbers["partitions"] != partitions:
        got = f"state of {numbers['partitions']}"
        message = (
            f"state of {model}: expected that of {partitions} partitions, got {got}; the partition waits"
        )
        raise DataLossError(message)
    return Snapshot(
        model=model,
        generation=generation,
        position=numbers["position"],
        floor=numbers["floor"],
        partitions=partitions,
        data=b"".join(last[i].value for i in range(numbers["parts"])),
        parts=numbers["parts"],
        written_ms=last[0].written_ms,
    )

"""One partition of the summaries, as its decide worker holds it: flushes in, alerts and snapshots out."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec

from stream_monitor.alerting.alert import Alert
from stream_monitor.decide import Decider
from stream_monitor.errors import FormatError
from stream_monitor.runtime.messages import Assembler
from stream_monitor.runtime.record import Record
from stream_monitor.runtime.snapshots import Snapshot

METADATA_VERSION = 1


class Metadata(msgspec.Struct, frozen=True):
    """What travels with a committed offset: where flushes begin that were not complete there."""

    v: int
    floor: int


_metadata = msgspec.json.Decoder(Metadata)


def decode_floor(metadata: str | None, position: int) -> int:
    """Where to begin reading, to be where who committed ``position`` was. FormatError: newer."""
    if not metadata:
        return position
    try:
        decoded = _metadata.decode(metadata)
    except (msgspec.DecodeError, ValueError) as error:
        message = f"committed offset: expected metadata of this package, got {metadata[:80]!r}"
        raise FormatError(message) from error
    if decoded.v > METADATA_VERSION:
        message = f"committed offset: expected metadata version <= {METADATA_VERSION}, got {decoded.v}"
        raise FormatError(message)
    return decoded.floor


@dataclass(slots=True)
class Saved:
    """The last snapshot of a model."""

    generation: int
    parts: int
    version: int
    at_s: float


class Share:
    """``position``: all records below it were seen. ``halted``: it waits for a person, and says nothing."""

    def __init__(self, partition: int, decider: Decider, position: int) -> None:
        self.partition = partition
        self.decider = decider
        self.position = position
        self.committed = position
        self.flushes = Assembler()
        self.saved: dict[str, Saved] = {}
        self.alerts: list[Alert] = []
        self.restoring = True
        self.halted = False

    @property
    def floor(self) -> int:
        return self.flushes.floor(self.position)

    @property
    def metadata(self) -> str:
        return msgspec.json.encode(Metadata(METADATA_VERSION, self.floor)).decode()

    def take(self, record: Record) -> None:
        """One record. FormatError: newer than this version; nothing was changed by it."""
        flush = self.flushes.add(record.offset, record.headers, record.value)
        if flush is not None:
            self.alerts += self.decider.apply(flush)
        self.position = record.offset + 1

    def due(self, interval_s: float, renew_s: float, *, everything: bool) -> list[str]:
        """The models to snapshot now: new ones; changed ones, once ``interval_s`` old (or ``everything``);
        and any that is ``renew_s`` old, before what it stands on is gone from the topic.
        """
        now_s = time.monotonic()
        due = []
        for model in self.decider.models():
            saved = self.saved.get(model)
            if saved is None:
                due.append(model)
                continue
            age_s = now_s - saved.at_s
            changed = self.decider.version(model) != saved.version
            if age_s >= renew_s or (changed and (everything or age_s >= interval_s)):
                due.append(model)
        return due

    def snapshot(self, model: str, partitions: int) -> Snapshot:
        saved = self.saved.get(model)
        generation = 1 if saved is None else saved.generation + 1
        data = self.decider.snapshot(model)
        return Snapshot(model, generation, self.position, self.floor, partitions, data)

    def keep(self, snapshot: Snapshot, age_s: float, parts: int) -> None:
        """``snapshot`` is what a restore would find. The model is as it says, now."""
        version = self.decider.version(snapshot.model)
        self.saved[snapshot.model] = Saved(snapshot.generation, parts, version, time.monotonic() - age_s)

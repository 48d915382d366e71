"""What a join keeps between two commits: the elements of every id, and the positions that they stand for.

A store belongs to one partition number. It is written after a commit and never before, so it is what its
positions say: all of the input below them, and nothing above.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from stream_monitor.errors import StreamMonitorError
from stream_monitor.events import Source
from stream_monitor.watermark import NEVER, Clock

if TYPE_CHECKING:
    from stream_monitor.config import Config, Labels

FORM = 2
"""The version of keys, entries and buckets: raised when the same elements would give other bytes."""

BUCKETS = 4
"""In how many buckets a horizon is kept: what expires goes by a whole bucket, so up to 1 + 1 / BUCKETS of the
horizon is on disk, and each look-up asks those and what sources are apart."""

Key = bytes
Entry = bytes
Found = dict[Key, dict[int, Entry]]
"""By key and bucket the entries that there are."""
Puts = Mapping[int, Mapping[Key, Entry]]
"""Entries by bucket and key; each takes the place of the one before."""


_KEPT = {"task", "prediction", "score", "classes"}
"""The settings of quality that say what is kept of a prediction."""


class StoreDamagedError(StreamMonitorError):
    """A store is missing a part, damaged, or of another form. It has to be removed and rebuilt."""


class Position(NamedTuple):
    """Up to where a source partition is in the store: offsets below ``next`` of the topic of this id."""

    topic_id: str
    next: int
    clock: int | None
    claim: int | None

    @property
    def time(self) -> int:
        """The clock, claims included; NEVER without any."""
        event = NEVER if self.clock is None else self.clock
        return Clock(event, NEVER if self.claim is None else self.claim).time


class Store(Protocol):
    """The entries of one partition number. All methods may raise StoreDamagedError."""

    def get(self, keys: Sequence[Key]) -> Found:
        """The entries of these keys, in all buckets."""

    def write(self, puts: Puts, positions: Mapping[Source, Position]) -> None:
        """Put entries and move positions, both or neither, whatever happens to the process."""

    def positions(self) -> dict[Source, Position]:
        """Empty where nothing was ever written."""

    def drop_before(self, bucket: int) -> int:
        """Forget all entries of buckets below; returns how many buckets that were."""

    def close(self) -> None: ...


Opener = Callable[[int], Store]
"""Opens the store of a partition number."""


class MemoryStore:
    """A store that lasts as long as its process."""

    def __init__(self) -> None:
        self.buckets: dict[int, dict[Key, Entry]] = {}
        self._positions: dict[Source, Position] = {}

    def get(self, keys: Sequence[Key]) -> Found:
        found: Found = {}
        for bucket, entries in self.buckets.items():
            for key in entries.keys() & set(keys):
                found.setdefault(key, {})[bucket] = entries[key]
        return found

    def write(self, puts: Puts, positions: Mapping[Source, Position]) -> None:
        for bucket, entries in puts.items():
            self.buckets.setdefault(bucket, {}).update(entries)
        self._positions.update(positions)

    def positions(self) -> dict[Source, Position]:
        return dict(self._positions)

    def drop_before(self, bucket: int) -> int:
        gone = [one for one in self.buckets if one < bucket]
        for one in gone:
            del self.buckets[one]
        return len(gone)

    def close(self) -> None:
        """Nothing is open."""


def bucket_ms(labels: Labels) -> int:
    """The length of a bucket: a quarter of the horizon, in whole slices."""
    slices = -(-labels.horizon_ms // (BUCKETS * labels.slice_ms))
    return slices * labels.slice_ms


def history_ms(labels: Labels) -> int:
    """How far before the lesser clock a rebuild has to begin to know all that the lost store knew.

    Two horizons: a prediction joins for one, and what its labels and its duplicates were before that
    reaches back one more.
    """
    return 2 * labels.horizon_ms


def form_of(config: Config) -> str:
    """What gives the entries of a store their form. Of another form, they cannot be read on."""
    assert config.labels is not None
    models = {
        name: {
            "quality": {output: one.model_dump(include=_KEPT) for output, one in model.quality.items()},
            "segments": model.segments,
        }
        for name, model in config.models.items()
    }
    content = [FORM, config.labels.horizon_ms, bucket_ms(config.labels), models]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()

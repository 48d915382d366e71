"""What flows through the monitor, from undecoded records to the batches that statistics are made of.

Times are epoch milliseconds (int64). A *row* is (source, offset, row): one record may hold several
events. Arrays of one object share one length, n, the number of records or of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Header = tuple[str, bytes | None]

NO_TIMESTAMP = -1
"""The Kafka timestamp of a record that has none (files)."""


class Source(NamedTuple):
    """One partition of an input topic."""

    topic: str
    partition: int


class JsonType(IntEnum):
    """What a value is on the wire, before anything is said about what it should be."""

    ABSENT = 0
    NULL = 1
    NUMBER = 2
    NUMERIC_STRING = 3
    STRING = 4
    BOOL = 5
    ARRAY = 6
    OBJECT = 7


@dataclass(slots=True)
class Records:
    """Undecoded records as a source delivers them; per source in offset order.

    ``source[i]`` indexes ``sources``. ``timestamp`` is Kafka's, in ms, NO_TIMESTAMP where there is
    none. ``keys`` and ``headers`` are filled only when the field mapping asks for them.
    """

    sources: tuple[Source, ...]
    source: Int64s
    offset: Int64s
    timestamp: Int64s
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Sequence[Header]] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: Int64s) -> Records:
        """The records at some places, ascending; without copying where these are all."""
        if len(places) == len(self):
            return self
        at = places.tolist()
        return Records(
            self.sources,
            self.source[places],
            self.offset[places],
            self.timestamp[places],
            [self.values[i] for i in at],
            None if self.keys is None else [self.keys[i] for i in at],
            None if self.headers is None else [self.headers[i] for i in at],
        )


@dataclass(slots=True)
class Column:
    """The values of one signal in the rows of one group, with their JSON types.

    ``types``: uint8 (n,) of JsonType, or one JsonType where all rows agree. ``numbers``: float64
    (n,), set where the type is NUMBER or NUMERIC_STRING, anything elsewhere (None: no such row).
    ``texts``: per row the string (of NUMERIC_STRING too), "true" or "false" of a BOOL, anything
    elsewhere (None: no such row).
    """

    types: NDArray[np.uint8] | JsonType
    numbers: Float64s | None = None
    texts: Sequence[str | None] | None = None


class Stream(NamedTuple):
    """(model, version, role). Features belong to the model alone: ``Stream(model, "", "")``.

    ``segment`` is "" for all events, or "FIELD=VALUE" for those that have this value there.
    """

    model: str
    version: str = ""
    role: str = ""
    segment: str = ""

    @property
    def of_features(self) -> bool:
        return self.role == ""


@dataclass(slots=True)
class Group:
    """The rows of one stream in a batch. ``rows`` (n,) are ascending positions in the batch."""

    stream: Stream
    rows: Int64s
    features: dict[str, Column] = field(default_factory=dict)
    outputs: dict[str, Column] = field(default_factory=dict)


@dataclass(slots=True)
class Reject:
    """A record, or one row of it, that cannot be attributed. ``record`` is its position in Records, and
    ``source`` indexes their sources. ``value``: a row as JSON, where its record holds several.
    """

    record: int
    row: int
    reason: str
    detail: str
    source: int = 0
    value: bytes | None = None


@dataclass(slots=True)
class Batch:
    """Decoded rows, per source in (offset, row) order. ``ids`` is None where no id is mapped.

    ``skipped`` counts per source index the rows that are neither rejected nor events: tombstones.
    """

    sources: tuple[Source, ...]
    source: Int64s
    offset: Int64s
    row: Int64s
    time: Int64s
    groups: list[Group]
    ids: Sequence[str | None] | None = None
    rejects: list[Reject] = field(default_factory=list)
    skipped: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)


@dataclass(slots=True)
class LabelBatch:
    """Decoded labels, per source in (offset, row) order.

    ``values``: what JSON holds; None takes the label back. ``models``: None where the label is for every
    model's predictions of this id.
    """

    sources: tuple[Source, ...]
    source: Int64s
    offset: Int64s
    row: Int64s
    time: Int64s
    ids: Sequence[str]
    models: Sequence[str | None]
    values: Sequence[Any]
    rejects: list[Reject] = field(default_factory=list)
    skipped: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)


class SliceKey(NamedTuple):
    """What a summary is about: a stream and the start of a slice (epoch ms)."""

    stream: Stream
    start: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one flush brought one source partition.

    ``first`` and ``next`` are offsets: [first, next) was read. ``clock`` is the largest time of the
    accepted events so far, None where the partition never held one. ``claim`` is the wall time that
    an idle partition claims, None without. ``drained``: at the time of the report there was nothing
    left to read. ``partitions`` is how many the topic has.
    """

    source: Source
    topic_id: str
    partitions: int
    first: int
    next: int
    clock: int | None
    claim: int | None
    drained: bool
    rows: int
    rejected: int
    late: int


DeltaKind = Literal["events", "pairs", "cohorts", "labels"]
"""What a delta holds: a Summary of events; a Summary of pairs as their first label came; the Cohorts that
pairs and predictions of an arrival slice change; a Summary of labels."""


@dataclass(frozen=True, slots=True)
class Delta:
    """One summary of one slice as a flush sends it, with the shape (hash) that made it."""

    key: SliceKey
    shape: str
    rows: int
    data: bytes
    kind: DeltaKind = "events"


Stage = Literal["observe", "join"]
"""Which worker read the input: each keeps positions of its own, and so has a watermark of its own."""


@dataclass(frozen=True, slots=True)
class Flush:
    """All that one commit of a worker of ``stage`` says to one summaries partition. Applied as a whole."""

    deltas: list[Delta]
    progress: list[Progress]
    announced_deltas: int
    announced_rows: int
    stage: Stage = "observe"


@dataclass(frozen=True, slots=True)
class Level:
    """Where a signal stood: ``score`` is the mean of the score that moved, over ``n`` events.

    ``mean`` and ``sd`` are those of the values themselves, in their own unit (None: no numbers).
    """

    n: int
    score: float
    mean: float | None = None
    sd: float | None = None


@dataclass(frozen=True, slots=True)
class Contributor:
    """Another score of the same signal and check that moved with the one named."""

    score: str
    before: float
    after: float


class Basis(NamedTuple):
    """How many of the predictions in question have a label."""

    labels: int
    predictions: int


class Shape(NamedTuple):
    """How a change began, as far as could be seen when it was found.

    A gradual one moved until ``until``; None: it may still, or was not gradual. ``ended``: since when the
    level is back; None: it is not.
    """

    kind: Literal["sudden", "gradual", "undecided"]
    until: int | None = None
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's verdict: a score of a signal left its reference, significantly and by more than ``dead``.

    Times are epoch ms: ``since`` the start of the first slice after the change, between ``earliest`` and
    ``latest`` (90 % or more); ``found`` the end of the slice that showed it. ``statistic`` crossed
    ``threshold`` in terms of ``detector``. ``shape``: None where nothing is known of it.

    What rests on labels says on how many (``basis``), and between which times the predictions were made
    that changed (``predicted``). ``retracted``: it was told, and labels that came since say otherwise.
    """

    check: str
    signal: str
    score: str
    unit: str
    since: int
    earliest: int
    latest: int
    found: int
    before: Level
    after: Level
    effect: float
    dead: float
    detector: str
    statistic: float
    threshold: float
    contributors: tuple[Contributor, ...] = ()
    shape: Shape | None = None
    basis: Basis | None = None
    predicted: tuple[int, int] | None = None
    retracted: bool = False

"""The summary of one stream in one slice: counts, histograms, integer sums, category counts.

The law: merging is associative and commutative, has an identity, and equals summarising all the events at
once, in any cut and any order. Equal, not close: everything in a summary is an integer, a least or a
greatest value, or a selection by a rule without order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from stream_monitor.errors import FormatError
from stream_monitor.events import Int64s, Source
from stream_monitor.summary import wire
from stream_monitor.summary.categories import BUCKETS, Named, halves_of, text_hash
from stream_monitor.summary.codes import BINS
from stream_monitor.summary.counts import LOW_BITS, TYPES, Count, carry_squares
from stream_monitor.summary.histogram import Tally

__all__ = ["TYPES", "Count", "Summary"]

Float32s = NDArray[np.float32]

PART_BYTES_MAX = 900_000
"""A Kafka record holds a million bytes by default."""


@dataclass(slots=True, eq=False)
class Summary:
    """All that is known of one stream in one slice; made by ``empty``, ``observe`` and ``from_bytes``.

    ``rows`` are the events on time, ``late`` those counted here because they came too late for their own
    slice (``late_idle`` of them only because of an idle claim). ``offsets``: per source the first and last
    offset of the rows on time. ``signals``: names, ascending, of the signals with any value, and ``declared``
    (S,) which of them the configuration or reference names. ``counts`` int64 (S, len(Count)).
    ``minimum`` and ``maximum`` float32 (S,): of the finite numbers; +inf and -inf where there are none,
    and infinite where a number is beyond float32. Where the configuration gives a ``center``, all but the
    sums on the grid is of value - center.

    At most ``signal_limit`` undeclared signals are kept, those with the smallest hashes of their names;
    ``dropped_values`` counts the values of the others.

    Memory: per signal 160 bytes, 16 for each occupied bin (at most BINS) and bucket (at most BUCKETS), and
    the named texts; while it is being filled up to twice that and 2 MB.
    """

    rows: int
    late: int
    late_idle: int
    dropped_values: int
    signal_limit: int
    offsets: dict[Source, tuple[int, int]]
    signals: tuple[str, ...]
    declared: NDArray[np.bool_]
    counts: Int64s
    minimum: Float32s
    maximum: Float32s
    bins: Tally
    buckets: Tally
    named: dict[str, Named]

    @classmethod
    def empty(cls, signal_limit: int = wire.SIGNAL_LIMIT_MAX) -> Summary:
        """Of no events: the identity of merging."""
        return cls(
            rows=0,
            late=0,
            late_idle=0,
            dropped_values=0,
            signal_limit=signal_limit,
            offsets={},
            signals=(),
            declared=np.empty(0, np.bool_),
            counts=np.empty((0, len(Count)), np.int64),
            minimum=np.empty(0, np.float32),
            maximum=np.empty(0, np.float32),
            bins=Tally(0),
            buckets=Tally(0),
            named={},
        )

    # What is in it

    @property
    def histogram(self) -> tuple[Int64s, Int64s]:
        """Keys (signal index * BINS + bin), ascending, and counts of the finite numbers; read only."""
        return self.bins.entries()

    @property
    def hash_buckets(self) -> tuple[Int64s, Int64s]:
        """Keys (signal index * BUCKETS + bucket), ascending, and counts of all texts; read only."""
        return self.buckets.entries()

    @property
    def numbers(self) -> Int64s:
        """How many finite numbers each signal has, int64 (S,)."""
        return _totals(self.histogram, BINS, len(self.signals))

    @property
    def texts(self) -> Int64s:
        """How many category values each signal has, named or not, int64 (S,)."""
        return _totals(self.hash_buckets, BUCKETS, len(self.signals))

    @property
    def missing(self) -> Int64s:
        """In how many rows each signal was absent or null, int64 (S,)."""
        absent: Int64s = self.rows - self.counts[:, TYPES].sum(axis=1)
        return absent + self.counts[:, Count.NULL]

    @property
    def values(self) -> dict[str, dict[str, int]]:
        """Per signal with texts the counts of those kept by name (see ``categories``), ascending by text."""
        return {name: dict(sorted(one.counts.items())) for name, one in self.named.items()}

    def texts_total(self, name: str) -> int:
        """How many category values a signal has, named or not; 0 for one that is not here."""
        return int(self.texts[self.signals.index(name)]) if name in self.named else 0

    @property
    def memory_bytes(self) -> int:
        """About so many are held, and not more than twice as many."""
        signals = (
            self.counts.nbytes + 9 * len(self.signals) + self.bins.memory_bytes + self.buckets.memory_bytes
        )
        named = sum(one.memory_bytes for one in self.named.values())
        return 1_000 + 100 * len(self.offsets) + signals + named

    def compact(self) -> None:
        """Add up now what would be when it is asked for: it takes less memory, and says the same."""
        for tally in (self.bins, self.buckets):
            tally.entries()

    def fine_squares(self, signal: int) -> int:
        """The sum of squared fine codes of the signal at this index."""
        row = self.counts[signal]
        return (int(row[Count.FINE_SQUARES_HIGH]) << LOW_BITS) + int(row[Count.FINE_SQUARES_LOW])

    def grid_squares(self, signal: int) -> int:
        """The sum of squared grid steps of the signal at this index."""
        row = self.counts[signal]
        return (int(row[Count.GRID_SQUARES_HIGH]) << LOW_BITS) + int(row[Count.GRID_SQUARES_LOW])

    # Merging

    def merge(self, other: Summary) -> None:
        """Add another summary to this one, in place. Cost: by signals; histograms are summed later."""
        self.rows += other.rows
        self.late += other.late
        self.late_idle += other.late_idle
        self.dropped_values += other.dropped_values
        self.signal_limit = min(self.signal_limit, other.signal_limit)
        for source, (first, last) in other.offsets.items():
            mine = self.offsets.get(source, (first, last))
            self.offsets[source] = min(first, mine[0]), max(last, mine[1])
        if other.signals != self.signals:
            signals = tuple(sorted({*self.signals, *other.signals}))
            if signals != self.signals:
                self._take(self.aligned(signals))
            if signals != other.signals:
                other = other.aligned(signals)
        self.declared = self.declared | other.declared
        self.counts += other.counts
        carry_squares(self.counts)
        np.minimum(self.minimum, other.minimum, out=self.minimum)
        np.maximum(self.maximum, other.maximum, out=self.maximum)
        self.bins.merge(other.bins)
        self.buckets.merge(other.buckets)
        for name, named in other.named.items():
            if name in self.named:
                self.named[name].merge(named)
            else:
                self.named[name] = named.copy()
        self.trim()

    def __add__(self, other: Summary) -> Summary:
        total = self.copy()
        total.merge(other)
        return total

    def __eq__(self, other: object) -> bool:
        return self.to_bytes() == other.to_bytes() if isinstance(other, Summary) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> Summary:
        """An equal summary that shares nothing that could change."""
        return Summary(
            rows=self.rows,
            late=self.late,
            late_idle=self.late_idle,
            dropped_values=self.dropped_values,
            signal_limit=self.signal_limit,
            offsets=self.offsets.copy(),
            signals=self.signals,
            declared=self.declared.copy(),
            counts=self.counts.copy(),
            minimum=self.minimum.copy(),
            maximum=self.maximum.copy(),
            bins=self.bins.copy(),
            buckets=self.buckets.copy(),
            named={name: named.copy() for name, named in self.named.items()},
        )

    def select(self, names: Iterable[str]) -> Summary:
        """Only those signals of it that are named; everything that is not of a signal stays."""
        return self.aligned(tuple(sorted(set(names).intersection(self.signals))))

    def trim(self) -> None:
        """Drop undeclared signals beyond the limit, and count their values as dropped."""
        undeclared = len(self.signals) - int(np.count_nonzero(self.declared))
        if undeclared <= self.signal_limit:
            return
        names = [
            name for name, declared in zip(self.signals, self.declared.tolist(), strict=True) if not declared
        ]
        keep = set(nsmallest(self.signal_limit, names, key=lambda name: (text_hash(name), name)))
        dropped = set(names) - keep
        gone = [name in dropped for name in self.signals]
        self.dropped_values += int(self.counts[gone, TYPES].sum())
        self._take(self.aligned(tuple(name for name in self.signals if name not in dropped)))

    def _take(self, other: Summary) -> None:
        """Take over what another one, made of this one, says of signals."""
        self.signals, self.declared, self.counts = other.signals, other.declared, other.counts
        self.minimum, self.maximum = other.minimum, other.maximum
        self.bins, self.buckets, self.named = other.bins, other.buckets, other.named

    def aligned(self, signals: tuple[str, ...]) -> Summary:
        """The same with exactly these signals: those it lacks are empty, those not named are left out."""
        place = {name: index for index, name in enumerate(signals)}
        target = np.array([place.get(name, -1) for name in self.signals], np.int64)
        mine, size = np.flatnonzero(target >= 0), len(signals)
        moved = target[mine]
        declared = np.zeros(size, np.bool_)
        counts = np.zeros((size, len(Count)), np.int64)
        minimum, maximum = np.full(size, np.inf, np.float32), np.full(size, -np.inf, np.float32)
        declared[moved], counts[moved] = self.declared[mine], self.counts[mine]
        minimum[moved], maximum[moved] = self.minimum[mine], self.maximum[mine]
        return Summary(
            rows=self.rows,
            late=self.late,
            late_idle=self.late_idle,
            dropped_values=self.dropped_values,
            signal_limit=self.signal_limit,
            offsets=self.offsets.copy(),
            signals=signals,
            declared=declared,
            counts=counts,
            minimum=minimum,
            maximum=maximum,
            bins=_moved(self.bins, target, BINS, size),
            buckets=_moved(self.buckets, target, BUCKETS, size),
            named={name: named.copy() for name, named in self.named.items() if name in place},
        )

    # On the wire

    def to_bytes(self) -> bytes:
        """The same bytes for the same content; never more than ``wire.bytes_max``."""
        form = wire.Form(
            rows=self.rows,
            late=self.late,
            late_idle=self.late_idle,
            dropped_values=self.dropped_values,
            signal_limit=self.signal_limit,
            offsets=[(*source, *ends) for source, ends in sorted(self.offsets.items())],
            signals=list(self.signals),
            declared=np.packbits(self.declared).tobytes(),
            counts=self.counts.ravel().tolist(),
            extremes=np.concatenate((self.minimum, self.maximum)).astype("<f4").tobytes(),
            bins=wire.pack_tally(*self.histogram),
            buckets=wire.pack_tally(*self.hash_buckets),
            named=[
                (index, dict(sorted(one.kept.items())), dict(sorted(one.others.items())))
                for index, name in enumerate(self.signals)
                if (one := self.named.get(name)) is not None
            ],
        )
        return wire.encode(form)

    @classmethod
    def from_bytes(cls, data: bytes) -> Summary:
        """Raises FormatError where the bytes are damaged, or of a later version than this one reads."""
        form = wire.decode(data)
        size = len(form.signals)
        extremes = np.frombuffer(form.extremes, "<f4").astype(np.float32)
        if np.isnan(extremes).any():
            raise FormatError("summary: damaged: an extreme that is not a number")
        return cls(
            rows=form.rows,
            late=form.late,
            late_idle=form.late_idle,
            dropped_values=form.dropped_values,
            signal_limit=form.signal_limit,
            offsets={
                Source(topic, partition): (first, last) for topic, partition, first, last in form.offsets
            },
            signals=tuple(form.signals),
            declared=np.unpackbits(np.frombuffer(form.declared, np.uint8), count=size).astype(np.bool_),
            counts=wire.read_counts(form),
            minimum=extremes[:size],
            maximum=extremes[size:],
            bins=Tally.of(*wire.unpack_tally(form.bins, size * BINS), size * BINS),
            buckets=Tally.of(*wire.unpack_tally(form.buckets, size * BUCKETS), size * BUCKETS),
            named={form.signals[index]: Named(kept, others) for index, kept, others in form.named},
        )

    def split(self, max_bytes: int = PART_BYTES_MAX) -> list[tuple[Summary, bytes]]:
        """Parts whose sum equals this, each with its bytes, at most ``max_bytes`` (4,096 and more) of them.

        All that is not of a signal is in the first one.
        """
        return list(_parts(self, max_bytes))


def _parts(summary: Summary, max_bytes: int) -> Iterator[tuple[Summary, bytes]]:
    data = summary.to_bytes()
    halves = _halves(summary) if len(data) > max_bytes else None
    if halves is None:
        yield summary, data
    else:
        for half in halves:
            yield from _parts(half, max_bytes)


def _halves(summary: Summary) -> tuple[Summary, Summary] | None:
    """Two that sum up to this one, or None where nothing is left to part."""
    if len(summary.signals) > 1:
        middle = len(summary.signals) // 2
        first, second = summary.select(summary.signals[:middle]), summary.select(summary.signals[middle:])
        return first, replace(second, rows=0, late=0, late_idle=0, dropped_values=0, offsets={})
    (bins, more_bins), (buckets, more_buckets) = summary.bins.halves(), summary.buckets.halves()
    offsets, more_offsets = halves_of(summary.offsets)
    named = {name: one.halves() for name, one in summary.named.items()}
    first = replace(
        summary,
        offsets=offsets,
        bins=bins,
        buckets=buckets,
        named={name: one for name, (one, _) in named.items()},
    )
    second = replace(
        Summary.empty(summary.signal_limit).aligned(summary.signals),
        offsets=more_offsets,
        declared=summary.declared,
        bins=more_bins,
        buckets=more_buckets,
        named={name: one for name, (_, one) in named.items() if one.kept or one.others},
    )
    empty = not (more_offsets or second.named or len(second.histogram[0]) or len(second.hash_buckets[0]))
    return None if empty else (first, second)


def _totals(entries: tuple[Int64s, Int64s], width: int, signals: int) -> Int64s:
    """The counts of each signal's keys, int64 (S,)."""
    keys, counts = entries
    totals = np.zeros(signals, np.int64)
    np.add.at(totals, keys // width, counts)
    return totals


def _moved(tally: Tally, target: Int64s, width: int, signals: int) -> Tally:
    """With the keys of signal i those of target[i], or gone where that is -1. Keeps order: targets ascend."""
    keys, counts = tally.entries()
    index, inside = np.divmod(keys, width)
    index = target[index]
    here = index >= 0
    return Tally.of(index[here] * width + inside[here], counts[here], signals * width)

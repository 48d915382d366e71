"""What a join worker holds between two commits: batches in, deltas out, stores behind.

It has the face of ``observe.Observer``, and stores beside it: one a partition number, written once what was
flushed is committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor.events import Batch, Float64s, Group, Int64s, LabelBatch, Source
from stream_monitor.join.joiner import Joiner
from stream_monitor.join.outcome import Nothing, Outcome
from stream_monitor.join.pairs import Pairs
from stream_monitor.join.rows import Head, LabelRows, PredictionRows
from stream_monitor.join.store import Position, Store, StoreDamagedError
from stream_monitor.join.table import RECENT_MAX
from stream_monitor.quality.kept import coded, crossed, kept_of
from stream_monitor.summary.segments import segments_of
from stream_monitor.watermark import Clock, Observed, RowCounts, judge

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig


class Joins:
    """``clocks``: set that of a source before its first batch if it was read before; drop it with the source.

    ``topics``: all that are joined, where they are not those of the configuration. What ``add`` takes must be
    of partition numbers that are open. What adds or writes may raise StoreDamagedError, as the store does;
    ``discard`` and going back have to follow. Memory: 300 bytes of each row since the last commit, as much of
    RECENT_MAX ids that wait, 150 of each pair, and what the stores take.
    """

    def __init__(self, config: Config, topics: Sequence[str] | None = None) -> None:
        assert config.labels is not None
        self.clocks: dict[Source, Clock] = {}
        self.counters: Counter[str] = Counter()
        """What became of rows and pairs since the beginning, of those that are committed."""
        self._config = config
        self._labels = config.labels
        self._topics = tuple(topics or (*config.joined("predictions"), *config.joined("labels")))
        self._joiners: dict[int, Joiner] = {}
        self._unwritten: set[int] = set()
        self._pairs = Pairs(config)
        self._counts: dict[Source, RowCounts] = {}
        self._counted: Counter[str] = Counter()

    # Stores

    def open(self, partition: int, store: Store) -> None:
        """Join this partition number too, from where the store stands."""
        assert partition not in self._joiners, partition
        sources = [Source(topic, partition) for topic in self._topics]
        self._joiners[partition] = Joiner(store, self._labels, sources)

    def close(self, partition: int) -> None:
        """Close its store. What was not written is forgotten."""
        self._unwritten.discard(partition)
        self._joiners.pop(partition).close()

    def positions(self, partition: int) -> dict[Source, Position]:
        """Where the store of a partition number stands; of sources that it never saw there is none."""
        return dict(self._joiners[partition].positions)

    # Between two commits

    def add(self, batch: Batch | LabelBatch) -> None:
        """Take a batch in, and join it."""
        self._count(batch)
        for partition in self._join(batch, self.clocks, self._pairs):
            self._unwritten.add(partition)

    def flush(self) -> Observed:
        """All deltas since the last flush, each small enough for a record. ``committed`` has to follow, or
        ``discard``. Clocks stay."""
        observed = Observed(self._pairs.deltas(), self._counts)
        self._counted.update(self._pairs.counters)
        self._begin()
        return observed

    def committed(self, positions: Mapping[Source, Position]) -> None:
        """What was flushed is committed, and these sources stand there: write it to the stores.

        Raises StoreDamagedError after all others are written.
        """
        self.counters.update(self._counted)
        self._counted.clear()
        damaged: StoreDamagedError | None = None
        for partition in self._unwritten | {source.partition for source in positions}:
            try:
                self._write(partition, positions)
            except StoreDamagedError as error:
                damaged = error
        self._unwritten.clear()
        if damaged is not None:
            raise damaged

    def discard(self) -> None:
        """Forget everything since the last commit. The clocks have moved on: set them back where needed."""
        for partition in self._unwritten:
            self._joiners[partition].discard()
        self._unwritten.clear()
        self._counted.clear()
        self._begin()

    # What was committed before, and is not in a store

    def replay(self, batch: Batch | LabelBatch, clocks: dict[Source, Clock]) -> None:
        """Take in what was flushed once: nothing is emitted or counted. ``clocks`` are those of the replay.

        Of partition numbers that nothing is added to until then. ``replayed`` has to follow.
        """
        self._join(batch, clocks, Nothing())

    def replayed(self, partition: int, positions: Mapping[Source, Position]) -> None:
        """Write what was replayed of a partition number; its sources stand there."""
        self._write(partition, positions)

    def _write(self, partition: int, positions: Mapping[Source, Position]) -> None:
        own = {source: one for source, one in positions.items() if source.partition == partition}
        self._joiners[partition].written(own)
        self._joiners[partition].trim(RECENT_MAX // len(self._joiners))

    def _begin(self) -> None:
        self._pairs = Pairs(self._config)
        self._counts = {}

    def _count(self, batch: Batch | LabelBatch) -> None:
        rows = np.bincount(batch.source, minlength=len(batch.sources)).tolist()
        for source, accepted in zip(batch.sources, rows, strict=True):
            self._counts.setdefault(source, RowCounts()).rows += accepted
        for reject in batch.rejects:
            self._counts[batch.sources[reject.source]].rejected += 1

    # Rows

    def _join(self, batch: Batch | LabelBatch, clocks: dict[Source, Clock], outcome: Outcome) -> set[int]:
        """The partition numbers that the rows were of."""
        clock = judge(batch, clocks, 0).clock
        partitions = set()
        if isinstance(batch, LabelBatch):
            for labels in _label_rows(batch, clock):
                self._joiners[labels.source.partition].add_labels(labels, outcome)
                partitions.add(labels.source.partition)
        else:
            for predictions in self._prediction_rows(batch, clock):
                self._joiners[predictions.source.partition].add_predictions(predictions, outcome)
                partitions.add(predictions.source.partition)
        return partitions

    def _prediction_rows(self, batch: Batch, clock: Int64s) -> Iterator[PredictionRows]:
        """The rows of all models with quality, by source."""
        joined = ((group, self._config.model(group.stream.model)) for group in batch.groups)
        groups = [(group, model) for group, model in joined if model.quality]
        if not groups:
            return
        assert batch.ids is not None, "the configuration has predictions.fields.id where there are labels"
        rows = np.concatenate([group.rows for group, _ in groups])
        (ids,) = _at((list(batch.ids),), rows)
        heads, head, numbers = _heads_of(groups)
        several = len({group.stream for group, _ in groups}) < len(groups)
        source = batch.source[rows]
        for index in np.unique(source).tolist():
            here = np.flatnonzero(source == index)
            if several:
                # Those of one stream come by the way in which they were decoded.
                here = here[np.argsort(rows[here])]
            own = rows[here]
            (mine,) = _at((ids,), here)
            yield PredictionRows(
                batch.sources[index],
                batch.offset[own],
                clock[own],
                batch.time[own],
                mine,
                heads,
                head[here],
                numbers[here],
            )


def _heads_of(groups: Sequence[tuple[Group, ModelConfig]]) -> tuple[list[Head], Int64s, Float64s]:
    """What rows of groups have in common, and what is kept of each beside it."""
    heads = dict[Head, int]()
    parts = [_kept_of(group, model, heads) for group, model in groups]
    if len(parts) == 1:
        return list(heads), *parts[0]
    numbers = np.full((sum(len(one) for one, _ in parts), max(kept.shape[1] for _, kept in parts)), np.nan)
    first = 0
    for _, kept in parts:
        numbers[first : first + len(kept), : kept.shape[1]] = kept
        first += len(kept)
    return list(heads), np.concatenate([one for one, _ in parts]), numbers


def _kept_of(group: Group, model: ModelConfig, heads: dict[Head, int]) -> tuple[Int64s, Float64s]:
    kept, stream = kept_of(group, model.quality), group.stream[:3]
    segments, code = _segments_of(group, model.segments)
    pairs, of_row = crossed(segments, code, kept.templates, kept.code)
    mine = [heads.setdefault(Head(*stream, *pair), len(heads)) for pair in pairs]
    return np.array(mine, np.int64)[of_row], kept.numbers


def _segments_of(group: Group, fields: Sequence[str]) -> tuple[list[tuple[str, ...]], Int64s]:
    """The distinct segments of the rows of a group, and which of them each has."""
    if not fields:
        return [()], np.zeros(len(group.rows), np.int64)
    return coded(segments_of(group, fields))


def _at(columns: tuple[list[Any], ...], places: Int64s) -> Iterator[list[Any]]:
    """The same columns at these places."""
    is_all = len(places) == len(columns[0]) and bool((places[1:] > places[:-1]).all())
    chosen = [] if is_all else places.tolist()
    for column in columns:
        yield column if is_all else [column[place] for place in chosen]


def _label_rows(batch: LabelBatch, clock: Int64s) -> Iterator[LabelRows]:
    """The rows of a batch by source."""
    columns = (list(batch.ids), list(batch.models), list(batch.values))
    for index in np.unique(batch.source).tolist():
        here = np.flatnonzero(batch.source == index)
        ids, models, values = _at(columns, here)
        source, offset, row = batch.sources[index], batch.offset[here], batch.row[here]
        yield LabelRows(source, offset, clock[here], batch.time[here], ids, row, models, values)

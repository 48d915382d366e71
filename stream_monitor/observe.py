"""Observe: batches of events to summaries of slices. Pure: no clock but the events', no input or output.

A row on time counts in its own slice: its outputs in the summary of its stream, and its features, where it
is live, in that of its model; and once more, for each field of segments, in those of its segment. A late row
is only counted, in the stream's slice that holds the clock of its partition. So for each model, rows in =
rows and late rows of its stream summaries (without those of segments) + rejected rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from stream_monitor.events import Batch, Delta, Group, Int64s, SliceKey, Source, Stream
from stream_monitor.summary.columns import block_cells, block_rows, summarise
from stream_monitor.summary.parting import Parting
from stream_monitor.summary.plan import Plan, plan_of
from stream_monitor.summary.rows import Columns, Rows, taken
from stream_monitor.summary.segments import MaxOf, bound_slices, values_of
from stream_monitor.summary.shape import ReferenceShape, Shape
from stream_monitor.summary.summary import Summary
from stream_monitor.summary.vocabulary import Texts
from stream_monitor.watermark import Clock, Judged, Observed, RowCounts, judge

if TYPE_CHECKING:
    from stream_monitor.config import Config

LIVE = "live"
ROWS_MAX = 1 << 15
VALUES_MAX = 1 << 19
SUMMARIES_MAX = 1_024
"""So many may hold more segments than are kept in the end."""
SUMMARIES_BYTES_MAX = 16 << 20
"""Summaries of more are given away: as deltas they take a fifth of the memory."""
DELTAS_BYTES_MAX = 8 << 20
"""Deltas of more are to be flushed."""
SHAPES_MAX = 4_096
"""Models whose shape is kept at hand."""

Hold = Callable[[SliceKey, Summary], None]
"""Merges a summary into those that are held."""


class Summaries(dict[SliceKey, Summary]):
    """Summaries by stream and slice. They merge as summaries do."""

    def merge(self, other: Mapping[SliceKey, Summary]) -> None:
        for key, summary in other.items():
            self.add(key, summary.copy())

    def add(self, key: SliceKey, summary: Summary) -> None:
        """Merge one in; it may be kept and changed later."""
        if key in self:
            self[key].merge(summary)
        else:
            self[key] = summary

    def bounded(self, max_of: MaxOf) -> Self:
        """The same with a bounded number of segments."""
        return type(self)(bound_slices(self, max_of))

    def __add__(self, other: Mapping[SliceKey, Summary]) -> Self:
        total = type(self)()
        total.merge(self)
        total.merge(other)
        return total


def observe(
    batch: Batch,
    shape_of: Callable[[str], Shape],
    clocks: dict[Source, Clock],
    lateness_ms: Mapping[str, int] | int,
) -> Summaries:
    """Summarise a batch, and move ``clocks`` on past it. The bounded sum of results is the same for any cut.

    ``lateness_ms`` is one number or one per topic.
    """
    backlog = Backlog(shape_of)
    backlog.add(batch, judge(batch, clocks, lateness_ms))
    return backlog.drain()


class Backlog:
    """Rows that wait to be summarised: a few of them at a time cost several times what thousands cost.

    Which rows are summarised together is in no answer, for summaries merge. Memory: the summaries (with
    segments SUMMARIES_MAX, or twice as many as are kept), and of what waits a batch, ROWS_MAX rows of a
    stream, VALUES_MAX values in all and one vocabulary of texts. ``give_away``: takes summaries whenever they
    have come to SUMMARIES_BYTES_MAX. ``native``: as ``summarise`` has it.
    """

    def __init__(
        self,
        shape_of: Callable[[str], Shape],
        give_away: Callable[[Summaries], None] | None = None,
        *,
        native: bool = True,
    ) -> None:
        self._shape_of = shape_of
        self._give_away = give_away
        self._native = native
        self._begin()
        self._sources: dict[Source, int] = {}
        self._waiting: dict[_Columns, list[Rows]] = {}
        self._rows: Counter[_Columns] = Counter()
        self._values = 0

    def _begin(self) -> None:
        self._summaries = Summaries()
        self._bound_at = SUMMARIES_MAX
        self._bytes = 0

    def add(self, batch: Batch, judged: Judged) -> None:
        """Take the rows of a batch in. Cost: little, but when ROWS_MAX or VALUES_MAX is reached."""
        numbers = [self._sources.setdefault(source, len(self._sources)) for source in batch.sources]
        source = np.array(numbers, np.int64)[batch.source]
        for group in batch.groups:
            late = judged.late[group.rows]
            if late.any():
                shape = self._shape_of(group.stream.model)
                _count_late(group, group.rows[late], shape, judged, self._hold)
            fields = self._shape_of(group.stream.model).segments
            rows = _on_time(batch, source, group, np.flatnonzero(~late), fields)
            if len(rows):
                self._wait(group.stream, rows)
        if self._values >= VALUES_MAX or _is_full(batch.groups):
            self._summarise_all()

    def drain(self) -> Summaries:
        """The summaries of all rows since the last time, but for those that were given away."""
        self._summarise_all()
        self._sources.clear()
        return self._drained()

    def _drained(self) -> Summaries:
        drained = self._summaries.bounded(self._segments_max)
        self._begin()
        return drained

    def _wait(self, stream: Stream, rows: Rows) -> None:
        columns = _Columns(stream, tuple(rows.features), tuple(rows.outputs), tuple(rows.segments))
        self._waiting.setdefault(columns, []).append(rows)
        self._rows[columns] += len(rows)
        self._values += len(rows) * columns.width
        if self._rows[columns] >= ROWS_MAX:
            self._summarise(columns)

    def _summarise_all(self) -> None:
        for columns in list(self._waiting):
            self._summarise(columns)

    def _summarise(self, columns: _Columns) -> None:
        rows = Rows.joined(self._waiting.pop(columns))
        self._values -= self._rows.pop(columns) * columns.width
        shape = self._shape_of(columns.stream.model)
        _add_rows(columns.stream, rows, list(self._sources), shape, self._hold, native=self._native)
        if len(self._summaries) >= self._bound_at:
            self._summaries = self._summaries.bounded(self._segments_max)
            self._bound_at = max(SUMMARIES_MAX, 2 * len(self._summaries))

    def _hold(self, key: SliceKey, summary: Summary) -> None:
        self._bytes += summary.memory_bytes
        self._summaries.add(key, summary)
        if self._give_away is not None and self._bytes >= SUMMARIES_BYTES_MAX:
            # What merges takes less than its parts did.
            for one in self._summaries.values():
                one.compact()
            self._bytes = sum(one.memory_bytes for one in self._summaries.values())
            if self._bytes >= SUMMARIES_BYTES_MAX // 2:
                self._give_away(self._drained())

    def _segments_max(self, model: str) -> int:
        return self._shape_of(model).segments_max


class _Columns(NamedTuple):
    """What rows must have in common to be summarised together."""

    stream: Stream
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    segments: tuple[str, ...]

    @property
    def width(self) -> int:
        return 3 + len(self.features) + len(self.outputs) + len(self.segments)


def _is_full(groups: Sequence[Group]) -> bool:
    """Whether no batch will add to the vocabulary of their texts, so that another one begins.

    A codec has one: it is that of the first column with texts.
    """
    columns = chain.from_iterable(chain(group.features.values(), group.outputs.values()) for group in groups)
    texts = next((one.texts for one in columns if isinstance(one.texts, Texts)), None)
    return texts is not None and texts.vocabulary.is_full


def _on_time(batch: Batch, source: Int64s, group: Group, positions: Int64s, fields: Sequence[str]) -> Rows:
    """The rows at these positions of a group. Nobody looks at the other features of a shadow."""
    features: Columns = group.features if group.stream.role == LIVE else {}
    outputs: Columns = group.outputs
    segments: Columns = {name: group.features[name] for name in fields if name in group.features}
    if len(positions) < len(group.rows):
        features, outputs, segments = (taken(one, positions) for one in (features, outputs, segments))
    rows = group.rows[positions]
    return Rows(batch.time[rows], source[rows], batch.offset[rows], features, outputs, segments)


def _count_late(group: Group, rows: Int64s, shape: Shape, judged: Judged, hold: Hold) -> None:
    slices = judged.clock[rows] // shape.slice_ms * shape.slice_ms
    for start in np.unique(slices).tolist():
        here = rows[slices == start]
        summary = Summary.empty(shape.max_signals)
        summary.late, summary.late_idle = len(here), int(np.count_nonzero(judged.idle[here]))
        hold(SliceKey(group.stream, start), summary)


def _add_rows(
    stream: Stream, rows: Rows, sources: Sequence[Source], shape: Shape, hold: Hold, *, native: bool
) -> None:
    """Summarise rows of one stream, in order of their slices, and once more by each field of segments."""
    parts: list[tuple[Stream, Plan, Columns]] = [
        (stream, plan_of(shape, "outputs", tuple(rows.outputs)), rows.outputs)
    ]
    if stream.role == LIVE:
        plan = plan_of(shape, "features", tuple(rows.features))
        parts.append((Stream(stream.model), plan, rows.features))
    by_slice = Parting.by_slice(rows.time // shape.slice_ms)
    partings = [by_slice]
    for field in shape.segments:
        values = values_of(rows.segments.get(field), len(rows))
        partings.append(by_slice.by_segment(field, values, shape.segments_max))
    signals = len(rows.features) + len(rows.outputs)
    for parting in partings:
        for block, cells, which in parting.blocks(block_rows(signals), block_cells(signals)):
            offsets = rows.offsets(block, cells.sizes, sources)
            for of, plan, columns in parts:
                found = summarise(columns, plan, cells, native=native)
                for cell, summary, ends in zip(which, found, offsets, strict=True):
                    summary.offsets = ends.copy()
                    part, start = parting.segments[cell], parting.slices[cell] * shape.slice_ms
                    key = SliceKey(of._replace(segment=part) if part else of, start)
                    hold(key, summary)


class ReferenceShapes(Protocol):
    """Whatever knows the form that a model's reference file asks for."""

    def shape(self, model: str) -> ReferenceShape | None: ...


class Observer:
    """Batches in, deltas out: what an observe worker holds between two commits.

    ``clocks``: set that of a source before its first batch if it was read before; drop it with the source.
    ``native``: by the compiled kernel where it is installed, which changes nothing but the cost.
    """

    def __init__(self, config: Config, references: ReferenceShapes, *, native: bool = True) -> None:
        self.clocks: dict[Source, Clock] = {}
        self._config = config
        self._references = references
        self._shapes: dict[str, Shape] = {}
        self._native = native
        self.discard()

    def add(self, batch: Batch) -> None:
        """Take a batch in. Cost with its part of a flush: 0.4 to 1 us an event of 20 features; as much again
        for each field of segments, and 0.1 ms for each segment and slice."""
        judged = judge(batch, self.clocks, self._config.predictions.lateness_ms)
        self._count(batch, judged)
        self._backlog.add(batch, judged)

    @property
    def is_full(self) -> bool:
        """Whether a flush is due for the memory that it frees, DELTAS_BYTES_MAX or more."""
        return self._deltas_bytes >= DELTAS_BYTES_MAX

    def flush(self) -> Observed:
        """All deltas since the last flush, each small enough for a record; then begin anew. Clocks stay.

        There may be several of one stream and slice, which add up.
        """
        self._make_deltas(self._backlog.drain())
        observed = Observed(self._deltas, self._counts)
        self.discard()
        return observed

    def _make_deltas(self, summaries: Summaries) -> None:
        """Empties what it is given, so that nothing is held twice."""
        for key in sorted(summaries):
            shape = self._shape_of(key.stream.model).hash
            for part, data in summaries.pop(key).split():
                counted = not (key.stream.of_features or key.stream.segment)
                rows = part.rows + part.late if counted else 0
                self._deltas.append(Delta(key, shape, rows, data))
                self._deltas_bytes += len(data)

    def discard(self) -> None:
        """Forget everything since the last flush. The clocks have moved on: set them back where needed."""
        self._backlog = Backlog(self._shape_of, self._make_deltas, native=self._native)
        self._counts: dict[Source, RowCounts] = {}
        self._deltas: list[Delta] = []
        self._deltas_bytes = 0

    def _count(self, batch: Batch, judged: Judged) -> None:
        size = len(batch.sources)
        rows = np.bincount(batch.source, minlength=size).tolist()
        late = np.bincount(batch.source[judged.late], minlength=size).tolist()
        for source, accepted, too_late in zip(batch.sources, rows, late, strict=True):
            counts = self._counts.setdefault(source, RowCounts())
            counts.rows += accepted
            counts.late += too_late
        for reject in batch.rejects:
            self._counts[batch.sources[reject.source]].rejected += 1

    def _shape_of(self, model: str) -> Shape:
        shape = self._shapes.get(model)
        if shape is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            shape = Shape.of(self._config.model(model), self._references.shape(model))
            self._shapes[model] = shape
        return shape

"""What a flush of the join says: predictions and pairs as the cohorts that they change, and as signals.

Everything is kept by the slice of its arrival, and apart by segment; both are bounded as segments are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Delta, DeltaKind, Int64s, JsonType, SliceKey, Stream
from stream_monitor.join.cells import Cells, counted, summaries_of
from stream_monitor.join.changes import Changes, Gathered, Row
from stream_monitor.join.entries import Prediction
from stream_monitor.join.matching import Change
from stream_monitor.join.outcome import CORRECTED, DUPLICATE, WITHDRAWN, Predictions
from stream_monitor.join.rows import LabelRows, PredictionRows, StreamKey
from stream_monitor.quality.cohorts import Cohort, Cohorts, cohorts_of
from stream_monitor.quality.columns import Coded, Columns
from stream_monitor.quality.kept import columns_of, used
from stream_monitor.quality.shape import shape_hash
from stream_monitor.quality.signals import signals_of
from stream_monitor.quality.values import label_of
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.wire import SIGNAL_LIMIT_MAX

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig, Quality

K = TypeVar("K")

LABELS_ROLE = "labels"
"""The role of the stream that labels themselves are: Stream(model or "", "", LABELS_ROLE)."""
DELAY = "label_delay"
"""From the time of a prediction to that of its first label, in seconds."""
FACTS = {"duplicate": DUPLICATE, "corrected": CORRECTED, "withdrawn": WITHDRAWN}


class _Predicted(NamedTuple):
    """How many predictions that can be joined came in a slice, of a cohort."""

    segments: Sequence[str]
    at: int
    time: int
    n: int


def _labels_of(values: Sequence[Any], quality: Mapping[str, Quality]) -> Columns:
    """``label_of`` each; asked once a value, for most labels are of a few."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and dict not in kinds:
        codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
        code = np.fromiter(map(codes.__getitem__, values), np.int64, len(values))
        values = list(codes)
    else:
        code = np.arange(len(values))
    said = [label_of(value, quality) for value in values]
    return Columns(len(code), [Coded([one[place] for one in said], code) for place in range(len(quality))])


def _lacking(labels: Columns) -> int:
    """Of how many pairs an output has no label that can be used."""
    lacks = np.zeros(len(labels), np.bool_)
    for one in labels.outputs:
        assert isinstance(one, Coded)
        lacks |= np.array([value is None for value in one.values], np.bool_)[one.code]
    return int(np.count_nonzero(lacks))


def _places(values: Sequence[K]) -> Mapping[K, Int64s]:
    """Where each value is. Cost: 0.1 us each, next to none where all are one."""
    if len(set(values)) == 1:
        return {values[0]: np.arange(len(values))}
    found: defaultdict[K, list[int]] = defaultdict(list)
    for place, one in enumerate(values):
        found[one].append(place)
    return {one: np.array(places) for one, places in found.items()}


def _inputs_of(came: Changes, quality: Mapping[str, Quality]) -> Columns:
    heads, head = used(came.heads, came.head)
    templates = {one: place for place, one in enumerate(dict.fromkeys(one.template for one in heads))}
    code = np.array([templates[one.template] for one in heads], np.int64)[head]
    return columns_of(quality, list(templates), code, came.numbers)


def _segments_of(came: Changes) -> Sequence[tuple[str, ...]]:
    segments = [one.segments for one in came.heads]
    if not any(segments):
        return ((),) * len(came)
    return [segments[head] for head in came.head.tolist()]


class Pairs:
    """What elements change, until the next flush. Memory: 150 bytes a pair, and what cohorts take."""

    def __init__(self, config: Config) -> None:
        assert config.labels is not None
        self.counters: Counter[str] = Counter()
        self._config = config
        self._labels = config.labels
        self._changes = Gathered()
        self._predicted: Counter[tuple[StreamKey, Sequence[str], int, int]] = Counter()
        self._labeled: defaultdict[str, list[tuple[Int64s, Int64s]]] = defaultdict(list)

    # What comes

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        self.counters["predictions"] += len(rows)
        cohorts = rows.time // self._labels.cohort_ms * self._labels.cohort_ms
        columns = rows.head[joinable], self._slices(rows.clock[joinable]), cohorts[joinable]
        for (head, at, time), n in counted(*columns):
            one = rows.heads[head]
            self._predicted[one.stream, one.segments, at, time] += n

    def labeled(self, rows: LabelRows, facts: Int64s) -> None:
        self.counters["labels"] += len(rows)
        slices = self._slices(rows.clock)
        for model, here in _places(rows.models).items():
            self._labeled[model or ""].append((slices[here], facts[here]))

    def paired(
        self, ones: Predictions, time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        self.counters["pairs"] += len(ones)
        self._changes.add_first(ones, time, at, delay_ms, values)

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        kind, gone, come = change
        self.counters[kind] += 1
        if gone is not None:
            self._changes.add(Row(one, gone, time, at, -1, delay_ms, is_first=False))
        if come is not None:
            self._changes.add(Row(one, come, time, at, 1, delay_ms, is_first=kind == "pairs"))

    def count(self, name: str) -> None:
        self.counters[name] += 1

    # What goes out

    def deltas(self) -> list[Delta]:
        """All that came, each small enough for a record; the same for the same elements in any order."""
        found = list(chain(self._quality_deltas(), self._label_deltas()))
        return sorted(found, key=lambda delta: (delta.key, delta.kind))

    def _quality_deltas(self) -> Iterator[Delta]:
        predicted: defaultdict[StreamKey, list[_Predicted]] = defaultdict(list)
        for (stream, segments, at, time), n in self._predicted.items():
            predicted[stream].append(_Predicted(segments, at, time, n))
        changes = self._changes.all()
        streams = {one: place for place, one in enumerate(dict.fromkeys(one.stream for one in changes.heads))}
        of_head = np.array([streams[one.stream] for one in changes.heads], np.int64)
        stream_of = of_head[changes.head]
        for stream in {*predicted, *streams}:
            model = self._config.model(stream[0])
            came = changes.take(np.flatnonzero(stream_of == streams.get(stream, -1)))
            labels = _labels_of(came.values, model.quality)
            self.counters["pairs_unusable"] += _lacking(labels)
            inputs = _inputs_of(came, model.quality)
            yield from self._cohort_deltas(Stream(*stream), model, predicted[stream], came, inputs, labels)
            yield from self._pair_deltas(Stream(*stream), model, came, inputs, labels)

    def _cohort_deltas(
        self,
        stream: Stream,
        model: ModelConfig,
        predicted: Sequence[_Predicted],
        came: Changes,
        inputs: Columns,
        labels: Columns,
    ) -> Iterator[Delta]:
        slices = np.concatenate((np.array([one.at for one in predicted], np.int64), came.at))
        times = np.concatenate((np.array([one.time for one in predicted], np.int64), came.time))
        segments = [*(one.segments for one in predicted), *_segments_of(came)]
        cells = Cells.of(stream, self._slices(slices), segments, model.segments_max)
        starts, cohort = np.unique(times // self._labels.cohort_ms, return_inverse=True)
        group = cells.cell * len(starts) + cohort[cells.row]
        counts = np.zeros(len(cells.keys) * len(starts), np.int64)
        is_pair = cells.row >= len(predicted)
        counted, of_pair = cells.row[~is_pair], cells.row[is_pair] - len(predicted)
        np.add.at(counts, group[~is_pair], np.array([one.n for one in predicted], np.int64)[counted])
        changed = cohorts_of(
            model.quality, group[is_pair], inputs.take(of_pair), labels.take(of_pair), came.sign[of_pair]
        )
        there = np.flatnonzero(counts)
        changed.merge(
            {at: Cohort(predictions=n) for at, n in zip(there.tolist(), counts[there].tolist(), strict=True)}
        )
        by_key: defaultdict[SliceKey, Cohorts] = defaultdict(Cohorts)
        for at, one in changed.items():
            cell, place = divmod(at, len(starts))
            by_key[cells.keys[cell]][int(starts[place]) * self._labels.cohort_ms] = one
        shape = shape_hash(model, self._labels)
        for key, cohorts in by_key.items():
            for _, data in cohorts.split():
                yield Delta(key, shape, 0, data, "cohorts")

    def _pair_deltas(
        self, stream: Stream, model: ModelConfig, came: Changes, inputs: Columns, labels: Columns
    ) -> Iterator[Delta]:
        """Of first labels only: detectors see each pair once."""
        first = np.flatnonzero(came.is_first)
        if not len(first):
            return
        segments, slices = _segments_of(came.take(first)), self._slices(came.at[first])
        cells = Cells.of(stream, slices, segments, model.segments_max)
        columns = signals_of(model.quality, inputs.take(first), labels.take(first))
        columns[DELAY] = Column(JsonType.NUMBER, came.delay_ms[first] / 1000)
        yield from self._summary_deltas("pairs", columns, cells, model)

    def _label_deltas(self) -> Iterator[Delta]:
        for name, parts in self._labeled.items():
            slices, facts = (np.concatenate(column) for column in zip(*parts, strict=True))
            columns = {
                fact: Column(JsonType.NUMBER, (facts & bit != 0).astype(np.float64))
                for fact, bit in FACTS.items()
            }
            cells = Cells.of(Stream(name, "", LABELS_ROLE), slices, (), 0)
            yield from self._summary_deltas("labels", columns, cells, self._config.model(name))

    def _summary_deltas(
        self, kind: DeltaKind, columns: Mapping[str, Column], cells: Cells, model: ModelConfig
    ) -> Iterator[Delta]:
        form = shape_hash(model, self._labels)
        shape = Shape(
            hash=f"{kind} {form}",
            slice_ms=self._labels.slice_ms,
            strict=False,
            max_signals=SIGNAL_LIMIT_MAX,
            signals={},
            segments=(),
            segments_max=0,
        )
        for key, summary in summaries_of(columns, cells, shape).items():
            for part, data in summary.split():
                yield Delta(key, form, part.rows, data, kind)

    def _slices(self, times: Int64s) -> Int64s:
        return times // self._labels.slice_ms * self._labels.slice_ms

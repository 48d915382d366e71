"""What a flush of the join says: predictions and pairs as the cohorts that they change, and as signals.

Everything is kept by the slice of its arrival, and apart by segment; both are bounded as segments are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Delta, DeltaKind, Int64s, JsonType, SliceKey, Stream
from stream_monitor.join.cells import Cells, summaries_of
from stream_monitor.join.changes import Changes, Row
from stream_monitor.join.entries import Prediction
from stream_monitor.join.matching import Change
from stream_monitor.join.outcome import CORRECTED, DUPLICATE, WITHDRAWN
from stream_monitor.join.rows import LabelRows, PredictionRows, StreamKey
from stream_monitor.quality.cohorts import Cohort, Cohorts, cohorts_of
from stream_monitor.quality.shape import shape_hash
from stream_monitor.quality.signals import signals_of
from stream_monitor.quality.values import Labels, label_of
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.wire import SIGNAL_LIMIT_MAX

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig, Quality

K = TypeVar("K")
T = TypeVar("T")

LABELS_ROLE = "labels"
"""The role of the stream that labels themselves are: Stream(model or "", "", LABELS_ROLE)."""
DELAY = "label_delay"
"""From the time of a prediction to that of its first label, in seconds."""
_STREAM = attrgetter("model", "version", "role")
FACTS = {"duplicate": DUPLICATE, "corrected": CORRECTED, "withdrawn": WITHDRAWN}


class _Predicted(NamedTuple):
    """How many predictions that can be joined came in a slice, of a cohort."""

    segments: Sequence[str]
    at: int
    time: int
    n: int


def _labels_of(values: Sequence[Any], quality: Mapping[str, Quality]) -> list[Labels]:
    """``label_of`` each; asked once a value, for most labels are of a few."""
    kinds = set(map(type, values))
    if len(kinds) == 1 and dict not in kinds:
        said = {value: label_of(value, quality) for value in set(values)}
        return list(map(said.__getitem__, values))
    return [label_of(value, quality) for value in values]


def _places(values: Sequence[K]) -> Mapping[K, Int64s]:
    """Where each value is. Cost: 0.1 us each, next to none where all are one."""
    if len(set(values)) == 1:
        return {values[0]: np.arange(len(values))}
    found: defaultdict[K, list[int]] = defaultdict(list)
    for place, one in enumerate(values):
        found[one].append(place)
    return {one: np.array(places) for one, places in found.items()}


def _at(values: Sequence[T], places: Int64s) -> list[T]:
    return [values[place] for place in places.tolist()]


class Pairs:
    """What elements change, until the next flush. Memory: 300 bytes a pair, and what cohorts take."""

    def __init__(self, config: Config) -> None:
        assert config.labels is not None
        self.counters: Counter[str] = Counter()
        self._config = config
        self._labels = config.labels
        self._paired: defaultdict[StreamKey, list[Changes]] = defaultdict(list)
        self._changed: defaultdict[StreamKey, list[Row]] = defaultdict(list)
        self._predicted: Counter[tuple[StreamKey, Sequence[str], int, int]] = Counter()
        self._labeled: defaultdict[str, list[tuple[Int64s, Int64s]]] = defaultdict(list)

    # What comes

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        self.counters["predictions"] += len(rows)
        slices = self._slices(rows.clock).tolist()
        cohorts = (rows.time // self._labels.cohort_ms * self._labels.cohort_ms).tolist()
        came = zip(rows.streams, rows.segments, slices, cohorts, strict=True)
        if joinable.all():
            self._predicted.update(came)
        else:
            self._predicted.update(
                one for one, is_kept in zip(came, joinable.tolist(), strict=True) if is_kept
            )

    def labeled(self, rows: LabelRows, facts: Sequence[int]) -> None:
        self.counters["labels"] += len(rows)
        slices, facts_of = self._slices(rows.clock), np.array(facts, np.int64)
        for model, here in _places(rows.models).items():
            self._labeled[model or ""].append((slices[here], facts_of[here]))

    def paired(
        self, ones: Sequence[Prediction], time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        self.counters["pairs"] += len(ones)
        for stream, rows in _places(list(map(_STREAM, ones))).items():
            mine, said = (ones, values) if len(rows) == len(ones) else (_at(ones, rows), _at(values, rows))
            part = Changes.of_first(mine, time[rows], at[rows], delay_ms[rows], said)
            self._paired[stream].append(part)

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        kind, gone, come = change
        self.counters[kind] += 1
        rows = self._changed[_STREAM(one)]
        if gone is not None:
            rows.append(Row(one.segments, one.inputs, gone, time, at, -1, delay_ms, is_first=False))
        if come is not None:
            is_first = kind == "pairs"
            rows.append(Row(one.segments, one.inputs, come, time, at, 1, delay_ms, is_first))

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
        for stream in {*predicted, *self._paired, *self._changed}:
            model, odd = self._config.model(stream[0]), self._changed.get(stream)
            parts = [*self._paired.get(stream, ()), *([Changes.of(odd)] if odd else ())]
            came = Changes.joined(parts)
            labels = _labels_of(came.values, model.quality)
            self.counters["pairs_unusable"] += sum(None in label for label in labels)
            yield from self._cohort_deltas(Stream(*stream), model, predicted[stream], came, labels)
            yield from self._pair_deltas(Stream(*stream), model, came, labels)

    def _cohort_deltas(
        self,
        stream: Stream,
        model: ModelConfig,
        predicted: Sequence[_Predicted],
        came: Changes,
        labels: Sequence[Labels],
    ) -> Iterator[Delta]:
        slices = np.concatenate((np.array([one.at for one in predicted], np.int64), came.at))
        times = np.concatenate((np.array([one.time for one in predicted], np.int64), came.time))
        segments = [*(one.segments for one in predicted), *came.segments]
        cells = Cells.of(stream, self._slices(slices), segments, model.segments_max)
        starts, cohort = np.unique(times // self._labels.cohort_ms, return_inverse=True)
        group = cells.cell * len(starts) + cohort[cells.row]
        counts = np.zeros(len(cells.keys) * len(starts), np.int64)
        is_pair = cells.row >= len(predicted)
        counted, of_pair = cells.row[~is_pair], cells.row[is_pair] - len(predicted)
        rows = of_pair.tolist()
        np.add.at(counts, group[~is_pair], np.array([one.n for one in predicted], np.int64)[counted])
        changed = cohorts_of(
            model.quality,
            group[is_pair],
            [came.inputs[row] for row in rows],
            [labels[row] for row in rows],
            came.sign[of_pair],
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
        self, stream: Stream, model: ModelConfig, came: Changes, labels: Sequence[Labels]
    ) -> Iterator[Delta]:
        """Of first labels only: detectors see each pair once."""
        first = np.flatnonzero(came.is_first)
        if not len(first):
            return
        rows = first.tolist()
        segments, slices = [came.segments[row] for row in rows], self._slices(came.at[first])
        cells = Cells.of(stream, slices, segments, model.segments_max)
        columns = signals_of(model.quality, [came.inputs[row] for row in rows], [labels[row] for row in rows])
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

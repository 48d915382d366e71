"""What a flush of the join says: predictions and pairs as the cohorts that they change, and as signals.

Everything is kept by the slice of its arrival, and apart by segment; both are bounded as segments are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Delta, DeltaKind, Int64s, JsonType, SliceKey, Stream
from stream_monitor.join.cells import Cells, summaries_of
from stream_monitor.join.entries import Prediction
from stream_monitor.join.joiner import CORRECTED, DUPLICATE, WITHDRAWN
from stream_monitor.join.matching import Change
from stream_monitor.join.rows import LabelRows, PredictionRows, StreamKey
from stream_monitor.quality.cohorts import Cohort, Cohorts, cohorts_of
from stream_monitor.quality.shape import shape_hash
from stream_monitor.quality.signals import signals_of
from stream_monitor.quality.values import Inputs, Labels, label_of
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.wire import SIGNAL_LIMIT_MAX

if TYPE_CHECKING:
    from stream_monitor.config import Config, ModelConfig, Quality

LABELS_ROLE = "labels"
"""The role of the stream that labels themselves are: Stream(model or "", "", LABELS_ROLE)."""
DELAY = "label_delay"
"""From the time of a prediction to that of its first label, in seconds."""
FACTS = {"duplicate": DUPLICATE, "corrected": CORRECTED, "withdrawn": WITHDRAWN}


class _Emission(NamedTuple):
    """A pair that comes (1) or goes (-1) in the slice that holds ``at``; ``delay_ms`` of first pairs."""

    segments: Sequence[str]
    inputs: Inputs
    time: int
    at: int
    sign: int
    delay_ms: int | None
    value: Any


class _Predicted(NamedTuple):
    """How many predictions that can be joined came in a slice, of a cohort."""

    segments: Sequence[str]
    at: int
    time: int
    n: int


def _labels_of(values: Iterable[Any], quality: Mapping[str, Quality]) -> list[Labels]:
    """``label_of`` each; asked once a value, for most labels are of a few."""
    said: dict[tuple[type, Any], Labels] = {}
    labels = []
    for value in values:
        place = type(value), None if isinstance(value, dict) else value
        label = said.get(place)
        if label is None or isinstance(value, dict):
            label = said[place] = label_of(value, quality)
        labels.append(label)
    return labels


class Pairs:
    """What elements change, until the next flush. Memory: 300 bytes a pair, and what cohorts take."""

    def __init__(self, config: Config) -> None:
        assert config.labels is not None
        self.counters: Counter[str] = Counter()
        self._config = config
        self._labels = config.labels
        self._emitted: defaultdict[StreamKey, list[_Emission]] = defaultdict(list)
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
        models = np.array([model or "" for model in rows.models], np.object_)
        slices = self._slices(rows.clock)
        for model in sorted(set(models)):
            here = models == model
            self._labeled[model].append((slices[here], np.array(facts, np.int64)[here]))

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        kind, gone, come = change
        self.counters[kind] += 1
        emitted = self._emitted[one.model, one.version, one.role]
        if gone is not None:
            emitted.append(_Emission(one.segments, one.inputs, time, at, -1, None, gone))
        if come is not None:
            delay = delay_ms if kind == "pairs" else None
            emitted.append(_Emission(one.segments, one.inputs, time, at, 1, delay, come))

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
        for stream in {*predicted, *self._emitted}:
            model, came = self._config.model(stream[0]), self._emitted.get(stream, [])
            labels = _labels_of((one.value for one in came), model.quality)
            self.counters["pairs_unusable"] += sum(None in label for label in labels)
            yield from self._cohort_deltas(Stream(*stream), model, predicted[stream], came, labels)
            yield from self._pair_deltas(Stream(*stream), model, came, labels)

    def _cohort_deltas(
        self,
        stream: Stream,
        model: ModelConfig,
        predicted: Sequence[_Predicted],
        came: Sequence[_Emission],
        labels: Sequence[Labels],
    ) -> Iterator[Delta]:
        slices = np.array([one.at for one in predicted] + [one.at for one in came], np.int64)
        times = np.array([one.time for one in predicted] + [one.time for one in came], np.int64)
        segments = [one.segments for one in predicted] + [one.segments for one in came]
        cells = Cells.of(stream, self._slices(slices), segments, model.segments_max)
        starts, cohort = np.unique(times // self._labels.cohort_ms, return_inverse=True)
        group = cells.cell * len(starts) + cohort[cells.row]
        counts = np.zeros(len(cells.keys) * len(starts), np.int64)
        is_pair = cells.row >= len(predicted)
        counted, rows = cells.row[~is_pair], (cells.row[is_pair] - len(predicted)).tolist()
        np.add.at(counts, group[~is_pair], np.array([one.n for one in predicted], np.int64)[counted])
        changed = cohorts_of(
            model.quality,
            group[is_pair],
            [came[row].inputs for row in rows],
            [labels[row] for row in rows],
            np.array([came[row].sign for row in rows], np.int64),
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
        self, stream: Stream, model: ModelConfig, came: Sequence[_Emission], labels: Sequence[Labels]
    ) -> Iterator[Delta]:
        """Of first labels only: detectors see each pair once."""
        first = [row for row, one in enumerate(came) if one.delay_ms is not None]
        if not first:
            return
        slices = self._slices(np.array([came[row].at for row in first], np.int64))
        cells = Cells.of(stream, slices, [came[row].segments for row in first], model.segments_max)
        inputs = [came[row].inputs for row in first]
        columns = signals_of(model.quality, inputs, [labels[row] for row in first])
        delays_ms = np.array([came[row].delay_ms for row in first], np.float64)
        columns[DELAY] = Column(JsonType.NUMBER, delays_ms / 1000)
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

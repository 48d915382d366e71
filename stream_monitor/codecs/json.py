"""JSON: bytes to typed columns, and rejects for what cannot be attributed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from stream_monitor.codecs.columns import Layouts, Rows, as_features, as_outputs, columns, layouts
from stream_monitor.codecs.fields import Place
from stream_monitor.codecs.identity import Problem, Streams, judge_ids, judge_times, shown
from stream_monitor.codecs.parse import Tombstone, Unparsable, parse_all
from stream_monitor.codecs.reasons import Reason
from stream_monitor.config import Config
from stream_monitor.events import Batch, Group, Int64s, Records, Reject, Stream

ROWS_MAX = 10_000
"""A record may hold so many events."""
CELLS_PER_VALUE_MAX = 8

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(slots=True)
class _Events:
    """The JSON objects of a batch, where each stands, and what was none."""

    source: Int64s
    objects: list[dict[str, Any]]
    record: Int64s
    row: Int64s
    rejects: list[Reject] = field(default_factory=list)
    skipped: dict[int, int] = field(default_factory=dict)

    def reject(self, record: int, row: int, problem: Problem) -> None:
        self.rejects.append(Reject(record, row, *problem, source=int(self.source[record])))

    def skip(self, record: int) -> None:
        source = int(self.source[record])
        self.skipped[source] = self.skipped.get(source, 0) + 1


class JsonCodec:
    """Decodes records whose value is a JSON object, or an array of them, by a configuration's field mapping.

    Every record is judged alone: a bad one costs what it costs, and changes nothing for others. Rejected
    is only what cannot be attributed (``Reason``). Of duplicate keys the last counts. Features are
    the members of an object, without those that another field is mapped to.
    """

    def __init__(self, config: Config) -> None:
        fields = config.predictions.fields
        self._model = Place.parse(fields.model)
        self._version = Place.optional(fields.version)
        self._role = Place.optional(fields.role)
        self._time = Place.parse(fields.time)
        self._id = Place.optional(fields.id)
        self._features = Place.optional(fields.features)
        self._outputs = Place.optional(fields.outputs)
        self._unread = self._mapped_inside_features()
        self._skew_ms = config.predictions.max_clock_skew_ms
        self._id_needed = config.labels is not None
        self._streams = Streams(config.knows)

    def _mapped_inside_features(self) -> frozenset[str]:
        at = self._features.path if self._features else None
        if at is None:
            return frozenset()
        others = (self._model, self._version, self._role, self._time, self._id, self._outputs)
        paths = [place.path for place in others if place is not None and place.path is not None]
        return frozenset(path[len(at)] for path in paths if len(path) > len(at) and path[: len(at)] == at)

    def decode(self, records: Records) -> Batch:
        """Decode records into a batch. Raises nothing for what they hold.

        Several groups may be of one stream. ``keys`` and ``headers`` are needed where a field is mapped to
        them. Cost: see ARCHITECTURE.md; memory is linear in the bytes of the records.
        """
        events = _events(records)
        objects, record = events.objects, events.record

        def read(place: Place | None) -> list[Any]:
            return [None] * len(objects) if place is None else place.read(objects, records, record)

        found, stream = self._streams.find(read(self._model), read(self._version), read(self._role))
        time, time_problems = judge_times(read(self._time), records.timestamp[record], self._skew_ms)
        ids, id_problems = judge_ids(read(self._id), needed=self._id_needed) if self._id else (None, {})
        stream_of = {index: one for index, one in enumerate(found) if isinstance(one, Stream)}
        stream_problems = (
            {
                row: one
                for row, index in enumerate(stream.tolist())
                if isinstance(one := found[index], Problem)
            }
            if len(stream_of) < len(found)
            else {}
        )
        problems = id_problems | time_problems | stream_problems
        for row, problem in problems.items():
            events.reject(int(record[row]), int(events.row[row]), problem)
        kept = np.ones(len(objects), np.bool_)
        kept[list(problems)] = False
        position = np.cumsum(kept) - 1
        features, outputs = read(self._features), read(self._outputs)
        groups = [
            group
            for index, rows in _by_value(stream, len(found), kept)
            for group in self._groups(stream_of[index], rows, position, features, outputs)
        ]
        accepted = record[kept]
        return Batch(
            sources=records.sources,
            source=records.source[accepted],
            offset=records.offset[accepted],
            row=events.row[kept],
            time=time[kept],
            groups=groups,
            ids=ids if ids is None or not problems else [ids[row] for row in np.flatnonzero(kept).tolist()],
            rejects=sorted(events.rejects, key=lambda reject: (reject.record, reject.row)),
            skipped=events.skipped,
        )

    def _groups(
        self, stream: Stream, rows: Int64s, position: Int64s, features: list[Any], outputs: list[Any]
    ) -> Iterator[Group]:
        of_features = [as_features(features[row], self._unread) for row in rows.tolist()]
        of_outputs = [as_outputs(outputs[row]) for row in rows.tolist()]
        for part, by_feature, by_output in _dense_parts(of_features, of_outputs):
            yield Group(
                stream,
                position[rows[part]],
                columns(of_features[part], by_feature),
                columns(of_outputs[part], by_output),
            )


def _events(records: Records) -> _Events:
    """Parse, and take arrays apart."""
    documents = parse_all(records.values)
    if set(map(type, documents)) == {dict}:
        return _Events(
            records.source, documents, np.arange(len(documents)), np.zeros(len(documents), np.int64)
        )
    objects: list[dict[str, Any]] = []
    places: list[tuple[int, int]] = []
    events = _Events(records.source, objects, np.empty(0, np.int64), np.empty(0, np.int64))
    for record, document in enumerate(documents):
        if isinstance(document, Tombstone) or document == []:
            events.skip(record)
            continue
        if isinstance(document, Unparsable):
            events.reject(record, 0, Problem(Reason.NOT_JSON, document.why))
            continue
        several = document if isinstance(document, list) else [document]
        if len(several) > ROWS_MAX:
            detail = f"expected at most {ROWS_MAX} events in a record, got {len(several)}"
            events.reject(record, 0, Problem(Reason.TOO_MANY_ROWS, detail))
            continue
        for row, event in enumerate(several):
            if type(event) is dict:
                objects.append(event)
                places.append((record, row))
            else:
                detail = f"expected an object, got {shown(event)}"
                events.reject(record, row, Problem(Reason.NOT_OBJECT, detail))
    place = np.array(places, np.int64).reshape(-1, 2)
    events.record, events.row = place[:, 0], place[:, 1]
    return events


def _by_value(values: Int64s, size: int, kept: Bools) -> Iterator[tuple[int, Int64s]]:
    """Give each value below ``size`` that is among the kept, with its rows in ascending order."""
    rows = np.flatnonzero(kept)
    if size == 1:
        if len(rows):
            yield 0, rows
        return
    rows = rows[np.argsort(values[rows], kind="stable")]
    bounds = np.searchsorted(values[rows], np.arange(size + 1))
    for value in range(size):
        if bounds[value] < bounds[value + 1]:
            yield value, rows[bounds[value] : bounds[value + 1]]


def _dense_parts(features: Rows, outputs: Rows) -> Iterator[tuple[slice, Layouts, Layouts]]:
    """Cut rows so that columns have at most CELLS_PER_VALUE_MAX cells for each value in them.

    Rows with few names in common would otherwise cost the product of rows and names.
    """
    pending = [slice(0, len(features))]
    while pending:
        part = pending.pop()
        middle = (part.start + part.stop) // 2
        both = layouts(features[part]), layouts(outputs[part])
        if _is_sparse(features[part], both[0]) or _is_sparse(outputs[part], both[1]):
            pending += [slice(middle, part.stop), slice(part.start, middle)]
        else:
            yield part, *both


def _is_sparse(rows: Rows, layouts: Layouts) -> bool:
    if len(layouts) == 1:
        return False
    names = len(set(chain.from_iterable(layouts)))
    return len(rows) * names > CELLS_PER_VALUE_MAX * sum(map(len, rows))

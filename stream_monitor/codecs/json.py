"""JSON: bytes to typed columns, and rejects for what cannot be attributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal, cast

import numpy as np

from stream_monitor.codecs.columns import Layouts, Rows, as_features, as_outputs, columns, layouts
from stream_monitor.codecs.documents import Events, parsed
from stream_monitor.codecs.fields import Place, at_path
from stream_monitor.codecs.identity import Problem, Streams, judge_ids, judge_times
from stream_monitor.codecs.typed import TypedDecoder
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config
from stream_monitor.events import Batch, Group, Int64s, Records, Stream
from stream_monitor.summary.vocabulary import Vocabulary

FIELDS = ("model", "version", "role", "time", "id", "features", "outputs")
CELLS_PER_VALUE_MAX = 8

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


class JsonCodec:
    """Decodes records whose value is a JSON object, or an array of them, by a configuration's field mapping.

    Every record is judged alone: a bad one costs what it costs, and changes nothing for others. Rejected
    is only what cannot be attributed (``Reason``). Of duplicate keys the last counts. Features are
    the members of an object, without those that another field is mapped to. Where ``wanted`` is given,
    only those features and outputs are read.
    """

    def __init__(self, config: Config, wanted: Wanted | None = None) -> None:
        fields = config.predictions.fields
        self._places = {name: Place.optional(getattr(fields, name)) for name in FIELDS}
        self._wanted = wanted
        self._unread = self._mapped_inside_features()
        self._skew_ms = config.predictions.max_clock_skew_ms
        self._model = config.model if config.labels is not None else None
        self._streams = Streams(config.knows)
        self._typed = self._typed_decoder()
        self._vocabulary = Vocabulary()

    def _mapped_inside_features(self) -> frozenset[str]:
        paths = [
            place.path for place in self._places.values() if place is not None and place.path is not None
        ]
        features = self._places["features"]
        at = None if features is None else features.path
        if at is None:
            return frozenset()
        return frozenset(path[len(at)] for path in paths if len(path) > len(at) and path[: len(at)] == at)

    def _typed_decoder(self) -> TypedDecoder | None:
        """Learn layouts where every field has a top-level name of its own, or is outside of the event."""
        paths = {name: place.path for name, place in self._places.items() if place and place.path is not None}
        names = {name: path[0] for name, path in paths.items() if len(path) == 1}
        usable = {"features", "outputs"} <= set(names) and len(set(names.values())) == len(paths)
        return TypedDecoder(names, self._wanted) if usable else None

    def decode(self, records: Records) -> Batch:
        """Decode records into a batch. Raises nothing for what they hold.

        Several groups may be of one stream. ``keys`` and ``headers`` are needed where a field is mapped to
        them. Cost: about that of orjson.loads where layouts are known, two to three times that elsewhere;
        memory is linear in the bytes of the records.
        """
        if self._vocabulary.is_full:
            self._vocabulary = Vocabulary()
        events = self._events(records)

        def read(name: str) -> Sequence[Any]:
            return self._read(name, events, records)

        streams, stream = self._streams.find(read("model"), read("version"), read("role"))
        time, time_problems = judge_times(read("time"), records.timestamp[events.record], self._skew_ms)
        joined = self._joined(streams)
        ids, id_problems = judge_ids(read("id"), needed=any(joined))
        if not all(joined):
            id_problems = {row: one for row, one in id_problems.items() if joined[stream[row]]}
        problems = id_problems | time_problems | _stream_problems(streams, stream)
        for row, problem in problems.items():
            events.reject(int(events.record[row]), int(events.row[row]), problem)
        kept = np.ones(len(events), np.bool_)
        kept[list(problems)] = False
        accepted = np.flatnonzero(kept)
        if events.typed and events.objects:
            accepted = accepted[np.lexsort((events.row[accepted], events.record[accepted]))]
        position = np.zeros(len(events), np.int64)
        position[accepted] = np.arange(len(accepted))
        groups = list(self._groups(events, position, streams, list(_by_value(stream, len(streams), kept))))
        if self._typed and events.objects:
            self._typed.learn(
                event for event, use in zip(events.objects, kept[len(events.typed) :], strict=True) if use
            )
        record = events.record[accepted]
        return Batch(
            sources=records.sources,
            source=records.source[record],
            offset=records.offset[record],
            row=events.row[accepted],
            time=time[accepted],
            groups=groups,
            ids=[ids[row] for row in accepted.tolist()] if self._places["id"] else None,
            rejects=sorted(events.rejects, key=lambda reject: (reject.record, reject.row)),
            skipped=events.skipped,
        )

    def _joined(self, streams: list[Stream | Problem]) -> list[bool]:
        """Tell of each stream whether labels are joined with its events, so that these need an id."""
        model = self._model
        if model is None:
            return [False] * len(streams)
        return [isinstance(one, Stream) and bool(model(one.model).quality) for one in streams]

    def _events(self, records: Records) -> Events:
        """Parse: by known layouts, and the general way what does not fit them."""
        if self._typed is None:
            return parsed(records, [], np.empty(0, np.int64), range(len(records)))
        decoded = self._typed.decode(records.values)
        others = [record for record, event in enumerate(decoded) if event is None]
        fits = np.ones(len(decoded), np.bool_)
        fits[others] = False
        typed = [event for event in decoded if event is not None]
        events = parsed(records, typed, np.flatnonzero(fits), others)
        events.fields = self._typed.fields(typed)
        return events

    def _read(self, name: str, events: Events, records: Records) -> Sequence[Any]:
        """Give a field of every event, None where there is none."""
        place = self._places[name]
        if place is None:
            return [None] * len(events)
        if place.path is None:
            return place.of_records(records, events.record)
        others = at_path(events.objects, place.path)
        return events.fields[name] + others if events.typed else others

    def _of_objects(self, name: Literal["features", "outputs"], objects: list[dict[str, Any]]) -> list[Any]:
        place = self._places[name]
        if place is None or place.path is None:
            return [None] * len(objects)
        found = at_path(objects, place.path)
        return found if self._wanted is None else list(map(getattr(self._wanted, name), found))

    def _groups(
        self,
        events: Events,
        position: Int64s,
        streams: list[Stream | Problem],
        rows_of: list[tuple[int, Int64s]],
    ) -> Iterator[Group]:
        typed = events.typed
        features = self._of_objects("features", events.objects)
        outputs = self._of_objects("outputs", events.objects)
        for index, rows in rows_of:
            stream = cast("Stream", streams[index])
            first_other = int(np.searchsorted(rows, len(typed)))
            if first_other and self._typed:
                fit = rows[:first_other].tolist()
                layout = self._typed.layout(typed[fit[0]])
                yield Group(
                    stream,
                    position[rows[:first_other]],
                    layout.features.columns(
                        [events.fields["features"][row] for row in fit], self._vocabulary
                    ),
                    layout.outputs.columns([events.fields["outputs"][row] for row in fit], self._vocabulary),
                )
            others = (rows[first_other:] - len(typed)).tolist()
            of_features = [as_features(features[row], self._unread) for row in others]
            of_outputs = [as_outputs(outputs[row]) for row in others]
            for part, by_feature, by_output in _dense_parts(of_features, of_outputs):
                yield Group(
                    stream,
                    position[rows[first_other:][part]],
                    columns(of_features[part], by_feature, self._vocabulary),
                    columns(of_outputs[part], by_output, self._vocabulary),
                )


def _stream_problems(streams: list[Stream | Problem], stream: Int64s) -> dict[int, Problem]:
    bad = {index: one for index, one in enumerate(streams) if isinstance(one, Problem)}
    if not bad:
        return {}
    return {row: bad[index] for row, index in enumerate(stream.tolist()) if index in bad}


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
    pending = [slice(0, len(features))] if features else []
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

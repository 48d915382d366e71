"""JSON: bytes to typed columns, and rejects for what cannot be attributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, compress
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from stream_monitor.codecs.documents import Events, parsed
from stream_monitor.codecs.fields import Place, mapped_inside
from stream_monitor.codecs.identity import Problem, Streams, judge_ids, judge_times
from stream_monitor.codecs.later import Later
from stream_monitor.codecs.native import NativeDecoder, NativePart, installed
from stream_monitor.codecs.parts import GeneralPart, Part, TypedPart, by_value
from stream_monitor.codecs.typed import TypedDecoder
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config
from stream_monitor.events import Batch, Group, Int64s, Records, Stream
from stream_monitor.summary.vocabulary import Vocabulary

FIELDS = ("model", "version", "role", "time", "id", "features", "outputs")

_NONE = np.empty(0, np.int64)

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


class JsonCodec:
    """Decodes records whose value is a JSON object, or an array of them, by a configuration's field mapping.

    Every record is judged alone: a bad one costs what it costs, and changes nothing for others. Rejected
    is only what cannot be attributed (``Reason``). Of duplicate keys the last counts. Features are
    the members of an object, without those that another field is mapped to. Where ``wanted`` is given,
    only those features and outputs are read. ``native``: by the compiled kernel where it is installed, which
    changes the cost and nothing else.
    """

    def __init__(self, config: Config, wanted: Wanted | None = None, *, native: bool = True) -> None:
        fields = config.predictions.fields
        self._places = {name: Place.optional(getattr(fields, name)) for name in FIELDS}
        self._wanted = wanted
        self._unread = mapped_inside("features", self._places)
        self._skew_ms = config.predictions.max_clock_skew_ms
        self._model = config.model if config.labels is not None else None
        self._streams = Streams(config.knows)
        self._typed = self._typed_decoder()
        self._native = self._native_decoder() if native else None
        of_streams = (self._places[name] for name in ("model", "version", "role"))
        self._streams_are_inside = all(place is None or place.path is not None for place in of_streams)
        self._vocabulary = Vocabulary()

    def _typed_decoder(self) -> TypedDecoder | None:
        """Learn layouts where every field has a top-level name of its own, or is outside of the event."""
        paths = {name: place.path for name, place in self._places.items() if place and place.path is not None}
        names = {name: path[0] for name, path in paths.items() if len(path) == 1}
        usable = {"features", "outputs"} <= set(names) and len(set(names.values())) == len(paths)
        return TypedDecoder(names, self._wanted) if usable else None

    def _native_decoder(self) -> NativeDecoder | None:
        kernel = installed()
        if kernel is None or self._typed is None:
            return None
        return NativeDecoder(kernel, self._typed.names, self._wanted)

    def decode(self, records: Records) -> Batch:
        """Decode records into a batch. Raises nothing for what they hold.

        Several groups may be of one stream. ``keys`` and ``headers`` are needed where a field is mapped to
        them. Cost: about that of orjson.loads where layouts are known, 0.6 of it with the compiled
        kernel, two to three times that elsewhere; memory is linear in the bytes of the records.
        """
        self._renew()
        parts, events = self._parts(records)
        batch, judged = self._batch(parts, events, records)
        if self._typed is not None and events.objects:
            self._learn(self._typed, events, judged[-1].kept)
        return batch

    def decode_objects(self, records: Records, objects: list[dict[str, Any]], record: Int64s) -> Batch:
        """Decode events that are there as what JSON stands for, ``record`` (n,) of which they are of. The row
        of each is its place here."""
        self._renew()
        events = Events(records.source, [], objects, record, np.arange(len(objects)))
        return self._batch([self._general_part(events)], events, records)[0]

    def _renew(self) -> None:
        if self._vocabulary.is_full:
            self._vocabulary = Vocabulary()

    def _batch(self, parts: Sequence[Part], events: Events, records: Records) -> tuple[Batch, list[Judged]]:
        judged = [self._judge(part, records, events) for part in parts]
        kept = _joined([one.kept for one in judged])
        record, row = _joined([part.record for part in parts]), _joined([part.row for part in parts])
        accepted = np.flatnonzero(kept)
        position = accepted
        if len(parts) > 1 or len(accepted) < len(kept):
            accepted = accepted[np.lexsort((row[accepted], record[accepted]))]
            position = np.zeros(len(kept), np.int64)
            position[accepted] = np.arange(len(accepted))
        record = record[accepted]
        batch = Batch(
            sources=records.sources,
            source=records.source[record],
            offset=records.offset[record],
            row=row[accepted],
            time=_joined([one.time for one in judged])[accepted],
            groups=list(_groups(parts, judged, position)),
            ids=_ids(judged, accepted) if self._places["id"] else None,
            rejects=sorted(events.rejects, key=lambda reject: (reject.record, reject.row)),
            skipped=events.skipped,
        )
        return batch, judged

    def _parts(self, records: Records) -> tuple[list[Part], Events]:
        """Parse: compiled, then by known layouts, and the general way what fits none.

        No part is empty, but where all are; the events of the general way are the last one.
        """
        parts: list[Part] = []
        others: Sequence[int] = range(len(records))
        if self._typed is not None and self._native is not None:
            native, others = self._native.decode(records.values, self._vocabulary)
            parts.append(native)
        if self._typed is not None and others:
            typed, others = TypedPart.of(self._typed, records.values, others, self._vocabulary)
            parts.append(typed)
        parts = [part for part in parts if len(part.record)]
        events = (
            parsed(records, [], _NONE, others) if others else Events(records.source, [], [], _NONE, _NONE)
        )
        if events.objects or not parts:
            parts.append(self._general_part(events))
        return parts, events

    def _general_part(self, events: Events) -> GeneralPart:
        return GeneralPart(
            events.objects,
            events.record,
            events.row,
            self._places,
            self._wanted,
            self._unread,
            self._vocabulary,
        )

    def _judge(self, part: Part, records: Records, events: Events) -> Judged:
        """Tell to which stream, time and id events belong; those of which it cannot be told are rejected."""
        streams, stream = self._streams_of(part, records)
        timestamps = records.timestamp[part.record]
        time, time_problems = judge_times(self._field("time", part, records), timestamps, self._skew_ms)
        joined = self._joined(streams)
        ids, id_problems = self._judge_ids(part, records, needed=any(joined))
        if not all(joined):
            id_problems = {at: one for at, one in id_problems.items() if joined[stream[at]]}
        problems = id_problems | time_problems | _stream_problems(streams, stream)
        for at, problem in problems.items():
            events.reject(int(part.record[at]), int(part.row[at]), problem)
        kept = np.ones(len(part.record), np.bool_)
        if problems:
            kept[list(problems)] = False
        return Judged(streams, stream, time, ids, kept)

    def _judge_ids(
        self, part: Part, records: Records, *, needed: bool
    ) -> tuple[Sequence[str | None], dict[int, Problem]]:
        ids = self._field("id", part, records)
        judged = isinstance(part, NativePart) and isinstance(ids, Later) and part.ids_are_usable
        return (ids, {}) if judged else judge_ids(ids, needed=needed)

    def _streams_of(self, part: Part, records: Records) -> tuple[list[Stream | Problem], Int64s]:
        if isinstance(part, NativePart) and self._streams_are_inside:
            streams, which = self._streams.find(*zip(*part.streams, strict=True))
            return streams, which[part.stream]
        model, version, role = (self._field(name, part, records) for name in ("model", "version", "role"))
        return self._streams.find(model, version, role)

    def _joined(self, streams: list[Stream | Problem]) -> list[bool]:
        """Tell of each stream whether labels are joined with its events, so that these need an id."""
        model = self._model
        if model is None:
            return [False] * len(streams)
        return [isinstance(one, Stream) and bool(model(one.model).quality) for one in streams]

    def _field(self, name: str, part: Part, records: Records) -> Sequence[Any]:
        """Give a field of every event of a part, None where there is none."""
        place = self._places[name]
        if place is None:
            return [None] * len(part.record)
        return part.field(name) if place.path is not None else place.of_records(records, part.record)

    def _learn(self, typed: TypedDecoder, events: Events, kept: Bools) -> None:
        typed.learn(compress(events.objects, kept.tolist()))
        if self._native is not None:
            self._native.learn(typed.layouts)


class Judged(NamedTuple):
    """What is known of the events of a part: their streams, and of each which is its own; times and ids.

    Of those that are not ``kept`` the rest is anything.
    """

    streams: list[Stream | Problem]
    stream: Int64s
    time: Int64s
    ids: Sequence[str | None]
    kept: Bools


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _ids(judged: Sequence[Judged], accepted: Int64s) -> Sequence[str | None]:
    ids = judged[0].ids if len(judged) == 1 else list(chain.from_iterable(one.ids for one in judged))
    return ids if len(judged) == 1 and len(accepted) == len(ids) else [ids[at] for at in accepted.tolist()]


def _groups(parts: Sequence[Part], judged: Sequence[Judged], position: Int64s) -> Iterator[Group]:
    """Give the kept events of each part by stream. ``position``: of all parts, where in the batch."""
    first = 0
    for part, (streams, stream, _, _, kept) in zip(parts, judged, strict=True):
        for index, places in by_value(stream, len(streams), np.flatnonzero(kept)):
            for some, features, outputs in part.signals(places):
                yield Group(cast("Stream", streams[index]), position[first + some], features, outputs)
        first += len(kept)


def _stream_problems(streams: list[Stream | Problem], stream: Int64s) -> dict[int, Problem]:
    bad = {index: one for index, one in enumerate(streams) if isinstance(one, Problem)}
    if not bad:
        return {}
    return {row: bad[index] for row, index in enumerate(stream.tolist()) if index in bad}

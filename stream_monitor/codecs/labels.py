"""Labels: bytes to ids, times and values, and rejects for what cannot be attributed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Protocol, cast

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Struct, defstruct

from stream_monitor.codecs import codec_of
from stream_monitor.codecs.documents import Events, parsed
from stream_monitor.codecs.fields import Place, at_path
from stream_monitor.codecs.identity import Problem, judge_ids, judge_times, model_problem, names, shown
from stream_monitor.codecs.reasons import Reason
from stream_monitor.codecs.typed import INTEGER, TIME, decode_each, transposed
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config
from stream_monitor.events import Batch, Int64s, LabelBatch, Records
from stream_monitor.native import installed

VALUE_LENGTH_MAX = 4_000
"""Characters of a label that is a text, bytes of one that is an object, as JSON."""

_SCALAR = str | INTEGER | float | bool | None
_FIELDS: dict[str, tuple[Any, ...]] = {
    "value": (_SCALAR | dict[str, _SCALAR],),
    "time": (TIME | str,),
    "id": (str | INTEGER,),
    "model": (str | INTEGER | None, None),
}
"""The fields of a label, in their order: type and, where it may be missing, default."""
_ALWAYS_USABLE = frozenset({int, bool, NoneType})


class Kernel(Protocol):
    """The class LabelKernel of the compiled module."""

    def __init__(self, names: list[tuple[str, str]]) -> None: ...

    def decode(self, values: list[bytes | None]) -> tuple[list[list[Any]], list[int], list[int]]:
        """The fields of the labels that fit, in the order of _FIELDS and empty where labels have none; the
        places of these labels, and of the others."""


class LabelCodec:
    """Decodes records whose value is a JSON object, or an array of them, by the field mapping of ``labels``.

    Every record is judged alone, as JsonCodec does. One without a value (a tombstone) takes back the label
    of the id that is its key, at its Kafka timestamp; so does a label whose value is null. A label without
    a model, or with an empty one, is for every model. ``config.labels`` must be set. ``native``: by the
    compiled kernel where it is installed, which changes the cost and nothing else.
    """

    def __init__(self, config: Config, *, native: bool = True) -> None:
        assert config.labels is not None
        self._places = {name: Place.optional(getattr(config.labels.fields, name)) for name in _FIELDS}
        self._skew_ms = config.predictions.max_clock_skew_ms
        self._knows = config.knows
        self._tops: dict[str, str] = {}
        self._decode = self._typed_decoder()
        self._kernel = self._new_kernel() if native else None

    def _new_kernel(self) -> Kernel | None:
        module = installed()
        return None if module is None else module.LabelKernel(list(self._tops.items()))

    def _typed_decoder(self) -> Callable[[bytes | str], Struct] | None:
        """Decode straight to a Struct where every field has a top-level name of its own, or is outside."""
        paths = {name: place.path for name, place in self._places.items() if place and place.path is not None}
        tops = {name: path[0] for name, path in paths.items() if len(path) == 1}
        if len(tops) < len(paths) or len(set(tops.values())) < len(tops):
            return None
        self._tops = tops
        fields = [(name, *_FIELDS[name]) for name in tops]
        struct = defstruct("Label", fields, rename=tops, gc=False)
        return msgspec.json.Decoder(struct).decode

    def decode(self, records: Records) -> LabelBatch:
        """Decode records into a batch. Raises nothing for what they hold.

        ``keys`` are needed for tombstones, and ``headers`` where a field is mapped to them. Cost: 0.5 us a
        label of 110 bytes where all fields have a top-level name, about three times that elsewhere.
        """
        events, tombstones = self._events(records)
        # Tombstones stand behind all others until the rows are put in order.
        record = np.append(events.record, tombstones)
        row = np.append(events.row, np.zeros(len(tombstones), np.int64))
        keys, timestamps = (_of_tombstones(name, records, tombstones) for name in ("key", "kafka"))

        def read(name: str, of_tombstones: list[Any]) -> list[Any]:
            return self._read(name, events, records) + of_tombstones

        values = read("value", [None] * len(tombstones))
        models, model_problems = _judge_models(read("model", [None] * len(tombstones)), self._knows)
        time, time_problems = judge_times(read("time", timestamps), records.timestamp[record], self._skew_ms)
        ids, id_problems = judge_ids(read("id", keys), needed=True)
        problems = _judge_values(values) | id_problems | time_problems | model_problems
        for at, problem in problems.items():
            events.reject(int(record[at]), int(row[at]), problem)
        kept = np.ones(len(record), np.bool_)
        kept[list(problems)] = False
        accepted = np.flatnonzero(kept)
        accepted = accepted[np.lexsort((row[accepted], record[accepted]))]
        is_all = len(tombstones) == 0 and len(accepted) == len(kept) and bool((np.diff(accepted) == 1).all())
        places = accepted.tolist()
        record = record[accepted]
        return LabelBatch(
            sources=records.sources,
            source=records.source[record],
            offset=records.offset[record],
            row=row[accepted],
            time=time[accepted],
            ids=cast("Sequence[str]", ids if is_all else [ids[at] for at in places]),
            models=models if is_all else [models[at] for at in places],
            values=values if is_all else [values[at] for at in places],
            rejects=sorted(events.rejects, key=lambda reject: (reject.record, reject.row)),
            skipped=events.skipped,
        )

    def _events(self, records: Records) -> tuple[Events, Int64s]:
        """Parse all records but tombstones, whose places are given beside."""
        if self._kernel is not None and self._decode is not None:
            return self._events_by_kernel(self._kernel, records)
        if self._decode is None:
            decoded: list[Struct | None] = [None] * len(records)
        else:
            decoded = decode_each(self._decode, records.values)
        typed = [label for label in decoded if label is not None]
        missed = [at for at, label in enumerate(decoded) if label is None]
        fits = np.ones(len(decoded), np.bool_)
        fits[missed] = False
        others = [at for at in missed if records.values[at] is not None]
        tombstones = [at for at in missed if records.values[at] is None]
        events = parsed(records, typed, np.flatnonzero(fits), others)
        events.fields = dict(zip(self._tops, transposed(typed, len(self._tops)), strict=True))
        return events, np.array(tombstones, np.int64)

    def _events_by_kernel(self, kernel: Kernel, records: Records) -> tuple[Events, Int64s]:
        """The same, of which the kernel reads what it can."""
        values = records.values
        columns, fits, missed = kernel.decode(values if type(values) is list else list(values))
        others = [at for at in missed if values[at] is not None]
        tombstones = [at for at in missed if values[at] is None]
        events = parsed(records, [], np.array(fits, np.int64), others)
        events.fields = dict(zip(_FIELDS, columns, strict=True))
        return events, np.array(tombstones, np.int64)

    def _read(self, name: str, events: Events, records: Records) -> list[Any]:
        """Give a field of every label: None where there is none, of the value UNSET."""
        place = self._places[name]
        if place is None:
            return [None] * len(events)
        if place.path is None:
            return place.of_records(records, events.record)
        follow = _values if name == "value" else at_path
        others = follow(events.objects, place.path)
        return events.fields[name] + others if events.fields else others


class JoinCodec:
    """Decodes what the join reads: predictions and labels, in one poll.

    Of predictions only those outputs are read that quality compares, and those features that segments are
    cut by. Rejects of predictions are left out, since observe tells them; those of labels are kept.
    """

    def __init__(self, config: Config) -> None:
        self._label_topics = frozenset(config.joined("labels"))
        self._predictions = codec_of(config, Wanted.by_join(config))
        self._labels = LabelCodec(config)

    def decode(self, records: Records) -> list[Batch | LabelBatch]:
        """Decode the records of any topics, one batch of a kind that is there. ``keys`` are needed.

        The places in rejects are those in ``records``.
        """
        is_label = np.array([source.topic in self._label_topics for source in records.sources], np.bool_)
        of_labels = is_label[records.source]
        batches: list[Batch | LabelBatch] = []
        if not of_labels.all():
            batch = self._predictions.decode(records.take(np.flatnonzero(~of_labels)))
            batch.rejects = []
            batches.append(batch)
        if of_labels.any():
            places = np.flatnonzero(of_labels)
            labels = self._labels.decode(records.take(places))
            for reject in labels.rejects:
                reject.record = int(places[reject.record])
            batches.append(labels)
        return batches


def _of_tombstones(mapping: str, records: Records, tombstones: Int64s) -> list[Any]:
    return Place.parse(mapping).of_records(records, tombstones) if len(tombstones) else []


def _values(labels: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """Follow a path from each label; UNSET where it leads nowhere, since null is a value."""
    if not path:
        return list(labels)
    found = at_path(labels, path[:-1])
    return [at.get(path[-1], UNSET) if type(at) is dict else UNSET for at in found]


def _judge_models(
    values: Sequence[Any], knows: Callable[[str], bool]
) -> tuple[Sequence[Any], dict[int, Problem]]:
    """Give the model of n labels, None where it is missing, null or empty; and what cannot be a model."""
    models = names(values)
    distinct = set(models)
    bad = {name: why for name in distinct if name and (why := model_problem(name, knows))}
    problems = {at: bad[name] for at, name in enumerate(models) if name in bad} if bad else {}
    return [name or None for name in models] if "" in distinct else models, problems


def _judge_values(values: Sequence[Any]) -> dict[int, Problem]:
    kinds = set(map(type, values))
    if kinds <= _ALWAYS_USABLE:
        return {}
    if kinds == {float} and all(map(math.isfinite, values)):
        return {}
    if kinds == {str} and max(map(len, values)) <= VALUE_LENGTH_MAX:
        return {}
    return {at: problem for at, value in enumerate(values) if (problem := _value_problem(value)) is not None}


def _value_problem(value: Any) -> Problem | None:
    if value is UNSET:
        return Problem(Reason.NO_LABEL, "label: expected one, or null to take it back, got none")
    why: str | None = None
    match value:
        case list():
            why = "expected a string, a number, a boolean, an object or null, got an array"
        case str() if len(value) > VALUE_LENGTH_MAX:
            why = f"expected at most {VALUE_LENGTH_MAX} characters, got {len(value)}"
        case float() if not math.isfinite(value):
            why = f"expected a finite number, got {shown(value)}"
        case dict():
            why = _object_problem(value)
    return None if why is None else Problem(Reason.BAD_LABEL, f"label: {why}")


def _object_problem(value: dict[str, Any]) -> str | None:
    try:
        length = len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return "expected an object of fewer levels"
    if length > VALUE_LENGTH_MAX:
        return f"expected an object of at most {VALUE_LENGTH_MAX} bytes, got {length}"
    return None if _is_finite(value) else "expected finite numbers, got an object with another"


def _is_finite(value: Any) -> bool:
    if type(value) is dict:
        return all(map(_is_finite, value.values()))
    if type(value) is list:
        return all(map(_is_finite, value))
    return type(value) is not float or math.isfinite(value)

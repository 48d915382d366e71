"""The parts of a batch: events that were parsed alike, and how what they hold is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
from msgspec import Struct

from stream_monitor.codecs.columns import Layouts, Rows, as_features, as_outputs, columns, layouts
from stream_monitor.codecs.fields import Place, at_path
from stream_monitor.codecs.typed import TypedDecoder
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.events import Column, Int64s
from stream_monitor.summary.vocabulary import Vocabulary

CELLS_PER_VALUE_MAX = 8


class Signals(NamedTuple):
    """Features and outputs of some events of a part, whose places in it (n,) are ascending."""

    places: Int64s
    features: dict[str, Column]
    outputs: dict[str, Column]


class Part(Protocol):
    """Events of a batch, in order of (record, row)."""

    @property
    def record(self) -> Int64s: ...

    @property
    def row(self) -> Int64s: ...

    def field(self, name: str) -> Sequence[Any]:
        """A field that is in the events, of each of them; None where it is missing."""

    def signals(self, places: Int64s) -> Iterator[Signals]:
        """The signals of those at some places, all of one stream and at least one."""


@dataclass(frozen=True, slots=True)
class TypedPart:
    """Events that a known layout fits, as Structs."""

    decoder: TypedDecoder
    events: list[Struct]
    fields: dict[str, list[Any]]
    record: Int64s
    row: Int64s
    vocabulary: Vocabulary

    @classmethod
    def of(
        cls,
        decoder: TypedDecoder,
        values: Sequence[bytes | None],
        places: Sequence[int],
        vocabulary: Vocabulary,
    ) -> tuple[TypedPart, list[int]]:
        """Decode the values at some places: those that fit, and the places of the others."""
        decoded = decoder.decode([values[at] for at in places])
        events = [event for event in decoded if event is not None]
        fits = [at for at, event in zip(places, decoded, strict=True) if event is not None]
        others = [at for at, event in zip(places, decoded, strict=True) if event is None]
        record = np.array(fits, np.int64)
        row = np.zeros(len(record), np.int64)
        return cls(decoder, events, decoder.fields(events), record, row, vocabulary), others

    def field(self, name: str) -> Sequence[Any]:
        return self.fields[name]

    def signals(self, places: Int64s) -> Iterator[Signals]:
        at = places.tolist()
        layout = self.decoder.layout(self.events[at[0]])
        features, outputs = ([self.fields[name][row] for row in at] for name in ("features", "outputs"))
        yield Signals(
            places,
            layout.features.columns(features, self.vocabulary),
            layout.outputs.columns(outputs, self.vocabulary),
        )


@dataclass(frozen=True, slots=True)
class GeneralPart:
    """Events of any form, as objects. ``unread`` are the features that other fields are mapped to."""

    objects: list[dict[str, Any]]
    record: Int64s
    row: Int64s
    places: Mapping[str, Place | None]
    wanted: Wanted | None
    unread: frozenset[str]
    vocabulary: Vocabulary

    def field(self, name: str) -> Sequence[Any]:
        place = self.places[name]
        assert place is not None
        assert place.path is not None, "a field outside of the events is not asked for here"
        return at_path(self.objects, place.path)

    def signals(self, places: Int64s) -> Iterator[Signals]:
        objects = [self.objects[at] for at in places.tolist()]
        features = [as_features(one, self.unread) for one in self._read("features", objects)]
        outputs = [as_outputs(one) for one in self._read("outputs", objects)]
        for part, by_feature, by_output in _dense_parts(features, outputs):
            yield Signals(
                places[part],
                columns(features[part], by_feature, self.vocabulary),
                columns(outputs[part], by_output, self.vocabulary),
            )

    def _read(self, name: str, objects: list[dict[str, Any]]) -> list[Any]:
        place = self.places[name]
        if place is None or place.path is None:
            return [None] * len(objects)
        found = at_path(objects, place.path)
        return found if self.wanted is None else list(map(getattr(self.wanted, name), found))


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


def by_value(values: Int64s, size: int, rows: Int64s) -> Iterator[tuple[int, Int64s]]:
    """Give each value below ``size`` that these rows have, with those that have it in ascending order."""
    if size == 1:
        if len(rows):
            yield 0, rows
        return
    rows = rows[np.argsort(values[rows], kind="stable")]
    bounds = np.searchsorted(values[rows], np.arange(size + 1))
    for value in range(size):
        if bounds[value] < bounds[value + 1]:
            yield value, rows[bounds[value] : bounds[value + 1]]

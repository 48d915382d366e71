"""Decoding events whose layout is known from earlier ones, at about half the cost. An optimisation, no more.

What it yields equals what the general path would, which is its oracle in the tests: an event that differs
in anything from the layout of its model (an unknown name, another type) is left to that path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import NoneType
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, defstruct
from msgspec.structs import astuple

from stream_monitor.codecs.columns import (
    NAME_LENGTH_MAX,
    as_outputs,
    column,
    columns,
    gappy_numbers_column,
    layouts,
    numbers_column,
    strings_column,
)
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.events import Column, JsonType
from stream_monitor.summary.vocabulary import Vocabulary
from stream_monitor.times import TIME_MS_END

MODELS_MAX = 2_048
NAMES_MAX = 512
LEARN_FIRST = 8
"""A layout is learned when so many events did not fit, widened after twice as many, and so on."""
LEARN_FROM_MAX = 1_000

Kinds = dict[str, frozenset[Any]]
"""By the name of a signal, the types of its values: float, str, bool, NoneType, list[float], UnsetType; and
Raw for one that is passed over."""

TIME = Annotated[int, Meta(ge=0, lt=TIME_MS_END)]
INTEGER = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_FIELDS: dict[str, tuple[Any, ...]] = {
    "features": (Struct,),
    "outputs": (Struct,),
    "time": (TIME | str,),
    "id": (str | INTEGER | None, None),
    "version": (str | INTEGER | None, None),
    "role": (str | None, None),
}
"""The fields of an event, in their order: type and, where it may be missing, default."""
_NOTHING = Annotated[int, Meta(gt=0, lt=0)] | UnsetType
"""No value fits."""
_REFUSED = (msgspec.DecodeError, ValueError, TypeError, AttributeError, RecursionError)
_NUMBERS_OR_GAPS = frozenset({float, NoneType, UnsetType})
_PLAIN_NAME = re.compile(rf'[^"\\\x00-\x1f\x7f]{{0,{NAME_LENGTH_MAX}}}')


@dataclass(frozen=True, slots=True)
class Signals:
    """The features or the outputs of a layout: their kinds, and the Struct that they are decoded to.

    ``width``: its fields, of which those of the kinds come first.
    """

    kinds: Kinds
    struct: type[Struct]
    width: int

    @classmethod
    def of(cls, kinds: Kinds, *, closed: bool, refused: Iterable[str] = ()) -> Signals:
        """``closed``: an event with a name beyond these does not fit; else only one that is ``refused`` does
        not, and others are passed over."""
        fields: list[tuple[str, Any, Any]] = []
        for index, types in enumerate(kinds.values()):
            default = UNSET if UnsetType in types else msgspec.NODEFAULT
            fields.append((f"f{index}", reduce(or_, types), default))
        names = [*kinds, *(name for name in sorted(refused) if name not in kinds)]
        fields += [(f"f{index}", _NOTHING, UNSET) for index in range(len(kinds), len(names))]
        renamed = {f"f{index}": name for index, name in enumerate(names)}
        struct = defstruct(
            "Signals", fields, rename=renamed, kw_only=True, forbid_unknown_fields=closed, gc=False
        )
        return cls(kinds, struct, len(names))

    @property
    def has_arrays(self) -> bool:
        return any(list[float] in types for types in self.kinds.values())

    def columns(self, rows: Sequence[Struct], vocabulary: Vocabulary) -> dict[str, Column]:
        """Turn rows into columns, as columns.columns does."""
        if self.has_arrays:
            named = [as_outputs(self._named(row)) for row in rows]
            return columns(named, layouts(named), vocabulary)
        found = {}
        for (name, types), values in zip(self.kinds.items(), transposed(rows, self.width), strict=False):
            if Raw in types:
                continue
            if types == {float}:
                found[name] = numbers_column(values)
            elif types == {str}:
                found[name] = strings_column(values, vocabulary)
            elif types <= _NUMBERS_OR_GAPS and float in types:
                found[name] = gappy_numbers_column(values)
            else:
                found[name] = column(values, vocabulary)
        return {name: one for name, one in found.items() if one.types is not JsonType.ABSENT}

    def _named(self, row: Struct) -> dict[str, Any]:
        values = zip(self.kinds, astuple(row), strict=False)
        return {name: value for name, value in values if type(value) not in {UnsetType, Raw}}


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of the events of one model; of all of them, "", where the model is not in the event."""

    model: str
    features: Signals
    outputs: Signals
    struct: type[Struct]


class TypedDecoder:
    """Learns the layouts of models from events that the general path decoded, and decodes by them.

    ``names`` gives the top-level names of the fields that are mapped to one: of model, id, version,
    role, time, features and outputs; the last two must be among them. Of features and outputs those that
    are ``wanted`` are learned, all of them without it. Memory: MODELS_MAX layouts of at
    most NAMES_MAX names. Learning costs about 1 ms a layout, and happens a logarithmic number of times; the
    decoder of all of them is made anew when as many events as it has layouts did not fit.
    """

    def __init__(self, names: Mapping[str, str], wanted: Wanted | None = None) -> None:
        self._names = dict(names)
        self._wanted = wanted
        self._layouts: dict[str, Layout] = {}
        self._missed: dict[str, int] = {}
        self._due: dict[str, int] = {}
        self._unfit = 0
        self._is_behind = False
        self._decode: Callable[[bytes | str], Any] | None = None
        self._by_struct: dict[type, Layout] = {}

    def decode(self, values: Sequence[bytes | None]) -> list[Struct | None]:
        """Decode each value alone; None where it does not fit a known layout, or is not UTF-8."""
        return [None] * len(values) if self._decode is None else decode_each(self._decode, values)

    def layout(self, event: Struct) -> Layout:
        return self._by_struct[type(event)]

    def fields(self, events: Sequence[Struct]) -> dict[str, list[Any]]:
        """Give those fields that are in the events, each of all events."""
        names = [name for name in _FIELDS if name in self._names]
        found = dict(zip(names, transposed(events, len(names)), strict=True))
        if "model" in self._names:
            model = {struct: layout.model for struct, layout in self._by_struct.items()}
            found["model"] = list(map(model.__getitem__, map(type, events)))
        return found

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """By model, all that is known. What is learned anew is another object."""
        return self._layouts

    @property
    def names(self) -> Mapping[str, str]:
        return self._names

    def learn(self, events: Iterable[dict[str, Any]]) -> None:
        """Take note of events that did not fit; now and then learn from them."""
        by_model: dict[str, list[dict[str, Any]]] = {}
        key = self._names.get("model")
        for event in events:
            model = "" if key is None else event.get(key)
            if type(model) is str and (model in self._due or len(self._due) < MODELS_MAX):
                self._due.setdefault(model, LEARN_FIRST)
                by_model.setdefault(model, []).append(event)
        learned = [self._learn(model, missed) for model, missed in by_model.items()]
        self._is_behind |= any(learned)
        self._unfit += sum(map(len, by_model.values()))
        if self._is_behind and self._unfit >= len(self._layouts):
            self._unfit, self._is_behind = 0, False
            self._by_struct = {layout.struct: layout for layout in self._layouts.values()}
            self._decode = msgspec.json.Decoder(self._any_layout()).decode

    def _any_layout(self) -> Any:
        structs = [*self._by_struct]
        if "model" in self._names and len(structs) == 1:
            # Of one struct alone msgspec does not ask for the tag, of one of two it does.
            tag = "a" if "a" not in self._layouts else "b"
            fields = [("nothing", Annotated[int, Meta(gt=0, lt=0)])]
            structs.append(defstruct("Never", fields, tag_field=self._names["model"], tag=tag))
        return reduce(or_, structs)

    def _learn(self, model: str, missed: list[dict[str, Any]]) -> bool:
        self._missed[model] = self._missed.get(model, 0) + len(missed)
        if self._missed[model] < self._due[model]:
            return False
        self._due[model] = 2 * self._missed[model]
        layout = self._layouts.get(model)
        known = (layout.features.kinds, layout.outputs.kinds) if layout else None
        kinds = known
        for event in missed[:LEARN_FROM_MAX]:
            kinds = self._widened(kinds, event)
            if kinds is not None and max(map(len, kinds)) > NAMES_MAX:
                return False
        if kinds is None or kinds == known or _is_ambiguous(kinds[1]):
            return False
        wanted = self._wanted.feature_names if self._wanted is not None else ()
        features = Signals.of(kinds[0], closed=self._wanted is None, refused=wanted)
        # Closed in any case: a new name may be part of an output that is wanted.
        self._layouts[model] = self._layout(model, features, Signals.of(kinds[1], closed=True))
        return True

    def _widened(
        self, known: tuple[Kinds, Kinds] | None, event: dict[str, Any]
    ) -> tuple[Kinds, Kinds] | None:
        values = event.get(self._names["features"]), event.get(self._names["outputs"])
        passed: Iterable[str] = ()
        if self._wanted is not None:
            read = self._wanted.features(values[0]), self._wanted.outputs(values[1])
            passed = values[1].keys() - read[1].keys() if type(values[1]) is dict else ()
            values = read
        features, outputs = _kinds(values[0], lists=False), _kinds(values[1], lists=True, passed=passed)
        if features is None or outputs is None:
            return known
        if known is None:
            return features, outputs
        return _union(known[0], features), _union(known[1], outputs)

    def _layout(self, model: str, features: Signals, outputs: Signals) -> Layout:
        types = _FIELDS | {"features": (features.struct,), "outputs": (outputs.struct,)}
        fields = [(name, *kind) for name, kind in types.items() if name in self._names]
        renamed = {name: self._names[name] for name, *_ in fields}
        tag = self._names.get("model")
        struct = defstruct(
            "Event", fields, rename=renamed, tag_field=tag, tag=model if tag else None, gc=False
        )
        return Layout(model, features, outputs, struct)


def decode_each(
    decode: Callable[[bytes | str], Struct], values: Sequence[bytes | None]
) -> list[Struct | None]:
    """Decode each value alone; None where ``decode`` refuses it, or it is not UTF-8."""
    events: list[Struct | None] = []
    add = events.append
    for value in values:
        try:
            # Fields that are skipped are not looked into, and must be UTF-8 all the same.
            add(decode(value if value.isascii() else str(value, "utf-8")))  # type: ignore[union-attr, arg-type]
        except _REFUSED:
            add(None)
    return events


def transposed(rows: Sequence[Struct], width: int) -> Iterator[list[Any]]:
    """Give the values of each of the ``width`` fields of all rows: at half the cost of zip."""
    flat: list[Any] = []
    for row in rows:
        flat += astuple(row)
    return (flat[place::width] for place in range(width))


def _kinds(value: Any, *, lists: bool, passed: Iterable[str] = ()) -> Kinds | None:
    """Give the kinds of members, and of those that are ``passed`` over; None where no layout holds them."""
    if type(value) is not dict or not all(map(_PLAIN_NAME.fullmatch, passed)):
        return None
    kinds: Kinds = dict.fromkeys(passed, frozenset({Raw}))
    for name, one in value.items():
        kind: Any = float if type(one) is int else type(one)
        if kind is list and lists and set(map(type, one)) <= {int, float}:
            kind = list[float]
        if kind not in (float, str, bool, NoneType, list[float]) or not _PLAIN_NAME.fullmatch(name):
            return None
        kinds[name] = frozenset({kind})
    return kinds


def _is_ambiguous(kinds: Kinds) -> bool:
    """Whether an element of an array may have the name of another output, so that their order counts."""
    arrays = tuple(f"{name}." for name, types in kinds.items() if list[float] in types)
    return any(name.startswith(arrays) for name in kinds)


def _union(one: Kinds, other: Kinds) -> Kinds:
    absent = frozenset({UnsetType})
    return {name: one.get(name, absent) | other.get(name, absent) for name in one | other}

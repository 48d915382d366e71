"""Decoding by learned layouts, compiled: JSON bytes to columns, without an object for each value.

An optional extra: without the module ``stream_monitor_native`` (``pip install ./native``) everything is as it
is with it, at a multiple of the cost. What it yields equals what the general path would, which is its oracle
in the tests: an event in which it finds anything out of the ordinary is left to the other paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from stream_monitor import native
from stream_monitor.codecs.columns import agreed, is_numeric, texts_column
from stream_monitor.codecs.later import Later
from stream_monitor.codecs.parts import Signals
from stream_monitor.codecs.typed import Layout
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.events import Column, Int64s, JsonType
from stream_monitor.summary.vocabulary import Texts, Vocabulary

_TYPES = tuple(JsonType)

RawColumn = tuple[int | bytes, bytes | None, bytes | None]
"""The type of all rows or their types, numbers (float64) and codes of texts (int64)."""
RawTable = tuple[int, bytes, list[RawColumn], list[RawColumn]]
"""The events of one layout: its number, their places, and their columns."""


class RawIds(Protocol):
    usable: bool

    def tolist(self) -> list[str | None]: ...


class Kernel(Protocol):
    """The class of that name in the module."""

    def __init__(self, names: list[tuple[str, str]]) -> None: ...

    def learn(self, model: str, features: list[str], outputs: list[str]) -> int: ...

    def forget_texts(self) -> None: ...

    def decode(
        self,
        values: list[bytes | None],
        encode: Callable[[list[str]], list[int]],
        is_passed: Callable[[str, bool], bool],
    ) -> dict[str, Any]: ...


def installed() -> type[Kernel] | None:
    """Give the kernel, None where the module is missing or of another form."""
    module = native.installed()
    return None if module is None else cast("type[Kernel]", module.Kernel)


@dataclass(frozen=True, slots=True)
class _Known:
    """A layout as the kernel knows it, by a number of its own."""

    layout: Layout
    features: list[str]
    outputs: list[str]


class NativeDecoder:
    """Decodes events by the layouts that a TypedDecoder learned, but of arrays, to columns.

    Other than there, a signal of a layout may be missing or of any type but an array or an object. Memory:
    of the layouts, of the texts of one vocabulary, and of the columns of one batch.
    """

    def __init__(self, kernel: type[Kernel], names: Mapping[str, str], wanted: Wanted | None = None) -> None:
        self._kernel = kernel(list(names.items()))
        self._wanted = wanted
        self._known: dict[int, _Known] = {}
        self._learned: dict[str, Layout] = {}
        self._vocabulary: Vocabulary | None = None

    def learn(self, layouts: Mapping[str, Layout]) -> None:
        """Take the layouts that are known now. Cost: of those that are new or have changed."""
        for model, layout in layouts.items():
            if self._learned.get(model) is layout:
                continue
            self._learned[model] = layout
            if not (layout.features.has_arrays or layout.outputs.has_arrays):
                features = self._read(layout.features.kinds, of_features=True)
                outputs = self._read(layout.outputs.kinds, of_features=False)
                number = self._kernel.learn(model, features, outputs)
                self._known[number] = _Known(layout, features, outputs)

    def decode(self, values: Sequence[bytes | None], vocabulary: Vocabulary) -> tuple[NativePart, list[int]]:
        """Decode each value alone: those that fit, and the places of the others."""
        if vocabulary is not self._vocabulary:
            self._kernel.forget_texts()
            self._vocabulary = vocabulary
        found = self._kernel.decode(
            values if type(values) is list else list(values),
            lambda texts: vocabulary.encode(texts).codes.tolist(),
            self._is_passed,
        )
        return NativePart(found, self._known, vocabulary), np.frombuffer(found["missed"], np.int64).tolist()

    def _read(self, names: Iterable[str], *, of_features: bool) -> list[str]:
        return [name for name in names if not self._is_passed(name, of_features)]

    def _is_passed(self, name: str, of_features: bool) -> bool:  # noqa: FBT001 (the kernel calls by position)
        """Tell of a name whether its value is passed over, since nobody wants it."""
        if self._wanted is None:
            return False
        read = self._wanted.features if of_features else self._wanted.outputs
        return not read({name: None})


class NativePart:
    """Events as the kernel gives them: the arrays of all of them, and the columns of each layout."""

    def __init__(self, found: dict[str, Any], known: Mapping[int, _Known], vocabulary: Vocabulary) -> None:
        self.record = np.frombuffer(found["record"], np.int64)
        self.row = np.zeros(len(self.record), np.int64)
        self.stream = np.frombuffer(found["stream"], np.int64)
        self._ids: RawIds = found["ids"]
        self._streams: list[tuple[int, str | None, str | None]] = found["streams"]
        self._time = np.frombuffer(found["time"], np.int64)
        self._time_texts: list[tuple[int, str]] = found["time_texts"]
        self._tables: dict[int, RawTable] = {table[0]: table for table in found["tables"]}
        self._known = known
        self._vocabulary = vocabulary
        # Asked of the vocabulary once, rather than of the texts of each column.
        self._has_numeric = bool(vocabulary.each(is_numeric, np.bool_).any())

    @property
    def streams(self) -> list[tuple[str, str | None, str | None]]:
        """Model, version and role of the distinct streams, which ``stream`` (n,) counts."""
        return [(self._known[layout].layout.model, version, role) for layout, version, role in self._streams]

    @property
    def ids_are_usable(self) -> bool:
        """Whether each event has one that is neither empty nor too long."""
        return self._ids.usable

    def field(self, name: str) -> Sequence[Any]:
        """As Part has it; the time as an array where no event says it in words."""
        match name:
            case "time":
                return self._times()
            case "id":
                return Later(len(self.record), self._ids.tolist)
            case _:
                at = ("model", "version", "role").index(name)
                values = [stream[at] for stream in self.streams]
                return [values[stream] for stream in self.stream.tolist()]

    def _times(self) -> Sequence[Any]:
        if not self._time_texts:
            return cast("Sequence[Any]", self._time)
        times: list[Any] = self._time.tolist()
        for event, text in self._time_texts:
            times[event] = text
        return times

    def signals(self, places: Int64s) -> Iterator[Signals]:
        """As Part has it."""
        layout, of_table, features, outputs = self._tables[self._streams[self.stream[places[0]]][0]]
        mine = np.frombuffer(of_table, np.int64)
        index = None if len(mine) == len(places) else np.searchsorted(mine, places)
        known = self._known[layout]
        yield Signals(
            places,
            dict(self._columns(known.features, features, index)),
            dict(self._columns(known.outputs, outputs, index)),
        )

    def _columns(
        self, names: list[str], raw: list[RawColumn], index: Int64s | None
    ) -> Iterator[tuple[str, Column]]:
        for name, (types, numbers, codes) in zip(names, raw, strict=True):
            if types != JsonType.ABSENT:
                column = _column(
                    _TYPES[types] if isinstance(types, int) else _array(types, np.uint8, index),
                    None if numbers is None else _array(numbers, np.float64, index),
                    None if codes is None else Texts(self._vocabulary, _array(codes, np.int64, index)),
                    has_numeric=self._has_numeric,
                )
                if column.types is not JsonType.ABSENT:
                    yield name, column


def _array(data: bytes, dtype: type[Any], index: Int64s | None) -> NDArray[Any]:
    values = np.frombuffer(data, dtype)
    return values if index is None else values[index]


def _column(
    types: NDArray[np.uint8] | JsonType,
    numbers: NDArray[np.float64] | None,
    texts: Texts | None,
    *,
    has_numeric: bool,
) -> Column:
    """Type a column, strings that are numbers among them, as columns.column does.

    ``has_numeric``: whether the vocabulary of the texts has one that is a number.
    """
    if texts is None or not has_numeric:
        return Column(types if isinstance(types, JsonType) else agreed(types), numbers, texts)
    of_texts = texts_column(texts)
    if types is JsonType.STRING:
        return of_texts
    if of_texts.numbers is not None:
        numbers = of_texts.numbers if numbers is None else of_texts.numbers + numbers
        types = np.where(of_texts.types == JsonType.NUMERIC_STRING, JsonType.NUMERIC_STRING, types)
        types = types.astype(np.uint8)
    return Column(types if isinstance(types, JsonType) else agreed(types), numbers, texts)

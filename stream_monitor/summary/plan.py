"""How the columns of a batch are summarised: everything about them that does not depend on values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Column, Float64s, Int64s, JsonType
from stream_monitor.summary.shape import Kind, Shape, SignalShape

MIXED: Final = len(JsonType)
"""In the place of a JSON type: the rows of a column differ in it."""

_NUMERIC = (JsonType.NUMBER, JsonType.NUMERIC_STRING)
_TEXTUAL = (JsonType.NUMERIC_STRING, JsonType.STRING, JsonType.BOOL)
_NEVER_EXPECTED = (JsonType.ARRAY, JsonType.OBJECT)

Index = slice | Int64s
Table = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """Which rows of a block belong together: ``index`` takes them from a column, cell by cell.

    ``sizes`` (C,), none of them 0: how many rows each cell has; ``starts`` (C,): after how many it begins.
    """

    index: Index
    sizes: Int64s
    starts: Int64s

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True, slots=True)
class Ranges:
    """The declared ranges, (S,); infinite where there is none. ``declared`` (S,) says where there is one."""

    declared: Table
    lowest: Float64s
    highest: Float64s


@dataclass(frozen=True, slots=True)
class Grids:
    """The grids, (S,). ``declared`` (S,) says where there is one."""

    declared: Table
    center: Float64s
    unit: Float64s


@dataclass(frozen=True, slots=True)
class Plan:
    """For the ``signals`` (ascending) of those columns that are summarised; arrays run along them.

    ``numeric``, ``textual`` and ``wrong`` (S, MIXED + 1) say by JSON type what counts as a number, as a
    category value, and as a wrong type; for MIXED nothing does.
    """

    signals: tuple[str, ...]
    shapes: tuple[SignalShape, ...]
    signal_limit: int
    declared: Table
    numeric: Table
    textual: Table
    wrong: Table
    center: Float64s | None
    ranges: Ranges | None
    grids: Grids | None

    @classmethod
    def of(cls, shape: Shape, kind: Kind, names: Iterable[str]) -> Plan:
        """Cost: a few microseconds a signal; keep it for as long as columns stay the same."""
        watched = {name: one for name in sorted(names) if (one := shape.signal(kind, name)).watch}
        shapes = tuple(watched.values())
        centers = np.array([one.center or 0.0 for one in shapes])
        return cls(
            signals=tuple(watched),
            shapes=shapes,
            signal_limit=shape.max_signals,
            declared=np.array([one.declared for one in shapes], np.bool_),
            numeric=_table([_numeric(one) for one in shapes]),
            textual=_table([_textual(one) for one in shapes]),
            wrong=_table([_wrong(one) for one in shapes]),
            center=centers if centers.any() else None,
            ranges=_ranges(shapes),
            grids=_grids(shapes),
        )


@lru_cache(maxsize=256)
def plan_of(shape: Shape, kind: Kind, names: tuple[str, ...]) -> Plan:
    """``Plan.of``, remembered: columns mostly stay the same from batch to batch."""
    return Plan.of(shape, kind, names)


def types_of(columns: Sequence[Column]) -> list[int]:
    """The JSON type of each column, or MIXED."""
    return [column.types if isinstance(column.types, JsonType) else MIXED for column in columns]


def types_in(column: Column, cells: Cells) -> NDArray[np.uint8]:
    """The JSON type of each row of a column, cell by cell."""
    if isinstance(column.types, JsonType):
        return np.full(int(cells.sizes.sum()), column.types, np.uint8)
    return column.types[cells.index]


def starts_of(lengths: Int64s) -> Int64s:
    """Where each of the segments that follow one another begins."""
    return lengths.cumsum() - lengths


def _numeric(signal: SignalShape) -> tuple[JsonType, ...]:
    if signal.type == "category":
        return ()
    return (JsonType.NUMBER,) if signal.strict else _NUMERIC


def _textual(signal: SignalShape) -> tuple[JsonType, ...]:
    if signal.type == "number":
        return ()
    return (*_TEXTUAL, JsonType.NUMBER) if signal.type == "category" else _TEXTUAL


def _wrong(signal: SignalShape) -> tuple[JsonType, ...]:
    if signal.type != "number":
        return _NEVER_EXPECTED
    texts = _TEXTUAL if signal.strict else (JsonType.STRING, JsonType.BOOL)
    return (*_NEVER_EXPECTED, *texts)


def _table(types: Iterable[tuple[JsonType, ...]]) -> Table:
    rows = [[one in chosen for one in range(MIXED + 1)] for chosen in types]
    return np.array(rows, np.bool_).reshape(-1, MIXED + 1)


def _ranges(shapes: Sequence[SignalShape]) -> Ranges | None:
    bounds = np.array([one.range or (-np.inf, np.inf) for one in shapes], np.float64).reshape(-1, 2)
    declared = np.array([one.range is not None for one in shapes], np.bool_)
    return Ranges(declared, bounds[:, 0], bounds[:, 1]) if declared.any() else None


def _grids(shapes: Sequence[SignalShape]) -> Grids | None:
    center = np.array([one.grid.center if one.grid else 0.0 for one in shapes], np.float64)
    unit = np.array([one.grid.unit if one.grid else 1.0 for one in shapes], np.float64)
    declared = np.array([one.grid is not None for one in shapes], np.bool_)
    return Grids(declared, center, unit) if declared.any() else None

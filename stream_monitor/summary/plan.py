"""How the columns of a batch are summarised: everything about them that does not depend on values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s, JsonType
from stream_monitor.summary.categories import bounded
from stream_monitor.summary.shape import Kind, Shape, SignalShape

NUMERIC = (JsonType.NUMBER, JsonType.NUMERIC_STRING)
TEXTUAL = (JsonType.NUMERIC_STRING, JsonType.STRING, JsonType.BOOL)

_NEVER_EXPECTED = (JsonType.ARRAY, JsonType.OBJECT)


@dataclass(frozen=True, slots=True)
class Plan:
    """For the ``signals`` (ascending) of those columns that are summarised; arrays run along them.

    ``numeric``, ``textual`` and ``wrong`` (S, len(JsonType)) say by JSON type what counts as a number, as a
    category value, and as a wrong type. Of ``unnamed`` columns values are only counted, as dropped: they
    are undeclared, and their names too long to keep.
    """

    signals: tuple[str, ...]
    shapes: tuple[SignalShape, ...]
    unnamed: tuple[str, ...]
    signal_limit: int
    declared: NDArray[np.bool_]
    numeric: NDArray[np.bool_]
    textual: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    center: Float64s | None
    ranged: NDArray[np.bool_]
    lowest: Float64s
    highest: Float64s
    gridded: NDArray[np.bool_]
    grid_center: Float64s
    grid_unit: Float64s

    @classmethod
    def of(cls, shape: Shape, kind: Kind, names: Iterable[str]) -> Plan:
        """Cost: a few microseconds a signal; keep it for as long as columns stay the same."""
        known = {name: shape.signal(kind, name) for name in sorted(names)}
        unnamed = tuple(name for name, one in known.items() if not one.declared and bounded(name) != name)
        watched = {name: one for name, one in known.items() if one.watch and name not in unnamed}
        shapes = tuple(watched.values())
        ranges = [one.range or (-np.inf, np.inf) for one in shapes]
        centers = np.array([one.center or 0.0 for one in shapes])
        return cls(
            signals=tuple(watched),
            shapes=shapes,
            unnamed=unnamed,
            signal_limit=shape.max_signals,
            declared=np.array([one.declared for one in shapes], np.bool_),
            numeric=_table([_numeric(one) for one in shapes]),
            textual=_table([_textual(one) for one in shapes]),
            wrong=_table([_wrong(one) for one in shapes]),
            center=centers if centers.any() else None,
            ranged=np.array([one.range is not None for one in shapes], np.bool_),
            lowest=np.array([low for low, _ in ranges], np.float64),
            highest=np.array([high for _, high in ranges], np.float64),
            gridded=np.array([one.grid is not None for one in shapes], np.bool_),
            grid_center=np.array([one.grid.center if one.grid else 0.0 for one in shapes], np.float64),
            grid_unit=np.array([one.grid.unit if one.grid else 1.0 for one in shapes], np.float64),
        )


@lru_cache(maxsize=256)
def plan_of(shape: Shape, kind: Kind, names: tuple[str, ...]) -> Plan:
    """``Plan.of``, remembered: columns mostly stay the same from batch to batch."""
    return Plan.of(shape, kind, names)


def _numeric(signal: SignalShape) -> Iterable[JsonType]:
    if signal.type == "category":
        return ()
    return (JsonType.NUMBER,) if signal.strict else NUMERIC


def _textual(signal: SignalShape) -> Iterable[JsonType]:
    if signal.type == "number":
        return ()
    return (*TEXTUAL, JsonType.NUMBER) if signal.type == "category" else TEXTUAL


def _wrong(signal: SignalShape) -> Iterable[JsonType]:
    if signal.type != "number":
        return _NEVER_EXPECTED
    texts = TEXTUAL if signal.strict else (JsonType.STRING, JsonType.BOOL)
    return (*_NEVER_EXPECTED, *texts)


def _table(types: Iterable[Iterable[JsonType]]) -> NDArray[np.bool_]:
    return np.array([[one in chosen for one in JsonType] for chosen in types], np.bool_).reshape(
        -1, len(JsonType)
    )


def segment_starts(lengths: Int64s) -> Int64s:
    """Where each of the segments that follow one another begins."""
    return np.cumsum(lengths) - lengths

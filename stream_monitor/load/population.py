"""Where the values of events come from: columns of features and outputs, healthy or drifted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

LEFT_OUT: Final = object()
"""In a column: the event does not have this name at all."""

Columns = dict[str, list[Any]]
"""By name the JSON values of n events; the first feature is in every event."""

NULL_SHARE, LEFT_OUT_SHARE = 0.02, 0.02
CLASSES = ("accept", "review", "decline")
CLASS_BOUNDS = (0.6, 0.8)
_DRIFT_SD = 0.5
_DRIFTING_IN = 5


class Population(Protocol):
    """What a load draws its events from.

    Of one state of ``random`` the healthy and the drifted columns differ in those signals alone that drift.
    """

    def features(self, random: np.random.Generator, n: int, *, drifted: bool) -> Columns:
        """The features of n events."""

    def outputs(self, random: np.random.Generator, n: int, *, drifted: bool) -> Columns:
        """The outputs of n events."""


class Synthetic:
    """``features`` features, of which the last ``categories`` are texts of ``cardinality`` values.

    Numbers are of seven kinds in turn (amounts, counts, shares, ...); of values of a category the first are
    frequent, as by Zipf's law. Every third feature is null at times, and every third left out at times. Drift
    moves each fifth number by half a standard deviation, makes the last value of each fifth category the most
    frequent one, and raises the score.
    """

    def __init__(self, features: int = 20, categories: int = 4, cardinality: int = 50) -> None:
        self._numbers = features - categories
        self._names = [f"{_KINDS[at % len(_KINDS)][0]}_{at}" for at in range(self._numbers)]
        self._names += [f"category_{at}" for at in range(self._numbers, features)]
        self._values = np.array([f"value-{number}" for number in range(cardinality)])
        weights = 1 / np.arange(1, cardinality + 1)
        self._bounds = np.cumsum(weights / weights.sum())[:-1]

    def features(self, random: np.random.Generator, n: int, *, drifted: bool) -> Columns:
        columns: Columns = {}
        for at, name in enumerate(self._names):
            moves = drifted and at % _DRIFTING_IN == 0
            draw = self._number if at < self._numbers else self._category
            column = draw(random, n, at, moves=moves)
            gaps = random.random(n)
            if at % 3 == 1:
                _put(column, gaps < NULL_SHARE, None)
            elif at % 3 == 2:
                _put(column, gaps < LEFT_OUT_SHARE, LEFT_OUT)
            columns[name] = column
        return columns

    def outputs(self, random: np.random.Generator, n: int, *, drifted: bool) -> Columns:
        score = random.beta(3.0 if drifted else 2.0, 5.0, n).round(5)
        classes = np.array(CLASSES)[np.digitize(score, CLASS_BOUNDS)]
        return {"score": score.tolist(), "class": classes.tolist()}

    def _number(self, random: np.random.Generator, n: int, at: int, *, moves: bool) -> list[Any]:
        _, draw, digits = _KINDS[at % len(_KINDS)]
        column = draw(random, n)
        if moves:
            column = column + _DRIFT_SD * column.std()
        column = column.round(digits)
        return list((column if digits else column.astype(np.int64)).tolist())

    def _category(self, random: np.random.Generator, n: int, _at: int, *, moves: bool) -> list[Any]:
        code = np.searchsorted(self._bounds, random.random(n))
        return list(self._values[len(self._values) - 1 - code if moves else code].tolist())


def _put(column: list[Any], where: NDArray[np.bool_], value: object) -> None:
    for row in np.flatnonzero(where).tolist():
        column[row] = value


_Draw = Callable[[np.random.Generator, int], NDArray[Any]]
_KINDS: list[tuple[str, _Draw, int]] = [
    ("amount", lambda random, n: random.lognormal(3.5, 0.9, n), 2),
    ("balance", lambda random, n: random.normal(1800, 950, n), 2),
    ("share", lambda random, n: random.beta(2, 5, n), 4),
    ("count", lambda random, n: random.poisson(6, n), 0),
    ("days", lambda random, n: random.exponential(400, n), 1),
    ("score", lambda random, n: random.normal(0, 1, n), 5),
    ("kelvin", lambda random, n: random.normal(290, 6, n), 2),
]
"""Name, distribution and digits after the point (0: whole numbers)."""

"""Which figures of quality are worse than in the reference: beyond a margin, and beyond their own noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stream_monitor.quality.figures import Figure

NOISE_SDS = 3.0
"""A figure is worse only where it is beyond the margin by this many standard errors."""
SDS_MAX = 1e6
"""Said where figures without any noise differ."""
JUDGED = (
    *("mae", "rmse", "mean_error", "mape", "above"),
    *("accuracy", "log_loss", "brier", "roc_auc", "f1", "precision", "recall", "recall_macro"),
)
"""The figures that are compared with the reference, those of them that an output has; the first is told."""


class Worse(NamedTuple):
    """A figure that is worse than in the reference; ``sds``: beyond the margin by so many standard errors."""

    name: str
    now: Figure
    then: Figure
    margin: float
    sds: float


def worse(now: Mapping[str, Figure], then: Mapping[str, Figure], margin: float) -> Iterator[Worse]:
    """The figures that are worse than in the reference by more than ``margin``, a share of what they were.

    A bias has no size of its own: its margin is a share of the mean absolute error.
    """
    for name in JUDGED:
        one, other = now.get(name), then.get(name)
        if one is None or other is None:
            continue
        if None in (one.value, other.value, one.standard_error, other.standard_error):
            continue
        by = margin * abs(value_of(then["mae"] if one.worse == "farther" else other))
        noise = math.hypot(one.standard_error or 0.0, other.standard_error or 0.0)
        beyond = _by_how_much(one, other) - by
        if beyond > NOISE_SDS * noise and beyond > 0:
            yield Worse(name, one, other, by, beyond / noise if noise else SDS_MAX)


def _by_how_much(now: Figure, then: Figure) -> float:
    """How much worse it is, in its own unit."""
    if now.worse == "farther":
        return abs(value_of(now)) - abs(value_of(then))
    return value_of(now) - value_of(then) if now.worse == "higher" else value_of(then) - value_of(now)


def value_of(figure: Figure) -> float:
    """NaN where it is not defined."""
    return math.nan if figure.value is None else figure.value

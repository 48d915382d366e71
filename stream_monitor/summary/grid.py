"""Exact sums of numbers on the grid that a reference file gives: integers of a stated unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_monitor.events import Float64s

STEPS_MAX = (1 << 19) - 1
"""Farther from the center than this many units, a number is clipped (and counted as that)."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where integers stand for numbers: number = center + unit * integer. The unit is a power of two."""

    center: float
    unit: float


def steps_of(values: Float64s, center: Float64s, unit: Float64s) -> Float64s:
    """Whole units from the center, not clipped yet, float64 (n,). Equal on every machine: IEEE only."""
    with np.errstate(over="ignore"):
        steps = values - center
        steps /= unit
    return np.rint(steps, out=steps)

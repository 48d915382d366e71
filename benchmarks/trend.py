"""Whether a series stays where it is: the slope of a straight line through it, against its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCKS = 12
ERRORS = 3.0
SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Trend:
    """Of a series between two times. ``growth`` is that of the line from the first to the last of them,
    ``error`` its standard error, in the unit of the series; ``room`` is what counts as nothing.
    """

    mean: float
    growth: float
    error: float
    room: float

    @property
    def is_flat(self) -> bool:
        """It grows if the line rises by three standard errors *and* by more than the room."""
        return self.growth <= max(ERRORS * self.error, self.room)

    def text(self) -> str:
        verdict = "flat" if self.is_flat else "GROWS"
        return f"{verdict}: mean {self.mean:,.4g}, {self.growth:+,.3g} ± {self.error:,.2g}"


def trend(times_s: Sequence[float], values: Sequence[float], floor: float) -> Trend:
    """Least squares through the means of BLOCKS equal spans: samples that follow each other are alike, and
    would make the error too small. The room is ``floor`` or 2 % of the mean, the larger.
    """
    known = [(time_s, one) for time_s, one in zip(times_s, values, strict=True) if not math.isnan(one)]
    if len(known) < BLOCKS:
        raise ValueError(f"expected at least {BLOCKS} samples to judge, got {len(known)}")
    blocks = np.array_split(np.array(known, np.float64), BLOCKS)
    at, mean = np.array([block.mean(axis=0) for block in blocks]).T
    off = at - at.mean()
    slope = (off @ mean) / (off @ off)
    left = mean - mean.mean() - slope * off
    error = math.sqrt((left @ left) / (BLOCKS - 2) / (off @ off))
    span_s = known[-1][0] - known[0][0]
    average = float(mean.mean())
    return Trend(average, float(slope * span_s), error * span_s, max(floor, SHARE * abs(average)))

"""Closed slices to scores: one check a file. ALL is what every subject is watched by, in order."""

from stream_monitor.checks.base import Check
from stream_monitor.checks.category import Category
from stream_monitor.checks.numeric import Numeric
from stream_monitor.checks.rates import MISSING, NOT_FINITE, OUT_OF_RANGE, WRONG_TYPE, Rates

ALL: tuple[Check, ...] = (
    Numeric(),
    Category(),
    Rates(MISSING, WRONG_TYPE, OUT_OF_RANGE, NOT_FINITE),
)

__all__ = ["ALL", "Check"]

"""The columns of counts and integer sums that a summary keeps for each signal."""

from __future__ import annotations

from enum import IntEnum

from stream_monitor.events import Int64s

ROWS_MAX = 1 << 44
"""Rows that one summary can hold before a sum could leave int64: 17 trillion in one slice."""


class Count(IntEnum):
    """The columns of ``Summary.counts``.

    NULL to OBJECT are values by JSON type (absent: rows less their sum). NAN and INF are of those that
    count as numbers. WRONG_TYPE and OUT_OF_RANGE are judged by the configuration. FINE_* are sums of the
    fine codes of the finite numbers, GRID_* of their whole steps on the reference's grid. A sum of
    squares is HIGH * 2^32 + LOW with 0 <= LOW < 2^32.
    """

    NULL = 0
    NUMBER = 1
    NUMERIC_STRING = 2
    STRING = 3
    BOOL = 4
    ARRAY = 5
    OBJECT = 6
    NAN = 7
    INF = 8
    WRONG_TYPE = 9
    OUT_OF_RANGE = 10
    GRID_CLIPPED = 11
    FINE_SUM = 12
    GRID_SUM = 13
    FINE_SQUARES_HIGH = 14
    GRID_SQUARES_HIGH = 15
    FINE_SQUARES_LOW = 16
    GRID_SQUARES_LOW = 17


TYPES = slice(Count.NULL, Count.OBJECT + 1)
PLAIN = slice(Count.NULL, Count.GRID_CLIPPED + 1)
HIGH = slice(Count.FINE_SQUARES_HIGH, Count.GRID_SQUARES_HIGH + 1)
LOW = slice(Count.FINE_SQUARES_LOW, Count.GRID_SQUARES_LOW + 1)
LOW_BITS = 32


def carry_squares(counts: Int64s) -> None:
    """Bring every sum of squares in ``counts`` (..., len(Count)) into its one form, in place."""
    low = counts[..., LOW]
    counts[..., HIGH] += low >> LOW_BITS
    low &= (1 << LOW_BITS) - 1

"""Sums of float64 without any rounding: integers in units of 2^-1074, of which every float64 has whole ones.

Values are sorted into one bin an exponent, where their 53 bits of mantissa add up as two halves, which no sum
of 2^26 values can lift out of float64. (The pre-rounding of Demmel and Nguyen 2013 keeps one such bin; all of
them are a few shifts more, and the sum is exact whatever the values.)
"""

from __future__ import annotations

import math

import numpy as np

from stream_monitor.errors import FormatError
from stream_monitor.events import Float64s, Int64s

UNIT_EXPONENT = -1074
BITS_MAX = 2_200
"""No sum of 2^44 numbers, which is as many as are counted, has more."""

_MANTISSA_BITS = 53
_LOW_BITS = 27
_ROWS_MAX = 1 << 26
_DENSE_RATIO = 8
"""Bins for every exponent of every slot pay while they are at most so many times the values."""


def exact_sum(values: Float64s, signs: Int64s | None = None) -> int:
    """The sum of finite numbers (n,), each times its sign, in units of 2^-1074.

    >>> exact_sum(np.array([0.1, 1e300, -1e300])) == exact_sum(np.array([0.1]))
    True
    """
    return exact_sums(values, signs, np.zeros(len(values), np.int64), 1)[0]


def exact_sums(values: Float64s, signs: Int64s | None, slot: Int64s, slots: int) -> list[int]:
    """One sum a slot; value i belongs to ``slot[i]``, in 0..slots-1. Signs are -1 or 1.

    Cost: 10 ns a value, and 0.5 us for each exponent found in a slot.
    """
    totals = [0] * slots
    for first in range(0, len(values), _ROWS_MAX):
        part = slice(first, first + _ROWS_MAX)
        _add(totals, values[part], None if signs is None else signs[part], slot[part])
    return totals


def _add(totals: list[int], values: Float64s, signs: Int64s | None, slot: Int64s) -> None:
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, _MANTISSA_BITS).astype(np.int64)
    if signs is not None:
        mantissa *= signs
    lowest = int(exponent.min())
    width = int(exponent.max()) - lowest + 1
    place = slot * width + (exponent - lowest)
    found = np.arange(len(totals) * width)
    if len(found) > _DENSE_RATIO * len(values):
        found, place = np.unique(place, return_inverse=True)
    high = np.bincount(place, mantissa >> _LOW_BITS, len(found)).astype(np.int64)
    low = np.bincount(place, mantissa & ((1 << _LOW_BITS) - 1), len(found)).astype(np.int64)
    for key, upper, lower in zip(found.tolist(), high.tolist(), low.tolist(), strict=True):
        if upper or lower:
            one, above = divmod(key, width)
            shift = above + lowest - _MANTISSA_BITS - UNIT_EXPONENT
            whole = (upper << _LOW_BITS) + lower
            # The mantissas of the least float64s end in zeros.
            totals[one] += whole << shift if shift >= 0 else whole >> -shift


def squares(values: Float64s) -> tuple[Float64s, Float64s]:
    """The squares of numbers without rounding: what float64 holds of each, and the rest of it.

    (Dekker 1971.) The rest is 0 beyond 2^498, where a square would leave float64, and below 2^-484.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        split = values * 134_217_729.0
        high = split - (split - values)
        low = values - high
        square = bounded(values * values)
        rest = low * low - ((square - high * high) - 2 * (high * low))
    return square, np.where(np.abs(values) < 2.0**498, np.where(np.abs(values) > 2.0**-484, rest, 0.0), 0.0)


def bounded(values: Float64s) -> Float64s:
    """With the largest float64 in place of what is beyond it: a sum of infinities could not be taken back."""
    return np.nan_to_num(values, copy=False)


def to_float(total: int) -> float:
    """The nearest float64; infinite where there is none."""
    try:
        return total / (1 << -UNIT_EXPONENT)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def to_bytes(number: int) -> bytes:
    """Of an integer of BITS_MAX bits at most: none for 0, else shift and sign in two, then the odd rest."""
    if number == 0:
        return b""
    size = abs(number)
    shift = (size & -size).bit_length() - 1
    odd = size >> shift
    assert size.bit_length() <= BITS_MAX, size
    header = (shift << 1) | (number < 0)
    return header.to_bytes(2, "big") + odd.to_bytes((odd.bit_length() + 7) // 8, "big")


def from_bytes(data: bytes) -> int:
    """What ``to_bytes`` wrote. FormatError where it did not."""
    if not data:
        return 0
    header = int.from_bytes(data[:2], "big")
    odd, shift = int.from_bytes(data[2:], "big"), header >> 1
    if odd % 2 == 0 or data[2] == 0 or odd.bit_length() + shift > BITS_MAX:
        raise FormatError(f"quality: damaged: no exact sum in {len(data)} bytes")
    number = odd << shift
    return -number if header & 1 else number

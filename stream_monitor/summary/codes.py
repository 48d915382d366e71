"""Integer codes of numbers: monotone, without calibration, equal on every machine.

A number becomes float32, and the bits of that a *fine code*: sign, exponent and 12 mantissa bits (the
upper part of a code of 20, which is all that sums can carry without leaving int64). Seven bits less
make the *bin* of a histogram with a relative error of at most 1/64. The same idea as DDSketch's bitwise
mapping (Masson, Rim, Lee 2019, section 2.2), HdrHistogram and Prometheus native histograms.

Magnitudes below 2^-30 share the smallest code, those from 2^63 on the largest ("overflow"); zero has a
code of its own, and -0.0 is zero. NaN and infinity have none: tell them apart before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s

Int32s = NDArray[np.int32]

EXPONENT_MIN = -30
EXPONENT_MAX = 63
FINE_PER_OCTAVE = 1 << 12
BINS_PER_OCTAVE = 1 << 5

OCTAVES = EXPONENT_MAX - EXPONENT_MIN
FINE_MAX = OCTAVES * FINE_PER_OCTAVE + 1
"""The fine code of an overflow; -FINE_MAX <= fine code <= FINE_MAX."""

ZERO_BIN = OCTAVES * BINS_PER_OCTAVE + 1
BINS = 2 * ZERO_BIN + 1
"""Bins 0 and BINS - 1 hold overflows, ZERO_BIN holds zero."""

_MAGNITUDE = np.int32(0x7FFFFFFF)
_DROPPED_BITS = np.int32(11)
_FIRST_CODE = np.int32((127 + EXPONENT_MIN) * FINE_PER_OCTAVE - 1)
_FINE_TO_BIN_BITS = np.int32(7)
_ROUND_UP = np.int32((1 << 7) - 1)


def fine_codes(values: NDArray[np.floating]) -> Int32s:
    """Fine codes, int32 (n,), of finite numbers; monotone, and odd: code(-x) = -code(x).

    Cost: about 5 ns a value; most of it is memory traffic, so blocks should fit the L2 cache.
    """
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32, copy=False).view(np.int32)
    magnitude = bits & _MAGNITUDE
    codes = magnitude >> _DROPPED_BITS
    codes -= _FIRST_CODE
    np.minimum(codes, np.int32(FINE_MAX), out=codes)
    np.maximum(codes, np.minimum(magnitude, np.int32(1)), out=codes)
    sign = bits >> np.int32(31)
    codes ^= sign
    codes -= sign
    return codes


def bins_of(codes: Int32s) -> Int32s:
    """The bins, int32 (n,) in 0..BINS-1, of fine codes. Monotone."""
    sign = codes >> np.int32(31)
    bins = codes + (_ROUND_UP & ~sign)
    bins >>= _FINE_TO_BIN_BITS
    bins += np.int32(ZERO_BIN)
    return bins


def bin_value(bins: NDArray[np.integer]) -> Float64s:
    """A number that stands for each bin: within 1/64 of all that the bin holds, from 2^-30 to 2^63.

    Smaller ones are off by at most 2^-30; an overflow stands at its lower edge, 2^63.
    """
    place = np.asarray(bins, np.int64) - ZERO_BIN
    octave, step = np.divmod(np.abs(place) - 1, BINS_PER_OCTAVE)
    low = 1 + step / BINS_PER_OCTAVE
    high = low + 1 / BINS_PER_OCTAVE
    # The harmonic mean of the edges has the least relative error over the bin.
    inside = np.ldexp(2 * low * high / (low + high), octave + EXPONENT_MIN)
    magnitude = np.where(octave >= OCTAVES, 2.0**EXPONENT_MAX, inside)
    return np.where(place == 0, 0.0, np.copysign(magnitude, place))

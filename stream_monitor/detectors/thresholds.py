"""How far the mean of a window strays by chance: thresholds that follow from a run length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from stream_monitor.detectors.base import Float64s

HEIGHT_MIN, HEIGHT_MAX = 2.0, 40.0
_HALVINGS = 50


def height(turnover: ArrayLike, rate: ArrayLike) -> Float64s:
    """What a window that is looked at again and again newly passes, up or down, ``rate`` times a look.

    In its standard deviations. ``turnover`` is 1 - the correlation of two successive looks: neighbours nearly
    agree, so upcrossings count and not looks. Both broadcast; at least HEIGHT_MIN.
    """
    share, wanted = np.broadcast_arrays(np.asarray(turnover, np.float64), np.asarray(rate, np.float64))
    low, high = np.full(share.shape, HEIGHT_MIN), np.full(share.shape, HEIGHT_MAX)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        often = upcrossings(middle, share) > wanted
        low, high = np.where(often, middle, low), np.where(often, high, middle)
    return high


def upcrossings(height: Float64s, turnover: Float64s) -> Float64s:
    """How often a look newly finds Gaussian noise beyond +-height.

    Source: Siegmund and Venkatraman, Using the generalized likelihood ratio statistic for sequential
    detection of a change-point, Ann. Statist. 23, 1995, of whose 1 / w the turnover takes the place.
    """
    density = np.exp(-height * height / 2) / np.sqrt(2 * np.pi)
    rate: Float64s = 2 * height * density * turnover * overshoot(height * np.sqrt(2 * turnover))
    return rate


def overshoot(x: Float64s) -> Float64s:
    """What steps that are not small leave of the rate: 1 at 0, about exp(-.583 x).

    Source: Siegmund and Yakir, The Statistics of Gene Mapping, 2007, section 5.2.
    """
    half = np.maximum(x, 1e-8) / 2
    density = np.exp(-half * half / 2) / np.sqrt(2 * np.pi)
    found: Float64s = (ndtr(half) - 0.5) / half / (half * ndtr(half) + density)
    return found


def of_estimate(height: Float64s, freedom: Float64s) -> Float64s:
    """The same height where the variance is an estimate, whose tails are those of Student's t."""
    with np.errstate(over="ignore"):
        higher: Float64s = np.sqrt(freedom * np.expm1(height * height / freedom))
    return higher

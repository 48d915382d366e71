"""How far the mean of a window strays by chance: thresholds that follow from a run length."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from stream_monitor.detectors.base import Float64s

HEIGHT_MIN, HEIGHT_MAX = 2.0, 40.0
OVERSHOOT = 1.166
EXCURSION_MAX = 1e4
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
    below = ndtr(half)
    found: Float64s = (below - 0.5) / half / (half * below + density)
    return found


def of_estimate(height: Float64s, freedom: Float64s) -> Float64s:
    """The same height where the variance is an estimate, whose tails are those of Student's t."""
    with np.errstate(over="ignore"):
        higher: Float64s = np.sqrt(freedom * np.expm1(height * height / freedom))
    return higher


def excursions(height: Float64s, allowance: Float64s) -> Float64s:
    """How often in a unit of time Brownian motion with drift -allowance rises by ``height`` from its least.

    Source: Siegmund, Sequential Analysis, 1985, equation 2.56. Steps that are not small rise as if the height
    was greater by OVERSHOOT.
    """
    y = 2.0 * allowance * height
    small = np.abs(y) < 1e-4
    safe = np.where(small, 1.0, np.clip(y, -500.0, 500.0))
    growth = np.where(small, 0.5 + y / 6.0, (np.expm1(safe) - safe) / safe**2)
    rate: Float64s = 1.0 / np.maximum(2.0 * height * height * growth, 1e-300)
    return rate


def excursion_height(rate: Float64s, allowance: float, error: Float64s, freedom: Float64s) -> Float64s:
    """What excursions up or down pass ``rate`` times a unit of time, (S,), where what is subtracted as the
    level has the variance ``error``, and the unit of height was estimated with so many degrees of freedom."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    weights = weights / weights.sum()
    shift = nodes[:, None, None] * np.sqrt(error)
    scale = np.exp(nodes[None, :, None] / np.sqrt(2.0 * np.maximum(freedom, 1.0)))
    low, high = np.zeros(rate.shape), np.full(rate.shape, EXCURSION_MAX)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        each = np.minimum(excursions(np.maximum(middle, 1e-6) / scale, (allowance - shift) / scale), 1.0)
        often = 2.0 * np.einsum("i,j,ijs->s", weights, weights, each) > rate
        low, high = np.where(often, middle, low), np.where(often, high, middle)
    return high

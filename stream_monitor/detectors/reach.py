"""The smallest shift that a scan would find in time, by the noise that it learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from stream_monitor.detectors.base import Float32s, Float64s
from stream_monitor.detectors.noise import Noise
from stream_monitor.detectors.rates import deviance, nearest
from stream_monitor.detectors.sums import SIZES

_HALVINGS = 40


def smallest_shift(
    noise: Noise,
    heights: Float32s,
    *,
    slices: Float64s,
    chance: float,
    dead: Float64s,
    share: NDArray[np.bool_],
) -> Float64s:
    """Of S signals the smallest lasting shift that is found within ``slices`` (S,) slices with events, with a
    probability of at least ``chance``, .5 or more; (S,), inf where there is none.

    ``heights``: of the scan (see Noise.heights), whose ``dead`` (S,) this is; ``share`` (S,): which signals
    are rates. Slices have as many events as those that were learned. A rate rises; one above a half falls.

    The mean of a window that lies after the shift is beyond its limit by ndtri(chance) of its standard
    deviations. Counted is the one window that asks for least, wherever its blocks happen to begin; others may
    find the shift, too, so the true probability is greater: .6 to .9 where .5 is asked for.

    Cost: O(levels W S).
    """
    block = 2.0 ** np.arange(noise.levels)[:, None, None]
    length = SIZES[:, None] * block
    # Until the last block is complete; and the first one begins up to a block after the shift.
    usable = (length + block - 1.0 <= slices) & np.isfinite(heights)
    n = np.maximum(length * noise.n / np.maximum(noise.slices, 1.0), 1e-9)
    moved = noise.between + noise.error
    variance = noise.within / n + moved
    limit, z = heights * variance, float(ndtri(chance))
    shift = np.sqrt(limit) + z * np.sqrt(variance) + dead
    if share.any():
        of = np.flatnonzero(share)
        null = nearest(noise.mean[of], noise.n[of], dead[of])
        shift[..., of] = _of_rates(
            noise.mean[of], null, noise.within[of], limit[..., of], n[..., of], moved[..., of], z
        )
    found: Float64s = np.where(usable, shift, np.inf).min(axis=(0, 1), initial=np.inf)
    return found


def _of_rates(
    level: Float64s,
    null: Float64s,
    within: Float64s,
    limit: Float64s,
    n: Float64s,
    moved: Float64s,
    z: float,
) -> Float64s:
    """How far a rate has to go until the deviance of its windows of ``n`` events passes ``limit``, inf where
    it never does; arrays (levels, W, s). By itself the rate of a window has the variance ``moved``."""
    sign = np.where(level <= 0.5, 1.0, -1.0)

    def passes(shift: Float64s) -> NDArray[np.bool_]:
        rate = level + sign * shift
        seen = rate - sign * z * np.sqrt(rate * (1.0 - rate) / n + moved)
        beyond: NDArray[np.bool_] = deviance(seen, null, within) > limit
        return beyond & (sign * (seen - level) > 0.0)

    low = np.zeros(limit.shape)
    farthest = np.broadcast_to(np.maximum(level, 1.0 - level), limit.shape)
    high = farthest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        enough = passes(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found: Float64s = np.where(passes(farthest), high, np.inf)
    return found

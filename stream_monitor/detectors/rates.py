"""Rates near 0 or 1, whose noise is not Gaussian: their deviance is."""

from __future__ import annotations

import numpy as np

from stream_monitor.detectors.base import Float64s

_TINY = 1e-200


def nearest(level: Float64s, n: Float64s, dead: Float64s) -> Float64s:
    """The least and the greatest rate (2, S) that is no change from one that was seen in n events."""
    least = 1.0 / np.maximum(n, 2.0)
    found: Float64s = np.clip(level + np.outer((-1, 1), dead), least, 1.0 - least)
    return found


def deviance(rate: Float64s, null: Float64s, within: Float64s) -> Float64s:
    """Twice the log likelihood ratio of rates (.., s) against the nearest of ``null`` (2, s), in squared
    deviations: times ``within``, the variance of an event."""
    rate = np.minimum(np.maximum(rate, 0.0), 1.0)
    least, most = null
    null = np.minimum(np.maximum(rate, least), most)
    misses = 1.0 - rate
    gain = rate * np.log(np.maximum(rate, _TINY) / null)
    gain += misses * np.log(np.maximum(misses, _TINY) / (1.0 - null))
    found: Float64s = 2.0 * np.maximum(gain, 0.0) * within
    return found

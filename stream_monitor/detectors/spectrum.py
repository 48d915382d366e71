"""How far the means of windows stray, from the spectrum of what they are means of."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from stream_monitor.detectors.base import Float64s, Int64s

TINY = 1e-200
EDGES = np.concatenate((np.linspace(0.0, 1e-3, 100, endpoint=False), np.geomspace(1e-3, np.pi, 1_500)))
"""Of a grid on 0..pi that is fine where memory is long."""


class Spread(NamedTuple):
    """Of the means of windows of W lengths, sliding over S series; arrays (W, S).

    ``variance``; ``turnover``: 1 - the correlation of a window with the next one looked at; ``freedom``: the
    degrees of freedom of ``variance`` as an estimate.
    """

    variance: Float64s
    turnover: Float64s
    freedom: Float64s


@lru_cache(maxsize=1)
def bins() -> tuple[Float64s, Float64s]:
    """Of the grid of frequencies the middle of each bin, and its width; read only."""
    return (EDGES[1:] + EDGES[:-1]) / 2, np.diff(EDGES)


def variance_of(density: Float64s, window: float) -> Float64s:
    """Of the mean of so many values whose spectrum at the middles of ``bins`` is ``density`` (F, S); never
    less than without memory, (S,)."""
    middle, width = bins()
    weights = np.concatenate((_kernel(np.array([window]), middle) * width, width[None]))
    variance, whole = products(weights, density)
    found: Float64s = np.maximum(variance, np.maximum(whole, TINY) / window)
    return found


def spread_of_density(
    density: Float64s, windows: Float64s | Int64s, steps: Float64s | Int64s, freedom: Float64s, length: int
) -> Spread:
    """Of windows of these lengths, each looked at every ``steps`` values; never less than without memory.

    The spectrum, ``density`` (F, S) at the middles of ``bins``, is seen through the filter that a mean is
    (Fejer's kernel). It was estimated from ``length`` values: freedom is that of a sample variance
    (Bartlett), or that of the spectrum at zero, ``freedom`` (S,), if it is greater.
    """
    middle, width = bins()
    kernel = _kernel(windows, middle)
    weights = kernel * width
    variance = np.maximum(products(weights, density), TINY)
    next_one = products(weights * np.cos(np.outer(steps, middle)), density)
    whole = np.maximum(products(width[None], density)[0], TINY)
    squares = np.pi * products(kernel * weights, (density / whole) ** 2) / (variance / whole) ** 2
    return Spread(
        np.maximum(variance, whole / windows[:, None]),
        np.clip(1.0 - next_one / variance, 1e-9, 1.0),
        np.maximum(length / np.maximum(squares, 1.0), freedom),
    )


def _kernel(windows: Float64s | Int64s, frequencies: Float64s) -> Float64s:
    """What means of windows of these lengths leave of the power at each frequency, (W, F)."""
    sums = np.sin(np.outer(windows, frequencies) / 2) / np.sin(frequencies / 2)
    found: Float64s = (sums / windows[:, None]) ** 2
    return found


def products(left: Float64s, right: Float64s) -> Float64s:
    """The matrix product, added up row after row of ``right``, for any number of columns from two on.

    As einsum goes through rows that lie one after the other; BLAS has an order for each size and machine.
    """
    found: Float64s = np.einsum("ij,jk->ik", left, right)
    return found

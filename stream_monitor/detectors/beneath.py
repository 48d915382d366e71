"""A level that remembers beneath noise: what slices of almost any stream with a memory look like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.fft import rfft

from stream_monitor.detectors.base import Float64s, Int64s
from stream_monitor.detectors.spectrum import TINY, Spread, bins, products, spread_of_density

LENGTH_MIN = 64
MEMORY_MAX = 1 / 20
"""The longest that is looked for, as a share of the series."""
MEMORIES, SHARES, BANDS = 14, 14, 96
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Beneath:
    """An autoregression of order 1 beneath noise, an ARMA(1, 1), fitted to S series of ``length`` values.

    Neighbours have the correlation share x phi, and each further one phi times that; ``variance`` of a value.
    ``criterion`` (S,): comparable to that of an autoregression.
    """

    phi: Float64s
    share: Float64s
    variance: Float64s
    criterion: Float64s
    length: int

    def spread(self, windows: Float64s | Int64s, steps: Float64s | Int64s) -> Spread:
        """Of windows of these lengths, each looked at every ``steps`` values.

        At zero the part that remembers has the freedom L / (4 + 4 D), with its own inflation D, and half of
        it beneath much noise: what is known of an autoregression alone is lost in telling them apart.
        """
        density = _density(self.phi, self.share, bins()[0]) * np.maximum(self.variance, TINY) / np.pi
        memory = (1.0 + self.phi) / (1.0 - self.phi)
        remembers = self.share * memory
        part = np.clip(remembers / np.maximum(1.0 - self.share + remembers, TINY), 0.0, 1.0)
        apart = 2.0 - np.minimum(self.share, 1.0)
        variance = part**2 * apart * (4.0 + 4.0 * memory) + (1.0 - part) ** 2 * 2.0
        return spread_of_density(density, windows, steps, self.length / variance, self.length)


class _Candidates(NamedTuple):
    """``phi`` and ``share`` (K,), and of their spectra in bands (B,), which begin with the frequencies
    ``start`` and hold ``held`` of them: 1 / density (K, B), and the sum of its logarithm (K,)."""

    phi: Float64s
    share: Float64s
    start: Int64s
    held: Int64s
    inverse: Float64s
    logs: Float64s


def beneath_noise(x: Float64s) -> Beneath | None:
    """The one that fits each of the demeaned series ``x`` (L, S) best; None: they are too short.

    The likelihood is Whittle's, over a grid, of the periodogram in bands that are narrow where memory is
    long. Its two parameters count as one: to miss a memory costs false alarms, to see one that is not there
    a little delay. Cost: O(S (L log L + MEMORIES SHARES BANDS)).

    Source: Whittle, Ark. Mat. 2, 1953; Granger and Morris, J. R. Stat. Soc. A 139, 1976, for why what
    remembers beneath noise, and means of it, are ARMA.
    """
    length, series = x.shape
    if length < LENGTH_MIN:
        return None
    of = _candidates(length)
    power = np.zeros((len(of.start), series))
    for at in range(series):
        # One by one: transformed together, the last bits of a series could hang on the others.
        waves = np.abs(rfft(np.ascontiguousarray(x[:, at]))[1 : (length + 1) // 2]) ** 2
        power[:, at] = np.add.reduceat(waves, of.start) / length
    variance = products(of.inverse, power) / of.held.sum()
    bic = length * (np.log(np.maximum(variance, TINY)) + of.logs[:, None] / of.held.sum()) + np.log(length)
    best, own = bic.argmin(axis=0), np.arange(series)
    criterion = np.where(power.any(axis=0), bic[best, own], np.inf)
    return Beneath(of.phi[best], of.share[best], variance[best, own], criterion, length)


@lru_cache(maxsize=4)
def _candidates(length: int) -> _Candidates:
    frequencies = (length + 1) // 2 - 1
    start = np.unique(np.geomspace(1, frequencies, BANDS).astype(np.int64)) - 1
    held = np.diff(start, append=frequencies)
    middle = 2.0 * np.pi * (start + 1 + (held - 1) / 2.0) / length
    memory = np.geomspace(1.1, length * MEMORY_MAX, MEMORIES)
    # As large as a share can be: what is left for the noise may be less than nothing, but no spectrum is.
    part = 1.0 / (1.0 + np.exp(np.linspace(4.5, -3.0, SHARES)))
    phi = np.repeat((memory - 1.0) / (memory + 1.0), SHARES)
    share = np.tile(part, MEMORIES) * (1.0 + phi) / (2.0 * phi)
    density = _density(phi, share, middle)
    logs = (held[:, None] * np.log(density)).sum(axis=0)
    return _Candidates(phi, share, start, held, (1.0 / density).T, logs)


def _density(phi: Float64s, share: Float64s, frequencies: Float64s) -> Float64s:
    """The spectrum, 1 where nothing is remembered, (F, K)."""
    remembers = (1.0 - phi * phi) / (1.0 + phi * phi - 2.0 * phi * np.cos(frequencies)[:, None])
    found: Float64s = np.maximum(1.0 - share + share * remembers, _LEAST)
    return found

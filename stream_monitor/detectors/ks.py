"""Kolmogorov-Smirnov: a window of any length whose distribution is too far from the one that was learned."""

from __future__ import annotations

from stream_monitor.detectors.seasonal import Seasonal


class Ks(Seasonal):
    """A Kolmogorov-Smirnov test over windows of many lengths at once, on weighted slices.

    A signal here is an edge of a distribution: of n values the share that is at most so much, and the sum of
    its squared deviations, n share (1 - share). A distribution is as many signals as it has edges, which
    ``checks.distribution`` lays. So the scan over all of them is one over windows, for the greatest distance
    of a distribution function from that which was learned.

    Promise: that of the scan, for distributions of any shape, ties included: a distribution of E edges raises
    fewer than one false change in ``run_length`` slices where each edge has E times that. Neighbouring edges
    agree, but at such heights little: 15 are worth about 12 that know nothing of each other. Each edge learns
    its own memory, season and tails, and is judged in its own standard deviations; so those far out tell as
    much as those in the middle. That noise has the tails of Student's t, not of a deviance: where values
    remember, few of them that are far out are no rate of independent hits. Edges should leave a share of
    1 / 32 on both sides.

    The rest is as in Seasonal. Memory: that, for each edge.

    Source: Raab, Heusinger and Schleif, Reactive soft prototype computing for concept drift streams,
    Neurocomputing 416, 2020, for the test on a window (KSWIN), which has one length, takes values for
    independent and does not count its looks; Anderson and Darling, Ann. Math. Statist. 23, 1952, for the
    distance in its own standard deviations.

    >>> import numpy as np
    >>> random = np.random.default_rng(1)
    >>> ks, n = Ks(signals=3, learn=500, run_length=3e6), np.full(3, 40.0)
    >>> for index in range(700):
    ...     often = 0.45 if index < 600 else 0.55  # A fifth of the values are one, which moves.
    ...     values = np.where(random.random(40) < 0.2, often, random.random(40))
    ...     share = (values[:, None] <= [0.25, 0.5, 0.75]).mean(axis=0)
    ...     if changes := ks.update(n, share, n * share * (1.0 - share)):
    ...         print("edge", changes.signal[0], "began about", round(index - changes.since[0], -1))
    ...         break
    edge 1 began about 600
    """

    NAME = "ks"

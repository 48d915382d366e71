"""The smallest shift that a scan finds in time: simulated, it is found about as often as is said."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from stream_monitor.detectors import Scan
from stream_monitor.detectors.reach import smallest_shift
from tests.test_detectors_scan import ar

SIGNALS, LEARN, WITHIN, EVENTS = 250, 600, 60, 20
Make = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def white(random: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of slices of EVENTS events, and their squared deviations."""
    shape = (length, SIGNALS)
    return random.normal(size=shape) / EVENTS**0.5, random.chisquare(EVENTS - 1, shape)


def remembering(random: np.random.Generator, length: int) -> tuple[np.ndarray, np.ndarray]:
    mean, m2 = white(random, length)
    return mean + 0.3 * ar(random, 0.8, mean.shape), m2


def found(scan: Scan, mean: np.ndarray, m2: np.ndarray) -> np.ndarray:
    """Which signals were told to have changed."""
    told, n = np.zeros(SIGNALS, np.bool_), np.full(SIGNALS, float(EVENTS))
    for one, squares in zip(mean, m2, strict=True):
        changes = scan.update(n, one, squares)
        if changes is not None:
            told[changes.signal] = True
    return told


def learned(make: Make, seed: int) -> tuple[Scan, np.random.Generator]:
    random = np.random.default_rng(seed)
    scan = Scan(SIGNALS, run_length=1e5, learn=LEARN, dead=0.02)
    found(scan, *make(random, LEARN))
    return scan, random


@pytest.mark.parametrize("make", [white, remembering])
@pytest.mark.parametrize(("chance", "most"), [(0.5, 0.92), (0.95, 1.0)])
def test_a_shift_of_that_size_is_found_in_time_about_as_often(make: Make, chance: float, most: float) -> None:
    """Of a signal that was learned as it is; half of the shift is seldom found."""
    shares = []
    for part in (1.0, 0.5):
        scan, random = learned(make, seed=71)
        found(scan, *make(random, 5))
        shift = smallest_shift(
            scan.noise,
            scan.noise.heights(scan.run_length),
            slices=np.full(SIGNALS, float(WITHIN)),
            chance=chance,
            dead=scan.dead,
            share=np.zeros(SIGNALS, np.bool_),
        )
        mean, m2 = make(random, WITHIN)
        shares.append(found(scan, mean + part * shift, m2).mean())
    assert chance - 0.04 <= shares[0] <= most
    assert shares[1] <= 0.25


@pytest.mark.parametrize("rate", [0.004, 0.3, 0.97])
@pytest.mark.parametrize(("chance", "most"), [(0.5, 0.92), (0.95, 1.0)])
def test_so_is_a_shift_of_a_rate(rate: float, chance: float, most: float) -> None:
    random, n = np.random.default_rng(5), np.full(SIGNALS, 50.0)
    scan = Scan(SIGNALS, run_length=1e5, learn=LEARN, share=True)

    def run(rates: np.ndarray, length: int) -> np.ndarray:
        told = np.zeros(SIGNALS, np.bool_)
        for mean in random.binomial(50, rates, (length, SIGNALS)) / 50.0:
            changes = scan.update(n, mean, n * mean * (1.0 - mean))
            if changes is not None:
                told[changes.signal] = True
        return told

    run(np.full(SIGNALS, rate), LEARN + 5)
    shift = smallest_shift(
        scan.noise,
        scan.noise.heights(scan.run_length),
        slices=np.full(SIGNALS, float(WITHIN)),
        chance=chance,
        dead=scan.dead,
        share=np.ones(SIGNALS, np.bool_),
    )
    # What is said is said from the level that was learned.
    after = scan.noise.mean + np.where(rate <= 0.5, shift, -shift)
    assert chance - 0.06 <= run(np.clip(after, 0.0, 1.0), WITHIN).mean() <= most


def test_more_time_sees_less_and_none_sees_nothing() -> None:
    scan, _ = learned(white, seed=3)
    shifts = [
        smallest_shift(
            scan.noise,
            scan.noise.heights(scan.run_length),
            slices=np.full(SIGNALS, float(slices)),
            chance=0.5,
            dead=scan.dead,
            share=np.zeros(SIGNALS, np.bool_),
        )
        for slices in (0, 1, 10, 100, 100_000)
    ]
    assert np.isinf(shifts[0]).all()
    for earlier, later in pairwise(shifts[1:]):
        assert (later < earlier).all()
    assert (shifts[-1] > 0.02).all()

"""Signals that see the same share what is kept of it: that shows in memory, and in nothing that is told."""

from __future__ import annotations

import numpy as np
import pytest

from stream_monitor.checks.course import Course
from stream_monitor.detectors import Scan, Seasonal, restore
from stream_monitor.detectors.alike import Alike
from tests.oracles_detectors import Slices, told

SIGNALS = 12
SLICES = 400


def slices_of(groups: int) -> Slices:
    """Of so many kinds of signals, of which each sees as many events as its like, and sometimes none."""
    random = np.random.default_rng(7310)
    shape = (SLICES, SIGNALS)
    n = random.integers(0, 6, (SLICES, groups))[:, np.arange(SIGNALS) % groups].astype(np.float64)
    # What is alike for long may come to differ.
    n[200:, 0] += 1.0
    mean = random.normal(size=shape) / np.sqrt(np.maximum(n, 1.0)) + 3.0 * (random.random(shape) < 0.02)
    return Slices(n, mean, np.maximum(n - 1.0, 0.0))


def scan(signals: int) -> Scan:
    return Scan(signals, learn=60, run_length=30.0)


@pytest.mark.parametrize("groups", [1, 3, SIGNALS])
def test_who_is_watched_together_tells_what_each_tells_alone(groups: int) -> None:
    slices = slices_of(groups)
    together = told(scan(SIGNALS), slices)
    assert len(together) > 20
    for signal in range(SIGNALS):
        alone = told(scan(1), Slices(*(values[:, [signal]] for values in slices)))
        mine = [(index, *row) for index, at, *row in together if at == repr(signal)]
        assert mine == [(index, *row) for index, _, *row in alone]


@pytest.mark.parametrize("at", [40, 150, 250, 390])
def test_who_is_alike_is_restored_so(at: int) -> None:
    slices, original = slices_of(3), scan(SIGNALS)
    told(original, Slices(*(values[:at] for values in slices)))
    twin = restore(original.snapshot())
    rest = Slices(*(values[at:] for values in slices))
    assert told(twin, rest) == told(original, rest)
    assert twin.nbytes == original.nbytes


def test_what_signals_share_is_kept_once() -> None:
    sizes = {}
    for groups in (1, SIGNALS):
        for slices in (50, 150):
            one = Scan(SIGNALS, learn=100, run_length=1e9)
            told(one, Slices(*(values[:slices] for values in slices_of(groups))))
            sizes[groups, slices] = one.nbytes
    # While it learns half, and then a fifth of what blocks take, beside the noise.
    assert sizes[1, 50] < 0.65 * sizes[SIGNALS, 50]
    assert sizes[1, 150] < 0.6 * sizes[SIGNALS, 150]


def test_a_course_of_scores_that_are_alike_is_half_as_large() -> None:
    sizes = []
    for groups in (1, 100):
        course, random = Course(100, 1_000), np.random.default_rng(7311)
        for start in range(500):
            n = random.integers(0, 6, groups)[np.arange(100) % groups].astype(np.float64)
            course.add(1_000 * start, n, n)
        sizes.append(course.nbytes)
    assert sizes[0] < 0.56 * sizes[1]


def test_lengths_of_which_there_is_no_block_take_nothing() -> None:
    one = Scan(SIGNALS, learn=32, run_length=1e9)
    sizes = []
    for index in range(32 + 64):
        one.update(np.ones(SIGNALS), np.zeros(SIGNALS), np.zeros(SIGNALS))
        sizes.append(one.nbytes)
        assert sizes[-1] <= one.bytes_max(index + 1)
    grown = [after for before, after in enumerate(range(1, 64)) if sizes[32 + before] < sizes[32 + after]]
    assert grown == [1, 3, 7, 15, 31, 63]


def test_groups_are_parted_when_they_differ_and_not_before() -> None:
    alike = Alike(4)
    assert alike.part(np.array([2.0, 2.0, 2.0, 2.0])).tolist() == []
    assert alike.part(np.array([2.0, 3.0, 3.0, 0.0])).tolist() == [0, 0]
    assert (alike.of[1], alike.of[2]) == (alike.of[1], alike.of[1])
    assert len({*alike.of.tolist()}) == len(alike.first) == 3
    # As long as they see the same again, they are not joined: what they saw before differs.
    assert alike.part(np.ones(4)).tolist() == []
    whole = np.flatnonzero(alike.of == alike.of[1])
    assert alike.part_from(whole).tolist() == []
    assert alike.part_from(whole[:1]).tolist() == [alike.of[2]]
    assert len(alike.first) == 4


def test_a_season_makes_rates_differ_that_were_alike() -> None:
    """Events of a rate count for more in hours in which more of them are hits."""
    random, hours = np.random.default_rng(7312), np.arange(24 * 12)
    rate = 0.3 + 0.2 * np.sin(2 * np.pi * hours / 24)[:, None]
    n = np.full((len(hours), 2), 400.0)
    mean = random.binomial(400, np.concatenate((rate, np.full_like(rate, 0.3)), axis=1)) / 400
    slices = Slices(n, mean, n * mean * (1.0 - mean))

    def new(signals: int) -> Seasonal:
        return Seasonal(signals, learn=24 * 8, run_length=50.0, slice_ms=3_600_000, share=True)

    together = new(2)
    both = told(together, slices)
    assert together.season.period.tolist() == [24, 0]
    for signal in range(2):
        alone = told(new(1), Slices(*(values[:, [signal]] for values in slices)))
        assert [(index, *row) for index, at, *row in both if at == repr(signal)] == [
            (index, *row) for index, _, *row in alone
        ]

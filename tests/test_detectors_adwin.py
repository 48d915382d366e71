"""What Adwin promises beyond the laws: river's answers, its twin's, power, change times, memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import drift

from stream_monitor.detectors import Adwin, Changes
from tests.oracles_detectors import (
    AdwinTwin,
    Slice,
    Slices,
    bundled_series,
    changes_per_event,
    river_changes,
    run,
    shifting_slices,
    shifting_values,
)

SERIES = bundled_series()
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"clock": 1},
    {"clock": 7, "max_buckets": 3, "delta": 0.05},
    {"clock": 1, "max_buckets": 2, "delta": 0.3, "min_window_length": 1, "grace_period": 1},
]


def assert_agrees_with_river(values: np.ndarray, parameters: dict[str, Any]) -> None:
    make: Any = drift.ADWIN
    river = [river_changes(make(**parameters), row) for row in values]
    ours = changes_per_event(Adwin(len(values), **({"clock": 32} | parameters)), values)
    assert ours == river
    assert sum(map(len, river)) > 0


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("parameters", PARAMETERS[:2], ids=str)
def test_agrees_with_river_on_its_change_point_series(name: str, parameters: dict[str, Any]) -> None:
    assert_agrees_with_river(SERIES[name], parameters)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_river_on_shifting_streams(seed: int, parameters: dict[str, Any]) -> None:
    assert_agrees_with_river(shifting_values(50, 1500, seed), parameters)


def test_agrees_with_its_twin_on_weighted_slices() -> None:
    slices = shifting_slices(8, 200, seed=11)
    ours: list[tuple[int, int, int, float, float]] = []
    run(
        Adwin(8, delta=0.05, max_buckets=3),
        slices,
        lambda index, changes: ours.extend(
            (index, int(signal), int(index - since), float(before), float(after))
            for signal, since, before, after in zip(
                changes.signal, changes.since, changes.before_mean, changes.after_mean, strict=True
            )
        ),
    )
    theirs = []
    for signal in range(8):
        twin = AdwinTwin(delta=0.05, max_buckets=3)
        for index in range(200):
            cut = twin.update(Slice(*(float(values[index, signal]) for values in slices)))
            if cut is not None:
                theirs.append((index, signal, *cut))
    assert [row[:3] for row in ours] == [row[:3] for row in sorted(theirs)]
    np.testing.assert_allclose([row[3:] for row in ours], [row[3:] for row in sorted(theirs)], rtol=1e-9)
    assert len(ours) > 20


def shifted(n: int, shift: float, begin: np.ndarray, length: int, seed: int) -> Slices:
    """Slices of n normal events with sd 1, whose mean moves by ``shift`` from slice ``begin`` (S,) on."""
    random = np.random.default_rng(seed)
    shape = (length, len(begin))
    mean = shift * (np.arange(length)[:, np.newaxis] >= begin) + random.normal(size=shape) / np.sqrt(n)
    return Slices(np.full(shape, float(n)), mean, random.chisquare(n - 1, size=shape))


def first_changes(signals: int, slices: Slices) -> dict[int, tuple[int, int, int, int]]:
    """Per signal the slice of its first change, and the slices that it gives as began, earliest, latest."""
    found: dict[int, tuple[int, int, int, int]] = {}

    def collect(index: int, changes: Changes) -> None:
        times = zip(changes.signal, changes.since, changes.earliest, changes.latest, strict=True)
        for signal, since, earliest, latest in times:
            found.setdefault(int(signal), (index, index - since, index - earliest, index - latest))

    run(Adwin(signals), slices, collect)
    return found


def test_a_shift_of_one_sd_is_found_in_two_slices_of_100_at_its_slice() -> None:
    begin = np.random.default_rng(1).integers(30, 130, 300)
    found = first_changes(300, shifted(100, 1.0, begin, 140, seed=2))
    assert len(found) == 300
    delays = np.array([found[signal][0] - begin[signal] for signal in range(300)])
    assert ((delays >= 0) & (delays < 2)).all()
    assert np.mean([found[signal][1] == begin[signal] for signal in range(300)]) >= 0.98


@pytest.mark.parametrize(("n", "shift", "length"), [(10, 0.25, 800), (100, 0.25, 200), (1000, 0.1, 120)])
def test_the_interval_holds_the_change_in_95_of_100(n: int, shift: float, length: int) -> None:
    begin = np.random.default_rng(3).integers(length // 4, length // 2, 400)
    found = first_changes(400, shifted(n, shift, begin, length, seed=4))
    late_enough = [signal for signal in found if found[signal][0] >= begin[signal]]
    assert len(late_enough) > 380
    held = np.mean([found[signal][2] <= begin[signal] <= found[signal][3] for signal in late_enough])
    # About 95: here with 3 standard errors of 400 runs below.
    assert held >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_noise_is_cut_far_less_often_than_delta(n: int) -> None:
    checks, never = 400 * 250, np.full(400, 1000)
    cuts = first_changes(400, shifted(n, 0.0, never, 250, seed=5))
    assert len(cuts) / checks <= 0.002 / 50


def test_delta_may_differ_from_signal_to_signal() -> None:
    values = np.tile(shifting_values(1, 1500, seed=6), (2, 1))
    both = changes_per_event(Adwin(2, delta=np.array([0.002, 0.3])), values)
    assert both[0] == changes_per_event(Adwin(1, delta=0.002), values[:1])[0]
    assert both[1] == changes_per_event(Adwin(1, delta=0.3), values[1:])[0]
    assert both[0] != both[1]


def test_lengths_count_events() -> None:
    # Two slices of 9 and 1 events: 10 is not more than the grace period, 11 is.
    for grace, found in ((10, False), (9, True)):
        adwin = Adwin(1, grace_period=grace, min_window_length=1, delta=0.9)
        adwin.update(np.array([9.0]), np.array([0.0]), np.array([0.0]))
        changes = adwin.update(np.array([1.0]), np.array([100.0]), np.array([0.0]))
        assert (changes is not None) == found
    for least, found in ((4, True), (5, False)):
        adwin = Adwin(1, min_window_length=least, delta=0.9)
        adwin.update(np.array([50.0]), np.array([0.0]), np.array([0.0]))
        changes = adwin.update(np.array([4.0]), np.array([1e3]), np.array([0.0]))
        assert (changes is not None) == found


def test_memory_grows_by_one_row_for_each_doubling() -> None:
    adwin = Adwin(100)
    row = 100 * (8 + 32 * 6)
    assert [adwin.bytes_max(6 * 2**k) - adwin.bytes_max(6 * 2**k - 1) for k in range(30)] == [row] * 30
    assert adwin.bytes_max(31_536_000) < 500_000  # a year of seconds

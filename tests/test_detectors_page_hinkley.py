"""What PageHinkley promises beyond the laws: river's answers, its twin's, change times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from river import drift

from stream_monitor.detectors import Changes, PageHinkley
from tests.oracles_detectors import (
    PageHinkleyTwin,
    Slice,
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
    {"delta": 0.05, "threshold": 20.0},
    {"alpha": 1.0, "threshold": 10.0, "min_instances": 1},
    {"alpha": 0.9, "threshold": 5.0},
]


def assert_agrees_with_river(values: np.ndarray, parameters: dict[str, Any]) -> None:
    river = [river_changes(drift.PageHinkley(**parameters), row) for row in values]
    assert changes_per_event(PageHinkley(len(values), **parameters), values) == river
    assert sum(map(len, river)) > 0


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("parameters", PARAMETERS[:2], ids=str)
def test_agrees_with_river_on_its_change_point_series(name: str, parameters: dict[str, Any]) -> None:
    assert_agrees_with_river(SERIES[name], parameters)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_river_on_shifting_streams(seed: int, parameters: dict[str, Any]) -> None:
    assert_agrees_with_river(shifting_values(50, 1500, seed), parameters)


@pytest.mark.parametrize("alpha", [1.0, 0.99])
def test_agrees_with_its_twin_on_weighted_slices(alpha: float) -> None:
    slices = shifting_slices(8, 200, seed=12)
    parameters: dict[str, Any] = {"delta": 0.01, "threshold": 10.0, "min_instances": 30, "alpha": alpha}
    ours: list[tuple[int, int]] = []
    run(
        PageHinkley(8, **parameters),
        slices,
        lambda index, changes: ours.extend((index, int(signal)) for signal in changes.signal),
    )
    theirs: list[tuple[int, int]] = []
    for signal in range(8):
        twin = PageHinkleyTwin(**parameters)
        seen = (Slice(*(float(values[index, signal]) for values in slices)) for index in range(200))
        theirs.extend((index, signal) for index, one in enumerate(seen) if twin.update(one))
    assert ours == sorted(theirs)
    assert len(ours) > 20


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_a_shift_of_one_sd_is_found_both_ways_at_its_slice(shift: float) -> None:
    random = np.random.default_rng(13)
    begin = random.integers(30, 60, 200)
    detector = PageHinkley(200, threshold=200.0, delta=0.05)
    found: dict[int, tuple[int, float, float]] = {}
    for index in range(70):
        mean = shift * (index >= begin) + random.normal(size=200) / 10
        changes = detector.update(np.full(200, 100.0), mean, random.chisquare(99, size=200))
        if changes is not None:
            for k, signal in enumerate(changes.signal):
                found.setdefault(
                    int(signal),
                    (index - int(changes.since[k]), changes.before_mean[k], changes.after_mean[k]),
                )
    assert len(found) == 200
    assert np.mean([found[signal][0] == begin[signal] for signal in range(200)]) >= 0.98
    assert np.mean([before for _, before, _ in found.values()]) == pytest.approx(0, abs=0.02)
    assert np.mean([after for _, _, after in found.values()]) == pytest.approx(shift, abs=0.05)


def test_tells_the_cut_in_the_direction_of_the_alarm() -> None:
    # A sum that forgets all but 10 events tolerates the fall by 1. When the rise alarms, after a few
    # slices, the fall is still what splits the window best.
    detector = PageHinkley(1, threshold=12.0, alpha=0.9)
    [(index, changes)] = changes_of(detector, [1.0] * 200 + [0.0] * 200 + [3.5] * 10)
    assert index - changes.earliest[0] <= 400 <= index - changes.latest[0]
    assert changes.before_mean[0] < changes.after_mean[0]


def changes_of(detector: PageHinkley, values: list[float]) -> list[tuple[int, Changes]]:
    found = []
    for index, value in enumerate(values):
        changes = detector.update(np.ones(1), np.array([value]), np.zeros(1))
        if changes is not None:
            found.append((index, changes))
    return found


def test_no_change_before_min_instances() -> None:
    for least, found in ((20, True), (21, False)):
        detector = PageHinkley(1, threshold=1.0, min_instances=least)
        detector.update(np.array([10.0]), np.array([0.0]), np.array([0.0]))
        assert (detector.update(np.array([10.0]), np.array([9.0]), np.array([0.0])) is not None) == found

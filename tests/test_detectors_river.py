"""What River promises beyond the laws: river's own answers, bounded memory, and no surprise on import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river import drift

from stream_monitor.config import parse_config
from stream_monitor.detectors import River, make
from stream_monitor.detectors.river_adapter import river_class
from tests.oracles_detectors import changes_per_event, shifting_values

DETECTORS: dict[str, dict[str, Any]] = {
    "drift.ADWIN": {"clock": 5},
    "drift.KSWIN": {"window_size": 30, "stat_size": 10},
    "drift.PageHinkley": {"threshold": 15.0},
    "drift.NoDrift": {},
    "drift.DummyDriftDetector": {"trigger_method": "random", "t_0": 60, "w": 20},
    "drift.binary.DDM": {"drift_threshold": 1.5},
    "drift.binary.EDDM": {},
    "drift.binary.FHDDM": {"sliding_window_size": 20},
    "drift.binary.HDDMA": {"drift_confidence": 0.1},
    "drift.binary.HDDMW": {"drift_confidence": 0.1},
}


def fresh(name: str, parameters: dict[str, Any]) -> Any:
    seeded = name in ("drift.KSWIN", "drift.DummyDriftDetector")
    return river_class(name)(**(parameters | {"seed": 1} if seeded else parameters))


def changes_of_river(name: str, parameters: dict[str, Any], values: np.ndarray) -> list[int]:
    """A new river object after each change."""
    found = []
    detector = fresh(name, parameters)
    for index, value in enumerate(values):
        detector.update(float(value))
        if detector.drift_detected:
            found.append(index)
            detector = fresh(name, parameters)
    return found


def test_every_river_detector_has_a_case() -> None:
    names = {f"drift.{name}" for name in drift.__all__} | {
        f"drift.binary.{name}" for name in drift.binary.__all__
    }
    found = set()
    for name in names:
        try:
            river_class(name)
        except ValueError:
            continue
        found.add(name)
    assert found == DETECTORS.keys()


def test_the_configuration_names_them_all() -> None:
    entries = [{"river": name, "params": params} for name, params in DETECTORS.items()]
    document = {"predictions": {"topics": ["p"]}, "models": {"m": {"detectors": entries}}}
    assert [one.entry() for one in parse_config(document).model("m").detectors] == entries


@pytest.mark.parametrize("name", DETECTORS)
def test_agrees_with_river_on_slice_means(name: str) -> None:
    values = shifting_values(4, 500, seed=21)
    if "binary" in name:
        values = (values > np.linspace(-1, 1, 500)).astype(np.float64)
    expected = [changes_of_river(name, DETECTORS[name], row) for row in values]
    assert changes_per_event(make(name, 4, DETECTORS[name]), values) == expected
    assert (sum(map(len, expected)) > 0) == (name != "drift.NoDrift")


def test_the_number_of_events_does_not_matter_to_river() -> None:
    values = shifting_values(1, 500, seed=22)[0]
    one, many = (make("drift.KSWIN", 1, {}) for _ in range(2))
    for value in values:
        first = one.update(np.ones(1), np.array([value]), np.zeros(1))
        second = many.update(np.array([50.0]), np.array([value]), np.array([70.0]))
        assert (first is None) == (second is None)


def test_forgets_all_but_the_latest_observations() -> None:
    # 20 calm values are remembered of 40: against so few the rise takes longer to show.
    parameters = {"threshold": 10.0}
    detector = River(1, name="drift.PageHinkley", params=parameters, memory=20)
    calm, moved = [0.0] * 40, [0.9] * 18
    [expected] = changes_of_river("drift.PageHinkley", parameters, np.array(calm[20:] + moved))
    [unforgotten] = changes_of_river("drift.PageHinkley", parameters, np.array(calm + moved))
    assert changes_per_event(detector, np.array([calm + moved])) == [[20 + expected]]
    assert unforgotten < 20 + expected
    assert detector.bytes_max(10**9) == 16 + 32 * 40


def test_a_binary_detector_leaves_a_signal_that_is_no_rate() -> None:
    detector = make("drift.binary.DDM", 2, {"drift_threshold": 1.5})
    changed = set()
    for index in range(400):
        rate = 0.1 if index < 200 else 0.9
        changes = detector.update(np.ones(2), np.array([rate, -rate if index == 10 else rate]), np.zeros(2))
        changed |= set() if changes is None else set(changes.signal.tolist())
    assert changed == {0}


def test_tells_where_the_mean_changed_but_no_statistic() -> None:
    detector = make("drift.KSWIN", 1, {})
    random = np.random.default_rng(23)
    for index in range(300):
        changes = detector.update(
            np.array([20.0]), np.array([0.2 + 0.5 * (index >= 150) + random.normal() / 50]), np.array([0.1])
        )
        if changes is not None and index >= 150:
            assert index - changes.since[0] == 150
            assert changes.before_mean[0] == pytest.approx(0.2, abs=0.02)
            assert changes.after_mean[0] == pytest.approx(0.7, abs=0.02)
            assert changes.after_n[0] == 20.0 * (index - 149)
            assert np.isnan(changes.statistic[0])
            assert np.isnan(changes.threshold[0])
            return
    pytest.fail("no change found")


def test_a_change_on_the_first_observation_is_passed_over() -> None:
    always = make("drift.DummyDriftDetector", 1, {"t_0": 1})
    for _ in range(3):
        assert always.update(np.ones(1), np.ones(1), np.zeros(1)) is None


def test_river_is_imported_only_where_it_is_used() -> None:
    code = "import sys, stream_monitor.detectors; sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

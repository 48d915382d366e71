"""The section ``concept`` changes what it says and nothing else, and its figures follow from the alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import concept
from benchmarks.concept import (
    CONTENDERS,
    HOUR,
    LEARN_MIN,
    ONSET_MIN,
    PER_MINUTE,
    SCENARIOS,
    Outcome,
    Pairs,
    Scenario,
    figures,
    outcome,
)

ONSET = ONSET_MIN * PER_MINUTE
BY_NAME = {one.name: one for one in SCENARIOS}


@pytest.mark.parametrize("name", ["sudden", "gradual", "recurring"])
def test_only_what_labels_depend_on_changes_and_only_from_the_onset_on(name: str) -> None:
    before, after = Pairs.of(BY_NAME["none"], 3), Pairs.of(BY_NAME[name], 3)
    assert (before.features == after.features).all()
    assert (before.score == after.score).all()
    assert (before.label[:ONSET] == after.label[:ONSET]).all()
    end = after.label[ONSET:]
    assert abs(end.mean() - 0.5) < 0.01
    assert after.wrong[ONSET + HOUR * PER_MINUTE :][: HOUR * PER_MINUTE].mean() > before.wrong.mean() + 0.1


def test_gradual_takes_an_hour_and_recurring_comes_back() -> None:
    minutes = np.array(
        [0, ONSET_MIN - 1, ONSET_MIN, ONSET_MIN + 30, ONSET_MIN + 60, ONSET_MIN + 120], np.float64
    )
    assert BY_NAME["gradual"].share(minutes).tolist() == [0, 0, 0, 0.5, 1, 1]
    assert BY_NAME["recurring"].share(minutes).tolist() == [0, 0, 1, 1, 1, 0]
    assert BY_NAME["recurring"].share(np.array([float(one) for one in BY_NAME["recurring"].onsets])).all()


def test_alarms_before_the_onset_are_false_and_the_first_one_after_it_counts() -> None:
    once = Scenario("once", (ONSET_MIN,), np.zeros_like)
    alarms = [LEARN_MIN - 1.0, LEARN_MIN + 1.0, ONSET_MIN - 0.5, ONSET_MIN + 4.0, ONSET_MIN + 9.0]
    assert outcome("x", once, 1, alarms) == Outcome("x", "once", 1, [4.0], 2)
    assert outcome("x", once, 1, []) == Outcome("x", "once", 1, [None], 0)
    twice = BY_NAME["recurring"]
    late = [ONSET_MIN + 2 * HOUR + 1.0, ONSET_MIN + 4 * HOUR + 3.0]
    assert outcome("x", twice, 1, late) == Outcome("x", "recurring", 1, [None, 3.0], 0)


def test_figures_are_medians_of_what_was_found() -> None:
    found = figures(
        [
            *(Outcome(name, "none", 1, [], 3) for name in CONTENDERS),
            *(Outcome(name, "sudden", 1, [delay], 0) for name in CONTENDERS for delay in (2.0, 8.0, None)),
            *(Outcome(name, one, 1, [None], 0) for name in CONTENDERS for one in ("gradual", "recurring")),
        ]
    )
    quiet = (11 + 5 * 5) * HOUR * PER_MINUTE
    assert found["river_ddm_false_alarms"] == pytest.approx(3 / quiet * 100_000, rel=1e-3)
    assert found["river_ddm_sudden_delay_min"] == 5
    assert found["river_ddm_sudden_found"] == pytest.approx(2 / 3, rel=1e-3)
    assert found["river_ddm_gradual_found"] == 0
    assert "river_ddm_gradual_delay_min" not in found


def test_a_sudden_change_is_found_in_the_errors_and_not_in_the_features() -> None:
    pairs = Pairs.of(BY_NAME["sudden"], 0)
    for name in ("stream-monitor", "river ADWIN"):
        alarms = CONTENDERS[name](pairs)
        assert ONSET_MIN < alarms[0] < ONSET_MIN + HOUR
    assert CONTENDERS["a watch of the features"](pairs) == []


def test_a_run_writes_the_figures_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept, "CONTENDERS", {"river DDM": CONTENDERS["river DDM"]})
    console = Console(record=True, width=120)
    written = json.loads(concept.run(1, 2, tmp_path, console).read_text())
    assert written["section"] == "concept"
    assert [len(one) for one in written["rounds"]] == [len(SCENARIOS)] * 2
    assert written["settings"]["streams"] == 2
    assert f"{written['figures']['river_ddm_false_alarms']:.2f}" in console.export_text()

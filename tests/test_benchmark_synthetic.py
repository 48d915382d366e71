"""The section ``synthetic``: errors change where a concept does, and figures follow from the alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import synthetic
from benchmarks.synthetic import CONTENDERS, Outcome, figures_of, outcome
from benchmarks.synthetic_streams import CONCEPTS, EVENTS, HORIZON, LEARN, ONSET, WIDTHS, errors

STAGGER = next(one for one in CONCEPTS if one.name == "STAGGER")
WRONG = np.zeros((1, EVENTS))


@pytest.mark.parametrize("shape", WIDTHS)
def test_errors_change_at_the_onset_and_only_where_the_concept_does(shape: str) -> None:
    wrong, width = errors(STAGGER, shape, 1), WIDTHS[shape]
    assert len(wrong) == EVENTS
    assert set(wrong.tolist()) <= {0.0, 1.0}
    assert wrong[: ONSET - width].mean() < 0.001
    if not width:
        assert wrong.sum() == 0
        return
    middle = ONSET + width
    assert wrong[middle + 2 * width :].mean() == pytest.approx(0.48, abs=0.05)
    assert wrong[middle - width // 4 : middle + width // 4].mean() == pytest.approx(0.24, abs=0.1)


def test_a_seed_gives_the_same_errors_again_and_another_one_others() -> None:
    sea = CONCEPTS[0]
    assert (errors(sea, "none", 3) == errors(sea, "none", 3)).all()
    assert (errors(sea, "none", 3) != errors(sea, "none", 4)).any()


def test_alarms_count_by_where_they_are() -> None:
    quiet_end = ONSET - WIDTHS["gradual"]
    alarms = [[5, LEARN + 1, quiet_end, ONSET + 70, ONSET + 90], [quiet_end + 1], []]
    found = outcome("x", "SEA", "gradual", WRONG, alarms)
    assert found.delays == [70, 0, None]
    assert found.false_alarms == [2, 0, 0]
    assert (found.warm_up, found.quiet) == (1, 3 * (quiet_end - LEARN))
    none = outcome("x", "SEA", "none", WRONG, alarms)
    assert none.delays == []
    assert none.false_alarms == [4, 1, 0]


def test_figures_are_sums_over_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CONTENDERS", {"river X": lambda _wrong: []})
    found = figures_of(
        [
            Outcome("river X", "SEA", "none", (0.1, 0.1), [], [1, 0], 2, 500_000),
            Outcome("river X", "SEA", "sudden", (0.1, 0.2), [10, None], [0, 1], 0, 250_000),
            Outcome("river X", "LED", "sudden", (0.1, 0.2), [30, 80], [0, 0], 0, 250_000),
        ]
    )
    assert found["river_x_false_alarms_per_million"] == 2
    # Of Poisson, of two in a million.
    ends = [found[f"river_x_false_alarms_per_million_{end}"] for end in ("low", "high")]
    assert ends == pytest.approx([0.2422, 7.225], rel=1e-3)
    assert found["river_x_warm_up"] == 2
    assert [found[f"river_x_sudden_{what}"] for what in ("found", "missed", "delay")] == [3, 1, 30]
    assert "river_x_gradual_delay" not in found


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_finds_errors_that_are_all_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (np.random.default_rng(5).random((2, EVENTS)) < 0.2).astype(np.float64)
    wrong[:, ONSET:] = 1.0
    if "KSWIN" in name:
        # It takes its time for each event.
        monkeypatch.setattr(synthetic, "LEARN", ONSET - 200)
        wrong = wrong[:, : ONSET + 200]
    alarms = CONTENDERS[name](wrong)
    assert all(any(ONSET < at <= ONSET + HORIZON for at in one) for one in alarms)
    assert name.startswith("river") or all(at > LEARN for one in alarms for at in one)


def test_a_run_writes_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "CONTENDERS", {"river DDM": CONTENDERS["river DDM"]})
    monkeypatch.setattr(synthetic, "CONCEPTS", (STAGGER,))
    console = Console(record=True, width=120)
    written = json.loads(synthetic.run(1, tmp_path, console, seeds=1).read_text())
    assert written["section"] == "synthetic"
    assert [one["shape"] for one in written["rounds"][0]] == list(WIDTHS)
    assert written["figures"]["river_ddm_sudden_found"] == 1
    assert written["settings"]["horizon"] == HORIZON
    assert "STAGGER, sudden" in console.export_text()

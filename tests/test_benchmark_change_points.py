"""The section ``change_points`` measures as the benchmark that it follows, and finds what is plain to see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks import change_points
from benchmarks.annotated import annotated
from benchmarks.change_points import CONTENDERS, Contender, score
from benchmarks.segmentation import covering, f1, matched

SERIES = {one.name: one for one in annotated()}

LENGTHS = {
    "jfk_passengers": 468,
    "apple": 622,
    "bitcoin": 774,
    "brent_spot": 500,
    "occupancy": 509,
    "run_log": 376,
    "uk_coal_employ": 105,
}
ZERO = {
    "jfk_passengers": (0.6298, 0.7234),
    "apple": (0.4246, 0.5938),
    "bitcoin": (0.5162, 0.4496),
    "brent_spot": (0.2658, 0.3146),
    "occupancy": (0.2356, 0.3408),
    "run_log": (0.3035, 0.4456),
    "uk_coal_employ": (0.3565, 0.5133),
}
"""Covering and F1 of a method that finds nothing, as TCPDBench publishes them (``zero``)."""


@pytest.mark.parametrize("name", ZERO)
def test_lengths_annotations_and_measures_are_those_of_the_benchmark(name: str) -> None:
    series = SERIES[name]
    assert len(series.values) == LENGTHS[name]
    found = covering(series.annotations, (), len(series.values)), f1(series.annotations, ())
    assert found == pytest.approx(ZERO[name], abs=1e-4)
    assert series.values.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert series.values.std(axis=0) == pytest.approx(1)


def test_the_fall_that_all_annotators_saw_is_where_they_say() -> None:
    apple = SERIES["apple"]
    assert all(319 in one for one in apple.annotations)
    assert np.diff(apple.values[:, 0]).argmin() + 1 == 319


def test_as_many_are_matched_as_can_be_and_none_twice() -> None:
    assert matched({10, 20, 30}, {5, 15, 25}) == 3
    assert matched({10, 12}, {11}) == 1
    # The nearest of 10 is 12: who takes it leaves none for 17.
    assert matched({10, 17}, {5, 12}) == 2
    assert matched({10}, {16}) == 0


def test_measures_are_one_for_who_agrees_with_all_and_worse_the_more_is_said_in_vain() -> None:
    points = frozenset({30, 70})
    assert covering([points] * 3, points, 100) == f1([points] * 3, points) == 1
    one, both = f1([points], {30, 70, 50}), f1([points], {30, 70, 50, 90})
    assert 1 > one > both
    # By hand: [0, 30) is found whole, [30, 70) and [70, 100) as 40 and 30 of 70.
    assert covering([points], {30}, 100) == pytest.approx((30 + 40 * 40 / 70 + 30 * 30 / 70) / 100)


@pytest.mark.parametrize("name", [one for one in CONTENDERS if one != "nothing"])
def test_every_contender_can_find_a_step_of_any_dimension_where_it_is(name: str) -> None:
    values = np.random.default_rng(2).normal(size=(400, 2))
    values[200:, 1] += 8.0
    contender = CONTENDERS[name]
    found = (contender.find(values, **params) for params in contender.settings())
    # What KSWIN keeps reaches back before the change, by half of it or so.
    off = 20 if name == "river KSWIN" else 5
    assert any(0 < len(one) <= 2 and all(abs(at - 200) <= off for at in one) for one in found)


def test_the_best_of_a_grid_is_chosen_for_each_measure_and_the_default_is_one_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(_values: object, at: int = 0) -> set[int]:
        return {at} if at else set()

    contender = Contender(told, grid={"at": (319, 500)})
    monkeypatch.setattr(change_points, "CONTENDERS", {"told": contender})
    found = score("told", SERIES["apple"])
    assert found.found == []
    assert (found.covering, found.f1) == pytest.approx(ZERO["apple"], abs=1e-4)
    assert found.best_f1 == f1(SERIES["apple"].annotations, {319})
    assert found.best_covering == covering(SERIES["apple"].annotations, {319}, 622)
    written = json.loads(change_points.run(tmp_path, Console(record=True, width=200)).read_text())
    assert written["settings"]["series"]["apple"] == [622, 2]
    assert len(written["rounds"][0]) == len(SERIES)
    assert written["figures"]["told_best_f1"] > written["figures"]["told_f1"]

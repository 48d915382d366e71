"""The section ``detection`` shows each contender what it says, and counts what they say as it says."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from river import drift

from benchmarks import detection, scored
from benchmarks.delays import delays_of
from benchmarks.detection_parts import FAST, Delay, FalseAlarms, Pair, Part, interval
from benchmarks.equalize import Firsts, Tuned, alarms, firsts
from benchmarks.false_alarms import alarms_of
from benchmarks.running import Running, RunningAdwin, RunningPageHinkley
from benchmarks.streams import BY_NAME, DAY, KINDS, NOTHING, Kind, Shift, Streams, shifts_of
from benchmarks.watching import Watching
from stream_monitor.checks.category import Category
from stream_monitor.checks.numeric import Numeric, follows
from stream_monitor.config import parse_config
from stream_monitor.detectors import DETECTORS, Scan
from stream_monitor.reference import Reference
from tests.test_checks import summary

NORMAL = BY_NAME["normal"]
NAMES = [kind.name for kind in KINDS]


@pytest.mark.parametrize("name", NAMES)
def test_a_shift_moves_what_it_says_from_its_onset_on_and_nothing_else(name: str) -> None:
    kind = BY_NAME[name]
    streams = Streams(kind, 7, 4)
    streams.take(1_000)
    for shift in shifts_of(kind, (0, 400)):
        healthy = copy.deepcopy(streams).take(1_000)
        moved = copy.deepcopy(streams).take(1_000, shift, 1_500)
        if kind.name != "counts":
            assert (moved[:, :500] == healthy[:, :500]).all()
        assert (moved[:, 500:] != healthy[:, 500:]).any()


@pytest.mark.parametrize("name", ["normal", "student t 3", "lognormal", "counts", "ar .9", "bernoulli .1"])
def test_a_shift_is_as_large_as_it_says(name: str) -> None:
    values = {
        shift: Streams(BY_NAME[name], 3, 20).take(20_000, shift)
        for shift in (NOTHING, Shift("location", 0.5), Shift("location", 0.5, 40_000))
    }
    healthy, sudden, gradual = values.values()
    sd = {"student t 3": 3**0.5}.get(name, float(healthy.std()))
    assert (sudden.mean() - healthy.mean()) / sd == pytest.approx(0.5, rel=0.1)
    assert (gradual.mean() - healthy.mean()) / sd == pytest.approx(0.125, rel=0.2)
    if "spread" in BY_NAME[name].shifts:
        wide = Streams(BY_NAME[name], 3, 20).take(20_000, Shift("spread", 1.0))
        middle = [np.quantile(one, 0.75) - np.quantile(one, 0.25) for one in (wide, healthy)]
        assert middle[0] / middle[1] == pytest.approx(2.0, rel=0.2)
        assert (wide.mean() - healthy.mean()) / sd == pytest.approx(0.0, abs=0.05)


def test_shifts_of_shares_are_measured_in_standard_deviations_of_an_event() -> None:
    assert Shift("location", 0.25).sds == 0.25
    assert Shift("rate", 0.05).sds == pytest.approx(0.05 / (0.01 * 0.99) ** 0.5)
    values = Streams(BY_NAME["categories"], 1, 1).take(100_000) == 0
    assert Shift("mix", 0.05).sds == pytest.approx(0.05 / values.std(), rel=0.02)


def test_streams_remember_as_their_names_say() -> None:
    def means(name: str, events: int, streams: int = 60) -> float:
        """The variance of means of so many events, by that of one."""
        values = Streams(BY_NAME[name], 5, streams).take(DAY)
        return float(values.reshape(streams, -1, events).mean(axis=2).var() / values.var())

    assert means("normal", 100) == pytest.approx(0.01, rel=0.1)
    assert means("ar .9", 100) == pytest.approx(0.181, rel=0.1)
    assert means("ar .99", 7_200) == pytest.approx(199 / 7_200, rel=0.3)
    assert means("fractional .8", 100, 4) == pytest.approx(100 ** (2 * 0.8 - 2), rel=0.15)
    day = Streams(BY_NAME["daily season"], 5, 30).take(2 * DAY).reshape(30, 2, 24, -1).mean(axis=3)
    assert (np.abs(day[:, 0] - day[:, 1]) < 0.25).all()
    assert day.std() == pytest.approx(0.5**0.5, rel=0.1)


@pytest.mark.parametrize("name", ["normal", "lognormal", "ar .99", "bernoulli .1", "daily season"])
def test_alarms_from_sums_are_those_of_river(name: str) -> None:
    streams = Streams(BY_NAME[name], 11, 3)
    values = np.concatenate([streams.take(6_000), streams.take(9_000, Shift("location", 0.5))], axis=1)
    detectors: list[tuple[Running, Callable[[], Any]]] = [
        (RunningAdwin(3, np.log(1 / 0.002)), drift.ADWIN),
        (RunningAdwin(3, np.log(1 / 0.4)), partial(drift.ADWIN, delta=0.4)),
        (RunningPageHinkley(3, 50.0), drift.PageHinkley),
        (RunningPageHinkley(3, 6.0), partial(drift.PageHinkley, threshold=6.0)),
    ]
    for running, make in detectors:
        found: list[list[int]] = [[], [], []]
        for piece in np.split(values, [10, 77, 4_000, 4_001, 11_003], axis=1):
            for of_stream, new in zip(found, running.feed(piece), strict=True):
                of_stream.extend(new)
        assert found == [alarms_of(make(), row.tolist()) for row in values]


@pytest.mark.parametrize("name", ["normal", "lognormal", "counts", "bernoulli .1"])
def test_scores_of_numbers_are_those_of_the_check(name: str) -> None:
    streams = Streams(BY_NAME[name], 2, 3)
    before, after = streams.take(400), streams.take(60, Shift("location", 2.0))
    of = scored.learned("number", scored.kept("number", before))
    found = of.of(scored.kept("number", after), 20)
    model = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    for stream in range(3):
        reference = Reference.of(summary([{"x": x} for x in before[stream].tolist()]), model.features)
        measure = Numeric()(reference, model.min_effect, model.features)
        assert tuple(score.name for score in measure.scores) == of.names
        assert [score.unit == "share" for score in measure.scores] == of.rates.tolist()
        assert follows(measure.scores).tolist() == scored.followed(of.names, 1).tolist()
        for at in range(3):
            rows = [{"x": x} for x in after[stream, 20 * at : 20 * (at + 1)].tolist()]
            seen = measure.measure(summary(rows))
            assert found.n == seen.n[0]
            assert found.mean[at, stream::3] == pytest.approx(seen.mean, abs=1e-12)
            assert found.m2[at, stream::3] == pytest.approx(seen.m2, abs=1e-9)


def test_scores_of_categories_are_those_of_the_check() -> None:
    values = Streams(BY_NAME["categories"], 2, 1).take(500)
    found = scored.learned("category", scored.kept("category", values)).of(
        scored.kept("category", values[:, :100]), 100
    )
    rows = [{"x": "abcdefghij"[int(x)]} for x in values[0].tolist()]
    model = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    measure = Category()(Reference.of(summary(rows), model.features), model.min_effect, model.features)
    seen = measure.measure(summary(rows[:100]))
    by_name = {score.name: mean for score, mean in zip(measure.scores, seen.mean.tolist(), strict=True)}
    assert found.mean[0].tolist() == [by_name[f"share of '{letter}'"] for letter in "abcdefghij"]


def test_the_rate_of_a_level_is_alarms_by_the_events_until_they_came() -> None:
    found = Firsts(
        100,
        [np.array([1.0, 3.0]), np.array([2.0]), np.array([0.5])],
        [np.array([10, 60]), np.array([20]), np.array([5])],
    )
    assert found.rate(0.4) == 3 / (10 + 20 + 5)
    assert found.rate(1.5) == 2 / (60 + 20 + 100)
    assert found.rate(3.0) == 0


def test_levels_that_were_tuned_alarm_as_often_on_other_seeds() -> None:
    rate = 1e-4
    levels = {name: one.level(rate) for name, one in firsts(NORMAL, 100, 20, 60_000).items()}
    seen = alarms(NORMAL, 500, 20, 60_000, levels)
    for count in seen.values():
        assert 0.6 < count / (20 * 60_000 * rate) < 1.6


def test_an_interval_is_that_of_poisson_and_wider_where_streams_differ() -> None:
    assert list(interval([0] * 50)) == pytest.approx([0.0, 3.689], rel=1e-3)
    assert list(interval([1] * 10)) == pytest.approx([4.795, 18.39], rel=1e-3)
    low, high = interval([0] * 9 + [10])
    assert low < 3
    assert high > 30


def test_a_budget_with_alarms_while_learning_is_not_held() -> None:
    held = FalseAlarms.of("scan", 100, 10_000_000, [1] * 4, 0, 1e6)
    assert held.per_million == pytest.approx(0.4)
    assert held.budget == 1
    assert held.high == pytest.approx(1.024, rel=1e-3)
    assert not held.held
    assert FalseAlarms.of("scan", 100, 10_000_000, [1, 0, 0, 0], 0, 1e6).held
    assert not FalseAlarms.of("scan", 100, 10_000_000, [1, 0, 0, 0], 1, 1e6).held


def pair(ours: float | None, theirs: float | None, size: float) -> Pair:
    return Pair("", size, False, "", ours, theirs, None, None, None)


def test_small_shifts_may_take_a_tenth_longer_and_others_may_not() -> None:
    said = [
        pair(109, 100, 0.25),
        pair(111, 100, 0.25),
        pair(101, 100, 0.5),
        pair(99, 100, 0.1),
        pair(None, 100, 1),
        pair(100, None, 1),
        pair(None, None, 1),
    ]
    assert [one.later for one in said] == [False, True, True, False, True, False, False]
    assert [one.earlier for one in said] == [False, False, False, True, False, True, False]
    rows = [FalseAlarms.of("scan", 100, 10_000_000, [alarms], 0, 1e6) for alarms in (1, 40)]
    found = Delay("scan", "1 sd", 100, 4, 0.75, 100.0)
    tuned = [Tuned("adwin", 5.0, 1.0, seen, 100) for seen in (0.91, 1.11)]
    part = Part("x", True, rows, tuned, [found], said)
    assert detection.figures_of([part, Part("y", False, rows, [], [], said)]) == {
        "stationary_streams": 2,
        "budget_held": 1,
        "pairs": 7,
        "tuned": 2,
        "tuned_within_a_tenth": 1,
        "later_than_best_river": 3,
        "earlier_than_best_river": 2,
        "least_found_of_1_sd": 0.75,
    }


def test_a_delay_is_counted_from_the_onset_and_less_one_slice() -> None:
    large = Kind("normal", NORMAL.draw, shifts=("location",))
    settings = FAST
    delays, _ = delays_of(large, settings, {"adwin": 20.0, "page_hinkley": 100.0})
    found = {(one.contender, one.shift): one for one in delays}
    assert found["scan", "2 sd"].median == 0
    assert found["scan", "2 sd"].found == 1
    ramp = found["scan", "2 sd, gradual"].median
    assert ramp is not None
    assert 0 < ramp < settings.ramp
    assert ramp % 100 == 0
    # Its sum has to go up by the threshold or less, at two standard deviations an event.
    sudden = found["river page_hinkley, tuned", "2 sd"].median
    assert sudden is not None
    assert 20 < sudden < 70


def test_a_detector_that_takes_a_season_off_is_the_default_and_knows_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []

    class Seasonal(Scan):
        def __init__(self, signals: int, *, slice_ms: int, **params: Any) -> None:
            told.append(slice_ms)
            super().__init__(signals, **params)

    monkeypatch.setitem(DETECTORS, "seasonal", Seasonal)
    streams = Streams(BY_NAME["missing .01"], 1, 2)
    watching = Watching(streams, 100, 20_000, 1e6, ("scan", "adwin"))
    assert isinstance(watching.detectors["scan"], Seasonal)
    assert told == [5 * 60 * 1_000]


def test_a_kind_is_measured_once_and_told_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(record=True, width=200)
    written = json.loads(detection.run(FAST, tmp_path, console, (BY_NAME["missing .01"],)).read_text())
    assert written["section"] == "detection"
    ((part,),) = written["rounds"]
    contenders = [one["contender"] for one in part["false_alarms"]]
    assert contenders == [
        "scan",
        "adwin",
        "page_hinkley",
        "river ADWIN",
        "river PageHinkley",
        "river KSWIN",
        "river DDM",
        "river HDDM_A",
    ]
    assert [one["shift"] for one in part["pairs"]] == ["+5 points", "+5 points, gradual"]
    assert written["figures"]["stationary_streams"] == 1
    assert written["settings"]["seed"] == FAST.seed
    assert "missing .01: at equal false alarms" in console.export_text()
    monkeypatch.setattr(detection, "measure", None)
    again = detection.run(FAST, tmp_path, console, (BY_NAME["missing .01"],))
    assert json.loads(again.read_text())["figures"] == written["figures"]

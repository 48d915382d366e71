"""A budget of false alarms: divided over all that may raise one, divided anew as that changes, and kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_monitor.checks.budget import Pace, divide
from stream_monitor.checks.subject import Subject
from stream_monitor.config import Budget, ModelConfig, parse_config
from stream_monitor.decide import Decider
from stream_monitor.detectors import Seasonal
from stream_monitor.events import Finding, Stream
from stream_monitor.reference import References
from tests.test_checks import summary

SLICE_MS = 1_000


def model(**settings: Any) -> ModelConfig:
    document = {"predictions": {"topics": ["p"]}, "models": {"m": {"detectors": ["scan"], **settings}}}
    return parse_config(document).model("m")


def allowed(subjects: list[Subject], slices: float) -> float:
    """False alarms in so many slices by what detectors are set to."""
    detectors: list[Any] = [
        watcher.detector for subject in subjects for watch in subject.watches for watcher in watch._watchers
    ]
    return float(sum((slices / detector.run_length).sum() for detector in detectors))


def watched(config: ModelConfig, rows: list[list[dict[str, Any]]], subject: Subject | None = None) -> Subject:
    subject = subject or Subject(config, config.features, None)
    for number, one in enumerate(rows):
        subject.close(number * SLICE_MS, summary(one))
    return subject


def healthy(random: np.random.Generator, names: tuple[str, ...], rows: int = 60) -> list[dict[str, Any]]:
    return [
        dict(zip(names, values, strict=True)) for values in random.normal(size=(rows, len(names))).tolist()
    ]


@pytest.mark.parametrize("alarms", [0.5, 3.0])
@pytest.mark.parametrize("detectors", [["scan"], ["scan", "cusum", "ewma"]])
def test_all_that_may_raise_a_false_alarm_shares_one_budget(alarms: float, detectors: list[str]) -> None:
    random = np.random.default_rng(1)
    config = model(learn=600, detectors=detectors, budget={"false_alarms": alarms, "per": "1h"})
    subjects = [
        watched(config, [healthy(random, names) for _ in range(40)])
        for names in (("a", "b", "c"), ("a", "other"), ("score",))
    ]
    divide(config.budget, SLICE_MS, 1, subjects)
    assert allowed(subjects, 3_600) == pytest.approx(alarms)
    divide(config.budget, SLICE_MS, 2, subjects)
    assert allowed(subjects, 3_600) == pytest.approx(alarms / 2)


def test_a_run_length_that_was_set_stays_whatever_the_budget_is() -> None:
    random = np.random.default_rng(2)
    config = model(learn=600, detectors=[{"scan": {"run_length": 5_000}}])
    subject = watched(config, [healthy(random, ("a",)) for _ in range(40)])
    divide(config.budget, SLICE_MS, 1, [subject])
    assert allowed([subject], 5_000) == pytest.approx(1.0)


def test_slices_without_events_leave_their_part_to_those_with_some() -> None:
    random = np.random.default_rng(3)
    config = model(learn=600, budget={"per": "100s"})
    subject = Subject(config, {}, None)
    for number in range(200):
        divide(config.budget, SLICE_MS, 1, [subject])
        subject.close(number * 5 * SLICE_MS, summary(healthy(random, ("a",))))
    # 100 slices in a period, 20 of them with events.
    assert allowed([subject], 20) == pytest.approx(1.0)


def test_the_pace_is_that_of_the_last_period_that_is_over() -> None:
    pace = Pace(since=0)
    assert [pace.passes(start, 1_000, 10_000) for start in range(0, 10_000, 2_000)] == [False] * 5
    assert pace.share == 1.0
    assert pace.passes(10_000, 1_000, 10_000)
    assert pace.share == pytest.approx(0.5)
    assert [pace.passes(start, 1_000, 10_000) for start in range(11_000, 20_000, 1_000)] == [False] * 9
    assert pace.passes(20_000, 1_000, 10_000)
    assert pace.share == pytest.approx(1.0)
    assert Pace.restore(pace.snapshot()) == pace


def test_the_streams_of_a_model_share_and_so_do_labels() -> None:
    budget = {"false_alarms": 2.0, "per": "1h"}
    for labels, part in ((None, 1.0), ({"topics": ["l"]}, 0.5)):
        document = {
            "predictions": {"topics": ["p"]},
            "labels": labels,
            "models": {"m": {"detectors": ["scan"], "learn": 600, "budget": budget}},
        }
        config = parse_config({name: one for name, one in document.items() if one is not None})
        decider = Decider(config, References(config))
        random = np.random.default_rng(4)
        judge = decider._events
        for number in range(45):
            streams = {
                Stream("m"): summary(healthy(random, ("a", "b"))),
                Stream("m", "1", "live"): summary(healthy(random, ("score",))),
            }
            if number > 20:
                streams[Stream("m", "2", "live")] = summary(healthy(random, ("score",)))
            judge.close("m", number * SLICE_MS, streams, suspect=False)
        subjects = [subject for _, subject in judge.subjects()]
        assert len(subjects) == 3
        assert allowed(subjects, 3_600) == pytest.approx(2.0 * part)


def test_a_budget_is_slices_from_one_false_alarm_to_the_next() -> None:
    assert Budget().slices_between(1_000) == 7 * 86_400
    assert Budget.model_validate({"false_alarms": 4.0, "per": "1h"}).slices_between(100) == 9_000


def test_a_season_that_was_learned_is_no_drift_and_hides_none() -> None:
    random = np.random.default_rng(5)
    subject = Subject(model(slice="1h", learn="8d", budget={"false_alarms": 1, "per": "30d"}), {}, None)

    def send(days: range, shift: float) -> list[Finding]:
        found = []
        for hour in (24 * day + hour for day in days for hour in range(24)):
            level = np.sin(2.0 * np.pi * hour / 24) + shift
            rows = [{"x": value} for value in random.normal(level, 1.0, 20).tolist()]
            found += subject.close(hour * 3_600_000, summary(rows))
        return found

    assert send(range(8), 0.0) == []
    [(detector, _)] = subject.watches[0].detectors
    assert isinstance(detector, Seasonal)
    assert send(range(8, 20), 0.0) == []
    assert {one.signal for one in send(range(20, 22), 1.0)} == {"x"}


def test_what_is_too_short_for_a_season_is_not_kept_for_one() -> None:
    random = np.random.default_rng(6)
    subject = watched(model(learn="40s"), [healthy(random, ("a",)) for _ in range(50)])
    [(detector, _)] = subject.watches[0].detectors
    assert not isinstance(detector, Seasonal)

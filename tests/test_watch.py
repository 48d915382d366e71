"""A watch from learning to finding to being armed again; a subject's signals, early and late."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from stream_monitor.checks.period import EVENTS_MIN
from stream_monitor.checks.subject import Subject
from stream_monitor.checks.watch import Watch
from stream_monitor.config import ModelConfig, parse_config
from stream_monitor.config.values import duration_text
from stream_monitor.detectors import Scan
from stream_monitor.events import Finding
from stream_monitor.state import pack, unpack
from tests.test_checks import summary

ROWS = 200
LEARN_SLICES = 10


def model(**settings: Any) -> ModelConfig:
    given = {"learn": ROWS * LEARN_SLICES, "detectors": ["adwin", "page_hinkley"], **settings}
    document = {"predictions": {"topics": ["p"]}, "models": {"m": given}}
    return parse_config(document).model("m")


class Stream:
    """A signal x whose mean, in standard deviations, is told slice by slice."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.random = np.random.default_rng(seed)
        self.model = model(**settings)
        self.subject = Subject(self.model, self.model.features, None)
        self.slice = 0

    def send(self, mean: float, slices: int, **more: Any) -> list[Finding]:
        found = []
        for _ in range(slices):
            rows = [{"x": x, **more} for x in self.random.normal(10 + mean, 1, ROWS).tolist()]
            found += self.subject.close(self.slice * 1000, summary(rows))
            self.slice += 1
        return found


def learned(**settings: Any) -> Stream:
    stream = Stream(**settings)
    assert stream.send(0, LEARN_SLICES) == []
    assert stream.subject.learning == []
    return stream


def test_a_shift_is_found_once_at_its_time_with_both_levels() -> None:
    stream = learned()
    assert stream.send(0, 50) == []
    [finding] = stream.send(1.0, 40)
    assert (finding.check, finding.signal, finding.score) == ("drift", "x", "location")
    assert finding.since == 60_000
    assert finding.earliest <= finding.since <= finding.latest
    assert finding.found <= 63_000
    assert finding.before.mean == pytest.approx(10, abs=0.1)
    assert finding.after.mean == pytest.approx(11, abs=0.3)
    assert finding.before.sd == pytest.approx(1, abs=0.1)
    assert finding.statistic > finding.threshold
    assert abs(finding.effect) > finding.dead


def test_a_stream_that_differs_from_its_reference_from_the_start_is_found() -> None:
    stream = learned()
    [finding] = stream.send(1.0, 10)
    assert finding.since == LEARN_SLICES * 1000


def test_a_change_too_small_to_matter_is_never_found_however_long_it_lasts() -> None:
    stream = learned(min_effect={"location": 0.2})
    stream.send(0, 30)
    # 0.2 standard deviations move the location score by 0.11; with 30,000 events it is significant.
    assert stream.send(0.2, 150) == []


def test_a_slow_drift_is_found_though_each_of_its_steps_is_too_small() -> None:
    stream = learned()
    stream.send(0, 20)
    found = [finding for step in range(60) for finding in stream.send(0.01 * step, 3)]
    assert [finding.signal for finding in found] == ["x"]
    assert abs(found[0].effect) > found[0].dead


@pytest.mark.parametrize("detectors", [["scan"], ["adwin"]])
def test_a_slow_drift_is_told_to_be_gradual_since_it_began(detectors: list[str]) -> None:
    stream = learned(detectors=detectors, min_effect={"location": 0.5, "shape": 3.0})
    stream.send(0, 300)
    began = stream.slice * 1000
    [finding, *_] = [found for step in range(150) for found in stream.send(0.01 * step, 1)]
    assert finding.shape is not None
    assert (finding.shape.kind, finding.shape.until, finding.shape.ended) == ("gradual", None, None)
    assert finding.earliest <= began + 2_000
    assert began <= finding.latest <= began + 30_000


def test_a_jump_is_not_told_to_be_gradual_and_is_as_old_as_the_detector_says() -> None:
    stream = learned()
    stream.send(0, 50)
    began = stream.slice * 1000
    [finding] = stream.send(3.0, 20)
    assert finding.shape is not None
    assert finding.shape.kind in {"sudden", "undecided"}
    assert finding.since == began


def test_a_level_that_comes_back_arms_the_check_again() -> None:
    stream = learned()
    stream.send(0, 20)
    [first] = stream.send(1.5, 30)
    assert stream.send(0, 60) == []
    [second] = stream.send(1.5, 30)
    assert (first.since, second.since) == (30_000, 120_000)


def test_a_level_that_goes_to_the_other_side_is_told_again() -> None:
    stream = learned()
    stream.send(0, 20)
    [up] = stream.send(1.5, 30)
    [down] = stream.send(-1.5, 30)
    assert (up.effect > 0, down.effect < 0) == (True, True)
    assert down.since == 60_000


def test_a_level_that_goes_further_the_same_way_is_not_told_again() -> None:
    stream = learned()
    stream.send(0, 20)
    assert len(stream.send(1.0, 30)) == 1
    assert stream.send(2.5, 30) == []


def test_a_change_in_one_signal_says_nothing_of_another() -> None:
    stream = learned()
    other = np.random.default_rng(5)
    for shift in (0.0, 2.0):
        for _ in range(30):
            rows = [
                {"x": x, "y": y}
                for x, y in zip(
                    stream.random.normal(10 + shift, 1, ROWS).tolist(),
                    other.normal(0, 1, ROWS).tolist(),
                    strict=True,
                )
            ]
            found = stream.subject.close(stream.slice * 1000, summary(rows))
            stream.slice += 1
            assert {finding.signal for finding in found} <= {"x"}


def test_a_signal_that_appears_later_is_learned_and_watched_too() -> None:
    stream = learned()
    assert stream.send(0, 5, late="a") == []
    assert stream.subject.learning == ["late"]
    assert stream.send(0, LEARN_SLICES, late="a") == []
    assert stream.subject.learning == []
    found = stream.send(0, 5, late="b")
    assert {finding.signal for finding in found} == {"late"}


def test_gaps_in_time_do_not_disturb_and_change_times_stay_right() -> None:
    stream = learned()
    stream.send(0, 20)
    stream.slice += 1_000_000
    assert stream.send(0, 20) == []
    begins = stream.slice * 1000
    [finding] = stream.send(1.0, 20)
    assert finding.since == begins


def test_no_reference_is_made_of_a_handful_of_events() -> None:
    stream = Stream(learn="1s")
    for _ in range(EVENTS_MIN // ROWS):
        stream.send(0, 1)
        assert stream.subject.learning == ["x"]
    stream.send(0, 1)
    assert stream.subject.learning == []


@pytest.mark.parametrize("detectors", [["adwin"], ["page_hinkley"], [{"river": "drift.ADWIN"}]])
def test_each_detector_finds_a_shift_by_itself(detectors: list[Any]) -> None:
    stream = learned(detectors=detectors)
    assert stream.send(0, 60) == []
    assert {finding.signal for finding in stream.send(2.0, 200)} == {"x"}


@pytest.mark.parametrize("name", ["scan", "cusum", "ewma", "eprocess", "ks"])
def test_each_detector_that_learns_finds_a_shift_by_itself(name: str) -> None:
    stream = Stream(detectors=[name], learn=ROWS * 100)
    assert stream.send(0, 200) == []
    assert {finding.signal for finding in stream.send(2.0, 200)} == {"x"}


def test_values_that_pile_up_at_a_limit_are_seen_by_ks_where_their_share_changed() -> None:
    found = {}
    for name in ("scan", "ks"):
        stream = learned(detectors=[name], budget={"per": "1h"})
        assert stream.send(0, 60) == []
        found[name] = list[Finding]()
        for _ in range(60):
            values = stream.random.normal(10, 1, ROWS)
            piled = np.where((values > 10) & (values <= 10.4), 10.5, values).tolist()
            found[name] += stream.subject.close(stream.slice * 1000, summary([{"x": x} for x in piled]))
            stream.slice += 1
    assert found["scan"] == []
    [finding] = found["ks"]
    assert (finding.check, finding.unit) == ("distribution", "share")
    assert 10 < float(finding.score.removeprefix("share up to ")) < 10.5
    assert finding.effect < -0.05


def test_ks_has_nothing_to_see_where_no_signal_is_a_number() -> None:
    stream = Stream(detectors=["ks", "scan"])
    for slice_ in range(80):
        rows = [{"c": "a" if slice_ < 60 else "b"}] * ROWS
        found = stream.subject.close(slice_ * 1000, summary(rows))
        assert {finding.detector for finding in found} <= {"scan"}


def test_noise_of_watches_that_begin_together_is_estimated_anew_in_different_slices() -> None:
    # It takes long: in one slice of a thousand models it would hold up every alert.
    streams = [Stream(seed, learn=ROWS * 4, detectors=["scan"]) for seed in range(20)]
    estimated = Counter[int]()
    for stream in streams:
        stream.send(0.0, 40)
        [(scan, _)] = stream.subject.watches[0].detectors
        assert isinstance(scan, Scan)
        for index in range(30):
            known = scan.noise.between.tobytes()
            stream.send(0.0, 1)
            estimated[index] += scan.noise.between.tobytes() != known
    assert estimated.total() == 20
    assert max(estimated.values()) <= 6


def test_learning_of_those_that_begin_together_ends_in_different_slices_and_takes_little_longer() -> None:
    asked, ended = 128, Counter[int]()
    for seed in range(20):
        stream = Stream(seed, learn=f"{asked}s", detectors=["scan"])
        stream.send(0.0, asked - 1)
        assert stream.subject.learning == ["x"]
        while stream.subject.learning:
            stream.send(0.0, 1)
            stream.subject = Subject.restore(stream.subject.snapshot(), stream.model, stream.model.features)
        ended[stream.slice] += 1
    assert asked <= min(ended)
    assert max(ended) <= asked * 31 / 30
    assert max(ended.values()) < 12


def test_without_detectors_nothing_is_found() -> None:
    stream = learned(detectors=[])
    assert stream.send(5.0, 30) == []


@pytest.mark.parametrize(
    "detectors", [["adwin", "page_hinkley"], ["scan", "ks"], ["cusum", "ewma", "eprocess"]]
)
@pytest.mark.parametrize("cut", [3, 7, 25, 33, 37, 60])
def test_a_restored_subject_goes_on_exactly_as_it_would(cut: int, detectors: list[str]) -> None:
    means = [0.0] * 35 + [1.0] * 40
    settings: dict[str, Any] = {"detectors": detectors, "budget": {"per": "20s"}}
    going, restored = Stream(**settings), Stream(**settings)
    for number, mean in enumerate(means):
        if number == cut:
            state = unpack("test", 1, pack("test", 1, restored.subject.snapshot()))
            restored.subject = Subject.restore(state, restored.model, restored.model.features)
            assert pack("test", 1, restored.subject.snapshot()) == pack("test", 1, state)
        assert going.send(mean, 1) == restored.send(mean, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"detectors": ["page_hinkley"]},
        {"detectors": [{"adwin": {"delta": 0.1}}, "page_hinkley"]},
        {"features": {"late": {"type": "category", "values": ["a"]}}},
    ],
)
def test_a_watch_whose_settings_changed_keeps_its_reference_and_begins_anew(settings: dict[str, Any]) -> None:
    stream = Stream()
    stream.send(0, LEARN_SLICES, late="a")
    stream.send(1.0, 10, late="a")
    state = unpack("test", 1, pack("test", 1, stream.subject.watches[0].snapshot()))
    assert state["pending"]["told"].any()
    other = model(**settings)
    watch = Watch.restore(state, other, other.features)
    assert watch.reference.summary == stream.subject.watches[0].reference.summary
    assert not watch.snapshot()["pending"]["told"].any()
    watch.close(10**6, summary([{"x": 10.0, "late": "a"}] * ROWS))


@pytest.mark.parametrize("slice_ms", [100, 7_200_000])
def test_a_watch_of_other_slices_begins_anew_with_the_first_that_may_come(slice_ms: int) -> None:
    stream = Stream(detectors=["scan"])
    stream.send(0, LEARN_SLICES + 80)
    state = unpack("test", 1, pack("test", 1, stream.subject.watches[0].snapshot()))
    other = model(detectors=["scan"], slice=duration_text(slice_ms))
    watch = Watch.restore(state, other, other.features)
    [(scan, _)] = watch.detectors
    assert isinstance(scan, Scan)
    # How far slices of a second move by chance says nothing of these.
    assert not scan.noise.levels
    last = stream.slice * 1000 - 1
    watch.close(last // slice_ms * slice_ms, summary([{"x": 10.0}] * ROWS))


def test_a_watch_whose_minimum_effect_changed_goes_on() -> None:
    stream = learned()
    stream.send(1.0, 10)
    other = model(min_effect={"location": 0.2})
    watch = Watch.restore(stream.subject.watches[0].snapshot(), other, other.features)
    assert watch.snapshot()["pending"]["told"].any()


def test_what_a_smaller_minimum_effect_asks_for_is_found_from_then_on() -> None:
    stream = Stream(learn=ROWS * 80, detectors=["scan"], min_effect={"location": 0.5, "shape": 1.0})
    stream.send(0, 100)
    # 0.4 standard deviations move the location score by 0.22.
    assert stream.send(0.4, 40) == []
    assert stream.send(0, 40) == []
    other = model(learn=ROWS * 80, detectors=["scan"], min_effect={"location": 0.05, "shape": 1.0})
    stream.subject = Subject.restore(stream.subject.snapshot(), other, other.features)
    assert [finding.score for finding in stream.send(0.4, 40)] == ["location"]


def test_a_learned_reference_of_another_center_is_given_up_and_learned_anew() -> None:
    stream = learned()
    state = stream.subject.snapshot()
    centered = model(features={"x": {"center": 10}})
    restored = Subject.restore(state, centered, centered.features)
    assert restored.watches == []
    assert Subject.restore(state, stream.model, stream.model.features).watches != []

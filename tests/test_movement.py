"""A signal that moves otherwise from slice to slice at the same level: found, told, and within its budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from benchmarks.streams import BY_NAME, Streams
from stream_monitor.alerting.sentence import sentence
from stream_monitor.checks.base import Observations, Score, Unit
from stream_monitor.checks.movement import LASTS, MEMORY, SLICES_MIN, VARIATION, Movement, correlation
from stream_monitor.checks.pending import NOISE_SDS
from stream_monitor.checks.subject import Subject
from stream_monitor.config import MinEffect
from stream_monitor.decide.events import severity_of
from stream_monitor.detectors import Cusum
from stream_monitor.events import Finding, Float64s
from stream_monitor.events import Stream as Name
from stream_monitor.reference import Reference
from stream_monitor.state import pack, unpack
from tests.test_checks import summary
from tests.test_watch import model

ROWS = 30
LEARN = SLICES_MIN * 5 // 3 + 2
"""In slices: a quarter of them makes the ranks, and movements begin after up to a quarter more."""


def located(signals: int) -> list[Score]:
    return [Score("drift", f"x{at}", "location", Unit.RANK, 0.1) for at in range(signals)]


def autoregressive(random: np.random.Generator, phi: float, length: int) -> Float64s:
    noise = random.standard_normal(length + 300)
    found: Float64s = lfilter([np.sqrt(1 - phi * phi)], [1.0, -phi], noise)[300:]
    return found


class Moving:
    """A signal whose level moves by ``sd`` of its events from slice to slice, and remembers as told."""

    def __init__(self, seed: int, *, moves: bool = True, **settings: Any) -> None:
        self.random = np.random.default_rng(seed)
        effect = {"location": 0.5, "shape": 0.6, "rate": 0.5}
        given = {"learn": ROWS * LEARN, "detectors": ["scan"], "min_effect": effect} | settings
        self.model = model(**given)
        self.subject = Subject(self.model, self.model.features, None, moves=moves)
        self.slice = 0

    def rows(self, level: float) -> list[dict[str, Any]]:
        return [{"x": x} for x in (10 + level + self.random.standard_normal(ROWS)).tolist()]

    def send(self, phi: float, slices: int, *, sd: float = 0.8, mean: float = 0.0) -> list[Finding]:
        found = []
        for level in (mean + sd * autoregressive(self.random, phi, slices)).tolist():
            found += self.subject.close(self.slice * 1000, summary(self.rows(level)))
            self.slice += 1
        return found


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.6])
def test_the_correlation_that_is_told_is_that_of_neighbours(phi: float) -> None:
    random = np.random.default_rng(2)
    one, other = random.standard_normal((2, 200_000))
    other = phi * one + np.sqrt(1 - phi * phi) * other
    like = float(np.mean(2 * one * other / (one * one + other * other)))
    assert correlation(like) == pytest.approx(phi, abs=0.01)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.0)])
def test_another_memory_of_the_same_variance_is_found_once_and_told(before: float, after: float) -> None:
    stream = Moving(1)
    assert stream.send(before, LEARN + 100) == []
    began = stream.slice * 1000
    [finding] = stream.send(after, 450)
    assert finding.check == "movement"
    assert finding.found - began <= 400_000
    assert finding.earliest <= began + 5_000
    assert finding.latest >= began - 5_000
    assert severity_of(Name("m"), finding, stream.model) == "ticket"
    assert severity_of(Name("m"), replace(finding, check="drift"), stream.model) == "page"
    said = sentence(Name("m"), "features", finding)
    how = "have come to resemble each other" if after > before else "resemble each other less than they did"
    assert said.startswith(f"m: feature x keeps its level, but consecutive slices {how}: correlation ")


@pytest.mark.parametrize(("sd", "said"), [(2.6, "have come to differ more"), (0.0, "differ less than")])
def test_another_variance_between_slices_is_found_and_told(sd: float, said: str) -> None:
    stream = Moving(2, min_effect={"location": 2.0, "shape": 2.0, "rate": 1.0})
    assert stream.send(0.0, LEARN + 100) == []
    [finding] = stream.send(0.0, 450, sd=sd)
    assert (finding.check, finding.score) == ("movement", "variation")
    assert f"consecutive slices {said}" in sentence(Name("m"), "features", finding)


@pytest.mark.parametrize("size", [5.0, 1_000.0])
def test_a_shift_of_the_level_is_over_before_it_could_be_told_as_another_movement(size: float) -> None:
    """Of the level by so many standard deviations of a slice."""
    streams, effect = 400, MinEffect()
    random, movement = np.random.default_rng(3), Movement(located(streams), effect)

    def told(slices: int, level: float) -> Float64s:
        ones = np.ones(streams)
        means = level + random.standard_normal((slices, streams))
        seen = [movement.follow(Observations(10 * ones, mean, 90 * ones)) for mean in means]
        return np.array([one.mean for one in seen]).reshape(slices, 2, streams)

    told(100, 0.0)
    healthy = told(500, 0.0)
    shifted = told(max(LASTS.values()), size)
    for score, (name, dead) in enumerate(((MEMORY, effect.memory), (VARIATION, effect.variation))):
        of = healthy[:, score]
        moved = shifted[: LASTS[name], score].mean() - of.mean()
        assert abs(moved) < dead + NOISE_SDS * of.std() / LASTS[name] ** 0.5


def test_while_a_signal_is_told_to_have_drifted_its_movement_is_not() -> None:
    stream = Moving(4)
    assert stream.send(0.0, LEARN + 100) == []
    found = stream.send(0.97, 400, mean=4.0)
    assert {finding.check for finding in found} == {"drift"}


def test_segments_and_who_says_so_are_spared() -> None:
    calm = Moving(1, moves=False)
    calm.send(0.0, LEARN + 100)
    assert all(one.check == "drift" for one in calm.send(0.9, 450))
    off = Moving(1, min_effect={"location": 0.5, "shape": 0.6, "rate": 0.5, "memory": 2, "variation": 99})
    off.send(0.0, LEARN + 100)
    assert off.send(0.9, 450) == []


def test_against_a_file_it_learns_first_how_signals_move() -> None:
    stream = Moving(5)
    rows = [row for _ in range(200) for row in stream.rows(0.8 * stream.random.standard_normal())]
    reference = Reference.of(summary(rows), stream.model.features)
    stream.subject = Subject(stream.model, stream.model.features, reference, moves=True)
    assert stream.send(0.0, SLICES_MIN * 5 // 4 + 100) == []
    assert [finding.check for finding in stream.send(0.9, 450)] == ["movement"]


def test_restored_half_way_it_says_the_same() -> None:
    def told(at: int) -> list[Finding]:
        stream = Moving(1)
        found = []
        for slices, phi in ((LEARN - at, 0.0), (100 + at, 0.0), (60, 0.9), (390, 0.9)):
            found += stream.send(phi, slices)
            state = unpack("test", 1, pack("test", 1, stream.subject.snapshot()))
            stream.subject = Subject.restore(state, stream.model, stream.model.features, moves=True)
        return found

    whole = Moving(1)
    expected = [
        one
        for slices, phi in ((LEARN, 0.0), (100, 0.0), (60, 0.9), (390, 0.9))
        for one in whole.send(phi, slices)
    ]
    assert expected
    assert told(0) == expected


@pytest.mark.parametrize("name", ["normal", "student t 3", "ar .9", "daily season"])
@pytest.mark.parametrize("events", [10, 100])
def test_healthy_streams_raise_no_more_than_the_budget(name: str, events: int) -> None:
    """Whatever the minimum effect: without one."""
    signals, slices, run_length = 25, 5_000, 2_000
    streams, movement = Streams(BY_NAME[name], 17, signals), Movement(located(signals), MinEffect())
    cusum = Cusum(2 * signals, learn=SLICES_MIN, run_length=run_length, shift=0.4)
    order = np.sort(streams.take(2_000), axis=1)
    alarms = 0
    for _ in range(slices // 250):
        values = streams.take(250 * events)
        ranks = [np.searchsorted(mine, one) for mine, one in zip(order, values, strict=True)]
        u = (np.array(ranks) / 1_000 - 1.0).reshape(signals, 250, events)
        mean = u.mean(axis=2)
        m2 = ((u - mean[..., None]) ** 2).sum(axis=2)
        for at in range(250):
            seen = movement.follow(Observations(np.full(signals, float(events)), mean[:, at], m2[:, at]))
            alarms += len(cusum.update(seen.n, seen.mean, seen.m2) or ())
    assert alarms <= 2 * signals * (slices - SLICES_MIN) / run_length

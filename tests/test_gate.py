"""The gate fails on a stage that costs twice what it did, and not on noise. No test looks at a real clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from benchmarks.gate import LIMIT, RECORDED, ROUNDS, STALE, TRIES_MAX, judge, ratios
from benchmarks.stages import SLICES, Stage, config, slice_flushes, stages
from stream_monitor.decide import Decider
from stream_monitor.reference import References


class Machine:
    """A clock that only work moves: a stage by its cost, slowed down by each of ``noise`` in turn."""

    def __init__(self, cost_s: float, noise: Iterator[float] | None = None) -> None:
        self.now_s = 0.0
        self._noise = noise or repeat(1.0)
        self.stage = Stage("decode", self._works(cost_s), "baseline", self._works(2.0, repeat(1.0)))

    def _works(self, cost_s: float, noise: Iterator[float] | None = None) -> Callable[[], None]:
        def work() -> None:
            self.now_s += cost_s * next(noise or self._noise)

        return work

    def clock(self) -> float:
        return self.now_s


def test_a_ratio_is_of_the_least_of_each() -> None:
    machine = Machine(6.0, chain([1.5], repeat(1.0, 2), repeat(9.0)))
    assert ratios([machine.stage], rounds=5, clock=machine.clock) == {"decode": 3.0}


@pytest.mark.parametrize("cost_s", [6.0, 6.0 * 1.5, 1.0])
def test_a_stage_within_the_limit_passes_at_once(cost_s: float) -> None:
    machine = Machine(cost_s)
    (outcome,) = judge([machine.stage], {"decode": 3.0}, machine.clock)
    assert outcome.passes
    assert outcome.tries == 1
    assert outcome.growth == cost_s / 6


def test_a_doubled_stage_fails_and_says_by_how_much() -> None:
    machine = Machine(6.0)
    (outcome,) = judge([machine.stage.twice()], {"decode": 3.0}, machine.clock)
    assert not outcome.passes
    assert outcome.tries == TRIES_MAX
    assert outcome.text().startswith(
        "decode: expected at most 1.6 x 3.00 times the CPU of baseline, got 2.00 x"
    )


def test_noise_of_one_try_is_measured_again() -> None:
    machine = Machine(6.0, chain(repeat(2.5, ROUNDS), repeat(1.0)))
    (outcome,) = judge([machine.stage], {"decode": 3.0}, machine.clock)
    assert outcome.passes
    assert outcome.tries == 2


def test_what_was_recorded_leaves_room_on_both_sides() -> None:
    recorded = json.loads(RECORDED.read_text())
    names = {stage.name for stage in stages()}
    assert set(recorded["ratios"]) == set(recorded["baselines"]) == names
    assert recorded["limit"] == LIMIT
    assert max(recorded["largest"].values()) < 1 + (LIMIT - 1) / 3
    assert max(recorded["largest_busy"].values()) < 1 + (LIMIT - 1) * 0.7
    assert min(recorded["doubled"].values()) > 1 + (LIMIT - 1) * 1.2
    assert max(recorded["doubled"].values()) < 2.2
    assert STALE * 2 == LIMIT


def test_stages_do_what_they_are_named_for_each_time() -> None:
    for stage in stages():
        stage.work()
        stage.work()
    settings = config()
    references = References(settings)
    decider = Decider(settings, references)
    for one in slice_flushes(settings, references):
        decider.apply(one)
    # The last slice is open, and lateness holds back the one before.
    assert decider.counters["slices_closed"] == SLICES - 2
    assert not decider.learning()

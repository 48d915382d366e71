"""What CUSUM, EWMA and the e-process promise beyond the laws: run lengths, published figures, one bound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtr

from stream_monitor.detectors import Changes, Cusum, Detector, EProcess, Ewma, make
from stream_monitor.detectors.thresholds import OVERSHOOT, excursion_height, excursions
from tests.oracles_detectors import Slices, run, told
from tests.test_detectors_scan import ar, rate_of, sampled, slices_of, waves

SIGNALS, LEARN, WATCHED, RUN_LENGTH = 100, 600, 3_000, 1_000.0
Make = Callable[[np.random.Generator, tuple[int, int]], Slices]


def shares(random: np.random.Generator, shape: tuple[int, int]) -> Slices:
    """Slices of 100 scores in [0, 1] that remember."""
    mean = np.clip(0.5 + 0.02 * ar(random, 0.8, shape) + random.normal(size=shape) * 0.02, 0.0, 1.0)
    return slices_of(mean, 100.0, 0.04)


STATIONARY: dict[str, Make] = {
    "events": lambda random, shape: slices_of(ndtr(random.normal(size=shape)), 1.0, 0.0),
    "AR .8": lambda random, shape: slices_of(ndtr(ar(random, 0.8, shape)), 1.0, 0.0),
    "scores that remember": shares,
    "uneven": lambda random, shape: sampled(random, waves(shape)),
    "rate .02": rate_of(0.02, 1),
    "rate .02, slices of 50": rate_of(0.02, 50),
}
CHARTS = ("cusum", "ewma", "eprocess")


def new(chart: str, stream: str) -> Detector:
    share = stream.startswith("rate")
    return make(chart, SIGNALS, {"learn": LEARN, "run_length": RUN_LENGTH, "share": share})


def firsts(detector: Detector, slices: Slices) -> np.ndarray:
    """The first slice in which a change was told of each signal; -1 where none was."""
    found = np.full(slices.n.shape[1], -1)

    def collect(index: int, changes: Changes) -> None:
        fresh = changes.signal[found[changes.signal] < 0]
        found[fresh] = index

    run(detector, slices, collect)
    return found


@pytest.mark.parametrize(
    ("chart", "stream"),
    [pair for pair in itertools.product(CHARTS, STATIONARY) if pair != ("eprocess", "uneven")],
)
def test_noise_alone_raises_no_more_than_its_run_length_allows(chart: str, stream: str) -> None:
    slices = STATIONARY[stream](np.random.default_rng(8101), (LEARN + WATCHED, SIGNALS))
    counts = np.zeros(SIGNALS)

    def collect(index: int, changes: Changes) -> None:
        counts[changes.signal] += 1

    run(new(chart, stream), slices, collect)
    error = max(float(counts.std()), counts.mean() ** 0.5) / SIGNALS**0.5
    assert counts.mean() + 2 * error <= WATCHED / RUN_LENGTH


@pytest.mark.parametrize("stream", ["events", "rate .02, slices of 50"])
@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_shift_of_one_sd_is_found_both_ways(chart: str, stream: str, sign: float) -> None:
    slices = STATIONARY[stream](np.random.default_rng(8102), (LEARN + 300, SIGNALS))
    moved = slices.mean[LEARN:] + sign * slices.mean[:LEARN].std()
    slices.mean[LEARN:] = np.clip(moved, 0.0, 1.0) if chart == "eprocess" else moved
    found = firsts(new(chart, stream), slices)
    assert (found >= LEARN).mean() >= 0.9


@pytest.mark.parametrize(("chart", "least"), [("cusum", 0.9), ("ewma", 0.8), ("eprocess", 0.8)])
def test_says_when_and_how_much(chart: str, least: float) -> None:
    slices = shares(np.random.default_rng(8109), (LEARN + 150, SIGNALS))
    slices.mean[LEARN + 50 :] += 0.2
    told_of: dict[int, tuple[bool, float]] = {}

    def collect(index: int, changes: Changes) -> None:
        early, late = index - changes.earliest, index - changes.latest
        for at, signal in enumerate(changes.signal.tolist()):
            if index >= LEARN + 50:
                covered = early[at] <= LEARN + 50 <= late[at]
                told_of.setdefault(signal, (bool(covered), float(changes.after_mean[at])))

    run(make(chart, SIGNALS, {"learn": LEARN, "run_length": 1e5}), slices, collect)
    assert len(told_of) == SIGNALS
    covered, after = zip(*told_of.values(), strict=True)
    assert np.mean(covered) >= least
    assert np.median(after) == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize(("h", "k", "length"), [(4.0, 0.5, 168), (5.0, 0.5, 465), (8.01, 0.25, 370)])
def test_run_lengths_of_a_cusum_are_those_that_are_published(h: float, k: float, length: float) -> None:
    # Two-sided; Montgomery, Introduction to Statistical Quality Control, tables 9.3 and 9.4.
    once = excursions(np.array(h + OVERSHOOT), np.array(k))
    assert 1 / (2 * once) == pytest.approx(length, rel=0.05)
    known = excursion_height(np.array([1 / length]), k, np.zeros(1), np.array([1e9]))
    assert known[0] - OVERSHOOT == pytest.approx(h, rel=0.02)


def test_what_is_learned_inexactly_asks_for_a_higher_threshold() -> None:
    rate, exact = np.array([1e-6]), np.array([1e9])
    known = excursion_height(rate, 0.25, np.zeros(1), exact)
    assert excursion_height(rate, 0.25, np.array([1e-3]), exact)[0] > known[0] * 1.05
    assert excursion_height(rate, 0.25, np.zeros(1), np.array([100.0]))[0] > known[0] * 1.02


def test_no_allowance_left_is_plain_brownian_motion() -> None:
    # Without drift it takes h^2 to rise by h from the least: the range of a motion.
    near = excursions(np.array([3.0, 3.0, 3.0]), np.array([-1e-6, 0.0, 1e-6]))
    assert 1 / near == pytest.approx(9.0, rel=1e-4)


def twin_of_cusum(values: list[float], level: float, sd: float, shift: float) -> list[float]:
    up = down = 0.0
    found = []
    for value in values:
        z = (value - level) / sd
        up, down = max(0.0, up + z - shift / 2), max(0.0, down - z - shift / 2)
        found.append(max(up, down))
    return found


def test_cusum_is_the_sum_of_the_textbook() -> None:
    values = np.random.default_rng(8103).normal(size=400)
    chart, zero = Cusum(1, learn=300, run_length=1e9, shift=0.8), np.zeros(1)
    for value in values[:300]:
        chart.update(np.ones(1), np.array([value]), zero)
    sd = math.sqrt(chart.noise.long_run[0])
    assert sd == pytest.approx(1.0, abs=0.15)
    sums = []
    for value in values[300:]:
        chart.update(np.ones(1), np.array([value]), zero)
        sums.append(float(chart.snapshot()["state"].max()))
    assert sums == pytest.approx(twin_of_cusum(values[300:].tolist(), values[:300].mean(), sd, 0.8))


def test_ewma_has_the_exact_variance_of_independent_slices() -> None:
    # Of known noise: the share of signals beyond 2 sd is that of a Gaussian after any number of slices.
    random, signals = np.random.default_rng(8104), 1_000
    chart = Ewma(signals, learn=400, run_length=1e12, window=9.0)
    for _ in range(400):
        chart.update(np.full(signals, 4.0), random.normal(size=signals) / 2, random.chisquare(3, signals))
    latest = 0.2
    for age in range(1, 30):
        chart.update(np.full(signals, 4.0), random.normal(size=signals) / 2, random.chisquare(3, signals))
        events, total = chart.snapshot()["state"][:2]
        variance = latest / (2 - latest) * (1 - (1 - latest) ** (2 * age)) / (1 - (1 - latest) ** age) ** 2
        assert np.var(total / events) == pytest.approx(variance / 4, rel=0.18)
        single, squares = chart.snapshot()["state"][2:4]
        assert single / events**2 * 4 == pytest.approx(variance, rel=1e-9)
        assert squares / events**2 == pytest.approx(variance, rel=1e-9)


def test_no_bet_wins_more_than_event_by_event() -> None:
    random = np.random.default_rng(8105)
    for p, level in ((0.02, 0.03), (0.5, 0.4), (0.9, 0.97)):
        bets = EProcess(1, learn=32, run_length=1e12, level=level)
        for _ in range(40):
            hit = float(random.binomial(50, level)) / 50
            bets.update(np.array([50.0]), np.array([hit]), np.array([50 * hit * (1 - hit)]))
        bets._state[:] = 0.0
        values = np.where(random.random(30) < 0.5, random.random(30), random.random(30) < p)
        mean = values.mean()
        stake = bets._limits[4 : 4 + bets.EXCURSIONS, 0]
        bets.update(np.array([30.0]), np.array([mean]), np.array([values.var() * 30]))
        signs = np.repeat([1.0, -1.0], bets.EXCURSIONS // 2)
        product = np.log1p(stake * signs * (values[:, None] - level)).sum(axis=0)
        capital = bets.snapshot()["state"][:-1, 0]
        assert (capital <= np.maximum(product, 0.0) + 1e-9).all()


def test_bets_keep_their_promise_where_noise_is_no_noise_of_a_textbook() -> None:
    # Each event has the mean .1, and is skewed, and its spread depends on what came before; a shift is found.
    random = np.random.default_rng(8106)
    shape = (LEARN + WATCHED, SIGNALS)
    rare = np.where(np.cumsum(random.random(shape) < 0.01, axis=0) % 2 > 0, 0.1, 0.02)
    values = 0.1 + (random.random(shape) < rare) * 0.8 - 0.8 * rare
    values = np.clip(values, 0.0, 1.0)
    bets = EProcess(SIGNALS, learn=LEARN, run_length=RUN_LENGTH, level=0.1)
    assert len(told(bets, slices_of(values, 1.0, 0.0))) <= SIGNALS * WATCHED / RUN_LENGTH
    values[LEARN:] += 0.05
    again = EProcess(SIGNALS, learn=LEARN, run_length=RUN_LENGTH, level=0.1)
    assert (firsts(again, slices_of(np.clip(values, 0.0, 1.0), 1.0, 0.0)) > 0).mean() > 0.9


def test_a_signal_beyond_its_bounds_is_not_watched_any_more() -> None:
    bets, zero = EProcess(2, learn=40, run_length=50.0), np.zeros(2)
    for index in range(200):
        value = 0.3 if index < 100 else 0.9
        changes = bets.update(np.ones(2), np.array([value, 1.5 if index == 60 else value]), zero)
        assert changes is None or changes.signal.tolist() == [0]
    assert len(told(bets, slices_of(np.full((50, 2), 0.9), 1.0, 0.0))) > 0


@pytest.mark.parametrize("chart", [Cusum, Ewma, EProcess])
def test_a_level_that_is_given_is_what_counts(chart: type[Detector]) -> None:
    slices = sampled(np.random.default_rng(8107), np.full((400, 20), 100.0))
    scores = slices._replace(mean=0.5 + slices.mean * 0.2, m2=slices.m2 * 0.04)
    assert told(chart(20, learn=100, run_length=1e4), scores) == []
    assert (firsts(chart(20, learn=100, run_length=1e4, level=0.55), scores) > 0).all()
    assert told(chart(20, learn=100, run_length=1e4, level=0.55, dead=0.1), scores) == []


@pytest.mark.parametrize("chart", [Cusum, Ewma, EProcess])
def test_a_constant_alarms_when_it_moves_and_not_before(chart: type[Detector]) -> None:
    for value, moved in ((0.0, 0.4), (0.1, 0.6), (1.0, 0.5)):
        detector, zero = chart(1, learn=40, run_length=1e6), np.zeros(1)
        for _ in range(500):
            assert detector.update(np.full(1, 7.0), np.full(1, value), zero) is None
        late = next(
            late
            for late in range(100)
            if detector.update(np.full(1, 7.0), np.full(1, moved), zero) is not None
        )
        assert late <= (0 if chart is not EProcess else 20)


@pytest.mark.parametrize("chart", CHARTS)
def test_begin_and_rate(chart: str) -> None:
    slices = sampled(np.random.default_rng(8108), np.full((300, 10), 100.0))
    scores = slices._replace(mean=0.5 + slices.mean * 0.2, m2=slices.m2 * 0.04)
    scores.mean[200:] += 0.1
    detector = make(chart, 10, {"learn": None, "run_length": 5.0})
    told(detector, Slices(*(values[:100] for values in scores)))
    assert isinstance(detector, Cusum | Ewma | EProcess)
    assert detector.noise.n.sum() == 0
    detector.begin()
    detector.rate(1e3)
    later = Slices(*(values[100:] for values in scores))
    assert (firsts(detector, later) >= 100).all()


def test_a_signal_that_once_left_its_bounds_is_not_watched_any_more() -> None:
    bets, n, m2 = EProcess(2, learn=100, level=0.5, run_length=1e300), np.full(2, 20.0), np.full(2, 4.0)
    random = np.random.default_rng(8109)
    for index in range(300):
        mean = random.binomial(20, 0.5 + 0.1 * (index >= 200), 2) / 20
        assert bets.update(n, np.where([index == 299, False], 1.5, mean), m2) is None
    # What was won before is enough now, but of the first signal it is not asked for any more.
    bets.rate(2.0)
    changed = [bets.update(n, np.full(2, 0.9), m2) for _ in range(50)]
    assert {signal for one in changed if one is not None for signal in one.signal.tolist()} == {1}


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("cusum", {"shift": 0.0}, "0 < shift"),
        ("ewma", {"window": 0.5}, "1 <= window"),
        ("eprocess", {"run_length": 0.0}, "run_length >= 1"),
        ("ewma", {"learn": 5}, "at least 32"),
        ("cusum", {"dead": -1.0}, "dead >= 0"),
        ("eprocess", {"window": 5}, "window"),
    ],
)
def test_says_what_it_expected(name: str, params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, 1, params)

"""What the Kolmogorov-Smirnov test promises: exact shares, its twin's changes, its run length whatever the
distribution, and what it sees that the polynomials of the rank do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.polynomial.legendre import legval
from scipy.signal import lfilter

from stream_monitor.checks.distribution import LEAST, PARTS, Distribution, DistributionMeasure
from stream_monitor.config import parse_config
from stream_monitor.detectors import Changes, Ks, Scan
from stream_monitor.detectors.base import Detector
from stream_monitor.events import Float64s, Int64s
from stream_monitor.reference import Reference
from stream_monitor.summary.codes import bins_of, fine_codes
from tests.oracles_detectors import Slices, run
from tests.oracles_detectors_ks import KsTwin
from tests.test_checks import summary

Draw = Callable[[np.random.Generator, tuple[int, int]], Float64s]
"""Values (T, S)."""


def ar(phi: float) -> Draw:
    def draw(random: np.random.Generator, shape: tuple[int, int]) -> Float64s:
        noise = random.normal(size=(shape[0] + 200, shape[1]))
        values: Float64s = lfilter([1], [1, -phi], noise, axis=0)[200:] * np.sqrt(1 - phi * phi)
        return values

    return draw


def often_zero(random: np.random.Generator, shape: tuple[int, int]) -> Float64s:
    return random.lognormal(0, 1, shape) * (random.random(shape) < 0.6)


KINDS: dict[str, Draw] = {
    "normal": lambda random, shape: random.normal(size=shape),
    "student t 3": lambda random, shape: random.standard_t(3, shape),
    "lognormal": lambda random, shape: random.lognormal(0, 1, shape),
    "counts": lambda random, shape: random.poisson(3, shape).astype(np.float64),
    "often zero": often_zero,
    "AR .5": ar(0.5),
    "AR .9": ar(0.9),
}


def measure_of(values: Float64s) -> DistributionMeasure:
    """Of a signal x, with these values as reference."""
    model = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    reference = Reference.of(summary([{"x": x} for x in values.tolist()]), {})
    return Distribution()(reference, model.min_effect, {})


def bins(values: Float64s) -> Int64s:
    return bins_of(fine_codes(values.ravel())).reshape(values.shape).astype(np.int64)


def slices_of(scores: list[Float64s]) -> Slices:
    """Of scores of events, each (T, n, S), the slices (T, K S)."""
    mean = np.concatenate([one.mean(axis=1) for one in scores], axis=1)
    m2 = np.concatenate([one.var(axis=1) * one.shape[1] for one in scores], axis=1)
    return Slices(np.full(mean.shape, float(scores[0].shape[1])), mean, m2)


def shares(ranks: Float64s, edges: Float64s | Int64s) -> Slices:
    return slices_of([(ranks <= edge).astype(np.float64) for edge in edges.tolist()])


def firsts(detector: Detector, slices: Slices, signals: int) -> Float64s:
    """Of each of the signals, whose scores are every ``signals``-th, when the first one changes; infinity."""
    found = np.full(signals, np.inf)

    def collect(index: int, changes: Changes) -> None:
        np.minimum.at(found, changes.signal % signals, index)

    run(detector, slices, collect)
    return found


@pytest.mark.parametrize("name", [*KINDS, "kelvin", "constant"])
def test_scores_are_shares_up_to_edges_that_part_the_reference_equally(name: str) -> None:
    random = np.random.default_rng(7601)
    other = {"kelvin": random.normal(300, 3, (2, 4_000)), "constant": np.full((2, 4_000), 7.0)}
    before, after = other[name] if name in other else KINDS[name](random, (4_000, 2)).T
    measure = measure_of(before)
    seen = measure.measure(summary([{"a": 1.0, "x": x, "z": -x} for x in after.tolist()]))
    counted = [sum(b <= edge for b in bins(after).tolist()) / 4_000 for edge in measure.edges.tolist()]
    assert (seen.mean.tolist(), set(seen.n)) == (counted, {4_000.0} if counted else set())
    _, most = np.unique(bins(before), return_counts=True)
    reference = np.array([(bins(before) <= edge).mean() for edge in measure.edges])
    assert ((reference >= LEAST) & (reference <= 1 - LEAST)).all()
    # No part is larger than it should be by more than a bin, which is what cannot be parted.
    parts = np.diff([0.0, *reference, 1.0])
    assert parts.max() <= 1 / PARTS + 2 * most.max() / 4_000
    assert (len(parts) == PARTS) == (name not in {"counts", "often zero", "kelvin", "constant"})


def test_a_signal_without_values_has_none() -> None:
    measure = measure_of(np.random.default_rng(7602).normal(size=500))
    for rows in ([{"a": 1.0}], [{"z": 1.0}], [{"a": 1.0, "x": None, "z": 1.0}]):
        assert not measure.measure(summary(rows * 5)).n.any()


def test_an_edge_of_a_centered_signal_is_told_in_its_own_unit() -> None:
    model = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    field = {"type": "number", "center": 1000.0}
    config = parse_config({"predictions": {"topics": ["p"]}, "models": {"m": {"features": {"x": field}}}})
    rows = summary([{"x": 1000.0 + x} for x in range(-8, 9)] * 9, x=field)
    reference = Reference.of(rows, config.model("m").features)
    names = [score.name for score in Distribution()(reference, model.min_effect, {}).scores]
    assert names[:2] == ["share up to 991.877", "share up to 992.938"]


def test_agrees_with_its_twin() -> None:
    random, edges = np.random.default_rng(7603), [0.2, 0.5, 0.55, 0.9]
    sizes = random.integers(0, 12, 500)
    slices = [random.random(n) ** (1.0 if at < 250 else 1.4) for at, n in enumerate(sizes)]
    ks, twin = Ks(4, learn=120, run_length=4 * 8.0), KsTwin(edges, learn=120, run_length=8.0)
    ours, theirs = [], []
    for index, values in enumerate(slices):
        n = np.full(4, float(len(values)))
        share = (values[:, None] <= edges).mean(axis=0) if len(values) else np.zeros(4)
        theirs += [(index, *row) for row in twin.update(values.tolist())]
        if changes := ks.update(n, share, n * share * (1 - share)):
            first = (index - changes.since).tolist()
            columns = changes.signal.tolist(), first, changes.after_n.tolist(), changes.after_mean.tolist()
            ours += [(index, *row) for row in zip(*columns, strict=True)]
    assert len(theirs) > 10
    assert ours == [pytest.approx(row) for row in theirs]


SIGNALS, EVENTS, LEARN, WATCHED, RUN_LENGTH = 20, 20, 1_000, 2_000, 200.0


@pytest.mark.parametrize("name", KINDS)
def test_noise_alone_raises_no_more_than_its_run_length_allows(name: str) -> None:
    random, draw = np.random.default_rng(7604), KINDS[name]
    edges = measure_of(draw(random, (4_000, 1))[:, 0]).edges
    values = draw(random, ((LEARN + WATCHED) * EVENTS, SIGNALS))
    codes = bins(values).reshape(-1, EVENTS, SIGNALS).astype(np.float64)
    ks = Ks(SIGNALS * len(edges), learn=LEARN, run_length=RUN_LENGTH * len(edges))
    counts = np.zeros(SIGNALS)

    def collect(_index: int, changes: Changes) -> None:
        np.add.at(counts, changes.signal % SIGNALS, 1)

    run(ks, shares(codes, edges), collect)
    # 200 budget periods, and all edges count.
    error = max(float(counts.std()), counts.mean() ** 0.5) / SIGNALS**0.5
    assert counts.mean() + 2 * error <= WATCHED / RUN_LENGTH
    assert counts.mean() >= 0.05 * WATCHED / RUN_LENGTH  # It spends some of what is allowed.


def piled(random: np.random.Generator, shape: tuple[int, ...]) -> Float64s:
    """Ranks of values of which those just below a limit are pushed just above it."""
    ranks = random.random(shape)
    return np.where((ranks > 0.5) & (ranks <= 0.6), ranks + 0.1, ranks)


def rounded(random: np.random.Generator, shape: tuple[int, ...]) -> Float64s:
    return (np.floor(random.random(shape) * 8) + 0.5) / 8


def moved(random: np.random.Generator, shape: tuple[int, ...]) -> Float64s:
    """By about a quarter of a standard deviation, were they ranks of normal values."""
    ranks: Float64s = random.random(shape) ** 1.25
    return ranks


@pytest.mark.parametrize(("change", "least", "most"), [(piled, 0, 0.6), (rounded, 0, 0.2), (moved, 0.5, 1.6)])
def test_sees_sooner_what_the_polynomials_hardly_see_and_a_shift_as_soon(
    change: Callable[[np.random.Generator, tuple[int, ...]], Float64s], least: float, most: float
) -> None:
    random, signals, learn = np.random.default_rng(7605), 20, 600
    ranks = np.concatenate((random.random((learn, 20, signals)), change(random, (600, 20, signals))))
    polynomials = slices_of([legval(2 * ranks - 1, np.eye(5)[degree]) for degree in range(1, 5)])
    edges = np.arange(1, PARTS) / PARTS
    scan = Scan(4 * signals, learn=learn, run_length=4 * 1e4)
    ks = Ks(len(edges) * signals, learn=learn, run_length=len(edges) * 1e4)
    delays = [
        np.median(firsts(one, slices, signals)) - learn + 1
        for one, slices in ((ks, shares(ranks, edges)), (scan, polynomials))
    ]
    assert np.isfinite(delays[0])
    assert least * delays[1] <= delays[0] <= most * delays[1]

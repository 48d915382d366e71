"""What is learned of dependence against closed forms; thresholds against published values and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import norm

from stream_monitor.detectors import learning
from stream_monitor.detectors.beneath import LENGTH_MIN, beneath_noise
from stream_monitor.detectors.dependence import autoregression, demeaned, spread_of
from stream_monitor.detectors.learning import Learning
from stream_monitor.detectors.thresholds import HEIGHT_MIN, height, of_estimate, overshoot, upcrossings

ONE = np.array([1])


def series(phi: list[float], length: int, columns: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(length + 500, columns))
    values: np.ndarray = lfilter([1], [1, *(-one for one in phi)], noise, axis=0)[500:]
    return values


def of_mean(phi: list[float], window: int) -> float:
    """Var(mean of ``window`` values) of an autoregression with unit noise, from its moving average."""
    impulse = lfilter([1], [1, *(-one for one in phi)], np.eye(1, 5_000)[0])
    lags = np.array([impulse[k:] @ impulse[: len(impulse) - k] for k in range(window)])
    weight = np.where(np.arange(window) > 0, 2.0, 1.0) * (window - np.arange(window))
    return float(weight @ lags) / window**2


@pytest.mark.parametrize("phi", [[], [0.5], [0.9], [0.98], [1.2, -0.35]], ids=str)
@pytest.mark.parametrize("window", [1, 8, 64, 512])
def test_the_spread_of_a_known_autoregression(phi: list[float], window: int) -> None:
    # The integral over the spectrum of a fit to a very long series, against the sum over its moving average.
    fit = autoregression(series(phi, 200_000, 2, seed=41))
    found = fit.spread(np.array([window]), ONE)
    assert found.variance[0] == pytest.approx(of_mean(phi, window), rel=0.06)
    assert (found.turnover > 0).all()
    assert (found.turnover <= 1).all()


@pytest.mark.parametrize("window", [1, 5, 40])
def test_turnover_without_memory_is_one_in_the_length(window: int) -> None:
    fit = autoregression(series([], 100_000, 1, seed=42))
    assert fit.spread(np.array([window]), ONE).turnover[0, 0] == pytest.approx(1 / window, rel=0.03)


@pytest.mark.parametrize(
    ("phi", "least", "most"),
    [([], 0.95, 1.05), ([0.5], 0.9, 1.1), ([0.9], 0.85, 1.1), ([0.97], 0.7, 1.1), ([1.2, -0.35], 0.85, 1.1)],
    ids=str,
)
def test_long_run_variance_from_a_thousand_slices(phi: list[float], least: float, most: float) -> None:
    x = series(phi, 1_000, 150, seed=43)
    window = np.array([4_096])
    for jump in (0.0, 0.7):
        moved = x.copy()
        moved[620:] += jump * x.std()
        found = autoregression(demeaned(moved)[0]).spread(window, ONE).variance[0]
        ratio = np.median(found) / of_mean(phi, 4_096)
        assert least <= ratio <= most + (0.25 if jump else 0.0)


def long_run(phi: float, part: float, window: int) -> float:
    """Var(mean of ``window`` values) of variance 1, of which an autoregression has ``part``."""
    lags = (1 + phi) / (1 - phi) - 2 * phi * (1 - phi**window) / (window * (1 - phi) ** 2)
    return (1 - part + part * lags) / window


def beneath(phi: float, part: float, columns: int, seed: int) -> np.ndarray:
    level = series([phi], 1_000, columns, seed) * np.sqrt(part * (1 - phi * phi))
    noise = np.random.default_rng(seed + 1).normal(size=level.shape)
    return np.asarray(level + np.sqrt(1 - part) * noise)


@pytest.mark.parametrize(("phi", "part"), [(0.8, 0.2), (0.9, 0.2), (0.9, 0.1), (0.8, 1.0)])
def test_a_level_that_remembers_beneath_noise_is_seen(phi: float, part: float) -> None:
    x = beneath(phi, part, 150, seed=49)
    found = spread_of(x, np.array([1_024]), ONE)
    ratio = found.variance[0] / long_run(phi, part, 1_024)
    assert 0.85 <= np.median(ratio) <= 1.15
    # As an estimate it is as good as it is said to be, or better.
    assert np.quantile(np.abs(np.log(ratio)), 0.68) <= 1.15 * np.sqrt(2 / np.median(found.freedom))


@pytest.mark.parametrize("events", [20, 100])
def test_means_of_what_remembers_are_of_that_kind(events: int) -> None:
    phi = 0.97
    x = series([phi], 1_000 * events, 40, seed=50)[: 1_000 * events].reshape(1_000, events, -1).mean(axis=1)
    found = spread_of(x * np.sqrt(1 - phi * phi), np.array([64]), ONE).variance[0]
    assert np.median(found) == pytest.approx(long_run(phi, 1.0, 64 * events), rel=0.1)


def test_who_remembers_nothing_pays_for_no_memory() -> None:
    found = spread_of(series([], 1_000, 200, seed=51), np.array([24, 400]), ONE)
    assert (found.variance * np.array([[24], [400]])).mean(axis=1) == pytest.approx([1.0, 1.0], abs=0.06)
    assert (found.freedom >= 200).mean() >= 0.75


def test_what_is_too_short_or_constant_remembers_nothing_beneath() -> None:
    assert beneath_noise(series([0.9], LENGTH_MIN - 1, 2, seed=52)) is None
    x = np.zeros((LENGTH_MIN, 2))
    x[:, 1] = series([0.9], LENGTH_MIN, 1, seed=53)[:, 0]
    fit = beneath_noise(x)
    assert fit is not None
    assert np.isinf(fit.criterion).tolist() == [True, False]
    assert np.isfinite(spread_of(x, np.array([1, 8]), ONE).freedom).all()


def test_a_fit_does_not_hang_on_its_neighbours() -> None:
    x = beneath(0.9, 0.3, 7, seed=54)
    whole, two = (spread_of(one, np.array([1, 48]), ONE) for one in (x, x[:, 2:4]))
    for of_all, of_two in zip(whole, two, strict=True):
        np.testing.assert_array_equal(of_all[:, 2:4], of_two)


def test_noise_that_swings_is_never_taken_for_quieter_than_none() -> None:
    x = series([-0.8], 1_000, 20, seed=44)
    found = autoregression(x).spread(np.array([1, 16, 256]), ONE).variance
    assert (found * np.array([[1], [16], [256]]) >= found[0] * (1 - 1e-9)).all()


def test_a_jump_is_seen_and_taken_out() -> None:
    x = series([0.3], 1_000, 100, seed=45)
    assert demeaned(x)[1].mean() <= 0.02
    x[400:] += 2.0 * x.std()
    residuals, jumps = demeaned(x)
    assert (jumps == 1).mean() >= 0.9
    assert np.abs(residuals[:390].mean(axis=0)).max() < 0.2


def test_what_is_rare_is_no_jump() -> None:
    x = (np.random.default_rng(46).random((1_000, 100)) < 0.002).astype(np.float64)
    residuals, jumps = demeaned(x)
    assert jumps.mean() <= 0.1
    assert residuals.var(axis=0).mean() == pytest.approx(0.002, rel=0.15)


def test_overshoot_is_that_of_the_literature() -> None:
    # Siegmund 1985: exp(-.583 x) for small x. For large x the formula tends to 2 / x^2.
    x = np.array([0.01, 0.1, 0.5])
    assert overshoot(x) == pytest.approx(np.exp(-0.583 * x), rel=0.02)
    assert overshoot(np.array([50.0])) == pytest.approx(2 / 50**2, rel=1e-6)


@pytest.mark.parametrize("h", [3.0, 4.0, 6.0])
def test_looks_that_share_nothing_are_looks(h: float) -> None:
    # Turnover 1: as many upcrossings as looks beyond, which is Bonferroni's count; it errs to the safe side.
    found = upcrossings(np.array(h), np.array(1.0))
    assert 1.0 <= found / (2 * norm.sf(h)) <= 1.25


@pytest.mark.parametrize("turnover", [0.02, 0.1, 0.5])
def test_upcrossings_are_those_that_are_counted(turnover: float) -> None:
    phi, h = 1 - turnover, 2.5
    x = series([phi], 20_000, 60, seed=47) * np.sqrt(1 - phi * phi)
    beyond = np.abs(x) > h
    # An excursion ends where the noise is back at its middle: what is about the height counts once.
    excursions = 0
    for column, signs in zip(beyond.T, np.sign(x).T, strict=True):
        back = np.flatnonzero(np.diff(signs) != 0) + 1
        for start, end in zip([0, *back], [*back, len(column)], strict=True):
            excursions += bool(column[start:end].any())
    assert excursions / x.size <= upcrossings(np.array(h), np.array(turnover)) <= 1.7 * excursions / x.size


@pytest.mark.parametrize("rate", [1e-2, 1e-6, 1e-12])
def test_a_height_has_its_rate(rate: float) -> None:
    share = np.array([1e-4, 0.1, 1.0])
    found = height(share, rate)
    passed = upcrossings(found, share)
    assert passed[found > HEIGHT_MIN + 1e-9] == pytest.approx(rate, rel=1e-6)
    assert (passed <= rate * (1 + 1e-6)).all()


def test_a_variance_that_is_an_estimate_asks_for_more() -> None:
    h = np.array([2.0, 5.0])
    assert of_estimate(h, np.array(1e9)) == pytest.approx(h, rel=1e-6)
    assert (of_estimate(h, np.array(20.0)) > h).all()
    assert np.isinf(of_estimate(np.array(40.0), np.array(1.0)))


def test_any_number_of_slices_has_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS_MAX", 64)
    random = np.random.default_rng(48)
    slow, sizes = Learning(2), set[int]()
    seen = np.zeros((0, 3))
    for length in range(1, 2_000):
        one = np.array([float(random.integers(1, 9)), random.normal(), random.random()])
        seen = np.vstack((seen, one))
        slow.add(np.array([1]), *(np.array([value]) for value in one))
        if length % 173 == 0 or length in (63, 64, 65, 128):
            [(_, learned)] = slow.groups(np.array([1]))
            whole = len(seen) >> learned.level << learned.level
            n, mean, m2 = seen.T
            assert learned.n[:, 0].sum() == n[:whole].sum()
            assert learned.total[:, 0].sum() == pytest.approx((n * mean)[:whole].sum())
            assert (learned.slices[0], learned.spare[0]) == (length, (n - 1).sum())
            assert learned.m2[0] == pytest.approx(m2.sum())
            assert 32 <= len(learned.n) < 64 or length < 64
            assert learned.pairs[:, 0].tolist() == [length >> up + 1 for up in range(learned.level)]
            sizes.add(slow.nbytes)
    assert len(sizes) <= 8
    assert slow.nbytes <= 2 * (16 * 64 + 40 * 6 + 40)

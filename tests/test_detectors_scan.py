"""What the scan promises beyond the laws: its twin's changes, its run length, no constant unseen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr

from stream_monitor.detectors import Changes, Scan, learning, restore
from stream_monitor.detectors.learner import ENOUGH
from stream_monitor.detectors.noise import SPENT, STEPS_MIN
from stream_monitor.detectors.sums import SIZES
from stream_monitor.detectors.thresholds import upcrossings
from tests.oracles_detectors import Slice, Slices, run, told
from tests.oracles_detectors_scan import ScanTwin


def restless(signals: int, length: int, seed: int) -> Slices:
    """Slices of 0 to 30 events; levels that remember, and jump thrice, once while they are learned."""
    random = np.random.default_rng(seed)
    n = random.integers(1, 31, (length, signals)) * (random.random((length, signals)) < 0.8)
    level = lfilter([1], [1, -0.6], random.normal(size=(length, signals)) * 0.04, axis=0) + 0.5
    for signal in range(signals):
        level[random.integers(20, 60) :, signal] += random.choice([0.0, 0.4])
        for at in random.integers(100, length, 2):
            level[at:, signal] += random.normal() * 0.1
    events = np.maximum(n, 1)
    mean = level + random.normal(size=n.shape) * 0.3 / np.sqrt(events)
    m2 = 0.09 * random.chisquare(np.maximum(n - 1, 1)) * (n > 1)
    return Slices(n.astype(np.float64), np.where(n > 0, mean, np.nan), np.where(n > 0, m2, np.nan))


def rates(signals: int, length: int, seed: int) -> Slices:
    random = np.random.default_rng(seed)
    n = random.integers(0, 12, (length, signals))
    rate = np.where(np.arange(length) < 300, 0.05, 0.15)[:, None]
    mean = random.binomial(n, rate) / np.maximum(n, 1)
    return Slices(n.astype(np.float64), mean, n * mean * (1 - mean))


@pytest.mark.parametrize(
    ("slices", "params", "steps_max"),
    [
        (restless(4, 600, 31), {"learn": 130, "run_length": 60.0}, 1_024),
        (restless(4, 600, 32), {"learn": 150, "run_length": 60.0, "dead": 0.02}, 64),
        (restless(4, 600, 36), {"learn": 150, "run_length": 60.0}, 128),
        (rates(4, 600, 33), {"learn": 90, "run_length": 100.0, "share": True}, 1_024),
        (rates(4, 600, 34), {"learn": 90, "run_length": 100.0, "share": True, "dead": 0.03}, 64),
    ],
    ids=["learned", "coarsened", "coarsened once", "rates", "rates, coarsened"],
)
def test_agrees_with_its_twin(
    monkeypatch: pytest.MonkeyPatch, slices: Slices, params: dict[str, Any], steps_max: int
) -> None:
    monkeypatch.setattr(learning, "STEPS_MAX", steps_max)
    ours: list[tuple[int, int, int, int, float]] = []

    def collect(index: int, changes: Changes) -> None:
        for at, signal in enumerate(changes.signal.tolist()):
            since = index - int(changes.since[at])
            ours.append((signal, index, since, round(changes.after_n[at]), changes.after_mean[at]))

    run(Scan(4, **params), slices, collect)
    theirs = []
    for signal in range(4):
        twin = ScanTwin(**params, steps_max=steps_max)
        for index in range(len(slices.n)):
            found = twin.update(Slice(*(float(values[index, signal]) for values in slices)))
            if found is not None:
                theirs.append((signal, index, *found))
    assert [row[:4] for row in sorted(ours)] == [row[:4] for row in theirs]
    assert [row[4] for row in sorted(ours)] == pytest.approx([row[4] for row in theirs], abs=1e-7)
    assert len(theirs) > 15


def ar(random: np.random.Generator, phi: float, shape: tuple[int, int]) -> np.ndarray:
    """(T, S), of variance 1."""
    noise = random.normal(size=(shape[0] + 200, shape[1]))
    values: np.ndarray = lfilter([1], [1, -phi], noise, axis=0)[200:] * np.sqrt(1 - phi * phi)
    return values


def slices_of(values: np.ndarray, n: float, within: float) -> Slices:
    full = np.full(values.shape, n)
    return Slices(full, values, (full - 1) * within)


def sampled(random: np.random.Generator, n: np.ndarray) -> Slices:
    """Slices of n (T, S) events N(0, 1)."""
    return Slices(n, random.normal(size=n.shape) / np.sqrt(n), n - 1)


def rate_of(p: float, n: int) -> Callable[[np.random.Generator, tuple[int, int]], Slices]:
    def slices(random: np.random.Generator, shape: tuple[int, int]) -> Slices:
        mean = random.binomial(n, p, shape) / n
        return Slices(np.full(shape, float(n)), mean, n * mean * (1 - mean))

    return slices


def waves(shape: tuple[int, int]) -> np.ndarray:
    """10 to 1,000 events a slice, now few, now many."""
    n: np.ndarray = np.ceil(10.0 ** (2 + np.sin(2 * np.pi * np.arange(shape[0]) / 300)))
    return n[:, None] * np.ones(shape)


def uneven(random: np.random.Generator, shape: tuple[int, int]) -> Slices:
    slices = sampled(random, waves(shape))
    return slices._replace(mean=slices.mean + 0.05 * ar(random, 0.8, shape))


def beneath(random: np.random.Generator, shape: tuple[int, int]) -> Slices:
    """A level that remembers beneath four times as much noise."""
    slices = sampled(random, np.full(shape, 100.0))
    return slices._replace(mean=slices.mean + 0.05 * ar(random, 0.8, shape))


def tails(random: np.random.Generator, shape: tuple[int, int]) -> Slices:
    """Location and tails of events that remember: a slice of 20 holds an excursion, or none."""
    parts = []
    for _ in range(shape[1] // 2):
        u = 2.0 * ndtr(ar(random, 0.9, (shape[0] * 20, 1)).reshape(shape[0], 20)) - 1.0
        parts.append((u, (4.375 * u * u - 3.75) * u * u + 0.375))
    scores = np.array(parts).transpose(2, 1, 0, 3).reshape(*shape, 20)
    n = np.full(shape, 20.0)
    return Slices(n, scores.mean(axis=2), scores.var(axis=2) * n)


STATIONARY: dict[str, Callable[[np.random.Generator, tuple[int, int]], Slices]] = {
    "events": lambda random, shape: slices_of(random.normal(size=shape), 1.0, 0.0),
    "slices of 100": lambda random, shape: sampled(random, np.full(shape, 100.0)),
    "AR .5": lambda random, shape: slices_of(ar(random, 0.5, shape), 1.0, 0.0),
    "AR .9": lambda random, shape: slices_of(ar(random, 0.9, shape), 1.0, 0.0),
    "rate .01": rate_of(0.01, 1),
    "rate .01, slices of 100": rate_of(0.01, 100),
    "uneven": lambda random, shape: sampled(random, waves(shape)),
    "uneven, AR .8": uneven,
    "beneath noise": beneath,
    "tails of AR .9": tails,
}
SIGNALS, LEARN, WATCHED, RUN_LENGTH = 150, 1_000, 4_000, 2_000.0


def new(name: str) -> Scan:
    follows = np.maximum(np.arange(-SIGNALS // 2, SIGNALS // 2), -1) if name.startswith("tails") else -1
    return Scan(SIGNALS, learn=LEARN, run_length=RUN_LENGTH, share=name.startswith("rate"), follows=follows)


@pytest.mark.parametrize("name", STATIONARY)
def test_noise_alone_raises_no_more_than_its_run_length_allows(name: str) -> None:
    slices = STATIONARY[name](np.random.default_rng(7301), (LEARN + WATCHED, SIGNALS))
    counts = np.zeros(SIGNALS)

    def collect(index: int, changes: Changes) -> None:
        counts[changes.signal] += 1

    run(new(name), slices, collect)
    # 300 budget periods. Signals differ in what they learned: the error of the mean is that among signals.
    error = max(float(counts.std()), counts.mean() ** 0.5) / SIGNALS**0.5
    assert counts.mean() + 2 * error <= WATCHED / RUN_LENGTH
    assert counts.mean() >= 0.05 * WATCHED / RUN_LENGTH  # It spends some of what is allowed.


@pytest.mark.parametrize("name", ["events", "AR .9", "rate .01", "beneath noise"])
def test_nor_when_windows_are_looked_at_within_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS_MAX", 256)
    test_noise_alone_raises_no_more_than_its_run_length_allows(name)


def test_windows_within_steps_are_as_wide_as_they_are() -> None:
    """Steps of 4 slices; of 3, 6 and 12 slices no step and no difference tells."""
    phi, learn = 0.9, 3_000
    scan = Scan(100, learn=learn)
    told(scan, slices_of(ar(np.random.default_rng(7310), phi, (learn, 100)), 1.0, 0.0))
    noise, size = scan.noise, SIZES[:, None]
    lags = (1 + phi) / (1 - phi) - 2 * phi * (1 - phi**size) / (size * (1 - phi) ** 2)
    ratio = np.median(noise.between[0], axis=1) / (lags / size)[:, 0]
    assert (ratio >= 0.93).all()
    assert (ratio <= 1.12).all()
    of_signals = np.asarray(noise.turnover > 0)
    looked = of_signals[..., 0]
    assert looked[0].all()
    assert (looked[1:] == (SIZES[-1] / 2 < SIZES)).all()
    assert (of_signals == looked[..., None]).all()


def test_a_shift_is_found_as_soon_wherever_in_a_step_it_begins() -> None:
    learn, signals = 2_000, 400
    healthy = np.random.default_rng(7311).normal(size=(learn + 41, signals))
    shifted = 1.6 + np.random.default_rng(7313).normal(size=(60, signals))
    delays = []
    for more in (40, 41):
        values = np.concatenate((healthy[: learn + more], shifted))
        found = told(Scan(signals, learn=learn, run_length=1e3), slices_of(values, 1.0, 0.0))
        first = {
            int(signal): index - learn - more
            for index, signal, *_ in reversed(found)
            if index >= learn + more
        }
        delays.append([first[signal] for signal in range(signals)])
    assert abs(np.mean(delays[0]) - np.mean(delays[1])) <= 0.15


def test_windows_share_the_budget_by_the_shifts_that_they_find() -> None:
    """Those of shifts of .05 to 2 standard deviations equally; of half as much, half."""
    n, learn, run_length = 100.0, 1_000, 1e5
    scan = Scan(1, learn=learn)
    told(scan, sampled(np.random.default_rng(7312), np.full((learn, 1), n)))
    certain = replace(
        scan.noise,
        between=np.zeros_like(scan.noise.between),
        freedom=np.full_like(scan.noise.freedom, 1e12),
    )
    heights = np.sqrt(certain.heights(np.array([run_length])).astype(np.float64))
    looks = 2.0 ** -np.arange(certain.levels)[:, None, None]
    looked = np.asarray(certain.turnover > 0)
    rate = upcrossings(heights[looked], certain.turnover[looked].astype(np.float64))
    rate *= np.broadcast_to(looks, looked.shape)[looked]
    # All add up to what is allowed, over what of it is spent, but for a little that is kept.
    assert rate.sum() == pytest.approx(1 / (SPENT * run_length), rel=2e-3)
    shift = 4.5 / np.sqrt((SIZES[:, None] / looks)[looked] * n)
    full, small = rate[shift >= 0.05], shift < 0.05
    assert full == pytest.approx(full[0], rel=1e-3)
    assert small.sum() >= 10
    assert rate[small] == pytest.approx(full[0] * shift[small] / 0.05, rel=1e-3)


@pytest.mark.parametrize(("phi", "n"), [(0.9, 1), (0.98, 20)])
def test_excursions_that_were_too_rare_to_be_learned_are_no_change(phi: float, n: int) -> None:
    """Events beyond all that were learned, of a stream that remembers: they come in clumps."""
    streams, learn, run_length = 40, 1_000, 10_000.0
    values = ar(np.random.default_rng(7309), phi, (5 * learn * n, streams))
    beyond = values > values[: learn * n].max(axis=0)
    mean = np.concatenate((values, beyond), axis=1).reshape(5 * learn, n, -1).mean(axis=1)
    follows = np.concatenate((np.full(streams, -1), np.arange(streams)))
    both: dict[str, Any] = {"learn": learn, "run_length": run_length, "share": follows >= 0}
    full = np.full(mean.shape, float(n))
    slices = Slices(full, mean, np.zeros(mean.shape) if n == 1 else full * 0.1)

    def spent(**params: Any) -> float:
        found = told(Scan(2 * streams, **both, **params), slices)
        return sum(int(signal) >= streams for _, signal, *_ in found) * run_length / (4 * learn * streams)

    assert spent() > 2
    assert spent(follows=follows) < 1


@pytest.mark.parametrize(
    ("name", "shift", "most"),
    [
        ("events", 1.0, 60),
        ("AR .5", 1.0, 200),
        ("AR .9", 1.0, 1_000),
        ("AR .9", 2.0, 300),
        ("beneath noise", 0.1, 150),
        ("uneven", 0.1, 100),
    ],
)
def test_a_shift_is_found_and_its_beginning_is_in_the_interval(name: str, shift: float, most: int) -> None:
    onset = LEARN + 200
    slices = STATIONARY[name](np.random.default_rng(7302), (onset + most, SIGNALS))
    slices.mean[onset:] += shift
    found, covered = np.zeros((2, SIGNALS), np.bool_)

    def collect(index: int, changes: Changes) -> None:
        if index >= onset:
            fresh = ~found[changes.signal]
            early, late = index - changes.earliest[fresh], index - changes.latest[fresh]
            covered[changes.signal[fresh]] = (early <= onset) & (late >= onset)
            found[changes.signal] = True

    run(new(name), slices, collect)
    assert found.mean() >= 0.95
    # Nine of ten, less two standard errors. Some of the first alarms are false ones.
    assert covered[found].mean() >= 0.9 - 2 * (0.09 / SIGNALS) ** 0.5


@pytest.mark.parametrize("n", [1.0, 0.5, 7.0, 1e6])
@pytest.mark.parametrize("value", [0.0, 0.1, -0.3, 1e6])
def test_a_constant_alarms_when_it_moves_and_not_before(value: float, n: float) -> None:
    scan, zero = Scan(1, learn=40, run_length=1e12), np.zeros(1)
    for _ in range(3_000):
        assert scan.update(np.full(1, n), np.full(1, value), zero) is None
    changes = scan.update(np.full(1, n), np.full(1, value + 1e-4), zero)
    assert changes is not None
    assert (changes.since[0], changes.earliest[0], changes.latest[0]) == (0, 1, 0)


def test_a_change_right_after_learning_is_not_dated_before_it() -> None:
    scan, zero = Scan(1, learn=40), np.zeros(1)
    for _ in range(40):
        assert scan.update(np.ones(1), zero, zero) is None
    changes = scan.update(np.ones(1), np.ones(1), zero)
    assert changes is not None
    assert (changes.since[0], changes.earliest[0], changes.latest[0]) == (0, 1, 0)


def test_what_was_kept_to_learn_is_dropped() -> None:
    scan, random = Scan(3, learn=1_000), np.random.default_rng(7308)
    for _ in range(999):
        scan.update(np.ones(3), random.normal(size=3), np.zeros(3))
    learning_bytes = scan.nbytes
    scan.update(np.ones(3), random.normal(size=3), np.zeros(3))
    assert scan.nbytes < learning_bytes


def test_a_shift_within_the_dead_zone_is_none() -> None:
    random = np.random.default_rng(7303)
    for share in (False, True):
        slices = rate_of(0.3, 100)(random, (1_200, 50))
        more = rate_of(0.34, 100)(random, (400, 50))
        both = Slices(
            *(np.concatenate((one[:1_000], other)) for one, other in zip(slices, more, strict=True))
        )
        assert len(told(Scan(50, learn=1_000, run_length=1e6, share=share), both)) >= 25
        assert told(Scan(50, learn=1_000, run_length=1e6, share=share, dead=0.05), both) == []


@pytest.mark.parametrize("run_length", [1.0, 1e12, np.inf])
def test_any_run_length_will_do(run_length: float) -> None:
    random = np.random.default_rng(7304)
    found = told(Scan(20, learn=32, run_length=run_length), sampled(random, np.full((200, 20), 10.0)))
    assert (found == []) == (run_length > 1)


def test_rate_re_sets_the_run_length() -> None:
    slices = sampled(np.random.default_rng(7305), np.full((600, 20), 10.0))
    late, early = Scan(20, learn=100, run_length=5.0), Scan(20, learn=100, run_length=1e9)
    late.rate(1e9)
    assert told(late, slices) == told(early, slices)
    np.testing.assert_array_equal(late.snapshot()["run_length"], early.snapshot()["run_length"])


def test_begin_ends_learning_when_there_is_enough() -> None:
    slices = sampled(np.random.default_rng(7306), np.full((100, 2), 10.0))
    slices.n[:90, 1] = 0.0
    scan = Scan(2, learn=None, run_length=1e3)
    told(scan, Slices(*(values[:60] for values in slices)))
    assert scan.noise.n.tolist() == [0.0, 0.0]
    scan.begin()
    assert scan.noise.n.tolist() == [600.0, 0.0]
    told(scan, Slices(*(values[60:] for values in slices)))
    for _ in range(21):
        assert scan.noise.n[1] == 0.0
        scan.update(np.array([0.0, 10.0]), np.zeros(2), np.full(2, 9.0))
    scan.update(np.array([0.0, 10.0]), np.zeros(2), np.full(2, 9.0))
    assert scan.noise.n[1] == 320.0


@pytest.mark.parametrize("anew", [2.0, 1.7, 1.51])
def test_noise_is_estimated_whenever_so_many_times_as_many_slices_were_seen(anew: float) -> None:
    scan, random = Scan(1, learn=None, run_length=1e6), np.random.default_rng(7312)
    scan.begin(anew)
    estimated, known = [], scan.noise.between.tobytes()
    for index in range(4_200):
        if index == 100:
            scan = Scan.restore(scan.snapshot())
        scan.update(np.array([10.0]), random.normal(size=1), np.full(1, 9.0))
        if (between := scan.noise.between.tobytes()) != known:
            estimated.append(index + 1)
            known = between
    assert estimated[0] == STEPS_MIN
    assert all(later == math.ceil(anew * at) for at, later in pairwise(estimated))
    assert ENOUGH <= estimated[-1] < anew * ENOUGH + 1


def test_goes_on_from_any_snapshot() -> None:
    # Signals that are seen in every slice, every third and never learn, and are watched, at their own times.
    slices = restless(3, 400, 35)
    slices.n[np.arange(400) % 3 > 0, 1] = 0.0
    slices.n[:, 2] = 0.0
    straight = told(Scan(3, learn=60, run_length=50.0), slices)
    assert len(straight) > 10
    for at in (30, 75, 78, 200, 300, 399):
        scan = Scan(3, learn=60, run_length=50.0)
        before = told(scan, Slices(*(values[:at] for values in slices)))
        after = told(restore(scan.snapshot()), Slices(*(values[at:] for values in slices)))
        assert before + [(at + index, *rest) for index, *rest in after] == straight


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS_MAX", 64)
    scan, random = Scan(3, learn=500, run_length=1e3), np.random.default_rng(7307)
    sizes = []
    for index in range(9_000):
        scan.update(np.ones(3), random.normal(size=3), np.zeros(3))
        sizes.append(scan.nbytes)
        assert sizes[-1] <= scan.bytes_max(index + 1)
    # By then there is a block of each length.
    assert sizes[-1] == sizes[6_000]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learn": 31}, "at least 32"),
        ({"run_length": 0.5}, "run_length >= 1"),
        ({"run_length": np.nan}, "run_length >= 1"),
        ({"dead": -1.0}, "dead >= 0"),
    ],
)
def test_says_what_it_expected(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scan(1, **params)

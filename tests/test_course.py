"""What is remembered of the course of scores, and how often what is said of a change is wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from stream_monitor.checks import course as course_module
from stream_monitor.checks.calm import Calm
from stream_monitor.checks.course import BLOCKS, Course
from stream_monitor.checks.onset import SUDDEN_SHARE, Onset, onset
from stream_monitor.detectors import Scan
from stream_monitor.errors import FormatError
from stream_monitor.events import Float64s, Int64s
from stream_monitor.state import pack, unpack

SLICE_MS = 1_000
BEFORE = 2_000
"""Slices before a change."""
SCORES = 100


def uneven(scores: int, length: int, seed: int) -> tuple[Int64s, Float64s, Float64s]:
    """Starts of slices, some of them far apart; whole numbers of events and sums, some of them none."""
    random = np.random.default_rng(seed)
    gaps = np.where(random.random(length) < 0.05, random.integers(2, 100_000, length), 1)
    n = random.integers(0, 4, (length, scores)).astype(np.float64)
    return np.cumsum(gaps) * SLICE_MS, n, np.where(n > 0, random.integers(-9, 9, (length, scores)), 0.0)


def told(course: Course, slices: tuple[Int64s, Float64s, Float64s]) -> Course:
    for start, n, total in zip(*slices, strict=True):
        course.add(int(start), n, total)
    return course


def test_each_slice_is_in_one_block_no_longer_than_its_age_allows() -> None:
    starts, n, total = slices = uneven(3, 1_500, 1)
    for length in (1, 15, 16, 17, 18, 19, 20, 51, 52, 777, 1_500):
        course = told(Course(3, SLICE_MS), tuple(part[:length] for part in slices))  # type: ignore[arg-type]
        for score in range(3):
            blocks = course.of(score)
            ends = np.cumsum(blocks.slices).astype(np.int64)
            begins = np.append(0, ends[:-1])
            assert ends[-1] == length
            assert (blocks.begin == starts[begins]).all()
            assert (blocks.end == starts[ends - 1] + SLICE_MS).all()
            assert (blocks.n == np.add.reduceat(n[:length, score], begins)).all()
            assert (blocks.total == np.add.reduceat(total[:length, score], begins)).all()
            assert (blocks.slices <= 1 + (length - ends) / BLOCKS).all()


def test_any_cut_into_snapshots_leaves_the_same_course() -> None:
    starts, n, total = slices = uneven(4, 700, 2)
    whole = told(Course(4, SLICE_MS), slices)
    cut = Course(4, SLICE_MS)
    cuts = np.random.default_rng(3).random(len(starts)) < 0.2
    for at, start in enumerate(starts.tolist()):
        if cuts[at]:
            state = unpack("course", 1, pack("course", 1, cut.snapshot()))
            cut = Course.restore(state, 4, SLICE_MS)
        cut.add(start, n[at], total[at])
    assert pack("course", 1, cut.snapshot()) == pack("course", 1, whole.snapshot())
    assert all((a == b).all() for a, b in zip(cut.of(2), whole.of(2), strict=True))


def test_memory_is_bounded_and_what_is_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Course(100, SLICE_MS).bytes_max() / 100 < 4_096
    monkeypatch.setattr(course_module, "LEVELS", 4)
    starts, _, _ = slices = uneven(5, 1_000, 4)
    course = told(Course(5, SLICE_MS), slices)
    assert course.nbytes <= course.bytes_max()
    kept = int(course.of(0).slices.sum())
    assert BLOCKS * 2**3 <= kept <= (BLOCKS + 2) * 2**4
    assert course.of(0).begin[0] == starts[-kept]
    again = Course.restore(course.snapshot(), 5, SLICE_MS)
    assert pack("course", 1, again.snapshot()) == pack("course", 1, course.snapshot())


def test_a_course_of_other_scores_is_refused() -> None:
    state = told(Course(2, SLICE_MS), uneven(2, 40, 5)).snapshot()
    with pytest.raises(FormatError, match="course: expected 28 blocks of 3 scores"):
        Course.restore(state, 3, SLICE_MS)


Noisy = Callable[[np.random.Generator, int], Float64s]
ALONE = Calm(level=0.0, error=1 / BEFORE, within=20.0, memory=0.0, events=20.0, dead=0.0, share=False)
REMEMBERING = ALONE._replace(error=19 / BEFORE, within=0.0, memory=19.0)


def alone(random: np.random.Generator, length: int) -> Float64s:
    return random.normal(size=(length, SCORES))


def remembering(random: np.random.Generator, length: int) -> Float64s:
    """An autoregression, phi .9, of variance 1."""
    noise = random.normal(size=(length + 200, SCORES))
    values: Float64s = lfilter([1], [1, -0.9], noise, axis=0)[200:] * np.sqrt(1 - 0.81)
    return values


NOISES = pytest.mark.parametrize(
    ("noise", "calm"), [(alone, ALONE), (remembering, REMEMBERING)], ids=["iid", "AR .9"]
)


def said(means: Float64s, calm: Calm, noted: int = BEFORE) -> list[Onset]:
    """Of each of SCORES scores, by slices of 20 events."""
    course, n = Course(SCORES, SLICE_MS), np.full(SCORES, 20.0)
    for at, mean in enumerate(means):
        course.add(at * SLICE_MS, n, n * mean)
    found = [onset(course.of(score), noted * SLICE_MS, calm) for score in range(SCORES)]
    return [one for one in found if one is not None]


def moved(age: int, gain: int, calm: Calm, over: int = 0) -> Float64s:
    """A change ``age`` slices ago, up for ``over`` slices, whose step would have a deviance of ``gain``."""
    long_run = calm.within / calm.events + calm.memory
    shift = np.sqrt(gain * long_run / age)
    since = np.arange(-BEFORE, age) + 0.5
    values: Float64s = shift * np.clip(since / max(over, 0.5), 0.0, 1.0)
    return values[:, None]


def share(found: list[Onset], kind: str) -> float:
    return sum(one.kind == kind for one in found) / len(found)


def covered(found: list[Onset]) -> float:
    return float(np.mean([one.earliest <= BEFORE * SLICE_MS <= one.latest for one in found]))


@NOISES
@pytest.mark.parametrize("age", [6, 40, 3_000])
@pytest.mark.parametrize("gain", [30, 300])
def test_a_step_is_not_said_to_be_gradual_nor_over_and_its_beginning_is_in_the_interval(
    noise: Noisy, calm: Calm, age: int, gain: int
) -> None:
    random = np.random.default_rng([6, age, gain])
    found = said(noise(random, BEFORE + age) + moved(age, gain, calm), calm)
    assert len(found) == SCORES
    assert share(found, "gradual") <= 0.05
    assert np.mean([one.ended is not None for one in found]) <= 0.05
    assert covered(found) >= 0.95


@NOISES
@pytest.mark.parametrize("age", [40, 3_000])
def test_a_large_step_is_sudden_and_placed(noise: Noisy, calm: Calm, age: int) -> None:
    found = said(noise(np.random.default_rng([7, age]), BEFORE + age) + moved(age, 3_000, calm), calm)
    assert share(found, "sudden") >= 0.95
    off = np.array([one.since for one in found]) - BEFORE * SLICE_MS
    assert np.quantile(np.abs(off), 0.9) <= (1 + age / BLOCKS) * SLICE_MS
    assert all(one.earliest <= one.since <= one.latest for one in found)
    assert all(one.until is None for one in found if one.kind == "sudden")
    assert np.median([one.latest - one.earliest for one in found]) <= 0.2 * age * SLICE_MS


@NOISES
@pytest.mark.parametrize(("age", "over"), [(60, 60), (1_000, 1_000), (1_000, 500)])
def test_a_ramp_is_never_sudden_and_gradual_once_it_shows(
    noise: Noisy, calm: Calm, age: int, over: int
) -> None:
    for gain, gradual_min in ((100, 0.0), (2_000, 0.9)):
        random = np.random.default_rng([8, age, over, gain])
        found = said(noise(random, BEFORE + age) + moved(age, gain, calm, over), calm)
        assert share(found, "sudden") <= 0.05
        assert share(found, "gradual") >= gradual_min
        assert covered(found) >= 0.95
    rising = [one.until is None for one in found if one.kind == "gradual"]
    assert np.mean(rising) >= 0.9 if over == age else np.mean(rising) <= 0.05
    if over < age:
        until = np.array([one.until for one in found if one.until is not None]) / SLICE_MS - BEFORE
        assert abs(np.median(until) - over) <= 0.1 * age


@NOISES
def test_a_ramp_that_was_noted_when_it_was_nearly_over_is_placed_at_its_beginning(
    noise: Noisy, calm: Calm
) -> None:
    age = 1_000
    means = noise(np.random.default_rng(16), BEFORE + age) + moved(age, 5_000, calm, age)
    found = said(means, calm, noted=BEFORE + age - 10)
    assert share(found, "gradual") >= 0.95
    assert covered(found) >= 0.95


@NOISES
def test_a_ramp_as_long_as_is_called_sudden_is_mostly_undecided(noise: Noisy, calm: Calm) -> None:
    age = 800
    over = int(SUDDEN_SHARE * age)
    for gain in (100, 1_000):
        random = np.random.default_rng([9, gain])
        found = said(noise(random, BEFORE + age) + moved(age, gain, calm, over), calm)
        assert share(found, "sudden") <= 0.05


@NOISES
def test_a_change_that_is_over_is_said_to_be(noise: Noisy, calm: Calm) -> None:
    age, over = 400, 200
    means = noise(np.random.default_rng(10), BEFORE + age) + moved(age, 1_000, calm)
    means[BEFORE + over :] -= moved(age, 1_000, calm)[-1]
    found = said(means, calm)
    ended = np.array([one.ended for one in found if one.ended is not None]) / SLICE_MS - BEFORE
    assert len(ended) >= 0.9 * SCORES
    assert np.quantile(np.abs(ended - over), 0.9) <= 0.1 * age
    assert share(found, "gradual") <= 0.05
    assert covered(found) >= 0.95


def test_an_earlier_change_that_is_over_says_nothing_of_this_one() -> None:
    age = 100
    means = alone(np.random.default_rng(15), BEFORE + age) + moved(age, 300, ALONE)
    means[BEFORE - 300 : BEFORE - 150] -= 2.0 * moved(age, 300, ALONE)[-1]
    found = said(means, ALONE)
    assert all(one.ended is None for one in found)


def test_shares_vary_as_their_level_does() -> None:
    """0.2 % of events, and 10 % since: 45 times the variance, in slices too few to tell it from."""
    random, age = np.random.default_rng(11), 6
    rate = np.repeat([0.002, 0.1], [BEFORE, age])[:, None]
    means = random.binomial(20, rate, (BEFORE + age, SCORES)) / 20
    calm = Calm(0.002, 0.002 / 20 / BEFORE, 0.002 * 0.998, 0.0, 20.0, 0.0, share=True)
    found = said(means, calm)
    assert np.mean([one.ended is not None for one in found]) <= 0.05
    assert share(found, "gradual") <= 0.05
    assert covered(found) >= 0.95


def test_a_score_that_strays_more_since_it_changed_is_believed_less() -> None:
    random, age = np.random.default_rng(14), 300
    means = alone(random, BEFORE + age)
    means[BEFORE:] *= 3.0
    found = said(means + 3.0 * moved(age, 30, ALONE), ALONE)
    assert share(found, "gradual") <= 0.05
    assert np.mean([one.ended is not None for one in found]) <= 0.05
    assert covered(found) >= 0.95


def test_a_memory_that_none_learned_is_taken_from_the_course() -> None:
    random, age = np.random.default_rng(12), 600
    means = remembering(random, BEFORE + age) + moved(age, 100, REMEMBERING)
    course, n = Course(SCORES, SLICE_MS), np.full(SCORES, 20.0)
    for at, mean in enumerate(means):
        course.add(at * SLICE_MS, n, n * mean)
    found = []
    for score in range(SCORES):
        blocks = course.of(score)
        before = blocks.take(blocks.end <= BEFORE * SLICE_MS)
        found.append(onset(blocks, BEFORE * SLICE_MS, ALONE._replace(within=1.0).remembering(before)))
    assert share([one for one in found if one is not None], "gradual") <= 0.05


def test_calm_is_what_a_scan_learned() -> None:
    random, learn = np.random.default_rng(13), 2_000
    scan, n = Scan(SCORES, learn=learn), np.full(SCORES, 20.0)
    assert Calm.learned(scan.noise, 0, 0.0, share=False) is None
    within = 0.25
    for level in remembering(random, learn):
        mean = 3.0 + level + random.normal(size=SCORES) * np.sqrt(within / 20)
        scan.update(n, mean, within * random.chisquare(19, SCORES))
    learned = [Calm.learned(scan.noise, score, 0.1, share=False) for score in range(SCORES)]
    calms = np.array([one[:5] for one in learned if one is not None])
    level, error, spread, memory, events = np.median(calms, axis=0)
    assert level == pytest.approx(3.0, abs=0.05)
    assert error == pytest.approx(19 / learn, rel=0.3)
    assert spread == pytest.approx(within, rel=0.05)
    assert memory == pytest.approx(19.0, rel=0.3)
    assert events == 20.0


def test_a_constant_that_jumps_is_sudden() -> None:
    course, n = Course(1, SLICE_MS), np.array([20.0])
    for at in range(120):
        course.add(at * SLICE_MS, n, n * 0.3 * (at >= 100))
    for within in (0.0, 1e-30):
        found = onset(course.of(0), 100 * SLICE_MS, Calm(0.0, 0.0, within, 0.0, 20.0, 0.0, share=False))
        assert found is not None
        assert (found.kind, found.since, found.ended) == ("sudden", 100 * SLICE_MS, None)


def test_too_short_a_course_says_nothing() -> None:
    course = Course(1, SLICE_MS)
    assert onset(course.of(0), 0, ALONE) is None
    for at in range(3):
        course.add(at * SLICE_MS, np.array([20.0]), np.array([0.0]))
    assert onset(course.of(0), 0, ALONE) is None
    course.add(3 * SLICE_MS, np.array([20.0]), np.array([0.0]))
    found = onset(course.of(0), 3 * SLICE_MS, ALONE)
    assert found is not None
    assert found.kind == "undecided"


def test_nothing_is_told_of_scores_that_were_not_seen() -> None:
    course = Course(2, SLICE_MS)
    for at in range(100):
        course.add(at * SLICE_MS, np.array([20.0, 0.0]), np.array([0.0, 0.0]))
    assert onset(course.of(1), 50 * SLICE_MS, ALONE) is None

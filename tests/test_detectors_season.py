"""Seasons: what they are learned from, whether there is one, and what a scan sees without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import binom, poisson

from stream_monitor.detectors import Scan, Seasonal, make, restore
from stream_monitor.detectors.season import Season
from stream_monitor.detectors.season_fit import season_of
from stream_monitor.detectors.season_hours import DAY, HOUR_MS, HOURS_MAX, WEEK, Hours, Record
from stream_monitor.detectors.season_waves import LEVEL

Values = NDArray[np.float64]
MINUTE = 60_000
START = 1_700_000_000_000
RUN_LENGTH = 1e4


def noise(kind: str, length: int, signals: int, seed: int) -> Values:
    """Of variance about 1, (length, signals)."""
    random = np.random.default_rng(seed)
    white = random.standard_normal((500 + length, signals))
    filters = {"AR .5": [1, -0.5], "AR .9": [1, -0.9], "swinging": [1, -1.6, 0.8]}
    if kind == "t3":
        return random.standard_t(3, (length, signals)) / 3**0.5
    if kind == "trend":
        return white[-length:] + np.linspace(0.0, 5.0, length)[:, None]
    colored: Values = lfilter([1], filters.get(kind, [1]), white, axis=0)[-length:]
    colored /= colored.std()
    return colored


def hour_of(slice_ms: int, length: int) -> Values:
    """The middle of slices in hours since 1970, (length, 1)."""
    return (START + (np.arange(length)[:, None] + 0.5) * slice_ms) / HOUR_MS


def day_season(hour: Values, seed: int) -> Values:
    """A smooth one of variance 1, of another phase for each of (1, S) columns."""
    late = hour + np.random.default_rng(seed).uniform(0, 24, hour.shape[1])
    return 1.3 * np.sin(2 * np.pi * late / 24) + 0.5 * np.cos(4 * np.pi * late / 24)


def week_season(hour: Values, seed: int) -> Values:
    """Days that are the higher on weekdays."""
    late = hour + np.random.default_rng(seed).uniform(0, WEEK, hour.shape[1])
    weekday = late % WEEK < 120
    return np.sin(2 * np.pi * late / 24) * np.where(weekday, 1.4, 0.3) + np.where(weekday, 0.3, -0.7)


def shift_season(hour: Values, seed: int) -> Values:
    """Of 31 hours."""
    late = hour + np.random.default_rng(seed).uniform(0, 31, hour.shape[1])
    return 1.3 * np.sin(2 * np.pi * late / 31)


def told(detector: Scan, values: Values, n: float = 1.0) -> NDArray[np.int64]:
    """(slice, signal) of each change."""
    signals, found = values.shape[1], []
    for index, mean in enumerate(values):
        changes = detector.update(np.full(signals, n), mean, np.zeros(signals))
        if changes is not None:
            found += [(index, signal) for signal in changes.signal.tolist()]
    return np.array(found, np.int64).reshape(-1, 2)


def hours_of(values: Values, slice_ms: int, start: int = START) -> Hours:
    hours = Hours(values.shape[1])
    for index, mean in enumerate(values):
        hours.add(start + index * slice_ms, slice_ms, np.arange(len(mean)), np.ones(len(mean)), mean)
    return hours


def assert_same(one: Hours, other: Hours) -> None:
    for left, right in zip(one.of(np.arange(2)), other.of(np.arange(2)), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one.first, one.end) == (other.first, other.end)


@pytest.mark.parametrize("apart", [0, 5, 300, HOURS_MAX - 100, 3 * HOURS_MAX + 7])
def test_hours_add_up_to_what_both_saw(apart: int) -> None:
    random = np.random.default_rng(1)
    later = START + apart * HOUR_MS
    first, second = (random.integers(0, 9, (400, 2)).astype(np.float64) for _ in range(2))
    a, b = hours_of(first, HOUR_MS // 2), hours_of(second, HOUR_MS // 2, later)
    c = hours_of(first, HOUR_MS, START - 77 * HOUR_MS)
    replayed = hours_of(first, HOUR_MS // 2)
    for index, mean in enumerate(second):
        replayed.add(later + index * HOUR_MS // 2, HOUR_MS // 2, np.arange(2), np.ones(2), mean)
    assert_same(a + b, replayed)
    assert_same(a + b, b + a)
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + Hours(2), a)
    assert_same(Hours(2) + a, a)
    with pytest.raises(ValueError, match="2 signals"):
        _ = a + Hours(3)


def test_a_long_slice_is_in_all_its_hours() -> None:
    hours = hours_of(np.array([[3.0, 4.0]]), 6 * HOUR_MS, 12 * HOUR_MS)
    first, n, mean = hours.of(np.arange(2))
    assert first == 12
    np.testing.assert_allclose(n, np.full((6, 2), 1 / 6))
    np.testing.assert_allclose(mean, np.tile([3.0, 4.0], (6, 1)))


def test_hours_are_bounded_and_a_week_stays_a_week() -> None:
    hours, one = Hours(1), np.ones(1)
    for hour in [*range(3 * HOURS_MAX), 10**6 * WEEK]:
        hours.add(hour * HOUR_MS, HOUR_MS, np.array([0]), one, one * (hour % WEEK))
        assert hours.nbytes <= hours.bytes_max()
    first, _, mean = hours.of(np.array([0]))
    np.testing.assert_array_equal(mean[:, 0], (first + np.arange(HOURS_MAX)) % WEEK)


NOISES = [
    *[(kind, 7) for kind in ("white", "t3", "AR .5", "AR .9", "swinging", "trend")],
    *[(kind, 14) for kind in ("white", "t3", "AR .5")],
]


@pytest.mark.parametrize(("kind", "days"), NOISES)
def test_noise_is_given_no_season(kind: str, days: int) -> None:
    # 500 signals: of hours, whose memory is long against a day for AR .9, or of 10 minutes.
    for parts in (1, 6):
        values = noise(kind, days * DAY * parts, 500, seed=days + parts)
        hourly = values.reshape(-1, parts, 500).mean(axis=1)
        season = season_of(Record(START // HOUR_MS, np.ones_like(hourly), hourly), HOUR_MS)
        assert np.count_nonzero(season.period) <= binom.ppf(0.9999, 500, 2 * LEVEL)
        others = ~np.isin(season.period, (0, DAY, WEEK))
        assert np.count_nonzero(others) <= binom.ppf(0.9999, 500, LEVEL / 10)


@pytest.mark.parametrize(("period", "kind"), [(10, "white"), (10, "AR .9"), (31, "white"), (41, "white")])
def test_a_period_that_is_not_known_is_found_to_the_hour(period: int, kind: str) -> None:
    hour = hour_of(HOUR_MS, 14 * DAY + 10 * period)
    late = hour + np.random.default_rng(12).uniform(0, period, 100)
    truth = 1.3 * np.sin(2 * np.pi * late / period) + 0.5 * np.cos(4 * np.pi * late / period)
    values = (truth + noise(kind, len(hour), 100, seed=13))[: 14 * DAY]
    season = season_of(Record(START // HOUR_MS, np.ones_like(values), values), HOUR_MS)
    right = season.period == period
    wrong = ~np.isin(season.period, (period, 2 * period, 0))
    assert np.count_nonzero(right) >= 85
    assert np.count_nonzero(wrong) <= 8
    # It is as good in what comes after: the period does not drift off.
    later = START + np.arange(14 * DAY, len(hour)) * HOUR_MS
    found = np.array([season.at(start, HOUR_MS) for start in later.tolist()])
    off = (found - truth[14 * DAY :])[:, right]
    assert (off**2).mean() < 0.2 * (truth**2).mean()


def test_a_period_that_was_not_seen_often_enough_is_not_guessed() -> None:
    hour = hour_of(HOUR_MS, 14 * DAY)
    late = hour + np.random.default_rng(12).uniform(0, 60, 100)
    values = 1.3 * np.sin(2 * np.pi * late / 60) + noise("white", len(hour), 100, seed=13)
    season = season_of(Record(START // HOUR_MS, np.ones_like(values), values), HOUR_MS)
    assert np.isin(season.period, (0, DAY, WEEK)).all()


def test_a_week_is_no_other_period() -> None:
    hour = hour_of(HOUR_MS, 28 * DAY) + np.zeros(100)
    values = week_season(hour, 4) + noise("white", len(hour), 100, seed=3)
    season = season_of(Record(START // HOUR_MS, np.ones_like(values), values), HOUR_MS)
    assert (season.period == WEEK).all()


@pytest.mark.parametrize("slice_ms", [MINUTE, 10 * MINUTE, HOUR_MS, 3 * HOUR_MS])
def test_a_season_is_known_to_its_error_and_has_no_steps(slice_ms: int) -> None:
    length = 7 * DAY * HOUR_MS // slice_ms
    hour = hour_of(slice_ms, length) + np.zeros(100)
    sd = (HOUR_MS / slice_ms) ** 0.5
    values = day_season(hour, 1) + sd * noise("white", length, 100, seed=2)
    season = season_of(hours_of(values, slice_ms).of(np.arange(100)), slice_ms)
    assert (season.period == DAY).all()
    starts = START + np.arange(0, DAY * HOUR_MS, 3 * MINUTE)
    found = np.array([season.at(start, 1) for start in starts.tolist()])
    truth = day_season((starts / HOUR_MS)[:, None] + np.zeros(100), 1)
    squared = ((found - truth) ** 2).mean()
    assert squared < 1.2 * season.variance.sum(axis=0).mean() < 0.2
    soon = np.array([season.at(start + 1_000, 1) for start in starts.tolist()])
    assert np.abs(soon - found).max() < 0.002


def test_two_waves_of_a_week_are_no_trend() -> None:
    first, late = START // HOUR_MS, np.linspace(0.0, WEEK, 40, endpoint=False)
    level = np.cos(2 * np.pi * (first + np.arange(2 * WEEK)[:, None] + 0.5 + late) / WEEK)
    values = level + 0.1 * noise("white", 2 * WEEK, 40, seed=11)
    season = season_of(Record(first, np.ones_like(values), values), HOUR_MS)
    assert (season.period == WEEK).all()
    found = np.array([season.at((first + at) * HOUR_MS, HOUR_MS) for at in range(WEEK)])
    assert np.square(found - level[:WEEK]).mean() < 0.001  # A line through them would leave 0.008.


def test_a_slice_sees_the_mean_of_the_season_in_it() -> None:
    random = np.random.default_rng(3)
    season = Season(np.array([DAY, WEEK, 0]), np.zeros(3), *random.normal(size=(3, 9, 3)))
    for width in (HOUR_MS, 5 * HOUR_MS, DAY * HOUR_MS):
        parts = [season.at(START + at, width // 300) for at in range(0, width, width // 300)]
        np.testing.assert_allclose(season.at(START, width), np.mean(parts, axis=0), atol=1e-3)
        several = season.around(np.full((2, 3), START + width / 2), width)
        np.testing.assert_allclose(several[1], season.at(START, width), atol=1e-9)


def test_hours_that_are_never_seen_are_bridged() -> None:
    hour = hour_of(HOUR_MS, 10 * DAY)
    values = day_season(hour + np.zeros(20), 4) + 0.2 * noise("white", len(hour), 20, seed=5)
    seen = np.broadcast_to((hour % DAY >= 4), values.shape).astype(np.float64)
    season = season_of(Record(START // HOUR_MS, seen, values * seen), HOUR_MS)
    assert (season.period == DAY).all()
    found = np.array([season.at(START + at * HOUR_MS, HOUR_MS) for at in range(DAY)])
    error = np.square(found - day_season(hour[:DAY] + np.zeros(20), 4))[seen[:DAY, 0] > 0]
    assert error.mean() < 0.05


@pytest.mark.parametrize("late", [False, True])
def test_what_was_seen_in_one_half_alone_is_given_no_season_and_others_keep_theirs(late: bool) -> None:
    """Neither half can foretell the other."""
    hour = hour_of(HOUR_MS, 20 * DAY)
    values = day_season(hour + np.zeros(2), 4) + 0.2 * noise("white", len(hour), 2, seed=5)
    seen = np.ones(values.shape)
    seen[slice(0, 10 * DAY) if late else slice(10 * DAY, None), 1] = 0.0
    season = season_of(Record(START // HOUR_MS, seen, values * seen), HOUR_MS)
    assert season.period.tolist() == [DAY, 0]


def test_without_a_season_it_is_the_scan_to_the_bit() -> None:
    values = noise("AR .5", 4_000, 20, seed=6)
    values[3_000:] += 1.0
    minutes: dict[str, Any] = {"slice_ms": 10 * MINUTE, "start_ms": START}
    seasonal, scan = Seasonal(20, learn=1_000, **minutes), Scan(20, learn=1_000)
    np.testing.assert_array_equal(told(seasonal, values), told(scan, values))
    np.testing.assert_array_equal(seasonal.noise.between, scan.noise.between)
    assert len(told(scan, values[3_000:]))


def rhythm(kind: str, season: str, days: int, slice_ms: int, length: int) -> tuple[int, Values]:
    """How many slices are learned from, and those and as many as are watched, of 60 signals."""
    learn = days * DAY * HOUR_MS // slice_ms
    hour = hour_of(slice_ms, learn + length) + np.zeros(60)
    level = {"day": day_season, "week": week_season, "31 h": shift_season}[season](hour, 7)
    return learn, level + noise(kind, learn + length, 60, seed=9)


CASES = [
    ("white", "day", 7, 5),
    ("AR .9", "day", 7, 5),
    ("white", "week", 14, 15),
    ("AR .9", "week", 14, 15),
    ("white", "31 h", 14, 15),
]


@pytest.mark.parametrize(("kind", "season", "days", "minutes"), CASES)
def test_a_season_raises_no_more_than_the_budget(kind: str, season: str, days: int, minutes: int) -> None:
    learn, values = rhythm(kind, season, days, minutes * MINUTE, 6_000)
    detector = Seasonal(60, run_length=RUN_LENGTH, learn=learn, slice_ms=minutes * MINUTE, start_ms=START)
    budget = 60 * 6_000 / RUN_LENGTH
    assert len(told(detector, values)) <= poisson.ppf(0.999, budget)


def test_a_shift_is_found_that_the_season_would_hide() -> None:
    learn, values = rhythm("white", "day", 7, 5 * MINUTE, 1_000)
    values[learn + 100 :] += 0.5
    params: dict[str, Any] = {"run_length": 1e6, "learn": learn}
    seen = told(Seasonal(60, slice_ms=5 * MINUTE, start_ms=START, **params), values)
    hidden = told(Scan(60, **params), values)
    assert len(np.unique(seen[seen[:, 0] >= learn + 100, 1])) == 60
    assert len(np.unique(hidden[:, 1])) < 6


def test_a_rate_is_stretched_and_not_moved() -> None:
    # Between .2 % by night and 1.8 % by day, in slices of 100 events: most of them without a hit.
    random, learn = np.random.default_rng(10), 7 * 288
    hour = hour_of(5 * MINUTE, learn + 4_000)
    rate = 0.01 * (1 + 0.8 * np.sin(2 * np.pi * hour / 24)) + np.zeros(40)
    for misses in (False, True):
        hits = random.binomial(100, rate) / 100
        detector = Seasonal(
            40, run_length=RUN_LENGTH, learn=learn, share=True, slice_ms=5 * MINUTE, start_ms=START
        )
        found = told(detector, 1.0 - hits if misses else hits, n=100.0)
        assert (detector.season.period == DAY).all()
        assert len(found) <= poisson.ppf(0.999, 40 * 4_000 / RUN_LENGTH)
        doubled = random.binomial(100, 2 * rate[:288]) / 100
        more = told(detector, 1.0 - doubled if misses else doubled, n=100.0)
        assert len(np.unique(more[:, 1])) == 40


@pytest.mark.parametrize("at", [100, 700, 900])
def test_restored_goes_on_exactly_with_its_season(at: int) -> None:
    values = day_season(hour_of(15 * MINUTE, 1_500) + np.zeros(3), 11) + noise("white", 1_500, 3, seed=12)
    values[1_200:] += 2.0
    detector = make("seasonal", 3, {"learn": 672, "slice_ms": 15 * MINUTE, "start_ms": START})
    assert isinstance(detector, Seasonal)
    told(detector, values[:at])
    twin = restore(detector.snapshot())
    assert isinstance(twin, Seasonal)
    left, right = told(detector, values[at:]), told(twin, values[at:])
    np.testing.assert_array_equal(left, right)
    assert len(left)
    assert (twin.season.period == DAY).all()
    assert detector.nbytes <= detector.bytes_max(1_500)


def test_signals_with_a_season_do_not_influence_each_other() -> None:
    values = day_season(hour_of(15 * MINUTE, 1_500) + np.zeros(4), 13) + noise("white", 1_500, 4, seed=14)
    values[1_200:] += 1.0
    params: dict[str, Any] = {"learn": 672, "slice_ms": 15 * MINUTE, "start_ms": START}
    together = Seasonal(4, **params)
    all_told = told(together, values)
    for signal in range(4):
        alone = Seasonal(1, **params)
        mine = told(alone, values[:, [signal]])[:, 0]
        np.testing.assert_array_equal(mine, all_told[all_told[:, 1] == signal, 0])
        np.testing.assert_array_equal(alone.season.cosine[:, 0], together.season.cosine[:, signal])


def test_a_clock_that_changes_is_told_unless_it_matters_too_little() -> None:
    # The season comes an hour late: 28 % of its height at most, where it is steepest.
    learn, slices = 7 * 288, 2 * 288
    hour = hour_of(5 * MINUTE, learn + slices) + np.zeros(40)
    hour[learn:] -= 1.0
    values = day_season(hour, 15) + 0.3 * noise("white", len(hour), 40, seed=16)
    minutes: dict[str, Any] = {"learn": learn, "slice_ms": 5 * MINUTE, "start_ms": START}
    assert len(np.unique(told(Seasonal(40, **minutes), values)[:, 1])) == 40
    assert len(told(Seasonal(40, dead=0.5, **minutes), values)) == 0


def test_a_slice_of_more_than_a_week_is_refused() -> None:
    with pytest.raises(ValueError, match="slice_ms"):
        Seasonal(1, slice_ms=(WEEK + 1) * HOUR_MS)

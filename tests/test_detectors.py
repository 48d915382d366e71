"""The laws of DETECTORS, over all that are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.detectors import DETECTORS, Detector, River, make, restore
from stream_monitor.errors import FormatError
from tests.oracles_detectors import Slices, shifting_slices, told

KSWIN = {"window_size": 20, "stat_size": 6}
CASES: dict[str, Callable[[int], Detector]] = {
    "adwin": lambda signals: make("adwin", signals, {}),
    "adwin, coarse": lambda signals: make("adwin", signals, {"clock": 3, "max_buckets": 2, "delta": 0.1}),
    "page_hinkley": lambda signals: make("page_hinkley", signals, {"threshold": 10, "alpha": 0.99}),
    "scan": lambda signals: make("scan", signals, {"learn": 32, "run_length": 20.0}),
    "cusum": lambda signals: make("cusum", signals, {"learn": 32, "run_length": 20.0}),
    "ewma": lambda signals: make("ewma", signals, {"learn": 32, "run_length": 20.0, "window": 4}),
    "eprocess": lambda signals: make("eprocess", signals, {"learn": 32, "run_length": 5.0}),
    "seasonal": lambda signals: make("seasonal", signals, {"learn": 32, "run_length": 20.0}),
    "ks": lambda signals: make("ks", signals, {"learn": 32, "run_length": 20.0}),
    "KSWIN": lambda signals: make("drift.KSWIN", signals, KSWIN),
    "KSWIN, forgetful": lambda signals: River(signals, name="drift.KSWIN", params=KSWIN, memory=11),
    "PageHinkley of river": lambda signals: make("drift.PageHinkley", signals, {"threshold": 2.0}),
    "DDM": lambda signals: make("drift.binary.DDM", signals, {"warm_start": 5, "drift_threshold": 1.0}),
}
every = pytest.mark.parametrize("new", CASES.values(), ids=CASES.keys())


def signals_of(slices: Slices, signals: Any) -> Slices:
    return Slices(*(values[:, signals] for values in slices))


def between(slices: Slices, begin: int, end: int) -> Slices:
    return Slices(*(values[begin:end] for values in slices))


def without_signal(rows: list[tuple[Any, ...]], signal: int) -> list[tuple[Any, ...]]:
    return [(index, *row) for index, at, *row in rows if at == repr(signal)]


def is_plain(value: object) -> bool:
    return isinstance(value, int | float | str) or (
        isinstance(value, np.ndarray) and value.dtype in (np.float64, np.int64, np.float32, np.int32)
    )


def assert_equal(one: Detector, other: Detector) -> None:
    left, right = one.snapshot(), other.snapshot()
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_every_detector_has_a_case() -> None:
    assert {type(new(1)) for new in CASES.values()} == set(DETECTORS.values())


@every
def test_the_cases_see_changes(new: Callable[[int], Detector]) -> None:
    # All tests below compare changes: they would hold for a detector that never tells any.
    assert len(told(new(6), shifting_slices(6, 150, seed=1))) >= 6


@every
def test_signals_do_not_influence_each_other(new: Callable[[int], Detector]) -> None:
    slices = shifting_slices(6, 150, seed=2)
    together = told(new(6), slices)
    for signal in range(6):
        alone = told(new(1), signals_of(slices, [signal]))
        assert without_signal(alone, 0) == without_signal(together, signal)


@every
def test_permuted_signals_give_permuted_changes(new: Callable[[int], Detector]) -> None:
    slices = shifting_slices(6, 150, seed=3)
    order = [3, 5, 0, 1, 4, 2]
    straight, permuted = told(new(6), slices), told(new(6), signals_of(slices, order))
    for place, signal in enumerate(order):
        assert without_signal(permuted, place) == without_signal(straight, signal)


@every
def test_an_empty_slice_moves_time_and_nothing_else(new: Callable[[int], Detector]) -> None:
    # Two empty slices after each: the same changes at three times the distance.
    dense = shifting_slices(3, 150, seed=4, n_max=1)
    dense.n[:], dense.mean[:], dense.m2[:] = 1.0, np.where(np.isnan(dense.mean), 0.5, dense.mean), 0.0
    sparse = Slices(*(np.full((3 * 150, 3), fill) for fill in (0.0, np.nan, np.nan)))
    for thin, full in zip(sparse, dense, strict=True):
        thin[::3] = full
    expected = [(3 * at, signal, repr(3 * int(since))) for at, signal, since, *_ in told(new(3), dense)]
    assert [row[:3] for row in told(new(3), sparse)] == expected
    assert [row[5:] for row in told(new(3), sparse)] == [row[5:] for row in told(new(3), dense)]


@every
def test_skip_is_as_many_empty_slices(new: Callable[[int], Detector]) -> None:
    slices = shifting_slices(2, 80, seed=5)
    skipping, stepping = new(2), new(2)
    for detector in (skipping, stepping):
        told(detector, slices)
    skipping.skip(40)
    for _ in range(40):
        stepping.update(np.zeros(2), np.full(2, np.nan), np.full(2, np.nan))
    assert_equal(skipping, stepping)
    with pytest.raises(ValueError, match="slices >= 0"):
        skipping.skip(-1)


@pytest.mark.parametrize("slices_a_second", [1, 10])
@every
def test_thirteen_years_of_nothing_are_one_step(new: Callable[[int], Detector], slices_a_second: int) -> None:
    empty = 13 * 365 * 86_400 * slices_a_second
    detector = new(1)
    calm, moved = np.array([0.2]), np.array([0.9])
    for _ in range(60):
        detector.update(np.array([20.0]), calm, np.array([0.0]))
    detector.skip(empty)
    for late in range(60):
        changes = detector.update(np.array([20.0]), moved, np.array([0.0]))
        if changes is not None:
            # The first slice that was seen after, although the change may have come in the gap.
            assert changes.since[0] == late
            assert changes.earliest[0] >= late + empty
            return
    pytest.fail("no change found")


@every
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), at=st.integers(0, 100), skipped=st.integers(0, 3))
def test_restored_goes_on_exactly(new: Callable[[int], Detector], seed: int, at: int, skipped: int) -> None:
    slices = shifting_slices(3, 100, seed)
    original = new(3)
    told(original, between(slices, 0, at))
    original.skip(skipped)
    snapshot = original.snapshot()
    assert all(is_plain(value) for value in snapshot.values())
    twin = restore(snapshot)
    assert_equal(twin, original)
    assert told(twin, between(slices, at, 100)) == told(original, between(slices, at, 100))
    assert_equal(twin, original)


@every
def test_a_snapshot_does_not_change_with_its_detector(new: Callable[[int], Detector]) -> None:
    slices = shifting_slices(3, 100, seed=6)
    detector = new(3)
    told(detector, between(slices, 0, 60))
    snapshot, twin = detector.snapshot(), restore(detector.snapshot())
    told(detector, between(slices, 60, 100))
    assert_equal(restore(snapshot), twin)


@every
def test_state_stays_within_its_bound(new: Callable[[int], Detector]) -> None:
    detector = new(3)
    assert detector.nbytes <= detector.bytes_max(0)
    for index in range(500):
        detector.update(np.ones(3), np.full(3, 0.5), np.zeros(3))
        assert detector.nbytes <= detector.bytes_max(index + 1)
    arrays = [value for value in detector.snapshot().values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= detector.bytes_max(500)


@every
def test_changes_are_consistent(new: Callable[[int], Detector]) -> None:
    slices = shifting_slices(8, 200, seed=7)
    detector = new(8)
    seen_n = np.zeros(8)
    for n, mean, m2 in zip(*slices, strict=True):
        seen_n += n
        changes = detector.update(n, mean, m2)
        if changes is None:
            continue
        assert (np.diff(changes.signal) > 0).all()
        assert (changes.earliest >= changes.since).all()
        assert (changes.since >= changes.latest).all()
        assert (changes.latest >= 0).all()
        assert (changes.before_n > 0).all()
        assert (changes.after_n > 0).all()
        assert (changes.before_n + changes.after_n <= seen_n[changes.signal]).all()
        assert not (changes.statistic <= changes.threshold).any()


@every
@pytest.mark.parametrize(("n", "value"), [(1, 0.0), (1, -7e5), (1e6, 0.0), (1e6, 7e5), (1e15, 0.1)])
def test_a_constant_never_changes(new: Callable[[int], Detector], n: float, value: float) -> None:
    detector = new(2)
    for _ in range(100):
        assert detector.update(np.array([n, 0.0]), np.array([value, np.nan]), np.zeros(2)) is None


@every
@pytest.mark.parametrize(
    ("n", "mean", "m2", "message"),
    [
        ([1.0], [1.0], [0.0], "three arrays"),
        ([1.0, -1.0], [1.0, 1.0], [0.0, 0.0], "counts"),
        ([1.0, np.nan], [1.0, 1.0], [0.0, 0.0], "counts"),
        ([1.0, 1.0], [1.0, np.inf], [0.0, 0.0], "finite mean"),
        ([1.0, 1.0], [1.0, 1.0], [0.0, np.nan], "m2"),
        ([1.0, 1.0], [1.0, 1.0], [0.0, -1.0], "m2"),
    ],
)
def test_what_is_no_slice_is_refused(
    new: Callable[[int], Detector], n: list[float], mean: list[float], m2: list[float], message: str
) -> None:
    detector = new(2)
    with pytest.raises(ValueError, match=message):
        detector.update(np.array(n), np.array(mean), np.array(m2))
    assert_equal(detector, new(2))


@every
def test_a_damaged_snapshot_is_refused(new: Callable[[int], Detector]) -> None:
    detector = new(3)
    told(detector, shifting_slices(3, 60, seed=8))
    good = detector.snapshot()
    arrays = {name: value for name, value in good.items() if isinstance(value, np.ndarray) and value.size}
    real, whole = (
        next(name for name, value in arrays.items() if value.dtype == dtype)
        for dtype in (np.float64, np.int64)
    )
    for damaged in (
        good | {"detector": "oracle"},
        good | {"version": 2},
        good | {real: good[real][..., :2]},
        good | {whole: good[whole].astype(np.float64)},
        good | {real: good[real].tolist()},
        {name: value for name, value in good.items() if name != real},
    ):
        with pytest.raises(FormatError, match="snapshot"):
            restore(damaged)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("kswin", {}, "expected one of"),
        ("drift.NoSuch", {}, "drift.KSWIN"),
        ("drift.binary.datasets", {}, "drift.KSWIN"),
        ("drift.DriftRetrainingClassifier", {}, "drift.KSWIN"),
        ("drift.KSWIN", {"lambda": 1}, "lambda"),
        ("adwin", {"threshold": 1}, "threshold"),
        ("adwin", {"delta": 0}, "0 < delta < 1"),
        ("adwin", {"delta": float("nan")}, "0 < delta < 1"),
        ("adwin", {"max_buckets": 1}, "max_buckets"),
        ("page_hinkley", {"delta": -1}, "delta >= 0"),
        ("page_hinkley", {"threshold": float("nan")}, "threshold > 0"),
        ("page_hinkley", {"alpha": 1.1}, "alpha <= 1"),
    ],
)
def test_make_says_what_it_expected(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, 1, params)

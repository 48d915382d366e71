"""Sums without rounding, a logarithm without a machine's mark, and counts that can be taken back."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.errors import FormatError
from stream_monitor.quality import exact
from stream_monitor.quality.exact import (
    BITS_MAX,
    exact_sum,
    exact_sums,
    from_bytes,
    squares,
    to_bytes,
    to_float,
)
from stream_monitor.quality.logarithm import log
from stream_monitor.quality.tally import Net
from tests.oracles_quality import exact as fractions_of

UNIT = Fraction(2) ** 1074
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SIGNED = st.tuples(FINITE, st.sampled_from((1, -1)))


def arrays(rows: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([value for value, _ in rows], float), np.array([sign for _, sign in rows], np.int64)


@given(st.lists(SIGNED, max_size=50))
def test_a_sum_is_that_of_fractions(rows: list[tuple[float, int]]) -> None:
    values, signs = arrays(rows)
    assert exact_sum(values, signs) == fractions_of(value * sign for value, sign in rows) * UNIT
    moderate = values[np.abs(values) < 1e300]
    assert to_float(exact_sum(moderate)) == math.fsum(moderate.tolist())


def test_the_least_and_the_largest_numbers_add_up_and_cancel() -> None:
    largest, least = np.finfo(np.float64).max, 5e-324
    values = np.array([largest] * 1_000 + [least, 2.2e-308, -2.2e-308] + [-largest] * 1_000)
    assert exact_sum(values) == 1
    assert to_float(exact_sum(np.full(1_000, largest))) == math.inf
    assert to_float(exact_sum(np.full(1_000, -largest))) == -math.inf
    assert exact_sum(np.empty(0)) == 0


@given(st.lists(st.tuples(FINITE, st.sampled_from((1, -1)), st.integers(0, 3)), max_size=30))
def test_slots_are_summed_apart(rows: list[tuple[float, int, int]]) -> None:
    values, signs = arrays([row[:2] for row in rows])
    slot = np.array([row[2] for row in rows], np.int64)
    apart = [exact_sum(values[slot == one], signs[slot == one]) for one in range(4)]
    assert exact_sums(values, signs, slot, 4) == apart


def test_a_sum_of_more_rows_than_a_bin_takes_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(0, 1, 1_000)
    whole = exact_sum(values)
    monkeypatch.setattr(exact, "_ROWS_MAX", 7)
    assert exact_sum(values) == whole


@given(st.lists(st.floats(-1e140, 1e140), min_size=1, max_size=20))
def test_squares_lose_nothing(values: list[float]) -> None:
    sensible = [value for value in values if value == 0 or abs(value) > 1e-140]
    square, rest = squares(np.array(sensible))
    total = exact_sum(square) + exact_sum(rest)
    assert total == sum(Fraction(value) ** 2 for value in sensible) * UNIT


def test_a_square_beyond_all_numbers_is_the_largest() -> None:
    square, rest = squares(np.array([1e200, -1e308]))
    assert square.tolist() == [np.finfo(np.float64).max] * 2
    assert rest.tolist() == [0, 0]


@given(st.integers(-(1 << BITS_MAX) + 1, (1 << BITS_MAX) - 1))
def test_bytes_hold_any_sum(number: int) -> None:
    assert from_bytes(to_bytes(number)) == number


@given(st.binary(max_size=12))
def test_bytes_are_refused_or_have_one_meaning(data: bytes) -> None:
    try:
        number = from_bytes(data)
    except FormatError:
        return
    assert to_bytes(number) == data


@given(st.floats(1e-300, 1e300))
def test_the_logarithm_is_right_to_the_last_place(value: float) -> None:
    (mine,) = log(np.array([value])).tolist()
    assert abs(mine - math.log(value)) <= math.ulp(math.log(value))


def test_the_logarithm_is_the_same_for_ever() -> None:
    """Bits as they were first made: a label taken back years later still cancels."""
    values = np.array([1e-15, 0.1, 0.25, 1 / 3, 0.5, 0.7071067811865475, 0.9, 1 - 1e-15, 1.0])
    assert [one.hex() for one in log(values).tolist()] == LOGARITHMS


LOGARITHMS = [
    "-0x1.144f69ff9ffc4p+5",
    "-0x1.26bb1bbb55515p+1",
    "-0x1.62e42fefa39efp+0",
    "-0x1.193ea7aad030bp+0",
    "-0x1.62e42fefa39efp-1",
    "-0x1.62e42fefa39f1p-2",
    "-0x1.af8e8210a415cp-4",
    "-0x1.2000000000003p-50",
    "0x0.0p+0",
]

KEYS = st.lists(st.tuples(st.integers(0, 9), st.integers(-2, 2)), max_size=20)


def net(rows: list[tuple[int, int]]) -> Net:
    keys, counts = (np.array([row[side] for row in rows], np.int64) for side in (0, 1))
    return Net.of(keys, counts, 10)


@given(KEYS, KEYS)
def test_counts_add_up_and_cancel(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    total = net(one) + net(other)
    assert total == net(other + one)
    assert total + net([(key, -count) for key, count in other]) == net(one)
    assert (total.counts != 0).all()
    low, high = total.halves()
    assert low + high == total
    assert 0 <= len(low) - len(high) <= 1
    assert np.array_equal(total.between(4, 10).dense(6), total.dense(10)[4:])
    assert total.dense(10).min() >= 0

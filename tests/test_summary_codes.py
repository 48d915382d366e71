"""Codes of numbers: what the bins promise, over distributions and at every edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.summary.codes import BINS, FINE_MAX, ZERO_BIN, bin_value, bins_of, fine_codes
from tests.oracles_summary import float32, plain_bin, plain_code

ERROR_MAX = 1 / 64
RNG = np.random.default_rng(5)
DISTRIBUTIONS = {
    "normal": RNG.normal(0, 1, 20_000),
    "kelvin": RNG.normal(300, 5, 20_000),
    "lognormal": RNG.lognormal(0, 3, 20_000),
    "cauchy": RNG.standard_cauchy(20_000),
    "uniform": RNG.uniform(-1, 1, 20_000),
    "epoch_ms": RNG.uniform(1.7e12, 1.8e12, 20_000),
    "integers": RNG.integers(-1_000, 1_000, 20_000).astype(float),
    "all_octaves": 2 ** RNG.uniform(-30, 63, 20_000) * RNG.choice([-1, 1], 20_000),
}


def bins(*values: float) -> list[int]:
    return [int(one) for one in bins_of(fine_codes(np.array(values)))]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_bin_stands_for_its_numbers_to_one_part_in_64(name: str) -> None:
    values = DISTRIBUTIONS[name]
    values = values[(np.abs(values) >= 2.0**-30) & (np.abs(values) < 2.0**63 * (1 - 2.0**-25))]
    found = bin_value(bins_of(fine_codes(values)))
    assert (np.abs(found - values) <= ERROR_MAX * np.abs(values)).all()


def test_a_bin_stands_for_its_numbers_at_every_edge() -> None:
    edges = np.ldexp(1 + np.arange(32) / 32, np.arange(-30, 63)[:, None]).ravel().astype(np.float32)
    assert len(edges) == (BINS - 3) // 2
    below, inside = edges[1:], np.nextafter(edges, np.float32(np.inf))
    at = bins_of(fine_codes(edges))
    assert (np.diff(at) == 1).all()
    assert (bins_of(fine_codes(inside)) == at).all()
    assert (bins_of(fine_codes(np.nextafter(below, np.float32(0)))) == at[:-1]).all()
    for values in (edges, inside, -edges, np.nextafter(below, np.float32(0))):
        wide = values.astype(np.float64)
        assert (np.abs(bin_value(bins_of(fine_codes(wide))) - wide) <= ERROR_MAX * np.abs(wide)).all()


def test_every_bin_is_that_of_the_number_it_stands_for() -> None:
    every = np.arange(BINS)
    assert (bins_of(fine_codes(bin_value(every))) == every).all()


def test_zero_overflow_and_underflow_have_their_places() -> None:
    assert bins(0.0, -0.0) == [ZERO_BIN, ZERO_BIN]
    assert bins(2.0**63, 1e300, -(2.0**63), -1e300) == [BINS - 1, BINS - 1, 0, 0]
    assert bins(2.0**-30, 2.0**-31, 1e-42, -1e-42) == [ZERO_BIN + 1] * 3 + [ZERO_BIN - 1]
    assert bins(float(np.nextafter(np.float32(2.0**63), np.float32(0)))) == [BINS - 2]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
def test_codes_are_monotone_odd_and_as_the_slow_twin_has_them(values: list[float]) -> None:
    ordered = np.sort(np.array(values))
    codes = fine_codes(ordered)
    assert codes.tolist() == [plain_code(float32(value)) for value in ordered.tolist()]
    assert bins_of(codes).tolist() == [plain_bin(code) for code in codes.tolist()]
    assert (np.diff(codes) >= 0).all()
    assert (np.diff(bins_of(codes)) >= 0).all()
    assert (fine_codes(-ordered) == -codes).all()
    assert np.abs(codes).max() <= FINE_MAX


def test_a_fine_code_sees_one_part_in_4096() -> None:
    steps = 2024 * (1 + np.arange(1, 50) / 2048)
    assert (np.diff(fine_codes(steps)) > 0).all()

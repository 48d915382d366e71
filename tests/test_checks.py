"""What each score sees, and what it must not see, measured on whole populations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.checks.category import Category
from stream_monitor.checks.numeric import Numeric
from stream_monitor.checks.rates import MISSING, NOT_FINITE, OUT_OF_RANGE, WRONG_TYPE
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import parse_config
from stream_monitor.events import NO_TIMESTAMP, Float64s, Records, Source, Stream
from stream_monitor.observe import observe
from stream_monitor.reference import Kind, Reference
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Summary

N = 4000


def summary(rows: list[dict[str, Any]], **features: Any) -> Summary:
    """The feature summary of rows, all in one slice."""
    config = parse_config({"predictions": {"topics": ["p"]}, "models": {"m": {"features": features}}})
    values = [orjson.dumps({"model": "m", "ts": 0, "features": row}) for row in rows]
    n = len(values)
    records = Records(
        (Source("p", 0),),
        np.zeros(n, np.int64),
        np.arange(n, dtype=np.int64),
        np.full(n, NO_TIMESTAMP),
        values,
    )
    shape = Shape.of(config.model("m"))
    found = observe(JsonCodec(config).decode(records), lambda _: shape, {}, 0)
    return next(one for key, one in found.items() if key.stream == Stream("m"))


def measured(check: Any, before: list[Any], after: list[Any], **declared: Any) -> dict[str, float]:
    """The mean of each score of the signal x on the rows after, with the rows before as reference."""
    config = parse_config({"predictions": {"topics": ["p"]}, "models": {"m": {"features": declared}}})
    model = config.model("m")
    reference = Reference.of(summary([{"x": x} for x in before], **declared), model.features)
    measure = check(reference, model.min_effect, model.features)
    seen = measure.measure(summary([{"x": x} for x in after], **declared))
    scores = zip(measure.scores, seen.mean.tolist(), strict=True)
    return {"unseen" if score.check == "unseen" else score.name: mean for score, mean in scores}


def normal(seed: int, mean: float = 0.0, sd: float = 1.0, n: int = N) -> list[float]:
    values: list[float] = np.random.default_rng(seed).normal(mean, sd, n).tolist()
    return values


POPULATIONS: dict[str, Callable[[np.random.Generator], Float64s]] = {
    "normal": lambda random: random.normal(0, 1, N),
    "far from zero": lambda random: random.normal(1000, 100, N),
    "lognormal": lambda random: random.lognormal(0, 2, N),
    "heavy tails": lambda random: random.standard_t(2, N),
    "counts": lambda random: random.poisson(3, N).astype(float),
    "kelvin": lambda random: random.normal(300, 3, N),
    "constant": lambda _: np.full(N, 7.0),
}


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_no_score_moves_where_the_population_is_the_same(name: str, seed: int) -> None:
    make = POPULATIONS[name]
    before, after = (make(np.random.default_rng(100 * seed + i)).tolist() for i in (1, 2))
    seen, own = measured(Numeric(), before, after), measured(Numeric(), before, before)
    # 4.5 standard errors of the difference of two means of values within [-1, 1], or of fine codes in sds.
    assert all(abs(seen[name] - own[name]) < 4.5 * np.sqrt(2 / N) for name in seen), (seen, own)


def test_location_says_how_often_a_value_is_above_one_of_the_reference() -> None:
    seen = measured(Numeric(), normal(1), normal(2, mean=0.5))
    # P(X > Y) for a shift of d standard deviations is Phi(d / sqrt 2) = 0.638; the score is 2 P - 1.
    assert seen["location"] == pytest.approx(2 * 0.63816 - 1, abs=0.05)


def test_spread_is_seen_where_the_mean_stays() -> None:
    seen = measured(Numeric(), normal(1), normal(2, sd=2.0))
    assert abs(seen["location"]) < 0.07
    assert seen["spread"] > 0.2


def test_a_collapse_onto_the_quartiles_is_seen_by_the_tails() -> None:
    quartiles = [-0.6745, 0.6745] * (N // 2)
    seen = measured(Numeric(), normal(1), quartiles)
    assert abs(seen["location"]) < 0.07
    assert abs(seen["tails"]) > 0.2


@pytest.mark.parametrize("values", [(0.0, 1.0), (1.0, 2.0), (-3.0, 0.5)])
def test_one_of_two_values_is_one_share(values: tuple[float, float]) -> None:
    low, high = values
    seen = measured(Numeric(), [low] * 90 + [high] * 10, [low] * 6 + [high] * 3 + [high + 9.0])
    assert seen == {"location": 0.4, "above_maximum": 0.1, "below_minimum": 0.0}


def test_a_year_is_no_flag_though_it_fills_two_bins() -> None:
    years = [2015.0, 2025.0, 2050.0, 2055.0] * 50
    assert measured(Numeric(), years, years)["location"] == pytest.approx(0.0, abs=0.01)
    assert "tails" in measured(Numeric(), years, years)


def test_values_beyond_the_reference_are_told_by_side() -> None:
    seen = measured(Numeric(), normal(1), [*normal(2, n=900), *[50.0] * 100])
    assert seen["above_maximum"] == pytest.approx(0.1, abs=0.01)
    assert seen["below_minimum"] == pytest.approx(0.0, abs=0.01)


def test_a_signal_of_a_handful_of_bins_is_located_by_fine_codes_in_standard_deviations() -> None:
    before = np.random.default_rng(1).normal(2020, 3, N).tolist()
    after = np.random.default_rng(2).normal(2021.5, 3, N).tolist()
    assert measured(Numeric(), before, after)["location"] == pytest.approx(0.5, abs=0.07)


def test_a_spread_lost_in_the_size_is_named_and_center_mends_it() -> None:
    times = np.random.default_rng(1).normal(1.76e12, 1e5, N)
    config = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    for declared, unwatchable in (({}, ["x"]), ({"x": {"type": "number", "center": 1.76e12}}, [])):
        made = Reference.of(summary([{"x": x} for x in times.tolist()], **declared), {})
        assert Numeric()(made, config.min_effect, {}).unwatchable == unwatchable


def test_an_unseen_signal_gives_no_observation() -> None:
    config = parse_config({"predictions": {"topics": ["p"]}}).model("m")
    reference = Reference.of(summary([{"x": x, "c": "a"} for x in normal(1)]), {})
    nothing = summary([{"other": 1}] * 10)
    for check in (Numeric(), Category(), WRONG_TYPE, OUT_OF_RANGE, NOT_FINITE):
        assert not check(reference, config.min_effect, {}).measure(nothing).n.any()


@settings(max_examples=20)
@given(shares=st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_the_shares_of_categories_are_exact(shares: list[int]) -> None:
    before = [f"c{i}" for i in range(len(shares)) for _ in range(100)]
    after = [f"c{i}" for i, count in enumerate(shares) for _ in range(count)]
    seen = measured(Category(), before, after)
    for i, count in enumerate(shares):
        assert seen[f"share of 'c{i}'"] == pytest.approx(count / sum(shares))


def test_the_smaller_categories_count_as_other_and_new_ones_as_unseen() -> None:
    before = [f"c{i:02}" for i in range(30) for _ in range(100 - i)]
    seen = measured(Category(), before, ["c29"] * 20 + ["new"] * 30 + ["c00"] * 50)
    assert seen["share of (other)"] == pytest.approx(0.2)
    assert seen["unseen"] == pytest.approx(0.3)
    assert seen["share of 'c00'"] == pytest.approx(0.5)


def test_values_that_are_listed_are_left_to_the_check_on_range() -> None:
    declared = {"type": "category", "values": ["a", "b"]}
    assert "unseen" not in measured(Category(), ["a", "b"] * 50, ["z"] * 10, x=declared)
    assert measured(OUT_OF_RANGE, ["a", "b"] * 50, ["z", "a"], x=declared)["rate"] == 0.5


@pytest.mark.parametrize(
    ("check", "after", "rate"),
    [
        (MISSING, [None, 1.0, 2.0, 3.0], 0.25),
        (WRONG_TYPE, ["n/a", True, 1.0, 2.0], 0.5),
        (WRONG_TYPE, ["12.5", 1.0, 2.0, 3.0], 0.0),
        (NOT_FINITE, ["inf", "nan", 1.0, 2.0], 0.5),
        (MISSING, ["n/a", True, 1.0, []], 0.0),
    ],
)
def test_rates_count_what_they_are_named_for(check: Any, after: list[Any], rate: float) -> None:
    assert measured(check, normal(1), after)["rate"] == rate


def test_a_number_out_of_its_declared_range_is_counted_among_the_values_present() -> None:
    declared = {"type": "number", "range": [0, 10]}
    assert measured(OUT_OF_RANGE, [1.0] * 10, [5.0, 10.0, 11.0, -1.0, None], x=declared)["rate"] == 0.5


def test_a_category_that_becomes_a_number_has_the_wrong_type() -> None:
    assert measured(WRONG_TYPE, ["a", "b"] * 50, [1, 2, "a", "b"])["rate"] == 0.5


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([1, 2.5, "7"], Kind.NUMBER),
        (["1", "2"], Kind.NUMBER),
        (["a", "b", 1], Kind.CATEGORY),
        ([True, False], Kind.CATEGORY),
        ([None, []], None),
    ],
)
def test_an_undeclared_signal_is_what_most_of_its_values_are(rows: list[Any], kind: Kind | None) -> None:
    assert Reference.of(summary([{"x": x} for x in rows]), {}).kinds.get("x") == kind

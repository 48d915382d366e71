"""The figures of quality against scikit-learn, pandas and a slow twin; bounds and errors as promised."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_monitor.config import Quality
from stream_monitor.quality.classes import CALIBRATION_BINS
from stream_monitor.quality.curves import SCORE_BINS, roc_auc, score_bins
from stream_monitor.quality.figures import Figure
from stream_monitor.quality.measures import Measures
from stream_monitor.summary.codes import bin_value
from tests.oracles_quality import (
    BINARY,
    MULTICLASS,
    NAMED,
    REGRESSION,
    Pair,
    cohorts_of_pairs,
    plain_auc,
    plain_precision,
    plain_regression,
)

metrics: Any = importlib.import_module("sklearn.metrics")
Array = NDArray[Any]
ROWS = 4_000
SLACK = 1e-12
"""Both sides round: to be equal is to be within this."""


def measured(quality: Quality, inputs: list[Any], labels: list[Any]) -> Measures:
    pairs = [Pair(0, (one,), (label,)) for one, label in zip(inputs, labels, strict=True)]
    return cohorts_of_pairs(pairs, {"y": quality})[0].measures["y"]


def value(figures: dict[str, Figure], name: str) -> float:
    found = figures[name].value
    assert found is not None
    return found


def bounds(figures: dict[str, Figure], name: str) -> tuple[float, float]:
    low, high = figures[name].low, figures[name].high
    assert low is not None
    assert high is not None
    return low, high


def near(expected: Any) -> Any:
    return pytest.approx(expected, rel=SLACK, abs=SLACK)


# Regression

NUMBERS: dict[str, Callable[[np.random.Generator], tuple[Array, Array]]] = {
    "normal": lambda rng: (rng.normal(0, 1, ROWS), rng.normal(0, 1, ROWS)),
    "kelvin": lambda rng: (300 + rng.normal(0, 1e-3, ROWS), 300 + rng.normal(0, 1e-3, ROWS)),
    "heavy tails": lambda rng: (rng.standard_t(2, ROWS), rng.standard_cauchy(ROWS)),
    "lognormal": lambda rng: (rng.lognormal(0, 3, ROWS), rng.lognormal(0, 3, ROWS)),
    "far apart": lambda rng: (10.0 ** rng.uniform(-30, 30, ROWS), 10.0 ** rng.uniform(-30, 30, ROWS)),
    "whole, many zeros": lambda rng: (1.0 * rng.integers(0, 9, ROWS), 1.0 * rng.integers(0, 3, ROWS)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_figures_of_a_regression_are_those_of_scikit_learn_and_pandas(name: str) -> None:
    predictions, labels = NUMBERS[name](np.random.default_rng(7))
    figures = measured(REGRESSION, predictions.tolist(), labels.tolist()).figures()
    frame = pd.DataFrame({"prediction": predictions, "label": labels})
    error = frame.prediction - frame.label
    nonzero = frame[frame.label != 0]
    assert value(figures, "mae") == near(error.abs().mean())
    assert value(figures, "mae") == near(metrics.mean_absolute_error(labels, predictions))
    assert value(figures, "rmse") == near(metrics.root_mean_squared_error(labels, predictions))
    assert value(figures, "mean_error") == near(math.fsum(error) / ROWS)
    assert value(figures, "mape") == near((100 * error[nonzero.index].abs() / nonzero.label.abs()).mean())
    assert value(figures, "above") == (error.abs() > 2.5).mean()
    # Its float sums lose digits where labels are far from zero; ours do not (see the slow twin below).
    assert value(figures, "r2") == pytest.approx(metrics.r2_score(labels, predictions), rel=1e-9)
    assert figures["mape"].n == len(nonzero)


@pytest.mark.parametrize("name", NUMBERS)
def test_figures_of_a_regression_are_those_of_fractions(name: str) -> None:
    predictions, labels = (part[:300].tolist() for part in NUMBERS[name](np.random.default_rng(8)))
    figures = measured(REGRESSION, predictions, labels).figures()
    expected = plain_regression(list(zip(predictions, labels, strict=True)), 2.5)
    assert {key: figure.value for key, figure in figures.items()} == {
        key: near(one) if one is not None else None for key, one in expected.items()
    }


def test_numbers_beyond_all_bounds_leave_finite_figures() -> None:
    figures = measured(REGRESSION, [1e308, -1e308, 1.0], [-1e308, 1e308, 5e-324]).figures()
    assert all(figure.value is not None and math.isfinite(figure.value) for figure in figures.values())


def test_percentage_errors_keep_their_distribution() -> None:
    rng = np.random.default_rng(3)
    labels = rng.normal(50, 20, ROWS)
    predictions = labels * (1 + rng.normal(0.05, 0.1, ROWS))
    bins, counts = measured(REGRESSION, predictions.tolist(), labels.tolist()).percentage_errors()
    assert counts.sum() == ROWS
    for q in (0.05, 0.5, 0.95):
        binned = np.quantile(np.repeat(bin_value(bins), counts), q, method="inverted_cdf")
        truth = np.quantile(100 * (predictions - labels) / np.abs(labels), q, method="inverted_cdf")
        assert binned == pytest.approx(truth, rel=1 / 64)


def test_a_limit_that_is_not_set_is_not_told() -> None:
    assert "above" not in measured(Quality(task="regression"), [1.0], [2.0]).figures()


# Binary


def logistic(raw: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-raw)))


SCORES: dict[str, Callable[[np.random.Generator], Array]] = {
    "uniform": lambda rng: rng.random(ROWS),
    "beta": lambda rng: rng.beta(2, 5, ROWS),
    "logistic": lambda rng: logistic(rng.normal(0, 2, ROWS)),
    "rare": lambda rng: logistic(rng.normal(-6, 2, ROWS)),
    "nearly sure": lambda rng: logistic(rng.normal(8, 3, ROWS)),
}
TIED: dict[str, Callable[[np.random.Generator], Array]] = {
    "two ends": lambda rng: logistic(rng.normal(0, 12, ROWS)),
    "rounded": lambda rng: rng.random(ROWS).round(2),
    "constant": lambda _: np.full(ROWS, 0.3),
    "in one bin": lambda rng: rng.uniform(0.3, 0.301, ROWS),
    "0 and 1": lambda rng: 1.0 * rng.integers(0, 2, ROWS),
}


def binary(name: str, seed: int = 1, sharpness: float = 1.0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    scores = {**SCORES, **TIED}[name](rng)
    odds = np.log(np.clip(scores, 1e-9, 1) / np.clip(1 - scores, 1e-9, 1))
    actual = rng.random(ROWS) < logistic(sharpness * odds)
    actual[:2] = [False, True]
    return scores, actual


def of_binary(scores: Array, actual: Array) -> Measures:
    return measured(
        BINARY, [(None, one) for one in scores.tolist()], ["yes" if one else "no" for one in actual]
    )


@pytest.mark.parametrize("name", [*SCORES, *TIED])
def test_figures_of_a_binary_task_are_those_of_scikit_learn(name: str) -> None:
    scores, actual = binary(name)
    figures, predicted = of_binary(scores, actual).figures(), scores >= 0.5
    assert value(figures, "accuracy") == near(metrics.accuracy_score(actual, predicted))
    for key, of_sklearn in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert (figures[key].value or 0.0) == near(of_sklearn(actual, predicted, zero_division=0))
    (tn, fp), (fn, _) = metrics.confusion_matrix(actual, predicted, labels=[False, True]).tolist()
    assert value(figures, "false_positive_rate") == near(fp / (fp + tn))
    assert (figures["negative_predictive_value"].value or 0.0) == near(tn / max(tn + fn, 1))
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    assert value(figures, "log_loss") == near(metrics.log_loss(actual, clipped))
    assert value(figures, "brier") == near(metrics.brier_score_loss(actual, scores))


@pytest.mark.parametrize("name", [*SCORES, *TIED])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 3.0])
def test_areas_under_curves_are_within_their_bounds(name: str, sharpness: float) -> None:
    scores, actual = binary(name, 2, sharpness)
    figures = of_binary(scores, actual).figures()
    for key, truth in (
        ("roc_auc", metrics.roc_auc_score(actual, scores)),
        ("average_precision", metrics.average_precision_score(actual, scores)),
    ):
        low, high = bounds(figures, key)
        assert low - SLACK <= truth <= high + SLACK
        assert low <= value(figures, key) <= high
        if name in SCORES:
            assert max(high - value(figures, key), value(figures, key) - low) < 0.01


@given(
    st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.25, 0.251, 0.252]), st.booleans()), min_size=1)
)
def test_bounds_hold_for_any_scores(rows: list[tuple[float, bool]]) -> None:
    scores, actual = [row[0] for row in rows], [row[1] for row in rows]
    figures = of_binary(np.array(scores), np.array(actual)).figures()
    for name, truth in (
        ("roc_auc", plain_auc(scores, actual)),
        ("average_precision", plain_precision(scores, actual)),
    ):
        if truth is None:
            assert figures[name].value is None
        else:
            low, high = bounds(figures, name)
            assert low - SLACK <= truth <= high + SLACK
            assert low - SLACK <= value(figures, name) <= high + SLACK


def test_scores_in_bins_of_their_own_give_the_curves_exactly() -> None:
    scores = np.repeat([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0], 50)
    actual = np.random.default_rng(4).random(len(scores)) < scores
    figures = of_binary(scores, actual).figures()
    assert value(figures, "roc_auc") == near(metrics.roc_auc_score(actual, scores))


def test_the_area_of_more_pairs_than_int64_holds_is_exact() -> None:
    counts = np.array([1, 2, 3], np.int64)
    large, small = (roc_auc(counts * times, counts[::-1] * times) for times in (1 << 40, 1))
    assert (large.value, large.low, large.high) == (small.value, small.low, small.high)


@given(st.lists(st.floats(0, 1), min_size=2))
def test_bins_of_scores_keep_their_order(scores: list[float]) -> None:
    bins = score_bins(np.array(sorted(scores)))
    assert (np.diff(bins) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < SCORE_BINS


def test_calibration_is_that_of_the_scores() -> None:
    scores, actual = binary("uniform", 5, 2.0)
    measures = of_binary(scores, actual)
    n, right, confidence = measures.calibration()
    frame = pd.DataFrame(
        {"bin": np.minimum((scores * CALIBRATION_BINS).astype(int), 19), "score": scores, "y": actual}
    )
    by_bin = frame.groupby("bin")
    assert n.tolist() == by_bin.size().tolist()
    assert right.tolist() == by_bin.y.sum().tolist()
    assert confidence.tolist() == near(by_bin.score.mean().tolist())
    gaps = (by_bin.score.mean() - by_bin.y.mean()).abs()
    assert value(measures.figures(), "ece") == near((gaps * by_bin.size()).sum() / ROWS)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from([1, -1])), min_size=1))
def test_more_taken_back_than_had_come_gives_numbers_or_none(rows: list[tuple[float, bool, int]]) -> None:
    for quality, inputs, labels in (
        (BINARY, [(None, score) for score, _, _ in rows], ["yes" if label else "no" for _, label, _ in rows]),
        (MULTICLASS, [(None, {"a": score}) for score, _, _ in rows], ["ab"[label] for _, label, _ in rows]),
        (REGRESSION, [score for score, _, _ in rows], [float(label) for _, label, _ in rows]),
    ):
        pairs = [
            Pair(0, (one,), (label,), row[2]) for one, label, row in zip(inputs, labels, rows, strict=True)
        ]
        for measures in cohorts_of_pairs(pairs, {"y": quality}).total().measures.values():
            for figure in measures.figures().values():
                assert figure.n >= 0
                assert figure.value is None or math.isfinite(figure.value)


def test_a_class_that_is_told_counts_before_the_score() -> None:
    figures = measured(BINARY, [("yes", 0.1), ("no", 0.9), (None, 0.9)], ["yes", "no", "no"]).figures()
    assert value(figures, "accuracy") == near(2 / 3)


@pytest.mark.parametrize(("score", "loss"), [(0.0, -math.log(1e-15)), (1.0, -math.log(1 - 1e-15))])
def test_log_loss_takes_no_probability_for_certain(score: float, loss: float) -> None:
    figures = measured(BINARY, [(None, score)], ["yes"]).figures()
    assert value(figures, "log_loss") == pytest.approx(loss, rel=1e-15)
    assert value(figures, "log_loss") > 0


def test_true_is_one_where_one_is_positive() -> None:
    quality = Quality(task="binary", score="p")
    assert value(measured(quality, [("1", None), ("true", 0.5)], ["true", "1"]).figures(), "recall") == 1


def test_a_label_that_is_none_of_two_classes_is_not_used() -> None:
    quality = Quality(task="binary", score="p", positive="yes", classes=["yes", "no"])
    assert measured(quality, [("yes", None)] * 3, ["yes", "no", "perhaps"]).n == 2


# Several classes


def classes(seed: int, names: list[str]) -> tuple[Array, list[str], list[str]]:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.linspace(0.4, 2, len(names)), ROWS)
    actual = [names[place] for place in (scores.cumsum(1) > rng.random((ROWS, 1))).argmax(1)]
    predicted = [names[place] for place in scores.argmax(1)]
    return scores, predicted, actual


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("told", [True, False])
def test_figures_of_several_classes_are_those_of_scikit_learn(listed: bool, told: bool) -> None:
    names = ["b", "a", "c"] if listed else [f"c{n:02}" for n in range(12)]
    scores, predicted, actual = classes(6, names)
    rows = scores.tolist()
    given_scores = rows if listed else [dict(zip(names, row, strict=True)) for row in rows]
    named = predicted if told else [None] * ROWS
    inputs = list(zip(named, given_scores, strict=True))
    figures = measured(NAMED if listed else MULTICLASS, inputs, actual).figures()
    order = sorted(names)
    in_order = scores[:, [names.index(name) for name in order]]
    for key, of_sklearn in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        by_class = of_sklearn(actual, predicted, average=None, labels=order, zero_division=0)
        for name, expected in zip(order, by_class, strict=True):
            assert (figures[f"{key}.{name}"].value or 0.0) == near(expected)
        for average in ("macro", "micro", "weighted"):
            expected = of_sklearn(actual, predicted, average=average, zero_division=0)
            assert value(figures, f"{key}_{average}") == near(expected)
    assert value(figures, "log_loss") == near(
        metrics.log_loss(actual, np.maximum(in_order, 1e-15), labels=order)
    )
    assert value(figures, "brier") == near(metrics.brier_score_loss(actual, in_order, labels=order))
    for name, column in zip(order, in_order.T, strict=True):
        mine = np.array(actual) == name
        for key, of_sklearn in (
            ("roc_auc", metrics.roc_auc_score),
            ("average_precision", metrics.average_precision_score),
        ):
            low, high = bounds(figures, f"{key}.{name}")
            assert low - SLACK <= of_sklearn(mine, column) <= high + SLACK
            assert high - low < 0.02
    low, high = bounds(figures, "roc_auc_macro")
    assert (
        low
        <= metrics.roc_auc_score(actual, in_order, multi_class="ovr", average="macro", labels=order)
        <= high
    )


def test_a_class_without_a_score_has_zero() -> None:
    full = [("a", {"a": 0.9, "b": 0.1, "c": 0.0}), ("b", {"a": 0.0, "b": 1.0, "c": 0.0})] * 3
    sparse = [(name, {one: score for one, score in scores.items() if score}) for name, scores in full]
    labels = ["a", "b", "c", "a", "b", "b"]
    assert measured(MULTICLASS, sparse, labels).figures() == measured(MULTICLASS, full, labels).figures()


def test_confidence_is_that_in_the_predicted_class() -> None:
    inputs = [("a", {"a": 0.8, "b": 0.2}), ("b", {"a": 0.4, "b": 0.6}), (None, {"a": 0.7, "b": 0.3})]
    n, right, confidence = measured(MULTICLASS, inputs, ["a", "a", "b"]).calibration()
    full = np.flatnonzero(n).tolist()
    assert (full, right[full].tolist()) == ([12, 14, 16], [0, 0, 1])
    assert confidence[full].tolist() == near([0.6, 0.7, 0.8])


def test_one_figure_is_that_of_all() -> None:
    scores, actual = binary("beta")
    for measures in (of_binary(scores, actual), measured(REGRESSION, [1.0, 2.0], [2.0, 4.0])):
        for name, figure in measures.figures().items():
            assert measures.figure(name) == figure
        assert measures.figure("no such") is None


# Standard errors


def spread_of(name: str, make: Callable[[int], Measures], runs: int) -> tuple[float, float]:
    """The standard deviation of a figure over runs, and the mean of its standard errors."""
    found = [make(seed).figure(name) for seed in range(runs)]
    values = [one.value for one in found if one is not None and one.value is not None]
    errors = [one.standard_error for one in found if one is not None and one.standard_error is not None]
    assert len(values) == len(errors) == runs
    return float(np.std(values, ddof=1)), float(np.mean(errors))


def numbers_run(seed: int) -> Measures:
    rng = np.random.default_rng(seed)
    labels = rng.normal(30, 5, 400)
    return measured(REGRESSION, (labels + rng.gamma(2, 1, 400) - 1).tolist(), labels.tolist())


def binary_run(seed: int) -> Measures:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 2, 400)
    return of_binary(scores, rng.random(400) < scores)


def classes_run(seed: int) -> Measures:
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, 3, 400)
    told = np.where(rng.random(400) < 0.7, actual, rng.integers(0, 3, 400))
    return measured(MULTICLASS, [("abc"[one], None) for one in told], ["abc"[one] for one in actual])


STANDARD_ERRORS: list[tuple[str, Callable[[int], Measures]]] = [
    *((name, numbers_run) for name in ("mae", "rmse", "mean_error", "mape", "above")),
    *(
        (name, binary_run)
        for name in ("accuracy", "precision", "recall", "f1", "log_loss", "brier", "roc_auc")
    ),
    *((name, classes_run) for name in ("recall_macro", "precision_macro", "f1.a")),
]


@pytest.mark.parametrize(("name", "make"), STANDARD_ERRORS)
def test_standard_errors_are_the_spread_over_runs(name: str, make: Callable[[int], Measures]) -> None:
    """300 runs know a standard deviation to 4 %."""
    spread, error = spread_of(name, make, 300)
    assert error == pytest.approx(spread, rel=0.15)


def test_one_pair_has_no_standard_error_of_its_mean() -> None:
    figures = measured(REGRESSION, [1.0], [3.0]).figures()
    assert (figures["mae"].value, figures["mae"].standard_error) == (2.0, None)
    assert (figures["rmse"].value, figures["rmse"].standard_error) == (2.0, None)
    assert figures["r2"].value is None

"""Every figure of quality against what the oracle of the join says: all tasks, all cohorts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.quality.figures import Figure
from stream_monitor.quality.measures import OTHER_CLASS, Measures

REGRESSION = {name: name for name in ("mae", "rmse", "mean_error", "mape", "r2", "above")}
BINARY = {
    "accuracy": "accuracy",
    "precision": "precision.True",
    "recall": "recall.True",
    "negative_predictive_value": "precision.False",
    "log_loss": "log_loss",
    "brier": "brier",
    "ece": "ece",
}
MULTICLASS = {"accuracy": "accuracy", "log_loss": "log_loss", "brier": "brier"}

Place = tuple[str, str, str, str, int]
"""Model, version, role, segment and start of a cohort."""


def assert_as_the_oracle_says(
    found: Mapping[tuple[str, ...], Cohorts],
    expected: Mapping[Place, dict[str, Any]],
    quality: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> int:
    """Hold all cohorts of all streams, by (model, version, role, segment), to those of the oracle. Returns
    how many figures were compared. ``quality``: of each model to be compared, as the oracle had it.
    """
    places = {(*stream, start) for stream, cohorts in found.items() for start in cohorts}
    assert places == set(expected)
    compared = 0
    for (*stream, start), wanted in expected.items():
        cohort = found[tuple(stream)][start]
        assert (cohort.predictions, cohort.labeled) == (wanted["predictions"], len(wanted["pairs"]))
        for output, settings in quality.get(stream[0], {}).items():
            measures = cohort.measures.get(output)
            of_output = {
                name.removeprefix(f"{output}."): one
                for name, one in wanted.items()
                if name.startswith(f"{output}.")
            }
            assert (measures.n if measures else 0) == of_output["n"], (stream, start, output)
            if measures is not None:
                place = (*stream, start, output)
                compared += sum(_compared(place, measures, settings, of_output, wanted["pairs"]))
    return compared


def _compared(
    place: tuple[Any, ...],
    measures: Measures,
    settings: Mapping[str, Any],
    wanted: Mapping[str, Any],
    pairs: list[Any],
) -> Iterator[int]:
    figures = measures.figures()
    names = {"regression": REGRESSION, "binary": BINARY, "multiclass": MULTICLASS}[settings["task"]]
    if settings["task"] == "multiclass":
        kinds = [f"{kind}.{one}" for kind in ("precision", "recall") for one in settings["classes"]]
        names = names | {name: name for name in kinds if name in figures}
    for name, of_oracle in names.items():
        figure, value = figures.get(name), wanted.get(of_oracle)
        _assert_equal((*place, name), figure, value)
        yield 1
    if settings["task"] != "regression":
        assert _confusion(measures) == _of_classes(wanted["confusion"], settings), place
        yield 1
    if settings["task"] == "binary" and (area := _roc_auc(pairs, settings)) is not None:
        figure = figures["roc_auc"]
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low - 1e-12 <= area <= figure.high + 1e-12, place
        yield 1


def _assert_equal(place: tuple[Any, ...], figure: Figure | None, value: float | None) -> None:
    found = None if figure is None else figure.value
    if not value or found is None:
        assert (found or 0.0) == (value or 0.0), place
    else:
        assert found == pytest.approx(value, rel=1e-9, abs=1e-12), place


def _confusion(measures: Measures) -> dict[tuple[str, str], int]:
    """How many by (actual, predicted)."""
    names, matrix = measures.confusion()
    return {
        (actual, predicted): int(matrix[row, column])
        for row, predicted in enumerate(names)
        for column, actual in enumerate(names)
        if matrix[row, column]
    }


def _of_classes(
    confusion: Mapping[tuple[str, str], int], settings: Mapping[str, Any]
) -> dict[tuple[str, str], int]:
    """The same with the names that the measures have for classes."""
    found: dict[tuple[str, str], int] = {}
    for (actual, predicted), count in confusion.items():
        key = _named(actual, settings), _named(predicted, settings)
        found[key] = found.get(key, 0) + count
    return found


def _named(name: str, settings: Mapping[str, Any]) -> str:
    if settings["task"] == "binary":
        return {"True": "positive", "False": "negative"}[name]
    return name if name in settings["classes"] else OTHER_CLASS


def _roc_auc(pairs: list[Any], settings: Mapping[str, Any]) -> float | None:
    """How often a positive has a higher score than a negative; ties count half."""
    scored = [(outputs.get(settings["score"]), label) for outputs, label in pairs]
    known = [(score, label == settings["positive"]) for score, label in scored if score is not None]
    positives = [score for score, one in known if one]
    negatives = [score for score, one in known if not one]
    if not positives or not negatives:
        return None
    wins = sum(float(one > other) + (one == other) / 2 for one in positives for other in negatives)
    return float(wins / len(positives) / len(negatives))

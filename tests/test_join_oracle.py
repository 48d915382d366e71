"""The second opinion on the join: what it shares with the package, and that it knows the rules by heart."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream_monitor.config import parse_config
from tests import join_feed, join_oracle
from tests.join_feed import COHORT_MS, HORIZON_MS, LABELS, PREDICTIONS, START_MS, Feed, Record, settings
from tests.test_laws_of_imports import imported

LINES_MAX = 150
FARE = ("fare", "1", "live")
COHORT = (*FARE, "", START_MS)
H = HORIZON_MS


def test_it_is_short_and_of_the_standard_library() -> None:
    text = Path(join_oracle.__file__).read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert {name.partition(".")[0] for name in imported(ast.parse(text))} <= sys.stdlib_module_names
    command = "import sys, tests.join_oracle; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, check=True, text=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {"stream_monitor", "numpy", "river"}


def prediction(at: int, value: float = 10.0, name: str = "p", **more: Any) -> Record:
    event = {"prediction_id": name, "model": "fare", "model_version": "1", "ts": START_MS + at}
    event |= {"features": {"country": "DE"}, "outputs": {"amount": value}}
    return START_MS + at, None, json.dumps(event | more)


def label(at: int, value: Any, name: str = "p", **more: Any) -> Record:
    return (
        START_MS + at,
        None,
        json.dumps({"prediction_id": name, "ts": START_MS + at, "label": value} | more),
    )


def tombstone(at: int, name: str = "p") -> Record:
    return START_MS + at, name, None


def found(
    folder: Path, predictions: list[Record], labels: list[Record], policy: str = "last"
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    Feed(1, {(PREDICTIONS, 0): predictions, (LABELS, 0): labels}).write(folder)
    counts, cohorts = join_oracle.find(folder, [PREDICTIONS], [LABELS], settings(policy))
    return {of: {name: n for name, n in one.items() if n} for of, one in counts.items()}, dict(cohorts)


CASES: list[tuple[str, list[Record], dict[str, int], list[Any]]] = [
    ("no label", [], {"predictions": 1, "unlabeled": 1}, []),
    ("one", [label(5, 1)], {"predictions": 1, "pairs": 1}, [1]),
    ("at the horizon", [label(H, 1)], {"predictions": 1, "pairs": 1}, [1]),
    ("beyond it", [label(H + 1, 1)], {"predictions": 1, "unlabeled": 1}, []),
    ("long before", [label(-H, 1)], {"predictions": 1, "pairs": 1}, [1]),
    ("too long before", [label(-H - 1, 1)], {"predictions": 1, "unlabeled": 1}, []),
    (
        "the clock counts, not the time",
        [label(H + 1, 9, "other"), label(5, 1)],
        {"predictions": 1, "unlabeled": 1},
        [],
    ),
    ("of its model", [label(5, 1, model="fare")], {"predictions": 1, "pairs": 1}, [1]),
    ("of another", [label(5, 1, model="churn")], {"predictions": 1, "unlabeled": 1}, []),
    ("twice", [label(5, 1), label(6, 1)], {"predictions": 1, "pairs": 1, "duplicate_labels": 1}, [1]),
    ("corrected", [label(5, 1), label(6, 2)], {"predictions": 1, "pairs": 1, "corrections": 1}, [2]),
    (
        "withdrawn",
        [label(5, 1), tombstone(6)],
        {"predictions": 1, "unlabeled": 1, "pairs": 1, "withdrawals": 1},
        [],
    ),
    (
        "withdrawn by null, and given again",
        [label(5, 1), label(6, None), label(7, 3)],
        {"predictions": 1, "pairs": 1, "withdrawals": 1, "again": 1},
        [3],
    ),
    (
        "nothing to withdraw",
        [tombstone(5), label(6, 1)],
        {"predictions": 1, "pairs": 1, "withdrawn_without_label": 1},
        [1],
    ),
    (
        "first one before the horizon",
        [label(-H - 1, 1), label(6, 2)],
        {"predictions": 1, "pairs": 1},
        [2],
    ),
]


@pytest.mark.parametrize(
    ("labels", "counts", "values"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
def test_rules(tmp_path: Path, labels: list[Record], counts: dict[str, int], values: list[Any]) -> None:
    got, cohorts = found(tmp_path, [prediction(0)], labels)
    assert got[FARE] == counts
    assert cohorts[COHORT]["predictions"] == 1
    assert [value for _, value in cohorts[COHORT]["pairs"]] == values
    assert cohorts[*FARE, "country=DE", START_MS]["pairs"] == cohorts[COHORT]["pairs"]
    assert cohorts[*FARE, "tier=", START_MS]["pairs"] == cohorts[COHORT]["pairs"]


def test_the_first_label_stays_where_that_is_the_policy(tmp_path: Path) -> None:
    counts, cohorts = found(tmp_path, [prediction(0)], [label(5, 1), label(6, 2), label(7, 1)], "first")
    assert counts[FARE] == {"predictions": 1, "pairs": 1, "ignored": 1, "duplicate_labels": 1}
    assert cohorts[COHORT]["amount.mae"] == 9


def test_a_prediction_counts_once_in_its_horizon_and_each_stream_for_itself(tmp_path: Path) -> None:
    shadow = {"role": "shadow", "model_version": "2"}
    predictions = [prediction(0), prediction(0, 12.0, **shadow), prediction(H), prediction(2 * H + 1)]
    counts, cohorts = found(tmp_path, predictions, [label(5, 9)])
    assert counts[FARE] == {"predictions": 2, "pairs": 1, "unlabeled": 1, "duplicate_predictions": 1}
    assert cohorts[COHORT]["amount.mae"] == 1
    assert cohorts["fare", "2", "shadow", "", START_MS]["amount.mae"] == 3


def test_orphans_and_rejects(tmp_path: Path) -> None:
    labels = [
        label(5, 1, "nobody"),
        label(6, 1, "nobody", model="fare"),
        tombstone(7, "nobody"),
        (8, None, "[1"),
    ]
    counts, _ = found(tmp_path, [prediction(0), (9, None, "[]"), (9, None, "[7, 8]")], labels)
    assert counts["",] == {"labels": 2, "orphans": 1}
    assert counts["fare",] == {"labels": 1, "orphans": 1}
    assert counts[LABELS,] == {"rejected": 1}
    assert counts[PREDICTIONS,] == {"rejected": 2}


def test_cohorts_go_by_the_time_of_the_prediction(tmp_path: Path) -> None:
    predictions = [prediction(COHORT_MS, name="q"), prediction(COHORT_MS - 1)]
    _, cohorts = found(tmp_path, predictions, [label(5, 1), label(5, 2, "q")])
    assert [value for _, value in cohorts[COHORT]["pairs"]] == [1]
    assert [value for _, value in cohorts[*FARE, "", START_MS + COHORT_MS]["pairs"]] == [2]


def test_figures_of_a_regression(tmp_path: Path) -> None:
    names = ["a", "b", "c", "unusable"]
    predictions = [
        prediction(0, value, name) for name, value in zip(names, [10.0, 20.0, 30.0, 1.0], strict=True)
    ]
    labels = [label(1, value, name) for name, value in zip(names, [8, 24, 0, "n/a"], strict=True)]
    figures = found(tmp_path, predictions, labels)[1][COHORT]
    assert len(figures["pairs"]) == 4
    assert figures["amount.n"] == 3
    assert figures["amount.mean_error"] == pytest.approx(28 / 3)
    assert figures["amount.mae"] == 12
    assert figures["amount.rmse"] == pytest.approx(math.sqrt((4 + 16 + 900) / 3))
    assert figures["amount.above"] == pytest.approx(1 / 3)
    assert figures["amount.mape"] == pytest.approx((25 + 100 / 6) / 2)
    assert figures["amount.r2"] == pytest.approx(1 - 920 / (64 + 576 - 32**2 / 3))


def test_figures_of_two_classes(tmp_path: Path) -> None:
    told = [
        ("leaves", 0.9, "leaves"),
        ("leaves", 0.6, "stays"),
        ("stays", 0.2, "returns"),
        ("stays", 0.0, "leaves"),
    ]
    predictions = [
        prediction(0, name=str(i), model="churn", outputs={"class": one, "score": score})
        for i, (one, score, _) in enumerate(told)
    ]
    labels = [label(1, actual, str(i)) for i, (*_, actual) in enumerate(told)]
    figures = found(tmp_path, predictions, labels)[1]["churn", "1", "live", "", START_MS]
    assert figures["class.confusion"]["False", "True"] == 1
    assert figures["class.accuracy"] == 0.5
    assert figures["class.recall.True"] == figures["class.precision.True"] == 0.5
    assert figures["class.brier"] == pytest.approx((0.01 + 0.36 + 0.04 + 1) / 4)
    assert figures["class.ece"] == pytest.approx((0.1 + 0.6 + 0.2 + 1) / 4)
    expected = -(math.log(0.9) + math.log(0.4) + math.log(0.8) + math.log(1e-15)) / 4
    assert figures["class.log_loss"] == pytest.approx(expected)


def test_figures_of_several_outputs(tmp_path: Path) -> None:
    outputs = {"topic": "a", "probs": {"a": 0.7, "b": 0.2, "c": 0.1}, "length": 40}
    predictions = [prediction(0, model="topic", outputs=outputs)]
    figures = found(tmp_path, predictions, [label(1, {"what": "b", "length": 50})])[1][
        "topic", "1", "live", "", START_MS
    ]
    assert figures["topic.log_loss"] == pytest.approx(-math.log(0.2))
    assert figures["topic.brier"] == pytest.approx(0.49 + 0.64 + 0.01)
    assert figures["length.mean_error"] == -10


# The feed


@pytest.mark.parametrize("policy", ["first", "last"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_feed_holds_every_case(tmp_path: Path, seed: int, policy: str) -> None:
    Feed.of(seed).write(tmp_path)
    counts, cohorts = join_oracle.find(tmp_path, [PREDICTIONS], [LABELS], settings(policy))
    of_streams: Counter[str] = sum((one for of, one in counts.items() if len(of) == 3), Counter())
    changed = "corrections" if policy == "last" else "ignored"
    assert {name for name, n in of_streams.items() if n >= 10} == {
        "predictions",
        "duplicate_predictions",
        "pairs",
        "again",
        "withdrawals",
        "withdrawn_without_label",
        "duplicate_labels",
        "unlabeled",
        changed,
    }
    assert min(counts["",]["orphans"], counts["fare",]["orphans"]) > 20
    assert min(counts[topic,]["rejected"] for topic in (PREDICTIONS, LABELS)) > 5
    assert {place[:4] for place in cohorts} >= {
        (model, *of, segment)
        for model in join_feed.QUALITY
        for of in (("1", "live"), ("2", "live"), ("next", "shadow"))
        for segment in ("", "country=", "country=DE", "tier=1", "tier=true", "tier=")
    }


def test_the_seed_decides_everything() -> None:
    assert Feed.of(1, 200) == Feed.of(1, 200)
    assert Feed.of(1, 200) != Feed.of(2, 200)


def test_the_settings_are_those_of_the_configuration() -> None:
    config = parse_config(join_feed.config())
    assert config.labels is not None
    assert (config.labels.horizon_ms, config.labels.cohort_ms) == (HORIZON_MS, COHORT_MS)
    for name, of_model in settings()["models"].items():
        assert config.model(name).segments == of_model["segments"]
        for output, quality in of_model["quality"].items():
            assert config.model(name).quality[output].model_dump(exclude_unset=True) == quality
    assert not config.model("other").quality

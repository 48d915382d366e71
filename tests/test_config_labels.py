"""What the configuration says of labels, quality and segments, and that mistakes in it are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stream_monitor.config import Quality
from tests.test_config import EXAMPLE, SCHEMA, load, parse, problems

LABELS = {"topics": ["labels"]}
SCORE = {"task": "binary", "score": "score", "positive": "churned"}


def quality(one: dict[str, Any]) -> dict[str, Any]:
    return {"labels": LABELS, "models": {"m": {"quality": {"q": one}}}}


def test_topics_of_labels_are_all_that_is_required() -> None:
    labels = parse(labels=LABELS).labels
    assert labels is not None
    assert (labels.horizon_ms, labels.slice_ms, labels.cohort_ms) == (30 * 86_400_000, 60_000, 3_600_000)
    assert (labels.policy, labels.repartition, labels.store) == ("last", "none", Path("stream-monitor-store"))
    assert (labels.fields.id, labels.fields.value) == ("$.prediction_id", "$.label")


def test_the_store_is_relative_to_the_working_directory_and_not_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, "predictions: {topics: [p]}\nlabels: {topics: [l], store: data/join}")
    assert config.labels is not None
    assert config.labels.store == Path("data/join")


def test_a_cohort_and_a_horizon_may_be_as_long_as_a_slice() -> None:
    labels = parse(labels=LABELS | {"slice": "1h", "cohort": "1h", "horizon": "1h"}).labels
    assert labels is not None
    assert labels.slice_ms == labels.cohort_ms == labels.horizon_ms


def test_the_join_is_a_group_of_its_own() -> None:
    assert parse(pipeline="eu").group("join") == "eu.stream-monitor.join"


@pytest.mark.parametrize(
    ("repartition", "predictions", "labels"),
    [
        ("none", ["predictions"], ["labels"]),
        ("labels", ["predictions"], ["eu.drift.labels"]),
        ("both", ["eu.drift.predictions"], ["eu.drift.labels"]),
    ],
)
def test_what_is_repartitioned_is_joined_from_an_internal_topic(
    repartition: str, predictions: list[str], labels: list[str]
) -> None:
    config = parse(pipeline="eu", labels=LABELS | {"repartition": repartition})
    assert (config.joined("predictions"), config.joined("labels")) == (predictions, labels)


def test_classes_are_named_as_labels_hold_them() -> None:
    classes = [0, 1.0, True, "x"]
    one = parse(**quality({"task": "multiclass", "classes": classes})).model("m").quality["q"]
    assert one.classes == ["0", "1", "true", "x"]
    two = parse(**quality({"task": "binary", "positive": 1, "classes": [0, 1]})).model("m").quality["q"]
    assert (two.positive, two.classes) == ("1", ["0", "1"])


def test_quality_merges_by_output_within_its_task() -> None:
    models = {
        "*": {"quality": {"class": SCORE | {"margin": 0.3}, "price": {"task": "regression"}}},
        "a": {"quality": {"class": {"task": "binary", "threshold": 0.7}}},
        "b": {"quality": {"class": {"task": "multiclass"}}},
    }
    config = parse(labels=LABELS, models=models)
    assert config.model("a").quality == {
        "class": Quality(task="binary", score="score", positive="churned", threshold=0.7, margin=0.3),
        "price": Quality(task="regression"),
    }
    assert config.model("b").quality["class"] == Quality(task="multiclass")


# ruff: noqa: E501 - a message is one line, here as there.
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"labels": {"topics": []}}, "labels.topics: expected at least 1 item, got []"),
    ({"labels": LABELS | {"horizn": "1d"}}, "labels.horizn: unknown key; did you mean horizon?"),
    ({"labels": LABELS | {"policy": "best"}}, "labels.policy: expected 'first' or 'last', got \"best\""),
    ({"labels": LABELS | {"store": ""}}, 'labels.store: expected the path of a folder, got ""'),
    ({"labels": LABELS | {"fields": {"value": "key"}}}, 'labels.fields.value: expected a JSON path such as "$.a.b", got "key"'),
    ({"labels": LABELS | {"fields": {"id": None}}}, 'labels.fields.id: expected a JSON path such as "$.a.b", "key", "header:NAME", "topic" or a constant "=text", got null'),
    (quality({}), "models.m.quality.q.task: expected a value, got nothing"),
    (quality({"task": "ranking"}), "models.m.quality.q.task: expected 'regression', 'binary' or 'multiclass', got \"ranking\""),
    (quality({"task": "binary", "score": ""}), 'models.m.quality.q.score: expected at least 1 character, got ""'),
    (quality({"task": "binary", "threshold": 50}), "models.m.quality.q.threshold: expected a number <= 1, got 50"),
    (quality({"task": "regression", "error_max": 0}), "models.m.quality.q.error_max: expected a number > 0, got 0"),
    (quality({"task": "multiclass", "classes": ["a"]}), 'models.m.quality.q.classes: expected at least 2 items, got ["a"]'),
    (quality({"task": "multiclass", "classes": [f"c{i}" for i in range(65)]}), 'models.m.quality.q.classes: expected at most 64 items, got ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9",...'),
    ({"models": {"m": {"segments": [f"s{i}" for i in range(9)]}}}, 'models.m.segments: expected at most 8 items, got ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"]'),
    ({"models": {"m": {"segments": ["a=b"]}}}, "models.m.segments[0]: expected the name of a feature, without '=', got \"a=b\""),
    ({"models": {"m": {"segments_max": 0}}}, "models.m.segments_max: expected a number >= 1, got 0"),
]  # fmt: skip
"""What the schema for editors refuses, too."""

MISTAKES_BETWEEN_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"labels": {"topics": ["l", "l"]}}, 'labels.topics: expected distinct topics, got ["l", "l"]'),
    ({"labels": {"topics": ["drift.labels"]}}, 'labels: expected topics that this pipeline does not write, got "drift.labels"'),
    ({"labels": LABELS | {"slice": "7s"}}, 'labels.slice: expected a duration that divides a day, got "7s"'),
    ({"labels": LABELS | {"slice": "2h"}}, 'labels: expected a cohort that is a multiple of the slice, 2h, got "1h"'),
    ({"labels": LABELS | {"slice": "8h", "cohort": "12h"}}, 'labels: expected a cohort that is a multiple of the slice, 8h, got "12h"'),
    ({"labels": LABELS | {"horizon": "59m"}}, 'labels: expected a horizon of at least the cohort, 1h, got "59m"'),
    ({"labels": LABELS | {"horizon": "0s"}}, 'labels.horizon: expected a duration between 1ms and 3650d, got "0s"'),
    ({"models": {"m": {"quality": {"q": SCORE}}}}, 'models: expected labels to be configured, since the entry "m" has quality, got null'),
    (quality({"task": "regression", "score": "s"}), 'models.m.quality.q.score: expected nothing here, since the task is regression, got "s"'),
    (quality({"task": "regression", "classes": ["a", "b"]}), 'models.m.quality.q.classes: expected nothing here, since the task is regression, got ["a", "b"]'),
    (quality({"task": "regression", "positive": "a"}), 'models.m.quality.q.positive: expected nothing here, since the task is regression, got "a"'),
    (quality({"task": "regression", "threshold": 0.4}), "models.m.quality.q.threshold: expected nothing here, since the task is regression, got 0.4"),
    (quality({"task": "multiclass", "positive": "a"}), 'models.m.quality.q.positive: expected nothing here, since the task is multiclass, got "a"'),
    (quality({"task": "binary", "error_max": 1.5}), "models.m.quality.q.error_max: expected nothing here, since the task is binary, got 1.5"),
    (quality({"task": "binary", "prediction": "p", "score": "p"}), 'models.m.quality.q.score: expected another output than prediction, which holds the class, got "p"'),
    (quality({"task": "multiclass", "classes": ["a", "a"]}), 'models.m.quality.q.classes: expected distinct classes, got ["a", "a"]'),
    (quality({"task": "multiclass", "classes": [1, True, "1"]}), 'models.m.quality.q.classes: expected distinct classes, got ["1", "true", "1"]'),
    (quality({"task": "binary", "classes": ["a", "b"]}), 'models.m.quality.q.classes: expected two classes, 1 and another, since the task is binary, got ["a", "b"]'),
    (quality(SCORE | {"classes": ["churned", "stay", "x"]}), 'models.m.quality.q.classes: expected two classes, churned and another, since the task is binary, got ["churned", "stay", "x"]'),
    (quality(SCORE | {"positive": 1.5}), "models.m.quality.q.positive: expected the name of a class: a string, a whole number or a boolean, got 1.5"),
    (quality({"task": "regression", "error_max": float("inf")}), "models.m.quality.q.error_max: expected a finite number, got Infinity"),
    ({"models": {"m": {"segments": ["a", "a"]}}}, 'models.m.segments: expected distinct names, got ["a", "a"]'),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "problem"), MISTAKES + MISTAKES_BETWEEN_FIELDS)
def test_a_mistake_is_named_with_its_place(sections: dict[str, Any], problem: str) -> None:
    assert problems(**sections) == [problem]


@pytest.mark.parametrize(("sections", "problem"), MISTAKES)
def test_the_schema_rejects_what_the_code_rejects(sections: dict[str, Any], problem: str) -> None:
    document = {"predictions": {"topics": ["p"]}, **sections}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert problem in problems(**sections)


def test_a_mistake_in_labels_is_not_told_as_their_absence() -> None:
    sections = {"labels": {"topics": []}, "models": {"m": {"quality": {"q": SCORE}}}}
    assert problems(**sections) == ["labels.topics: expected at least 1 item, got []"]


def test_defaults_in_the_schema_are_those_of_the_code() -> None:
    schema = json.loads(SCHEMA.read_text())
    stated = {
        key: said["default"]
        for key, said in schema["$defs"]["Labels"]["properties"].items()
        if "default" in said
    }
    assert parse(labels=LABELS | stated).labels == parse(labels=LABELS).labels
    assert set(stated) == {"fields", "horizon", "policy", "slice", "cohort", "store", "repartition"}


def test_the_lines_of_the_example_about_labels_hold_when_they_are_uncommented(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    text = "\n".join(line.replace("#: ", "", 1) for line in lines)
    config = load(tmp_path, text)
    assert config.labels == parse(labels=LABELS).labels
    assert config.model("churn").quality == {
        "class": Quality(task="binary", score="score", positive="churned")
    }
    assert config.model("churn").segments == ["channel"]

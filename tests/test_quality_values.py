"""What is kept of predictions and labels: the same values, whatever they look like on the wire."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_monitor.codecs.columns import column, columns, layouts
from stream_monitor.config import Quality
from stream_monitor.events import Group, Stream
from stream_monitor.quality.kept import Kept, fill, kept_of
from stream_monitor.quality.values import Inputs, class_text, inputs_of, label_of
from stream_monitor.summary.categories import TEXT_MAX
from stream_monitor.summary.vocabulary import Vocabulary

REGRESSION = Quality(task="regression")
BINARY = Quality(task="binary", score="p")
MULTICLASS = Quality(task="multiclass", score="p")
VALUES = [
    "x",
    "",
    1,
    1.0,
    "1",
    0.5,
    -0.0,
    True,
    False,
    None,
    [1],
    {"a": 1},
    math.nan,
    math.inf,
    1e300,
    2**53 + 1,
    "long" * TEXT_MAX,
    "\ud800",
]


def group(rows: list[dict[str, Any]]) -> Group:
    outputs = columns(rows, layouts(rows), Vocabulary())
    return Group(Stream("m", "1", "live"), np.arange(len(rows)), outputs=outputs)


def inputs(quality: Quality, rows: list[dict[str, Any]], name: str = "y") -> list[Any]:
    return [one for (one,) in inputs_of(group(rows), {name: quality})]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_class_is_one_text_as_prediction_and_as_label(value: Any) -> None:
    (label,) = label_of(value, {"y": MULTICLASS}) if not isinstance(value, dict) else (None,)
    for others in ([], ["text"], [7], ["text", 7, True, None]):
        first = inputs(MULTICLASS, [{"y": value}, *({"y": other} for other in others)])[0]
        assert first == (label, None)
    assert label is None or len(label) <= TEXT_MAX


def test_what_names_one_class() -> None:
    assert {class_text(value) for value in ("1", 1, 1.0)} == {"1"}
    assert {class_text(value) for value in ("true", True)} == {"true"}
    assert {class_text(value) for value in (None, [1], {"a": 1}, math.nan, -math.inf, 10**400)} == {None}
    assert class_text(0) == class_text(-0.0) == "0"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (2.5, 2.5),
        ("2.5", 2.5),
        ("1e3", 1000.0),
        ("nan", None),
        ("x", None),
        (True, None),
        (None, None),
        (math.nan, None),
        (math.inf, None),
        ([1], None),
        (10**400, None),
    ],
)
def test_a_number_is_one_as_prediction_and_as_label(value: Any, number: float | None) -> None:
    assert label_of(value, {"y": REGRESSION}) == (number,)
    if value != 10**400:
        assert inputs(REGRESSION, [{"y": value}, {"y": 7}]) == [number, 7.0]
        assert inputs(REGRESSION, [{"y": value}]) == [number]


def test_zero_has_no_sign() -> None:
    assert str(label_of(-0.0, {"y": REGRESSION})) == "(0.0,)"


def test_labels_are_members_where_there_are_several() -> None:
    quality = {"b": REGRESSION, "a": BINARY, "c": Quality(task="regression", label="amount")}
    assert label_of({"a": 1, "b": 2, "c": 3, "amount": 4}, quality) == ("1", 2.0, 4.0)
    assert label_of({"a": "x"}, quality) == ("x", None, None)
    assert label_of(5, quality) == (None, None, None)
    assert label_of({"amount": 4}, {"c": quality["c"]}) == (4.0,)


def test_outputs_are_in_the_order_of_their_names() -> None:
    quality = {"z": REGRESSION, "a": REGRESSION}
    assert inputs_of(group([{"a": 1, "z": 2}, {"z": 3}]), quality) == [(1.0, 2.0), (None, 3.0)]
    assert inputs_of(group([{"other": 1}]), quality) == [(None, None)]
    assert inputs_of(group([{"other": 1}]), {}) == [()]


def test_a_score_is_a_probability_or_none() -> None:
    scores = [0.25, 0, 1, 1.5, -0.1, "0.5", "x", None, math.nan]
    found = inputs(BINARY, [{"y": "yes", "p": score} for score in scores])
    assert found == [("yes", one) for one in (0.25, 0.0, 1.0, None, None, 0.5, None, None, None)]


def test_a_score_alone_is_no_class() -> None:
    assert inputs(BINARY, [{"p": 0.25}]) == [(None, 0.25)]
    assert inputs(BINARY, [{"p": 0.25}], name="p") == [(None, 0.25)]
    told = Quality(task="binary", score="p", prediction="verdict")
    assert inputs(told, [{"verdict": True, "p": 0.25}]) == [("true", 0.25)]


def test_scores_of_classes_that_are_seen_are_by_name() -> None:
    rows: list[dict[str, Any]] = [
        {"y": "a", "p.a": 0.75, "p.b": 0.25},
        {"y": "b", "p.b": 1},
        {"y": "b", "p.b": "x"},
        {"y": "a"},
    ]
    assert inputs(MULTICLASS, rows) == [
        ("a", {"a": 0.75, "b": 0.25}),
        ("b", {"b": 1.0}),
        ("b", None),
        ("a", None),
    ]
    assert inputs(Quality(task="multiclass"), rows) == [("a", None), ("b", None), ("b", None), ("a", None)]


@pytest.mark.parametrize("names", [("p.b", "p.a"), ("p.0", "p.1")])
def test_scores_of_classes_that_are_listed_are_in_their_order(names: tuple[str, str]) -> None:
    quality = Quality(task="multiclass", score="p", classes=["b", "a"])
    rows: list[dict[str, Any]] = [{"y": "a", names[0]: 0.25, names[1]: 0.75}, {"y": "a", names[0]: 0.25}]
    assert inputs(quality, rows) == [("a", (0.25, 0.75)), ("a", None)]


def test_what_is_kept_is_what_msgpack_gives_back() -> None:
    quality = {"r": REGRESSION, "b": Quality(task="binary", score="q"), "m": MULTICLASS}
    kept = inputs_of(group([{"r": 1, "b": "x", "q": 0.5, "m": "y", "p.y": 1}]), quality)
    plain: list[Inputs] = msgspec.msgpack.decode(msgspec.msgpack.encode(kept))
    assert json.dumps(plain) == json.dumps(kept) == '[[["x", 0.5], ["y", {"y": 1.0}], 1.0]]'


def test_columns_of_mixed_types_are_read_value_by_value() -> None:
    values = ["x", 1, "2", True, None, [1], 2.5]
    mixed = Group(Stream("m"), np.arange(len(values)), outputs={"y": column(values, Vocabulary())})
    numbers = [one for (one,) in inputs_of(mixed, {"y": REGRESSION})]
    texts = [one for ((one, _),) in inputs_of(mixed, {"y": MULTICLASS})]
    assert numbers == [None, 1.0, 2.0, None, None, None, 2.5]
    assert texts == ["x", "1", "2", "true", None, None, "2.5"]


@pytest.mark.parametrize("classes", [1, 3, 40, 5_000])
def test_what_is_kept_as_columns_is_what_is_kept_of_each(classes: int) -> None:
    """And there are no more templates than rows, however many there could be."""
    rows = 3_000
    random = np.random.default_rng(classes)
    values = zip(
        *random.integers(0, classes, (2, rows)).tolist(), *random.random((2, rows)).tolist(), strict=True
    )
    batch = group([{"b": f"b{b}", "m": f"m{m}", "q": q, "r": r if r < 0.9 else "?"} for b, m, q, r in values])
    quality = {"b": Quality(task="binary", score="q"), "m": Quality(task="multiclass"), "r": REGRESSION}
    expected = inputs_of(batch, quality)
    for kept in (kept_of(batch, quality), Kept.of(expected)):
        assert len(kept.templates) <= rows
        found = zip(kept.code.tolist(), kept.numbers.tolist(), strict=True)
        assert [fill(kept.templates[code], numbers) for code, numbers in found] == list(expected)

"""Error signals of pairs, and what gives the quality of a model its form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream_monitor.config import Labels, ModelConfig, Quality
from stream_monitor.events import Column, JsonType
from stream_monitor.quality.shape import shape_hash
from stream_monitor.quality.signals import signals_of
from tests.oracles_quality import BINARY, MULTICLASS, REGRESSION


def plain(signals: dict[str, Column]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name, column in signals.items():
        assert column.numbers is not None
        there = np.broadcast_to(column.types, len(column.numbers)) == JsonType.NUMBER
        found[name] = [
            value if here else None for value, here in zip(column.numbers.tolist(), there, strict=True)
        ]
    return found


def test_errors_of_numbers() -> None:
    found = signals_of(
        {"y": REGRESSION}, [(3.0,), (1.0,), (None,), (5.0,)], [(2.0,), (-4.0,), (1.0,), (0.0,)]
    )
    assert plain(found) == {
        "y.error": [1.0, 5.0, None, 5.0],
        "y.absolute_error": [1.0, 5.0, None, 5.0],
        "y.percentage_error": [50.0, 125.0, None, None],
    }


def test_errors_of_classes() -> None:
    inputs = [(("yes", 0.75),), ((None, 0.25),), (("no", None),), ((None, None),)]
    found = plain(signals_of({"y": BINARY}, inputs, [("yes",), ("yes",), ("yes",), ("yes",)]))
    assert found["y.error"] == [0.0, 1.0, 1.0, None]
    assert found["y.log_loss"] == [pytest.approx(-math.log(0.75)), pytest.approx(-math.log(0.25)), None, None]
    assert found["y.brier"] == [0.0625, 0.5625, None, None]


def test_errors_of_several_classes() -> None:
    inputs = [((None, {"a": 0.5, "b": 0.25, "c": 0.25}),), (("b", None),)]
    found = plain(signals_of({"y": MULTICLASS}, inputs, [("b",), ("b",)]))
    assert found["y.error"] == [1.0, 0.0]
    assert found["y.log_loss"] == [pytest.approx(-math.log(0.25)), None]
    assert found["y.brier"] == [0.25 + 0.5625 + 0.0625, None]


def test_what_is_defined_nowhere_is_left_out() -> None:
    quality = {"y": BINARY, "z": REGRESSION}
    assert signals_of(quality, [((None, None), 1.0)], [("yes", None)]) == {}
    assert list(signals_of(quality, [(("no", None), None)], [("yes", None)])) == ["y.error"]
    assert signals_of(quality, [], []) == {}


def test_signals_are_all_numbers_where_every_pair_has_them() -> None:
    assert signals_of({"y": REGRESSION}, [(1.0,)], [(2.0,)])["y.error"].types is JsonType.NUMBER


LABELS = Labels(topics=["labels"])
MODEL = ModelConfig(quality={"y": Quality(task="binary", score="p")}, segments=["country"])


def model(**changes: object) -> ModelConfig:
    return ModelConfig(
        quality={"y": Quality.model_validate({"task": "binary", "score": "p", **changes})},
        segments=["country"],
    )


def test_what_gives_pairs_another_form_gives_another_hash() -> None:
    hashes = [
        shape_hash(MODEL, LABELS),
        *(shape_hash(model(**{key: value}), LABELS) for key, value in CHANGES.items()),
        *(shape_hash(MODEL, LABELS.model_copy(update={key: value})) for key, value in LABEL_CHANGES.items()),
        shape_hash(MODEL.model_copy(update={"segments": []}), LABELS),
        shape_hash(MODEL.model_copy(update={"segments_max": 3}), LABELS),
        shape_hash(MODEL.model_copy(update={"quality": {"z": MODEL.quality["y"]}}), LABELS),
        shape_hash(MODEL.model_copy(update={"quality": {"y": REGRESSION}}), LABELS),
    ]
    assert len(set(hashes)) == len(hashes)


CHANGES = {
    "prediction": "verdict",
    "score": "q",
    "positive": "yes",
    "threshold": 0.25,
    "classes": ["0", "1"],
    "label": "truth",
}
LABEL_CHANGES = {"horizon_ms": 5, "policy": "first", "slice_ms": 1_000, "cohort_ms": 60_000}


def test_what_gives_pairs_the_same_form_gives_the_same_hash() -> None:
    assert shape_hash(model(margin=0.5, prediction="y", label="y"), LABELS) == shape_hash(MODEL, LABELS)
    assert shape_hash(MODEL, Labels(topics=["others"])) == shape_hash(MODEL, LABELS)

"""Reading only some features and outputs: the same values of these, by a known layout or without."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import parse_config
from tests.test_codec_json import EVENTS, Row, codec, records, rows_of
from tests.test_codec_typed import REGULAR, changed, fitting, regular, told

CONFIG = parse_config({"predictions": {"topics": ["predictions"]}})
SOME = Wanted(features=["c", "b"], outputs=["s"])
ODD = [
    json.dumps(regular(i) | {"features": {"c": "x", "deep": {"er": [1, None]}}, "outputs": outputs}).encode()
    for i, outputs in enumerate([{"s": 1, "box": {"a": [{}]}}, {"s": {"a": 1}}, {"q": 1}, 7, [1], {}] * 10)
]


def taught() -> JsonCodec:
    learned = JsonCodec(CONFIG, SOME)
    for _ in range(3):
        learned.decode(records(REGULAR + ODD))
    return learned


def untaught() -> JsonCodec:
    general = JsonCodec(CONFIG, SOME)
    general._typed = None
    return general


TAUGHT, GENERAL = taught(), untaught()


def test_regular_events_fit_what_was_learned_whatever_else_they_hold() -> None:
    """Without this the other tests would compare the general path with itself."""
    assert fitting(TAUGHT, REGULAR) == len(REGULAR)
    others = [json.dumps(regular(1) | {"features": {"c": "x", "deep": [{"er": {}}]}}).encode()]
    assert fitting(TAUGHT, others) == 1


@settings(max_examples=150)
@given(st.integers(0))
@example(36253)  # An output whose name is new, and begins as a wanted one with a dot.
def test_changed_events_give_what_the_general_path_gives(seed: int) -> None:
    choose = random.Random(seed)
    values = [changed(choose.choice(REGULAR + ODD), choose) for _ in range(40)]
    values[::4] = [changed(value, choose) for value in values[::4]]
    assert told(TAUGHT.decode(records(values))) == told(GENERAL.decode(records(values)))


def test_a_wanted_feature_that_no_known_layout_has_is_read() -> None:
    """Segments are cut by features: one that comes later must not be taken for missing."""
    learned = JsonCodec(CONFIG, SOME)
    without = [json.dumps(regular(i) | {"features": {"b": 1.5, "z": i}}).encode() for i in range(60)]
    for _ in range(3):
        learned.decode(records(without))
    assert fitting(learned, without) == len(without)
    later = [json.dumps(regular(i) | {"features": {"b": 1.5, "c": c}}).encode() for i, c in enumerate("xy1")]
    assert told(learned.decode(records(later))) == told(GENERAL.decode(records(later)))


def restricted(row: Row) -> Row:
    features = {name: value for name, value in row.features.items() if name in ("b", "c", "features")}
    outputs = {
        name: value
        for name, value in row.outputs.items()
        if name.split(".")[0] == "s" or name.startswith("output")
    }
    return row._replace(features=features, outputs=outputs)


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=12))
def test_what_is_read_is_what_a_codec_that_reads_all_gives(events: list[dict[str, Any]]) -> None:
    batch = records([*REGULAR[:9], *(json.dumps(one).encode() for one in events)])
    whole, some = codec().decode(batch), TAUGHT.decode(batch)
    assert list(map(restricted, rows_of(whole))) == rows_of(some)
    assert told(whole)[1:] == told(some)[1:]


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("score", {"score": 1}),
        ("probs", {"probs": {"a": 0.1, "b": 0.9}, "probs.c": 0}),
        ("probs.a", {"probs": {"a": 0.1, "b": 0.9}}),
        ("pro", {}),
    ],
)
def test_an_output_is_kept_that_is_named_or_holds_what_is_or_is_part_of_it(
    named: str, kept: dict[str, Any]
) -> None:
    outputs = {"score": 1, "probs": {"a": 0.1, "b": 0.9}, "probs.c": 0}
    assert Wanted([], [named]).outputs(outputs) == kept


def test_the_join_wants_what_quality_compares_and_segments_are_cut_by() -> None:
    models = {
        "*": {"segments": ["country"]},
        "a": {"quality": {"class": {"task": "binary", "score": "p"}, "price": {"task": "regression"}}},
        "b": {"quality": {"c": {"task": "multiclass", "prediction": "named"}}, "segments": ["channel"]},
    }
    config = parse_config(
        {"predictions": {"topics": ["p"]}, "labels": {"topics": ["l"]}, "models": models},
    )
    wanted = Wanted.by_join(config)
    names = ("class", "p", "price", "c", "named", "country", "channel")
    every = dict.fromkeys(names)
    assert list(wanted.features(every)) == ["country", "channel"]
    assert list(wanted.outputs(every)) == ["class", "p", "price", "named"]

"""Texts by number: nothing about a text is lost, and what is kept is bounded."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import parse_config
from stream_monitor.events import Column, JsonType, Records, Source
from stream_monitor.summary import vocabulary as module
from stream_monitor.summary.rows import Rows, taken
from stream_monitor.summary.vocabulary import Texts, Vocabulary

TEXTS = st.lists(st.sampled_from(["", "a", "b", "é", "\ud800", "12"]) | st.text(max_size=3), max_size=20)


@given(st.lists(TEXTS, max_size=5))
def test_what_is_taken_in_comes_out_again(columns: list[list[str]]) -> None:
    vocabulary = Vocabulary()
    coded = [vocabulary.encode(column) for column in columns]
    assert [list(texts) for texts in coded] == columns
    assert len(vocabulary) == len({text for column in columns for text in column})


def test_a_place_and_a_range_of_places() -> None:
    texts = Vocabulary().encode(["a", "b", "a", "c"])
    assert (texts[0], texts[-1], list(texts[1:3])) == ("a", "c", ["b", "a"])
    with pytest.raises(IndexError):
        texts[4]


@given(TEXTS, TEXTS)
def test_joined_texts_follow_one_another_in_any_vocabularies(one: list[str], other: list[str]) -> None:
    shared = Vocabulary()
    assert list(Texts.joined([shared.encode(one), shared.encode(other)])) == one + other
    assert list(Texts.joined([shared.encode(one), Vocabulary().encode(other)])) == one + other
    assert list(Texts.joined([shared.encode(one), other])) == one + other


def test_a_function_is_asked_once_a_text() -> None:
    vocabulary, asked = Vocabulary(), Counter[str]()

    def length(text: str) -> int:
        asked[text] += 1
        return len(text)

    for texts in (["a", "bb", "a"], ["ccc", "a"], ["bb"]):
        assert vocabulary.encode(texts).each(length, np.int64).tolist() == list(map(len, texts))
    assert asked == {"a": 1, "bb": 1, "ccc": 1}


def decoded(codec: JsonCodec, texts: list[str]) -> Texts:
    """The feature "t" of events with these texts."""
    values = [json.dumps({"model": "m", "ts": 0, "features": {"t": text}}).encode() for text in texts]
    n = len(values)
    records = Records(
        (Source("p", 0),), np.zeros(n, np.int64), np.arange(n), np.zeros(n, np.int64), values, None, None
    )
    found = codec.decode(records).groups[0].features["t"].texts
    assert isinstance(found, Texts)
    return found


@pytest.mark.parametrize("bound", ["TEXTS_MAX", "CHARACTERS_MAX"])
def test_a_codec_keeps_a_bounded_number_of_texts(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(module, bound, 64)
    codec = JsonCodec(parse_config({"kafka": {"bootstrap.servers": "x"}, "predictions": {"topics": ["p"]}}))
    for batch in range(20):
        texts = [f"{batch}-{row}" for row in range(40)]
        found = decoded(codec, texts)
        assert list(found) == texts
        assert len(found.vocabulary) < 64 + 40


COLUMNS = [
    Column(JsonType.NUMBER, np.array([1.0, 2.0])),
    Column(JsonType.STRING, None, ["a", "b"]),
    Column(np.array([JsonType.NUMERIC_STRING, JsonType.NULL], np.uint8), np.array([3.0, 0.0]), ["3", None]),
    Column(JsonType.NULL),
]


def values(column: Column, n: int) -> list[object]:
    """Type, number and text of each row, where the row has one."""
    types = [column.types] * n if isinstance(column.types, JsonType) else column.types.tolist()
    found: list[object] = []
    for row, kind in enumerate(types):
        number = kind in (JsonType.NUMBER, JsonType.NUMERIC_STRING)
        text = kind in (JsonType.STRING, JsonType.NUMERIC_STRING)
        assert not number or column.numbers is not None
        assert not text or column.texts is not None
        found.append(
            (
                int(kind),
                column.numbers[row] if number and column.numbers is not None else None,
                column.texts[row] if text and column.texts is not None else None,
            )
        )
    return found


def rows(column: Column) -> Rows:
    at = np.arange(2)
    return Rows(at, at, at, {"f": column}, {})


@given(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=5))
def test_joined_columns_follow_one_another_whatever_their_types(columns: list[Column]) -> None:
    joined = Rows.joined([rows(column) for column in columns])
    assert joined.time.tolist() == [0, 1] * len(columns)
    expected = [value for column in columns for value in values(column, 2)]
    assert values(joined.features["f"], len(joined)) == expected


@pytest.mark.parametrize("column", COLUMNS)
def test_taken_rows_are_those_at_the_index(column: Column) -> None:
    assert values(taken({"f": column}, np.array([1]))["f"], 1) == values(column, 2)[1:]

"""The laws of quality: it adds up to the same for any order and any cut, and what is taken back is gone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.config import Quality
from stream_monitor.quality.classes import CLASSES_MAX, kept_of
from stream_monitor.quality.cohorts import Cohort, Cohorts, cohorts_of, predictions_of
from stream_monitor.quality.measures import OTHER_CLASS, Measures
from tests.oracles_quality import (
    BINARY,
    EVERY,
    HOUR_MS,
    MULTICLASS,
    NAMED,
    REGRESSION,
    Pair,
    cohorts_of_pairs,
    plain_confusion,
)

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
SCORES = st.floats(0, 1)
CLASSES = st.none() | st.sampled_from(["yes", "no", "a", "b", "c", "d", ""])
BY_NAME = st.none() | st.dictionaries(st.sampled_from("abcdef"), SCORES, min_size=1)
IN_ORDER = st.none() | st.tuples(SCORES, SCORES, SCORES)
INPUTS = st.tuples(
    NUMBERS,
    st.tuples(CLASSES, st.none() | SCORES),
    st.tuples(CLASSES, BY_NAME),
    st.tuples(CLASSES, IN_ORDER),
)
LABELS = st.tuples(NUMBERS, CLASSES, CLASSES, CLASSES)
PAIRS = st.lists(st.builds(Pair, st.sampled_from([-HOUR_MS, 0, HOUR_MS]), INPUTS, LABELS), max_size=12)


def taken_back(pairs: list[Pair]) -> list[Pair]:
    return [Pair(pair.cohort, pair.inputs, pair.labels, -pair.sign) for pair in pairs]


def merged(parts: list[Cohorts]) -> Cohorts:
    total = Cohorts()
    for part in parts:
        total.merge(part)
    return total


def figures(cohorts: Cohorts) -> dict[Any, Any]:
    """All that can be asked of cohorts that hold any pair."""
    return {
        (start, name): {key: one for key, one in measures.figures().items() if one.n}
        for start, cohort in cohorts.items()
        for name, measures in cohort.measures.items()
        if measures.n
    }


@given(PAIRS, st.randoms(use_true_random=False))
def test_any_order_and_any_cut_add_up_to_the_same(pairs: list[Pair], rng: random.Random) -> None:
    whole = cohorts_of_pairs(pairs, EVERY)
    shuffled = rng.sample(pairs, len(pairs))
    cuts = sorted(rng.randrange(len(pairs) + 1) for _ in range(3))
    parts = [shuffled[first:last] for first, last in zip([0, *cuts], [*cuts, None], strict=True)]
    again = merged([cohorts_of_pairs(part, EVERY) for part in parts])
    assert again == whole
    assert again.to_bytes() == whole.to_bytes()


@given(PAIRS, PAIRS, PAIRS)
def test_adding_is_associative_and_commutative_with_an_identity(
    one: list[Pair], two: list[Pair], three: list[Pair]
) -> None:
    a, b, c = (cohorts_of_pairs(pairs, EVERY) for pairs in (one, taken_back(two), three))
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Cohorts() == a == Cohorts() + a


@given(PAIRS, PAIRS, st.randoms(use_true_random=False))
def test_what_is_taken_back_is_gone(stays: list[Pair], goes: list[Pair], rng: random.Random) -> None:
    history = [*stays, *goes, *taken_back(goes)]
    after = cohorts_of_pairs(rng.sample(history, len(history)), EVERY)
    before = cohorts_of_pairs(stays, EVERY)
    assert figures(after) == figures(before)
    for start in {*before, *after}:
        mine, theirs = after.get(start, Cohort()), before.get(start, Cohort())
        assert (mine.labeled, mine.unusable) == (theirs.labeled, theirs.unusable)


@given(PAIRS)
def test_all_taken_back_leaves_nothing_but_names(pairs: list[Pair]) -> None:
    quality = {"amount": REGRESSION, "churn": BINARY, "kind": NAMED}
    mine = [Pair(one.cohort, one.inputs[:2] + one.inputs[3:], one.labels[:3]) for one in pairs]
    assert cohorts_of_pairs([*mine, *taken_back(mine)], quality) == {}
    assert cohorts_of_pairs(mine, quality) + cohorts_of_pairs(taken_back(mine), quality) == {}


def test_a_class_once_seen_stays_whenever_it_was_taken_back() -> None:
    quality = {"kind": MULTICLASS}
    seen = [Pair(0, (("x", None),), ("y",))]
    there, gone = cohorts_of_pairs(seen, quality), cohorts_of_pairs(taken_back(seen), quality)
    others = cohorts_of_pairs([Pair(0, (("a", None),), ("b",))], quality)
    assert (there + gone) + others == there + (gone + others)
    assert (there + gone + others)[0].measures["kind"].classes == ("a", "b", "x", "y")


@given(PAIRS)
def test_bytes_are_read_back_whole(pairs: list[Pair]) -> None:
    whole = cohorts_of_pairs(pairs, EVERY) + predictions_of(np.array([0, 0, HOUR_MS]))
    once = Cohorts.from_bytes(whole.to_bytes())
    assert once == whole
    assert once.to_bytes() == whole.to_bytes()


@given(PAIRS)
def test_rows_are_counted_once(pairs: list[Pair]) -> None:
    total = cohorts_of_pairs(pairs, EVERY).total()
    assert total.labeled == len(pairs)
    usable = sum(
        pair.inputs[0] is not None
        and None not in pair.labels
        and (pair.inputs[1] != (None, None))
        and all(pair.inputs[place] != (None, None) for place in (2, 3))
        for pair in pairs
    )
    assert total.unusable == len(pairs) - usable


def many(names: int, pairs: int, seed: int) -> list[Pair]:
    rng = random.Random(seed)
    texts = [f"class {n}" for n in range(names)]
    found = []
    for _ in range(pairs):
        scores = {name: rng.random() for name in rng.sample(texts, 5)} if rng.random() < 0.8 else None
        found.append(Pair(0, ((rng.choice(texts), scores),), (rng.choice(texts),)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_with_more_classes_than_are_kept_those_kept_are_exact(seed: int) -> None:
    """Parts that each keep other classes, merged in any order, keep and count what all at once do."""
    quality, rng = {"kind": MULTICLASS}, random.Random(seed)
    pairs = many(150, 600, seed)
    pairs += taken_back(rng.sample(pairs, 200))
    rng.shuffle(pairs)
    parts = [cohorts_of_pairs(pairs[first : first + 50], quality) for first in range(0, len(pairs), 50)]
    total = merged(rng.sample(parts, len(parts)))
    assert total == cohorts_of_pairs(pairs, quality)
    measures = total[0].measures["kind"]
    assert measures.classes == kept_of({f"class {n}" for n in range(150)})
    assert len(measures.classes) == CLASSES_MAX
    names, matrix = measures.confusion()
    kept = dict(zip(measures.classes, measures.classes, strict=True))
    expected = plain_confusion(())
    for pair in pairs:
        predicted, actual = kept.get(pair.inputs[0][0], OTHER_CLASS), kept.get(pair.labels[0], OTHER_CLASS)
        expected[predicted, actual] += pair.sign
    table = {
        (names[one], names[two]): matrix[one, two].item()
        for one in range(len(names))
        for two in range(len(names))
    }
    assert {place: n for place, n in table.items() if n} == {place: n for place, n in expected.items() if n}
    right = sum(pair.sign for pair in pairs if pair.inputs[0][0] == pair.labels[0])
    assert measures.figures()["accuracy"].value == right / 400


def test_measures_of_two_forms_are_never_added() -> None:
    two = Quality(task="multiclass", classes=["x", "y"])
    for one, other in ((REGRESSION, BINARY), (MULTICLASS, NAMED), (NAMED, two)):
        with pytest.raises(ValueError, match="expected measures of"):
            Measures.empty(one) + Measures.empty(other)


def test_what_a_task_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="of a classification"):
        Measures.empty(REGRESSION).confusion()
    with pytest.raises(ValueError, match="of a classification"):
        Measures.empty(REGRESSION).calibration()
    with pytest.raises(ValueError, match="of a regression"):
        Measures.empty(BINARY).percentage_errors()


@pytest.mark.parametrize("quality", EVERY.values())
def test_nothing_has_no_figures(quality: Quality) -> None:
    for figure in Measures.empty(quality).figures().values():
        assert (figure.value, figure.n) == (None, 0)


def test_no_pairs_are_no_cohorts() -> None:
    nothing = np.empty(0, np.int64)
    assert cohorts_of(EVERY, nothing, [], [], nothing) == predictions_of(nothing) == {}


def test_measures_alone_can_be_kept() -> None:
    pairs = [Pair(hour * HOUR_MS, (1.0,), (2.0,)) for hour in range(3)]
    total = cohorts_of_pairs(pairs, {"y": REGRESSION}).total()
    kept = Cohorts.from_bytes(Cohorts.holding(total.measures).to_bytes()).total()
    assert kept.measures == total.measures
    assert kept.measures["y"].n == 3

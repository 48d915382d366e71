"""Entries made from columns have the bytes of their elements, by the kernel or not, and are read back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_monitor import native
from stream_monitor.join import encoding
from stream_monitor.join.encoding import Lone, Part, encoded, lone_labels, lone_predictions, tails_of
from stream_monitor.join.entries import Again, Label, Prediction, encode
from stream_monitor.join.rows import Head
from stream_monitor.quality.kept import Kept, fill, split

BOTH = pytest.mark.parametrize(
    "compiled",
    [False, pytest.param(True, marks=pytest.mark.skipif(native.installed() is None, reason="no kernel"))],
)
NUMBERS = st.floats(allow_nan=False) | st.none()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ITEMS = st.one_of(
    st.floats(allow_nan=False),
    st.none(),
    st.tuples(st.none() | TEXTS, NUMBERS),
    st.tuples(st.none() | TEXTS, st.none() | st.lists(st.floats(allow_nan=False), max_size=20).map(tuple)),
    st.tuples(TEXTS, st.dictionaries(TEXTS, st.floats(allow_nan=False), max_size=20)),
)
INTEGERS = st.integers(-(2**62), 2**62) | st.integers(-300, 300) | st.integers(-70_000, 70_000)
PREDICTIONS = st.builds(
    Prediction,
    topic=TEXTS,
    clock=INTEGERS,
    lag=INTEGERS,
    model=TEXTS,
    version=TEXTS,
    role=TEXTS,
    segments=st.lists(TEXTS, max_size=17).map(tuple),
    inputs=st.lists(ITEMS, max_size=17).map(tuple),
)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | TEXTS
VALUES = SCALARS | st.dictionaries(TEXTS, TEXTS)
LABELS = st.builds(
    Label,
    topic=TEXTS,
    offset=st.integers(0, 2**62),
    row=st.integers(0, 10_000),
    clock=INTEGERS,
    lag=INTEGERS,
    model=st.none() | TEXTS,
    value=VALUES,
)


def integers_of(ones: list[Any], *names: str) -> list[np.ndarray[Any, Any]]:
    return [np.array([getattr(one, name) for one in ones], np.int64) for name in names]


def part_of_predictions(ones: list[Prediction]) -> Part:
    kept = Kept.of([one.inputs for one in ones])
    heads = [
        Head(one.model, one.version, one.role, one.segments, kept.templates[code])
        for one, code in zip(ones, kept.code.tolist(), strict=True)
    ]
    pieces = [encoding.of_prediction(one.topic, head) for one, head in zip(ones, heads, strict=True)]
    return Part(pieces, np.arange(len(ones)), integers_of(ones, "clock", "lag"), kept.numbers)


def part_of_labels(ones: list[Label]) -> Part:
    pieces = [encoding.of_label(one.topic, one.model) for one in ones]
    integers = integers_of(ones, "offset", "row", "clock", "lag")
    values = tails_of([one.value for one in ones])
    return Part(pieces, np.arange(len(ones)), integers, np.empty((len(ones), 0)), values)


@BOTH
@given(st.lists(st.tuples(PREDICTIONS, LABELS), max_size=4))
def test_columns_have_the_bytes_of_their_elements(
    compiled: bool, pairs: list[tuple[Prediction, Label]]
) -> None:
    predictions, labels = [one for one, _ in pairs], [one for _, one in pairs]
    n, (first, second) = len(pairs), (part_of_predictions(predictions), part_of_labels(labels))
    assert encoded(n, [first], compiled=compiled) == [encode((one,)) for one in predictions]
    assert encoded(n, [second], compiled=compiled) == [encode((one,)) for one in labels]
    assert encoded(n, [second, first], compiled=compiled) == [encode((two, one)) for one, two in pairs]


def told(lone: Lone, names: tuple[str, ...]) -> list[tuple[int, dict[str, Any]]]:
    """Of each entry that was read, its place and its fields, as text: nan is nan, and 1 is not 1.0."""
    found = []
    for row, at in enumerate(lone.at):
        topic, head = lone.heads[lone.head[row]]
        if isinstance(head, Head):
            fields = head._asdict()
            fields["inputs"] = fill(fields.pop("template"), lone.numbers[row].tolist())
        else:
            fields = {"model": head, "value": lone.values[row]}
        fields |= {name: int(column[row]) for name, column in zip(names, lone.integers, strict=True)}
        found.append((at, {name: repr(value) for name, value in {"topic": topic, **fields}.items()}))
    return found


def prediction(*inputs: Any) -> Prediction:
    return Prediction("p", 1, 0, "m", "", "live", (), inputs)


@BOTH
@example(
    [prediction(("yes", None), 0.5), prediction(("yes", 0.5), None), prediction((None, 0.5), 1.0)], False
)
@example([prediction(None), prediction(("yes", (0.5, 0.5))), prediction(("yes", (0.5, None)))], False)
@example([prediction(("a", {"a": 0.5, "b": 1.0})), prediction(("b", {"a": 0.0, "b": 0.25}))], False)
@example([prediction(("a", {"a": 0.5, "b": 1.0})), prediction(("b", {"b": 0.0, "a": 0.25}))], False)
@given(st.lists(PREDICTIONS | LABELS | st.just(Again("p", 1, "m", "", "live")), max_size=6), st.booleans())
def test_what_is_alone_is_read_back_and_all_else_is_left(
    compiled: bool, ones: list[Any], is_followed: bool
) -> None:
    entries = [encode((one,)) for one in ones]
    if is_followed and ones:
        entries[0] = encode((ones[0], ones[0]))
    for kind, read, names in (
        (Prediction, lone_predictions, ("clock", "lag")),
        (Label, lone_labels, ("offset", "row", "clock", "lag")),
    ):
        expected = [
            (at, {name: repr(getattr(one, name)) for name in one.__struct_fields__})
            for at, one in enumerate(ones)
            if type(one) is kind and not (is_followed and at == 0)
        ]
        assert told(read(entries, compiled=compiled), names) == expected


@given(st.lists(ITEMS, max_size=5).map(tuple))
def test_a_template_and_its_numbers_are_what_was_kept(inputs: tuple[Any, ...]) -> None:
    template, numbers = split(inputs)
    assert fill(template, numbers) == inputs
    assert fill(template, [*numbers, math.nan]) == inputs
    hash(template)


def test_a_number_that_is_none_is_one_in_the_entry_too() -> None:
    template, _ = split((("yes", 0.5),))
    pieces = [encoding.of_prediction("p", Head("m", "1", "live", (), template))]
    zero = np.zeros(1, np.int64)
    (entry,) = encoded(1, [Part(pieces, zero, (zero, zero), np.array([[math.nan]]))])
    assert entry == encode((Prediction("p", 0, 0, "m", "1", "live", (), (("yes", None),)),))


@BOTH
def test_many_are_as_one_and_a_head_has_no_more_numbers_than_places(compiled: bool) -> None:
    heads = [
        Head("m", "1", "live", ("x",), split(inputs)[0])
        for inputs in (((0.5, 0.5), ("yes", None)), ((None, 0.5), None), (("yes", 0.5), (0.5, 0.5, 0.5)))
    ]
    n, random = 2 * encoding.BLOCK_ROWS + 1, np.random.default_rng(1)
    head, numbers = random.integers(0, len(heads), n), random.random((n, 4))
    numbers[::7] = math.nan
    clock, lag = random.integers(0, 2**40, n), random.integers(-200, 200, n)
    labels = [Label("l", row, 0, row, 0, None, row % 2) for row in range(n)]
    rows = zip(map(heads.__getitem__, head), clock.tolist(), lag.tolist(), numbers.tolist(), strict=True)
    predictions = [Prediction("p", at, late, *one[:4], fill(one[4], row)) for one, at, late, row in rows]
    part = Part([encoding.of_prediction("p", one) for one in heads], head, (clock, lag), numbers)
    entries = encoded(n, [part, part_of_labels(labels)], compiled=compiled)
    assert entries == list(map(encode, zip(predictions, labels, strict=True)))

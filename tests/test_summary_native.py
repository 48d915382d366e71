"""The numbers of a block by the compiled kernel: always what numpy gives, which is the oracle here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor import native
from stream_monitor.events import Column, Int64s, JsonType
from stream_monitor.observe import Observer
from stream_monitor.summary import native as compiled
from stream_monitor.summary import numbers as plain
from stream_monitor.summary.columns import summarise
from stream_monitor.summary.counts import Count
from stream_monitor.summary.grid import STEPS_MAX, Grid
from stream_monitor.summary.plan import Cells, Plan, types_of
from stream_monitor.summary.shape import Shape, SignalShape
from tests.oracles_summary import Event, batch_of
from tests.test_observe import CONFIG, References, inputs

if native.installed() is None:
    pytest.skip("the kernel is not installed: pip install ./native", allow_module_level=True)

LAW = settings(max_examples=300)
NUMBER, NUMERIC = JsonType.NUMBER, JsonType.NUMERIC_STRING
FLOAT32_MAX = 3.4028234663852886e38
NASTY = [
    *(float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, -1.0, 0.1, -1 / 3, 7.0),
    *(5e-324, -5e-324, 1e-310, 1e-46, -1e-40, 7e-46, 1.1754943508222875e-38, 1e300, -1e300, 1e-300),
    *(FLOAT32_MAX, -FLOAT32_MAX, 3.402823567797336e38, 3.4028235677973366e38, 1.7976931348623157e308),
    *(2.0**-30, -(2.0**-30), 2.0**-30 * (1 - 2.0**-25), 2.0**-31, 2.0**63, -(2.0**63), 2.0**62 * 1.999999999),
    *(2.0**53 + 2, 2.0**63 + 2**11, -(2.0**64), 1_763_865_600_000.0, 1_763_865_600_000.5, 300.0, 301.5),
    *(STEPS_MAX + 0.5, STEPS_MAX + 0.4999, -STEPS_MAX - 0.5, STEPS_MAX + 1.0, 0.5, 1.5, 2.5, -0.5, 8.0, -8.0),
]
NUMBERS = st.one_of(st.sampled_from(NASTY), st.floats(), st.integers(-(2**70), 2**70).map(float))
SHAPES = st.builds(
    SignalShape,
    type=st.sampled_from([None, "number", "category"]),
    range=st.sampled_from([None, None, (-8.0, 8.0), (0.0, 1e300), (-0.0, 5e-324)]),
    strict=st.booleans(),
    center=st.sampled_from([None, None, 1_763_865_600_000.0, -1e300, 0.1]),
    grid=st.sampled_from([None, None, Grid(0.0, 1.0), Grid(40.0, 2.0**-6), Grid(1e300, 2.0**-1070)]),
)


def column_of(types: Sequence[JsonType], numbers: Sequence[float]) -> Column:
    """Of one type for all rows where they agree; numbers are there in any row, as in a column of texts."""
    one = JsonType(types[0]) if len(set(types)) == 1 else None
    texts = ["t"] * len(types)
    return Column(np.array(types, np.uint8) if one is None else one, np.array(numbers, np.float64), texts)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> Column:
    types = draw(st.sampled_from([[NUMBER], [NUMBER], [NUMERIC], [JsonType.STRING], list(JsonType)]))
    each = draw(st.lists(st.sampled_from(types), min_size=rows, max_size=rows))
    numbers = draw(st.lists(NUMBERS, min_size=rows, max_size=rows))
    column = column_of(each, numbers)
    if draw(st.booleans()):
        # With gaps, as a column of a table may be.
        column.numbers = np.repeat(np.array(numbers, np.float64), 2)[::2]
    if isinstance(column.types, JsonType) and column.types is JsonType.STRING:
        column.numbers = None
    return column


@st.composite
def cells(draw: st.DrawFn, rows: int) -> Cells:
    """A run of the rows or some of them in any order, in cells of one row or more."""
    if draw(st.booleans()):
        first, end = sorted(draw(st.lists(st.integers(0, rows), min_size=2, max_size=2, unique=True)))
        index: slice | Int64s = slice(first, end)
        size = end - first
    else:
        index = np.array(draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=2 * rows)), np.int64)
        size = len(index)
    cuts = draw(st.sets(st.integers(1, size - 1), max_size=5)) if size > 1 else set[int]()
    starts = np.array([0, *sorted(cuts)], np.int64)
    return Cells(index, np.diff(starts, append=size), starts)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[dict[str, Column], Plan, Cells]:
    rows = draw(st.integers(1, 30))
    made = {f"s{i}": draw(columns(rows)) for i in range(draw(st.integers(1, 4)))}
    times = draw(st.sampled_from([1, 1, 3, 40]))
    if times > 1:
        # More than are looked at together.
        made = {
            name: Column(
                one.types if isinstance(one.types, JsonType) else np.tile(one.types, times),
                None if one.numbers is None else np.tile(one.numbers, times),
                list(one.texts or ()) * times,
            )
            for name, one in made.items()
        }
    signals = {("features", name): draw(SHAPES) for name in made}
    plan = Plan.of(Shape("", 1, False, 100, signals, (), 0), "features", tuple(made))  # type: ignore[arg-type]
    return made, plan, draw(cells(rows * times))


def said(module: ModuleType, made: dict[str, Column], plan: Plan, of: Cells) -> list[Any]:
    """All that a module says, to the last bit."""
    chosen = [made[name] for name in plan.signals]
    counts = np.zeros((len(of), len(chosen), len(Count)), np.int64)
    numbers = module.summarise_numbers(chosen, types_of(chosen), plan, of, counts)
    bins = [[array.tolist() for array in tally.entries()] for tally in numbers.bins]
    return [counts.tolist(), numbers.minimum.tobytes(), numbers.maximum.tobytes(), bins]


@LAW
@given(blocks())
def test_the_kernel_says_what_numpy_says(block: tuple[dict[str, Column], Plan, Cells]) -> None:
    assert said(compiled, *block) == said(plain, *block)


@settings(max_examples=100)
@given(blocks())
def test_summaries_and_their_sum_are_the_same_bytes(block: tuple[dict[str, Column], Plan, Cells]) -> None:
    found, expected = summarise(*block), summarise(*block, native=False)
    assert [one.to_bytes() for one in found] == [one.to_bytes() for one in expected]
    assert reduce(add, found + expected).to_bytes() == reduce(add, expected + expected).to_bytes()


@settings(max_examples=40)
@given(inputs())
def test_an_observer_sends_the_same_with_and_without_it(events: list[Event]) -> None:
    sent = []
    for is_native in (True, False):
        observer = Observer(CONFIG, References(), native=is_native)
        observer.add(batch_of(events))
        sent.append(observer.flush().deltas)
    assert sent[0] == sent[1]


@pytest.mark.parametrize("size", [1, 19, 20, 21, 511, 512, 513, 8_192])
@pytest.mark.parametrize("width", [0.0, 1e-3, 1.0, 1e12, 1e200])
def test_cells_of_any_size_are_as_numpy_has_them(size: int, width: float) -> None:
    random = np.random.default_rng(size)
    numbers = random.normal(300, width, 3 * size) * random.choice([1, -1, 1e-9], 3 * size)
    shapes = {("features", "s"): SignalShape(range=(-8, 8), grid=Grid(0.0, 0.25))}
    plan = Plan.of(Shape("", 1, False, 100, shapes, (), 0), "features", ("s",))  # type: ignore[arg-type]
    starts = np.arange(3) * size
    for index in (slice(0, 3 * size), random.permutation(3 * size)):
        block = {"s": Column(NUMBER, numbers)}, plan, Cells(index, np.full(3, size), starts)
        assert said(compiled, *block) == said(plain, *block)


def test_all_nasty_numbers_are_as_numpy_has_them_one_by_one() -> None:
    """Each alone in its cell, so that none hides behind another."""
    numbers, n = np.array(NASTY), len(NASTY)
    block = {"s": Column(NUMBER, numbers)}, Cells(slice(0, n), np.ones(n, np.int64), np.arange(n))
    for shape in (SignalShape(), SignalShape(center=300.0), SignalShape(range=(0, 1), grid=Grid(0.5, 1.0))):
        of = Shape("", 1, False, 100, {("features", "s"): shape}, (), 0)
        plan = Plan.of(of, "features", ("s",))
        assert said(compiled, block[0], plan, block[1]) == said(plain, block[0], plan, block[1])


@pytest.mark.parametrize(
    ("index", "sizes"),
    [
        (slice(0, 4), [4]),
        (slice(2, 4), [2]),
        (np.array([3]), [1]),
        (np.array([-1]), [1]),
        (np.array([0, 1]), [1]),
        (slice(0, 3), [-1]),
    ],
)
def test_rows_that_a_column_does_not_have_are_refused(index: Any, sizes: list[int]) -> None:
    plan = Plan.of(Shape("", 1, False, 100, {}, (), 0), "features", ("s",))
    block = Cells(index, np.array(sizes, np.int64), np.zeros(1, np.int64))
    with pytest.raises((IndexError, ValueError, OverflowError)):
        said(compiled, {"s": Column(NUMBER, np.zeros(3))}, plan, block)


def test_a_module_of_another_form_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("stream_monitor_native")
    other.FORM = native.FORM - 1  # type: ignore[attr-defined]
    native.installed.cache_clear()
    try:
        for module, said in ((other, f"not used: expected form {native.FORM}, got"), (None, "not installed")):
            monkeypatch.setitem(sys.modules, "stream_monitor_native", module)
            assert native.installed() is None
            assert native.said().startswith(said)
            assert not compiled.is_installed()
            native.installed.cache_clear()
    finally:
        native.installed.cache_clear()

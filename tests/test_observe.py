"""Observe against a slow twin, its rules of time and of counting, and what an observer hands over."""

from __future__ import annotations

import gc
import math
import random
import struct
import tracemalloc
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stream_monitor import observe as observe_module
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import parse_config
from stream_monitor.events import Batch, Column, Group, JsonType, Records, Reject, SliceKey, Source, Stream
from stream_monitor.observe import Backlog, Observer, Summaries, observe
from stream_monitor.summary import columns, vocabulary
from stream_monitor.summary.categories import bounded
from stream_monitor.summary.columns import BLOCK_ROWS, BLOCK_SIGNALS, BLOCK_VALUES, block_cells, block_rows
from stream_monitor.summary.counts import Count
from stream_monitor.summary.grid import Grid
from stream_monitor.summary.parting import Parting
from stream_monitor.summary.shape import ReferenceShape, Shape
from stream_monitor.summary.summary import Summary
from stream_monitor.watermark import Clock, RowCounts, judge
from tests.oracles_summary import Event, batch_of, hash64, plain_observe, plain_of

LATENESS_MS = 2_000
LAW = settings(
    max_examples=40,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
SOURCES = [Source("p", partition) for partition in range(3)]
CONFIG = parse_config(
    {
        "kafka": {"bootstrap.servers": "localhost:9092"},
        "predictions": {"topics": ["p"], "lateness": "2s"},
        "models": {
            "m": {
                "features": {
                    "age": {"range": [0, 120]},
                    "plan": {"values": ["free", "paid"]},
                    "code": {"type": "category"},
                    "exact": {"type": "number", "strict": True},
                    "at": {"center": 1_763_865_600_000},
                    "secret": {"watch": False},
                },
            }
        },
    }
)
REFERENCE = ReferenceShape(
    grids={("features", "age"): Grid(40.0, 2.0**-6), ("outputs", "score"): Grid(0.5, 2.0**-11)},
    values={("outputs", "class"): frozenset({"stay", "go"})},
    hash="r1",
)
SHAPE = Shape.of(CONFIG.model("m"), REFERENCE)

NUMBERS = st.one_of(
    st.floats(width=64),
    st.floats(-100, 200),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0.0, -0.0, 1e300, -1e300, 2.0**63, 2.0**-30, 2.0**-31, 5e-324, math.nan, math.inf, 0.1]),
)
TEXTS = st.sampled_from(["free", "paid", "other", "go", "", "7", "7.0", "1e3", "ä€😀", "x" * 300, "x" * 129])
VALUES = st.one_of(
    NUMBERS, TEXTS, st.booleans(), st.none(), st.just([1]), st.just({"a": 1}), NUMBERS.map(repr)
)
NAMES = ["age", "plan", "code", "exact", "at", "secret", "free1", "free2"]
FEATURES = SliceKey(Stream("m"), 0)
STREAMS = [Stream("m", "1", "live"), Stream("m", "2", "live"), Stream("m", "1", "shadow")]


@st.composite
def inputs(draw: st.DrawFn, values: st.SearchStrategy[object] = VALUES) -> list[Event]:
    """Events of three partitions, in offset order each; times wander, some are late."""
    offsets = dict.fromkeys(SOURCES, 0)
    events = []
    for _ in range(draw(st.integers(0, 16))):
        source = draw(st.sampled_from(SOURCES))
        offsets[source] += draw(st.integers(0, 2))
        events.append(
            Event(
                source,
                offsets[source],
                draw(st.integers(0, 8_000)),
                draw(st.dictionaries(st.sampled_from(NAMES), values, max_size=5)),
                draw(st.dictionaries(st.sampled_from(["score", "class"]), values, max_size=2)),
                draw(st.sampled_from(STREAMS)),
            )
        )
    return events


def observed(events: list[Event], shape: Shape = SHAPE) -> Summaries:
    return observe(batch_of(events), lambda _: shape, {}, LATENESS_MS)


@LAW
@given(inputs())
def test_a_batch_is_summarised_as_the_slow_twin_does_it(events: list[Event]) -> None:
    found = {key: plain_of(summary) for key, summary in observed(events).items()}
    assert found == plain_observe(events, SHAPE, LATENESS_MS)


@pytest.mark.parametrize("at_a_time", [700, BLOCK_ROWS])
def test_many_rows_of_many_slices_are_summarised_as_the_slow_twin_does_it(
    monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(columns, "BLOCK_ROWS", at_a_time)
    rng = random.Random(3)
    events = [
        Event(
            SOURCES[row % 3],
            row,
            row * 4 + rng.randrange(-1_500, 1_500),
            {
                "age": rng.gauss(40, 15),
                "free1": rng.gauss(0, 1e-3),
                "plan": rng.choice(["free", "paid", "?"]),
            },
            {"score": rng.random() if row % 7 else None},
        )
        for row in range(3_000)
    ]
    found = {key: plain_of(summary) for key, summary in observed(events).items()}
    assert found == plain_observe(events, SHAPE, LATENESS_MS)


@pytest.mark.parametrize("signals", [0, 1, 22, 1_000, 8_192])
def test_the_rows_that_are_summarised_at_a_time_are_bounded_and_so_are_their_values(signals: int) -> None:
    rows = block_rows(signals)
    assert 0 < rows <= BLOCK_ROWS <= 1 << 15
    assert rows * signals <= BLOCK_VALUES


@LAW
@given(inputs(), st.randoms(use_true_random=False))
def test_any_cut_and_any_order_of_partitions_give_equal_bytes(
    events: list[Event], rng: random.Random
) -> None:
    whole = observed(events)
    assert _bytes(_read_otherwise(events, rng, SHAPE)) == _bytes(whole)


@LAW
@given(inputs(), st.randoms(use_true_random=False))
def test_more_signals_than_the_limit_are_dropped_by_no_order(events: list[Event], rng: random.Random) -> None:
    config = CONFIG.model("m").model_copy(update={"max_signals": 1, "features": {}})
    shape = Shape.of(config)
    whole = observed(events, shape)
    assert _bytes(_read_otherwise(events, rng, shape)) == _bytes(whole)
    for key, summary in whole.items():
        values = plain_observe(events, shape, LATENESS_MS)[key].signals
        total = sum(one.counts[kind.name] for one in values.values() for kind in JsonType)
        kept = sum(values[name].counts[kind.name] for name in summary.signals for kind in JsonType)
        assert list(summary.signals) == sorted(values, key=hash64)[:1]
        assert summary.dropped_values == total - kept


def _read_otherwise(events: list[Event], rng: random.Random, shape: Shape) -> Summaries:
    """The same partitions in another order, by several workers, in other batches, summed in any order."""
    parts = []
    for source in rng.sample(SOURCES, len(SOURCES)):
        mine = [event for event in events if event.source == source]
        clocks: dict[Source, Clock] = {}
        while mine:
            size = rng.randint(1, len(mine))
            parts.append(observe(batch_of(mine[:size]), lambda _: shape, clocks, LATENESS_MS))
            mine = mine[size:]
    while len(parts) > 1:
        one, other = parts.pop(rng.randrange(len(parts))), parts.pop(rng.randrange(len(parts)))
        parts.append(one + other)
    return parts[0] if parts else Summaries()


def _bytes(summaries: Summaries) -> dict[SliceKey, bytes]:
    return {key: summary.to_bytes() for key, summary in summaries.items()}


class FloatSummary(NamedTuple):
    """The mutant: it sums floats."""

    total: float

    def __add__(self, other: object) -> FloatSummary:
        assert isinstance(other, FloatSummary)
        return FloatSummary(self.total + other.total)

    def to_bytes(self) -> bytes:
        return struct.pack("d", self.total)


def _summary(values: list[float]) -> Summary:
    events = [Event(SOURCES[0], 0, 0, {"age": value}) for value in values]
    return observed(events)[FEATURES]


@pytest.mark.parametrize(
    ("summarise", "equal"), [(_summary, True), (lambda values: FloatSummary(sum(values, 0.0)), False)]
)
def test_cuts_show_in_sums_of_floats_and_not_in_ours(
    summarise: Callable[[list[float]], Any], equal: bool
) -> None:
    values = np.random.default_rng(1).normal(40, 20, 200).tolist()
    found = set()
    for size in (1, 7, 200):
        pieces = [summarise(values[first : first + size]) for first in range(0, 200, size)]
        found.add(reduce(lambda one, other: one + other, pieces).to_bytes())
    assert (len(found) == 1) is equal


def test_which_zero_comes_first_does_not_show() -> None:
    assert len({_summary(values).to_bytes() for values in ([0.0, -0.0], [-0.0, 0.0], [0.0, 0.0])}) == 1


def test_a_range_holds_its_ends() -> None:
    values = [0.0, 120.0, math.nextafter(120.0, 121.0), -5e-324]
    assert _summary(values).counts[0, Count.OUT_OF_RANGE] == 2


def test_a_grid_clips_beyond_its_last_step() -> None:
    step, last = 2.0**-6, 40.0 + 524_287 * 2.0**-6
    found = _summary([last, last + step, 40.0 - 524_288 * step])
    assert found.counts[0, Count.GRID_CLIPPED] == 2
    assert found.counts[0, Count.GRID_SUM] == 524_287


def test_a_long_text_and_what_it_is_shortened_to_count_as_one() -> None:
    long = "x" * 300
    events = [Event(SOURCES[0], row, 0, {"free1": text}) for row, text in enumerate((long, bounded(long)))]
    assert observed(events)[FEATURES].values == {"free1": {bounded(long): 2}}


def test_a_source_named_twice_in_a_batch_is_one() -> None:
    batch = batch_of([Event(SOURCES[0], 5, 0), Event(SOURCES[1], 3, 0)])
    batch.sources = (SOURCES[0], SOURCES[0])
    found = observe(batch, lambda _: SHAPE, {}, LATENESS_MS)
    assert found[FEATURES].offsets == {SOURCES[0]: (3, 5)}


def test_a_late_row_counts_in_the_slice_of_its_clock_and_nowhere_else() -> None:
    events = [Event(SOURCES[0], 0, 9_500, {"age": 1}), Event(SOURCES[0], 1, 3_000, {"age": 1}, {"score": 1})]
    found = observed(events)
    stream = events[0].stream
    assert set(found) == {SliceKey(stream, 9_000), SliceKey(Stream("m"), 9_000)}
    assert (found[SliceKey(stream, 9_000)].rows, found[SliceKey(stream, 9_000)].late) == (1, 1)
    assert (found[SliceKey(Stream("m"), 9_000)].rows, found[SliceKey(Stream("m"), 9_000)].late) == (1, 0)
    assert found[SliceKey(stream, 9_000)].offsets == {SOURCES[0]: (0, 0)}


def test_a_row_behind_a_claim_only_is_late_by_idleness() -> None:
    clocks = {SOURCES[0]: Clock(event=5_000, claim=60_000)}
    found = observe(batch_of([Event(SOURCES[0], 7, 5_500)]), lambda _: SHAPE, clocks, LATENESS_MS)
    ((key, summary),) = found.items()
    assert (key.start, summary.rows, summary.late, summary.late_idle) == (60_000, 0, 1, 1)


def test_a_shadow_says_nothing_of_features() -> None:
    found = observed([Event(SOURCES[0], 0, 0, {"age": 3}, {"score": 1}, Stream("m", "1", "shadow"))])
    assert set(found) == {SliceKey(Stream("m", "1", "shadow"), 0)}


def test_summaries_add_without_changing_their_parts() -> None:
    one, other = (
        observed([Event(SOURCES[0], 0, 0, {"age": 3})]),
        observed([Event(SOURCES[1], 0, 0, {"age": 4})]),
    )
    before = _bytes(one), _bytes(other)
    total = one + other
    assert total[FEATURES].rows == 2
    assert (_bytes(one), _bytes(other)) == before
    assert _bytes(total + Summaries()) == _bytes(total)


def test_merging_on_leaves_what_was_merged_alone() -> None:
    one, other = (observed([Event(SOURCES[0], 0, 0, {"free1": text})])[FEATURES] for text in "ab")
    before = one.to_bytes()
    total = Summary.empty()
    total.merge(one)
    total.merge(other)
    assert one.to_bytes() == before


# The observer


class References:
    def shape(self, _model: str) -> ReferenceShape | None:
        return REFERENCE


@LAW
@given(inputs(), st.integers(1, 9))
def test_rows_in_are_rows_out(events: list[Event], size: int) -> None:
    observer = Observer(CONFIG, References())
    for first in range(0, len(events), size):
        observer.add(batch_of(events[first : first + size]))
    flushed = observer.flush()
    per_model = sum(delta.rows for delta in flushed.deltas)
    assert per_model == len(events) == sum(counts.rows for counts in flushed.counts.values())
    summaries = [
        Summary.from_bytes(delta.data) for delta in flushed.deltas if not delta.key.stream.of_features
    ]
    assert sum(one.late for one in summaries) == sum(counts.late for counts in flushed.counts.values())
    assert {delta.shape for delta in flushed.deltas} <= {SHAPE.hash}
    total = Summaries()
    for delta in flushed.deltas:
        total.add(delta.key, Summary.from_bytes(delta.data))
    assert _bytes(total) == _bytes(observed(events))


def test_a_flush_begins_anew_but_keeps_the_clocks() -> None:
    observer = Observer(CONFIG, References())
    observer.add(batch_of([Event(SOURCES[0], 0, 9_500)]))
    observer.flush()
    empty = observer.flush()
    assert (empty.deltas, empty.counts) == ([], {})
    observer.add(batch_of([Event(SOURCES[0], 1, 3_000)]))
    assert observer.flush().counts == {SOURCES[0]: RowCounts(rows=1, late=1)}


@pytest.mark.parametrize("bound", ["ROWS_MAX", "VALUES_MAX", "TEXTS_MAX"])
def test_what_waits_is_bounded_and_nothing_of_it_is_lost(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(vocabulary if bound == "TEXTS_MAX" else observe_module, bound, 50)
    shapes, codec = cast("Callable[[str], Shape]", lambda _: SHAPE), JsonCodec(CONFIG)
    backlog, total, clocks = Backlog(shapes), Summaries(), dict[Source, Clock]()
    for first in range(0, 200, 4):
        values = [b'{"model": "m", "ts": 0, "features": {"plan": "%d"}}' % (first + row) for row in range(4)]
        at, zeros = np.arange(first, first + 4), np.zeros(4, np.int64)
        batch = codec.decode(Records((SOURCES[0],), zeros, at, zeros, values))
        backlog.add(batch, judge(batch, {}, LATENESS_MS))
        total.merge(observe(batch, shapes, clocks, LATENESS_MS))
        assert sum(len(rows) for waiting in backlog._waiting.values() for rows in waiting) < 50
    assert _bytes(backlog.drain()) == _bytes(total)
    assert (total[FEATURES].rows, backlog._values) == (200, 0)


def one_a_slice(first: int, n: int = 20) -> Batch:
    features = [{"age": row, "plan": f"plan-{row % 7}", "free1": row / 3} for row in range(first, first + n)]
    return batch_of(
        [Event(SOURCES[0], first + row, (first + row) * 1_000, one) for row, one in enumerate(features)]
    )


def merged(observer: Observer) -> dict[SliceKey, bytes]:
    """What a flush says of each stream and slice in all of its deltas."""
    total = Summaries()
    for delta in observer.flush().deltas:
        total.add(delta.key, Summary.from_bytes(delta.data))
    return _bytes(total)


def test_summaries_of_many_slices_become_deltas_before_they_take_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 50_000
    monkeypatch.setattr(observe_module, "VALUES_MAX", 200)
    at_once = Observer(CONFIG, References())
    for first in range(0, 1_000, 20):
        at_once.add(one_a_slice(first))
    expected = merged(at_once)
    monkeypatch.setattr(observe_module, "SUMMARIES_BYTES_MAX", most)
    observer = Observer(CONFIG, References())
    for first in range(0, 1_000, 20):
        observer.add(one_a_slice(first))
        assert sum(one.memory_bytes for one in observer._backlog._summaries.values()) < most
    assert merged(observer) == expected


def test_what_merges_is_not_sent_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe_module, "VALUES_MAX", 200)
    monkeypatch.setattr(observe_module, "SUMMARIES_BYTES_MAX", 100_000)
    observer = Observer(CONFIG, References())
    for first in range(0, 5_000, 20):
        batch = one_a_slice(first)
        batch.time[:] = 0
        observer.add(batch)
    deltas = observer.flush().deltas
    assert sorted(delta.key.stream for delta in deltas) == [Stream("m"), STREAMS[0]]


def test_an_observer_says_when_its_deltas_are_to_be_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 20_000
    for name, bound in {"VALUES_MAX": 200, "SUMMARIES_BYTES_MAX": 10_000, "DELTAS_BYTES_MAX": most}.items():
        monkeypatch.setattr(observe_module, name, bound)
    observer, sizes = Observer(CONFIG, References()), []
    for first in range(0, 2_000, 20):
        observer.add(one_a_slice(first))
        if observer.is_full:
            sizes.append(sum(len(delta.data) for delta in observer.flush().deltas))
            assert not observer.is_full
    assert len(sizes) > 3
    assert min(sizes) >= most
    observer.add(one_a_slice(2_000, 1_000))
    assert observer.is_full
    observer.discard()
    assert not observer.is_full


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize("value", [float, lambda one: f"text-{one}"], ids=["numbers", "texts"])
def test_a_summary_knows_about_how_much_memory_it_takes(rows: int, value: Callable[[int], Any]) -> None:
    def batch(first: int) -> Batch:
        features = [{f"x{i}": value((first + row) * (i + 1)) for i in range(40)} for row in range(50 * rows)]
        times = (np.arange(50 * rows) // rows * 1_000).tolist()
        return batch_of(
            [
                Event(SOURCES[0], row, time, one)
                for row, (time, one) in enumerate(zip(times, features, strict=True))
            ]
        )

    batches = [batch(0), batch(50 * rows)]
    observe(batches[0], lambda _: SHAPE, {}, LATENESS_MS)
    gc.collect()
    tracemalloc.start()
    summaries = observe(batches[1], lambda _: SHAPE, {}, LATENESS_MS)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    told = sum(one.memory_bytes for one in summaries.values())
    assert len(summaries) == 100
    assert taken / 2 <= told <= 2 * taken, taken


@LAW
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 5))
def test_blocks_are_all_rows_in_order_and_bounded_in_rows_and_cells(
    slices: list[int], rows_max: int, cells_max: int
) -> None:
    parting = Parting.by_slice(np.array(slices))
    rows: list[int] = []
    for block, cells, which in parting.blocks(rows_max, cells_max):
        assert len(block) == cells.sizes.sum() <= rows_max
        assert len(cells) == len(which) <= cells_max
        said = np.repeat([parting.slices[one] for one in which], cells.sizes)
        assert said.tolist() == [slices[row] for row in block]
        rows += block.tolist()
    assert rows == parting.order.tolist()


@pytest.mark.parametrize("signals", [0, 1, 22, 1_000, 1 << 20])
def test_the_cells_that_are_summarised_at_a_time_are_bounded_and_so_are_their_signals(signals: int) -> None:
    cells = block_cells(signals)
    assert cells >= 1
    assert cells == 1 or cells * signals <= BLOCK_SIGNALS


def test_what_is_discarded_is_gone() -> None:
    observer = Observer(CONFIG, References())
    observer.add(batch_of([Event(SOURCES[0], 0, 9_500)]))
    observer.discard()
    assert observer.flush().deltas == []


def test_rejects_are_counted_for_their_source() -> None:
    observer = Observer(CONFIG, References())
    batch = batch_of([Event(SOURCES[0], 0, 0), Event(SOURCES[1], 0, 0)])
    batch.rejects = [Reject(2, 0, "not_json", "?", source=1), Reject(3, 0, "not_json", "?", source=1)]
    observer.add(batch)
    assert observer.flush().counts == {SOURCES[0]: RowCounts(1), SOURCES[1]: RowCounts(1, rejected=2)}


def test_a_batch_of_rejects_only_is_no_trouble() -> None:
    nothing = np.empty(0, np.int64)
    observer = Observer(CONFIG, References())
    rejects = [Reject(0, 0, "not_json", "?")]
    observer.add(Batch((SOURCES[0],), nothing, nothing, nothing, nothing, [], rejects=rejects))
    assert observer.flush().counts == {SOURCES[0]: RowCounts(rejected=1)}


def test_a_summary_too_long_for_a_record_goes_in_parts_that_add_up() -> None:
    count = 1_500
    texts = [f"{row:0100d}" for row in range(count)]
    long = {f"f{i}": Column(JsonType.STRING, None, [text + str(i) for text in texts]) for i in range(10)}
    rows = np.arange(count)
    zeros = np.zeros(count, np.int64)
    batch = Batch((SOURCES[0],), zeros, rows, zeros, zeros, [Group(STREAMS[0], rows, long)])
    observer = Observer(CONFIG, References())
    observer.add(batch)
    deltas = observer.flush().deltas
    features = [delta for delta in deltas if delta.key.stream.of_features]
    assert len(features) > 1
    assert all(len(delta.data) <= 900_000 for delta in deltas)
    assert sum(delta.rows for delta in deltas) == count
    total = Summary.empty()
    for delta in features:
        total.merge(Summary.from_bytes(delta.data))
    assert total == observe(batch, lambda _: SHAPE, {}, LATENESS_MS)[FEATURES]


def test_equal_settings_have_equal_hashes() -> None:
    assert Shape.of(CONFIG.model("m"), REFERENCE).hash == SHAPE.hash


@pytest.mark.parametrize(
    "change",
    [
        {"slice_ms": 2_000},
        {"strict": True},
        {"max_signals": 7},
        {"features": {}},
        {"outputs": CONFIG.model("m").features},
    ],
)
def test_any_setting_that_shapes_changes_the_hash(change: dict[str, object]) -> None:
    assert Shape.of(CONFIG.model("m").model_copy(update=change), REFERENCE).hash != SHAPE.hash


def test_an_output_is_not_the_feature_of_its_name() -> None:
    features = CONFIG.model("m").features
    moved = CONFIG.model("m").model_copy(update={"features": {}, "outputs": features})
    assert Shape.of(moved).hash != Shape.of(CONFIG.model("m")).hash


def test_a_shape_joins_what_is_declared_with_the_reference() -> None:
    strict = Shape.of(CONFIG.model("m").model_copy(update={"strict": True}))
    assert [SHAPE.signal("features", name).strict for name in ("exact", "age", "other")] == [
        True,
        False,
        False,
    ]
    assert [strict.signal("features", name).strict for name in ("exact", "age", "other")] == [True] * 3
    assert SHAPE.signal("features", "plan").kept == {"free", "paid"}
    assert SHAPE.signal("outputs", "class").kept == {"stay", "go"}
    assert [SHAPE.signal("outputs", name).declared for name in ("class", "score", "other")] == [
        True,
        True,
        False,
    ]


def test_another_reference_changes_the_hash() -> None:
    other = ReferenceShape(REFERENCE.grids, REFERENCE.values, "r2")
    assert len({Shape.of(CONFIG.model("m"), one).hash for one in (None, REFERENCE, other)}) == 3


def test_settings_that_do_not_shape_leave_the_hash() -> None:
    config = CONFIG.model("m").model_copy(update={"labels": {"team": "growth"}, "severity": "ticket"})
    assert Shape.of(config, REFERENCE).hash == SHAPE.hash

"""The joiner against the rules said literally: all elements in a dict, looked at when everything is there."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream_monitor.config import Labels
from stream_monitor.events import Int64s, Source
from stream_monitor.join import pool, table
from stream_monitor.join.entries import Prediction
from stream_monitor.join.joiner import Joiner
from stream_monitor.join.matching import ELEMENTS_MAX, Change
from stream_monitor.join.outcome import CORRECTED, DUPLICATE, WITHDRAWN, Nothing, One, Predictions
from stream_monitor.join.rows import LabelRows, PredictionRows
from stream_monitor.join.store import MemoryStore, Position, Store, bucket_ms
from stream_monitor.runtime.store import Memory, RocksStore

HORIZON_MS = 4_000
P, Q, L, M = SOURCES = tuple(Source(topic, 3) for topic in ("p", "q", "l", "m"))
MEMORY = Memory(2**20, 2**20)


@pytest.fixture(params=["as it is", "tight"], autouse=True, scope="module")
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    """A table that closes every gap, grows at every row and renews its heads at every write is no other."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "tight":
            patched.setattr(table, "_GAPS_MIN", -1)
            patched.setattr(table, "HEADS_MAX", 0)
            patched.setattr(pool, "_ROWS_MIN", 1)
        yield


def labels(policy: Literal["first", "last"] = "last") -> Labels:
    return Labels.model_validate(
        {"topics": ["l", "m"], "horizon": "4s", "slice": "1s", "cohort": "2s", "policy": policy}
    )


@contextmanager
def memory_store() -> Iterator[Store]:
    yield MemoryStore()


@contextmanager
def rocks_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        store = RocksStore(Path(folder), "form", MEMORY)
        yield store
        store.close()


STORES = pytest.mark.parametrize("new_store", [memory_store, rocks_store])
NewStore = Callable[[], Any]


@dataclass(frozen=True)
class Element:
    """A prediction (of ``stream``) or a label (of ``model``, with ``value``)."""

    source: Source
    id: str
    time: int
    stream: tuple[str, str, str] = ("a", "1", "live")
    model: str | None = None
    value: Any = None

    @property
    def is_label(self) -> bool:
        return self.source in {L, M}


History = dict[Source, list[Element]]


@dataclass
class Seen:
    """An outcome, as counters of everything that was said."""

    predictions: Counter[Any] = field(default_factory=Counter)
    labels: Counter[Any] = field(default_factory=Counter)
    changes: Counter[Any] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        columns = zip(rows.ids, rows.streams, rows.clock.tolist(), rows.time.tolist(), strict=True)
        self.predictions.update(zip(columns, joinable.tolist(), strict=True))

    def labeled(self, rows: LabelRows, facts: Int64s) -> None:
        self.labels.update(zip(rows.ids, rows.offset.tolist(), facts.tolist(), strict=True))

    def paired(
        self, ones: Predictions, time: Int64s, at: Int64s, delay_ms: Int64s, values: Sequence[Any]
    ) -> None:
        columns = time.tolist(), at.tolist(), delay_ms.tolist(), values
        for one, of, changed_at, delay, value in zip(ones, *columns, strict=True):
            self.changed(one, of, changed_at, Change("pairs", None, value), delay)

    def changed(self, one: Prediction | One, time: int, at: int, change: Change, delay_ms: int) -> None:
        stream = one.topic, one.model, one.version, one.role, one.inputs
        self.changes[stream, time, at, change.kind, repr(change.gone), repr(change.come), delay_ms] += 1

    def count(self, name: str) -> None:
        self.counts[name] += 1

    def __iadd__(self, other: Seen) -> Self:
        for name, counter in vars(other).items():
            getattr(self, name).update(counter)
        return self


# The rules, literally


def clocks_of(history: History) -> dict[Source, list[int]]:
    return {source: list(itertools.accumulate((e.time for e in row), max)) for source, row in history.items()}


def expected(history: History, policy: str) -> Seen:
    clocks, seen = clocks_of(history), Seen()
    placed = [
        (one, clock, offset)
        for source, elements in history.items()
        for offset, (one, clock) in enumerate(zip(elements, clocks[source], strict=True))
    ]
    for one, clock, offset in placed:
        same_source = [x for x in placed if x[0].source == one.source and x[2] < offset and x[0].id == one.id]
        if one.is_label:
            before = [x for x in same_source if x[0].model == one.model]
            seen.labels[one.id, offset, facts_of(one, clock, before)] += 1
            continue
        near = [x for x in same_source if x[0].stream == one.stream and clock - x[1] <= HORIZON_MS]
        seen.predictions[(one.id, one.stream, clock, one.time), not near] += 1
        seen.counts["predictions_duplicate"] += bool(near)
        for topic in () if near else (L, M):
            eligible = [
                x
                for x in placed
                if x[0].source == topic
                and x[0].id == one.id
                and x[0].model in {None, one.stream[0]}
                and abs(x[1] - clock) <= HORIZON_MS
            ]
            fold(one, clock, offset, sorted(eligible, key=lambda x: x[2]), policy, seen)
    return seen


def facts_of(one: Element, clock: int, before: list[tuple[Element, int, int]]) -> int:
    facts = WITHDRAWN if one.value is None else 0
    if not before or clock - before[-1][1] > HORIZON_MS:
        return facts
    last = before[-1][0].value
    if last == one.value:
        return facts | DUPLICATE
    return facts if last is None or one.value is None else facts | CORRECTED


def fold(
    one: Element, clock: int, offset: int, eligible: list[tuple[Element, int, int]], policy: str, seen: Seen
) -> None:
    current: Any = None
    had = False
    for label, came, _ in eligible:
        gone = come = None
        if label.value is None:
            kind = "withdrawals" if current is not None else "labels_withdrawn_without_label"
            gone, current = current, None
        elif current is None:
            kind, come = "pairs_again" if had else "pairs", label.value
            current, had = label.value, True
        elif label.value == current:
            kind = "labels_duplicate"
        elif policy == "first":
            kind = "labels_ignored"
        else:
            kind, gone, come = "corrections", current, label.value
            current = label.value
        stream = one.source.topic, *one.stream, (offset,)
        what = one.time, max(came, clock), kind, repr(gone), repr(come), label.time - one.time
        seen.changes[stream, *what] += 1


# The joiner, driven as a worker does it


Step = tuple[Source, int]
"""So many elements of a source are read at once."""


class Driver:
    """Reads a history in steps. What is flushed counts; what is discarded is read again. Of what was written
    ``recent_max`` ids are remembered: with one, some are asked of the store, and some are not."""

    def __init__(
        self, history: History, store: Store, policy: Literal["first", "last"], recent_max: int = 1
    ) -> None:
        self.history, self.clocks = history, clocks_of(history)
        self.joiner = Joiner(store, labels(policy), history)
        self.recent_max = recent_max
        self.next = dict.fromkeys(history, 0)
        self.committed = dict(self.next)
        self.seen, self.pending = Seen(), Seen()

    def read(self, source: Source, count: int, outcome: Any = None) -> None:
        first = self.next[source]
        elements = self.history[source][first : first + count]
        self.next[source] = first + len(elements)
        if elements:
            self.feed(source, first, elements, self.pending if outcome is None else outcome)

    def feed(self, source: Source, first: int, elements: list[Element], outcome: Any) -> None:
        offset = np.arange(first, first + len(elements))
        clock = np.array(self.clocks[source][first : first + len(elements)])
        time, ids = np.array([one.time for one in elements]), [one.id for one in elements]
        if elements[0].is_label:
            models, values = [one.model for one in elements], [one.value for one in elements]
            rows = LabelRows(source, offset, clock, time, ids, np.zeros_like(offset), models, values)
            self.joiner.add_labels(rows, outcome)
        else:
            streams = [one.stream for one in elements]
            inputs = [(one,) for one in offset.tolist()]
            segments = [()] * len(ids)
            places = offset, clock, time
            predictions = PredictionRows.of(source, places, ids, streams, segments, inputs)
            self.joiner.add_predictions(predictions, outcome)

    def positions(self) -> dict[Source, Position]:
        return {
            source: Position("id", n, self.clocks[source][n - 1] if n else None, None)
            for source, n in self.next.items()
        }

    def flush(self) -> None:
        self.joiner.written(self.positions())
        self.joiner.trim(self.recent_max)
        self.seen += self.pending
        self.pending, self.committed = Seen(), dict(self.next)

    def discard(self) -> None:
        self.joiner.discard()
        self.pending, self.next = Seen(), dict(self.committed)

    def finish(self) -> Seen:
        for source, elements in self.history.items():
            self.read(source, len(elements))
        self.flush()
        return self.seen


def assert_equal(found: Seen, wanted: Seen) -> None:
    assert found.changes == wanted.changes
    assert found.predictions == wanted.predictions
    assert found.labels == wanted.labels
    assert found.counts == +wanted.counts


IDS = st.sampled_from(["i", "j"])
TIMES = st.integers(0, 12).map(lambda n: n * 1_000) | st.integers(0, 13_000)
STREAMS = st.sampled_from([("a", "1", "live"), ("a", "2", "shadow"), ("b", "1", "live")])
PREDICTIONS = st.tuples(IDS, TIMES, STREAMS)
LABELS = st.tuples(IDS, TIMES, st.sampled_from([None, None, "a", "b"]), st.sampled_from([None, 0, 1, "x"]))


def ticks(source: Source) -> list[Element]:
    """Others' elements, that move the clock on."""
    return [Element(source, f"of {source.topic}", second * 1_000) for second in range(0, 14, 2)]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Mostly in the order of time and with clocks that move on, for else nothing ever expires."""
    history: History = {}
    for source in (P, Q):
        rows = draw(st.lists(PREDICTIONS, max_size=6))
        history[source] = [Element(source, one, time, stream) for one, time, stream in rows]
    for source in (L, M):
        found = draw(st.lists(LABELS, max_size=6))
        history[source] = [Element(source, i, t, model=model, value=v) for i, t, model, v in found]
    if draw(st.integers(0, 3)):
        for source, row in history.items():
            history[source] = sorted(row + ticks(source), key=lambda one: one.time)
    return history


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(SOURCES), st.integers(1, 8)),
        st.sampled_from(["flush", "flush", "discard"]),
    ),
    max_size=30,
)


def drive(history: History, steps: Sequence[Any], store: Store, policy: Literal["first", "last"]) -> Seen:
    driver = Driver(history, store, policy)
    for step in steps:
        if step == "flush":
            driver.flush()
        elif step == "discard":
            driver.discard()
        else:
            driver.read(*step)
    return driver.finish()


@settings(max_examples=300)
@given(history=histories(), steps=STEPS, policy=st.sampled_from(["first", "last"]))
def test_any_way_of_reading_joins_what_the_rules_say(
    history: History, steps: Sequence[Any], policy: Literal["first", "last"]
) -> None:
    assert_equal(drive(history, steps, MemoryStore(), policy), expected(history, policy))


@settings(max_examples=40)
@given(history=histories(), steps=STEPS)
def test_a_store_on_disk_joins_the_same(history: History, steps: Sequence[Any]) -> None:
    with rocks_store() as store:
        assert_equal(drive(history, steps, store, "last"), expected(history, "last"))


# One rule at a time


def said(steps: Sequence[object], store: Store, policy: Literal["first", "last"] = "last") -> Seen:
    """Read one element at a time, flushing where a step says so; equal to the rules, too."""
    history: History = {source: [] for source in SOURCES}
    for one in steps:
        if isinstance(one, Element):
            history[one.source].append(one)
    reading: list[Any] = [(one.source, 1) if isinstance(one, Element) else one for one in steps]
    seen = drive(history, reading, store, policy)
    assert_equal(seen, expected(history, policy))
    return seen


def kinds(seen: Seen) -> list[tuple[str, Any, Any]]:
    return sorted((kind, gone, come) for _, _, _, kind, gone, come, _ in seen.changes.elements())


def all_at(time: int) -> list[Element]:
    """Every source moves on to a time."""
    return [Element(source, f"of {source.topic} at {time}", time) for source in SOURCES]


def predicted(
    time: int = 0, stream: tuple[str, str, str] = ("a", "1", "live"), source: Source = P
) -> Element:
    return Element(source, "i", time, stream)


def label(value: Any, time: int = 0, model: str | None = None, source: Source = L) -> Element:
    return Element(source, "i", time, model=model, value=value)


@STORES
def test_it_does_not_matter_which_came_first(new_store: NewStore) -> None:
    for steps in itertools.permutations([predicted(100), label(1, 300), "flush"]):
        with new_store() as store:
            ((what, count),) = said(steps, store).changes.items()
            assert what == (("p", "a", "1", "live", (0,)), 100, 300, "pairs", "None", "1", 200)
            assert count == 1


@STORES
def test_a_correction_amends_or_is_ignored(new_store: NewStore) -> None:
    steps = [predicted(), label(1), "flush", label(1), label(2, 1_500), label(None, 1_600), label(3, 1_700)]
    with new_store() as store:
        assert kinds(said(steps, store)) == [
            ("corrections", "1", "2"),
            ("labels_duplicate", "None", "None"),
            ("pairs", "None", "1"),
            ("pairs_again", "None", "3"),
            ("withdrawals", "2", "None"),
        ]
    with new_store() as store:
        assert kinds(said(steps, store, "first")) == [
            ("labels_duplicate", "None", "None"),
            ("labels_ignored", "None", "None"),
            ("pairs", "None", "1"),
            ("pairs_again", "None", "3"),
            ("withdrawals", "1", "None"),
        ]


@STORES
def test_a_label_without_model_joins_all_streams_and_one_with_a_model_its_own(new_store: NewStore) -> None:
    streams = [("a", "1", "live"), ("a", "2", "shadow"), ("b", "1", "live")]
    predictions = [predicted(stream=one) for one in streams]
    with new_store() as store:
        seen = said([*predictions, label(1), "flush", label(2, model="b")], store)
    found = Counter((stream[1], kind) for stream, _, _, kind, *_ in seen.changes.elements())
    assert found == {("a", "pairs"): 2, ("b", "pairs"): 1, ("b", "corrections"): 1}


@STORES
def test_what_withdraws_a_label_that_is_not_there_is_only_counted(new_store: NewStore) -> None:
    with new_store() as store:
        seen = said([predicted(), label(None)], store)
    assert kinds(seen) == [("labels_withdrawn_without_label", "None", "None")]


@STORES
@pytest.mark.parametrize(("apart_ms", "pairs"), [(HORIZON_MS, 1), (HORIZON_MS + 1, 0)])
def test_the_horizon_holds_on_both_sides_to_the_millisecond(
    new_store: NewStore, apart_ms: int, pairs: int
) -> None:
    for steps in ([predicted(), label(1, apart_ms)], [label(1), predicted(apart_ms)]):
        with new_store() as store:
            assert sum(said(steps, store).changes.values()) == pairs


@STORES
def test_what_came_twice_is_joined_once_and_chains_of_it_are_one(new_store: NewStore) -> None:
    times = [0, 3_000, 6_500]
    steps: list[object] = []
    for time in times:
        steps += [predicted(time), *all_at(time), "flush"]
    with new_store() as store:
        seen = said([*steps, label(1, 6_600), predicted(10_600)], store)
    assert seen.counts == {"predictions_duplicate": 2}
    assert [time for _, time, *_ in seen.changes.elements()] == [10_600]


@STORES
@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_lasts_as_long_as_the_prediction_that_it_joined(
    new_store: NewStore, label_first: bool
) -> None:
    begin = [label(1), predicted(3_500)] if label_first else [predicted(3_500), label(1)]
    with new_store() as store:
        seen = said([*begin, "flush", *all_at(7_000), "flush", label(2, 7_200)], store)
    assert kinds(seen) == [("corrections", "1", "2"), ("pairs", "None", "1")]


@pytest.mark.parametrize(("lesser", "is_there"), [(4_999, True), (5_000, False)])
def test_an_element_goes_once_the_lesser_clock_has_passed_its_bucket_by_the_horizon(
    lesser: int, is_there: bool
) -> None:
    store = MemoryStore()
    assert bucket_ms(labels()) == 1_000
    others = [Element(source, "of others", 6_000) for source in (P, Q, M)]
    said([predicted(999), *others, Element(L, "of l", lesser), "flush"], store)
    assert (0 in store.buckets) is is_there


def test_nothing_expires_while_a_source_was_never_heard_of() -> None:
    store = MemoryStore()
    said([predicted(), *all_at(9_000)[:3], "flush"], store)
    assert 0 in store.buckets


def test_what_was_read_already_changes_nothing() -> None:
    history: History = {P: [predicted()], L: [label(1), label(2)], Q: [], M: []}
    driver = Driver(history, MemoryStore(), "last")
    driver.read(P, 1)
    driver.read(L, 1)
    driver.flush()
    again = Seen()
    for flushed in (True, False):
        driver.feed(P, 0, history[P], again)
        driver.feed(L, 0, history[L][:1], again)
        assert again == Seen(), flushed
        driver.read(L, 1)
    assert_equal(driver.finish(), expected(history, "last"))


def test_what_is_read_again_without_output_is_known_and_not_told() -> None:
    history: History = {P: [predicted()], L: [label(1), label(2)], Q: [], M: []}
    driver = Driver(history, MemoryStore(), "last")
    driver.read(P, 1, Nothing())
    driver.read(L, 1, Nothing())
    driver.flush()
    assert kinds(driver.finish()) == [("corrections", "1", "2")]


def test_the_elements_of_one_id_are_bounded() -> None:
    """More labels of an id than that are no labels; its entry would be read and written with each."""
    many = [label(number) for number in range(ELEMENTS_MAX + 3)]
    history: History = {P: [predicted()], L: many, Q: [], M: []}
    driver = Driver(history, MemoryStore(), "last")
    driver.read(P, 1)
    seen = driver.finish()
    assert seen.counts == {"labels_over_limit": 3}
    assert sum(seen.changes.values()) == ELEMENTS_MAX
    streams = [predicted(stream=("a", str(number), "live")) for number in range(ELEMENTS_MAX + 3)]
    seen = Driver({P: streams, L: [], Q: [], M: []}, MemoryStore(), "last").finish()
    assert seen.counts == {"predictions_over_limit": 3}


@STORES
@pytest.mark.parametrize("most", [0, 3, 1_000])
def test_nothing_depends_on_what_is_remembered_between_two_writes(new_store: NewStore, most: int) -> None:
    """Ten of each kind are written before what joins them comes, of each the half that is plain."""
    first = {
        P: [Element(P, f"p{number}", 100) for number in range(10)],
        L: [Element(L, f"l{number}", 100, value=1) for number in range(10)],
    }
    then = {
        P: [Element(P, f"l{number}", 100 + 1_000 * (number % 2)) for number in range(10)],
        L: [Element(L, f"p{number}", 100 + 1_000 * (number % 2), value=2) for number in range(10)],
    }
    history: History = {source: [*first.get(source, ()), *then.get(source, ())] for source in SOURCES}
    with new_store() as store:
        driver = Driver(history, store, "last", most)
        driver.read(P, 10)
        driver.read(L, 10)
        driver.flush()
        assert_equal(driver.finish(), expected(history, "last"))

"""What a join worker sends: the same for any way of reading, and what a dictionary says of these records."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from benchmarks import join as bench
from stream_monitor.codecs.labels import JoinCodec
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Delta, Records, SliceKey, Source, Stream
from stream_monitor.join.joins import Joins
from stream_monitor.join.pairs import DELAY, LABELS_ROLE
from stream_monitor.join.store import MemoryStore, Position, StoreDamagedError
from stream_monitor.quality.cohorts import Cohorts
from stream_monitor.quality.shape import shape_hash
from stream_monitor.summary.codes import BINS
from stream_monitor.summary.segments import OTHER, bound_segments
from stream_monitor.summary.summary import Summary
from stream_monitor.watermark import NEVER, Clock, RowCounts
from tests import join_feed, join_oracle
from tests.join_feed import LABELS, PREDICTIONS, Feed

PARTITIONS = 2
Policy = Literal["first", "last"]


@cache
def feed() -> Feed:
    return Feed.of(seed=3, predictions=700, partitions=PARTITIONS)


def config(policy: str = "last", **changed: Any) -> Config:
    document = join_feed.config(policy, **changed)
    return parse_config({"kafka": {"bootstrap.servers": "localhost:9092"}, **document})


class Worker:
    """Reads a feed as the join worker does. ``crash`` leaves the stores as they are, and reads again."""

    def __init__(self, config: Config, feed: Feed) -> None:
        self._config, self._codec = config, JoinCodec(config)
        self._logs = {Source(*place): log for place, log in feed.logs.items()}
        self._stores = {number: MemoryStore() for number in range(feed.partitions)}
        self.committed = {source: Position("id", 0, None, None) for source in self._logs}
        self.deltas: list[Delta] = []
        self.counts: Counter[Source] = Counter()
        self.counters: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        self.joins = Joins(self._config)
        for number, store in self._stores.items():
            self.joins.open(number, store)
            self._catch_up(number)
        self._go_back()

    def _catch_up(self, number: int) -> None:
        """What is committed and not in the store is read again, without output."""
        stands = self.joins.positions(number)
        clocks: dict[Source, Clock] = {}
        for source, goal in self.committed.items():
            if source.partition == number:
                at = stands.get(source, Position("id", 0, None, None))
                clocks[source] = Clock(NEVER if at.clock is None else at.clock)
                for batch in self._decoded(source, at.next, goal.next - at.next):
                    self.joins.replay(batch, clocks)
                assert clocks[source].known_event == goal.clock
        self.joins.replayed(number, {s: one for s, one in self.committed.items() if s.partition == number})

    def _go_back(self) -> None:
        for source, at in self.committed.items():
            self.joins.clocks[source] = Clock(NEVER if at.clock is None else at.clock)
        self.next = {source: at.next for source, at in self.committed.items()}

    def _decoded(self, source: Source, first: int, count: int) -> Iterable[Any]:
        log = self._logs[source][first : first + count]
        if not log:
            return []
        return self._codec.decode(
            Records(
                (source,),
                np.zeros(len(log), np.int64),
                np.arange(first, first + len(log)),
                np.array([timestamp for timestamp, _, _ in log]),
                [None if value is None else value.encode() for _, _, value in log],
                [None if key is None else key.encode() for _, key, _ in log],
                [()] * len(log),
            )
        )

    def left(self) -> list[Source]:
        return [source for source, following in self.next.items() if following < len(self._logs[source])]

    def read(self, source: Source, count: int) -> None:
        for batch in self._decoded(source, self.next[source], count):
            self.joins.add(batch)
        self.next[source] = min(self.next[source] + count, len(self._logs[source]))

    def commit(self) -> None:
        """Up to here the transaction is through; the stores are not written."""
        observed = self.joins.flush()
        self.deltas += observed.deltas
        for source, counts in observed.counts.items():
            self.counts[source] += counts.rows + counts.rejected
        for source, following in self.next.items():
            self.committed[source] = Position("id", following, self.joins.clocks[source].known_event, None)

    def write(self) -> None:
        self.joins.committed(self.committed)

    def discard(self) -> None:
        self.joins.discard()
        self._go_back()


def read_all(worker: Worker, seed: int | None) -> Worker:
    """At random, with aborts and crashes; without a seed all labels and then all predictions, at once."""
    chance = random.Random(seed)
    while left := worker.left():
        if seed is None:
            source = min(left)
            worker.read(source, 1_000_000)
            continue
        for _ in range(chance.randrange(6)):
            worker.read(chance.choice(left), chance.choice([1, 10, 100]))
        what = chance.random()
        if what < 0.2:
            worker.discard()
            continue
        worker.commit()
        if what < 0.4:
            worker.start()
        else:
            worker.write()
            worker.counters += worker.joins.counters
            worker.joins.counters.clear()
    worker.commit()
    worker.write()
    return worker


Totals = dict[tuple[str, SliceKey], Any]


def totals(deltas: Sequence[Delta]) -> Totals:
    """What all deltas of a slice add up to, as bytes."""
    found: Totals = {}
    for one in deltas:
        data = Cohorts.from_bytes(one.data) if one.kind == "cohorts" else Summary.from_bytes(one.data)
        place = one.kind, one.key
        found[place] = found[place] + data if place in found else data
    return {place: one.to_bytes() for place, one in found.items()}


@pytest.mark.parametrize("policy", ["first", "last"])
def test_any_way_of_reading_sends_the_same(policy: str) -> None:
    at_once = read_all(Worker(config(policy), feed()), None)
    expected = totals(at_once.deltas)
    assert {kind for kind, _ in expected} == {"pairs", "cohorts", "labels"}
    for seed in range(6):
        worker = read_all(Worker(config(policy), feed()), seed)
        assert totals(worker.deltas) == expected, seed
        assert worker.counts == at_once.counts


@pytest.mark.parametrize("policy", ["first", "last"])
def test_what_is_sent_is_what_a_dictionary_says(policy: str, tmp_path: Path) -> None:
    feed().write(tmp_path)
    counts, cohorts = join_oracle.find(tmp_path, [PREDICTIONS], [LABELS], join_feed.settings(policy))
    worker = read_all(Worker(config(policy), feed()), None)
    by_segment: dict[tuple[str, ...], Cohorts] = {}
    for one in worker.deltas:
        if one.kind == "cohorts":
            place = tuple(one.key.stream)
            by_segment[place] = by_segment.get(place, Cohorts()) + Cohorts.from_bytes(one.data)
    compared = 0
    for (model, version, role, segment, start), wanted in cohorts.items():
        if segment == "country=":
            continue  # "" and no country at all are one there.
        found = by_segment[model, version, role, segment][start]
        assert (found.predictions, found.labeled) == (wanted["predictions"], len(wanted["pairs"]))
        if "amount" in found.measures:
            figures = found.measures["amount"].figures()
            for name in ("mae", "mape", "mean_error", "rmse"):
                assert figures[name].value == pytest.approx(wanted[f"amount.{name}"], rel=1e-9)
                compared += 1
    assert compared > 500
    seen, said = worker.joins.counters, sum(counts.values(), Counter())
    for name, of_oracle in {
        "labels": "labels",
        "pairs": "pairs",
        "pairs_again": "again",
        "corrections": "corrections",
        "withdrawals": "withdrawals",
        "predictions_duplicate": "duplicate_predictions",
        "labels_duplicate": "duplicate_labels",
        "labels_ignored": "ignored",
        "labels_withdrawn_without_label": "withdrawn_without_label",
    }.items():
        assert seen[name] == said[of_oracle], name
    assert seen["predictions"] == said["predictions"] + said["duplicate_predictions"]


# One thing at a time


def small(
    predictions: Sequence[join_feed.Record], labels: Sequence[join_feed.Record], **changed: Any
) -> Worker:
    logs = {(PREDICTIONS, 0): list(predictions), (LABELS, 0): list(labels)}
    return Worker(config(**changed), Feed(1, logs))


def at(ms: int) -> int:
    return join_feed.START_MS + ms


def predicted(ms: int = 0, value: float = 10.0, version: str = "1", **features: Any) -> join_feed.Record:
    event = {"prediction_id": "i", "model": "fare", "model_version": version, "ts": at(ms)}
    return at(ms), None, json.dumps(event | {"features": features, "outputs": {"amount": value}})


def label(value: Any, ms: int = 0, **more: Any) -> join_feed.Record:
    return at(ms), None, json.dumps({"prediction_id": "i", "ts": at(ms), "label": value} | more)


FARE = Stream("fare", "1", "live")
MINUTE_MS = 60_000


def test_a_pair_is_sent_as_its_signals_its_cohort_and_its_label() -> None:
    worker = small([predicted(country="DE")], [label(7, 3 * MINUTE_MS), label(8, 4 * MINUTE_MS)])
    read_all(worker, None)
    found = {(one.kind, one.key): one for one in worker.deltas}
    labels = config().labels
    assert labels is not None
    form = shape_hash(config().model("fare"), labels)
    first, second = SliceKey(FARE, at(3 * MINUTE_MS)), SliceKey(FARE, at(4 * MINUTE_MS))
    pair = found["pairs", first]
    summary = Summary.from_bytes(pair.data)
    assert (pair.rows, summary.rows, pair.shape) == (1, 1, form)
    assert summary.signals == ("amount.absolute_error", "amount.error", "amount.percentage_error", DELAY)
    assert summary.minimum.tolist() == pytest.approx([3, 3, 300 / 7, 180])
    assert ("pairs", second) not in found, "detectors see a pair once"
    joined = Cohorts.from_bytes(found["cohorts", first].data)[at(0)]
    amended = Cohorts.from_bytes(found["cohorts", second].data)[at(0)]
    assert (joined.predictions, joined.labeled, amended.labeled) == (0, 1, 0)
    assert (joined + amended).measures["amount"].figures()["mae"].value == 2
    came = Cohorts.from_bytes(found["cohorts", SliceKey(FARE, at(0))].data)[at(0)]
    assert (came.predictions, came.labeled) == (1, 0)
    in_segments = {key.stream.segment for kind, key in found if kind == "pairs"}
    assert in_segments == {"", "country=DE", "tier="}
    assert found["cohorts", first].rows == 0
    assert found["labels", SliceKey(Stream("", "", LABELS_ROLE), at(4 * MINUTE_MS))].rows == 1


def test_what_labels_are_to_the_one_before_is_a_rate() -> None:
    values = [1, 1, 2, None, 3, True]
    worker = small([], [label(value, place) for place, value in enumerate(values)])
    read_all(worker, None)
    ((key, summary),) = ((one.key, Summary.from_bytes(one.data)) for one in worker.deltas)
    assert key == SliceKey(Stream("", "", LABELS_ROLE), at(0))
    assert (summary.signals, summary.rows) == (("corrected", "duplicate", "withdrawn"), 6)
    ones = dict.fromkeys(summary.signals, 0)
    keys, counts = summary.histogram
    for signal, count in zip((keys // BINS).tolist(), counts.tolist(), strict=True):
        ones[summary.signals[signal]] = count
    assert ones == {"corrected": 2, "duplicate": 1, "withdrawn": 1}


@pytest.mark.parametrize("cut", [1, 2])
def test_of_predictions_of_one_id_the_first_counts_in_whichever_way_each_is_decoded(cut: int) -> None:
    """The first is of no layout that was learned, and so is decoded after the second."""
    learned = [predicted(ms, value=50.0, version="2") for ms in range(20)]
    ms, key, odd = predicted(20, value=10.0)
    assert odd is not None
    first = ms, key, odd.replace(f"{at(20)}", f"{at(20)}.0")
    worker = small([*learned, first, predicted(21, value=90.0)], [label(11.0, 30)])
    worker.read(Source(PREDICTIONS, 0), len(learned))
    while worker.left():
        worker.read(min(worker.left(), key=lambda source: source.topic == LABELS), cut)
    worker.commit()
    found = Cohorts()
    for one in worker.deltas:
        if one.kind == "cohorts" and one.key.stream == Stream("fare", "1", "live"):
            found += Cohorts.from_bytes(one.data)
    assert found.total().measures["amount"].figures()["mae"].value == pytest.approx(1.0)


def test_segments_are_bounded_by_a_rule_without_order() -> None:
    """However many values there are, and however they are cut: those with the least hashes, and the rest."""
    models = {
        "fare": {"quality": {"amount": {"task": "regression"}}, "segments": ["city"], "segments_max": 3}
    }
    events: list[dict[str, Any]] = [
        {"prediction_id": f"i{n}", "model": "fare", "model_version": "1", "ts": at(n)}
        | {"features": {"city": f"c{n % 40}"}, "outputs": {"amount": n}}
        for n in range(400)
    ]
    predictions = [(one["ts"], None, json.dumps(one)) for one in events]
    labels = [
        (one["ts"], None, json.dumps({"prediction_id": one["prediction_id"], "ts": one["ts"], "label": 1}))
        for one in events
    ]
    kept = []
    for seed in (None, 1):
        worker = read_all(small(predictions, labels, models=models), seed)
        streams = {one.key.stream for one in worker.deltas if one.key.stream.segment and one.kind == "pairs"}
        if seed is None:
            assert len(streams) == 4
            assert FARE._replace(segment=f"city={OTHER}") in streams
        by_slice: dict[str, dict[Stream, Any]] = {"pairs": {}, "cohorts": {}}
        for (kind, key), data in totals(worker.deltas).items():
            if kind in by_slice:
                of_kind = Cohorts if kind == "cohorts" else Summary
                by_slice[kind][key.stream] = of_kind.from_bytes(data)
        kept.append(
            {
                (kind, stream): one.to_bytes()
                for kind, found in by_slice.items()
                for stream, one in bound_segments(found, lambda _: 3).items()
            }
        )
    assert kept[0] == kept[1]


def test_only_models_with_quality_are_joined_and_all_rows_are_counted() -> None:
    other = {"prediction_id": "i", "model": "other", "ts": at(0), "features": {}, "outputs": {"value": 1}}
    worker = small([predicted(), (at(0), None, json.dumps(other))], [label(1), (at(0), None, "{}")])
    worker.read(Source(PREDICTIONS, 0), 9)
    worker.read(Source(LABELS, 0), 9)
    counts = worker.joins.flush().counts
    assert counts[Source(PREDICTIONS, 0)].rows == 2
    assert counts[Source(LABELS, 0)] == RowCounts(rows=1, rejected=1)
    assert worker.joins.counters == {}
    worker.write()
    assert worker.joins.counters["predictions"] == 1


def test_a_label_that_cannot_be_used_is_a_pair_all_the_same() -> None:
    worker = read_all(small([predicted()], [label("n/a", MINUTE_MS)]), None)
    (pair,) = (one for one in worker.deltas if one.kind == "pairs" and one.key.stream == FARE)
    assert Summary.from_bytes(pair.data).signals == (DELAY,)
    assert worker.joins.counters["pairs_unusable"] == 1


class BrokenStore(MemoryStore):
    def write(self, *_: object) -> None:
        raise StoreDamagedError("broken")


def test_a_store_that_breaks_does_not_keep_others_from_being_written() -> None:
    joins, stores = Joins(config()), (BrokenStore(), MemoryStore())
    positions = {}
    for number, store in enumerate(stores):
        joins.open(number, store)
        positions[Source(LABELS, number)] = Position("id", 5, 7, None)
    with pytest.raises(StoreDamagedError):
        joins.committed(positions)
    assert stores[1].positions() == {Source(LABELS, 1): Position("id", 5, 7, None)}


def test_the_benchmark_joins_every_label_that_it_makes(tmp_path: Path) -> None:
    """Otherwise it would measure look-ups that find nothing."""
    figures = bench.measure(bench.HOURS * 5, 0.2, tmp_path)
    assert figures["puts_per_s"] / figures["joins_per_s"] == pytest.approx(2, rel=0.3)
    assert figures["unjoined"] == 0
    assert figures["bytes_per_pending"] > 0

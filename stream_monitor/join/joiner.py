"""The join of one partition number: elements in, in any order of their sources; out what they change.

A pair joins if the clocks of its two records differ by at most the horizon, and changes the slice of the
later of the two: so what comes never changes a slice that is over, and nothing depends on which came first.
An element is kept until nothing can join it any more; a label for as long as any prediction that it joins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from stream_monitor.config import Labels
from stream_monitor.events import Source
from stream_monitor.join.entries import Again, Element, Label, Prediction, keys_of
from stream_monitor.join.matching import Known, Standing, same
from stream_monitor.join.outcome import CORRECTED, DUPLICATE, WITHDRAWN, Outcome
from stream_monitor.join.rows import LabelRows, PredictionRows, R, Rows
from stream_monitor.join.store import Key, Position, Store, bucket_ms
from stream_monitor.join.table import Held, Lone, Table
from stream_monitor.watermark import NEVER

T = TypeVar("T")


class _Arrived(NamedTuple):
    """Of rows: their keys, what is held of each, their buckets and their clocks from the start of these."""

    keys: list[Key]
    held: list[Held | None]
    bucket: list[int]
    since: list[int]


class Joiner:
    """``sources`` are all that the elements of this partition number come from.

    What is new since the last write is held in a table: some 600 bytes a row. Any method may raise
    StoreDamagedError.
    """

    def __init__(self, store: Store, labels: Labels, sources: Iterable[Source]) -> None:
        self._store = store
        self._horizon_ms = labels.horizon_ms
        self._bucket_ms = bucket_ms(labels)
        self._keep_first = labels.policy == "first"
        self._sources = tuple(sources)
        self.positions = store.positions()
        """What the store stands for."""
        self._next: dict[Source, int] = {}
        self._table = Table(store)
        self._begin()

    # In

    def add_predictions(self, rows: PredictionRows, outcome: Outcome) -> None:
        """Join labels that came before. What was read already changes nothing.

        Cost: 1 us a row of a new id, and the look-up.
        """
        rows = self._new(rows)
        arrived = self._arrived(rows, Label)
        lag, topic = (rows.clock - rows.time).tolist(), repeat(rows.source.topic)
        streams = zip(*rows.streams, strict=True) if len(rows) else ((), (), ())
        ones = list(map(Prediction, topic, arrived.since, lag, *streams, rows.segments, rows.inputs))
        joinable = np.ones(len(rows), np.bool_)
        for i in self._meet_plain(rows, arrived, ones, Label, outcome):
            key = arrived.keys[i]
            known = self._known(key, arrived.held[i])
            joinable[i] = self._meet_labels(key, arrived.bucket[i], ones[i], known, outcome)
        outcome.predicted(rows, joinable)

    def add_labels(self, rows: LabelRows, outcome: Outcome) -> None:
        """Join predictions that came before. What was read already changes nothing.

        Cost: 2 us a row of an id of which the prediction alone is known, and the look-up.
        """
        rows = self._new(rows)
        arrived = self._arrived(rows, Prediction)
        lag, topic = (rows.clock - rows.time).tolist(), repeat(rows.source.topic)
        places = rows.offset.tolist(), rows.row.tolist()
        ones = list(map(Label, topic, *places, arrived.since, lag, rows.models, rows.values))
        facts = [WITHDRAWN if value is None else 0 for value in rows.values]
        for i in self._meet_plain(rows, arrived, ones, Prediction, outcome):
            key = arrived.keys[i]
            known = self._known(key, arrived.held[i])
            facts[i] = self._meet_predictions(key, arrived.bucket[i], ones[i], known, outcome)
        outcome.labeled(rows, facts)

    def _meet_labels(self, key: Key, bucket: int, one: Prediction, known: Known, outcome: Outcome) -> bool:
        """Whether the prediction is kept."""
        start = bucket * self._bucket_ms
        clock = start + one.clock
        if known.has_before(one, clock):
            known.mark(bucket, Again(one.topic, one.clock, one.model, one.version, one.role))
            outcome.count("predictions_duplicate")
            self._table.put(key, known.elements, known.changed)
            return False
        if known.is_full(bucket, one):
            outcome.count("predictions_over_limit")
            return False
        known.put(bucket, one)
        time, standing = clock - one.lag, dict[str, Standing]()
        for at, label in known.labels_of(one, clock):
            if at < start:
                known.keep_with(bucket, at, label)
            change = standing.setdefault(label.topic, Standing(self._keep_first)).take(label.value)
            outcome.changed(one, time, max(at, clock), change, at - label.lag - time)
        self._table.put(key, known.elements, known.changed)
        return True

    def _meet_predictions(self, key: Key, bucket: int, one: Label, known: Known, outcome: Outcome) -> int:
        """The facts about the label."""
        clock = bucket * self._bucket_ms + one.clock
        if known.is_full(bucket, one):
            outcome.count("labels_over_limit")
            return WITHDRAWN if one.value is None else 0
        facts = _facts(one, known.label_before(one, clock))
        predictions = known.predictions_of(one, clock)
        for _, came, prediction in predictions:
            standing = Standing(self._keep_first)
            for _, label in known.labels_of(prediction, came, one.topic):
                standing.take(label.value)
            change, time = standing.take(one.value), came - prediction.lag
            outcome.changed(prediction, time, max(came, clock), change, clock - one.lag - time)
        known.put(bucket, one)
        for at in {at for at, _, _ in predictions if at > bucket}:
            known.keep_with(at, clock, one)
        self._table.put(key, known.elements, known.changed)
        return facts

    # What is plain: most rows, all of them at once

    def _arrived(self, rows: Rows, other: type[Element]) -> _Arrived:
        keys = keys_of(rows.ids)
        bucket, since = np.divmod(rows.clock, self._bucket_ms)
        buckets = bucket.tolist()
        if len(set(buckets)) == 1:
            # One object, and not one for each row that waits.
            buckets = buckets[:1] * len(buckets)
        return _Arrived(keys, self._table.held(keys, other), buckets, since.tolist())

    def _meet_plain(
        self,
        rows: Rows,
        arrived: _Arrived,
        ones: Sequence[Element],
        other: type[Element],
        outcome: Outcome,
    ) -> list[int]:
        """Take in what needs no rules: the first element of an id, and one that makes a pair with the only
        one before it, which is an ``other``. Returns the rows that are left, in order."""
        new, lone, odd = _sorted_out(arrived.keys, arrived.held, other)
        keys, bucket = _chosen(arrived.keys, new), _chosen(arrived.bucket, new)
        self._table.put_first(keys, bucket, _chosen(ones, new))
        if lone:
            odd += self._pair(rows, arrived, ones, lone, outcome)
            odd.sort()
        return odd

    def _pair(
        self, rows: Rows, arrived: _Arrived, ones: Sequence[Any], lone: Sequence[int], outcome: Outcome
    ) -> list[int]:
        """Join each of these rows with the one element that is known of its id; returns where that is not
        all that is to be done."""
        mine, held = _chosen(ones, lone), cast("Sequence[Lone]", _chosen(arrived.held, lone))
        others: list[Any] = [one for _, one in held]
        labels, predictions = (mine, others) if isinstance(rows, LabelRows) else (others, mine)
        bucket, there = (
            np.array(arrived.bucket)[lone],
            np.fromiter((at for at, _ in held), np.int64, len(held)),
        )
        clock, time = rows.clock[lone], rows.time[lone]
        came = there * self._bucket_ms + np.array([one.clock for one in others])
        sent = came - np.array([one.lag for one in others])
        plain = np.abs(came - clock) <= self._horizon_ms
        plain &= there <= bucket if mine is labels else there == bucket
        plain &= [
            label.value is not None and (label.model is None or label.model == one.model)
            for label, one in zip(labels, predictions, strict=True)
        ]
        if not plain.all():
            left, kept = list(compress(lone, ~plain)), list(compress(lone, plain))
            return left + (self._pair(rows, arrived, ones, kept, outcome) if kept else [])
        keys = _chosen(arrived.keys, lone)
        self._table.put_second(keys, there.tolist(), others, bucket.tolist(), mine)
        if mine is predictions:
            time, sent = sent, time
        outcome.paired(predictions, sent, np.maximum(came, clock), time - sent, [one.value for one in labels])
        return []

    # Between two writes

    def written(self, positions: Mapping[Source, Position]) -> None:
        """What was added is committed, and its sources stand there: write it, and forget what expired."""
        self._table.write(positions)
        self.positions.update(positions)
        self._begin()
        if len(self.positions.keys() & self._sources) == len(self._sources):
            self.expire(min(self.positions[source].time for source in self._sources))

    def trim(self, most: int) -> None:
        """Leave to the store what is known of ids, but for ``most`` of them. Between two writes nothing new
        is there."""
        self._table.trim(most)

    def discard(self) -> None:
        """Forget what was not written."""
        self._table.discard()
        self._begin()

    def _begin(self) -> None:
        self._next = {source: one.next for source, one in self.positions.items()}

    def expire(self, lesser: int) -> None:
        """Forget what nothing can join any more, where no source has a clock before ``lesser``."""
        if lesser != NEVER:
            self._store.drop_before((lesser - self._horizon_ms) // self._bucket_ms)

    def close(self) -> None:
        self._store.close()

    # What is known

    def _new(self, rows: R) -> R:
        """Those that were not read before, which are read now."""
        rows = rows.since(self._next.get(rows.source, 0))
        if len(rows):
            self._next[rows.source] = int(rows.offset.max()) + 1
        return rows

    def _known(self, key: Key, held: Held | None) -> Known:
        """``held``: what was known when its batch began."""
        return Known(self._table.elements(key, held), self._bucket_ms, self._horizon_ms)


def _sorted_out(
    keys: Sequence[Key], held: Sequence[Held | None], other: type[Element]
) -> tuple[list[int], list[int], list[int]]:
    """The rows of which nothing is known, one ``other`` alone, and all else: so are those whose id is in
    several rows."""
    if len(set(keys)) == len(keys) and held.count(None) == len(held):
        return list(range(len(keys))), [], []
    repeated = set[Key]()
    if len(set(keys)) < len(keys):
        repeated = {key for key, n in Counter(keys).items() if n > 1}
    new, lone, odd = [], [], []
    for i, one in enumerate(held):
        if repeated and keys[i] in repeated:
            odd.append(i)
        elif one is None:
            new.append(i)
        elif type(one) is tuple and type(one[1]) is other:
            lone.append(i)
        else:
            odd.append(i)
    return new, lone, odd


def _chosen(column: Sequence[T], places: Sequence[int]) -> Sequence[T]:
    """What is at these places, which ascend."""
    return column if len(places) == len(column) else [column[i] for i in places]


def _facts(one: Label, before: Label | None) -> int:
    facts = WITHDRAWN if one.value is None else 0
    if before is None:
        return facts
    if same(before.value, one.value):
        return facts | DUPLICATE
    return facts if before.value is None or one.value is None else facts | CORRECTED

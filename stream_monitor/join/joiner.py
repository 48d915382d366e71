"""The join of one partition number: elements in, in any order of their sources; out what they change.

A pair joins if the clocks of its two records differ by at most the horizon, and changes the slice of the
later of the two: so what comes never changes a slice that is over, and nothing depends on which came first.
An element is kept until nothing can join it any more; a label for as long as any prediction that it joins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.config import Labels
from stream_monitor.events import Int64s, Source
from stream_monitor.join.entries import Again, Label, Prediction, keys_of
from stream_monitor.join.matching import Known, Standing, same
from stream_monitor.join.outcome import CORRECTED, DUPLICATE, WITHDRAWN, Outcome, Predictions
from stream_monitor.join.pool import as_objects, is_none
from stream_monitor.join.rows import LabelRows, PredictionRows, R, Rows
from stream_monitor.join.store import Found, Key, Position, Store, bucket_ms
from stream_monitor.join.table import FOR_EVERY_MODEL, LABEL, PREDICTION, UNKNOWN, Kind, Table
from stream_monitor.quality.kept import fill
from stream_monitor.watermark import NEVER

OTHER = (LABEL, PREDICTION)
_OF_OUTCOME = (("head", "numbers"), ("value",))


class _Arrived(NamedTuple):
    """Of rows of a kind: their keys, their buckets and their clocks from the start of these, what is known of
    each and what of that the store had, and what is put of them."""

    kind: Kind
    keys: list[Key]
    bucket: Int64s
    since: Int64s
    known: Int64s
    stored: Found
    columns: Mapping[str, NDArray[Any]]

    def at(self, rows: Int64s) -> Mapping[str, NDArray[Any]]:
        """What is put of some of them."""
        if len(rows) == len(self.keys):
            return self.columns
        return {name: column[rows] for name, column in self.columns.items()}


class Joiner:
    """``sources`` are all that the elements of this partition number come from.

    What is new since the last write is held in a table: some 300 bytes a row. Any method may raise
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
        self._table = Table(store, self._bucket_ms)
        self._begin()

    # In

    def add_predictions(self, rows: PredictionRows, outcome: Outcome) -> None:
        """Join labels that came before. What was read already changes nothing.

        Cost: 0.5 us a row of a new id, and the look-up.
        """
        rows = self._new(rows)
        arrived = self._arrived(rows, PREDICTION)
        joinable = np.ones(len(rows), np.bool_)
        for i in self._meet_plain(rows, arrived, outcome):
            key, since, lag = arrived.keys[i], int(arrived.since[i]), int(rows.clock[i] - rows.time[i])
            head = rows.heads[rows.head[i]]
            inputs = fill(head.template, rows.numbers[i].tolist())
            model, version, role = head.stream
            one = Prediction(rows.source.topic, since, lag, model, version, role, head.segments, inputs)
            known = self._known(key, arrived)
            joinable[i] = self._meet_labels(key, int(arrived.bucket[i]), one, known, outcome)
        outcome.predicted(rows, joinable)

    def add_labels(self, rows: LabelRows, outcome: Outcome) -> None:
        """Join predictions that came before. What was read already changes nothing.

        Cost: 1 us a row of an id of which the prediction alone is known, and the look-up.
        """
        rows = self._new(rows)
        arrived = self._arrived(rows, LABEL)
        facts = np.zeros(len(rows), np.int64)
        facts[arrived.columns["withdraws"]] = WITHDRAWN
        for i in self._meet_plain(rows, arrived, outcome):
            key, since, lag = arrived.keys[i], int(arrived.since[i]), int(rows.clock[i] - rows.time[i])
            place = int(rows.offset[i]), int(rows.row[i])
            one = Label(rows.source.topic, *place, since, lag, rows.models[i], rows.values[i])
            known = self._known(key, arrived)
            facts[i] = self._meet_predictions(key, int(arrived.bucket[i]), one, known, outcome)
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

    def _arrived(self, rows: PredictionRows | LabelRows, kind: Kind) -> _Arrived:
        keys = keys_of(rows.ids)
        bucket, since = np.divmod(rows.clock, self._bucket_ms)
        known, stored = self._table.look_up(keys, OTHER[kind])
        columns: dict[str, Any] = {"bucket": bucket, "clock": rows.clock, "time": rows.time}
        columns["key"] = as_objects(keys)
        if isinstance(rows, LabelRows):
            columns |= {"offset": rows.offset, "row": rows.row, "value": as_objects(rows.values)}
            columns["head"] = self._table.of_labels(rows)
            columns["withdraws"] = is_none(columns["value"])
        else:
            columns |= {"head": self._table.of_predictions(rows), "numbers": rows.numbers}
        return _Arrived(kind, keys, bucket, since, known, stored, columns)

    def _meet_plain(self, rows: Rows, arrived: _Arrived, outcome: Outcome) -> list[int]:
        """Take in what needs no rules: the first element of an id, and one that makes a pair with the only
        one before it, which is of the other kind. Returns the rows that are left, in order."""
        alone = _alone(arrived.keys)
        new = np.flatnonzero(alone & (arrived.known == UNKNOWN))
        self._table.put_first(arrived.kind, arrived.at(new))
        lone = np.flatnonzero(alone & (arrived.known >= 0))
        if len(lone):
            plain = self._is_plain(arrived, lone)
            self._pair(arrived, lone[plain], outcome)
            lone = lone[plain]
        left = np.ones(len(rows), np.bool_)
        left[new] = left[lone] = False
        return np.flatnonzero(left).tolist()

    def _is_plain(self, arrived: _Arrived, lone: Int64s) -> NDArray[np.bool_]:
        """Whether a pair is all that comes of these rows, and of the one element that is known of each id."""
        mine, other = arrived.kind, OTHER[arrived.kind]
        pool, numbers = self._table.pools[other], arrived.known[lone]
        bucket, there = arrived.bucket[lone], pool.take("bucket", numbers)
        plain = np.abs(pool.take("clock", numbers) - arrived.columns["clock"][lone]) <= self._horizon_ms
        plain &= there <= bucket if mine == LABEL else there == bucket
        heads = {mine: arrived.columns["head"][lone], other: pool.take("head", numbers)}
        models = {kind: self._table.heads[kind].models(head) for kind, head in heads.items()}
        plain &= (models[LABEL] == FOR_EVERY_MODEL) | (models[LABEL] == models[PREDICTION])
        withdraws = (
            arrived.columns["withdraws"][lone] if mine == LABEL else is_none(pool.take("value", numbers))
        )
        return np.asarray(plain & ~withdraws)

    def _pair(self, arrived: _Arrived, lone: Int64s, outcome: Outcome) -> None:
        """Join each of these rows with the one element that is known of its id."""
        mine, other = arrived.kind, OTHER[arrived.kind]
        pool, numbers = self._table.pools[other], arrived.known[lone]
        columns = arrived.at(lone)
        self._table.put_second(other, numbers, columns)
        theirs = {name: pool.take(name, numbers) for name in ("clock", "time", *_OF_OUTCOME[other])}
        of = {mine: columns, other: theirs}
        sent = of[PREDICTION]["time"]
        ones = Predictions(
            self._table.heads[PREDICTION].ones, of[PREDICTION]["head"], of[PREDICTION]["numbers"]
        )
        at, delay = np.maximum(columns["clock"], theirs["clock"]), of[LABEL]["time"] - sent
        outcome.paired(ones, sent, at, delay, of[LABEL]["value"].tolist())

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

    def _known(self, key: Key, arrived: _Arrived) -> Known:
        return Known(self._table.elements(key, arrived.stored), self._bucket_ms, self._horizon_ms)


def _alone(keys: Sequence[Key]) -> NDArray[np.bool_]:
    """Whether the id of a row is in no other row."""
    alone = np.ones(len(keys), np.bool_)
    if len(set(keys)) < len(keys):
        repeated = {key for key, n in Counter(keys).items() if n > 1}
        alone[[key in repeated for key in keys]] = False
    return alone


def _facts(one: Label, before: Label | None) -> int:
    facts = WITHDRAWN if one.value is None else 0
    if before is None:
        return facts
    if same(before.value, one.value):
        return facts | DUPLICATE
    return facts if before.value is None or one.value is None else facts | CORRECTED

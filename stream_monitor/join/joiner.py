"""The join of one partition number: elements in, in any order of their sources; out what they change.

A pair joins if the clocks of its two records differ by at most the horizon, and changes the slice of the
later of the two: so what comes never changes a slice that is over, and nothing depends on which came first.
An element is kept until nothing can join it any more; a label for as long as any prediction that it joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stream_monitor.config import Labels
from stream_monitor.events import Source
from stream_monitor.join.entries import Again, Label, Prediction, decode, encode, key_of
from stream_monitor.join.matching import Change, Known, Standing, first_label, same
from stream_monitor.join.rows import LabelRows, PredictionRows, R, Rows
from stream_monitor.join.store import Entry, Found, Key, Position, Store, bucket_ms
from stream_monitor.watermark import NEVER

DUPLICATE: Final = 1
CORRECTED: Final = 2
WITHDRAWN: Final = 4
"""What a label is to the one of its id, topic and model before it, within a horizon: added up where several
hold."""


_NONE: Final[Mapping[int, Entry]] = {}


class Outcome(Protocol):
    """Takes what elements change."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None:
        """These predictions came, and those that are ``joinable`` (n,) are kept."""

    def labeled(self, rows: LabelRows, facts: Sequence[int]) -> None:
        """These labels came; each with the sum of the facts that hold for it."""

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None:
        """A label changed what counts for a prediction of ``time``, in the slice that holds ``at``."""

    def count(self, name: str) -> None:
        """Something happened once more."""


class Nothing:
    """The outcome that nobody asks for: of elements that are read again."""

    def predicted(self, rows: PredictionRows, joinable: NDArray[np.bool_]) -> None: ...

    def labeled(self, rows: LabelRows, facts: Sequence[int]) -> None: ...

    def changed(self, one: Prediction, time: int, at: int, change: Change, delay_ms: int) -> None: ...

    def count(self, name: str) -> None: ...


class Joiner:
    """``sources`` are all that the elements of this partition number come from.

    What is new since the last write is held in an overlay: some 300 bytes a row. Any method may raise
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
        self._overlay: dict[int, dict[Key, Entry]] = {}
        self._touched: set[Key] = set()
        self.discard()

    # In

    def add_predictions(self, rows: PredictionRows, outcome: Outcome) -> None:
        """Join labels that came before. What was read already changes nothing.

        Cost: 2 us a row of a new id, and the look-up.
        """
        rows = self._new(rows)
        keys, topic = list(map(key_of, rows.ids)), rows.source.topic
        found = self._find(keys, rows)
        bucket, since = self._placed(rows)
        joinable = np.ones(len(rows), np.bool_)
        columns = (bucket, since, (rows.clock - rows.time).tolist(), rows.streams, rows.segments, rows.inputs)
        for i, (key, at, clock, lag, stream, segments, inputs) in enumerate(zip(keys, *columns, strict=True)):
            one = Prediction(topic, clock, lag, stream[0], stream[1], stream[2], segments, inputs)
            if entries := self._entries(key, found):
                joinable[i] = self._meet_labels(key, at, one, entries, outcome)
            else:
                self._put(at, key, encode((one,)))
        outcome.predicted(rows, joinable)

    def add_labels(self, rows: LabelRows, outcome: Outcome) -> None:
        """Join predictions that came before. What was read already changes nothing.

        Cost: 4 us a row, and the look-up.
        """
        rows = self._new(rows)
        keys, topic = list(map(key_of, rows.ids)), rows.source.topic
        found = self._find(keys, rows)
        bucket, since = self._placed(rows)
        columns = (rows.offset.tolist(), rows.row.tolist(), since, (rows.clock - rows.time).tolist())
        facts = []
        for key, at, offset, row, clock, lag, model, value in zip(
            keys, bucket, *columns, rows.models, rows.values, strict=True
        ):
            one = Label(topic, offset, row, clock, lag, model, value)
            entries = self._entries(key, found)
            if not entries:
                self._put(at, key, encode((one,)))
                facts.append(WITHDRAWN if value is None else 0)
            elif (lone := _lone(entries)) is None or lone[0] > at:
                facts.append(self._meet_predictions(key, at, one, entries, outcome))
            else:
                self._meet_lone(key, at, one, *lone, outcome)
                facts.append(WITHDRAWN if value is None else 0)
        outcome.labeled(rows, facts)

    def _meet_labels(
        self, key: Key, bucket: int, one: Prediction, entries: Mapping[int, Entry], outcome: Outcome
    ) -> bool:
        """Whether the prediction is kept."""
        known, start = self._known(entries), bucket * self._bucket_ms
        clock = start + one.clock
        if known.has_before(one, clock):
            known.mark(bucket, Again(one.topic, one.clock, one.model, one.version, one.role))
            outcome.count("predictions_duplicate")
            self._keep(key, known)
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
        self._keep(key, known)
        return True

    def _meet_predictions(
        self, key: Key, bucket: int, one: Label, entries: Mapping[int, Entry], outcome: Outcome
    ) -> int:
        """The facts about the label."""
        known, clock = self._known(entries), bucket * self._bucket_ms + one.clock
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
        self._keep(key, known)
        return facts

    def _meet_lone(
        self, key: Key, bucket: int, one: Label, at: int, prediction: Prediction, outcome: Outcome
    ) -> None:
        """As ``_meet_predictions``, where there is one, in no later bucket, and no label."""
        came, clock = at * self._bucket_ms + prediction.clock, bucket * self._bucket_ms + one.clock
        if abs(came - clock) <= self._horizon_ms and (one.model is None or one.model == prediction.model):
            time = came - prediction.lag
            change = first_label(one.value)
            outcome.changed(prediction, time, max(came, clock), change, clock - one.lag - time)
        self._put(bucket, key, encode((prediction, one) if at == bucket else (one,)))

    # Between two writes

    def written(self, positions: Mapping[Source, Position]) -> None:
        """What was added is committed, and its sources stand there: write it, and forget what expired."""
        self._store.write(self._overlay, positions)
        self.positions.update(positions)
        self.discard()
        if len(self.positions.keys() & self._sources) == len(self._sources):
            self.expire(min(self.positions[source].time for source in self._sources))

    def discard(self) -> None:
        """Forget what was not written."""
        self._overlay = {}
        self._touched = set()
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

    def _placed(self, rows: Rows) -> tuple[list[int], list[int]]:
        """The bucket of each row, and its clock from the start of the bucket."""
        bucket, since = np.divmod(rows.clock, self._bucket_ms)
        return bucket.tolist(), since.tolist()

    def _find(self, keys: Sequence[Key], rows: Rows) -> Found:
        """The entries in the store of all that can meet these rows."""
        if not keys:
            return {}
        first, last = int(rows.clock.min()) - self._horizon_ms, int(rows.clock.max()) + self._horizon_ms
        return self._store.get(keys, first // self._bucket_ms, last // self._bucket_ms)

    def _entries(self, key: Key, found: Found) -> Mapping[int, Entry]:
        """What is known of an id, by bucket: the overlay comes before the store."""
        if key not in self._touched:
            return found.get(key, _NONE)
        entries = dict(found.get(key, _NONE))
        for bucket, overlaid in self._overlay.items():
            entry = overlaid.get(key)
            if entry is not None:
                entries[bucket] = entry
        return entries

    def _known(self, entries: Mapping[int, Entry]) -> Known:
        return Known(entries, self._bucket_ms, self._horizon_ms)

    def _keep(self, key: Key, known: Known) -> None:
        for bucket in known.changed:
            self._put(bucket, key, known.entry(bucket))

    def _put(self, bucket: int, key: Key, entry: Entry) -> None:
        self._overlay.setdefault(bucket, {})[key] = entry
        self._touched.add(key)


def _lone(entries: Mapping[int, Entry]) -> tuple[int, Prediction] | None:
    """The prediction that is all that is known of an id, and its bucket: so it mostly is."""
    if len(entries) > 1:
        return None
    ((bucket, entry),) = entries.items()
    elements = decode(entry)
    one = elements[0]
    return (bucket, one) if len(elements) == 1 and isinstance(one, Prediction) else None


def _facts(one: Label, before: Label | None) -> int:
    facts = WITHDRAWN if one.value is None else 0
    if before is None:
        return facts
    if same(before.value, one.value):
        return facts | DUPLICATE
    return facts if before.value is None or one.value is None else facts | CORRECTED

"""The rules of the join for one id, over the set of its elements. No rule asks which element came first.

All clocks here are in epoch ms. An id's elements are told apart by their places: predictions by stream and
clock, labels by topic, offset and row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from stream_monitor.join.entries import Again, Element, Elements, Label, Prediction

ELEMENTS_MAX = 256
"""So many predictions, and so many labels, of one id, topic and bucket are kept."""


Kind = Literal[
    "pairs",
    "pairs_again",
    "corrections",
    "withdrawals",
    "labels_duplicate",
    "labels_ignored",
    "labels_withdrawn_without_label",
]
"""What a label is to a prediction: its first, one after others were withdrawn, ..."""


class Change(NamedTuple):
    """What a label changes for a prediction: a value no longer counts, another one does (None: none)."""

    kind: Kind
    gone: Any = None
    come: Any = None


_NOTHING = Change("labels_withdrawn_without_label")


def first_label(value: Any) -> Change:
    """What the first label of a prediction changes."""
    return _NOTHING if value is None else Change("pairs", None, value)


@dataclass(slots=True)
class Standing:
    """What the labels of one topic have made of one prediction so far."""

    keep_first: bool
    value: Any = None
    was_labeled: bool = False

    def take(self, value: Any) -> Change:
        """The next label in order; None takes back."""
        before = self.value
        if value is None:
            self.value = None
            return _NOTHING if before is None else Change("withdrawals", before)
        if before is None:
            kind: Kind = "pairs_again" if self.was_labeled else "pairs"
            self.value, self.was_labeled = value, True
            return Change(kind, None, value)
        if same(before, value):
            return Change("labels_duplicate")
        if self.keep_first:
            return Change("labels_ignored")
        self.value = value
        return Change("corrections", before, value)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0, and not true.

    >>> same(1, 1.0), same(1, True), same({"a": 1}, {"a": True})
    (True, False, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


class Known:
    """What is known of one id: its ``elements`` of each bucket. Changed buckets are in ``changed``."""

    __slots__ = ("_bucket_ms", "_buckets", "_horizon_ms", "changed")

    def __init__(self, elements: Mapping[int, Elements], bucket_ms: int, horizon_ms: int) -> None:
        self._bucket_ms = bucket_ms
        self._horizon_ms = horizon_ms
        self._buckets: dict[int, list[Element]] = {bucket: list(here) for bucket, here in elements.items()}
        self.changed: set[int] = set()

    @property
    def elements(self) -> dict[int, Elements]:
        return {bucket: tuple(here) for bucket, here in self._buckets.items()}

    def is_full(self, bucket: int, one: Prediction | Label) -> bool:
        """Whether there are too many of its kind and topic in a bucket to put one more."""
        elements = self._buckets.get(bucket, ())
        if len(elements) < ELEMENTS_MAX:
            return False
        kind, topic = type(one), one.topic
        alike = (other for other in elements if isinstance(other, kind) and other.topic == topic)
        return sum(other.clock >= 0 for other in alike) >= ELEMENTS_MAX

    def put(self, bucket: int, one: Element) -> None:
        self._buckets.setdefault(bucket, []).append(one)
        self.changed.add(bucket)

    # A prediction comes

    def has_before(self, one: Prediction, clock: int) -> bool:
        """Whether one of its stream came within a horizon before ``clock``, its own."""
        for start, element in self._all():
            if (
                not isinstance(element, Label)
                and clock - start - element.clock <= self._horizon_ms
                and element.topic == one.topic
                and element.model == one.model
                and element.version == one.version
                and element.role == one.role
            ):
                return True
        return False

    def mark(self, bucket: int, again: Again) -> None:
        """Remember only the last of those that came again."""
        stream = again.topic, again.model, again.version, again.role
        self._buckets[bucket] = [
            one
            for one in self._buckets.get(bucket, ())
            if not isinstance(one, Again) or (one.topic, one.model, one.version, one.role) != stream
        ]
        self.put(bucket, again)

    def labels_of(self, one: Prediction, clock: int, topic: str | None = None) -> list[tuple[int, Label]]:
        """The labels (of one topic) that join a prediction, with their clocks; by topic, in order."""
        found = {
            (element.topic, element.offset, element.row): (start + element.clock, element)
            for start, element in self._all()
            if isinstance(element, Label)
            and (topic is None or element.topic == topic)
            and (element.model is None or element.model == one.model)
            and abs(start + element.clock - clock) <= self._horizon_ms
        }
        return [found[place] for place in sorted(found)]

    def keep_with(self, bucket: int, clock: int, one: Label) -> None:
        """Keep a label, whose own bucket is an earlier one, in this one too."""
        elements = self._buckets[bucket]
        place = one.topic, one.offset, one.row
        for other in elements:
            if isinstance(other, Label) and (other.topic, other.offset, other.row) == place:
                return
        since = clock - bucket * self._bucket_ms
        elements.append(Label(one.topic, one.offset, one.row, since, one.lag, one.model, one.value))
        self.changed.add(bucket)

    # A label comes

    def predictions_of(self, one: Label, clock: int) -> list[tuple[int, int, Prediction]]:
        """The predictions that a label joins, with their buckets and clocks."""
        return [
            (start // self._bucket_ms, start + element.clock, element)
            for start, element in self._all()
            if isinstance(element, Prediction)
            and (one.model is None or one.model == element.model)
            and abs(start + element.clock - clock) <= self._horizon_ms
        ]

    def label_before(self, one: Label, clock: int) -> Label | None:
        """The last label of its topic and model, within a horizon."""
        last: Label | None = None
        for start, element in self._all():
            if (
                isinstance(element, Label)
                and element.topic == one.topic
                and element.model == one.model
                and clock - start - element.clock <= self._horizon_ms
                and (last is None or (element.offset, element.row) > (last.offset, last.row))
            ):
                last = element
        return last

    def _all(self) -> Iterator[tuple[int, Element]]:
        for bucket, elements in self._buckets.items():
            start = bucket * self._bucket_ms
            for element in elements:
                yield start, element

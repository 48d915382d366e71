"""What is known of ids without asking the store: what was put since the last write, and some of it after.

Most labels come soon after their predictions, or the other way round. What is here is all that is known of
an id, in all buckets, and what is not here is asked of the store: so no answer depends on what is here.

Of an id a number is held that says where the rest is: its one element in a pool, two that made a pair, or
any others, which are objects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np

from stream_monitor.events import Int64s, Source
from stream_monitor.join import encoding, pool
from stream_monitor.join.entries import Element, Elements, decode, encode
from stream_monitor.join.pool import Pool
from stream_monitor.join.rows import Head, LabelRows, PredictionRows
from stream_monitor.join.store import Entry, Found, Key, Position, Store

RECENT_MAX = 200_000
"""Ids that wait in memory for what joins them, of all partitions of a process; some 300 bytes each."""
HEADS_MAX = 50_000
"""So many of either kind are known at a time, and those of what came since the last write."""
_GAPS_MIN = 4_096

Kind = int
PREDICTION: Final = 0
LABEL: Final = 1
_PAIR: Final = 2
_MORE: Final = 3
UNKNOWN: Final = -1
ODD: Final = -2
"""Something that is not one element alone."""


FOR_EVERY_MODEL: Final = -1
"""In place of a model's number: what a label has that is for all of them."""

T = TypeVar("T")


class Heads(Generic[T]):
    """What rows have in common, by number; and a number for the model that it has."""

    def __init__(self, models: dict[str | None, int], model_of: Callable[[T], str | None]) -> None:
        self.ones: list[T] = []
        self._codes: dict[T, int] = {}
        self._models = models
        self._model = model_of
        self._model_of: list[int] = []

    def code(self, one: T) -> int:
        found = self._codes.get(one)
        if found is None:
            found = self._codes[one] = len(self.ones)
            self.ones.append(one)
            self._model_of.append(self._models.setdefault(self._model(one), len(self._models)))
        return found

    def models(self, codes: Int64s) -> Int64s:
        """The numbers of the models of these; FOR_EVERY_MODEL of none."""
        return np.array(self._model_of, np.int64)[codes]


class Pairs(NamedTuple):
    """Ids with two elements: the numbers of the first, of a kind, and of the second."""

    keys: Sequence[Key]
    kind: Kind
    firsts: Int64s
    seconds: Int64s


class Table:
    """Of one store. Memory: some 300 bytes a row since the last write, and of what ``trim`` leaves."""

    def __init__(self, store: Store, bucket_ms: int) -> None:
        self._store = store
        self._bucket_ms = bucket_ms
        self.pools = Pool(pool.OfPredictions), Pool(pool.OfLabels)
        self._known: dict[Key, int] = {}
        self._pairs: list[Pairs] = []
        self._pair_starts: list[int] = []
        self._paired = 0
        self._more: list[Mapping[int, Elements]] = []
        self._more_keys: list[Key] = []
        self._puts: defaultdict[int, dict[Key, Elements]] = defaultdict(dict)
        self._begin_heads()

    # Heads

    def of_predictions(self, rows: PredictionRows) -> Int64s:
        """The head of each row, with its topic."""
        topic = rows.source.topic
        return self._codes(PREDICTION, [(topic, one) for one in rows.heads])[rows.head]

    def of_labels(self, rows: LabelRows) -> Int64s:
        """The topic and model of each row."""
        topic = rows.source.topic
        known = {one: self.heads[LABEL].code((topic, one)) for one in set(rows.models)}
        if len(known) == 1:
            return np.full(len(rows), next(iter(known.values())), np.int64)
        return np.fromiter(map(known.__getitem__, rows.models), np.int64, len(rows))

    def _begin_heads(self) -> None:
        models: dict[str | None, int] = {None: FOR_EVERY_MODEL}
        self.heads: tuple[Heads[tuple[str, Head]], Heads[tuple[str, str | None]]] = (
            Heads(models, lambda one: one[1].model),
            Heads(models, lambda one: one[1]),
        )
        self._pieces: tuple[list[encoding.Pieces], list[encoding.Pieces]] = [], []

    def _renew_heads(self) -> None:
        """Those that rows have: whoever took numbers of the others has them still."""
        before = self.heads
        self._begin_heads()
        for kind, of in enumerate(self.pools):
            old: Heads[Any] = before[kind]
            new: Heads[Any] = self.heads[kind]
            used, at = np.unique(of["head"], return_inverse=True)
            codes = [new.code(old.ones[head]) for head in used.tolist()]
            of["head"][:] = np.array(codes, np.int64)[at]

    # What is known

    def look_up(self, keys: Sequence[Key], likely: Kind) -> tuple[Int64s, Found]:
        """Of each what is known: UNKNOWN, ODD, or the number of its one element, which is ``likely``, in the
        pool of that kind. And what the store had. Cost: 0.1 us where it is here, else that of the store."""
        found = np.fromiter(map(self._known.get, keys, repeat(UNKNOWN)), np.int64, len(keys))
        missing = np.flatnonzero(found == UNKNOWN)
        stored: Found = {}
        if len(missing):
            asked = keys if len(missing) == len(keys) else [keys[i] for i in missing.tolist()]
            stored = self._store.get(asked)
            if stored:
                numbers = self._taken_in(stored, likely)
                found[missing] = [numbers.get(key, UNKNOWN) for key in asked]
        return np.where(found < 0, found, np.where(found & 3 == likely, found >> 2, ODD)), stored

    def _taken_in(self, stored: Found, likely: Kind) -> dict[Key, int]:
        """Those of which there is one element alone that is ``likely``, as rows of its pool."""
        found = [
            (key, *one) for key, entries in stored.items() if len(entries) == 1 for one in entries.items()
        ]
        numbers = dict.fromkeys(stored, ODD)
        keys, buckets, entries = zip(*found, strict=True) if found else ((), (), ())
        lone = (encoding.lone_predictions, encoding.lone_labels)[likely](entries)
        n = len(lone.at)
        if n:
            bucket = np.array(buckets, np.int64)[lone.at]
            *places, since, lag = lone.integers
            clock = bucket * self._bucket_ms + since
            chosen = [keys[at] for at in lone.at]
            columns = {"key": chosen, "waits": False, "new": False, "bucket": bucket, "clock": clock}
            columns |= {"time": clock - lag, "head": self._codes(likely, lone.heads)[lone.head]}
            if likely == LABEL:
                columns |= {"offset": places[0], "row": places[1], "value": pool.as_objects(lone.values)}
            else:
                columns |= {"numbers": lone.numbers}
            first = self.pools[likely].add(n, columns)
            numbers.update(zip(chosen, range(first << 2 | likely, first + n << 2 | likely, 4), strict=True))
        return numbers

    def _codes(self, kind: Kind, heads: Sequence[tuple[str, Any]]) -> Int64s:
        return np.array(list(map(self.heads[kind].code, heads)), np.int64)

    def elements(self, key: Key, stored: Found) -> Mapping[int, Elements]:
        """All elements of an id, by bucket; ``stored`` has those of which nothing is here."""
        found = self._known.get(key)
        if found is None:
            return {bucket: decode(entry) for bucket, entry in stored.get(key, {}).items()}
        number, kind = divmod(found, 4)
        if kind == _MORE:
            return self._more[number]
        if kind != _PAIR:
            (one,) = self._made(kind, np.array([number]))
            return {int(self.pools[kind]["bucket"][number]): (one,)}
        at = bisect_right(self._pair_starts, number) - 1
        pairs, row = (
            self._pairs[at],
            slice(number - self._pair_starts[at], number - self._pair_starts[at] + 1),
        )
        elements: dict[int, Elements] = {}
        for of, numbers in ((pairs.kind, pairs.firsts[row]), (1 - pairs.kind, pairs.seconds[row])):
            bucket = int(self.pools[of]["bucket"][numbers[0]])
            elements[bucket] = (*elements.get(bucket, ()), *self._made(of, numbers))
        return elements

    def _made(self, kind: Kind, numbers: Int64s) -> Sequence[Element]:
        if kind == PREDICTION:
            heads = self.heads[PREDICTION].ones
            return pool.predictions_of(self.pools[kind], heads, numbers, self._bucket_ms)
        return pool.labels_of(self.pools[kind], self.heads[LABEL].ones, numbers, self._bucket_ms)

    # What comes

    def put_first(self, kind: Kind, columns: Mapping[str, Any]) -> None:
        """Put the only element of ids. Cost: 0.2 us an id."""
        keys = columns["key"]
        first = self.pools[kind].add(len(keys), {**columns, "waits": True, "new": True})
        self._known.update(zip(keys, range(first << 2 | kind, first + len(keys) << 2 | kind, 4), strict=True))

    def put_second(self, kind: Kind, firsts: Int64s, columns: Mapping[str, Any]) -> None:
        """Put the second element of ids; of a kind are the first ones, which have these numbers. Cost: 0.2 us
        an id."""
        keys, n = columns["key"], len(firsts)
        second = self.pools[1 - kind].add(n, {**columns, "waits": False, "new": True})
        self.pools[kind]["waits"][firsts] = False
        self._pairs.append(Pairs(keys, kind, firsts, np.arange(second, second + n)))
        self._pair_starts.append(self._paired)
        first, self._paired = self._paired, self._paired + n
        self._known.update(zip(keys, range(first << 2 | _PAIR, first + n << 2 | _PAIR, 4), strict=True))

    def put(self, key: Key, elements: Mapping[int, Elements], changed: Iterable[int]) -> None:
        """Put what changed of an id, of which these are all elements."""
        found = self._known.get(key)
        if found is not None:
            number, kind = divmod(found, 4)
            if kind in {PREDICTION, LABEL}:
                self.pools[kind]["waits"][number] = False
            if kind == _PAIR or (kind != _MORE and self.pools[kind]["new"][number]):
                # What was not written yet is not asked of a pool any more.
                changed = elements
        if found is None or found & 3 != _MORE:
            self._known[key] = len(self._more) << 2 | _MORE
            self._more.append(elements)
            self._more_keys.append(key)
        else:
            self._more[found >> 2] = elements
        for bucket in changed:
            self._puts[bucket][key] = elements[bucket]

    # Between two writes

    def write(self, positions: Mapping[Source, Position]) -> None:
        """Write what was put, and where its sources stand."""
        self._store.write(self._encoded(), positions)
        for pairs in self._pairs:
            deque(map(self._known.pop, pairs.keys, repeat(None)), maxlen=0)
        deque(map(self._known.pop, self._more_keys, repeat(None)), maxlen=0)
        for each in self.pools:
            each["new"][:] = False
        self._forget_seconds()

    def _forget_seconds(self) -> None:
        self._pairs.clear()
        self._pair_starts.clear()
        self._paired = 0
        self._more.clear()
        self._more_keys.clear()
        self._puts.clear()

    def _encoded(self) -> dict[int, dict[Key, Entry]]:
        encoded: defaultdict[int, dict[Key, Entry]] = defaultdict(dict)
        for kind, each in enumerate(self.pools):
            self._encode_alone(kind, np.flatnonzero(each["new"] & each["waits"]), encoded)
        for pairs in self._pairs:
            of_first, of_second = self.pools[pairs.kind], self.pools[1 - pairs.kind]
            together = of_first.take("bucket", pairs.firsts) == of_second.take("bucket", pairs.seconds)
            self._encode_pairs(pairs, np.flatnonzero(together), encoded)
            apart = np.flatnonzero(~together)
            if len(apart):
                firsts = pairs.firsts[apart]
                self._encode_alone(pairs.kind, firsts[of_first.take("new", firsts)], encoded)
                self._encode_alone(1 - pairs.kind, pairs.seconds[apart], encoded)
        for bucket, here in self._puts.items():
            encoded[bucket].update(zip(here, map(encode, here.values()), strict=True))
        return encoded

    def _encode_alone(self, kind: Kind, numbers: Int64s, encoded: defaultdict[int, dict[Key, Entry]]) -> None:
        of = self.pools[kind]
        for bucket, here in _by_bucket(of.take("bucket", numbers)):
            entries = encoding.encoded(len(here), [self._part(kind, numbers[here])])
            encoded[bucket].update(zip(of.take("key", numbers[here]).tolist(), entries, strict=True))

    def _encode_pairs(self, pairs: Pairs, rows: Int64s, encoded: defaultdict[int, dict[Key, Entry]]) -> None:
        firsts, seconds = pairs.firsts[rows], pairs.seconds[rows]
        of = self.pools[1 - pairs.kind]
        for bucket, here in _by_bucket(of.take("bucket", seconds)):
            both = [self._part(pairs.kind, firsts[here]), self._part(1 - pairs.kind, seconds[here])]
            entries = encoding.encoded(len(here), both)
            encoded[bucket].update(zip(of.take("key", seconds[here]).tolist(), entries, strict=True))

    def _part(self, kind: Kind, numbers: Int64s) -> encoding.Part:
        """Rows as elements of their buckets."""
        of = self.pools[kind]
        clock, head = of.take("clock", numbers), of.take("head", numbers)
        since, lag = clock - of.take("bucket", numbers) * self._bucket_ms, clock - of.take("time", numbers)
        pieces = self._pieces_of(kind)
        if kind == PREDICTION:
            return encoding.Part(pieces, head, (since, lag), of.take("numbers", numbers))
        places, tails = (of.take(name, numbers) for name in ("offset", "row")), of.take("value", numbers)
        none = np.empty((len(numbers), 0))
        return encoding.Part(pieces, head, (*places, since, lag), none, encoding.tails_of(tails.tolist()))

    def _pieces_of(self, kind: Kind) -> list[encoding.Pieces]:
        """Of all heads."""
        pieces, heads = self._pieces[kind], self.heads[kind].ones
        make = (encoding.of_prediction, encoding.of_label)[kind]
        pieces += [make(*one) for one in heads[len(pieces) :]]
        return pieces

    def trim(self, most: int) -> None:
        """Leave ``most`` ids: of what waits, predictions or labels, those of which there are fewer, and of
        each those that came last. Only between a write and what is put next."""
        left = most
        waiting = [np.flatnonzero(each["waits"]) for each in self.pools]
        for place, kind in enumerate(sorted((PREDICTION, LABEL), key=lambda kind: len(waiting[kind]))):
            mine, of = waiting[kind], self.pools[kind]
            share = left // (len(waiting) - place)
            gone = mine[: max(0, len(mine) - share)]
            of["waits"][gone] = False
            deque(map(self._known.pop, of.take("key", gone).tolist()), maxlen=0)
            waiting[kind] = mine[len(gone) :]
            left -= len(waiting[kind])
        self._close_gaps(waiting)

    def _close_gaps(self, waiting: Sequence[Int64s]) -> None:
        for kind, (of, numbers) in enumerate(zip(self.pools, waiting, strict=True)):
            if len(of) > 2 * len(numbers) + _GAPS_MIN:
                of.keep(numbers)
                codes = range(kind, len(numbers) << 2 | kind, 4)
                self._known.update(zip(of["key"].tolist(), codes, strict=True))
        if max(len(heads.ones) for heads in self.heads) > HEADS_MAX:
            self._renew_heads()

    def discard(self) -> None:
        """Forget what was not written."""
        self._known.clear()
        for each in self.pools:
            each.clear()
        self._forget_seconds()


def _by_bucket(bucket: Int64s) -> list[tuple[int, Int64s]]:
    return [(one, np.flatnonzero(bucket == one)) for one in np.unique(bucket).tolist()]

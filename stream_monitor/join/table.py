"""What is known of ids without asking the store: what was put since the last write, and some of it after.

Most labels come soon after their predictions, or the other way round. What is here is all that is known of
an id, in all buckets, and what is not here is asked of the store: so no answer depends on what is here.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, repeat

from stream_monitor.events import Source
from stream_monitor.join.entries import Element, Elements, Label, Prediction, decode, encode
from stream_monitor.join.store import Entry, Key, Position, Store

RECENT_MAX = 200_000
"""Ids that wait in memory for what joins them, of all partitions of a process; some 600 bytes each."""

Lone = tuple[int, Element]
"""The one element of an id, and the bucket that it is in."""
Held = tuple[int, Element | Elements] | Mapping[int, Elements]
"""All elements of an id: the only one, those of the one bucket where they are, or those of each bucket."""


class Table:
    """Of one store. Memory: some 600 bytes a row since the last write, and of what ``trim`` leaves."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lone: dict[type[Element], dict[Key, Held]] = {Prediction: {}, Label: {}}
        self._more: dict[Key, Held] = {}
        """What is known of an id until it is written: most likely nothing more comes of it."""
        self._puts: defaultdict[int, dict[Key, Elements]] = defaultdict(dict)

    def held(self, keys: Sequence[Key], likely: type[Element]) -> list[Held | None]:
        """What is known of each, which is ``likely`` to be one of those. Cost: 0.1 us where it is here, else
        that of the store."""
        held: list[Held | None] = list(map(self._lone[likely].get, keys))
        others = [known for kind, known in self._lone.items() if kind is not likely]
        for known in (*others, self._more, None):
            missing = held.count(None)
            if not missing:
                break
            asked = keys
            if missing < len(keys):
                asked = [key for key, one in zip(keys, held, strict=True) if one is None]
            found = self._stored(asked) if known is None else known
            if found and not found.keys().isdisjoint(asked):
                held = [found.get(key) if one is None else one for key, one in zip(keys, held, strict=True)]
        return held

    def _stored(self, keys: Sequence[Key]) -> Mapping[Key, Held]:
        return {key: _decoded(entries) for key, entries in self._store.get(keys).items()}

    def elements(self, key: Key, held: Held | None) -> Mapping[int, Elements]:
        """All elements of an id, by bucket; ``held`` where none of them is here."""
        for here in (self._more, *self._lone.values()):
            held = here.get(key, held)
        if held is None:
            return {}
        if not isinstance(held, tuple):
            return held
        bucket, known = held
        return {bucket: known if isinstance(known, tuple) else (known,)}

    def put_first(self, keys: Sequence[Key], buckets: Sequence[int], ones: Sequence[Element]) -> None:
        """Put the only element of ids, all of one kind. Cost: 0.2 us an id."""
        if keys:
            self._lone[type(ones[0])].update(zip(keys, zip(buckets, ones, strict=True), strict=True))
            self._put_whole(keys, buckets, zip(ones, strict=True))

    def put_second(
        self,
        keys: Sequence[Key],
        there: Sequence[int],
        firsts: Sequence[Element],
        buckets: Sequence[int],
        seconds: Sequence[Element],
    ) -> None:
        """Put the second element of ids, with the first in the bucket where that is. Cost: 0.3 us an id in
        one bucket, 0.6 us in two."""
        self._forget(keys)
        if there == buckets:
            pairs = list(zip(firsts, seconds, strict=True))
            self._more.update(zip(keys, zip(buckets, pairs, strict=True), strict=True))
            self._put_whole(keys, buckets, pairs)
            return
        for key, before, first, bucket, second in zip(keys, there, firsts, buckets, seconds, strict=True):
            if before == bucket:
                pair = first, second
                self._more[key], self._puts[bucket][key] = (bucket, pair), pair
            else:
                self._puts[bucket][key] = (second,)
                self._more[key] = {before: (first,), bucket: (second,)}

    def put(self, key: Key, elements: Mapping[int, Elements], changed: Iterable[int]) -> None:
        """Put what changed of an id, of which these are all elements."""
        self._forget((key,))
        self._more[key] = elements
        for bucket in changed:
            self._puts[bucket][key] = elements[bucket]

    def _put_whole(self, keys: Sequence[Key], buckets: Sequence[int], elements: Iterable[Elements]) -> None:
        distinct = set(buckets)
        if len(distinct) == 1:
            self._puts[distinct.pop()].update(zip(keys, elements, strict=True))
            return
        for key, bucket, one in zip(keys, buckets, elements, strict=True):
            self._puts[bucket][key] = one

    def _forget(self, keys: Sequence[Key]) -> None:
        for lone in self._lone.values():
            if not lone.keys().isdisjoint(keys):
                deque(map(lone.pop, keys, repeat(None)), maxlen=0)

    def write(self, positions: Mapping[Source, Position]) -> None:
        """Write what was put, and where its sources stand."""
        puts = {
            bucket: dict(zip(here, map(encode, here.values()), strict=True))
            for bucket, here in self._puts.items()
        }
        self._store.write(puts, positions)
        self._puts.clear()
        self._more.clear()

    def trim(self, most: int) -> None:
        """Leave ``most`` ids: of what waits, predictions or labels, those of which there are fewer, and of
        each those that came last. Only between a write and what is put next."""
        left = most
        for place, lone in enumerate(sorted(self._lone.values(), key=len)):
            share = left // (len(self._lone) - place)
            for key in list(islice(lone, max(0, len(lone) - share))):
                del lone[key]
            left -= len(lone)

    def discard(self) -> None:
        """Forget what was not written."""
        for known in (*self._lone.values(), self._more):
            known.clear()
        self._puts.clear()


def _decoded(entries: Mapping[int, Entry]) -> Held:
    if len(entries) > 1:
        return {bucket: decode(entry) for bucket, entry in entries.items()}
    ((bucket, entry),) = entries.items()
    elements = decode(entry)
    return bucket, elements if len(elements) > 1 else elements[0]

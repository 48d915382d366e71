"""The stores of a join worker: opened with their partitions, brought up to date, written after each commit.

A store is judged by its positions. One that stands where its partition is committed is used; one that is
behind is caught up; any other is made anew. Meanwhile its partition is neither read nor reported.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from stream_monitor.events import Source
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import Found, Key, Position, Puts, Store, StoreDamagedError
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import failpoints
from stream_monitor.runtime.catching_up import CatchingUp, LogGoneError, position_at
from stream_monitor.runtime.inputs import Inputs
from stream_monitor.runtime.positions import Owned
from stream_monitor.runtime.store import StoreInUseError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

LOOK_S = 1.0


class Folder(Protocol):
    """Where stores are kept, by partition number."""

    def open(self, partition: int) -> Store:
        """The store as it was left, or an empty one. StoreDamagedError."""

    def remove(self, partition: int) -> None:
        """Delete it, whatever state it is in. It is not open."""


class Opened:
    """A store that remembers whether it was found damaged."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.damage: str | None = None

    def get(self, keys: Sequence[Key]) -> Found:
        return self._noted(lambda: self._store.get(keys))

    def write(self, puts: Puts, positions: Mapping[Source, Position]) -> None:
        self._noted(lambda: self._store.write(puts, positions))

    def positions(self) -> dict[Source, Position]:
        return self._noted(self._store.positions)

    def drop_before(self, bucket: int) -> int:
        return self._noted(lambda: self._store.drop_before(bucket))

    def close(self) -> None:
        self._store.close()

    def _noted(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except StoreDamagedError as error:
            self.damage = str(error)
            raise


def unfit(positions: Mapping[Source, Position], owned: Sequence[Owned]) -> str | None:
    """Why a store that stands at ``positions`` cannot go on to where its sources are committed.

    A store is written after the commit that it follows, so it is behind by what was committed last, at most.
    """
    if not positions:
        return "empty"
    if set(positions) != {one.source for one in owned}:
        return f"made of {', '.join(f'{topic}/{number}' for topic, number in sorted(positions))}"
    for one in owned:
        stands = positions[one.source]
        name = f"{one.source.topic}/{one.source.partition}"
        if stands.topic_id != one.topic_id:
            return f"{name} had the topic id {stands.topic_id}, and has {one.topic_id}"
        if stands.next > one.next:
            return f"{name} is committed at {one.next}, and the store stands at {stands.next}"
        if stands.next == one.next and stands.clock != one.clock.known_event:
            return f"{name} has the clock {one.clock.known_event} there, and the store {stands.clock}"
    return None


class JoinStores:
    """Memory: what the open stores take, and that of a CatchingUp at a time."""

    in_step = True

    def __init__(
        self,
        inputs: Inputs,
        joins: Joins,
        folder: Folder,
        catching_up: Callable[[Sequence[Owned], Mapping[Source, Position]], CatchingUp],
        metrics: Metrics,
    ) -> None:
        self._inputs = inputs
        self._joins = joins
        self._folder = folder
        self._catching_up = catching_up
        self._metrics = metrics
        self._stores: dict[int, Opened] = {}
        self._behind: dict[int, CatchingUp] = {}
        self._in_use: set[int] = set()
        self._next_look_s = 0.0
        self._problems: dict[int, str] = {}
        self._counted: Counter[str] = Counter()

    @property
    def problem(self) -> str | None:
        for one in self._behind.values():
            return f"rebuilding partition {one.partition}: {100 * one.share:.0f} %"
        return next(iter(self._problems.values()), None)

    @property
    def busy(self) -> bool:
        return bool(self._behind)

    # Where partitions stand

    def located(self) -> None:
        self._stop()
        self._problems.clear()
        self._in_use.clear()
        for partition, owned in self._partitions().items():
            missing = set(self._inputs.topics.all) - {one.source.topic for one in owned}
            halted = [one.source.topic for one in owned if one.halted]
            if missing or halted:
                why = f"{', '.join(sorted(missing or halted))} is not read here"
                self._problems[partition] = f"partition {partition}: not joined, since {why}"
                self._inputs.hold(one.source for one in owned)
            else:
                self._locate(partition, owned)
        self._show()

    def _partitions(self) -> dict[int, list[Owned]]:
        by_number: dict[int, list[Owned]] = defaultdict(list)
        for source, owned in sorted(self._inputs.owned.items()):
            by_number[source.partition].append(owned)
        return by_number

    def _locate(self, partition: int, owned: Sequence[Owned]) -> None:
        positions, why = self._look(partition, owned)
        if why is None and all(positions[one.source].next == one.next for one in owned):
            if owned[0].held:
                self._inputs.release(one.source for one in owned)
            return
        if not owned[0].held:
            self._inputs.hold(one.source for one in owned)
        if partition in self._in_use:
            return
        if why is None:
            self._behind[partition] = self._catching_up(owned, positions)
        else:
            self._make_anew(partition, owned, why)

    def _look(self, partition: int, owned: Sequence[Owned]) -> tuple[dict[Source, Position], str | None]:
        """Where the store of a partition stands, and why it is of no use."""
        store = self._stores.get(partition)
        if store is not None and store.damage is not None:
            return {}, store.damage
        try:
            if store is None:
                store = self._open(partition)
            positions = store.positions()
        except StoreInUseError as error:
            # Of a worker on this host that does not know yet that it has lost the partition.
            self._in_use.add(partition)
            self._problems[partition] = str(error)
            return {}, str(error)
        except StoreDamagedError as error:
            return {}, str(error)
        return positions, unfit(positions, owned)

    def _open(self, partition: int) -> Opened:
        store = Opened(self._folder.open(partition))
        try:
            self._joins.open(partition, store)
        except StoreDamagedError:
            store.close()
            raise
        self._stores[partition] = store
        return store

    def _make_anew(self, partition: int, owned: Sequence[Owned], why: str) -> None:
        is_first = all(one.is_new for one in owned)
        log.log(
            logging.INFO if is_first else logging.WARNING,
            "store made anew",
            extra={"partition": partition, "why": why},
        )
        self._close(partition)
        self._folder.remove(partition)
        self._open(partition)
        self._behind[partition] = self._catching_up(owned, {})

    # Up to date

    def step(self) -> None:
        """The one with the least to read comes first: most are behind by a commit, and few by a horizon."""
        self._look_again()
        if not self._behind:
            return
        catching_up = min(self._behind.values(), key=lambda one: one.left)
        partition = catching_up.partition
        try:
            is_done = catching_up.step()
        except (LogGoneError, StoreDamagedError) as error:
            catching_up.close()
            self._make_anew(partition, self._partitions()[partition], str(error))
            return
        if is_done:
            del self._behind[partition]
            self._inputs.release(one.source for one in self._partitions()[partition])
        self._show()

    def _look_again(self) -> None:
        if not self._in_use or time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + LOOK_S
        owned = self._partitions()
        for partition in list(self._in_use):
            self._in_use.discard(partition)
            self._problems.pop(partition, None)
            self._locate(partition, owned[partition])

    def _stop(self) -> None:
        for partition, one in self._behind.items():
            one.close()
            # What it has read and not written goes with the store; this is opened again where it stood.
            self._close(partition)
        self._behind.clear()

    def _show(self) -> None:
        self._metrics.rebuilding_partitions.set(len(self._behind))

    # What is committed

    def committed(self, news: Iterable[Owned]) -> None:
        started_s = time.monotonic()
        failpoints.hit("join.before_store")
        self._joins.committed({one.source: position_at(one.topic_id, one.next, one.clock) for one in news})
        failpoints.hit("join.after_store")
        self._metrics.store_seconds.observe(time.monotonic() - started_s)
        new = self._joins.counters - self._counted
        self._counted = self._joins.counters.copy()
        for outcome, count in new.items():
            self._metrics.joined_rows.labels(outcome).inc(count)

    def forget(self) -> None:
        owned = self._partitions()
        for partition in [one for one in self._behind if one not in owned]:
            self._behind.pop(partition).close()
        for partition in [one for one in self._stores if one not in owned]:
            self._close(partition)
        self._in_use &= owned.keys()
        self._problems = {one: why for one, why in self._problems.items() if one in owned}
        self._show()

    def _close(self, partition: int) -> None:
        if self._stores.pop(partition, None) is not None:
            self._joins.close(partition)

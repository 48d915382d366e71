"""What consumed messages say of themselves: what a live worker and one that reads again ask alike.

A message is an object, and a thousand come at a time: whatever is asked of all of them is asked in one pass
that runs no Python code a message, by the compiled kernel where it is installed. The kernel halves what a
message costs beyond its bytes; the same questions in Python are its oracle in the tests.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Self

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from stream_monitor import native as kernel
from stream_monitor.events import Int64s, Source

_TIME = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Consumed:
    """n messages, none of which holds an error; ``timestamp`` is Kafka's, in ms."""

    messages: list[Message]
    partition: Int64s
    offset: Int64s
    timestamp: Int64s
    values: list[bytes | None]

    def __len__(self) -> int:
        return len(self.messages)

    @classmethod
    def of(cls, messages: list[Message], *, native: bool = True) -> Self:
        """``native``: by the compiled kernel where it is installed, which changes nothing but the cost."""
        n, compiled = len(messages), kernel.installed() if native else None
        if compiled is not None:
            *numbers, values = compiled.told(Message, messages)
            partition, offset, timestamp = (np.frombuffer(one, np.int64) for one in numbers)
            return cls(messages, partition, offset, timestamp, values)
        return cls(
            messages,
            np.fromiter(map(Message.partition, messages), np.int64, n),
            np.fromiter(map(Message.offset, messages), np.int64, n),
            np.fromiter(map(_TIME, map(Message.timestamp, messages)), np.int64, n),
            list(map(Message.value, messages)),
        )

    def only(self, wanted: NDArray[np.bool_]) -> Self:
        """Those that are wanted, (n,)."""
        if wanted.all():
            return self
        at = np.flatnonzero(wanted).tolist()
        return type(self)(
            [self.messages[i] for i in at],
            self.partition[wanted],
            self.offset[wanted],
            self.timestamp[wanted],
            [self.values[i] for i in at],
        )

    def places(self, sources: tuple[Source, ...], topics: Collection[str]) -> Int64s:
        """Where in ``sources`` the partition of each is, -1 where it is not among them. ``topics``: all that
        they can be of; where that is one, none is asked for its own.
        """
        if len(topics) == 1:
            by_number = _by_number(sources, *topics)
            return by_number[np.minimum(self.partition, len(by_number) - 1)]
        index: dict[tuple[str | None, int], int] = {one: i for i, one in enumerate(sources)}
        partitions = zip(map(Message.topic, self.messages), self.partition.tolist(), strict=True)
        return np.array([index.get(one, -1) for one in partitions], np.int64)


def has_errors(messages: list[Message], *, native: bool = True) -> bool:
    """Whether any of them is none but says that something happened. ``native``: as above."""
    compiled = kernel.installed() if native else None
    if compiled is not None:
        return bool(compiled.has_errors(Message, messages))
    return any(map(Message.error, messages))


@lru_cache(maxsize=64)
def _by_number(sources: tuple[Source, ...], topic: str) -> Int64s:
    """The places of the partitions of one topic, by their numbers; the last is that of all greater ones."""
    places = {source.partition: i for i, source in enumerate(sources) if source.topic == topic}
    return np.array([places.get(number, -1) for number in range(max(places, default=-1) + 2)], np.int64)

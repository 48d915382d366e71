"""What deltas brought to one stream of an open slice, as small as it came."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Generic, Protocol, Self, TypeVar

from stream_monitor.events import DeltaKind

PARTS_MAX = 8
"""Kept as bytes: they take a fifth of what is read from them."""


class Content(Protocol):
    """What is known of a stream in a slice. Merging is that of summaries: exact, in any order."""

    @property
    def rows(self) -> int: ...

    def __add__(self, other: Self, /) -> Self: ...

    def to_bytes(self) -> bytes: ...


C = TypeVar("C", bound=Content)
Part = tuple[DeltaKind | None, bytes]
"""Of a delta of that kind; None: as a content writes itself."""
Load = Callable[[DeltaKind | None, bytes], C]


class Gathered(Generic[C]):
    """Parts of one content, read and merged when there are more than PARTS_MAX, or somebody asks.

    ``load`` reads a part, and raises FormatError where it is damaged or newer: so does whoever asks then.
    """

    __slots__ = ("_load", "_merged", "_parts")

    def __init__(self, load: Load[C], parts: tuple[Part, ...], merged: C | None = None) -> None:
        self._load, self._parts, self._merged = load, parts, merged

    def __add__(self, other: Gathered[C]) -> Gathered[C]:
        merged = [one for one in (self._merged, other._merged) if one is not None]
        both = Gathered(self._load, self._parts + other._parts, reduce(add, merged) if merged else None)
        return Gathered(self._load, (), both.content()) if len(both._parts) > PARTS_MAX else both

    def parts(self) -> list[Part]:
        """All of it, unread: what another one is made of that equals this one."""
        merged = [] if self._merged is None else [(None, self._merged.to_bytes())]
        return [*merged, *self._parts]

    def content(self) -> C:
        """All of it."""
        read = [self._load(*part) for part in self._parts]
        return reduce(add, read if self._merged is None else [self._merged, *read])

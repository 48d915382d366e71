"""Ids that are made of bytes when somebody asks for them: where no labels are joined, nobody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload


class Later(Sequence[str | None]):
    """n ids, which ``make`` gives. It is called once, if at all."""

    def __init__(self, n: int, make: Callable[[], Sequence[str | None]]) -> None:
        self._n = n
        self._make = make

    @cached_property
    def _made(self) -> Sequence[str | None]:
        return self._make()

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> str | None: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str | None]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str | None] | None:
        return self._made[index]

    def __iter__(self) -> Iterator[str | None]:
        return iter(self._made)

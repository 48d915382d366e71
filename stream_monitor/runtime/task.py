"""What a worker that reads input is given to do: what the stages differ in, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from stream_monitor.events import Delta, Source, Stage
from stream_monitor.runtime.decoding import Decoding
from stream_monitor.runtime.inputs import Counts
from stream_monitor.runtime.positions import Owned


class Flushed(Protocol):
    """What a flush sends."""

    @property
    def deltas(self) -> list[Delta]: ...

    @property
    def counts(self) -> Mapping[Source, Counts]: ...


class Core(Protocol):
    """Batches in, deltas out: what a worker holds between two commits."""

    def add(self, batch: Any) -> None: ...

    def flush(self) -> Flushed: ...

    def discard(self) -> None: ...


class Stores(Protocol):
    """What a worker keeps on disk of its partitions. It follows what is committed, and is never ahead."""

    @property
    def problem(self) -> str | None:
        """Why a partition is not read yet, if one is not."""

    @property
    def busy(self) -> bool:
        """Whether ``step`` has much to do."""

    @property
    def in_step(self) -> bool:
        """Whether what is flushed has to be ``committed`` here before more is added."""

    def located(self) -> None:
        """Every partition owned stands now where it is committed."""

    def step(self) -> None:
        """A little of the work that is left."""

    def committed(self, news: Iterable[Owned]) -> None:
        """What was added since the last time is committed, and these partitions stand where they say."""

    def forget(self) -> None:
        """Close those of partitions that are not owned any more."""


class NoStores:
    """Observe keeps nothing."""

    problem = None
    busy = False
    in_step = False

    def located(self) -> None: ...

    def step(self) -> None: ...

    def committed(self, news: Iterable[Owned]) -> None: ...

    def forget(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Task:
    """What the stages differ in. ``rows_max`` and ``is_full`` bound what is held between two commits."""

    stage: Stage | Literal["repartition"]
    decoding: Decoding
    core: Core
    stores: Stores
    rows_max: int
    is_full: Callable[[], bool] = lambda: False
    """Whether the core holds so much that a flush is due."""

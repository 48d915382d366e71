"""A flush on its way, while its worker does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from stream_monitor.events import Source
from stream_monitor.metrics import Metrics
from stream_monitor.runtime.inputs import Counts
from stream_monitor.runtime.positions import Owned

T = TypeVar("T")

Ended = float
"""When it was committed (monotonic, s)."""


def in_background(call: Callable[[], T]) -> Future[T]:
    """Make a call in a thread of its own, which ends with it. The answer holds what it raised, too."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 (for whoever asks for the answer)
            answer.set_exception(error)

    threading.Thread(target=run, name="outbox", daemon=True).start()
    return answer


@dataclass(frozen=True, slots=True)
class Sending:
    """``news``: the partitions that it reports of. ``sent``: of the outbox."""

    deltas: int
    counts: Mapping[Source, Counts]
    news: list[Owned]
    started_s: float
    sent: Future[Ended]

    @property
    def is_done(self) -> bool:
        return self.sent.done()

    def end(self) -> None:
        """Wait for it, however it ends."""
        wait([self.sent])

    def result(self, metrics: Metrics, stage: str) -> None:
        """Wait for it, and count what it has committed. Raises what kept it from that."""
        metrics.commit_seconds.labels(stage).observe(self.sent.result() - self.started_s)
        metrics.produced_deltas.inc(self.deltas)
        for source, counts in self.counts.items():
            metrics.consumed_rows.labels(source.topic).inc(counts.rows + counts.rejected)

"""Events of ``stream-monitor load`` as a workload that a topic is filled with before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.generator import START_MS, Chunk
from stream_monitor.config import parse_config
from stream_monitor.events import Int64s
from stream_monitor.load.events import CHUNK, Bools, Events, Mix
from stream_monitor.load.population import Synthetic

LATE_MS = 60_000
"""Far beyond the lateness that deployments of benchmarks allow."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """``events`` events, ``rate`` in a second of event time, drifted after ``change_at`` of them. Every
    ``late``-th is LATE_MS older than those around it; 0: none is."""

    events: int
    mix: Mix
    population: Synthetic = field(default_factory=Synthetic)
    rate: int = 10_000
    change_at: float = 0.6
    late: int = 0

    @property
    def seconds(self) -> float:
        """Of event time."""
        return self.events / self.rate

    def chunks(self) -> Iterator[Chunk]:
        config = parse_config({"kafka": {}, "predictions": {"topics": ["any"]}})
        events = Events(self.mix, self.population, config)
        for number, first in enumerate(range(0, self.events, CHUNK)):
            index = np.arange(first, min(first + CHUNK, self.events))
            drifted = index >= self.events * self.change_at
            times = START_MS + index * 1000 // self.rate
            if self.late:
                times[index % self.late == self.late - 1] -= LATE_MS
            made = events.events(number, times, partial(_whichever, drifted))
            yield Chunk(made.keys, made.values, times.tolist())


def _whichever(drifted: Bools, _models: Int64s) -> Bools:
    return drifted


def names(models: int) -> list[str]:
    """Of so many models."""
    return [f"load-{number}" for number in range(models)]


def learning(seconds: float, share: float = 0.3) -> dict[str, Any]:
    """Settings of every model: a reference from the first ``share`` of the event time."""
    return {"learn": f"{max(1, int(seconds * share))}s"}

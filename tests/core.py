"""The core without Kafka, driven the way the workers drive it: any number of workers, any order, any cut."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_monitor.alerting.alert import Alert
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Config
from stream_monitor.decide import Decider
from stream_monitor.events import Flush, Progress, Records, Source
from stream_monitor.observe import Observer
from stream_monitor.reference import References

Record = tuple[int, bytes]
"""Kafka timestamp (ms) and value."""


@dataclass(frozen=True)
class Schedule:
    """How the input is read: by how many workers, in which batches and order, flushed how often."""

    workers: int = 1
    batch_max: int = 500
    flush_every: int = 3
    seed: int = 0


class Worker:
    """One observe worker: it owns partitions and flushes what it read of them."""

    def __init__(self, config: Config, references: References, owned: Sequence[Source], total: int) -> None:
        self.codec = JsonCodec(config)
        self.observer = Observer(config, references)
        self.next = dict.fromkeys(owned, 0)
        self.first = dict(self.next)
        self.total = total

    def read(self, source: Source, log: Sequence[Record], count: int) -> None:
        start = self.next[source]
        records = log[start : start + count]
        self.observer.add(
            self.codec.decode(
                Records(
                    (source,),
                    np.zeros(len(records), np.int64),
                    np.arange(start, start + len(records), dtype=np.int64),
                    np.array([timestamp for timestamp, _ in records], np.int64),
                    [value for _, value in records],
                )
            )
        )
        self.next[source] = start + len(records)

    def flush(self, logs: Mapping[Source, Sequence[Record]]) -> Flush:
        observed = self.observer.flush()
        progress = []
        for source, following in self.next.items():
            clock = self.observer.clocks.get(source)
            counts = observed.counts.get(source)
            progress.append(
                Progress(
                    source,
                    "id",
                    self.total,
                    self.first[source],
                    following,
                    None if clock is None else clock.known_event,
                    None,
                    following == len(logs[source]),
                    counts.rows if counts else 0,
                    counts.rejected if counts else 0,
                    counts.late if counts else 0,
                )
            )
        self.first = dict(self.next)
        rows = sum(delta.rows for delta in observed.deltas)
        return Flush(observed.deltas, progress, len(observed.deltas), rows)


def flushes(config: Config, partitions: Sequence[Sequence[Record]], schedule: Schedule) -> list[Flush]:
    """What the workers send, in the order in which they commit."""
    topic = config.predictions.topics[0]
    logs = {Source(topic, number): log for number, log in enumerate(partitions)}
    references = References(config)
    sources = list(logs)
    workers = [
        Worker(config, references, sources[at :: schedule.workers], len(sources))
        for at in range(min(schedule.workers, len(sources)))
    ]
    order = random.Random(schedule.seed)
    sent = [worker.flush(logs) for worker in workers]
    while open_ones := [one for one in workers if any(n < len(logs[s]) for s, n in one.next.items())]:
        worker = order.choice(open_ones)
        for _ in range(schedule.flush_every):
            left = [source for source, n in worker.next.items() if n < len(logs[source])]
            if left:
                source = order.choice(left)
                worker.read(source, logs[source], order.randint(1, schedule.batch_max))
        sent.append(worker.flush(logs))
    return sent


def run(config: Config, partitions: Sequence[Sequence[Record]], schedule: Schedule) -> list[Alert]:
    """Every alert that the input raises, to its end."""
    decider = Decider(config, References(config))
    alerts = [alert for flush in flushes(config, partitions, schedule) for alert in decider.apply(flush)]
    return alerts + decider.close()


def comparable(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    """Alerts in the form and order in which they must be the same, whoever raised them."""
    return sorted(
        (alert.to_dict() for alert in alerts), key=lambda one: (one["time"], one["model"], one["id"])
    )

"""What one load costs observe and decide, in a process of its own and without Kafka.

``python -m benchmarks.loads POINT`` (JSON) prints what it measured. Every observe worker reads its share of
the partitions, and flushes once a second of event time; what they send is decided in one place.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson

from benchmarks.cores import WORKER_CORES, pinned
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import Flush, Progress, Records, Source
from stream_monitor.observe import Observer
from stream_monitor.reference import References
from stream_monitor.runtime.messages import flush_messages

TOPIC = "predictions"
START_MS = 1_767_225_600_000
LEARN_S = 3
CATEGORIES_SHARE = 0.2
VALUES = 20
"""Of a category that is no segment."""


@dataclass(frozen=True, slots=True)
class Point:
    """``signals`` of each model, one of them an output; ``segments``: values of each of ``fields`` fields."""

    name: str
    rate: int
    signals: int = 22
    models: int = 1
    fields: int = 0
    segments: int = 0
    workers: int = 1
    partitions: int = 8
    slice_s: int = 1
    seconds: int = 100

    @property
    def begin(self) -> int:
        """The second that is measured first: noise is known since 64 slices, and estimated anew at 128."""
        return self.seconds * 7 // 10

    @property
    def subjects(self) -> int:
        """What is watched together: the features and the outputs of each model, and of each segment."""
        return 2 * self.models * (1 + self.fields * self.segments)

    @property
    def slots(self) -> int:
        """Signals that are watched: each once of all events, and once of each segment."""
        return self.signals * self.models * (1 + self.fields * self.segments)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a second of event time: CPU seconds, and bytes to the summaries topic before compression. And
    ``decide_bytes``, what decide holds in memory, and ``state_bytes``, all snapshots together."""

    observe_s: float
    decide_s: float
    summaries_bytes: float
    decide_bytes: float
    state_bytes: float


def config(point: Point) -> Config:
    segments = [f"segment_{number}" for number in range(point.fields)]
    model = {"learn": f"{LEARN_S}s", "slice": f"{point.slice_s}s", "segments": segments, "max_signals": 4096}
    model["segments_max"] = max(1, point.segments)
    return parse_config({"predictions": {"topics": [TOPIC], "lateness": "1s"}, "models": {"*": model}})


class Feed:
    """Events of one second of event time after the other: values in a pool, ids and times of their own."""

    def __init__(self, point: Point) -> None:
        self._point, self._random = point, np.random.default_rng(1)
        self._pool = [self._tail(*row) for row in zip(*self._rows(min(5_000, point.rate)), strict=True)]
        self._offset = [0] * point.partitions

    def second(self, number: int, worker: int) -> Records:
        """What a worker reads of it: the events of its partitions, all models evenly."""
        point = self._point
        mine = range(worker, point.partitions, point.workers)
        sources = tuple(Source(TOPIC, partition) for partition in mine)
        n = point.rate // point.workers
        times = START_MS + number * 1000 + np.arange(n) * 1000 // n
        values = [
            b'{"prediction_id":"%016x","model":"model-%d","model_version":"3","ts":%d,%b'
            % (
                number * point.rate + one,
                one % point.models,
                at,
                self._pool[(number + one) % len(self._pool)],
            )
            for one, at in enumerate(times.tolist())
        ]
        source = np.arange(n) % len(sources)
        offset = np.empty(n, np.int64)
        for index, partition in enumerate(mine):
            here = np.flatnonzero(source == index)
            offset[here] = self._offset[partition] + np.arange(len(here))
            self._offset[partition] += len(here)
        order = np.argsort(source, kind="stable")
        return Records(
            sources, source[order], offset[order], times[order], [values[i] for i in order.tolist()]
        )

    def _rows(self, n: int) -> tuple[list[dict[str, Any]], list[float]]:
        point, random = self._point, self._random
        texts = round((point.signals - 1) * CATEGORIES_SHARE)
        columns: dict[str, list[Any]] = {}
        for number in range(point.signals - 1):
            if number < point.fields:
                columns[f"segment_{number}"] = [f"s{one}" for one in random.integers(0, point.segments, n)]
            elif number < texts:
                columns[f"text_{number}"] = [f"value-{one}" for one in random.integers(0, VALUES, n)]
            else:
                columns[f"number_{number}"] = random.lognormal(3, 0.8, n).round(3).tolist()
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return rows, random.beta(2, 5, n).round(5).tolist()

    def _tail(self, features: dict[str, Any], score: float) -> bytes:
        return orjson.dumps({"features": features, "outputs": {"score": score}})[1:]


class Worker:
    """One observe worker, timed."""

    def __init__(self, settings: Config, references: References, point: Point) -> None:
        self.cpu_s = 0.0
        self._codec, self._observer = JsonCodec(settings), Observer(settings, references)
        self._next: dict[Source, int] = {}
        self._partitions = point.partitions

    def second(self, records: Records) -> Flush:
        began_s = time.process_time()
        for first in range(0, len(records), 1_000):
            self._observer.add(
                self._codec.decode(records.take(np.arange(first, min(first + 1_000, len(records)))))
            )
        observed = self._observer.flush()
        self.cpu_s += time.process_time() - began_s
        progress = []
        for index, source in enumerate(records.sources):
            read = int(np.count_nonzero(records.source == index))
            first = self._next.get(source, 0)
            self._next[source] = first + read
            clock = self._observer.clocks[source].known_event
            progress.append(
                Progress(
                    source,
                    "id",
                    self._partitions,
                    first,
                    first + read,
                    clock,
                    None,
                    drained=False,
                    rows=read,
                    rejected=0,
                    late=0,
                )
            )
        return Flush(
            observed.deltas, progress, len(observed.deltas), sum(one.rows for one in observed.deltas)
        )


def measure(point: Point) -> Cost:
    """From the point's ``begin`` on: references and noise are learned by then."""
    settings = config(point)
    references, feed = References(settings), Feed(point)
    workers = [Worker(settings, references, point) for _ in range(point.workers)]
    decider = Decider(settings, references)
    decide_s, size = 0.0, 0
    for number in range(point.seconds):
        if number == point.begin:
            decide_s, size = 0.0, 0
            for worker in workers:
                worker.cpu_s = 0.0
        for index, worker in enumerate(workers):
            flush = worker.second(feed.second(number, index))
            messages = flush_messages("w/1", flush.deltas, flush.progress, "summaries", 1)
            size += sum(len(one.value or b"") for one in messages)
            began_s = time.process_time()
            decider.apply(flush)
            decide_s += time.process_time() - began_s
    assert not decider.learning(), decider.learning()
    states = {model: decider.snapshot(model) for model in decider.models()}
    span_s, observe_s = point.seconds - point.begin, sum(worker.cpu_s for worker in workers)
    return Cost(
        observe_s / span_s,
        decide_s / span_s,
        size / span_s,
        held_bytes(settings, references, states),
        sum(map(len, states.values())),
    )


def held_bytes(settings: Config, references: References, states: Mapping[str, bytes]) -> int:
    """What a decide worker that takes over these states holds of them."""
    decider = Decider(settings, references)
    tracemalloc.start()
    for model, state in states.items():
        decider.restore(model, state)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


def measured(point: Point) -> Cost:
    """In a process of its own, on a core of its own."""
    command = [sys.executable, "-m", "benchmarks.loads", json.dumps(asdict(point))]
    with pinned(WORKER_CORES):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Cost(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Point(**json.loads(sys.argv[1]))))))

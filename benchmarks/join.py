"""Section ``join``: the join with its store on disk, and many predictions that wait for their labels.

No Kafka: batches are made as a codec makes them, and only what the join does with them is timed. Predictions
come evenly, each gets one label at an age that is log-uniform from a second to the horizon, and both come in
the order of time. First the store is filled with a horizon of both; then both go on. Only how fast a lost
store is made again is measured on a real Kafka (``rebuild``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import rebuild, results
from benchmarks.cores import WORKER_CORES, pinned
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Batch, Column, Group, Int64s, JsonType, LabelBatch, Source, Stream
from stream_monitor.join.joins import Joins
from stream_monitor.join.store import Position
from stream_monitor.runtime.store import RocksStores

SECTION = "join"
HORIZON_DAYS = 30
HOURS = HORIZON_DAYS * 24
HOUR_MS = 3_600_000
BATCH_ROWS = 1_000
FLUSH_ROWS = 100_000
REBUILT_MAX = 2_000_000
"""Predictions and labels that a lost store is made of again."""
BEGIN_MS = 1_760_000_400_000 // HOUR_MS * HOUR_MS
PREDICTIONS, LABELS = Source("predictions", 0), Source("labels", 0)


def config(folder: Path) -> Config:
    """Slices and cohorts as fit a horizon of a month."""
    return parse_config(
        {
            "kafka": {"bootstrap.servers": "localhost:9092"},
            "predictions": {"topics": [PREDICTIONS.topic]},
            "labels": {
                "topics": [LABELS.topic],
                "horizon": f"{HORIZON_DAYS}d",
                "slice": "1h",
                "cohort": "1d",
                "store": str(folder),
            },
            "models": {"churn": {"quality": {"churned": {"task": "binary", "score": "score"}}}},
        }
    )


class Feed:
    """Batches by the hour of event time; labels that are yet to come wait in files, an hour each."""

    def __init__(self, per_hour: int, folder: Path, seed: int = 0) -> None:
        self._per_hour = per_hour
        self._folder = folder
        self._random = np.random.default_rng(seed)
        self._hour = 0
        self._read = {PREDICTIONS: 0, LABELS: 0}

    def hour(self) -> Iterator[Batch | LabelBatch]:
        """The batches of the next hour: as many predictions as labels at a time, where there are."""
        start = BEGIN_MS + self._hour * HOUR_MS
        times = start + np.arange(self._per_hour) * HOUR_MS // self._per_hour
        numbers = self._hour * self._per_hour + np.arange(self._per_hour)
        self._put_off(times, numbers)
        due_at, due = self._due()
        self._hour += 1
        for at in range(0, max(len(numbers), len(due)), BATCH_ROWS):
            here = slice(at, at + BATCH_ROWS)
            if len(numbers[here]):
                yield self._predictions(times[here], numbers[here])
            if len(due[here]):
                yield self._labels(due_at[here], due[here])

    def _put_off(self, times: Int64s, numbers: Int64s) -> None:
        ages = 1_000 * (HORIZON_DAYS * 86_400.0) ** self._random.random(len(times))
        at = times + np.minimum(ages, HORIZON_DAYS * 86_400_000).astype(np.int64)
        order = np.argsort(at)
        at, numbers = at[order], numbers[order]
        hours = (at - BEGIN_MS) // HOUR_MS
        for hour, first, size in zip(*np.unique(hours, return_index=True, return_counts=True), strict=True):
            with (self._folder / str(hour)).open("ab") as file:
                file.write(np.stack([at, numbers], 1)[first : first + size].tobytes())

    def _due(self) -> tuple[Int64s, Int64s]:
        path = self._folder / str(self._hour)
        if not path.exists():
            return np.empty(0, np.int64), np.empty(0, np.int64)
        pairs = np.fromfile(path, np.int64).reshape(-1, 2)
        path.unlink()
        order = np.argsort(pairs[:, 0], kind="stable")
        return pairs[order, 0], pairs[order, 1]

    def _predictions(self, times: Int64s, numbers: Int64s) -> Batch:
        n = len(times)
        scores = self._random.random(n)
        group = Group(
            Stream("churn", "3", "live"),
            np.arange(n),
            outputs={"score": Column(JsonType.NUMBER, scores)},
        )
        offset = self._offsets(PREDICTIONS, n)
        zeros = np.zeros(n, np.int64)
        return Batch((PREDICTIONS,), zeros, offset, zeros, times, [group], ids_of(numbers))

    def _labels(self, times: Int64s, numbers: Int64s) -> LabelBatch:
        n = len(times)
        values = (self._random.random(n) < 0.2).astype(np.int64).tolist()
        zeros = np.zeros(n, np.int64)
        offset = self._offsets(LABELS, n)
        return LabelBatch((LABELS,), zeros, offset, zeros, times, ids_of(numbers), ["churn"] * n, values)

    def _offsets(self, source: Source, n: int) -> Int64s:
        first = self._read[source]
        self._read[source] += n
        return np.arange(first, first + n)


def ids_of(numbers: Int64s) -> list[str]:
    """Random ids, 16 hexadecimal digits: a bijection of 64 bits (the end of splitmix64)."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return [f"{one:016x}" for one in (mixed ^ (mixed >> np.uint64(31))).tolist()]


class Meter:
    """Drives a Joins as a worker does, and times nothing else."""

    def __init__(self, joins: Joins, folder: Path) -> None:
        self._joins, self._folder = joins, folder
        self._rows = 0
        self._next = {PREDICTIONS: 0, LABELS: 0}
        self.peak_bytes = 0
        self.delta_bytes = 0
        self.reset()

    def reset(self) -> None:
        self.spent: dict[str, float] = dict.fromkeys(("predictions", "labels", "flush", "store"), 0.0)
        self.cpu_s = 0.0
        self.began = dict(self._joins.counters)

    def add(self, batch: Batch | LabelBatch) -> None:
        is_label = isinstance(batch, LabelBatch)
        self._timed("labels" if is_label else "predictions", lambda: self._joins.add(batch))
        self._next[batch.sources[0]] = int(batch.offset[-1]) + 1
        self._rows += len(batch)
        if self._rows >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        deltas = self._timed("flush", lambda: self._joins.flush().deltas)
        self.delta_bytes += sum(len(one.data) for one in deltas)
        clocks = self._joins.clocks
        positions = {
            source: Position("id", following, clocks[source].known_event, None)
            for source, following in self._next.items()
            if source in clocks
        }
        self._timed("store", lambda: self._joins.committed(positions))
        self._rows = 0
        self.peak_bytes = max(self.peak_bytes, size_of(self._folder))

    def _timed(self, what: str, call: Callable[[], Any]) -> Any:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        found = call()
        self.spent[what] += time.perf_counter() - began_s
        self.cpu_s += time.process_time() - cpu_s
        return found

    def counted(self, name: str) -> int:
        return self._joins.counters[name] - self.began.get(name, 0)


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # Compacted away meanwhile.
            continue
    return total


def memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def measure(pending: int, seconds: float, folder: Path) -> dict[str, float]:
    """Fill, then go on for ``seconds`` of the join's own time."""
    store, waiting = folder / "store", folder / "labels"
    waiting.mkdir()
    settings = config(store)
    joins = Joins(settings)
    joins.open(0, RocksStores(settings).open(0))
    feed, meter = Feed(max(1, pending // HOURS), waiting), Meter(joins, store)
    for _ in range(HOURS):
        for batch in feed.hour():
            meter.add(batch)
    meter.flush()
    filled_s, meter.peak_bytes = sum(meter.spent.values()), 0
    rows = joins.counters["predictions"] + joins.counters["labels"]
    meter.reset()
    sizes = []
    while sum(meter.spent.values()) < seconds:
        for batch in feed.hour():
            meter.add(batch)
        sizes.append(size_of(store))
    meter.flush()
    spent = sum(meter.spent.values())
    pairs, puts = meter.counted("pairs"), meter.counted("predictions") + meter.counted("labels")
    joins.close(0)
    return {
        "joins_per_s": pairs / spent,
        "puts_per_s": puts / spent,
        "rows_per_cpu_s": puts / meter.cpu_s,
        "fill_rows_per_s": rows / filled_s,
        "bytes_per_pending": float(np.median(sizes)) / pending,
        "peak_bytes_per_pending": meter.peak_bytes / pending,
        "rss_mib": memory_mib("VmHWM"),
        "prediction_us": meter.spent["predictions"] / meter.counted("predictions") * 1e6,
        "label_us": meter.spent["labels"] / meter.counted("labels") * 1e6,
        "flush_us": meter.spent["flush"] / puts * 1e6,
        "store_us": meter.spent["store"] / puts * 1e6,
        "unjoined": meter.counted("labels") - pairs,
        "seconds": spent,
        "pending": pending,
    }


def run(pending: int, seconds: float, folder: Path, console: Console) -> Path:
    """Measure in a process of its own, on a core of its own; returns the path of the JSON."""
    command = [sys.executable, "-m", "benchmarks.join", str(pending), str(seconds)]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch, pinned(WORKER_CORES):
        done = subprocess.run([*command, scratch], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout) | rebuild.measure(min(pending, REBUILT_MAX))
    figures = {name: float(f"{value:.4g}") for name, value in found.items()}
    table = Table(title=f"{pending:,} predictions waiting, on core {', '.join(map(str, WORKER_CORES))}")
    table.add_column("figure")
    table.add_column("", justify="right")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if value < 1_000 else f"{value:,.0f}")
    console.print(table)
    workload = {"pending": pending, "seconds": seconds, "horizon_days": HORIZON_DAYS}
    path = results.save(SECTION, dict(sorted(figures.items())), workload, [], folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))))

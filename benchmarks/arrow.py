"""Section ``arrow``: the whole pipeline on tables of a thousand events, from a filled topic on a real Kafka.

The workload is that of the section ``throughput``, as a producer with data frames would write it: categories
as dictionaries, numbers as they are. Its events are repeated at later times, so that a run takes seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pyarrow as pa
from rich.console import Console

from benchmarks import results
from benchmarks.cores import BROKER_CORES, pinned
from benchmarks.generator import Chunk, Workload
from benchmarks.runs import Run
from benchmarks.topic import PARTITIONS, fill
from benchmarks.workers import Deployment, run_deployment
from tests.kafka.broker import Broker

SECTION = "arrow"
EVENTS_A_TABLE = 1_000
RATE_MAX = 100_000
"""Events in a second of event time: a tenth of what is hoped for in a second of the clock."""
SLICES_MIN = 100
MORE: dict[str, Any] = {"predictions": {"format": "arrow"}}


@dataclass(frozen=True, slots=True)
class Tables:
    """The events of a workload as tables of ``size``: first those before the change, ``repeats`` times.

    ``events`` are records here. Before the change and after it there has to be a whole number of them.
    """

    workload: Workload
    repeats: int
    size: int = EVENTS_A_TABLE

    @property
    def events(self) -> int:
        return self.workload.events * self.repeats // self.size

    def chunks(self) -> Iterator[Chunk]:
        """All tables, one a chunk. Cost: some 25 us an event, memory that of all distinct ones."""
        tables = list(self._tables())
        change = int(len(tables) * self.workload.change_at)
        numbers = [*range(change)] * self.repeats + [*range(change, len(tables))] * self.repeats
        for at, number in enumerate(numbers):
            table, later_ms = tables[number], (at - number) * self.size * 1000 // self.workload.rate
            times = [time + later_ms for time in table["ts"].to_pylist()]
            columns = [pa.array(times) if name == "ts" else table[name] for name in table.schema.names]
            moved = pa.RecordBatch.from_arrays(columns, names=table.schema.names)
            yield Chunk([table["prediction_id"][0].as_py().encode()], [_stream(moved)], [max(times)])

    def _tables(self) -> Iterator[pa.RecordBatch]:
        values = chain.from_iterable(chunk.values for chunk in self.workload.chunks())
        while rows := list(map(orjson.loads, islice(values, self.size))):
            yield table_of(rows)


def table_of(rows: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """Events as a table: strings as dictionaries, but the ids."""
    plain = {
        name: pa.array([row.get(name) for row in rows]) for name in ("prediction_id", "ts", "latency_ms")
    }
    coded = {name: _coded([row[name] for row in rows]) for name in ("model", "model_version")}
    nested = {name: _struct([row[name] for row in rows]) for name in ("features", "outputs")}
    columns = {**plain, **coded, **nested}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _struct(rows: Sequence[dict[str, Any]]) -> Any:
    names = sorted(set().union(*rows))
    columns = {name: [row.get(name) for row in rows] for name in names}
    texts = {name for name, values in columns.items() if any(isinstance(one, str) for one in values)}
    arrays = [_coded(values) if name in texts else pa.array(values) for name, values in columns.items()]
    return pa.StructArray.from_arrays(arrays, list(columns))


def _coded(values: Sequence[str | None]) -> Any:
    return pa.array(values).dictionary_encode().cast(pa.dictionary(pa.int16(), pa.string()))


def _stream(table: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)
    return sink.getvalue().to_pybytes()


def run(
    events: int, rounds: int, folder: Path, console: Console, repeats: int = 5, size: int = EVENTS_A_TABLE
) -> Path:
    """Fill a topic and run the rounds; returns the path of the JSON."""
    rate = min(RATE_MAX, max(1, events * repeats // SLICES_MIN))
    tables, total = Tables(Workload(events, rate=rate), repeats, size), events * repeats
    done: list[list[Run]] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with pinned(BROKER_CORES):
            broker = Broker(Path(name) / "kafka").start()
        try:
            topic = broker.unique("predictions")
            fill(broker, topic, tables)
            for number in range(rounds):
                console.print(f"round {number + 1} of {rounds}")
                deployment = Deployment(broker, topic, total, more=MORE)
                done.append([run_deployment(deployment, Path(name), SECTION)])
        finally:
            broker.stop()
    runs = [run for runs in done for run in runs]
    results.show(runs, console, against=SECTION)
    settings = {
        "workload": asdict(tables.workload),
        "repeats": repeats,
        "events_a_record": tables.size,
        "partitions": PARTITIONS,
    }
    path = results.save(SECTION, results.rounded(figures_of(runs)), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def figures_of(runs: Sequence[Run]) -> dict[str, float]:
    """Medians over the rounds."""
    return {
        "arrow_events_per_s": median(run.events_per_s for run in runs),
        "arrow_events_per_s_spread": results.spread(run.events_per_s for run in runs),
        "cpu_us": median(run.cpu_us for run in runs),
        "observe_cpu_us": median(run.more["observe_cpu_s"] / run.events for run in runs) * 1e6,
        "decide_cpu_us": median(run.more["decide_cpu_s"] / run.events for run in runs) * 1e6,
        "observe_rss_mib": median(run.more["observe_rss_mib"] for run in runs),
        "decide_rss_mib": median(run.more["decide_rss_mib"] for run in runs),
        "alerts": median(len(run.more["alerts"]) for run in runs),
    }

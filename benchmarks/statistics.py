"""Section ``statistics``: only the statistics of rows, without Kafka, JSON or detection.

``summaries`` is this package: columns to a Summary a second. ``river`` keeps Var, Min, Max and a median of
each number and counts of each category, row by row; ``whylogs`` makes a profile of a DataFrame a second. What
each takes (columns, dicts, DataFrames) is made before the clock runs.
``python -m benchmarks.statistics NAME EVENTS`` runs one in this process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import environments, results
from benchmarks.cores import WORKER_CORES, pinned
from benchmarks.flat_rows import TABLE_ROWS, tables
from benchmarks.generator import Workload
from benchmarks.runs import Mark, Run, print_run, timeout_s

SECTION = "statistics"
FEW_EVENTS_MAX = 100_000
EVENTS_MAX = 500_000
BATCH = 1_000


def run(events: int, rounds: int, folder: Path, console: Console) -> Path:
    """Run the contenders in turns; returns the path of the JSON. Without whylogs where it cannot be had."""
    events = min(events, EVENTS_MAX)
    few = min(events, FEW_EVENTS_MAX)
    python, why_not = environments.found("whylogs")
    done: list[list[Run]] = []
    for _ in range(rounds):
        runs = [run_one("summaries", events), run_one("river", few)]
        if python is not None:
            runs.append(environments.run_in(python, "benchmarks.whylogs_profile", {"events": few}))
        done.append(runs)
    runs = [run for runs in done for run in runs]
    results.show(runs, console, against="summaries")
    settings = {"events": events, "of_others": few, "table_rows": TABLE_ROWS, "whylogs": why_not or "1.6.4"}
    path = results.save(SECTION, figures_of(runs), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def figures_of(runs: list[Run]) -> dict[str, float]:
    """``ratio_NAME``: rows/s of ``summaries`` over those of NAME."""
    found = results.by_contender(runs)
    speed = {name: median(run.events_per_s for run in same) for name, same in found.items()}
    figures = {f"{name}_rows_per_s": one for name, one in speed.items()}
    figures |= {
        f"ratio_{name}": speed["summaries"] / one for name, one in speed.items() if name != "summaries"
    }
    return results.rounded(figures)


def run_one(name: str, events: int) -> Run:
    """In a process of its own, on the worker's core."""
    command = [sys.executable, "-m", "benchmarks.statistics", name, str(events)]
    with pinned(WORKER_CORES):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=timeout_s(events))
    return Run(**json.loads(done.stdout))


def summaries(events: int) -> Run:
    """The observer of this package, flushed each second of event time."""
    from stream_monitor.codecs.json import JsonCodec  # noqa: PLC0415 (only this contender pays for the import)
    from stream_monitor.config import parse_config  # noqa: PLC0415 (as above)
    from stream_monitor.events import Records, Source  # noqa: PLC0415 (as above)
    from stream_monitor.observe import Observer  # noqa: PLC0415 (as above)
    from stream_monitor.reference import References  # noqa: PLC0415 (as above)

    config = parse_config({"kafka": {}, "predictions": {"topics": ["rows"]}})
    codec, observer = JsonCodec(config), Observer(config, References(config))
    values = list(chain.from_iterable(chunk.values for chunk in Workload(events).chunks()))
    batches = []
    for first in range(0, len(values), BATCH):
        some = values[first : first + BATCH]
        offset = np.arange(first, first + len(some))
        zeros = np.zeros(len(some), np.int64)
        batches.append(
            codec.decode(Records((Source("rows", 0),), zeros, offset, np.full(len(some), 2**42), some))
        )
    del values
    rows, mark = 0, Mark.now()
    for number, batch in enumerate(batches, start=1):
        observer.add(batch)
        if number % (TABLE_ROWS // BATCH) == 0 or number == len(batches):
            rows += sum(counts.rows for counts in observer.flush().counts.values())
    assert rows == events, f"expected {events} rows, got {rows}"
    return mark.until_now("summaries", events)


def river(events: int) -> Run:
    """river's statistics, and a Counter of each category, begun anew each second of event time."""
    from river.stats import Max, Min, Quantile, Var  # noqa: PLC0415 (only this contender pays for the import)

    makers: tuple[Any, ...] = Var, Min, Max, Quantile
    seconds, size = list(tables(events)), 0
    mark = Mark.now()
    for rows in seconds:
        numbers: dict[str, tuple[Any, ...]] = {}
        categories: dict[str, Counter[str]] = {}
        for row in rows:
            for name, value in row.items():
                if type(value) is str:
                    categories.setdefault(name, Counter())[value] += 1
                elif value is not None:
                    if name not in numbers:
                        numbers[name] = tuple(make() for make in makers)
                    for one in numbers[name]:
                        one.update(value)
        size += len(numbers) + len(categories)
    return mark.until_now("river", events, signals=size)


CONTENDERS: dict[str, Callable[[int], Run]] = {one.__name__: one for one in (summaries, river)}

if __name__ == "__main__":
    print_run(CONTENDERS[sys.argv[1]](int(sys.argv[2])))

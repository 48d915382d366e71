"""Section ``capacity``: the coefficients of the formula of ``sizing``, and how far the formula is off.

Observe and decide are measured at some points to fit coefficients, and at others to check them; in processes
of their own, without Kafka (see ``loads``). What Kafka costs comes from the section ``throughput``, what the
join costs is measured as in the section ``join``, and the last check is everything on a real Kafka: the soak.
Makes the tables of docs/capacity.md anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks import results, sizing
from benchmarks.capacity_page import PAGE, written
from benchmarks.cores import WORKER_CORES, pinned
from benchmarks.loads import Cost, Point, measured
from benchmarks.sizing import Load
from stream_monitor.codecs.native import installed

SECTION = "capacity"
PENDING = 500_000
JOIN_S = 5

FIT = (
    Point("22 signals", 10_000),
    Point("22 signals, slowly", 1_000),
    Point("100 signals", 4_000, signals=100),
    Point("400 signals", 1_000, signals=400),
    Point("10 models", 10_000, models=10),
    Point("50 models", 10_000, models=50),
    Point("20 segments", 10_000, fields=1, segments=20),
    Point("3 fields of 10 segments", 10_000, fields=3, segments=10),
    Point("4 workers", 10_000, workers=4),
    Point("16 workers", 16_000, workers=16, partitions=64),
    Point("slices of 10 s", 1_000, slice_s=10, seconds=1_000),
    Point("64 workers, 2,048 partitions", 6_400, workers=64, partitions=2_048),
    Point("1,000 slices", 200, seconds=1_000),
)
CHECK = (
    Point("50 signals at 20,000/s", 20_000, signals=50),
    Point("20 models of 50 signals", 10_000, models=20, signals=50),
    Point("5 models, 2 fields of 5 segments, 4 workers", 10_000, 40, 5, 2, 5, 4, 32),
    Point("200 signals, 1 field of 10 segments", 2_000, signals=200, fields=1, segments=10),
    Point("64 workers, 512 partitions", 6_400, workers=64, partitions=512),
    Point("slices of 5 s, 10 models", 1_000, models=10, slice_s=5, seconds=500),
    Point("8 workers, 4 models", 16_000, models=4, workers=8, partitions=64),
    Point("400 slices", 500, seconds=400),
    Point("30 models of 30 signals, 2 workers", 15_000, signals=30, models=30, workers=2),
    Point("2 models of 60 signals, 2 fields of 8 segments", 8_000, 60, 2, 2, 8),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One point of one round."""

    point: Point
    cost: Cost


def load_of(point: Point) -> Load:
    """Slices and flushes of a point are aligned, and a worker reads all that is there once a second."""
    return Load(
        point.rate,
        point.signals,
        point.models,
        point.fields,
        point.segments,
        point.slice_s,
        pieces=1,
        polls=1,
        workers=point.workers,
        partitions=point.partitions,
    )


def run(rounds: int, folder: Path, console: Console) -> Path:
    """Measure, fit, check; returns the path of the JSON."""
    done = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        done.append([Taken(point, measured(point)) for point in (*FIT, *CHECK)])
    middle = {taken.point.name: middle_of([one[at] for one in done]) for at, taken in enumerate(done[0])}
    coefficients = {**of_kafka(folder), **of_join(), **fit(middle)}
    errors = {
        f"error_{what}_{point.name}": predicted / true - 1
        for point in CHECK
        for what, predicted, true in compared(point, middle[point.name], coefficients)
    }
    errors |= {f"error_{name}": error for name, error in of_soak(folder, coefficients).items()}
    figures = {name: float(f"{value:.4g}") for name, value in {**coefficients, **errors}.items()}
    settings = {"rounds": rounds, "pending": PENDING, "join_s": JOIN_S, "checks": [one.name for one in CHECK]}
    settings["kernel"] = installed() is not None
    path = results.save(SECTION, figures, settings, done, folder)
    for name, value in figures.items():
        console.print(f"{name}: {value:,}")
    if folder == results.FOLDER:
        PAGE.write_text(written(PAGE.read_text(), json.loads(path.read_text())))
        console.print(f"{PAGE.name} has its tables anew")
    return path


def middle_of(taken: Sequence[Taken]) -> Cost:
    return Cost(*(median(values) for values in zip(*(_values(one.cost) for one in taken), strict=True)))


def _values(cost: Cost) -> tuple[float, ...]:
    return cost.observe_s, cost.decide_s, cost.summaries_bytes, cost.decide_bytes, cost.state_bytes


def fit(middle: Mapping[str, Cost]) -> dict[str, float]:
    """Coefficients of the points of FIT, in us, bytes, and bytes of memory."""
    loads, costs = [load_of(point) for point in FIT], [middle[point.name] for point in FIT]
    found = sizing.fitted(
        "delta", [sizing.delta_terms(load) for load in loads], [one.summaries_bytes for one in costs]
    )
    size = [sizing.cost("delta", sizing.delta_terms(load), found) for load in loads]
    sized = list(zip(loads, size, strict=True))
    found |= sizing.fitted(
        "observe", [sizing.observe_terms(load) for load in loads], [one.observe_s * 1e6 for one in costs]
    )
    found |= sizing.fitted(
        "decide", [sizing.decide_terms(*one) for one in sized], [one.decide_s * 1e6 for one in costs]
    )
    grown = [sizing.memory_terms(load_of(point), point.seconds / point.slice_s) for point in FIT]
    return found | sizing.fitted("memory", grown, [one.decide_bytes for one in costs])


def compared(point: Point, true: Cost, coefficients: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """What, by the formula, as measured."""
    load = load_of(point)
    size = sizing.cost("delta", sizing.delta_terms(load), coefficients)
    observe = sizing.cost("observe", sizing.observe_terms(load), coefficients) / 1e6
    decide = sizing.cost("decide", sizing.decide_terms(load, size), coefficients) / 1e6
    held = sizing.cost("memory", sizing.memory_terms(load, point.seconds / point.slice_s), coefficients)
    return [
        ("observe", observe, true.observe_s),
        ("decide", decide, true.decide_s),
        ("summaries", size, true.summaries_bytes),
        ("memory", held, true.decide_bytes),
    ]


def of_kafka(folder: Path) -> dict[str, float]:
    """What an event costs beside decoding and observing: consume, produce, commit. Of ``throughput``."""
    figures = _figures(folder, "throughput")
    # Results of an earlier harness call it consume.
    consume_us = figures["c_limit_cpu_us" if "c_limit_cpu_us" in figures else "consume_cpu_us"]
    return {
        "consume_us": consume_us,
        "transport_us": figures["observe_cpu_us"] - (figures["core_cpu_us"] - consume_us),
    }


def of_join() -> dict[str, float]:
    """CPU of a prediction or label in the join, and bytes of its store for an event that waits."""
    command = [sys.executable, "-m", "benchmarks.join", str(PENDING), str(JOIN_S)]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch, pinned(WORKER_CORES):
        done = subprocess.run([*command, scratch], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    return {"join_row_us": 1e6 / found["rows_per_cpu_s"], "store_bytes": found["peak_bytes_per_pending"]}


def of_soak(folder: Path, coefficients: Mapping[str, float]) -> dict[str, float]:
    """How far the formula is off on a real Kafka, by role; nothing where the soak has no result yet."""
    if not (folder / "soak.json").exists():
        return {}
    figures, settings = _figures(folder, "soak"), _read(folder, "soak")["settings"]
    load = Load(
        figures["rate_events_per_s"],
        models=settings["models"],
        fields=1,
        segments=settings["segments"],
        labeled=settings["labeled"],
        partitions=settings["partitions"],
    )
    found = sizing.need(load, coefficients)
    by_role: dict[str, Callable[[], float]] = {
        "observe": lambda: found.observe_cores,
        "join": lambda: found.join_cores,
        "decide": lambda: found.decide_cores,
    }
    return {f"soak_{role}": cores() / figures[f"{role}_cpu"] - 1 for role, cores in by_role.items()}


def _figures(folder: Path, section: str) -> dict[str, float]:
    """Of an earlier run of another section; of the one that is kept where ``folder`` has none."""
    figures: dict[str, float] = _read(folder, section)["figures"]
    return figures


def _read(folder: Path, section: str) -> dict[str, Any]:
    path = folder / f"{section}.json"
    found: dict[str, Any] = json.loads((path if path.exists() else results.FOLDER / path.name).read_text())
    return found

"""The tables of docs/capacity.md, made of results/capacity.json alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.sizing import DAY_S, Load, Need, need

PAGE = Path(__file__).parents[1] / "docs" / "capacity.md"
HOUR_S = 3_600

EXAMPLES: Mapping[str, Load] = {
    "10 thousand": Load(10_000, models=5, labeled=0.5, delay_s=7 * DAY_S),
    "1 million": Load(
        1_000_000, models=20, fields=1, segments=10, labeled=0.5, delay_s=DAY_S, partitions=128
    ),
    "100 million, one pipeline": Load(100_000_000, models=20, fields=1, segments=10),
    "one of 100 pipelines": Load(1_000_000, models=2, fields=1, segments=10, labeled=0.1, delay_s=HOUR_S),
}

_COEFFICIENTS = {
    "observe_value": "observe: a signal of an event, us",
    "observe_again": "observe: the same once more for each field of segments, us",
    "observe_group": "observe: a model that a batch of at most 1,000 events holds, us",
    "observe_delta_signal": "observe: a signal of a delta, us",
    "observe_batch": "observe: a batch, us",
    "transport_us": "observe: consume, produce and commit, an event, us",
    "decide_delta_kb": "decide: a kB of deltas, us",
    "decide_subject": "decide: a subject of a closed slice, us",
    "decide_slot": "decide: a watched signal of a closed slice, us",
    "decide_report": "decide: a source partition, each time a flush comes, us",
    "join_row_us": "join: a prediction or label, us",
    "consume_us": "join: consume it, us",
    "delta_signal_log2": "summaries: a signal of a delta, for each doubling of its rows, bytes",
    "delta_report": "summaries: a source partition in a progress record, bytes",
    "memory_slot": "decide's memory: a watched signal, bytes",
    "memory_slot_log2": "decide's memory: and for each doubling of the slices seen, bytes",
    "memory_source": "decide's memory: a source partition, in each partition of summaries, bytes",
    "store_bytes": "store of the join, at its peak: an event within the label delay, bytes",
}
_CHECKED = ("observe", "decide", "summaries", "memory")


def written(page: str, result: Mapping[str, Any]) -> str:
    """The page with its tables made anew. Each stands between <!-- NAME --> and <!-- /NAME -->."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        place = pattern.search(page)
        assert place is not None, f"expected a place for the table {name}, got none"
        page = page[: place.start()] + place[1] + table(result) + place[2] + page[place.end() :]
    return page


def coefficients(result: Mapping[str, Any]) -> str:
    figures = result["figures"]
    rows = [(says, _shown(figures[name])) for name, says in _COEFFICIENTS.items()]
    return _table(("what", "costs"), rows)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def checks(result: Mapping[str, Any]) -> str:
    """Measured, and by how much the formula is off."""
    figures, rows = result["figures"], []
    taken = [one for done in result["rounds"] for one in done]
    for name in result["settings"]["checks"]:
        costs = [one["cost"] for one in taken if one["point"]["name"] == name]
        observe, decide, size, held = (
            median(cost[key] for cost in costs)
            for key in ("observe_s", "decide_s", "summaries_bytes", "decide_bytes")
        )
        measured = f"{observe:.3f}", f"{decide:.3f}", f"{size / 1e3:,.0f}", f"{held / 2**20:.1f}"
        errors = (f"{figures[f'error_{what}_{name}']:+.0%}" for what in _CHECKED)
        rows.append((name, *(f"{one} ({error})" for one, error in zip(measured, errors, strict=True))))
    soaked = [(role, f"error_soak_{role}") for role in ("observe", "join", "decide")]
    rows += [
        (f"{role} in the soak, on Kafka", f"({figures[error]:+.0%})", "", "", "")
        for role, error in soaked
        if error in figures
    ]
    heads = "point", "observe, cores", "decide, cores", "summaries, kB/s", "decide, MiB"
    return _table(heads, rows)


def examples(result: Mapping[str, Any]) -> str:
    found = {name: (load, need(load, result["figures"])) for name, load in EXAMPLES.items()}
    rows = [(says, *(cell(load, one) for load, one in found.values())) for says, cell in _CELLS.items()]
    return _table(("events/s", *found), rows)


def _labels(load: Load, _: Need) -> str:
    return f"{load.labeled:.0%}, {load.delay_s / HOUR_S:,g} h" if load.labeled else "none"


_CELLS: Mapping[str, Callable[[Load, Need], str]] = {
    "models x signals": lambda load, _: f"{load.models:,} x {load.signals}",
    "segments": lambda load, _: f"{load.fields} x {load.segments}" if load.fields else "none",
    "labels, at most so late": _labels,
    "input, MB/s": lambda _, one: f"{one.input_mb_s:,.1f}",
    "partitions of predictions": lambda _, one: f"{one.partitions:,}",
    "observe, cores (workers)": lambda _, one: f"{one.observe_cores:,.2f} ({one.observe_workers:,})",
    "summaries, MB/s": lambda _, one: f"{one.summaries_mb_s:,.1f}",
    "decide, cores (partitions of summaries)": lambda _, one: f"{one.decide_cores:,.2f} ({one.shares:,})",
    "progress records, cores of each of these partitions": lambda _, one: f"{one.ledger_cores:,.3f}",
    "decide, memory after a day, GiB": lambda _, one: f"{one.decide_gib:,.2f}",
    "join, cores": lambda _, one: f"{one.join_cores:,.2f}",
    "join, store, GiB": lambda _, one: f"{one.store_gib:,.0f}",
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "coefficients": coefficients,
    "checks": checks,
    "examples": examples,
}

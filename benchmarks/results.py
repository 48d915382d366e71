"""From runs to figures, to a table, and to results/SECTION.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import cores, facts
from benchmarks.bars import Bar, picture
from benchmarks.runs import Run

FOLDER = Path(__file__).with_name("results")


def by_contender(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.contender, []).append(run)
    return found


def spread(values: Iterable[float]) -> float:
    """(Largest - smallest) / median."""
    values = list(values)
    return (max(values) - min(values)) / median(values)


def throughput_figures(runs: Iterable[Run]) -> dict[str, float]:
    """The figures of the section ``throughput``: medians over the rounds, and ratios of medians.

    ``ratio_NAME`` is the pipeline's events/s over those of NAME; ``ratio_limit_40k`` those of the pipeline
    with so many events in a slice over those of ``limit``; ``ratio_limit_labels`` those of the pipeline with
    labels joined over those of a loop that parses predictions and labels. ``ratio_cpu_limit`` compares CPU an
    event, the same way round: more is better.
    """
    found = by_contender(runs)
    speed = {name: median(run.events_per_s for run in same) for name, same in found.items()}
    cpu_us = {name: median(run.cpu_us for run in same) for name, same in found.items()}
    pipeline = found["pipeline"]
    figures = {
        "events_per_s": speed["pipeline"],
        "events_per_s_spread": spread(run.events_per_s for run in pipeline),
        "ratio_cpu_limit": cpu_us["limit"] / cpu_us["pipeline"],
        "cpu_us": cpu_us["pipeline"],
        "observe_cpu_us": median(run.more["observe_cpu_s"] / run.events for run in pipeline) * 1e6,
        "decide_cpu_us": median(run.more["decide_cpu_s"] / run.events for run in pipeline) * 1e6,
        "pipeline_rss_mib": median(run.rss_mib for run in pipeline),
        "alerts": median(len(run.more["alerts"]) for run in pipeline),
    }
    for name in ("limit", "naive", "quixstreams"):
        if name in found:
            figures[f"ratio_{name}"] = speed["pipeline"] / speed[name]
    if "pipeline_40k" in found:
        figures["ratio_limit_40k"] = speed["pipeline_40k"] / speed["limit"]
        figures["ratio_cpu_limit_40k"] = cpu_us["limit"] / cpu_us["pipeline_40k"]
    if "pipeline_labels" in found:
        figures["ratio_limit_labels"] = speed["pipeline_labels"] / speed["limit_labels"]
    for name in found.keys() - {"pipeline"}:
        figures[f"{name}_events_per_s"] = speed[name]
        figures[f"{name}_cpu_us"] = cpu_us[name]
    return rounded(figures)


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Four digits of each are more than can be measured again."""
    return {name: float(f"{value:.4g}") for name, value in sorted(figures.items())}


def show(runs: Iterable[Run], console: Console, against: str = "limit", title: str | None = None) -> None:
    """One line a contender: medians over the rounds, the spread of events/s, and the ratio to one of them."""
    found = by_contender(runs)
    table = Table(title=title or cores.said())
    table.add_column("contender")
    for heading in ("events", "events/s", "spread", "CPU us/event", "RSS MiB", f"x {against}"):
        table.add_column(heading, justify="right")
    limit = median(run.events_per_s for run in found[against])
    for name, same in sorted(
        found.items(), key=lambda item: median(run.wall_s / run.events for run in item[1])
    ):
        speed = median(run.events_per_s for run in same)
        table.add_row(
            name,
            f"{same[0].events:,}",
            f"{speed:,.0f}",
            f"{spread(run.events_per_s for run in same):.1%}",
            f"{median(run.cpu_us for run in same):.2f}",
            f"{median(run.rss_mib for run in same):.0f}",
            f"{speed / limit:.3f}",
        )
    console.print(table)


def draw(section: str, runs: Iterable[Run], folder: Path) -> Path:
    """Write SECTION.svg: events/s of each contender."""
    bars = [
        Bar(name, [run.events_per_s for run in same], ours=name.startswith("pipeline"))
        for name, same in by_contender(runs).items()
    ]
    path = folder / f"{section}.svg"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(picture("Events a second", cores.said(), bars))
    return path


GATHERED = {
    "scaling_2": "scaling",
    "arrow_events_per_s": "arrow",
    "rss_mib": "models",
    "p99_alert_s": "latency",
}
"""Figures of other sections that are told with those of throughput, and their sections."""


def gather(folder: Path, into: str = "throughput") -> None:
    """Copy the GATHERED figures of the results that are there, if there is one to put them in."""
    path = folder / f"{into}.json"
    if not path.exists():
        return
    content = json.loads(path.read_text())
    for name, section in GATHERED.items():
        other = folder / f"{section}.json"
        if other.exists() and name in (figures := json.loads(other.read_text())["figures"]):
            content["figures"][name] = figures[name]
    content["figures"] = dict(sorted(content["figures"].items()))
    path.write_text(json.dumps(content, indent=2) + "\n")


def save(
    section: str,
    figures: Mapping[str, float],
    settings: Mapping[str, Any],
    rounds: Sequence[Sequence[Any]],
    folder: Path,
) -> Path:
    """Write SECTION.json, the form of every section. ``rounds`` holds dataclasses."""
    path = folder / f"{section}.json"
    content = {
        "section": section,
        "figures": dict(figures),
        "machine": facts.machine(),
        "versions": facts.versions(),
        "settings": dict(settings),
        "rounds": [[asdict(run) for run in runs] for runs in rounds],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path

"""Section ``models``: what many models, partitions, features, segments, longer slices and late events cost,
against a base case.

The base case is one model of 20 features. Every case is a topic of its own that is filled first; then observe
and decide run on one core, as in ``throughput``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks import results
from benchmarks.cores import BROKER_CORES, pinned
from benchmarks.mixes import Mixed, learning, names
from benchmarks.runs import Run
from benchmarks.topic import PARTITIONS, fill
from benchmarks.workers import Deployment, run_deployment
from stream_monitor.load.events import Mix
from stream_monitor.load.population import Synthetic
from tests.kafka.broker import Broker, Cluster

SECTION = "models"
BASE = "base"


@dataclass(frozen=True, slots=True)
class Case:
    """``share``: of the events of the base case, so that each takes about as long. ``slices``: at least.
    ``late``: every so many-th event is, none where 0."""

    name: str
    models: int = 1
    model_skew: float = 0.0
    features: int = 20
    categories: int = 4
    segments: int = 0
    partitions: int = PARTITIONS
    share: float = 1.0
    slices: int = 20
    slice_s: int = 1
    late: int = 0

    def workload(self, events: int) -> Mixed:
        n = max(self.slices, int(events * self.share))
        population = Synthetic(self.features, self.categories, self.segments or 50)
        mix = Mix(1, names(self.models), self.model_skew)
        return Mixed(n, mix, population, rate=max(1, min(10_000, n // self.slices)), late=self.late)

    def settings(self, workload: Mixed) -> dict[str, Any]:
        """Of every model. Segments are the values of the first category."""
        segments = [f"category_{self.features - self.categories}"] if self.segments else []
        more = {"segments": segments, "max_signals": max(256, self.features), "slice": f"{self.slice_s}s"}
        return {**learning(workload.seconds), **more}


CASES = (
    Case(BASE),
    Case("models_1000", models=1_000, model_skew=1.0),
    Case("partitions_64", partitions=64),
    Case("features_1000", features=1_000, categories=200, share=0.02),
    Case("segments_20", segments=20, share=0.5),
    Case("slices_of_10_s", slice_s=10),
    Case("late_10_percent", late=10),
    Case("memory", models=10, features=100, categories=20, segments=10, share=0.1, slices=100),
)
"""``memory``: 100 features x 10 segments x 10 models, in slices enough for detectors to have learned."""


def run(events: int, rounds: int, folder: Path, console: Console, cases: Sequence[Case] = CASES) -> Path:
    """Fill the topics, run the rounds; returns the path of the JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with pinned(BROKER_CORES):
            broker = Broker(Path(name) / "kafka").start()
        try:
            deployments = {case.name: _filled(broker, case, events) for case in cases}
            done: list[list[Run]] = []
            for number in range(rounds):
                console.print(f"round {number + 1} of {rounds}")
                done.append([run_deployment(one, Path(name), case) for case, one in deployments.items()])
        finally:
            broker.stop()
    runs = [run for runs in done for run in runs]
    results.show(runs, console, against=BASE)
    settings = {"events": events, "model_skew": "exponent of Zipf's law", "memory": "largest of the workers"}
    path = results.save(SECTION, figures_of(results.by_contender(runs)), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def _filled(cluster: Cluster, case: Case, events: int) -> Deployment:
    workload, topic = case.workload(events), cluster.unique(case.name)
    fill(cluster, topic, workload, case.partitions)
    return Deployment(cluster, topic, workload.events, model=case.settings(workload))


def figures_of(found: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """Medians of each case, ``NAME_ratio`` its events/s over those of the base case; ``rss_mib`` the largest
    worker of the case ``memory``."""
    figures: dict[str, float] = {}
    base = median(run.events_per_s for run in found[BASE])
    for name, runs in found.items():
        speed = median(run.events_per_s for run in runs)
        figures |= {
            f"{name}_events_per_s": speed,
            f"{name}_ratio": speed / base,
            f"{name}_cpu_us": median(run.cpu_us for run in runs),
        }
        for role in ("observe", "decide"):
            figures[f"{name}_{role}_cpu_us"] = median(
                run.more[f"{role}_cpu_s"] / run.events * 1e6 for run in runs
            )
            figures[f"{name}_{role}_rss_mib"] = median(run.more[f"{role}_rss_mib"] for run in runs)
    if "memory" in found:
        figures["rss_mib"] = max(figures["memory_observe_rss_mib"], figures["memory_decide_rss_mib"])
    return results.rounded(figures)

"""Section ``throughput``: this pipeline against a loop that only parses, and against river event by event.

All contenders read the same filled topic on a real Kafka, one after the other within each round.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import environments, results
from benchmarks.contenders import NAIVE_EVENTS_MAX
from benchmarks.cores import BROKER_CORES, pinned
from benchmarks.generator import Workload
from benchmarks.labels import Labels
from benchmarks.runs import Run, run_contender
from benchmarks.topic import PARTITIONS, fill
from benchmarks.workers import Deployment, run_deployment, run_pipeline
from stream_monitor.runtime.kafka import CONSUME_MAX
from tests.kafka.broker import Broker, Cluster

SECTION = "throughput"
SLICES_MIN = 100
RATE_MAX = 10_000
RATE_LARGE = 40_000
"""Events in a slice of ``pipeline_40k``: what does not grow with events is divided by four times as many."""
SWEEP_EVENTS_MAX = 500_000
SWEEP_RUNS = 2
DEFAULTS: dict[str, Any] = {"batch": 1_000, "fetch.queue.backoff.ms": 10}
SWEEP: dict[str, list[Any]] = {
    # librdkafka's own default of the first is 1000. One setting at a time, the best is kept.
    "fetch.queue.backoff.ms": [1, 100, 1_000],
    "batch": [200, 5_000],
    "queued.min.messages": [10_000, 1_000_000],
    "fetch.message.max.bytes": [262_144, 4_194_304],
    "fetch.wait.max.ms": [10],
}


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics: predictions, their labels, and predictions with RATE_LARGE of them in a slice."""

    predictions: str
    labels: str | None = None
    large: str | None = None

    @classmethod
    def filled(cls, broker: Cluster, workload: Workload) -> Topics:
        """The last one where there are slices enough to learn from."""
        names = {name: broker.unique(name) for name in ("predictions", "labels")}
        fill(broker, names["predictions"], workload)
        fill(broker, names["labels"], Labels(workload))
        if workload.events >= RATE_LARGE * SLICES_MIN:
            names["large"] = broker.unique("large")
            fill(broker, names["large"], replace(workload, rate=RATE_LARGE))
        return cls(**names)


def run(events: int, rounds: int, folder: Path, console: Console) -> Path:
    """Fill a topic, sweep the settings of ``limit``, run the rounds; returns the path of the JSON."""
    workload = Workload(events, rate=min(RATE_MAX, max(1, events // SLICES_MIN)))
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        scratch = Path(name)
        with pinned(BROKER_CORES):
            broker = Broker(scratch / "kafka").start()
        try:
            topics = Topics.filled(broker, workload)
            best = sweep(broker, topics.predictions, min(events, SWEEP_EVENTS_MAX), console)
            python, why_not = environments.found("quix")
            done: list[list[Run]] = []
            for number in range(rounds):
                console.print(f"round {number + 1} of {rounds}")
                done.append(one_round(broker, topics, events, best, scratch, python))
        finally:
            broker.stop()
    runs = [run for runs in done for run in runs]
    results.show(runs, console)
    settings = {
        "workload": asdict(workload),
        "partitions": PARTITIONS,
        "limit": best,
        "naive": f"rate of {min(events, NAIVE_EVENTS_MAX)} events",
        "quixstreams": why_not or f"rate of {min(events, NAIVE_EVENTS_MAX)} events",
    }
    path = results.save(SECTION, results.throughput_figures(runs), settings, done, folder)
    results.draw(SECTION, runs, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def one_round(
    cluster: Cluster,
    topics: Topics,
    events: int,
    best: dict[str, Any],
    scratch: Path,
    quix: Path | None = None,
) -> list[Run]:
    """Every contender once. Without a topic or ``quix`` those that need it are left out."""
    topic = topics.predictions
    own = {"batch": CONSUME_MAX, "fetch.queue.backoff.ms": DEFAULTS["fetch.queue.backoff.ms"]}
    few = min(events, NAIVE_EVENTS_MAX)
    runs = [
        read(cluster, "c_limit", topic, events, best),
        read(cluster, "limit", topic, events, best),
        read(cluster, "core", topic, events, own),
        run_pipeline(cluster, topic, events, scratch),
        read(cluster, "naive", topic, few, best),
    ]
    if topics.large is not None:
        runs.append(run_deployment(Deployment(cluster, topics.large, events), scratch, "pipeline_40k"))
    if topics.labels is not None:
        joined = Deployment(cluster, topic, events, labels=topics.labels)
        runs.append(read(cluster, "limit", topic, events, best, topics.labels))
        runs.append(run_deployment(joined, scratch, "pipeline_labels"))
    if quix is not None:
        settings = {"bootstrap": cluster.bootstrap, "topic": topic, "events": few, "properties": own_of(best)}
        for job in (False, True):
            settings |= {"group": cluster.unique("quix"), "job": job}
            runs.append(environments.run_in(quix, "benchmarks.quix", settings))
    return runs


def own_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Of ``settings`` those of librdkafka."""
    return {name: value for name, value in settings.items() if name != "batch"}


def read(
    cluster: Cluster,
    contender: str,
    topic: str,
    events: int,
    settings: dict[str, Any],
    labels: str | None = None,
) -> Run:
    """Run a contender that is one process. ``settings``: those of librdkafka, and ``batch``."""
    return run_contender(
        contender,
        bootstrap=cluster.bootstrap,
        topic=topic,
        events=events,
        properties=own_of(settings),
        batch=settings["batch"],
        labels=labels,
    )


def sweep(cluster: Cluster, topic: str, events: int, console: Console) -> dict[str, Any]:
    """Find the settings that make ``limit`` fastest: it is to be the best that it can be."""

    def speed_with(settings: dict[str, Any]) -> float:
        return max(read(cluster, "limit", topic, events, settings).events_per_s for _ in range(SWEEP_RUNS))

    best, speed = dict(DEFAULTS), speed_with(DEFAULTS)
    for name, values in SWEEP.items():
        for value in values:
            tried = {**best, name: value}
            found = speed_with(tried)
            console.print(f"limit, {name} {value}: {found:,.0f} events/s (best so far {speed:,.0f})")
            if found > speed:
                best, speed = tried, found
    return best

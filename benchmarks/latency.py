"""Section ``latency``: from the end of a slice to its alert in the hands of a reader of committed records.

At 10, 50 and 90 % of the rate at which the core would be full, by the CPU that the same deployment takes of a
filled topic. Slices of 1 s, lateness 0: what is measured is how fast the pipeline is, and not how long it was
told to wait. Workers have a core for themselves; broker, load and reader share the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import looking, results
from benchmarks.cores import BROKER_CORES, pinned
from benchmarks.flipping import Rhythm
from benchmarks.mixes import Mixed, learning, names
from benchmarks.runs import Run
from benchmarks.stages_of_alerts import Latency, latencies, watching
from benchmarks.topic import PARTITIONS, TOPIC_SETTINGS, fill
from benchmarks.workers import Deployment, run_deployment, started
from stream_monitor.load.events import Mix
from tests.kafka.broker import Broker, Cluster

SECTION = "latency"
RHYTHM = Rhythm()
RATE = 10_000
"""Events in a second of event time of the topic that is filled."""
SHARES = (0.1, 0.5, 0.9)
PERCENTILES = (50.0, 99.0, 99.9)
END_TIMEOUT_S = 60.0
MORE: dict[str, Any] = {"predictions": {"lateness": "0s"}, "summaries": {"partitions": 1}}


@dataclass(frozen=True, slots=True)
class Measured:
    """At one rate: what the load did, and the latencies of all alerts, in s, by stage."""

    rate: float
    load: dict[str, float]
    alerts: int
    stages: dict[str, dict[str, float]] = field(default_factory=dict)


def run(events: int, seconds: float, folder: Path, console: Console) -> Path:
    """Find the capacity with ``events`` events, then load for ``seconds`` at each share of it."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with pinned(BROKER_CORES):
            broker = Broker(Path(name) / "kafka").start()
        try:
            capacity = capacity_of(broker, events, Path(name))
            console.print(f"capacity {capacity:,.0f} events/s")
            measured = {share: measure(broker, capacity * share, seconds, Path(name)) for share in SHARES}
        finally:
            broker.stop()
    figures = {"capacity_events_per_s": capacity}
    for share, one in measured.items():
        at = f"at_{share * 100:.0f}"
        figures[f"{at}_alerts"] = one.alerts
        figures[f"{at}_load_behind_s"] = one.load["behind_s"]
        for stage, of in one.stages.items():
            figures |= {f"{at}_{stage}_{name}_s": value for name, value in of.items()}
    figures["p99_alert_s"] = measured[0.5].stages["total"]["p99"]
    show(measured, console)
    settings = {"rhythm": asdict(RHYTHM), "seconds": seconds, "partitions": PARTITIONS, "slice": "1s", **MORE}
    done = [list(measured.values())]
    path = results.save(SECTION, results.rounded(figures), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def capacity_of(cluster: Cluster, events: int, folder: Path) -> float:
    """Events/s at which the workers' core would be full, with the models of this section."""
    topic, workload = cluster.unique("filled"), Mixed(events, Mix(1, names(RHYTHM.models)), rate=RATE)
    fill(cluster, topic, workload)
    run = run_deployment(
        Deployment(cluster, topic, events, model=learning(workload.seconds), more=MORE), folder
    )
    return full_at(run, workload.seconds)


def _watched(rhythm: Rhythm) -> dict[str, Any]:
    """ADWIN, too: the scan would need more slices than a model lasts until it flips."""
    return {"learn": f"{rhythm.learn_s}s", "detectors": ["scan", "adwin"]}


def full_at(run: Run, seconds: float) -> float:
    """From the CPU of a run over ``seconds`` of event time: observe costs by event, decide by slice."""
    decide_share = float(run.more["decide_cpu_s"]) / seconds
    if decide_share >= 1:
        raise RuntimeError(f"expected decide to keep up, got {decide_share:.1f} s of CPU for each second")
    return float((1 - decide_share) * run.events / run.more["observe_cpu_s"])


def measure(cluster: Cluster, rate: float, seconds: float, folder: Path, rhythm: Rhythm = RHYTHM) -> Measured:
    """Load for ``seconds`` at ``rate``, with all that reads it in place before."""
    topic = cluster.create_topic(cluster.unique("live"), PARTITIONS, TOPIC_SETTINGS)
    pipeline, admin = cluster.unique("run"), cluster.admin()
    deployment = Deployment(cluster, topic, int(rate * seconds), model=_watched(rhythm), more=MORE)
    summaries, alerts = f"{pipeline}.drift.summaries", f"{pipeline}.drift.alerts"
    with ExitStack() as stack:
        for role in deployment.roles:
            worker = stack.enter_context(started(deployment, pipeline, role, folder))
        seen = stack.enter_context(watching(cluster.bootstrap, [(summaries, 0), (alerts, 0)]))
        config = deployment.configuration(pipeline, 0, folder)
        load = _loaded({"config": config, "rate": rate, "seconds": seconds, "rhythm": asdict(rhythm)})
        ends = looking.ends(cluster.bootstrap, topic)
        group = f"{pipeline}.stream-monitor.observe"
        worker.wait_for(lambda: looking.reached(admin, group, ends), END_TIMEOUT_S)
        time.sleep(2.0)  # The alerts of the last slices.
    by_topic = {name: [one for one in seen if one.message.topic() == name] for name in (summaries, alerts)}
    found = latencies(by_topic[summaries], by_topic[alerts], PARTITIONS)
    return Measured(rate, load, len(found), stages_of(found))


def _loaded(settings: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.flipping", json.dumps(settings)]
    with pinned(BROKER_CORES):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, timeout=settings["seconds"] * 4 + 60
        )
    load: dict[str, float] = json.loads(done.stdout)
    return load


def stages_of(found: list[Latency]) -> dict[str, dict[str, float]]:
    """Percentiles of each stage and of the total. An error of a run without any alert."""
    if not found:
        raise RuntimeError("expected alerts, got none: the run was too short for its models to flip")
    columns = {name: [getattr(one, name) for one in found] for name in (*Latency._fields, "total")}
    return {
        name: {f"p{one:g}": float(np.percentile(values, one)) for one in PERCENTILES}
        for name, values in columns.items()
    }


def show(measured: dict[float, Measured], console: Console) -> None:
    """A line each share and stage."""
    table = Table(title="From the end of a slice to its committed alert, s")
    for heading in ("share", "events/s", "alerts", "stage", *(f"p{one:g}" for one in PERCENTILES)):
        table.add_column(heading, justify="right")
    for share, one in measured.items():
        for stage, of in one.stages.items():
            figures = (f"{value:.3f}" for value in of.values())
            table.add_row(f"{share:.0%}", f"{one.rate:,.0f}", f"{one.alerts:,}", stage, *figures)
    console.print(table)

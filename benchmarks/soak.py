"""Section ``soak``: all three roles on two cores for as long as asked, at half of what they can do.

``make soak MINUTES=60``. A real broker, labels for half of the predictions, every check, a field of segments.
What the roles can do together is measured first, with a backlog. Then the load comes at half of that, and
every few seconds it is noted how much memory, file handles and disk they hold, how far they are behind, and
how long commits and alerts take. Broker and load share the same cores. After half of the time each series
has to be flat (see ``trend``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks import looking, results
from benchmarks.join import size_of
from benchmarks.lines import Panel, picture
from benchmarks.soak_load import LABELED, Load
from benchmarks.soaked import ROLES, Alerts, Sample, Worker, machine_cpu_s, workers
from benchmarks.topic import TOPIC_SETTINGS
from benchmarks.trend import Trend, trend
from tests.kafka.broker import Broker, Cluster

SECTION = "soak"
EVERY_S_MAX = 5.0
PARTITIONS = 4
SHARE = 0.5
WARM_UP = 1 / 2
"""Windows of detectors grow with the logarithm of time: in the later half by one doubling."""
BACKLOG = Load("", "", "", rate=20_000, seconds=150, delay_s=100, behind_s=180)
"""Long enough for labels to look for predictions that are no longer in memory: of fresh ones
the join does half as many again as it can keep up."""
LATENESS_S = 1
SEGMENTS = 3
"""Values of the field of segments."""
HORIZON_LEAST_S = 30
FLOORS: dict[str, float] = {
    "rss_mib": 5,
    "handles": 2,
    "commit_ms": 10,
    "store_mib": 5,
    "alert_s": 0.1,
}
"""Growth that counts as nothing, beside 2 %, in the unit of the series; of lag a second of the load."""
PANELS = {
    "rss_mib": "resident memory, MiB",
    "handles": "file handles",
    "store_mib": "store of the join on disk, MiB",
    "log_mib": "its write-ahead logs, MiB: cut at 128 each",
    "lag": "lag, records",
    "commit_ms": "a commit, ms (mean)",
    "alert_s": "end of slice to committed alert, s",
    "cpu": "cores in use",
}


@dataclass(frozen=True, slots=True)
class Took:
    """One round of the section: what was seen at a time after the load began."""

    at_s: float
    sample: Sample


def document(cluster: Cluster, name: str, minutes: float, store: Path) -> dict[str, Any]:
    """Everything as by default but what minutes instead of days of event time ask for."""
    horizon_s = horizon_of(minutes)
    quality = {"class": {"task": "binary", "score": "score", "positive": "decline"}}
    return {
        "pipeline": name,
        "kafka": {"bootstrap.servers": cluster.bootstrap},
        "predictions": {"topics": [f"{name}.predictions"], "lateness": f"{LATENESS_S}s"},
        "labels": {
            "topics": [f"{name}.labels"],
            "horizon": f"{horizon_s}s",
            "slice": "10s",
            "cohort": "30s",
            "store": str(store),
        },
        "models": {
            "*": {
                "learn": "30s",
                "segments": ["plan"],
                "quality": quality,
                # ADWIN tells of every probe, the scan of those that it has learned enough to see.
                "detectors": ["scan", "adwin", "page_hinkley"],
            }
        },
    }


def horizon_of(minutes: float) -> int:
    """A twelfth of the time: what the store holds is full before the warm-up ends."""
    return max(HORIZON_LEAST_S, int(minutes * 60 / 12))


def run(minutes: float, folder: Path, console: Console) -> Path:
    """Measure, judge, draw; returns the path of the JSON. The picture lies beside it."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        broker = Broker(Path(scratch) / "kafka", {"log.retention.check.interval.ms": 30_000}).start()
        try:
            capacity, took, sent, ages_s = measure(broker, minutes, Path(scratch), console)
        finally:
            broker.stop()
    rate = int(capacity * SHARE)
    trends = judge(took, rate, minutes * 60 * WARM_UP)
    figures = figures_of(took, trends, ages_s, minutes)
    figures |= {
        "capacity_events_per_s": capacity,
        "rate_events_per_s": rate,
        "late_s_max": sent["late_s_max"],
    }
    for name, one in trends.items():
        console.print(f"{name}: {one.text()}")
    settings = {
        "minutes": minutes,
        "warm_up": WARM_UP,
        "backlog": asdict(BACKLOG),
        "horizon_s": horizon_of(minutes),
        "models": BACKLOG.models + BACKLOG.probes,
        "segments": SEGMENTS,
        "labeled": LABELED,
        "partitions": PARTITIONS,
        "shared": "broker, load and all roles are on the same cores",
    }
    rounded = {name: float(f"{value:.4g}") for name, value in sorted(figures.items())}
    path = results.save(SECTION, rounded, settings, [took], folder)
    path.with_suffix(".svg").write_text(drawn(took, trends, minutes, rate))
    console.print(f"figures are in {path.parent.name}/{path.name}, the picture in {SECTION}.svg")
    return path


def measure(
    cluster: Cluster, minutes: float, scratch: Path, console: Console
) -> tuple[float, list[Took], dict[str, float], list[float]]:
    """Capacity (events/s), samples, what the load says it sent, and the ages of all alerts."""
    name = cluster.unique("soak")
    topics = f"{name}.predictions", f"{name}.labels"
    kept_s = max(900, 4 * horizon_of(minutes))
    for topic in topics:
        kept = {"retention.ms": str(kept_s * 1000), "segment.bytes": str(64 * 2**20)}
        cluster.create_topic(topic, PARTITIONS, {**TOPIC_SETTINGS, **kept})
    settings = document(cluster, name, minutes, scratch / "store")
    backlog = _load(
        cluster,
        topics,
        **{key: getattr(BACKLOG, key) for key in ("rate", "seconds", "delay_s")},
        behind_s=BACKLOG.behind_s,
    )
    _wait(backlog)
    with workers(settings, scratch) as roles:
        capacity = BACKLOG.rate * BACKLOG.seconds / drained_s(cluster, name, topics, roles)
        rate = int(capacity * SHARE)
        console.print(
            f"all roles together did {capacity:,.0f} events/s; now {rate:,} for {minutes:g} minutes"
        )
        load = _load(
            cluster, topics, rate=rate, seconds=minutes * 60, delay_s=horizon_of(minutes) * 0.9, first=10**9
        )
        alerts = Alerts(cluster, f"{name}.drift.alerts")
        try:
            took, ages_s = samples(roles, alerts, scratch / "store", load, minutes)
            return capacity, took, _wait(load), ages_s
        finally:
            alerts.close()
            load.kill()
            load.wait()


def _load(cluster: Cluster, topics: tuple[str, str], **settings: Any) -> subprocess.Popen[bytes]:
    known = asdict(Load(cluster.bootstrap, *topics, **settings))
    command = [sys.executable, "-m", "benchmarks.soak_load", json.dumps(known)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _wait(load: subprocess.Popen[bytes]) -> dict[str, float]:
    output, _ = load.communicate(timeout=600)
    if load.returncode:
        raise RuntimeError(f"the load: expected to end well, got exit code {load.returncode}")
    said: dict[str, float] = json.loads(output)
    return said


def drained_s(cluster: Cluster, name: str, topics: Sequence[str], roles: Sequence[Worker]) -> float:
    """Until both roles that read the input have committed all of it; the clock starts when they are ready."""
    began_s = time.monotonic()
    predictions, labels = (looking.ends(cluster.bootstrap, topic) for topic in topics)
    admin, ends = cluster.admin(), {"observe": predictions, "join": {**predictions, **labels}}
    while not all(looking.reached(admin, f"{name}.stream-monitor.{role}", end) for role, end in ends.items()):
        for role in roles:
            role.check()
        time.sleep(0.05)
    return time.monotonic() - began_s


def samples(
    roles: Sequence[Worker], alerts: Alerts, store: Path, load: subprocess.Popen[bytes], minutes: float
) -> tuple[list[Took], list[float]]:
    """One every few seconds, for as long as the load comes; and the ages of the alerts after the warm-up."""
    every_s = min(EVERY_S_MAX, minutes)
    took, ages_s, begin_s, busy_s = [], [], time.monotonic(), machine_cpu_s()
    with Progress() as bar:
        task = bar.add_task("soaking", total=minutes * 60)
        for role in roles:
            role.sample()
        for number in range(1, int(minutes * 60 / every_s)):
            new_s = alerts.until(begin_s + number * every_s)
            sample: Sample = store_sample(store)
            sample["alert_s"] = mean(new_s) if new_s else float("nan")
            for role in roles:
                sample |= role.sample()
                sample[f"{role.role}_cpu"] /= every_s
            before_s, busy_s = busy_s, machine_cpu_s()
            sample["machine_cpu"] = (busy_s - before_s) / every_s
            at_s = time.monotonic() - begin_s
            took.append(Took(round(at_s, 2), {key: float(f"{value:.4g}") for key, value in sample.items()}))
            if at_s >= minutes * 60 * WARM_UP:
                ages_s += new_s
            if load.poll():
                raise RuntimeError(f"the load: expected to go on, got exit code {load.returncode}")
            bar.update(task, completed=at_s)
    return took, ages_s


def store_sample(store: Path) -> Sample:
    """MiB: entries apart from the write-ahead logs, which are cut once each has reached its bound."""
    log_bytes = sum(path.stat().st_size for path in store.rglob("*.log"))
    return {"store_mib": (size_of(store) - log_bytes) / 2**20, "log_mib": log_bytes / 2**20}


def judge(took: Sequence[Took], rate: float, from_s: float) -> dict[str, Trend]:
    """Of every series that has a floor, after ``from_s``."""
    late = [one for one in took if one.at_s >= from_s]
    found = {}
    for name in took[0].sample:
        what = name.partition("_")[2] if name.partition("_")[0] in ROLES else name
        floor = rate if what == "lag" else FLOORS.get(what)
        if floor is not None:
            found[name] = trend([one.at_s for one in late], [one.sample[name] for one in late], floor)
    return found


def figures_of(
    took: Sequence[Took], trends: dict[str, Trend], ages_s: Sequence[float], minutes: float
) -> dict[str, float]:
    """Means and growth after the warm-up, whether all is flat (1), and percentiles of the ages of alerts."""
    figures = {"flat": float(all(one.is_flat for one in trends.values())), "alerts": float(len(ages_s))}
    for name, one in trends.items():
        figures |= {f"{name}_mean": one.mean, f"{name}_growth": one.growth, f"{name}_error": one.error}
    for share in (50, 99):
        figures[f"alert_s_p{share}"] = float(np.percentile(ages_s, share))
    late = [one.sample for one in took if one.at_s >= minutes * 60 * WARM_UP]
    figures["machine_cpu"] = mean(one["machine_cpu"] for one in late)
    for role in ROLES:
        figures[f"{role}_cpu"] = mean(one[f"{role}_cpu"] for one in late)
        figures[f"{role}_aborts"] = sum(one.sample[f"{role}_aborts"] for one in took)
    return figures


def drawn(took: Sequence[Took], trends: dict[str, Trend], minutes: float, rate: float) -> str:
    """The picture: a panel a kind of series, a line a role."""
    panels = []
    for what, title in PANELS.items():
        names = [name for name in took[0].sample if name == what or name.endswith(f"_{what}")]
        series = {name.removesuffix(f"_{what}"): [one.sample[name] for one in took] for name in names}
        judged = [trends[name] for name in names if name in trends]
        says = ("flat" if all(one.is_flat for one in judged) else "grows") if judged else ""
        panels.append(Panel(title, series, says))
    title = f"{minutes:g} minutes at {rate:,.0f} events/s; grey: warm-up"
    return picture(title, [one.at_s for one in took], panels, minutes * 60 * WARM_UP)


def main() -> int:
    parser = ArgumentParser("benchmarks.soak", description="All roles at half load, for some time.")
    parser.add_argument("--minutes", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=results.FOLDER, help="where the JSON goes")
    args = parser.parse_args()
    path = run(args.minutes, args.results, Console())
    return 0 if json.loads(path.read_text())["figures"]["flat"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""Section ``load``: how fast ``stream-monitor load`` is on one core, so that it is not what limits a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks import results
from benchmarks.cores import BROKER_CORES, WORKER_CORES, pinned
from benchmarks.runs import Run, peak_rss_mib
from benchmarks.topic import PARTITIONS
from tests.kafka.broker import Broker, Cluster

SECTION = "load"
POLL_S = 0.05
MIXES: dict[str, list[str]] = {
    "plain": [],
    "size_550": ["--size", "550"],
    "models_1000": ["--models", "1000", "--model-skew", "1"],
    "labels_half": ["--labels", "0.5"],
    "features_100": ["--features", "100", "--categories", "20"],
}
_SAID = re.compile(r"([\d,]+) events in .*?\(([\d,]+)/s\).*, 0 failed")


def run(events: int, rounds: int, folder: Path, console: Console) -> Path:
    """Send ``events`` of each mix in turns; returns the path of the JSON."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        with pinned(BROKER_CORES):
            broker = Broker(Path(name) / "kafka").start()
        try:
            done = [[send(broker, mix, events, Path(name)) for mix in MIXES] for _ in range(rounds)]
        finally:
            broker.stop()
    runs = [run for runs in done for run in runs]
    results.show(runs, console, against="plain")
    figures = {
        f"{name}_events_per_s": median(run.events_per_s for run in same)
        for name, same in results.by_contender(runs).items()
    }
    settings = {"events": events, "mixes": {name: " ".join(options) for name, options in MIXES.items()}}
    path = results.save(SECTION, results.rounded(figures), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def send(cluster: Cluster, mix: str, events: int, folder: Path) -> Run:
    """One load on the worker's core. CPU and memory are of the whole process, with its start."""
    predictions, labels = (
        cluster.create_topic(cluster.unique(name), PARTITIONS) for name in ("predictions", "labels")
    )
    config = folder / f"{predictions}.yaml"
    document = {
        "kafka": {"bootstrap.servers": cluster.bootstrap},
        "predictions": {"topics": [predictions]},
        "labels": {"topics": [labels]},
    }
    config.write_text(json.dumps(document))
    command = [sys.executable, "-m", "stream_monitor.cli", "load", str(config), "--events", str(events)]
    with (
        pinned(WORKER_CORES),
        subprocess.Popen(
            [*command, *MIXES[mix]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
    ):
        assert process.stdout is not None
        ended, rss_mib = 0, 0.0
        while not ended:
            time.sleep(POLL_S)
            rss_mib = _peak(process.pid, rss_mib)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = process.stdout.read()
    found = _SAID.match(said)
    if found is None:
        raise RuntimeError(f"load: expected all events sent, got {said!r}")
    sent, rate = (int(text.replace(",", "")) for text in found.groups())
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(mix, sent, sent / rate, cpu_s, rss_mib)


def _peak(pid: int, before: float) -> float:
    try:
        return peak_rss_mib(pid)
    except ProcessLookupError:  # It has ended, and waits to be told.
        return before

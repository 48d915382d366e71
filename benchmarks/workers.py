"""The contender that all others are there for: an observe and a decide worker, as their users run them."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from benchmarks import labels, looking
from benchmarks.cores import WORKER_CORES, pinned
from benchmarks.runs import Run, cpu_s, peak_rss_mib, timeout_s
from tests.kafka.broker import Cluster, free_ports

LEARN_SHARE = 0.3
POLL_S = 0.02
START_TIMEOUT_S = 60.0
LATENESS = "2s"
_COMMAND = (sys.executable, "-m", "stream_monitor.cli")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a run's workers read and with what settings. ``events``: predictions in ``topic``.

    ``labels``: the topic of labels; with it there is a join worker. ``model``: settings of every model beside
    those that all runs have; ``more``: sections of the configuration.
    """

    cluster: Cluster
    topic: str
    events: int
    labels: str | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        """Decide first: who is ready last is the first to be asked whether it is done."""
        return ["decide", "join", "observe"] if self.labels else ["decide", "observe"]

    def configuration(self, pipeline: str, http_port: int, folder: Path) -> dict[str, Any]:
        document = configuration(self.cluster.bootstrap, self.topic, pipeline, self.events, http_port)
        document["models"]["*"] |= self.model
        if self.labels:
            document["labels"] = {"topics": [self.labels], "store": str(folder / f"{pipeline}.store")}
            document["models"]["*"] |= {"quality": labels.QUALITY}
        for name, section in self.more.items():
            document[name] = {**document.get(name, {}), **section}
        return document


def configuration(
    bootstrap: str, topic: str, pipeline: str, events: int, http_port: int = 0
) -> dict[str, Any]:
    """Everything is as by default but what a benchmark of a few minutes of event time has to shorten."""
    return {
        "pipeline": pipeline,
        "kafka": {"bootstrap.servers": bootstrap},
        "predictions": {"topics": [topic], "lateness": LATENESS},
        "http": {"port": http_port},
        "models": {"*": {"learn": int(events * LEARN_SHARE)}},
    }


def run_pipeline(cluster: Cluster, topic: str, events: int, folder: Path) -> Run:
    """``run_deployment`` of predictions alone, all as by default."""
    return run_deployment(Deployment(cluster, topic, events), folder)


def run_deployment(deployment: Deployment, folder: Path, name: str = "pipeline") -> Run:
    """All workers on one core, from when the first of those that read input owns its partitions until all is
    committed and alerted. What a later one needs to start is in that time, and not in its CPU seconds.

    ``more`` holds the CPU seconds and the peak memory of each worker, and the signals that were alerted.
    """
    cluster, limit_s = deployment.cluster, timeout_s(deployment.events)
    pipeline, admin = cluster.unique("run"), cluster.admin()
    read = looking.ends(cluster.bootstrap, deployment.topic)
    joined = read | looking.ends(cluster.bootstrap, deployment.labels) if deployment.labels else {}
    with ExitStack() as stack:
        workers, cpu_begin_s, begin_s = {}, {}, math.inf
        for role in deployment.roles:
            workers[role] = stack.enter_context(started(deployment, pipeline, role, folder))
            cpu_begin_s[role] = workers[role].cpu_s
            if role != "decide":
                begin_s = min(begin_s, time.perf_counter())
        for role, worker in reversed(workers.items()):
            ends = {"observe": read, "join": joined}.get(role)
            if ends is None:
                ends = looking.ends(cluster.bootstrap, f"{pipeline}.drift.summaries")
            group = f"{pipeline}.stream-monitor.{role}"
            worker.wait_for(partial(looking.reached, admin, group, ends), limit_s)
        wall_s = time.perf_counter() - begin_s
        cpu = {role: worker.cpu_s - cpu_begin_s[role] for role, worker in workers.items()}
        rss_mib = {role: peak_rss_mib(worker.pid) for role, worker in workers.items()}
    more = {
        **{f"{role}_cpu_s": one for role, one in cpu.items()},
        **{f"{role}_rss_mib": one for role, one in rss_mib.items()},
        "alerts": _alerted(cluster.bootstrap, f"{pipeline}.drift.alerts"),
    }
    return Run(name, deployment.events, wall_s, sum(cpu.values()), sum(rss_mib.values()), more)


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of ours."""

    role: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def wait_for(self, done: Callable[[], bool], limit_s: float) -> None:
        deadline_s = time.monotonic() + limit_s
        while True:
            # Asked first: what it did last before it ended counts.
            has_ended = self.process.poll() is not None
            if done():
                return
            if has_ended or time.monotonic() > deadline_s:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(
                    f"{self.role}: expected to be done in {limit_s:g} s, "
                    f"got exit code {self.process.returncode}:\n{tail}"
                )
            time.sleep(POLL_S)


@contextmanager
def started(
    deployment: Deployment,
    pipeline: str,
    role: str,
    folder: Path,
    *,
    name: str | None = None,
    cores: frozenset[int] = WORKER_CORES,
) -> Iterator[Worker]:
    """One that is ready: it owns its partitions. The first one creates the topics."""
    (port,) = free_ports(1)
    name = name or role
    config, log = folder / f"{pipeline}.{name}.yaml", folder / f"{pipeline}.{name}.log"
    config.write_text(json.dumps(deployment.configuration(pipeline, port, folder)))
    subprocess.run([*_COMMAND, "topics", "create", str(config)], check=True, capture_output=True)
    command = [*_COMMAND, "run", "--role", role, "--name", name, str(config)]
    with log.open("wb") as stderr, pinned(cores):
        process = subprocess.Popen(command, stdout=stderr, stderr=stderr)
    worker = Worker(role, process, log)
    try:
        worker.wait_for(lambda: _is_ready(port), START_TIMEOUT_S)
        yield worker
        process.send_signal(signal.SIGTERM)
        worker.wait_for(lambda: process.poll() == 0, START_TIMEOUT_S)
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (URLError, OSError):
        return False


def _alerted(bootstrap: str, topic: str) -> list[str]:
    """The signals that alerts name, one an alert."""
    values = [orjson.loads(message.value() or b"") for message in looking.read(bootstrap, topic)]
    return sorted(value["signal"]["name"] for value in values if "signal" in value)

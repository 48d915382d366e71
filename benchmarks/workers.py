"""The contender that all others are there for: an observe and a decide worker, as their users run them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson

from benchmarks import looking
from benchmarks.cores import WORKER_CORES, pinned
from benchmarks.runs import Run, cpu_s, peak_rss_mib, timeout_s
from tests.kafka.broker import Cluster, free_ports

LEARN_SHARE = 0.3
POLL_S = 0.02
START_TIMEOUT_S = 60.0
LATENESS = "2s"
_COMMAND = (sys.executable, "-m", "stream_monitor.cli")


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
    """Both workers on one core, from when observe owns its partitions until all is committed and alerted.

    ``more`` holds the CPU seconds of each worker and the signals that were alerted.
    """
    name, admin, limit_s = cluster.unique("run"), cluster.admin(), timeout_s(events)
    predictions = looking.ends(cluster.bootstrap, topic)
    with ExitStack() as stack:
        decide = stack.enter_context(_worker(cluster, topic, name, "decide", events, folder))
        observe = stack.enter_context(_worker(cluster, topic, name, "observe", events, folder))
        begin_s, observe_begin_s, decide_begin_s = time.perf_counter(), observe.cpu_s, decide.cpu_s
        observe.wait_for(
            lambda: looking.reached(admin, f"{name}.stream-monitor.observe", predictions), limit_s
        )
        summaries = looking.ends(cluster.bootstrap, f"{name}.drift.summaries")
        decide.wait_for(lambda: looking.reached(admin, f"{name}.stream-monitor.decide", summaries), limit_s)
        wall_s = time.perf_counter() - begin_s
        observe_s, decide_s = observe.cpu_s - observe_begin_s, decide.cpu_s - decide_begin_s
        observe_mib, decide_mib = peak_rss_mib(observe.pid), peak_rss_mib(decide.pid)
    more = {
        "observe_cpu_s": observe_s,
        "decide_cpu_s": decide_s,
        "observe_rss_mib": observe_mib,
        "decide_rss_mib": decide_mib,
        "alerts": _alerted(cluster.bootstrap, f"{name}.drift.alerts"),
    }
    return Run("pipeline", events, wall_s, observe_s + decide_s, observe_mib + decide_mib, more)


@dataclass(frozen=True, slots=True)
class _Worker:
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
        while not done():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                tail = self.log.read_text(errors="replace")[-3000:]
                raise RuntimeError(
                    f"{self.role}: expected to be done in {limit_s:g} s, "
                    f"got exit code {self.process.returncode}:\n{tail}"
                )
            time.sleep(POLL_S)


@contextmanager
def _worker(
    cluster: Cluster, topic: str, name: str, role: str, events: int, folder: Path
) -> Iterator[_Worker]:
    """One that is ready: it owns its partitions. The first one creates the topics."""
    (port,) = free_ports(1)
    config, log = folder / f"{name}.{role}.yaml", folder / f"{name}.{role}.log"
    config.write_text(json.dumps(configuration(cluster.bootstrap, topic, name, events, port)))
    subprocess.run([*_COMMAND, "topics", "create", str(config)], check=True, capture_output=True)
    command = [*_COMMAND, "run", "--role", role, "--name", role, str(config)]
    with log.open("wb") as stderr, pinned(WORKER_CORES):
        process = subprocess.Popen(command, stdout=stderr, stderr=stderr)
    worker = _Worker(role, process, log)
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
    return sorted(value["signal"]["name"] for value in values)

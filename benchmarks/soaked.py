"""The workers of the soak and what is read of them from outside: /proc, /metrics, the alerts topic."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import orjson
from confluent_kafka import Consumer
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.runs import cpu_s
from tests.kafka.broker import Cluster, free_ports

ROLES = ("observe", "join", "decide")
START_TIMEOUT_S = 60.0
Sample = dict[str, float]
"""By name, as "ROLE_WHAT"; NaN where there is nothing to be seen."""


@dataclass(slots=True)
class Worker:
    """A role as a process of its own."""

    role: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    counted: dict[str, float] = field(default_factory=dict)
    """What counters stood at, at the last sample."""

    @property
    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except (URLError, OSError):
            return False

    def check(self) -> None:
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"{self.role}: ended with {self.process.returncode}:\n{tail}")

    def sample(self) -> Sample:
        """``commit_ms`` is the mean, ``cpu`` the CPU seconds, ``aborts`` the number since the last sample."""
        self.check()
        metrics = self._metrics()
        known = {
            "rss_mib": _resident_mib(self.process.pid),
            "handles": len(list(Path(f"/proc/{self.process.pid}/fd").iterdir())),
            "cpu": self._since("cpu", cpu_s(self.process.pid)),
            "aborts": self._since("aborts", metrics.get("aborts_total", 0.0)),
        }
        commits = self._since("commits", metrics.get("commit_seconds_count", 0.0))
        spent_s = self._since("commit_s", metrics.get("commit_seconds_sum", 0.0))
        known["commit_ms"] = spent_s / commits * 1000 if commits else math.nan
        if "lag_records" in metrics:
            known["lag"] = metrics["lag_records"]
        return {f"{self.role}_{name}": value for name, value in known.items()}

    def _since(self, name: str, value: float) -> float:
        before, self.counted[name] = self.counted.get(name, value), value
        return value - before

    def _metrics(self) -> dict[str, float]:
        """By name, summed over labels."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found: dict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                found[one.name.removeprefix("stream_monitor_")] += one.value
        return found


def machine_cpu_s() -> float:
    """CPU seconds that all cores were busy with anything, so far."""
    user, nice, system, _idle, _waits, *others = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, *others[:2]))) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def workers(document: Mapping[str, Any], folder: Path) -> Iterator[list[Worker]]:
    """One of each role, ready; ended as SIGTERM does."""
    config = folder / "monitor.yaml"
    config.write_text(json.dumps(document))
    command = [sys.executable, "-m", "stream_monitor.cli"]
    subprocess.run([*command, "topics", "create", str(config)], check=True, capture_output=True)
    started: list[Worker] = []
    try:
        for role, port in zip(ROLES, free_ports(len(ROLES)), strict=True):
            log = folder / f"{role}.log"
            options = ["--role", role, "--name", role, "--port", str(port)]
            with log.open("wb") as to:
                process = subprocess.Popen([*command, "run", *options, str(config)], stdout=to, stderr=to)
            started.append(Worker(role, port, log, process))
        end_s = time.monotonic() + START_TIMEOUT_S
        while not all(one.is_ready for one in started):
            for one in started:
                one.check()
            if time.monotonic() > end_s:
                raise TimeoutError(f"expected all roles ready in {START_TIMEOUT_S:g} s")
            time.sleep(0.05)
        yield started
        for one in started:
            one.process.send_signal(signal.SIGTERM)
        for one in started:
            one.process.wait(START_TIMEOUT_S)
            assert one.process.returncode == 0, one.role
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()


class Alerts:
    """Committed alerts as they come, and how long after the end of their slice each was here."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "group.id": "benchmarks.soak",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.subscribe([topic])

    def until(self, end_s: float) -> list[float]:
        """Seconds, of those that come until then (monotonic clock); of features and outputs alone: what
        labels say is told of slices of another length."""
        ages_s = []
        while (left_s := end_s - time.monotonic()) > 0:
            message = self._consumer.poll(min(left_s, 0.2))
            if message is None or message.error() is not None:
                continue
            alert = orjson.loads(message.value() or b"")
            if alert["signal"]["kind"] in ("feature", "output"):
                ages_s.append(time.time() - datetime.fromisoformat(alert["time"]).timestamp())
        return ages_s

    def close(self) -> None:
        self._consumer.close()

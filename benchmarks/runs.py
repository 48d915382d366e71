"""One run of one contender, and how processes are measured."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.cores import WORKER_CORES, pinned


def timeout_s(events: int) -> float:
    """What a run may take before it is given up: so slow is none that works."""
    return 120 + events / 2_000


@dataclass(frozen=True, slots=True)
class Run:
    """``wall_s`` and ``cpu_s`` are from the first events at hand to the last one done, without start-up.

    ``cpu_s`` is user and system time of whole processes with librdkafka's threads; ``rss_mib`` their peak.
    """

    contender: str
    events: int
    wall_s: float
    cpu_s: float
    rss_mib: float
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Of one event."""
        return self.cpu_s / self.events * 1e6


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of this process: wall clock and CPU seconds."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Self:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.perf_counter(), usage.ru_utime + usage.ru_stime)

    def until_now(self, contender: str, events: int, **more: Any) -> Run:
        now = Mark.now()
        # Not getrusage's: its peak includes the process that this one was forked from.
        rss_mib = peak_rss_mib(os.getpid())
        return Run(contender, events, now.wall_s - self.wall_s, now.cpu_s - self.cpu_s, rss_mib, more)


def run_contender(name: str, **settings: Any) -> Run:
    """Run a contender of ``benchmarks.contenders`` in a process of its own, on the worker's core."""
    command = [sys.executable, "-m", "benchmarks.contenders", name, json.dumps(settings)]
    with pinned(WORKER_CORES):
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, timeout=timeout_s(settings["events"])
        )
    return Run(**json.loads(done.stdout))


def print_run(run: Run) -> None:
    """What ``run_contender`` reads."""
    sys.stdout.write(json.dumps(asdict(run)))


def cpu_s(pid: int) -> float:
    """CPU seconds of another process so far, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid: int) -> float:
    """Peak resident memory of another process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid}: expected a peak of memory, got none: it has ended")

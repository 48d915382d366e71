"""Section ``scaling``: two observe processes on two cores against one, on a topic that is already filled.

The workers get their partitions of an empty topic, are stopped (SIGSTOP), the topic is filled, they go on: so
the clock starts with all records there and no rebalance under way. On two cores the broker has none for
itself: it runs on both at the lowest priority (nice 19), in the single run as well, and serves from the page
cache; what CPU time it took is deducted from the cores that the two workers had. Rates are those between
commits, without start and end.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka.admin import AdminClient
from rich.console import Console

from benchmarks import looking, results
from benchmarks.cores import BROKER_CORES, WORKER_CORES
from benchmarks.generator import Workload
from benchmarks.runs import Run, cpu_s, peak_rss_mib, timeout_s
from benchmarks.topic import PARTITIONS, TOPIC_SETTINGS, fill
from benchmarks.workers import START_TIMEOUT_S, Deployment, Worker, started
from tests.kafka.broker import Broker

SECTION = "scaling"
LOWEST_PRIORITY = 19
COMMITS_MIN = 4
CORES = (WORKER_CORES, frozenset(sorted(BROKER_CORES)[-1:]))
"""Of the first worker and of the second."""
MORE: dict[str, Any] = {
    # They are stopped for longer than a session, and than an empty partition is waited for.
    "kafka": {"session.timeout.ms": 300_000},
    "predictions": {"idle_after": "1h"},
}


def run(events: int, rounds: int, folder: Path, console: Console) -> Path:
    """Run one and two workers in turns; returns the path of the JSON."""
    workload = Workload(events)
    done: list[list[Run]] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name, Broker(Path(name) / "kafka") as broker:
        pid = pid_of(broker)
        _lower(pid)
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}")
            done.append([read_by(count, broker, pid, workload, Path(name)) for count in (1, 2)])
    runs = [run for runs in done for run in runs]
    results.show(runs, console, against="observe_1", title="a core for each observe process, broker on both")
    figures = figures_of(results.by_contender(runs))
    settings = {"events": events, "partitions": PARTITIONS, "broker": "both cores, nice 19, page cache warm"}
    path = results.save(SECTION, results.rounded(figures), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


def figures_of(found: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """``scaling_2_wall`` is the ratio of events/s as it was.

    ``scaling_2`` is that of events/s for each core that the workers had: one in the single run, and in the
    other two less the broker's CPU time; times two. ``scaling_2_cpu`` is twice the ratio of events a CPU
    second of the workers: what two cores would do that wait for nobody.
    """
    speed, cpu_us, broker = (
        {name: median(map(of, runs)) for name, runs in found.items()}
        for of in (_speed, _cpu_us, _broker_cores)
    )
    wall = speed["observe_2"] / speed["observe_1"]
    return {
        "scaling_2": 2 * wall / (2 - broker["observe_2"]),
        "scaling_2_wall": wall,
        "scaling_2_cpu": 2 * cpu_us["observe_1"] / cpu_us["observe_2"],
        **{f"{name}_events_per_s": one for name, one in speed.items()},
        **{f"{name}_cpu_us": one for name, one in cpu_us.items()},
        **{f"{name}_broker_cores": one for name, one in broker.items()},
    }


def _speed(run: Run) -> float:
    return run.events_per_s


def _cpu_us(run: Run) -> float:
    return run.cpu_us


def _broker_cores(run: Run) -> float:
    return float(run.more["broker_cpu_s"] / run.more["whole_s"])


def read_by(count: int, broker: Broker, broker_pid: int, workload: Workload, folder: Path) -> Run:
    """All of the workload by so many observe workers, each on a core of its own."""
    topic, pipeline = broker.unique("predictions"), broker.unique("run")
    broker.create_topic(topic, PARTITIONS, TOPIC_SETTINGS)
    deployment = Deployment(broker, topic, workload.events, more=MORE)
    group, admin = f"{pipeline}.stream-monitor.observe", broker.admin()
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                started(deployment, pipeline, "observe", folder, name=f"observe-{at}", cores=CORES[at])
            )
            for at in range(count)
        ]
        shares = _shares(admin, group, count)
        _signal(workers, signal.SIGSTOP)
        try:
            fill(broker, topic, workload, create=False)
        finally:
            _signal(workers, signal.SIGCONT)
        cpu_begin_s, broker_begin_s, begin_s = _cpu_s(workers), cpu_s(broker_pid), time.perf_counter()
        ends, steps = looking.ends(broker.bootstrap, topic), [Steps([(begin_s, 0)]) for _ in shares]

        def done() -> bool:
            offsets = looking.committed(admin, group, list(ends))
            for share, one in zip(shares, steps, strict=True):
                one.add(time.perf_counter(), sum(max(0, offsets.get(place, 0)) for place in share))
            return all(offsets[place] >= end for place, end in ends.items())

        workers[0].wait_for(done, timeout_s(workload.events))
        more = {
            "broker_cpu_s": cpu_s(broker_pid) - broker_begin_s,
            "whole_s": time.perf_counter() - begin_s,
            "each_events_per_s": [one.rate for one in steps],
        }
        used_s, rss_mib = _cpu_s(workers) - cpu_begin_s, sum(peak_rss_mib(one.pid) for one in workers)
    steady_s = workload.events / sum(one.rate for one in steps)
    return Run(f"observe_{count}", workload.events, steady_s, used_s, rss_mib, more)


@dataclass(slots=True)
class Steps:
    """What one worker had committed, and when, from its begin on: it commits about once a second."""

    seen: list[tuple[float, int]]

    def add(self, at_s: float, committed: int) -> None:
        if committed > self.seen[-1][1]:
            self.seen.append((at_s, committed))

    @property
    def rate(self) -> float:
        """Events/s from the first commit to the last but one: it may have needed a part of the last."""
        moved = [one for one in self.seen if one[1] > 0]
        if len(moved) < COMMITS_MIN:
            return moved[-1][1] / (moved[-1][0] - self.seen[0][0])
        (begin_s, first), (end_s, last) = moved[0], moved[-2]
        return (last - first) / (end_s - begin_s)


def _signal(workers: list[Worker], what: signal.Signals) -> None:
    for one in workers:
        os.kill(one.pid, what)


def _cpu_s(workers: list[Worker]) -> float:
    return sum(one.cpu_s for one in workers)


def _shares(admin: AdminClient, group: str, count: int) -> list[list[looking.Place]]:
    """The partitions of each worker, once each has its share."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        described = admin.describe_consumer_groups([group])[group].result(looking.CALL_TIMEOUT_S)
        owned = [
            [(one.topic, one.partition) for one in member.assignment.topic_partitions]
            for member in described.members
        ]
        if [len(one) for one in owned] == [PARTITIONS // count] * count:
            return owned
        time.sleep(0.1)
    raise TimeoutError(f"{group}: expected shares of {PARTITIONS // count} partitions, got {owned}")


def pid_of(broker: Broker) -> int:
    """The broker's process."""
    log = str(broker.log.parent)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and log in (command := _command_of(folder)) and "kafka.Kafka" in command:
            return int(folder.name)
    raise ProcessLookupError(f"{log}: expected a broker that runs, got none")


def _lower(pid: int) -> None:
    """Give way to the workers: every thread of a process."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), LOWEST_PRIORITY)


def _command_of(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""

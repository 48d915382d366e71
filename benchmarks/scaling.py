"""Section ``scaling``: two observe processes on two cores against one, on a topic that is already filled.

The workers get their partitions of an empty topic, are stopped (SIGSTOP), the topic is filled, they go on: so
the clock starts with all records there and no rebalance under way. On two cores the broker has none for
itself: it runs on both at the lowest priority (nice 19), in the single run as well, and serves from the page
cache; ``broker_cpu_s`` says what it took of both.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import ExitStack
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
    results.show(runs, console, against="observe_1")
    found = results.by_contender(runs)
    speed = {name: median(run.events_per_s for run in same) for name, same in found.items()}
    figures = {
        "scaling_2": speed["observe_2"] / speed["observe_1"],
        **{f"{name}_events_per_s": one for name, one in speed.items()},
        **{
            f"{name}_broker_share": median(run.more["broker_cpu_s"] / run.wall_s / 2 for run in same)
            for name, same in found.items()
        },
    }
    settings = {"events": events, "partitions": PARTITIONS, "broker": "both cores, nice 19, page cache warm"}
    path = results.save(SECTION, results.rounded(figures), settings, done, folder)
    console.print(f"figures are in {path.parent.name}/{path.name}")
    return path


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
        _wait_for_shares(admin, group, count)
        _signal(workers, signal.SIGSTOP)
        try:
            fill(broker, topic, workload, create=False)
        finally:
            _signal(workers, signal.SIGCONT)
        begin_s, cpu_begin_s, broker_begin_s = time.perf_counter(), _cpu_s(workers), cpu_s(broker_pid)
        ends = looking.ends(broker.bootstrap, topic)
        workers[0].wait_for(lambda: looking.reached(admin, group, ends), timeout_s(workload.events))
        wall_s = time.perf_counter() - begin_s
        used_s, broker_s = _cpu_s(workers) - cpu_begin_s, cpu_s(broker_pid) - broker_begin_s
        rss_mib = sum(peak_rss_mib(one.pid) for one in workers)
    return Run(f"observe_{count}", workload.events, wall_s, used_s, rss_mib, {"broker_cpu_s": broker_s})


def _signal(workers: list[Worker], what: signal.Signals) -> None:
    for one in workers:
        os.kill(one.pid, what)


def _cpu_s(workers: list[Worker]) -> float:
    return sum(one.cpu_s for one in workers)


def _wait_for_shares(admin: AdminClient, group: str, count: int) -> None:
    """Until each worker owns its share of the partitions."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        described = admin.describe_consumer_groups([group])[group].result(looking.CALL_TIMEOUT_S)
        owned = [len(member.assignment.topic_partitions) for member in described.members]
        if owned == [PARTITIONS // count] * count:
            return
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

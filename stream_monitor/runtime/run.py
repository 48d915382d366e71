"""Run a worker: observe reads predictions and writes summaries, decide reads summaries and writes alerts;
join reads predictions and labels and writes summaries of both together; repartition brings to one place what
the join has to read there.

Every process of one role needs a name of its own that stays the same over restarts: the host's by
default, as a StatefulSet gives it. SIGTERM and Ctrl-C finish the commit that is due and end the worker.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry

from stream_monitor import native
from stream_monitor.config import Config, load_config
from stream_monitor.errors import StreamMonitorError
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import logs
from stream_monitor.runtime.health import Health
from stream_monitor.runtime.kafka import check_brokers
from stream_monitor.runtime.workers import JOIN, REPARTITION, ROLES, roles_of, worker

log = logging.getLogger(__name__)

END_TIMEOUT_S = 30


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="the YAML file")
    roles = [*ROLES, JOIN, REPARTITION, "all"]
    all_roles = "default: observe, decide, and join and repartition where they are needed, as processes"
    parser.add_argument("--role", choices=roles, default="all", help=all_roles)
    parser.add_argument("--name", default=socket.gethostname(), help="stable name (default: %(default)s)")
    ports = "in place of http.port; of several processes, the others have the next ones"
    parser.add_argument("--port", type=int, help=ports)


def main(args: Namespace) -> int:
    logs.setup()
    config = load_config(args.config)
    port = config.http.port if args.port is None else args.port
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if args.role == "all":
        check_brokers(config)
        return _run_all(args, roles_of(config), port, stop)
    return _run_one(config, args.role, args.name, port, stop)


def _run_one(config: Config, role: str, name: str, port: int, stop: threading.Event) -> int:
    registry = CollectorRegistry()
    health = Health(registry)
    found_port = health.start(config.http.host, port)
    try:
        extra = {"role": role, "worker": name, "port": found_port, "kernel": native.said()}
        log.info("worker starts", extra=extra)
        one = worker(role, config, name, Metrics(registry), health)
        _spare_the_collector()
        one.run(stop)
        log.info("worker ends", extra={"role": role, "worker": name})
    except KafkaException as error:
        message = f"kafka: {error.args[0].str()}; the worker stops, and goes on from its last commit"
        raise StreamMonitorError(message) from error
    finally:
        health.stop()
    return 0


def _spare_the_collector() -> None:
    """A batch is thousands of live tuples: with the default of 700 they set off collections that find
    nothing, 0.5 us an event. What start-up made is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


def _run_all(args: Namespace, roles: Sequence[str], port: int, stop: threading.Event) -> int:
    """One process a role, for each keeps a processor busy. When one ends, the others are ended too."""
    command = [sys.executable, "-m", "stream_monitor.cli", "run", args.config, "--name", args.name]
    processes = [
        subprocess.Popen([*command, "--role", role, "--port", str(port and port + i)])  # noqa: S603 (our own)
        for i, role in enumerate(roles)
    ]
    while not stop.is_set() and all(process.poll() is None for process in processes):
        stop.wait(0.2)
    return next((code for code in ended(processes) if code), 0)


def ended(processes: Sequence[subprocess.Popen[bytes]], timeout_s: float = END_TIMEOUT_S) -> list[int]:
    """The exit codes of processes that are told to end, and killed where they have not after a while."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    end_s = time.monotonic() + timeout_s
    for process in processes:
        try:
            process.wait(max(0.1, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("worker killed, for it did not end", extra={"pid": process.pid})
            process.kill()
    return [process.wait() for process in processes]

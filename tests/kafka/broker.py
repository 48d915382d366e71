"""A real Apache Kafka (one KRaft broker) for tests and benchmarks.

The jars are those that ``pom.xml`` names. Maven resolves them once into a cache that later runs share.
"""

from __future__ import annotations

import base64
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET

from confluent_kafka.admin import AdminClient, NewTopic

CACHE_ENV = "STREAM_MONITOR_KAFKA_CACHE"
POM = Path(__file__).with_name("pom.xml")
PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to clients: else one of them could hold ours at a restart."""

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

SETTINGS: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    # A killed broker is not let in again before its last session has run out.
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 2000,
    "log.cleaner.dedupe.buffer.size": 16 * 2**20,
}


class KafkaUnavailableError(Exception):
    """There is no broker to be had here; the message says what to install."""


class BrokerFailedError(Exception):
    """The broker did not start; the message holds the end of its log."""


class Cluster:
    """A cluster that answers at ``bootstrap``, and what tests ask of one."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def admin(self) -> AdminClient:
        # Nothing is logged: a refused connection is what a restart looks like.
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def unique(self, prefix: str) -> str:
        """A name that no other test, and no other run on the same cluster, has."""
        return f"{prefix}-{uuid.uuid4().hex[:10]}"

    def create_topic(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create the topic, with the cluster's default of replicas; returns its name once it is usable."""
        admin = self.admin()
        # Fewer than one replica stands for "the default of the cluster".
        topic = NewTopic(name, partitions, replication_factor=-1, config=dict(config or {}))
        admin.create_topics([topic], operation_timeout=60)[name].result(60)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            known = admin.list_topics(name, timeout=60).topics[name].partitions
            if len(known) == partitions and all(p.leader >= 0 for p in known.values()):
                return name
            time.sleep(0.02)
        raise TimeoutError(f"topic {name}: expected {partitions} partitions with leaders within 60 s")


class Broker(Cluster):
    """One broker on loopback, with its log and data under ``folder``.

    The port and the data outlive ``stop`` (SIGTERM) and ``kill`` (SIGKILL): ``restart`` goes on with both.
    ``overrides`` are broker settings that replace those of SETTINGS.
    """

    def __init__(self, folder: Path, overrides: Mapping[str, object] | None = None) -> None:
        self._java, self._class_path = _java(), f"{_jars()}/*"
        self._folder = folder
        self._overrides = dict(overrides or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "broker.log"
        port, self._controller_port = free_ports(2)
        super().__init__(f"127.0.0.1:{port}")

    def start(self) -> Self:
        """Format the data folder if it is new, start, and return once the broker answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        properties = self._folder / "server.properties"
        if not properties.exists():
            properties.write_text(self._properties())
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()
            self._run_format(properties, cluster_id)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command("-Xmx512m", "-XX:+UseSerialGC"), "kafka.Kafka", str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_answering()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """An orderly shutdown. Does nothing when the broker does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a power cut would, as far as its process goes."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop if it runs, and start on the same port and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _properties(self) -> str:
        listener, controller = self.bootstrap, f"127.0.0.1:{self._controller_port}"
        settings = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://{listener},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{listener}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": self._folder / "data",
            **self._overrides,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _command(self, *options: str) -> list[str]:
        return [self._java, *options, "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", self._class_path]

    def _run_format(self, properties: Path, cluster_id: str) -> None:
        command = [*self._command(), "kafka.tools.StorageTool", "format"]
        arguments = [f"--cluster-id={cluster_id}", f"--config={properties}"]
        with self.log.open("ab") as log:
            done = subprocess.run([*command, *arguments], stdout=log, stderr=log, check=False, timeout=60)
        if done.returncode != 0:
            raise BrokerFailedError(self._said("the data folder to be formatted"))

    def _wait_until_answering(self) -> None:
        assert self._process is not None
        host, port = self.bootstrap.split(":")
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                listening = probe.connect_ex((host, int(port))) == 0
            if listening and self.admin().list_topics(timeout=START_TIMEOUT_S).brokers:
                return
            time.sleep(0.05)
        raise BrokerFailedError(self._said(f"an answer within {START_TIMEOUT_S} s"))

    def _said(self, expected: str) -> str:
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        return f"Kafka at {self.bootstrap}: expected {expected}; the end of {self.log}:\n{tail}"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Distinct ports of loopback that nobody listens on."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise KafkaUnavailableError(f"expected {count} free ports in {PORTS}, got {len(found)}")


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise KafkaUnavailableError(
            "no `java` on the PATH: install a Java runtime >= 17 (Debian: openjdk-17-jre-headless)"
        )
    return java


def _jars() -> Path:
    """The folder of Kafka's jars, resolved by Maven when the cache does not hold those of ``pom.xml``."""
    cache = Path(os.environ.get(CACHE_ENV) or _default_cache())
    cache.mkdir(parents=True, exist_ok=True)
    jars, resolved_pom = cache / "jars", cache / "pom.xml"
    with _locked(cache / "lock"):
        if not resolved_pom.exists() or resolved_pom.read_bytes() != POM.read_bytes():
            shutil.rmtree(jars, ignore_errors=True)
            _resolve(jars)
            resolved_pom.write_bytes(POM.read_bytes())
    return jars


def _default_cache() -> Path:
    namespaces = {"m": "http://maven.apache.org/POM/4.0.0"}
    version = ET.parse(POM).findtext(".//m:dependency[m:artifactId='kafka_2.13']/m:version", None, namespaces)
    return Path.home() / ".cache" / "stream-monitor" / f"kafka-{version}"


def _resolve(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError(
            "no `mvn` on the PATH to fetch Kafka's jars with: install Maven (Debian: maven)"
        )
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise KafkaUnavailableError(
            f"Maven could not fetch Kafka's jars: {(done.stdout + done.stderr)[-2000:]}"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file alone among all processes: two runs may start at once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

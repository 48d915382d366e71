"""Fixtures that every test may use: a real Kafka, shared or of one's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from tests.kafka.broker import Broker, Cluster, KafkaUnavailableError

BOOTSTRAP_ENV = "STREAM_MONITOR_TEST_BOOTSTRAP"
REQUIRE_ENV = "STREAM_MONITOR_REQUIRE_KAFKA"
LOG_LINES = 40

# How long an example takes is no promise, and a busy machine is slow.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    # Without this a terminated run would leave its broker behind.
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows how the logs of its processes end: elsewhere nobody can look at them."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None:
        for path in sorted(folder.glob("*.log")):
            end = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
            report.sections.append((f"the end of {path.name}", "\n".join(end)))
    return report


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that all tests share: the one that the environment names, or a broker of this run."""
    bootstrap = os.environ.get(BOOTSTRAP_ENV)
    if bootstrap:
        yield Cluster(bootstrap)
        return
    with _broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that one test may stop, kill and restart."""
    with _broker(tmp_path / "kafka") as broker:
        yield broker


def _broker(folder: Path) -> Broker:
    try:
        return Broker(folder)
    except KafkaUnavailableError as error:
        if os.environ.get(REQUIRE_ENV) == "1":
            pytest.fail(f"{REQUIRE_ENV}=1, and no Kafka: {error}", pytrace=False)
        pytest.skip(f"needs Kafka: {error}")

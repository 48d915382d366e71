"""Fixtures that every test may use: a real Kafka, shared or of one's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.kafka.broker import Broker, Cluster, KafkaUnavailableError

BOOTSTRAP_ENV = "STREAM_MONITOR_TEST_BOOTSTRAP"
REQUIRE_ENV = "STREAM_MONITOR_REQUIRE_KAFKA"


def pytest_configure() -> None:
    # Without this a terminated run would leave its broker behind.
    signal.signal(signal.SIGTERM, _interrupt)


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

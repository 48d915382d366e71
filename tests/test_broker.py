"""The broker that all tests of delivery stand on is a real one: transactions, isolation, durability."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from tests.conftest import BOOTSTRAP_ENV, REQUIRE_ENV
from tests.kafka.broker import (
    CACHE_ENV,
    Broker,
    BrokerFailedError,
    Cluster,
    KafkaUnavailableError,
    free_ports,
)


def produce(cluster: Cluster, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def read_to_end(cluster: Cluster, topic: str, isolation: str) -> list[bytes | None]:
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "group.id": cluster.unique("reader"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    values: list[bytes | None] = []
    while True:
        message = consumer.poll(30)
        assert message is not None
        error = message.error()
        if error is None:
            values.append(message.value())
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            consumer.close()
            return values


def test_read_committed_hides_what_was_aborted(kafka: Cluster) -> None:
    topic = kafka.create_topic(kafka.unique("transactions"))
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": kafka.unique("writer")})
    producer.init_transactions(30)
    for value, commit in ((b"kept", True), (b"aborted", False), (b"kept too", True)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    assert read_to_end(kafka, topic, "read_committed") == [b"kept", b"kept too"]
    assert read_to_end(kafka, topic, "read_uncommitted") == [b"kept", b"aborted", b"kept too"]


def test_topics_are_never_created_by_accident(kafka: Cluster) -> None:
    name = kafka.unique("misspelt")
    kafka.admin().list_topics(name, timeout=60)
    assert name not in kafka.admin().list_topics(timeout=60).topics


def test_a_topic_has_the_partitions_and_settings_asked_for(kafka: Cluster) -> None:
    name = kafka.create_topic(kafka.unique("wide"), 8, {"cleanup.policy": "compact"})
    assert len(kafka.admin().list_topics(name, timeout=60).topics[name].partitions) == 8
    with pytest.raises(Exception, match=r"cleanup\.policy"):
        kafka.create_topic(kafka.unique("wrong"), 1, {"cleanup.policy": "burn"})


def test_data_and_port_outlive_a_restart_and_a_kill(own_broker: Broker) -> None:
    bootstrap = own_broker.bootstrap
    topic = own_broker.create_topic("durable")
    produce(own_broker, topic, b"1")
    own_broker.restart()
    produce(own_broker, topic, b"2")
    own_broker.kill()
    with pytest.raises(Exception, match=r"_TRANSPORT|_TIMED_OUT|Failed"):
        own_broker.admin().list_topics(timeout=0.5)
    own_broker.restart()
    assert own_broker.bootstrap == bootstrap
    assert read_to_end(own_broker, topic, "read_committed") == [b"1", b"2"]


def test_a_broker_that_cannot_start_says_why(tmp_path: Path, kafka: Cluster) -> None:
    del kafka  # Only so that the test is skipped where there is no Kafka.
    broker = Broker(tmp_path, {"log.segment.bytes": "nonsense"})
    with pytest.raises(BrokerFailedError, match=r"nonsense for configuration log\.segment\.bytes"):
        broker.start()


def test_two_runs_may_fill_the_cache_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Maven that is slow, writes one jar, and fails where the jar is there already."""
    tools, cache, calls = tmp_path / "bin", tmp_path / "cache", tmp_path / "calls"
    tools.mkdir()
    maven = tools / "mvn"
    maven.write_text(
        f'#!/bin/sh\necho called >> {calls}\nfor last; do :; done\njars="${{last#*=}}"\n'
        'mkdir "$jars" || exit 1\nsleep 0.3\necho > "$jars/kafka.jar"\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setenv(CACHE_ENV, str(cache))
    script = "from tests.kafka.broker import _jars; print(*[jar.name for jar in _jars().iterdir()])"
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(
            lambda _: subprocess.check_output([sys.executable, "-c", script], text=True), range(2)
        )
        assert list(runs) == ["kafka.jar\n"] * 2
    assert calls.read_text() == "called\n"


def test_without_java_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailableError, match="install a Java runtime"):
        Broker(tmp_path)


def test_without_maven_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(CACHE_ENV, str(tmp_path / "cache"))
    with pytest.raises(KafkaUnavailableError, match="install Maven"):
        Broker(tmp_path)


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(50))) == 50


@pytest.mark.parametrize(
    ("environment", "outcome", "said"),
    [
        ({}, "1 skipped", "install a Java runtime"),
        ({REQUIRE_ENV: "1"}, "1 error", "install a Java runtime"),
        ({BOOTSTRAP_ENV: "the shared broker"}, "1 passed", ""),
    ],
)
def test_where_there_is_no_java(
    tmp_path: Path, kafka: Cluster, environment: dict[str, str], outcome: str, said: str
) -> None:
    """Tests on Kafka are skipped, or fail where Kafka is required, or use the cluster that is named."""
    given = {name: kafka.bootstrap if name == BOOTSTRAP_ENV else value for name, value in environment.items()}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsE", f"{__file__}::test_topics_are_never_created_by_accident"],
        env={"PATH": str(tmp_path), **given},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout
    assert said in done.stdout

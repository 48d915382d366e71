"""What the log of a worker says of brokers that are away: enough to know it, and little enough to be read."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_monitor.config import parse_config
from stream_monitor.runtime import restore
from stream_monitor.runtime.client_log import INTERVAL_S, Sparing, errors_as_they_are
from stream_monitor.runtime.kafka import check_properties
from tests.kafka.broker import Broker, Cluster, free_ports
from tests.kafka_apps import Pipeline, deltas, event, reports, wait_for

NAME = "stream_monitor.runtime.client_log"


def line(facility: str, level: int = logging.ERROR, text: str = "refused") -> logging.LogRecord:
    """As confluent-kafka makes it."""
    return logging.LogRecord(NAME, level, "", 0, "%s [%s] %s", (facility, "rdkafka#consumer-1", text), None)


def test_what_is_fatal_is_what_it_is_though_there_was_a_line_to_log() -> None:
    fenced = KafkaException(KafkaError(KafkaError._FENCED, fatal=True))
    with pytest.raises(KafkaException) as raised, errors_as_they_are():
        raise SystemError("LogRecord returned a result with an exception set") from fenced
    assert raised.value is fenced


@pytest.mark.parametrize("error", [SystemError("of something else"), KeyError("a bug")])
def test_any_other_error_is_not_touched(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, errors_as_they_are():
        raise error
    assert raised.value is error


def test_of_each_facility_one_line_in_an_interval_passes_as_a_warning_and_says_how_many_did_not() -> None:
    now_s = 100.0
    sparing = Sparing(lambda: now_s)
    passed = []
    for second in range(int(2 * INTERVAL_S)):
        now_s = 100.0 + second
        for facility in ("FAIL", "FAIL", "SESSTMOUT"):
            record = line(facility, text=f"refused in second {second}")
            if sparing.filter(record):
                passed.append((second, vars(record)))
    assert [(second, one["facility"], one["left_out"]) for second, one in passed] == [
        (0, "FAIL", 0),
        (0, "SESSTMOUT", 0),
        (INTERVAL_S, "FAIL", 2 * INTERVAL_S - 1),
        (INTERVAL_S, "SESSTMOUT", INTERVAL_S - 1),
    ]
    assert {(one["levelno"], one["levelname"]) for _, one in passed} == {(logging.WARNING, "WARNING")}
    assert passed[2][1]["said"] == f"refused in second {INTERVAL_S:g}"


def test_what_is_less_than_a_warning_of_librdkafkas_is_not_said() -> None:
    assert not Sparing().filter(line("BGQUEUE", logging.INFO))


def test_properties_are_checked_without_a_word_to_a_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(0.5)
        address = f"127.0.0.1:{broker.getsockname()[1]}"
        for name in ("bootstrap.servers", "metadata.broker.list"):
            kafka = {name: address}
            check_properties(parse_config({"kafka": kafka, "predictions": {"topics": ["p"]}}))
            with pytest.raises(TimeoutError):
                broker.accept()


COMMANDS = {
    "check-config": [],
    "topics create": [],
    "run": ["--role", "observe", "--port", "0"],
    "alerts": [],
}


def test_commands_say_why_no_broker_answers_in_words_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yaml"
    kafka = {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}
    path.write_text(yaml.safe_dump({"kafka": kafka, "predictions": {"topics": ["p"]}}))
    # All at once, for each waits ten seconds for an answer.
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "stream_monitor.cli", *name.split(), str(path), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, options in COMMANDS.items()
    }
    said = {name: process.communicate(timeout=60)[1].splitlines() for name, process in running.items()}
    assert said.pop("check-config") == []
    for lines in said.values():
        assert any("Connection refused" in line for line in lines)
        # librdkafka's own form: %3|1795418651.805|FAIL|rdkafka#producer-1| ...
        assert not any(line.startswith("%") for line in lines)
        assert len(lines) <= 3


def test_a_broker_that_goes_and_comes_is_a_line_or_two_in_the_log_and_no_end(
    own_broker: Broker, tmp_path: Path
) -> None:
    # Longer than a broker takes to come back on a busy machine: a session that ends is another story.
    kafka = {"bootstrap.servers": own_broker.bootstrap, "session.timeout.ms": 60_000}
    pipeline = Pipeline(own_broker, kafka=kafka, predictions={"idle_after": "1s"})
    processes = [pipeline.process(tmp_path, role) for role in ("observe", "decide")]

    def logged(role: str) -> list[dict[str, Any]]:
        return [orjson.loads(one) for one in (tmp_path / f"{role}-a.log").read_bytes().splitlines()]

    def facilities(role: str) -> Counter[str]:
        return Counter(one["facility"] for one in logged(role) if one["logger"] == NAME)

    try:
        pipeline.produce(*[event(i / 10) for i in range(100)])
        wait_for(lambda: sum(one.rows for one in deltas(pipeline)) == 100, "100 rows")
        wait_for(lambda: pipeline.committed("decide", pipeline.topic("summaries")), "commits of decide")
        own_broker.kill()
        wait_for(lambda: facilities("observe")["FAIL"], "observe to tell that the broker is away")
        wait_for(lambda: facilities("decide")["FAIL"], "decide to tell it too")
        own_broker.start()
        pipeline.produce(*[event(10 + i / 10) for i in range(100)])
        wait_for(lambda: sum(one.rows for one in deltas(pipeline)) == 200, "200 rows", 80)
        # Idle partitions go on to claim: their ends are known again, though they have another leader epoch.
        back_ms = time.time() * 1000
        wait_for(lambda: min(last_claims(pipeline)) > back_ms, "claims of both partitions")
        wait_for(lambda: pipeline.committed("decide", pipeline.topic("summaries")), "commits of decide")
        assert [one.poll() for one in processes] == [None, None]
        for process in processes:
            process.terminate()
        assert [one.wait(60) for one in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for role in ("observe", "decide"):
        assert max(facilities(role).values()) <= 2
        assert {one["level"] for one in logged(role)} <= {"info", "warning"}


def last_claims(pipeline: Pipeline) -> list[int]:
    return [
        max((one.claim or 0 for one in reports(pipeline) if one.source.partition == partition), default=0)
        for partition in (0, 1)
    ]


def test_brokers_that_are_away_while_state_is_restored_do_not_end_the_worker(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(kafka)
    ask, asked = restore._result, [0]

    def away_at_first(futures: dict[TopicPartition, Any], place: TopicPartition) -> int:
        asked[0] += 1
        if asked[0] == 2:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        if asked[0] == 12:
            raise TimeoutError
        return ask(futures, place)

    monkeypatch.setattr(restore, "_result", away_at_first)
    with pipeline.running("decide") as decide:
        wait_for(lambda: decide.ready, "the partitions to be restored")
        assert decide.metric("aborts_total", role="decide") == 2
    assert decide.error is None

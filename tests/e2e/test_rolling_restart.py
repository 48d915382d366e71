"""Four static workers, restarted one after the other under traffic: no partition moves, nothing is lost."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import orjson
from confluent_kafka.admin import AdminClient

from tests.independent_count import count
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, event, wait_for

WORKERS = ("0", "1", "2", "3")
PARTITIONS = 8


def shares(admin: AdminClient, group: str) -> dict[str, frozenset[int]]:
    """By static name, the partitions of each member."""
    found = admin.describe_consumer_groups([group], request_timeout=60)[group].result()
    return {
        one.group_instance_id: frozenset(place.partition for place in one.assignment.topic_partitions)
        for one in found.members
    }


def changes(log: Path) -> list[tuple[str, int]]:
    """Every change of its share that a worker has logged: what, and of how many partitions."""
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    told = [(one["change"], len(one["partitions"])) for one in lines if one["event"] == "partitions change"]
    return [(change, number) for change, number in told if number]


def test_a_rolling_restart_moves_no_partition_and_loses_nothing(kafka: Cluster, tmp_path: Path) -> None:
    # The machine that runs this may be slow to start a process; a session has to outlast it.
    properties = {"bootstrap.servers": kafka.bootstrap, "session.timeout.ms": 30_000}
    pipeline = Pipeline(kafka, PARTITIONS, kafka=properties)
    admin, group = kafka.admin(), pipeline.config.group("observe")
    produced = itertools.count()

    def produce() -> None:
        second = next(produced)
        for partition in range(PARTITIONS):
            pipeline.produce(*[event(second + i / 10) for i in range(10)], partition=partition)

    def shared_out() -> bool:
        """Each of them knows of two, and the broker says the same."""
        known = [sum(n if what == "assigned" else -n for what, n in changes(log(one))) for one in WORKERS]
        even = [2] * len(WORKERS)
        return known == even and even == [len(share) for share in shares(admin, group).values()]

    def log(worker: str) -> Path:
        return tmp_path / f"observe-{worker}.log"

    def has_read(worker: str) -> bool:
        """It has begun to read again what is its own."""
        return ("assigned", 2) in changes(log(worker))

    processes = {worker: pipeline.process(tmp_path, "observe", worker) for worker in WORKERS}
    try:
        produce()
        wait_for(shared_out, "two partitions for each")
        before = shares(admin, group)
        for worker in WORKERS:
            settled = {other: changes(log(other)) for other in WORKERS if other != worker}
            processes[worker].terminate()
            produce()
            assert processes[worker].wait(30) == 0
            log(worker).unlink()
            processes[worker] = pipeline.process(tmp_path, "observe", worker)
            produce()
            wait_for(partial(has_read, worker), "its own partitions again")
            assert shares(admin, group) == before
            # It went and came, and none of the others was so much as told.
            assert {other: changes(log(other)) for other in settled} == settled
            assert changes(log(worker)) == [("assigned", 2)]
        produce()
        rows = next(produced) * PARTITIONS * 10
        end = rows // PARTITIONS
        wait_for(
            lambda: {one.offset for one in pipeline.committed("observe", pipeline.input).values()} == {end},
            "a commit of everything",
        )
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    counted = count(kafka.bootstrap, [pipeline.input], pipeline.topic("summaries"), pipeline.topic("rejects"))
    assert counted.differences == {}
    assert counted.summarized == {"m": rows}
    assert counted.late.total() == 0

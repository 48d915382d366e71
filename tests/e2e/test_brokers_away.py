"""Brokers that are away for longer than a session: a worker goes on, or ends and says why. It never hangs."""

from __future__ import annotations

import time
from pathlib import Path

from tests.kafka.broker import Broker
from tests.kafka_apps import Pipeline, deltas, event, wait_for

ROLES = ("observe", "decide")
SESSION_S = 2.0


def test_after_an_outage_a_worker_goes_on_or_ends_with_its_reason(own_broker: Broker, tmp_path: Path) -> None:
    kafka = {"bootstrap.servers": own_broker.bootstrap, "session.timeout.ms": int(SESSION_S * 1000)}
    pipeline = Pipeline(own_broker, kafka=kafka)
    running = {role: pipeline.process(tmp_path, role) for role in ROLES}

    def counted(rows: int) -> bool:
        for role, process in running.items():
            if process.poll() is not None:
                # What a supervisor does; the last line is what it shows.
                assert process.returncode == 2
                said = (tmp_path / f"{role}-a.log").read_text().splitlines()[-1]
                # One that was only about to join found nobody to ask.
                assert "fenced" in said or "expected an answer" in said
                running[role] = pipeline.process(tmp_path, role)
        return sum(one.rows for one in deltas(pipeline)) == rows

    def decided() -> bool:
        last = {one.partition(): one.offset() or 0 for one in pipeline.read("summaries")}
        done = pipeline.committed("decide", pipeline.topic("summaries"))
        return {one for one, place in done.items() if place.offset > last.get(one, 0)} == set(last)

    try:
        pipeline.produce(*[event(i / 10) for i in range(100)])
        wait_for(lambda: counted(100), "100 rows")
        own_broker.kill()
        time.sleep(2 * SESSION_S)
        own_broker.start()
        pipeline.produce(*[event(10 + i / 10) for i in range(100)])
        wait_for(lambda: counted(200) and decided(), "200 rows, read by decide", 150)
        for process in running.values():
            process.terminate()
        assert [one.wait(60) for one in running.values()] == [0, 0]
    finally:
        for process in running.values():
            process.kill()
            process.wait()

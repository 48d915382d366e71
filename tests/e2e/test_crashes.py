"""Exactly once, whoever dies when: each worker is killed 20 times, and the answer is that of no crash at all.

Takes two to three minutes, for the most part to start Python again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream_monitor.runtime.workers import UNSAFE
from tests.core import Schedule, comparable, flushes, run
from tests.e2e.crash_feed import PARTITIONS, Feed, config, waves
from tests.e2e.crashes import Kill, Victim, plan
from tests.e2e.pipelines import ROLES, RealPipeline, Workers, in_order
from tests.kafka.broker import Cluster
from tests.kafka_apps import reports


def pipeline_of(kafka: Cluster, snapshot_interval: str) -> RealPipeline:
    return RealPipeline(kafka, PARTITIONS, **config(), snapshot_interval=snapshot_interval)


def crash(
    pipeline: RealPipeline,
    folder: Path,
    feed: Feed,
    plans: Mapping[str, Sequence[Kill]],
    **environment: str,
) -> None:
    """Feed the pipeline while its workers die as planned, and then to the end of the input.

    The n-th part of the input comes no sooner than the n-th life, so all of them have their share of it.
    """
    victims = [Victim(pipeline, folder, role, plans[role], **environment) for role in ROLES]
    with ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(len(victims)))
        for victim in victims:
            stack.callback(victim.end)
        lives = [threads.submit(victim.suffer) for victim in victims]
        left = set(lives)
        while left:
            feed.tick(min(victim.survived for victim in victims))
            done, left = wait(lives, timeout=0)
            for life in done:
                # Raises where it did not go by plan.
                life.result()
        processes = {f"{role}/{role}-a": life.result() for role, life in zip(ROLES, lives, strict=True)}
        feed.finish()
        workers = Workers(pipeline, pipeline.cluster.admin(), folder, processes)
        workers.wait_until_done()
        assert set(workers.stop().values()) == {0}
    assert [victim.died for victim in victims] == [plans[role] for role in ROLES]


def expected_alerts(pipeline: RealPipeline, feed: Feed) -> list[dict[str, Any]]:
    alerts = comparable(run(pipeline.config, feed.logs, Schedule()))
    return in_order(orjson.loads(orjson.dumps(alerts)))


def expected_rows(pipeline: RealPipeline, feed: Feed) -> dict[tuple[str, int], tuple[int, int, int]]:
    """By source partition: accepted (late ones among them), rejected and late rows."""
    rows = {(pipeline.input, partition): (0, 0, 0) for partition in range(PARTITIONS)}
    for flush in flushes(pipeline.config, feed.logs, Schedule()):
        for one in flush.progress:
            accepted, rejected, late = rows[one.source]
            rows[one.source] = (accepted + one.rows, rejected + one.rejected, late + one.late)
    return rows


def gaps_and_overlaps(pipeline: RealPipeline) -> list[str]:
    """Where the reports to a summaries partition do not go on, each source from 0 to the end of the input."""
    found: list[str] = []
    for partition in range(pipeline.config.summaries.partitions):
        position: dict[str, int] = {}
        for one in reports(pipeline, partition):
            source = f"{one.source.topic}[{one.source.partition}]"
            stood = position.get(source, 0)
            if one.first != stood:
                found.append(f"{source}: at {stood} came [{one.first}, {one.next})")
            position[source] = one.next
    return found


def aborted(pipeline: RealPipeline, *topics: str) -> int:
    """Records that are there, and that nobody sees who reads what is committed."""
    return sum(len(pipeline.read(one, "read_uncommitted")) - len(pipeline.read(one)) for one in topics)


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_doubled(kafka: Cluster, tmp_path: Path) -> None:
    plans = {role: plan(role, each=3, anywhere=8, seed=1) for role in ROLES}
    pipeline = pipeline_of(kafka, "2s")
    feed = Feed(pipeline, waves())
    crash(pipeline, tmp_path, feed, plans)

    counted = pipeline.counted()
    assert counted.differences == {}
    assert counted.produced.total() == sum(map(len, feed.logs))
    assert counted.late.total() > 100
    assert len(feed.rejected) > 100
    assert counted.rejects == feed.rejected
    assert counted.reported == expected_rows(pipeline, feed)
    assert gaps_and_overlaps(pipeline) == []
    expected = expected_alerts(pipeline, feed)
    assert len(expected) == len({alert["id"] for alert in expected}) >= 20
    assert pipeline.alerts() == expected
    # It was not for want of anything to undo.
    assert aborted(pipeline, "summaries") > 0
    assert aborted(pipeline, "alerts", "state") > 0


@pytest.mark.timeout(600)
def test_without_transactions_the_same_counts_see_duplicates(kafka: Cluster, tmp_path: Path) -> None:
    plans = {
        "observe": [Kill("observe.after_produce", 3), Kill("observe.before_commit", 2)] * 2,
        "decide": [Kill("decide.after_produce", passes) for passes in (1, 2, 3, 4)] * 3,
    }
    # With new snapshots beside its alerts, decide would go on behind them.
    pipeline = pipeline_of(kafka, "1h")
    crash(pipeline, tmp_path, Feed(pipeline, waves()), plans, **{UNSAFE: "1"})

    assert min(pipeline.counted().differences.values()) < 0
    assert gaps_and_overlaps(pipeline)
    ids = Counter(alert["id"] for alert in pipeline.alerts())
    assert ids.total() > len(ids)

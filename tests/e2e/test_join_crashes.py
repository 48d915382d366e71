"""Every pair exactly once, whoever dies when: the join worker is killed 20 times, its stores are deleted and
damaged meanwhile, and the answer is that of a dictionary over the same files.

Takes a minute or two, for the most part to start Python again.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.crashes import Kill, Victim, plan
from tests.join_apps import (
    assert_as_the_oracle_says,
    assert_unbroken,
    committed,
    damage,
    delete,
    has_store,
    pipeline_of,
    size,
)
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.kafka.broker import Cluster
from tests.kafka_apps import Pipeline, Sent, wait_for

PARTITIONS = 3
PREDICTED = 5_000
DELETED, DAMAGED = 5, 2
TICK_S = 0.05
TICK_RECORDS = 20


class JoinVictim(Victim):
    """Some of its lives begin without a store of partition 0, or with a damaged one."""

    def __init__(self, pipeline: Pipeline, folder: Path, kills: list[Kill]) -> None:
        super().__init__(pipeline, folder, "join", kills)
        rebuilt = [i for i, one in enumerate(kills) if one.point == "join.in_rebuild"]
        others = [i for i in range(2, len(kills)) if i not in rebuilt]
        chosen = rebuilt + random.Random(3).sample(others, DELETED + DAMAGED - len(rebuilt))
        self._harms = sorted((i, n >= DELETED) for n, i in enumerate(chosen))
        self._stores = folder
        self.harmed = 0

    def _live(self, failpoints: str = "") -> subprocess.Popen[bytes]:
        # A life may have been too short to make its store: the harm then waits for the next one.
        if self._harms and self._harms[0][0] <= len(self.died) and has_store(self._stores):
            _, damaged = self._harms.pop(0)
            (damage if damaged else delete)(self._stores)
            self.harmed += 1
        return super()._live(failpoints)


class Source:
    """Sends what a feed holds, a share at a time, and with every tick a label for nobody: there is always
    something to read. ``sent`` is what lies in the topics."""

    def __init__(self, pipeline: Pipeline, feed: Feed) -> None:
        self._pipeline = pipeline
        self._logs = feed.logs
        self._ticks = 0
        self.sent = Feed(feed.partitions, {place: [] for place in feed.logs})
        self._done = dict.fromkeys(feed.logs, 0)

    def tick(self, share: float) -> None:
        for place, log in self._logs.items():
            due = min(int(share * len(log)), self._done[place] + TICK_RECORDS)
            self._send(place, log[self._done[place] : due])
            self._done[place] = max(due, self._done[place])
        self._ticks += 1
        place = (LABELS, self._ticks % self.sent.partitions)
        at = self._logs[place][max(0, self._done[place] - 1)][0]
        label = {"prediction_id": f"nobody-{self._ticks}", "ts": at, "label": 1}
        self._send(place, [(at, None, json.dumps(label))])
        time.sleep(TICK_S)

    def finish(self) -> None:
        for place, log in self._logs.items():
            self._send(place, log[self._done[place] :])

    def _send(self, place: tuple[str, int], records: list[Sent]) -> None:
        topic = self._pipeline.input if place[0] == PREDICTIONS else self._pipeline.labels
        self._pipeline.send(topic, place[1], records)
        self.sent.logs[place] += records


@pytest.mark.timeout(900)
def test_no_pair_is_lost_and_none_doubled(kafka: Cluster, tmp_path: Path) -> None:
    kills = plan("join", each=2, anywhere=6, seed=1)
    assert len(kills) == 20
    pipeline = pipeline_of(kafka, tmp_path, PARTITIONS, commit_interval="250ms")
    source = Source(pipeline, Feed.of(seed=23, predictions=PREDICTED, partitions=PARTITIONS))
    victim = JoinVictim(pipeline, tmp_path, kills)
    with ThreadPoolExecutor(1) as threads:
        try:
            life = threads.submit(victim.suffer)
            while not life.done():
                source.tick(victim.survived)
            process = life.result()
            source.finish()
            wait_for(lambda: committed(pipeline) == size(source.sent), "all of it committed", 90)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            victim.end()
    assert victim.died == kills
    assert victim.harmed == DELETED + DAMAGED
    log = (tmp_path / "join" / "join-a.log").read_text()
    assert log.count("store made anew") >= PARTITIONS + DELETED
    assert_as_the_oracle_says(pipeline, source.sent, tmp_path)
    assert_unbroken(pipeline)
    # It was not for want of anything to undo.
    assert len(pipeline.read("summaries", "read_uncommitted")) > len(pipeline.read("summaries"))

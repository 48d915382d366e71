"""The benchmark of tables does what it says, at a tiny size. No test here looks at how long anything took."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks import arrow
from benchmarks.generator import DRIFTING, START_MS, Workload
from stream_monitor.codecs.arrow import ArrowCodec
from stream_monitor.config import parse_config
from stream_monitor.events import Records, Source

CONFIG = parse_config({"predictions": {"topics": ["t"], "format": "arrow"}})


def test_tables_hold_every_event_as_often_as_said_at_its_rate_and_change_once() -> None:
    tables = arrow.Tables(Workload(2_000, rate=1_000), repeats=3, size=100)
    chunks = list(tables.chunks())
    values = [value for chunk in chunks for value in chunk.values]
    n = len(values)
    assert (n, tables.events) == (60, 60)
    batch = ArrowCodec(CONFIG).decode(
        Records((Source("t", 0),), np.zeros(n, np.int64), np.arange(n), np.full(n, -1), values)
    )
    assert (len(batch), batch.rejects, len(batch.groups)) == (6_000, [], 1)
    assert len(batch.groups[0].features) == 20
    assert batch.ids is not None
    assert len(set(batch.ids)) == 2_000
    assert np.abs(batch.time - START_MS - np.arange(6_000)).max() <= 20
    score = batch.groups[0].outputs["score"].numbers
    assert score is not None
    assert abs(score[:1_800].mean() - score[1_800:3_600].mean()) < 0.02
    assert score[3_600:].mean() - score[:3_600].mean() > 0.05


def test_the_pipeline_reads_all_tables_and_alerts_the_injected_changes(tmp_path: Path) -> None:
    path = arrow.run(10_000, 1, tmp_path, Console(file=io.StringIO()), repeats=2, size=100)
    content = json.loads(path.read_text())
    [[run]] = content["rounds"]
    assert (run["events"], run["contender"]) == (20_000, "arrow")
    assert set(run["more"]["alerts"]) <= DRIFTING
    assert run["more"]["alerts"]
    assert content["figures"]["arrow_events_per_s"] > 0

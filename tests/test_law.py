"""The law: same events, same alerts, for any batching, partition order and number of workers.

Two mutants, one that sums floats and one that judges lateness by reading order, must break it: they show
that these tests can fail.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_monitor import native
from stream_monitor import observe as observe_module
from stream_monitor.config import Config, parse_config
from stream_monitor.events import Batch, Source
from stream_monitor.summary import numbers
from stream_monitor.watermark import Clock, Judged, judge
from tests import inputs
from tests.core import Record, Schedule, comparable, run

REFERENCE = Schedule(workers=1, batch_max=700, flush_every=2, seed=1)
OTHERS = [
    Schedule(workers=4, batch_max=5000, flush_every=1, seed=2),
    Schedule(workers=3, batch_max=40, flush_every=9, seed=3),
]


@cache
def the_input() -> tuple[Config, list[list[Record]]]:
    return parse_config(inputs.config()), inputs.messy(events=12_000)


@cache
def the_alerts() -> list[dict[str, Any]]:
    return comparable(run(*the_input(), REFERENCE))


def test_the_input_is_worth_the_test() -> None:
    kinds = Counter(alert["check"] for alert in the_alerts())
    assert sum(kinds.values()) >= 20
    assert len(kinds) >= 4


def test_one_record_at_a_time_and_all_at_once() -> None:
    config, logs = the_input()
    assert comparable(run(config, logs, Schedule(batch_max=1, flush_every=200, seed=4))) == the_alerts()
    assert comparable(run(config, logs, Schedule(batch_max=5000, flush_every=1, seed=5))) == the_alerts()


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(
    schedule=st.builds(
        Schedule,
        workers=st.integers(1, 4),
        batch_max=st.integers(30, 5000),
        flush_every=st.integers(1, 30),
        seed=st.integers(0, 2**32 - 1),
    )
)
@pytest.mark.timeout(300)
def test_any_schedule(schedule: Schedule) -> None:
    assert comparable(run(*the_input(), schedule)) == the_alerts()


def float_sums(whole: np.ndarray, starts: np.ndarray, place: Any, names: Any, counts: np.ndarray) -> None:
    """Like the real one, but the sums are of float32."""
    total, high, low = names
    single = whole.astype(np.float32)
    counts[*place, total] = np.add.reduceat(single, starts).astype(np.int64)
    squares = np.add.reduceat(single * single, starts).astype(np.int64)
    counts[*place, high], counts[*place, low] = squares >> 32, squares & 0xFFFFFFFF


def by_reading_order(batch: Batch, clocks: dict[Source, Clock], lateness_ms: int) -> Judged:
    """Like the real one, but all partitions that a worker reads share one clock."""
    shared = clocks.setdefault(Source("shared", 0), Clock())
    one = Batch((Source("shared", 0),), np.zeros_like(batch.source), batch.offset, batch.row, batch.time, [])
    answer = judge(one, {Source("shared", 0): shared}, lateness_ms)
    for source in batch.sources:
        clocks[source] = Clock(shared.event)
    return answer


@pytest.mark.parametrize(
    ("module", "name", "mutant"),
    [(numbers, "_write_sums", float_sums), (observe_module, "judge", by_reading_order)],
    ids=["float sums", "lateness by reading order"],
)
def test_a_mutant_is_caught(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, mutant: Any
) -> None:
    monkeypatch.setattr(module, name, mutant)
    # It would go round the mutant.
    monkeypatch.setattr(native, "installed", lambda: None)
    config, logs = the_input()
    seen = [outcome(config, logs, schedule) for schedule in (REFERENCE, *OTHERS)]
    assert any(one != seen[0] for one in seen[1:])


def outcome(config: Config, logs: list[list[Record]], schedule: Schedule) -> list[dict[str, Any]] | str:
    """The alerts; or what a detector says that is given a variance below zero, as floats make it."""
    try:
        return comparable(run(config, logs, schedule))
    except ValueError as error:
        return f"{schedule}: {error}"

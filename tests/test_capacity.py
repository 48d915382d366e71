"""The formula of capacity: what it is fitted to, what follows from it, and where its page has it from."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks import capacity, results, sizing
from benchmarks.capacity_page import PAGE, written
from benchmarks.loads import Point, measure
from benchmarks.sizing import Load, cost, need
from stream_monitor.config import parse_config
from stream_monitor.decide import Decider
from stream_monitor.events import Flush, Progress, Source
from stream_monitor.reference import References

RESULT = json.loads((results.FOLDER / "capacity.json").read_text())
SOURCES, WORKERS = 512, 64
LATENESS_MS = 2_000


def test_the_tables_of_the_page_are_those_of_the_result() -> None:
    page = PAGE.read_text()
    assert written(page, RESULT) == page


def test_points_of_the_check_are_not_those_that_coefficients_were_fitted_to() -> None:
    assert len(capacity.CHECK) >= 6
    assert not set(capacity.CHECK) & set(capacity.FIT)
    assert RESULT["settings"]["checks"] == [point.name for point in capacity.CHECK]


def test_coefficients_are_found_again_and_none_is_below_zero() -> None:
    loads = [capacity.load_of(point) for point in capacity.FIT]
    terms = [sizing.decide_terms(load, 5_000.0 * load.models) for load in loads]
    true = {"decide_delta_kb": 30.0, "decide_subject": 400.0, "decide_slot": 0.0, "decide_report": 0.5}
    spent = [cost("decide", one, true) for one in terms]
    found = sizing.fitted("decide", terms, spent)
    assert found == pytest.approx(true, abs=1e-6)
    noisy = [one * (1 + 0.3 * (-1) ** at) for at, one in enumerate(spent)]
    assert min(sizing.fitted("decide", terms, noisy).values()) >= 0


def test_a_load_needs_more_of_everything_when_it_grows() -> None:
    load, figures = Load(1e6, models=100, labeled=0.5, delay_s=3600), RESULT["figures"]
    small, large = need(load, figures), need(replace(load, rate=2e6, models=200), figures)
    for name in ("observe_cores", "decide_cores", "join_cores", "summaries_mb_s", "decide_gib", "store_gib"):
        assert getattr(large, name) > 1.5 * getattr(small, name), name
    assert large.observe_workers * sizing.UTILIZATION >= large.observe_cores
    assert large.partitions >= 2 * large.observe_workers


def test_what_a_share_spends_on_progress_grows_with_workers_times_partitions() -> None:
    figures: Mapping[str, float] = RESULT["figures"]
    small, large = (need(Load(rate, models=1_000), figures) for rate in (4e6, 16e6))
    assert 12 < large.ledger_cores / small.ledger_cores < 20


def test_a_point_is_measured_to_its_end() -> None:
    found = measure(Point("small", 600, 6, 2, 1, 3, 2, 4, seconds=8))
    assert found.observe_s > 0
    assert found.decide_s > 0
    assert found.summaries_bytes > 0
    assert found.decide_bytes > found.state_bytes / 2 > 0


def test_the_watermark_is_right_with_512_partitions_that_run_apart() -> None:
    """Flushes of 64 workers in any order; some partitions lag far behind, and some are silent at first."""
    chance = random.Random(5)
    config = parse_config({"predictions": {"topics": ["t"], "lateness": f"{LATENESS_MS}ms"}})
    decider = Decider(config, References(config))
    told: dict[int, int] = {}
    read = [0] * SOURCES
    behind = [chance.choice((0, 500, 30_000)) for _ in range(SOURCES)]
    for step in range(6 * WORKERS):
        worker = chance.randrange(WORKERS) if step >= WORKERS else step
        progress = []
        for number in range(worker, SOURCES, WORKERS):
            told[number] = max(
                told.get(number, 0), 1_000_000 + step * 100 - behind[number] + chance.randrange(900)
            )
            first, read[number] = read[number], read[number] + chance.randrange(3)
            place = Source("t", number), "id", SOURCES, first, read[number], told[number], None
            progress.append(Progress(*place, drained=False, rows=0, rejected=0, late=0))
        decider.apply(Flush([], progress, 0, 0))
        expected = min(told.values()) - LATENESS_MS if len(told) == SOURCES else None
        assert decider.ledger.watermark() == expected
    assert decider.counters["flushes_gap"] == decider.counters["flushes_mismatch"] == 0

"""Clocks, lateness, the ledger and the watermark: what DESIGN's section on time promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.events import Batch, Progress, Source
from stream_monitor.watermark import Clock, Ledger, Verdict, judge

LATENESS_MS = 100
A, B = Source("p", 0), Source("p", 1)


def batch(rows: list[tuple[int, int]]) -> Batch:
    """Rows of (source index, time); offsets count up per source."""
    source = np.array([row[0] for row in rows], np.int64)
    return Batch(
        sources=(A, B),
        source=source,
        offset=np.array([int((source[:i] == source[i]).sum()) for i in range(len(rows))], np.int64),
        row=np.zeros(len(rows), np.int64),
        time=np.array([row[1] for row in rows], np.int64),
        groups=[],
    )


def judged_one_by_one(
    rows: list[tuple[int, int]], claims: tuple[int | None, int | None]
) -> list[tuple[int, bool, bool]]:
    """The rule in plain words: late is more than lateness behind the own partition's clock."""
    clocks: list[int | None] = [None, None]
    answers = []
    for source, time in rows:
        clock, claim = clocks[source], claims[source]
        by_event = clock is not None and time < clock - LATENESS_MS
        by_claim = claim is not None and time < claim - LATENESS_MS
        moved = time if clock is None else max(clock, time)
        clocks[source] = moved
        answers.append((max(moved, claim or 0), by_event or by_claim, by_claim and not by_event))
    return answers


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1000)), max_size=60)
CLAIM = st.none() | st.integers(1, 1000)


@given(rows=ROWS, claims=st.tuples(CLAIM, CLAIM), cut=st.integers(0, 60))
def test_lateness_is_a_property_of_the_partition_alone(
    rows: list[tuple[int, int]], claims: tuple[int | None, int | None], cut: int
) -> None:
    expected = judged_one_by_one(rows, claims)
    clocks = {source: Clock() for source in (A, B)}
    for source, claim in zip((A, B), claims, strict=True):
        if claim is not None:
            clocks[source].claim = claim
    seen: list[tuple[int, bool, bool]] = []
    for part in (rows[:cut], rows[cut:]):
        answer = judge(batch(part), clocks, LATENESS_MS)
        seen += zip(answer.clock.tolist(), answer.late.tolist(), answer.idle.tolist(), strict=True)
    assert seen == expected


@given(rows=ROWS)
def test_the_order_in_which_partitions_are_read_changes_nothing(rows: list[tuple[int, int]]) -> None:
    mixed = judge(batch(rows), {}, LATENESS_MS)
    by_partition = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    apart = judge(batch([rows[i] for i in by_partition]), {}, LATENESS_MS)
    assert mixed.late[by_partition].tolist() == apart.late.tolist()
    assert mixed.clock[by_partition].tolist() == apart.clock.tolist()


def report(source: Source, first: int, following: int, **changed: Any) -> Progress:
    values: dict[str, Any] = {
        "source": source,
        "topic_id": "t",
        "partitions": 2,
        "first": first,
        "next": following,
        "clock": None,
        "claim": None,
        "drained": False,
        "rows": following - first,
        "rejected": 0,
        "late": 0,
    }
    return Progress(**{**values, **changed})


def ledger(*reports: Progress) -> Ledger:
    made = Ledger({"p": LATENESS_MS})
    made.record(reports)
    return made


def test_there_is_no_watermark_until_every_partition_has_reported() -> None:
    one = ledger(report(A, 0, 5, clock=1000))
    assert one.watermark() is None
    one.record([report(B, 0, 5, clock=700)])
    assert one.watermark() == 700 - LATENESS_MS


def test_a_topic_that_has_not_reported_holds_the_watermark() -> None:
    made = Ledger({"p": LATENESS_MS, "q": LATENESS_MS})
    made.record([report(A, 0, 5, clock=1000), report(B, 0, 5, clock=1000)])
    assert made.watermark() is None


def test_a_topic_that_is_not_read_any_more_holds_nothing_back_and_is_remembered() -> None:
    before = Ledger({"p": LATENESS_MS, "q": LATENESS_MS})
    gone = report(Source("q", 0), 0, 5, clock=10, partitions=1)
    before.record([report(A, 0, 5, clock=1000), report(B, 0, 5, clock=1000), gone])
    made = Ledger.restore({"p": LATENESS_MS}, before.snapshot())
    assert made.watermark() == 1000 - LATENESS_MS
    assert made.check([gone]) is Verdict.DUPLICATE
    made = Ledger.restore({"p": LATENESS_MS, "r": LATENESS_MS}, before.snapshot())
    assert made.watermark() is None
    made.record([report(Source("r", 0), 0, 5, clock=500, partitions=1)])
    assert made.watermark() == 500 - LATENESS_MS


def test_a_partition_that_never_held_an_event_is_left_out_once_it_claims() -> None:
    one = ledger(report(A, 0, 5, clock=1000), report(B, 0, 0, drained=True))
    assert one.watermark() is None
    one.record([report(B, 0, 0, drained=True, claim=200)])
    assert one.watermark() == 900
    one.record([report(B, 0, 1, clock=700)])
    assert one.watermark() == 700 - LATENESS_MS


def test_where_no_partition_ever_held_an_event_there_is_no_watermark() -> None:
    assert ledger(report(A, 0, 0, claim=500), report(B, 0, 0, claim=500)).watermark() is None


def test_a_partition_still_being_read_holds_the_watermark_though_it_has_no_clock_yet() -> None:
    assert ledger(report(A, 0, 5, clock=1000), report(B, 0, 3)).watermark() is None


def test_a_claim_moves_the_watermark_and_one_that_nobody_renews_stops_it() -> None:
    made = ledger(report(A, 0, 5, clock=1000), report(B, 0, 5, clock=500, claim=5000))
    assert made.watermark() == 900
    made.record([report(A, 5, 9, clock=9000)])
    assert made.watermark() == 5000 - LATENESS_MS


def test_clocks_never_go_back() -> None:
    made = ledger(report(A, 0, 5, clock=1000), report(B, 0, 5, clock=1000))
    made.record([report(A, 5, 6, clock=10), report(B, 5, 6, clock=10)])
    assert made.watermark() == 900


@pytest.mark.parametrize(
    ("first", "following", "verdict"),
    [
        (10, 20, Verdict.NEW),
        (10, 10, Verdict.NEW),
        (0, 10, Verdict.DUPLICATE),
        (4, 9, Verdict.DUPLICATE),
        (11, 20, Verdict.GAP),
        (5, 15, Verdict.MISMATCH),
    ],
)
def test_the_ledger_tells_what_does_not_go_on_where_it_stood(
    first: int, following: int, verdict: Verdict
) -> None:
    assert ledger(report(A, 0, 10)).check([report(A, first, following)]) is verdict


def test_a_source_that_did_not_move_says_nothing_about_its_flush() -> None:
    made = ledger(report(A, 0, 10), report(B, 0, 10))
    assert made.check([report(A, 0, 10), report(B, 10, 10)]) is Verdict.DUPLICATE
    assert made.check([report(A, 10, 20), report(B, 5, 5)]) is Verdict.NEW


def test_a_flush_of_which_one_source_is_new_is_no_duplicate() -> None:
    made = ledger(report(A, 0, 10), report(B, 0, 10))
    assert made.check([report(A, 0, 10), report(B, 10, 20)]) is Verdict.MISMATCH


def test_a_topic_made_anew_is_a_gap_and_its_offsets_begin_again() -> None:
    made = ledger(report(A, 0, 10, clock=5000), report(B, 0, 10, clock=5000))
    anew = report(A, 0, 4, topic_id="another", clock=7000)
    assert made.check([anew]) is Verdict.GAP
    made.record([anew])
    assert made.check([report(A, 4, 9, topic_id="another")]) is Verdict.NEW


def test_a_restored_ledger_goes_on_as_the_one_it_was() -> None:
    made = ledger(report(A, 0, 5, clock=1000, claim=3000), report(B, 0, 0, claim=10))
    again = Ledger.restore({"p": LATENESS_MS}, made.snapshot())
    assert again.snapshot() == made.snapshot()
    assert again.watermark() == made.watermark() == 2900

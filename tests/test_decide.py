"""Decide on flushes: what is dropped, what is marked, what is counted, and that a snapshot loses nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_monitor.config import Config, parse_config
from stream_monitor.decide import Decider
from stream_monitor.errors import FormatError
from stream_monitor.events import Flush, Stream
from stream_monitor.reference import References
from tests import inputs
from tests.core import Schedule, comparable, flushes

SCHEDULE = Schedule(workers=2, batch_max=300, flush_every=4, seed=11)


@cache
def config() -> Config:
    return parse_config(inputs.config())


@cache
def sent() -> tuple[Flush, ...]:
    return tuple(flushes(config(), inputs.messy(events=6000), SCHEDULE))


@cache
def rows_sent() -> int:
    return sum(flush.announced_rows for flush in sent())


def decider() -> Decider:
    return Decider(config(), References(config()))


def all_alerts(flow: list[Flush] | tuple[Flush, ...], one: Decider) -> list[dict[str, Any]]:
    found = [alert for flush in flow for alert in one.apply(flush)]
    return comparable(found + one.close())


@cache
def expected() -> list[dict[str, Any]]:
    return all_alerts(sent(), decider())


def test_every_alert_is_of_the_published_schema_and_has_an_id_of_its_own() -> None:
    schema = json.loads(files("stream_monitor").joinpath("schemas/alert.v1alpha.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert len(expected()) > 10
    for alert in expected():
        validator.validate(alert)
    assert max(Counter(alert["id"] for alert in expected()).values()) == 1


def test_a_flush_that_comes_twice_is_dropped_and_counted() -> None:
    one = decider()
    doubled = [flush for flush in sent() for _ in range(2)]
    assert all_alerts(doubled, one) == expected()
    empty_ones = sum(all(p.first == p.next for p in flush.progress) for flush in sent())
    assert one.counters["flushes_duplicate"] == len(sent()) - empty_ones


def test_flushes_read_again_after_a_restart_are_dropped() -> None:
    one, half = decider(), len(sent()) // 2
    again = [*sent()[:half], *sent()[half - 5 : half], *sent()[half:]]
    assert all_alerts(again, one) == expected()


def test_a_flush_that_is_missing_is_told_and_its_successor_marks_its_slices() -> None:
    one, half = decider(), len(sent()) // 2
    gone = sent()[half]
    found = all_alerts([flush for flush in sent() if flush is not gone], one)
    gaps = [alert for alert in found if alert["check"] == "ledger"]
    assert [gap["signal"]["kind"] for gap in gaps] == ["input"]
    assert "gap" in gaps[0]["summary"]
    first = {one.source: one.first for one in gone.progress if one.next > one.first}
    assert gaps[0]["before"]["score"] in first.values()
    assert one.counters["flushes_gap"] == 1


def test_a_flush_with_fewer_deltas_than_announced_is_told() -> None:
    one, at = decider(), len(sent()) // 2
    short = replace(sent()[at], deltas=sent()[at].deltas[1:])
    found = all_alerts([*sent()[:at], short, *sent()[at + 1 :]], one)
    assert [alert["effect"]["unit"] for alert in found if alert["check"] == "ledger"] == ["deltas"]
    assert one.counters["flushes_mismatch"] == 1


def test_deltas_of_another_shape_are_never_merged_but_counted() -> None:
    one, at = decider(), 10
    deltas = [replace(delta, shape="another") for delta in sent()[at].deltas]
    one_by_one = [*sent()[:at], replace(sent()[at], deltas=deltas), *sent()[at + 1 :]]
    all_alerts(one_by_one, one)
    assert one.counters["rows_of_other_shape"] == sent()[at].announced_rows > 0


def test_deltas_of_a_closed_slice_are_counted_not_merged() -> None:
    one = decider()
    for flush in sent():
        one.apply(flush)
    one.close()
    late = next(flush for flush in sent() if flush.announced_rows)
    progress = [replace(p, first=one.ledger.sources[p.source].next, next=10**6) for p in late.progress]
    assert one.apply(replace(late, progress=progress)) == []
    assert one.counters["rows_after_close"] == late.announced_rows


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(cuts=st.lists(st.integers(0, 200), min_size=1, max_size=3))
def test_a_decider_restored_from_snapshots_goes_on_as_it_would(cuts: list[int]) -> None:
    one, found = decider(), []
    for number, flush in enumerate(sent()):
        if number in cuts:
            snapshots = {model: one.snapshot(model) for model in one.models()}
            one = decider()
            for model, data in snapshots.items():
                one.restore_ledger(data)
                one.restore(model, data)
            assert {model: one.snapshot(model) for model in one.models()} == snapshots
        found += one.apply(flush)
    assert comparable(found + one.close()) == expected()


def test_labels_may_be_configured_later_and_taken_out_again() -> None:
    with_labels = parse_config({**inputs.config(), "labels": {"topics": ["labels"]}})
    one, flow = decider(), sent()
    third = len(flow) // 3
    all_alerts(flow[:third], one)
    for later, changed in ((third, with_labels), (2 * third, config())):
        snapshots = {model: one.snapshot(model) for model in one.models()}
        one = Decider(changed, References(changed))
        for model, data in snapshots.items():
            one.restore_ledger(data)
            one.restore(model, data)
        known = {source: state.next for source, state in one.ledger.sources.items()}
        for flush in flow[later : later + third]:
            one.apply(flush)
        assert one.counters["flushes_gap"] == one.counters["flushes_mismatch"] == 0
        assert any(one.ledger.sources[source].next > before for source, before in known.items())
    # What the join had sent before it was taken out is still there to be read.
    assert one.apply(replace(flow[0], stage="join")) == []


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\xa1x\x01\x80", b"nonsense" * 100])
def test_a_damaged_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decider().restore("m", data)


def test_a_version_moves_only_with_the_state_of_its_model() -> None:
    one = decider()
    assert one.version("alpha") == 0
    beta = [delta for delta in sent()[4].deltas if delta.key.stream.model == "beta"]
    only_beta = Flush(beta, [], len(beta), sum(delta.rows for delta in beta))
    assert only_beta.deltas
    for flush in sent()[:4]:
        one.apply(flush)
    before = one.version("alpha"), one.version("beta")
    one.apply(only_beta)
    assert one.version("alpha") == before[0]
    assert one.version("beta") > before[1]


def test_what_is_still_learning_is_named() -> None:
    one = decider()
    for flush in sent()[:8]:
        one.apply(flush)
    assert "shifted" in one.learning()["alpha"]
    all_alerts(sent()[8:], one)
    assert "shifted" not in one.learning().get("alpha", [])


def test_a_shadow_never_pages() -> None:
    shadows = {Stream("beta", version, "shadow") for version in ("1", "2")}
    streams = {delta.key.stream for flush in sent() for delta in flush.deltas}
    assert streams & shadows
    settings_ = parse_config(inputs.config(models={"*": {"learn": 500, "detectors": ["adwin"]}}))
    one = Decider(settings_, References(settings_))
    found = [a for f in flushes(settings_, inputs.messy(24_000), SCHEDULE) for a in one.apply(f)]
    pages = Counter((alert.stream.role, alert.severity) for alert in found)
    assert pages["shadow", "ticket"] > 0
    assert pages["shadow", "page"] == 0
    assert pages["live", "page"] > 0

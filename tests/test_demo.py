"""The demo: what it injects is found, nothing else is, and it says so with its exit code."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from stream_monitor.cli import main
from stream_monitor.demo.library import run, run_seeds
from stream_monitor.demo.outcome import Outcome, outcome
from stream_monitor.demo.scenario import INJECTED, Scenario

SEEDS = range(1, 11)


def test_exactly_the_injected_changes_are_found() -> None:
    assert all(one.exact for one in run_seeds(SEEDS, seconds=30, drift=True, detectors=True))


def test_nothing_is_found_where_nothing_changes() -> None:
    assert all(one.exact for one in run_seeds(SEEDS, seconds=30, drift=False, detectors=True))


def test_without_detectors_nothing_is_found_and_the_exit_code_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--seeds", "1-2", "--no-detectors", "--json"]) == 1
    outcomes = orjson.loads(capsys.readouterr().out)
    assert [one["found"] for one in outcomes] == [[], []]


def test_the_same_seed_gives_the_same_events() -> None:
    one, same, other = (list(Scenario(seed, 20).seconds_of_events()) for seed in (4, 4, 5))
    assert one == same != other


def alert(**changed: Any) -> dict[str, Any]:
    time = "2026-01-01T00:00:18Z"
    return {
        "signal": {"kind": "feature", "name": "income"},
        "check": "drift",
        "since": {"at": time},
        "time": time,
        "summary": "",
    } | changed


ALL = [alert(signal={"kind": kind, "name": name}) for kind, name in INJECTED]


@pytest.mark.parametrize(
    ("alerts", "exact"),
    [
        (ALL, True),
        (ALL[:2], False),
        ([*ALL, alert(signal={"kind": "feature", "name": "age"})], False),
        ([*ALL, ALL[0]], False),
        ([*ALL[:2], ALL[2] | {"check": "missing"}], False),
        ([*ALL[:2], ALL[2] | {"since": {"at": "2026-01-01T00:00:22Z"}}], False),
        ([], False),
    ],
)
def test_only_the_injected_changes_once_each_at_their_time_are_exact(
    alerts: list[dict[str, Any]], exact: bool
) -> None:
    assert outcome(Scenario(1), alerts).exact is exact
    assert not outcome(Scenario(1, drift=False), alerts).exact or not alerts


def test_live_on_the_embedded_broker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--seconds", "20", "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert found["exact"]
    assert len(found["found"]) == len(INJECTED)


def test_a_quiet_run_has_nothing_to_miss() -> None:
    quiet = run(Scenario(2, 20, drift=False))
    assert isinstance(quiet, Outcome)
    assert quiet.missed == []
    assert quiet.false == []

"""The library: what a user of `import stream_monitor as sm` may rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import stream_monitor as sm
from stream_monitor.demo.outcome import TOLERANCE_MS, outcome
from stream_monitor.demo.scenario import Scenario
from stream_monitor.errors import ConfigError

SCENARIO = Scenario(seed=3, seconds=20)


def test_events_as_dicts_one_by_one_or_in_a_file_give_the_same_alerts(tmp_path: Path) -> None:
    seconds = list(SCENARIO.seconds_of_events())
    by_second = sm.Monitor(SCENARIO.config())
    expected = [alert.to_json() for events in seconds for alert in by_second.update(events)]
    expected += [alert.to_json() for alert in by_second.close()]

    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(event) for events in seconds for event in events))
    from_file = sm.Monitor(SCENARIO.config())
    found = [alert for records in sm.read(path) for alert in from_file.update(records)] + from_file.close()
    assert [alert.to_json() for alert in found] == expected
    assert outcome(SCENARIO, [alert.to_dict() for alert in found]).exact


def test_several_files_follow_one_another(tmp_path: Path) -> None:
    seconds = list(SCENARIO.seconds_of_events())
    monitor = sm.Monitor(SCENARIO.config())
    alerts = []
    for number, events in enumerate(seconds):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(b"\n".join(map(orjson.dumps, events)))
        alerts += [alert for records in sm.read(path) for alert in monitor.update(records)]
    alerts += monitor.close()
    assert monitor.rows == SCENARIO.rate * SCENARIO.seconds
    assert outcome(SCENARIO, [alert.to_dict() for alert in alerts]).exact


def test_what_cannot_be_attributed_is_counted_by_reason() -> None:
    monitor = sm.Monitor(SCENARIO.config())
    monitor.update([b"{", b"[]", b'{"model": "churn"}', b'{"model": "churn", "ts": 0}'])
    assert monitor.rows == monitor.rejected.total() + 1
    assert monitor.rejected["not_json"] == 1


def test_an_alert_has_its_sentence_its_time_and_the_labels_of_its_model() -> None:
    monitor = sm.Monitor(SCENARIO.config())
    alerts = [alert for events in SCENARIO.seconds_of_events() for alert in monitor.update(events)]
    assert {alert.to_dict()["labels"]["team"] for alert in alerts} == {"growth"}
    assert all(abs(one.since.timestamp() * 1000 - SCENARIO.change_ms) <= TOLERANCE_MS for one in alerts)
    assert all(alert.summary.startswith("churn") for alert in alerts)


def test_a_wrong_configuration_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"predictions\.topcis: unknown key"):
        sm.Monitor({"predictions": {"topics": ["p"], "topcis": []}})


def test_the_library_needs_no_kafka_client() -> None:
    code = (
        "import sys; sys.modules['confluent_kafka'] = None; import stream_monitor as sm; sm.Monitor; sm.read"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""Backtest: alerts held against known incidents, for any number of configurations and processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import orjson
import pytest
import yaml

from stream_monitor import cli
from stream_monitor.config.values import DAY_MS
from stream_monitor.demo.scenario import MODEL, Scenario
from stream_monitor.errors import ConfigError
from stream_monitor.trials.incidents import Incident, load_incidents
from stream_monitor.trials.picture import picture
from stream_monitor.trials.verdict import History, Told, judge
from tests.kafka.broker import Cluster
from tests.test_replay import configure, produce, stream, write

HOUR_MS = DAY_MS // 24
SVG = "{http://www.w3.org/2000/svg}"


# Incidents


def incidents(tmp_path: Path, text: str) -> list[Incident]:
    path = tmp_path / "incidents.yaml"
    path.write_text(text)
    return load_incidents(path)


def test_incidents_are_read_in_order_of_time_from_yaml_and_json(tmp_path: Path) -> None:
    found = incidents(
        tmp_path,
        """
        incidents:
          - {name: late, start: 2026-01-02T00:00:00Z, signals: [a, "b*"], model: churn}
          - {name: early, start: 1767225600000, end: "2026-01-01T02:00:00+01:00", signals: a}
        """,
    )
    assert [(one.name, one.start, one.end) for one in found] == [
        ("early", 1_767_225_600_000, 1_767_225_600_000 + HOUR_MS),
        ("late", 1_767_225_600_000 + DAY_MS, None),
    ]
    assert found[1].shows_in("churn", "b2")
    assert not found[1].shows_in("churn", "c")
    assert not found[1].shows_in("other", "a")
    assert found[0].shows_in("any", "a")
    assert incidents(tmp_path, '[{"name": "n", "start": 0}]') == [Incident(name="n", start=0)]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("incidents: [{start: 0}]", ["incidents[0].name: expected a value, got nothing"]),
        (
            "[{name: a, start: 0}, {name: b, start: yesterday, ends: 4}]",
            [
                "incidents[1].start: expected a time, as",
                "incidents[1].ends: unknown key; did you mean end?",
            ],
        ),
        ("[{name: a, start: 7, end: 7}]", ["incidents[0].end: expected a time after start, got 7"]),
        ("[{name: a, start: 7, signals: []}]", ["incidents[0].signals: expected at least 1 item, got []"]),
        ("[{name: a, name: b, start: 7}]", ["line 1: duplicate key name, first on line 1"]),
        ("incidents: [", ["line 1, column 13: expected YAML, got: "]),
        ("", ["configuration: expected a mapping"]),
    ],
)
def test_what_is_wrong_with_incidents_is_said_with_its_place(
    tmp_path: Path, text: str, problems: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        incidents(tmp_path, text)
    assert len(caught.value.problems) == len(problems)
    for said, expected in zip(caught.value.problems, problems, strict=True):
        assert said.startswith(f"{tmp_path / 'incidents.yaml'}: {expected}")


# Verdicts


def told(time: int, since: int | None = None, **changed: Any) -> Told:
    """An alert of x at the end of a slice of an hour; times in hours."""
    what: dict[str, Any] = {"id": "i", "model": "m", "kind": "feature", "signal": "x", "check": "drift"}
    what |= {"severity": "page", "summary": "x rose", "score": "location", "unit": "rank"}
    what |= {"effect": 0.3, "dead": 0.1} | changed
    began = (time - 1 if since is None else since) * HOUR_MS
    return Told(**what, since=began, first=(time - 1) * HOUR_MS, time=time * HOUR_MS)


def incident(start: int, end: int | None, signals: Iterable[str] = "x") -> Incident:
    ends = None if end is None else end * HOUR_MS
    return Incident(name=f"from {start}", start=start * HOUR_MS, end=ends, signals=list(signals))


def verdict(alerts: list[Told], *known: Incident, grace: int = 2) -> tuple[list[int | None], list[int]]:
    """The delay of each incident and the times of false alerts, in hours; the history has two weeks."""
    found = judge("c", History(0, 14 * DAY_MS, 1), alerts, known, grace * HOUR_MS)
    delays = [None if one.delay_ms is None else one.delay_ms // HOUR_MS for one in found.met]
    return delays, [one.time // HOUR_MS for one in found.false]


def test_the_first_alert_in_time_finds_and_others_of_an_incident_are_not_false() -> None:
    alerts = [told(15), told(13), told(9), told(12, signal="y")]
    assert verdict(alerts, incident(10, 20)) == ([3], [9, 12])


def test_a_slice_that_overlaps_the_incident_or_its_grace_is_in_time() -> None:
    at = [10, 11, 22, 23]
    assert [verdict([told(time)], incident(10, 20)) for time in at] == [
        ([None], [10]),
        ([1], []),
        ([12], []),
        ([None], [23]),
    ]
    assert verdict([told(23)], incident(10, 20), grace=3) == ([13], [])


def test_what_is_told_too_late_of_a_change_in_the_incident_is_neither_found_nor_false() -> None:
    assert verdict([told(50, since=15)], incident(10, 20)) == ([None], [])
    assert verdict([told(50, since=20)], incident(10, 20)) == ([None], [50])


def test_without_an_end_an_incident_lasts_and_one_outside_the_history_is_left_out() -> None:
    assert verdict([told(300)], incident(10, None)) == ([290], [])
    outside = [incident(14 * 24 + 1, None)]
    assert verdict([told(300)], *outside) == ([], [300])


def test_an_alert_counts_for_each_of_the_incidents_that_overlap() -> None:
    assert verdict([told(13)], incident(10, 20), incident(12, 14)) == ([3, 1], [])


def test_pages_a_week_leave_out_tickets_and_the_median_leaves_out_what_was_missed() -> None:
    alerts = [told(15), told(33), told(60, severity="ticket"), *(told(time) for time in (100, 101, 102))]
    known = [incident(10, 20), incident(30, 40), incident(200, 210)]
    found = judge("c", History(0, 14 * DAY_MS, 1), alerts, known, 0)
    assert found.false_pages_a_week == pytest.approx(1.5)
    assert len(found.false) == 4
    assert found.delay_median_ms == 4 * HOUR_MS
    assert [one.incident.start // HOUR_MS for one in found.missed] == [200]


def test_an_alert_is_drawn_once_as_the_best_that_it_is() -> None:
    """The second tells more of the first incident, and finds the second."""
    alerts, known = [told(11), told(14), told(30)], [incident(10, 20), incident(13, 15)]
    drawn = picture("f", [judge("c", History(0, 14 * DAY_MS, 1), alerts, known, 0)])
    assert marks(ET.fromstring(drawn)) == {"band": 2, "found": 2, "page": 1}


def marks(drawn: ET.Element) -> Counter[str | None]:
    """Whatever can be pointed at, by kind."""
    return Counter(one.get("class") for one in drawn.iter() if one.find(f"{SVG}title") is not None) - Counter(
        {None: 1}
    )


# The command


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's events, whose three changes come at once, and two configurations."""
    folder, scenario = tmp_path_factory.mktemp("demo"), Scenario(seed=1, seconds=24, rate=200)
    events = [event for second in scenario.seconds_of_events() for event in second]
    (folder / "events.jsonl").write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    (folder / "on.yaml").write_text(yaml.safe_dump(scenario.config()))
    (folder / "off.yaml").write_text(yaml.safe_dump(scenario.config(detectors=False)))
    start, second = scenario.change_ms, 1_000
    known = [
        {"name": "<income & channel>", "start": start, "model": MODEL, "signals": ["income", "channel"]},
        {"name": "before", "start": start - 3 * second, "end": start - second, "signals": "income"},
        {"name": "slip", "start": start, "signals": "incme"},
        {"name": "next year", "start": start + 365 * DAY_MS},
    ]
    (folder / "incidents.yaml").write_text(yaml.safe_dump(known))
    return folder


def backtest(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    configs = ["--config", folder / "on.yaml", "--config", folder / "off.yaml"]
    command = ["backtest", folder / "events.jsonl", *configs, "--incidents", folder / "incidents.yaml"]
    assert cli.main([*map(str, [*command, "--grace", "0s", *arguments])]) == 0
    return capsys.readouterr().out


def test_configurations_side_by_side_as_a_table_json_and_a_picture(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = backtest(demo, capsys, "--json", tmp_path / "b.json", "--svg", tmp_path / "b.svg", "--alerts")
    said = orjson.loads((tmp_path / "b.json").read_bytes())
    on, off = said["configurations"]
    assert (on["name"], on["found"], on["missed"]) == ("on", 1, 2)
    assert (off["name"], off["found"], off["missed"], off["false"]) == ("off", 0, 3, [])
    # The demo's third change, of the score, belongs to no incident that is known.
    assert [alert["signal"]["name"] for alert in on["false"]] == ["score"]
    assert said["history"]["events"] == 24 * 200
    assert on["false_pages_a_week"] == pytest.approx(1 / said["history"]["weeks"], rel=1e-4)
    first = next(one for one in on["incidents"] if one["found"])
    assert {alert["signal"]["name"] for alert in first["alerts"]} == {"income", "channel"}
    assert 0 < first["delay_ms"] <= 5_000
    assert [one["in_history"] for one in said["incidents"]] == [True, True, True, False]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "incidents found 1 of 3 0 of 3" in lines
    assert any(line.startswith("slip: no signal of this history is incme") for line in lines)
    assert any(line.startswith("next year: left out") for line in lines)
    assert sum(" page found <income & channel>: " in line for line in lines) == 1

    drawn = marks(ET.parse(tmp_path / "b.svg").getroot())
    assert drawn == {"found": 1, "more": len(first["alerts"]) - 1, "page": 1, "band": 1, "missed": 5}


def test_processes_and_their_number_change_nothing(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = backtest(demo, capsys, "--json", "-", "--processes", "1")
    assert backtest(demo, capsys, "--json", "-", "--processes", "2") == one
    assert orjson.loads(one)["configurations"][0]["found"] == 1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_error_of_a_run_ends_it_with_code_2(
    demo: Path, capsys: pytest.CaptureFixture[str], processes: str
) -> None:
    config, known = str(demo / "on.yaml"), str(demo / "incidents.yaml")
    command = ["backtest", "none.jsonl", "--config", config, "--config", config, "--incidents", known]
    assert cli.main([*command, "--processes", processes]) == 2
    assert "none.jsonl: cannot be read" in capsys.readouterr().err


def test_topics_give_what_a_file_gives(
    kafka: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = produce(kafka, stream(), partitions=2)
    config = configure(tmp_path, topic, **{"bootstrap.servers": kafka.bootstrap})
    file = write(tmp_path / "f.jsonl", stream())
    (tmp_path / "known.json").write_text('[{"name": "all of it", "start": 0, "signals": "x"}]')
    found = []
    for source in ([file], []):
        command = ["backtest", *source, "--config", config, "--incidents", tmp_path / "known.json"]
        assert cli.main([*map(str, command), "--json", "-"]) == 0
        found.append(orjson.loads(capsys.readouterr().out))
    assert found[0]["configurations"] == found[1]["configurations"]
    assert found[0]["configurations"][0]["found"] == 1
    for one in found:
        del one["history"]["input"]
    assert found[0]["history"] == found[1]["history"]

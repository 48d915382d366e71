"""Probes that tell a stalled or unready worker from a good one; logs that machines and people can read."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry

from stream_monitor.errors import ConfigError
from stream_monitor.metrics import Metrics
from stream_monitor.runtime import health, logs
from stream_monitor.runtime.health import Health


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Probed:
    """A Health that serves, with a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = CollectorRegistry()
        self.health = Health(self.registry, stall_after_s=60, now=self.clock)
        self.port = self.health.start("127.0.0.1", 0)

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str, str]:
        """Status, content type and body."""
        request = Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        try:
            with urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.headers["Content-Type"], refused.read().decode()


@pytest.fixture
def probed() -> Iterator[Probed]:
    probed = Probed()
    yield probed
    probed.health.stop()


def test_healthy_while_the_main_loop_ticks(probed: Probed) -> None:
    probed.clock.now_s = 60
    assert probed.get("/healthz")[0] == 200
    probed.clock.now_s = 61
    status, _, why = probed.get("/healthz")
    assert status == 503
    assert "61 s" in why
    assert "limit 60 s" in why
    probed.health.tick()
    assert probed.get("/healthz")[0] == 200


def test_ready_only_once_told_so(probed: Probed) -> None:
    assert probed.get("/readyz")[::2] == (503, "starting\n")
    probed.health.ready(True)
    assert probed.get("/readyz")[::2] == (200, "ok\n")
    probed.health.ready(False, "restoring partition 3")
    assert probed.get("/readyz")[::2] == (503, "restoring partition 3\n")
    assert probed.get("/healthz")[0] == 200


def test_metrics_of_this_worker_in_the_format_that_is_asked_for(probed: Probed) -> None:
    Metrics(probed.registry).rejected_rows.labels("not_json").inc(2)
    status, content_type, text = probed.get("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert 'stream_monitor_rejected_rows_total{reason="not_json"} 2.0' in text
    status, content_type, text = probed.get("/metrics", "application/openmetrics-text; version=1.0.0")
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_other_paths_say_which_there_are(probed: Probed) -> None:
    status, _, text = probed.get("/")
    assert status == 404
    assert "/healthz" in text


def test_a_client_that_says_nothing_holds_up_no_other(
    probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health._Handler, "timeout", None)
    silent = HTTPConnection("127.0.0.1", probed.port, timeout=10)
    with closing(silent):
        silent.connect()
        assert probed.get("/healthz")[0] == 200


def test_a_taken_port_is_a_config_error_that_names_it(probed: Probed) -> None:
    other = Health(CollectorRegistry())
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{probed.port} \(Address already in use\)"):
        other.start("127.0.0.1", probed.port)
    other.stop()


def test_after_stop_nothing_listens(probed: Probed) -> None:
    probed.health.stop()
    with pytest.raises(ConnectionRefusedError):
        HTTPConnection("127.0.0.1", probed.port, timeout=10).connect()


def log_line(formatter: logging.Formatter, event: str, **fields: object) -> str:
    record = logging.LogRecord("stream_monitor.x", logging.WARNING, "x.py", 1, event, None, None)
    record.created = 1_763_865_600.25
    vars(record).update(fields)
    return formatter.format(record)


def test_a_json_line_holds_the_event_and_its_fields() -> None:
    line = log_line(logs.JsonFormatter(), "partition stopped", topic="a\nb", partition=3, why=ValueError("x"))
    assert "\n" not in line
    assert json.loads(line) == {
        "ts": "2025-11-23T02:40:00.250Z",
        "level": "warning",
        "logger": "stream_monitor.x",
        "event": "partition stopped",
        "topic": "a\nb",
        "partition": 3,
        "why": "x",
    }


def test_no_field_can_pose_as_the_level_or_break_the_line() -> None:
    line = log_line(logs.JsonFormatter(), "e", level="info", ts=0, huge=2**80, lone="\ud800", raw=b"\xff")
    parsed = json.loads(line)
    assert parsed["level"] == "warning"
    assert parsed["huge"] == 2**80
    assert line.encode()


def test_a_line_for_people() -> None:
    assert log_line(logs.HumanFormatter(), "partition stopped", topic="a", partition=3) == (
        "02:40:00.250 WARNING stream_monitor.x: partition stopped  topic=a partition=3"
    )
    assert log_line(logs.HumanFormatter(), "started").endswith("x: started")


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.HumanFormatter()])
def test_secrets_are_hidden_wherever_they_are_nested(formatter: logging.Formatter) -> None:
    kafka = {
        "bootstrap.servers": "a:9092",
        "sasl.password": "hunter2",
        "ssl.key.password": "hunter2",
        "ssl.key.pem": "hunter2",
        "sasl.oauthbearer.client.secret": "hunter2",
        "deeper": {"api_key": "hunter2"},
    }
    line = log_line(formatter, "connecting", kafka=kafka, token="hunter2")
    assert "hunter2" not in line
    assert line.count(logs.HIDDEN) == 6
    assert "a:9092" in line


def stderr_of(script: str, *, terminal: bool = False) -> list[str]:
    """The lines that a process of its own writes to its stderr, which may be a terminal."""
    reader, writer = os.openpty() if terminal else os.pipe()
    imports = "import logging\nfrom stream_monitor.runtime import logs\nlog = logging.getLogger('x')\n"
    subprocess.run([sys.executable, "-c", imports + script], stderr=writer, check=True)
    os.close(writer)
    written = os.read(reader, 65_536).decode()
    os.close(reader)
    return written.splitlines()


def test_an_exception_is_part_of_its_line() -> None:
    (line,) = stderr_of("logs.setup()\ntry:\n 1 / 0\nexcept ArithmeticError:\n log.exception('failed')")
    assert json.loads(line)["event"] == "failed"
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_json_unless_a_person_looks() -> None:
    (line,) = stderr_of("logs.setup(); log.info('seen')")
    assert json.loads(line)["event"] == "seen"
    (line,) = stderr_of("logs.setup(); log.info('seen')", terminal=True)
    assert line.endswith("INFO    x: seen")
    (line,) = stderr_of("logs.setup(json=True); log.info('seen')", terminal=True)
    assert json.loads(line)["event"] == "seen"


def test_what_is_below_the_level_is_not_logged() -> None:
    (line,) = stderr_of("logs.setup(); log.debug('below'); log.info('seen')")
    assert "seen" in line
    (line,) = stderr_of("logs.setup(level='ERROR'); log.warning('below'); log.error('seen')")
    assert "seen" in line

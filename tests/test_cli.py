"""The command line: what it imports, what it prints, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml

from stream_monitor import __version__, cli
from stream_monitor.errors import ConfigError, InputError

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "monitor.yaml"
HEAVY = ("pydantic", "yaml", "numpy", "river", "confluent_kafka", "rich", "pyarrow", "prometheus_client")

# In a process of its own, a subcommand ``try`` that says one line.
SPEAKING = """
import os, sys, types
from stream_monitor import cli
module = types.ModuleType("a_command")
module.add_arguments = lambda parser: None
module.main = lambda args: print("one line") or 0
sys.modules["a_command"] = module
cli.COMMANDS["try"] = cli.Command("a_command", "")
"""


def run(*arguments: str, check: str | None = None) -> subprocess.CompletedProcess[str]:
    code = check or "import sys; from stream_monitor.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A subcommand ``try`` that a test may fill in."""
    module = ModuleType("a_command", "What it does.")
    module.__dict__["add_arguments"] = lambda parser: parser.add_argument("--how")
    module.__dict__["main"] = lambda _: 0
    monkeypatch.setitem(sys.modules, "a_command", module)
    monkeypatch.setitem(cli.COMMANDS, "try", cli.Command("a_command", "try it"))
    return module


def raising(error: BaseException) -> object:
    def main(_: object) -> int:
        raise error

    return main


def test_help_names_every_command_and_imports_none() -> None:
    loaded = f"""
import sys
from stream_monitor.cli import main
try:
    main(["--help"])
finally:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    done = run(check=loaded)
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    for name in (
        "check-config",
        "topics",
        "run",
        "alerts",
        "profile",
        "replay",
        "backtest",
        "calibrate",
        "demo",
    ):
        assert f"    {name}" in done.stdout


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"stream-monitor {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["--no-such-option"]])
def test_what_is_no_command_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert "usage: stream-monitor" in capsys.readouterr().err


def test_a_command_gets_its_arguments_and_gives_the_exit_code(command: ModuleType) -> None:
    command.__dict__["main"] = lambda args: 7 if args.how == "well" else 0
    assert cli.main(["try", "--how", "well"]) == 7
    assert cli.main(["try"]) == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("f.csv:7: expected 3 columns"), "stream-monitor: f.csv:7: expected 3 columns\n"),
        (ConfigError(["a: x", "b: y"]), "stream-monitor: a: x\nstream-monitor: b: y\n"),
    ],
)
def test_an_error_of_ours_is_a_message_and_code_2(
    command: ModuleType, error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command.__dict__["main"] = raising(error)
    assert cli.main(["try"]) == 2
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(command: ModuleType) -> None:
    command.__dict__["main"] = raising(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["try"])


def test_control_c_is_130() -> None:
    # Python leaves SIGINT ignored where it was so at the start, as in a shell's background jobs.
    caught = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    interrupted = f"{caught}; module.main = lambda args: signal.raise_signal(signal.SIGINT)"
    done = run(check=f"{SPEAKING}{interrupted}\nsys.exit(cli.main(['try']))")
    assert (done.returncode, done.stderr) == (130, "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = f"{SPEAKING}sys.exit(cli.main(['try']))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writing, "wb") as pipe:
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=buffered,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (process.returncode, process.stderr) == (0, b"")


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_follows_the_convention(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: stream-monitor {name}" in capsys.readouterr().out


# check-config


def checked(tmp_path: Path, text: str) -> int:
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    return cli.main(["check-config", str(path)])


def test_check_config_sums_up_what_applies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(
        tmp_path,
        """
        kafka: {bootstrap.servers: "127.0.0.1:1", log_level: 0}
        predictions: {topics: [predictions, more]}
        labels: {topics: [labels], horizon: 14d}
        models:
          churn:
            learn: 20000
            quality: {class: {task: binary, score: score}}
            segments: [country]
            detectors: [adwin: {delta: 0.01}]
            labels: {team: growth}
            features: {age: {range: [18, 100]}}
        """,
    ) == 0  # fmt: skip
    out, err = capsys.readouterr()
    for said in (
        "predictions, more",
        "late after 10s",
        "drift.alerts",
        "learned from 20000 events",
        "adwin(delta=0.01)",
        "team=growth",
        "age: number, [18, 100]",
        "labels, the last one counts",
        "within 14d, in slices of 1m, cohorts of 1h",
        "class: binary, margin 0.1",
        "country, at most 20 values each",
        "(any other)",
        "detectors  scan",
        "1 by chance in 7d",
    ):
        assert said in out
    assert ("warning" in out, err) == (False, "")


def test_check_config_reports_all_problems_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, "predictions: {topcis: [p]}\nhttp: {port: -1}\n") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "stream-monitor: predictions.topics: expected a value, got nothing",
        "stream-monitor: predictions.topcis: unknown key; did you mean topics?",
        "stream-monitor: http.port: expected a number >= 0, got -1",
    ]


def test_check_config_warns_of_what_may_be_meant_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
predictions: {topics: [p], unknown_models: reject}
labels: {topics: [labels]}
models: {"*": {detectors: []}}
"""
    assert checked(tmp_path, text) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    assert [line.split(":")[1].strip() for line in warned] == [
        "kafka.bootstrap.servers",
        "labels",
        "predictions.unknown_models",
        "models.*.detectors",
    ]


def test_check_config_never_shows_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
kafka: {bootstrap.servers: "127.0.0.1:1", log_level: 0, ssl.key.password: hunter2}
predictions: {topics: [p]}
"""
    assert checked(tmp_path, text) == 0
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err
    assert "warning: kafka.ssl.key.password: in the file itself" in out


def test_check_config_finds_a_missing_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, "predictions: {topics: [p]}\nmodels: {churn: {reference: churn.profile}}\n") == 2
    assert "churn.profile" in capsys.readouterr().err


def test_check_config_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check-config", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    document = yaml.safe_load(EXAMPLE.read_text())
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError, match="topcis"):
        jsonschema.validate(document | {"predictions": {"topics": ["p"], "topcis": ["p"]}}, schema)


def test_arguments_of_a_command_do_not_import_it_for_another() -> None:
    loaded = """
import sys
from stream_monitor.cli import main
main(["check-config", "--schema"])
print([name for name in sys.modules if name.startswith("stream_monitor.runtime.t")], file=sys.stderr)
"""
    assert run(check=loaded).stderr == "[]\n"


@pytest.mark.parametrize(
    "command",
    [
        ["topics", "create"],
        ["alerts"],
        ["load"],
        ["run"],
        ["run", "--role", "decide", "--port", "0"],
        ["replay"],
        ["calibrate", "--config"],
    ],
)
def test_what_needs_brokers_says_that_the_configuration_names_none(
    command: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_text("predictions: {topics: [predictions]}")
    done = run(*command, str(path))
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("stream-monitor: ")]
    assert [one.split(", got ")[0] for one in told] == [
        "stream-monitor: expected a file, or kafka.bootstrap.servers in the configuration"
        if command[0] in {"replay", "calibrate"}
        else "stream-monitor: kafka.bootstrap.servers: expected the brokers"
    ]

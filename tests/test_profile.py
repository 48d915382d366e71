"""The reference that a file makes: exact, whatever the order of its events."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream_monitor import cli
from stream_monitor.config import Config, parse_config
from stream_monitor.errors import InputError
from stream_monitor.events import Float64s
from stream_monitor.monitor import Monitor
from stream_monitor.reference import Kind, ReferenceFile
from stream_monitor.sources.profile import profile
from stream_monitor.summary.counts import Count

N = 4_000
HOUR_MS = 3_600_000
Event = dict[str, Any]


def config_of(**model: Any) -> Config:
    return parse_config({"predictions": {"topics": ["t"]}, "models": {"*": model}})


def write(path: Path, events: list[Any]) -> Path:
    path.write_bytes(b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in events))
    return path


def event(time: int, features: Event, outputs: Event | None = None, model: str = "m", **more: Any) -> Event:
    return {"model": model, "ts": time, "features": features, "outputs": outputs or {"score": 0.5}, **more}


def mixed_events(seed: int) -> list[Any]:
    """Signals of every kind, two versions, a shadow, another model, and malformed lines."""
    rng = random.Random(seed)
    events: list[Any] = []
    for number in range(3_000):
        features: Event = {"x": rng.lognormvariate(0, 2), "city": rng.choice("abcd"), "id": f"u{number}"}
        if number % 7 == 0:
            features["rare"] = None
        if number % 11 == 0:
            features["x"] = "n/a"
        role = "shadow" if number % 13 == 0 else "live"
        time = number * HOUR_MS // 10
        version = str(number % 2)
        events.append(event(time, features, {"p": rng.random()}, role=role, model_version=version))
    return [*events, event(0, {"x": 1e9}, model="other"), b"{", b"[]", b'{"model": "m"}']


def test_order_of_the_events_does_not_matter_to_a_byte(tmp_path: Path) -> None:
    events = mixed_events(1)
    written = set()
    for seed in range(3):
        path = write(tmp_path / f"{seed}.jsonl", random.Random(seed).sample(events, len(events)))
        profile(path, config_of(), "m").file.write(tmp_path / "one.profile")
        written.add((tmp_path / "one.profile").read_bytes())
    assert len(written) == 1


SHAPES: dict[str, Callable[[np.random.Generator], Float64s]] = {
    "normal": lambda rng: rng.normal(3, 2, N),
    "around zero": lambda rng: rng.normal(0, 1e-3, N),
    "lognormal": lambda rng: rng.lognormal(0, 2, N),
    "student t3": lambda rng: rng.standard_t(3, N),
    "kelvin": lambda rng: rng.normal(285, 8, N),
    "year": lambda rng: rng.integers(1990, 2025, N).astype(float),
    "epoch ms of one hour": lambda rng: np.rint(1.7e12 + rng.uniform(0, HOUR_MS, N)),
    "two values": lambda rng: rng.integers(0, 2, N).astype(float),
    "far below one": lambda rng: rng.exponential(1e-12, N),
    "negative and large": lambda rng: rng.normal(-1e15, 1e12, N),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_and_sd_are_exact_to_the_grid_whose_unit_is_near_a_thousandth_of_sd(
    tmp_path: Path, shape: str
) -> None:
    values = SHAPES[shape](np.random.default_rng(7))
    path = write(tmp_path / "f.jsonl", [event(0, {"x": value}) for value in values.tolist()])
    reference = profile(path, config_of()).file.subjects["features"]
    summary, grid = reference.summary, reference.grids["x"]
    total, squares = int(summary.counts[0, Count.GRID_SUM]), summary.grid_squares(0)
    mean = grid.center + grid.unit * total / N
    sd = grid.unit * np.sqrt(squares / N - (total / N) ** 2)
    assert summary.counts[0, Count.GRID_CLIPPED] == 0
    assert np.log2(grid.unit) == round(np.log2(grid.unit))
    assert values.std() / 4096 < grid.unit < values.std() / 256
    # Rounding moves a value by half a unit at most.
    assert abs(mean - values.mean()) <= grid.unit / 2
    assert abs(sd - values.std()) <= grid.unit / 2


@pytest.mark.parametrize("value", [0.0, 42.0, -1e300, 1e300, 5e-324])
def test_a_constant_has_a_grid_too(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "f.jsonl", [event(0, {"x": value})] * 600)
    reference = profile(path, config_of()).file.subjects["features"]
    assert reference.kinds == {"x": Kind.NUMBER}
    assert reference.grids["x"].unit > 0


def test_center_of_the_configuration_moves_the_codes_but_not_the_grid(tmp_path: Path) -> None:
    values = [1.7e12 + 3_600 * number for number in range(1_000)]
    path = write(tmp_path / "f.jsonl", [event(0, {"at": value}) for value in values])
    plain = profile(path, config_of()).file.subjects["features"]
    centered = profile(path, config_of(features={"at": {"center": 1.7e12}})).file.subjects["features"]
    for reference in (plain, centered):
        grid, total = reference.grids["at"], int(reference.summary.counts[0, Count.GRID_SUM])
        assert abs(grid.center + grid.unit * total / 1_000 - np.mean(values)) <= grid.unit / 2
    assert centered.summary.maximum[0] == np.float32(values[-1] - 1.7e12)


def test_every_signal_within_the_bound_and_no_other_is_in_the_reference(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [event(0, dict.fromkeys("abcde", 1.5))] * 10)
    reference = profile(path, config_of(max_signals=2)).file.subjects["features"]
    assert len(reference.kinds) == 2
    assert set(reference.summary.signals) == set(reference.kinds) == set(reference.grids)


def test_only_live_events_of_the_model_count_and_versions_are_pooled(tmp_path: Path) -> None:
    events = [
        event(0, {"x": 1}, {"p": 1}, model_version="1"),
        event(0, {"x": 2}, {"p": 2}, model_version="2"),
        event(0, {"x": 3}, {"p": 3}, role="shadow"),
        event(0, {"y": 4}, {"q": 4}, model="other"),
    ]
    made = profile(write(tmp_path / "f.jsonl", [*events, b"{"]), config_of(), "m")
    for subject, name in (("features", "x"), ("outputs", "p")):
        summary = made.file.subjects[subject].summary  # type: ignore[index]
        assert summary.signals == (name,)
        assert summary.rows == 2
        assert summary.maximum[0] == 2
    assert made.rejected == {"not_json": 1}
    assert made.others == {"other": 1}


def test_events_that_come_in_no_order_are_not_late(tmp_path: Path) -> None:
    events = [event(time * HOUR_MS, {"x": time}) for time in (900, 1, 500, 0)]
    summary = profile(write(tmp_path / "f.jsonl", events), config_of()).file.subjects["outputs"].summary
    assert (summary.rows, summary.late) == (4, 0)


def test_formats_of_a_file_say_the_same(tmp_path: Path) -> None:
    rng = random.Random(3)
    xs = [round(rng.gauss(5, 2), 3) if rng.random() > 0.1 else None for _ in range(700)]
    cities = [rng.choice(["rome", "oslo"]) for _ in xs]
    lines = write(
        tmp_path / "f.jsonl",
        [event(0, {"x": x, "city": city}) for x, city in zip(xs, cities, strict=True)],
    )
    table = {
        "model": ["m"] * len(xs),
        "ts": [0] * len(xs),
        "features.x": xs,
        "features.city": cities,
        "outputs.score": [0.5] * len(xs),
    }
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    with (tmp_path / "f.csv").open("w", newline="") as file:
        csv.writer(file).writerows([table.keys(), *zip(*table.values(), strict=True)])
    written = set()
    for path in (lines, tmp_path / "f.parquet", tmp_path / "f.csv"):
        profile(path, config_of()).file.write(tmp_path / "one.profile")
        written.add((tmp_path / "one.profile").read_bytes())
    assert len(written) == 1


def test_a_file_of_several_models_needs_one_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", [event(0, {"x": 1}, model=name) for name in ("b", "a", "c")])
    with pytest.raises(InputError, match="expected one model, got b and a, c; choose one with --model"):
        profile(path, config_of())
    assert profile(path, config_of(), "a").model == "a"
    with pytest.raises(InputError, match="expected live events of model d, got those of a, b, c"):
        profile(path, config_of(), "d")


def test_a_file_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected events, got none"):
        profile(write(tmp_path / "f.jsonl", [b"{", b"[]"]), config_of())


def test_a_monitor_with_the_reference_compares_what_comes_first_with_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    before = [event(0, {"x": value, "c": "a"}) for value in rng.normal(100, 5, 2_000).tolist()]
    out = tmp_path / "m.profile"
    profile(write(tmp_path / "f.jsonl", before), config_of()).file.write(out)
    monitor = Monitor(config_of(reference=str(out)))
    shifted = [
        event(second * 1_000, {"x": value, "c": "a"})
        for second in range(40)
        for value in rng.normal(110, 5, 50).tolist()
    ]
    alerts = [*monitor.update(shifted), *monitor.close()]
    assert [(alert.finding.signal, alert.check) for alert in alerts] == [("x", "drift")]
    mean = alerts[0].finding.before.mean
    assert mean is not None
    assert abs(mean - np.mean([one["features"]["x"] for one in before])) < 5 / 1024
    assert monitor.decider.learning() == {}


def test_command_shows_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        event(0, {"age": None if n % 4 == 0 else n % 50, "at": 1.7e12 + 3_600 * n, "c": "ab"[n % 2]})
        for n in range(1_000)
    ]
    path, out = write(tmp_path / "f.jsonl", [*events, b"{"]), tmp_path / "m.profile"
    assert cli.main(["profile", str(path), "--out", str(out)]) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    ages = [one["features"]["age"] for one in events if one["features"]["age"] is not None]
    assert f"age number 25 % {np.mean(ages):.6g} {np.std(ages):.4g} 0 49" in said
    assert "c category 0 % a 50 %, b 50 %" in said
    assert any(line.startswith("at number") and "unwatchable" in line for line in said)
    assert "rejected, not_json: 1" in said
    assert any("no season" in line and "--season" in line for line in said)
    assert set(ReferenceFile.read(out).subjects) == {"features", "outputs"}


def test_command_reports_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "f.jsonl", [event(0, {"x": 1})])
    assert cli.main(["profile", str(path), "--out", str(tmp_path / "no" / "m.profile")]) == 2
    assert cli.main(["profile", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "m.profile")]) == 2
    said = capsys.readouterr().err
    assert "no/m.profile: expected to write the reference" in said
    assert "none.jsonl: cannot be read" in said

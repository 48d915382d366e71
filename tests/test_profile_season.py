"""A history tells how signals move and their season, so that a model need not learn them again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import ReferenceFileError
from stream_monitor.monitor import Monitor
from stream_monitor.reference import ReferenceFile, References
from stream_monitor.sources.profile import profile
from tests.test_profile import event, write

MINUTES = 10
SLICE_MS = MINUTES * 60_000
DAY_MS = 86_400_000
DAYS = 9
EVENTS = 12
"""In a slice."""


def config_of(path: Path | None = None, **settings: Any) -> Config:
    given = {"slice": f"{MINUTES}m", "learn": "1d", **settings} | (
        {} if path is None else {"reference": str(path)}
    )
    return parse_config({"predictions": {"topics": ["t"], "lateness": "1m"}, "models": {"m": given}})


def days(seed: int, first: float, count: int, shift: float = 0.0) -> list[dict[str, Any]]:
    """A signal of 1 sd with a day of 1.5 sd, and one without."""
    random = np.random.default_rng(seed)
    step = SLICE_MS // EVENTS
    times = range(round(first * DAY_MS), round((first + count) * DAY_MS), step)
    noise = random.standard_normal((len(times), 2)).tolist()
    return [
        event(at, {"x": 1.5 * math.sin(2 * math.pi * at / DAY_MS) + x + shift, "y": y}, {})
        for at, (x, y) in zip(times, noise, strict=True)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("season")
    history = write(folder / "history.jsonl", days(1, 0, DAYS))
    path = folder / "m.profile"
    found = profile(history, config_of(), season=True)
    assert found.learned is not None
    assert (found.learned.seasons, found.learned.late) == ({"x": 24}, 0)
    assert found.learned.slices == DAYS * DAY_MS // SLICE_MS
    found.file.write(path)
    return path


def alerts(config: Config, events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    monitor = Monitor(config)
    told = monitor.update(events) + monitor.close()
    return [(one.finding.signal, one.finding.score) for one in told]


@pytest.mark.parametrize("first", [DAYS, 3.25, 400.4])
def test_what_comes_is_judged_without_its_season_from_the_first_slice_on(made: Path, first: float) -> None:
    """Whenever that is: after the history, within it, or a year later."""
    assert alerts(config_of(made), days(2, first, 3)) == []
    monitor = Monitor(config_of(made))
    told = monitor.update([*days(3, first, 1), *days(4, first + 1, 1, shift=0.7)]) + monitor.close()
    assert {(one.signal, one.check) for one in (one.finding for one in told)} == {("x", "drift")}
    assert {one.finding.before.n for one in told} == {DAYS * DAY_MS // SLICE_MS * EVENTS}


def test_without_it_a_file_as_reference_tells_the_season_as_drift(made: Path, tmp_path: Path) -> None:
    bare = replace(ReferenceFile.read(made), movements=None)
    bare.write(tmp_path / "bare.profile")
    assert ("x", "location") in alerts(config_of(tmp_path / "bare.profile"), days(2, DAYS, 3))


def test_it_is_read_as_it_was_written_and_another_one_is_another_reference(
    made: Path, tmp_path: Path
) -> None:
    file = ReferenceFile.read(made)
    file.write(tmp_path / "same.profile")
    assert (tmp_path / "same.profile").read_bytes() == made.read_bytes()
    replace(file, movements=None).write(tmp_path / "bare.profile")
    basis = [References(config_of(path)).basis("m") for path in (made, tmp_path / "bare.profile")]
    assert basis[0] != basis[1]


def test_slices_of_another_length_are_refused_and_so_is_a_newer_form(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ReferenceFileError, match=r"models.m.slice: expected slices of 600000 ms.*got 1000 ms"
    ):
        Monitor(config_of(made, slice="1s"))
    monkeypatch.setattr("stream_monitor.reference.MOVEMENTS_VERSION", 2)
    with pytest.raises(ReferenceFileError, match="movements of version 1, not 2; profile the file again"):
        ReferenceFile.read(made)


def test_with_other_detectors_it_is_learned_from_what_comes(made: Path) -> None:
    monitor = Monitor(config_of(made, detectors=["adwin"]))
    monitor.update(days(2, DAYS, 1))
    [(_, subject)] = [(stream, one) for stream, one in monitor.decider.subjects() if stream.of_features]
    assert [type(detector).__name__ for detector, _ in subject.watches[0].detectors] == ["Adwin"]


def test_a_minimum_effect_that_was_set_since_is_the_one_that_counts(made: Path) -> None:
    shifted = [*days(3, DAYS, 1), *days(4, DAYS + 1, 2, shift=0.7)]
    wide = config_of(made, min_effect={"location": 1.0, "shape": 1.0, "rate": 1.0})
    assert alerts(wide, shifted) == []
    narrow = config_of(made, min_effect={"location": 0.0})
    small = [*days(3, DAYS, 1), *days(4, DAYS + 1, 3, shift=0.12)]
    assert alerts(config_of(made), small) == []
    assert ("x", "location") in alerts(narrow, small)


def test_rows_out_of_order_are_counted_and_in_no_slice(tmp_path: Path) -> None:
    events = days(1, 0, 2)
    late = [event(1_000, {"x": 99.0, "y": 0.0}, {}) for _ in range(7)]
    found = profile(write(tmp_path / "h.jsonl", [*events, *late]), config_of(), season=True).learned
    assert found is not None
    assert (found.late, found.slices) == (7, 2 * DAY_MS // SLICE_MS)


def test_the_same_history_in_other_records_is_the_same_file(made: Path, tmp_path: Path) -> None:
    """Shuffled within the lateness that is allowed."""
    random = np.random.default_rng(7)
    events = days(1, 0, DAYS)
    keys = np.array([one["ts"] for one in events]) + random.integers(0, 50_000, len(events))
    history = write(tmp_path / "h.jsonl", [events[at] for at in np.argsort(keys).tolist()])
    profile(history, config_of(), season=True).file.write(tmp_path / "again.profile")
    assert (tmp_path / "again.profile").read_bytes() == made.read_bytes()

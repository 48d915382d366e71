"""Reference files: what is written is read again, and one that does not fit is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_monitor.config import Config, parse_config
from stream_monitor.errors import ReferenceFileError
from stream_monitor.reference import Reference, ReferenceFile, References
from stream_monitor.summary.grid import Grid
from tests.test_checks import normal, summary

DECLARED: dict[str, Any] = {"x": {"center": 5.0}}


def config(path: Path, **features: Any) -> Config:
    models = {"m": {"reference": path.name, "features": features}}
    return parse_config({"predictions": {"topics": ["p"]}, "models": models}, base=path.parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    fields = parse_config({"predictions": {"topics": ["p"]}, "models": {"m": {"features": DECLARED}}}).model(
        "m"
    )
    rows = [{"x": x, "c": "ab"[i % 2]} for i, x in enumerate(normal(1))]
    made = Reference.of(summary(rows, **DECLARED), fields.features, {"x": Grid(5.0, 0.5)})
    empty = Reference.of(made.summary.select([]), {})
    file = tmp_path / "m.profile"
    ReferenceFile({"features": made, "outputs": empty}).write(file)
    return file


def test_what_is_written_is_read_again(path: Path) -> None:
    again = ReferenceFile.read(path)
    again.write(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()
    assert again.subjects["features"].kinds.keys() == {"x", "c"}
    assert again.shape.values["features", "c"] == {"a", "b"}
    assert again.shape.grids["features", "x"] == Grid(5.0, 0.5)


def test_a_configuration_that_centers_otherwise_is_refused(path: Path) -> None:
    assert References(config(path, **DECLARED)).of("m") is not None
    with pytest.raises(
        ReferenceFileError, match=r"models\.m\.features: expected each `center` as in .*m\.profile"
    ):
        References(config(path, x={"center": 6.0}))


@pytest.mark.parametrize("data", [b"", b"\x00" * 50, b"\x93\xa1x\x01\x80"])
def test_a_file_that_is_no_reference_is_refused_by_name(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ReferenceFileError, match=r"m\.profile: expected a reference written by"):
        References(config(path, **DECLARED))


def test_a_cut_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ReferenceFileError):
        ReferenceFile.read(path)


def test_a_model_without_a_file_has_none(path: Path) -> None:
    references = References(config(path, **DECLARED))
    assert references.of("another") is None
    assert references.shape("another") is None

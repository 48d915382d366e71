"""The hold-out: a file with labels makes a reference of quality, and live quality is compared with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from stream_monitor.config import parse_config
from stream_monitor.monitor import Monitor
from stream_monitor.reference import ReferenceFile
from stream_monitor.sources.profile import profile

START_MS = 1_767_225_600_000
CONFIG: dict[str, Any] = {
    "predictions": {"topics": ["predictions"], "lateness": "10s"},
    "labels": {"topics": ["labels"], "slice": "1m", "cohort": "10m", "horizon": "6h"},
    "models": {"m": {"slice": "1m", "quality": {"class": {"task": "binary", "score": "score"}}}},
}


def rows(rng: np.random.Generator, n: int, flipped: float, seconds: float = 1.0) -> list[dict[str, Any]]:
    """Scores of a calibrated model, but that a share of the labels is the other one."""
    found = []
    for number, score in enumerate(rng.beta(0.5, 0.5, n).tolist()):
        label = (rng.random() < score) != (rng.random() < flipped)
        time = START_MS + int(number * seconds * 1_000)
        outputs = {"score": score, "class": int(score >= 0.5)}
        event = {"prediction_id": f"p{number}", "model": "m", "ts": time, "outputs": outputs}
        found.append({**event, "features": {}, "label": int(label)})
    return found


def reference(tmp_path: Path, events: list[dict[str, Any]]) -> Path:
    path, out = tmp_path / "holdout.jsonl", tmp_path / "m.profile"
    path.write_bytes(b"\n".join(map(orjson.dumps, events)))
    profile(path, parse_config(CONFIG)).file.write(out)
    return out


def alerts(out: Path, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of live events whose labels come ten minutes later, whole minutes at a time."""
    models = {"m": {**CONFIG["models"]["m"], "reference": str(out)}}
    monitor = Monitor({**CONFIG, "models": models})
    told = []
    for at in range(0, len(events), 600):
        part = events[at : at + 600]
        told += monitor.update([{name: one[name] for name in one if name != "label"} for one in part])
        labels = ({**one, "ts": one["ts"] + 600_000} for one in part)
        told += monitor.label(
            [{name: one[name] for name in ("prediction_id", "ts", "label")} for one in labels]
        )
    told += monitor.close()
    return [alert.to_dict() for alert in told if alert.check == "quality"]


def test_a_profile_of_rows_with_labels_holds_their_quality(tmp_path: Path) -> None:
    events = rows(np.random.default_rng(1), 4_000, flipped=0.0)
    quality = ReferenceFile.read(reference(tmp_path, events)).quality["class"].figures()
    right = sum(one["outputs"]["class"] == one["label"] for one in events)
    assert quality["accuracy"].value == right / 4_000
    brier = sum((one["outputs"]["score"] - one["label"]) ** 2 for one in events) / 4_000
    assert abs((quality["brier"].value or 0) - brier) < 1e-12


def test_rows_without_labels_make_no_reference_of_quality(tmp_path: Path) -> None:
    events = rows(np.random.default_rng(1), 1_000, flipped=0.0)
    made = ReferenceFile.read(reference(tmp_path, [{**one, "label": None} for one in events]))
    assert made.quality == {}
    assert made.pairs is None


def test_a_model_that_is_as_good_as_in_the_hold_out_raises_nothing(tmp_path: Path) -> None:
    out = reference(tmp_path, rows(np.random.default_rng(1), 4_000, flipped=0.0))
    assert alerts(out, rows(np.random.default_rng(2), 9_000, flipped=0.0)) == []


def test_a_model_that_is_worse_than_in_the_hold_out_is_told_once_with_what_it_rests_on(
    tmp_path: Path,
) -> None:
    out = reference(tmp_path, rows(np.random.default_rng(1), 4_000, flipped=0.0))
    (alert,) = alerts(out, rows(np.random.default_rng(2), 6_000, flipped=0.25))
    assert alert["signal"] == {"kind": "quality", "name": "class"}
    assert alert["before"]["events"] == 4_000
    assert alert["basis"]["labels"] <= alert["basis"]["predictions"] <= 600
    assert alert["since"]["at"] == "2026-01-01T00:00:00.000Z"
    names = {alert["effect"]["score"], *(one["score"] for one in alert["evidence"]["also"])}
    assert {"brier", "log_loss"} <= names


def test_too_few_labels_or_too_small_a_loss_are_no_finding(tmp_path: Path) -> None:
    out = reference(tmp_path, rows(np.random.default_rng(1), 4_000, flipped=0.0))
    # 60 in each cohort.
    assert alerts(out, rows(np.random.default_rng(2), 600, flipped=0.5, seconds=10)) == []
    # Less than the margin of a tenth.
    assert alerts(out, rows(np.random.default_rng(3), 6_000, flipped=0.01)) == []

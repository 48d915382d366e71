"""Pieces of events, rendered before any event is sent: of a few features, of the outputs, of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from stream_monitor.config.quality import Quality
from stream_monitor.load.population import CLASSES, LEFT_OUT, Columns

_GROUP_MIN, _GROUPS_MAX = 5, 8


def groups(columns: Columns) -> list[list[bytes]]:
    """The members of each few features, of each event; but the first group, with a leading comma."""
    names = list(columns)
    size = max(_GROUP_MIN, -(-len(names) // _GROUPS_MAX))
    parts = [names[at : at + size] for at in range(0, len(names), size)]
    return [
        members({name: columns[name] for name in part}, comma=b"," if number else b"")
        for number, part in enumerate(parts)
    ]


def members(columns: Columns, comma: bytes = b"") -> list[bytes]:
    """The members of an object, of each event, behind a comma where there are any."""
    found = []
    for row in zip(*columns.values(), strict=True):
        named = zip(columns, row, strict=True)
        inner = orjson.dumps({name: value for name, value in named if value is not LEFT_OUT})[1:-1]
        found.append(comma + inner if inner else b"")
    return found


def truths(quality: Mapping[str, Quality], outputs: Columns, random: np.random.Generator) -> list[bytes]:
    """A label of each event, as JSON: as probable as its outputs say. Of several measures, an object.

    Without any measure it is true as often as the score is high.
    """
    score = np.array(outputs["score"])
    columns = {
        measure.label or name: _truth(measure, score, outputs["class"], random)
        for name, measure in quality.items()
    }
    if len(columns) > 1:
        return [b"{%b}" % one for one in members(columns)]
    (column,) = columns.values() if columns else [(random.random(len(score)) < score).tolist()]
    return [orjson.dumps(value) for value in column]


def _truth(
    measure: Quality, score: np.ndarray[Any, Any], classes: Sequence[str], random: np.random.Generator
) -> list[Any]:
    n = len(score)
    if measure.task == "regression":
        return list((score + random.normal(0, 0.1, n)).round(5).tolist())
    if measure.task == "binary":
        other = next((one for one in measure.classes or () if one != measure.positive), "0")
        return list(np.where(random.random(n) < score, measure.positive, other).tolist())
    others = random.choice(list(measure.classes or CLASSES), n).tolist()
    wrong = random.random(n) < 0.2
    return [other if no else said for other, no, said in zip(others, wrong, classes, strict=True)]

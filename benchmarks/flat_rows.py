"""The rows of the section ``statistics``: each event's features and outputs side by side.

Imports nothing of the package: contenders run it in environments of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from benchmarks.generator import Workload

TABLE_ROWS = 10_000
"""A second of event time: so often statistics are closed and begun anew."""


def tables(events: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a workload, TABLE_ROWS at a time."""
    rows: list[dict[str, Any]] = []
    for value in chain.from_iterable(chunk.values for chunk in Workload(events).chunks()):
        event = orjson.loads(value)
        rows.append({**event["features"], **event["outputs"]})
        if len(rows) == TABLE_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows

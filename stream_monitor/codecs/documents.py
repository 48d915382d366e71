"""The rows that a batch of records holds: from bytes to JSON objects, and rejects for what is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct

from stream_monitor.codecs.identity import Problem, shown
from stream_monitor.codecs.parse import Tombstone, Unparsable, parse_all
from stream_monitor.codecs.reasons import Reason
from stream_monitor.events import Int64s, Records, Reject

ROWS_MAX = 10_000
"""A record may hold so many events."""


@dataclass(slots=True)
class Events:
    """The events of a batch: n that a known layout fits, then the others; both in order of (record, row).

    ``fields`` are those of the former, ``arrays`` the records that hold several.
    """

    source: Int64s
    typed: list[Struct]
    objects: list[dict[str, Any]]
    record: Int64s
    row: Int64s
    fields: dict[str, list[Any]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    skipped: dict[int, int] = field(default_factory=dict)
    arrays: dict[int, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.record)

    def reject(self, record: int, row: int, problem: Problem) -> None:
        """A row of an array is told by itself: with all of the record each time it would be their product."""
        array = self.arrays.get(record)
        value = None if array is None else _json(array[row])
        self.rejects.append(Reject(record, row, *problem, source=int(self.source[record]), value=value))

    def skip(self, record: int) -> None:
        source = int(self.source[record])
        self.skipped[source] = self.skipped.get(source, 0) + 1


def _json(event: Any) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False).encode()
    except RecursionError:
        return b""


def parsed(records: Records, typed: list[Struct], fits: Int64s, others: Sequence[int]) -> Events:
    """Parse the records ``others`` the general way, and take arrays apart. ``fits``: places of ``typed``."""
    documents = parse_all([records.values[record] for record in others])
    objects: list[dict[str, Any]] = []
    places: list[tuple[int, int]] = []
    events = Events(records.source, typed, objects, fits, np.zeros(len(fits), np.int64))
    for record, document in zip(others, documents, strict=True):
        if isinstance(document, Tombstone) or document == []:
            events.skip(record)
            continue
        if isinstance(document, Unparsable):
            events.reject(record, 0, Problem(Reason.NOT_JSON, document.why))
            continue
        several = document if isinstance(document, list) else [document]
        if len(several) > ROWS_MAX:
            detail = f"expected at most {ROWS_MAX} events in a record, got {len(several)}"
            events.reject(record, 0, Problem(Reason.TOO_MANY_ROWS, detail))
            continue
        if len(several) > 1:
            events.arrays[record] = several
        for row, event in enumerate(several):
            if type(event) is dict:
                objects.append(event)
                places.append((record, row))
            else:
                detail = f"expected an object, got {shown(event)}"
                events.reject(record, row, Problem(Reason.NOT_OBJECT, detail))
    place = np.array(places, np.int64).reshape(-1, 2)
    events.record = np.append(fits, place[:, 0])
    events.row = np.append(events.row, place[:, 1])
    return events

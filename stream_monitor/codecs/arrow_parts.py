"""The parts of a batch, each the events of a table, and how they become one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream_monitor.codecs.later import Later
from stream_monitor.events import Batch, Group, Int64s, Records, Reject


@dataclass(slots=True)
class Part:
    """Accepted events of a table by (record, row), with groups of their places in it; and rejected ones."""

    record: Int64s
    row: Int64s
    time: Int64s
    groups: list[Group]
    ids: Sequence[str | None]
    rejects: list[Reject]

    def __len__(self) -> int:
        return len(self.record)


def batch_of(
    records: Records, parts: list[Part], rejects: list[Reject], skipped: dict[int, int], *, with_ids: bool
) -> Batch:
    """All events by (record, row). ``rejects`` are those of no part."""
    record, row, time, order = _in_order(parts)
    rejects = rejects + [reject for part in parts for reject in part.rejects]
    return Batch(
        sources=records.sources,
        source=records.source[record],
        offset=records.offset[record],
        row=row,
        time=time,
        groups=_groups(parts, order),
        ids=_ids(parts, order) if with_ids else None,
        rejects=sorted(rejects, key=lambda reject: (reject.record, reject.row)),
        skipped=skipped,
    )


def _in_order(parts: list[Part]) -> tuple[Int64s, Int64s, Int64s, Int64s | None]:
    """Record, row and time of all events by (record, row), and that order; None where it is theirs."""
    if len(parts) == 1:
        return parts[0].record, parts[0].row, parts[0].time, None
    none = [np.empty(0, np.int64)]
    record = np.concatenate([part.record for part in parts] + none)
    row = np.concatenate([part.row for part in parts] + none)
    time = np.concatenate([part.time for part in parts] + none)
    order = np.lexsort((row, record))
    return record[order], row[order], time[order], order


def _groups(parts: list[Part], order: Int64s | None) -> list[Group]:
    if order is None:
        return parts[0].groups
    position, first = np.empty(len(order), np.int64), 0
    position[order] = np.arange(len(order))
    for part in parts:
        for group in part.groups:
            group.rows = position[group.rows + first]
        first += len(part)
    return [group for part in parts for group in part.groups]


def _ids(parts: list[Part], order: Int64s | None) -> Sequence[str | None]:
    if order is None:
        return parts[0].ids
    return Later(len(order), lambda: at_places([one for part in parts for one in part.ids], order))


def at_places(ids: Sequence[str | None], places: Int64s) -> list[str | None]:
    known = list(ids)
    return list(map(known.__getitem__, places.tolist()))

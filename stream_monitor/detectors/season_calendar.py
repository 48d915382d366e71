"""The clock that seasons go by: that of a place, on whose holidays it is Sunday."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
TO_SUNDAY = (-1, -2, -3, 3, 2, 1, 0)
"""Days from Monday, Tuesday, .. to the nearest Sunday."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = 3
"""1970 began on a Thursday."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """``zone``: of the IANA database, "" for UTC. ``holidays``: days there since 1970, whose hours count as
    those of the nearest Sunday.

    The rules of a zone are those that the host has: hosts of one group should have one version of them.
    """

    zone: str = ""
    holidays: frozenset[int] = frozenset()

    @classmethod
    def of(cls, zone: str, holidays: Iterable[int]) -> Calendar:
        return cls(zone, frozenset(holidays))

    def ahead(self, at: int) -> int:
        """By how many ms its clock is ahead of UTC at a time, in ms since 1970."""
        offset = _offset(self.zone, at) if self.zone else 0
        day = (at + offset) // DAY_MS
        return offset + TO_SUNDAY[(day + _MONDAY) % 7] * DAY_MS if day in self.holidays else offset


def _offset(zone: str, at: int) -> int:
    local = (_EPOCH + timedelta(milliseconds=at)).astimezone(_rules(zone))
    return (local.utcoffset() or timedelta()) // timedelta(milliseconds=1)


@lru_cache(maxsize=64)
def _rules(zone: str) -> ZoneInfo:
    return ZoneInfo(zone)

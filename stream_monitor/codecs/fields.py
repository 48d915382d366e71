"""Where in a record a field is found, as the configuration maps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_monitor.events import NO_TIMESTAMP, Int64s, Records

JSON_PATH = "$"


@dataclass(frozen=True, slots=True)
class Place:
    """A JSON path ("$.a.b"), "key", "header:NAME", "topic", "kafka" (the timestamp) or "=constant".

    ``path`` is that of a JSON path; None elsewhere.
    """

    mapping: str
    path: tuple[str, ...] | None

    @classmethod
    def parse(cls, mapping: str) -> Place:
        """Take a mapping as the configuration has checked it."""
        if mapping == JSON_PATH:
            return cls(mapping, ())
        if mapping.startswith("$."):
            return cls(mapping, tuple(mapping[2:].split(".")))
        return cls(mapping, None)

    @classmethod
    def optional(cls, mapping: str | None) -> Place | None:
        return None if mapping is None else cls.parse(mapping)

    def of_records(self, records: Records, record: Int64s) -> list[Any]:
        """Give the field of n events, where it is no JSON path. ``record`` (n,): their places in it."""
        if self.mapping.startswith("="):
            return [self.mapping[1:]] * len(record)
        if self.mapping == "kafka":
            return [None if time == NO_TIMESTAMP else time for time in records.timestamp[record].tolist()]
        if self.mapping == "topic":
            return [records.sources[index].topic for index in records.source[record].tolist()]
        if self.mapping == "key":
            keys = records.keys
            return [None if keys is None else _text(keys[index]) for index in record.tolist()]
        name = self.mapping.removeprefix("header:")
        return [_text(_last_header(records, i, name)) for i in record.tolist()]


def at_path(events: Sequence[Any], path: tuple[str, ...]) -> list[Any]:
    """Follow a path from each event; None where it leads nowhere."""
    found: list[Any] = list(events)
    for name in path:
        found = [at.get(name) if type(at) is dict else None for at in found]
    return found


def mapped_inside(name: str, places: Mapping[str, Place | None]) -> frozenset[str]:
    """The members of a field that lead to other fields, or are others."""
    outer = places[name]
    at = None if outer is None else outer.path
    if at is None:
        return frozenset()
    paths = [place.path for place in places.values() if place is not None and place.path is not None]
    return frozenset(path[len(at)] for path in paths if len(path) > len(at) and path[: len(at)] == at)


def _last_header(records: Records, index: int, name: str) -> bytes | None:
    """Of several headers of one name the last counts, as in Kafka's own clients."""
    headers = records.headers[index] if records.headers is not None else ()
    return next((value for key, value in reversed(headers) if key == name), None)


def _text(value: bytes | None) -> str | bytes | None:
    """UTF-8 as text. Other bytes stay bytes, which no field accepts."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value

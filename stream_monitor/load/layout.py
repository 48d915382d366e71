"""Where a record holds what, as the configuration maps it: the way back from fields to bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import orjson

from stream_monitor.codecs.fields import Place
from stream_monitor.errors import StreamMonitorError

MEMBERS = frozenset({"features", "outputs"})
"""Slots that are filled with members of an object, and not with a value."""

_MARK = "\x00"
_OPENS = '"\\u0000'


class Layout:
    """A JSON document with slots. ``key`` and ``headers`` name the slots that are outside of it.

    ``places``: by slot the mapping of its field, None where it is not sent. Constants, the topic's name and
    the record's timestamp are there without being sent.
    """

    def __init__(self, places: Mapping[str, str | None]) -> None:
        self.headers: dict[str, str] = {}
        self.key: str | None = None
        document: dict[str, Any] = {}
        for slot, mapping in places.items():
            path = None if mapping is None else Place.parse(mapping).path
            if path is not None:
                _put(document, path, slot)
            elif mapping == "key":
                self.key = slot
            elif mapping is not None and mapping.startswith("header:"):
                self.headers[slot] = mapping.removeprefix("header:")
        self._between, self._slots = _cut(orjson.dumps(document).decode())

    def render(
        self, values: Mapping[str, Sequence[bytes]], members: Mapping[str, Sequence[Sequence[bytes]]]
    ) -> list[bytes]:
        """The documents of n events. ``values``: by slot n values as JSON; ``members``: by slot the parts of
        n objects, that follow each other with their commas. Cost: about 0.3 us an event of 550 bytes.
        """
        parts: list[Any] = [repeat(self._between[0], len(values["id"]))]
        for slot, after in zip(self._slots, self._between[1:], strict=True):
            parts += [*(members[slot] if slot in MEMBERS else [values[slot]]), repeat(after)]
        return list(map(b"".join, zip(*parts, strict=False)))


def _put(document: dict[str, Any], path: tuple[str, ...], slot: str) -> None:
    """Put a mark of the slot at the path."""
    *above, last = (*path, _MARK + slot) if slot in MEMBERS else path
    for name in above:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            message = f"fields: expected {name} to hold members alone, got {slot} and a value in it"
            raise StreamMonitorError(message)
    document[last] = _MARK + slot


def _cut(text: str) -> tuple[list[bytes], list[str]]:
    """Cut a document at its marks: the constant texts, and the slots between them."""
    for slot in MEMBERS:
        mark = orjson.dumps(_MARK + slot).decode()
        text = text.replace(f"{mark}:{mark}", mark)
    between, slots = [], []
    while _OPENS in text:
        before, _, text = text.partition(_OPENS)
        slot, _, text = text.partition('"')
        between.append(before.encode())
        slots.append(slot)
    return [*between, text.encode()], slots

"""JSON documents from bytes: orjson, and a second look at what it refuses but Python's json would write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import orjson


class Unparsable:
    """What a value that is no JSON document parses to. ``why`` is one line of the parser's."""

    def __init__(self, why: str) -> None:
        self.why = why


class Tombstone:
    """What a record without a value parses to."""


TOMBSTONE: Final = Tombstone()


def parse_all(values: Iterable[bytes | None]) -> list[Any]:
    """Parse each value alone: a document, an ``Unparsable``, or ``TOMBSTONE``. Raises nothing.

    Cost: that of orjson.loads, and of ``parse_leniently`` for each value that it refuses.
    """
    documents: list[Any] = []
    add, loads = documents.append, orjson.loads
    for value in values:
        try:
            add(loads(value))  # type: ignore[arg-type]  # None raises, and is rare
        except (ValueError, RecursionError):
            add(parse_leniently(value))
    return documents


def parse_leniently(value: bytes | None) -> Any:
    """Accept, beyond JSON, the literals NaN, Infinity and -Infinity and numbers beyond float64 (infinite).

    Python's own json writes the former by default, and a whole event should not be lost for one of them.
    Everything else is as strict as orjson: UTF-8, no control characters, no lone surrogates.
    """
    if value is None:
        return TOMBSTONE
    try:
        document = json.loads(value.decode(), parse_int=_integer)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return Unparsable(_one_line(error, value))
    return document


def _integer(digits: str) -> int | float:
    """As orjson: what fits 64 bits is an integer, anything else a float."""
    number = int(digits) if len(digits) <= len("-9223372036854775808") else None
    return float(digits) if number is None or not -(2**63) <= number < 2**64 else number


def _one_line(error: Exception, value: bytes) -> str:
    if not value:
        return "no bytes"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).splitlines()[0][:120]

"""Says what is wrong with a configuration, in the words of the person who wrote it."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from stream_monitor.config.section import Section, shown

SAYS: dict[str, str] = {
    "missing": "a value",
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "literal_error": "{expected}",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
    "too_long": "at most {max_length} item{s}",
    "too_short": "at least {min_length} item{s}",
    "string_too_short": "at least {min_length} character{s}",
}
"""What was expected, by pydantic's type of error; its own words otherwise."""


def problems_of(error: ValidationError, root: type[Section]) -> list[str]:
    """One line for each error: "path.of.field: expected ..., got ..."; nothing under kafka is quoted."""
    return [_problem(dict(details), root) for details in error.errors(include_url=False)]


def _problem(details: dict[str, Any], root: type[Section]) -> str:
    location, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        *parents, key = location
        near = difflib.get_close_matches(str(key), _keys(root, parents), n=1)
        return f"{_path(location)}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if kind not in SAYS:
        return f"{_path(location)}: {details['msg']}"
    limits = details.get("ctx", {})
    what = SAYS[kind].format(**limits, s="" if limits.get("min_length") == 1 else "s")
    if kind == "missing":
        return f"{_path(location)}: expected {what}, got nothing"
    # Anything under kafka may be a password, and so may a document that is not a mapping at all.
    secret = not location or location[0] == "kafka"
    return f"{_path(location)}: expected {what}" + ("" if secret else f", got {shown(details['input'])}")


def _path(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return "".join(parts).removeprefix(".") or "configuration"


def _keys(root: type[Section], location: list[int | str]) -> list[str]:
    """The keys that the section at a location knows."""
    section = root
    for part in location:
        fields = {info.alias or name: info.annotation for name, info in section.model_fields.items()}
        if part in fields:
            section = next(_sections(fields[str(part)]), section)
    return [info.alias or name for name, info in section.model_fields.items()]


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections that an annotation holds, however deep: of ``dict[str, Signal] | None``, Signal."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _sections(inner)

"""What every part of the configuration has in common, and how a value that does not fit is named."""

from __future__ import annotations

import json
from typing import Any, LiteralString, NoReturn, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

GOT_CHARS_MAX = 60
EXPECTED: LiteralString = "expected"


class Section(BaseModel):
    """A mapping with known keys. Frozen, strict (no "4" for 4), and errors do not carry their input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def adds_to(self, general: Self) -> bool:
        """Whether this section completes a more general one; otherwise it takes its place."""
        del general
        return True


def refuse(what: str, got: object) -> NoReturn:
    """Refuse a value in a validator: ``expected WHAT, got GOT``."""
    raise PydanticCustomError(EXPECTED, "expected {what}, got {got}", {"what": what, "got": shown(got)})


def complain(problem: str) -> NoReturn:
    """Refuse a value in a validator, with words that do not quote it."""
    raise PydanticCustomError(EXPECTED, "{problem}", {"problem": problem})


def shown(value: object) -> str:
    """A value as its author wrote it, cut at GOT_CHARS_MAX; a mapping's content is not shown.

    >>> shown([100, 18]), shown(None), shown({"a": 1})
    ('[100, 18]', 'null', 'a mapping')
    """
    if isinstance(value, dict):
        return "a mapping"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= GOT_CHARS_MAX else f"{text[:GOT_CHARS_MAX]}..."


def merged(general: Any, special: Any) -> Any:
    """``special`` laid over ``general``: keys that it sets win, sections and mappings go on key by key."""
    if isinstance(general, dict) and isinstance(special, dict):
        shared = {key: merged(general[key], special[key]) for key in general.keys() & special.keys()}
        return {**general, **special, **shared}
    if isinstance(general, Section) and isinstance(special, Section) and special.adds_to(general):
        names = special.model_fields_set
        return general.model_copy(
            update={name: merged(getattr(general, name), getattr(special, name)) for name in names},
        )
    return special

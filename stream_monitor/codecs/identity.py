"""To which stream, time and id an event belongs; where it cannot be told, the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from stream_monitor.codecs.reasons import Reason
from stream_monitor.events import NO_TIMESTAMP, Int64s, Stream
from stream_monitor.times import TIME_MS_END, epoch_ms

NAME_LENGTH_MAX = 200
ROLES = frozenset({"live", "shadow"})
STREAMS_CACHED_MAX = 16_384
SHOWN_LENGTH_MAX = 60

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TEXTS = frozenset({str, NoneType})


class Problem(NamedTuple):
    """Why an event is rejected, and what was found in place of what was expected."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Unusable:
    """A value where a name was expected. Equal to no other, so that each is told on its own."""

    value: Any


def names(values: Sequence[Any]) -> Sequence[str | Unusable | None]:
    """Take strings and integers (as their text) for names, None for what is missing or null."""
    if set(map(type, values)) <= _TEXTS:
        return values
    return [_name(value) for value in values]


def _name(value: Any) -> str | Unusable | None:
    kind = type(value)
    if kind is int:
        return str(value)
    return value if kind in _TEXTS else Unusable(value)


def shown(value: Any) -> str:
    """Show a value in an error, on one line, shortened."""
    match value:
        case list():
            return "an array"
        case dict():
            return "an object"
        case bytes():
            return "bytes that are not UTF-8"
        case _:
            text = json.dumps(value if type(value) is not str else value[:SHOWN_LENGTH_MAX])
            return text if type(value) is not str or len(value) <= SHOWN_LENGTH_MAX else text[:-1] + '..."'


class Streams:
    """Which stream (model, version, role) names; remembered for up to STREAMS_CACHED_MAX of them."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._known: dict[tuple[Any, Any, Any], Stream] = {}

    def find(
        self, models: Sequence[Any], versions: Sequence[Any], roles: Sequence[Any]
    ) -> tuple[list[Stream | Problem], Int64s]:
        """Give the distinct streams and problems of n rows, and for each row (n,) which is its own."""
        keys = list(zip(names(models), names(versions), names(roles), strict=True))
        index = {key: position for position, key in enumerate(dict.fromkeys(keys))}
        found = [self._find(key) for key in index]
        if len(found) == 1:
            return found, np.zeros(len(keys), np.int64)
        return found, np.fromiter(map(index.__getitem__, keys), np.int64, len(keys))

    def _find(self, key: tuple[Any, Any, Any]) -> Stream | Problem:
        known = self._known.get(key)
        if known is not None:
            return known
        found = _stream(*key, self._knows)
        if isinstance(found, Stream):
            if len(self._known) >= STREAMS_CACHED_MAX:
                self._known.clear()
            self._known[key] = found
        return found


def _stream(model: Any, version: Any, role: Any, knows: Callable[[str], bool]) -> Stream | Problem:
    if not model:
        return Problem(Reason.NO_MODEL, "model: expected a name, got none")
    if problem := model_problem(model, knows):
        return problem
    if version and (why := _unusable(version)):
        return Problem(Reason.BAD_VERSION, f"version: {why}")
    if role and role not in ROLES:
        value = role.value if isinstance(role, Unusable) else role
        return Problem(Reason.BAD_ROLE, f'role: expected "live" or "shadow", got {shown(value)}')
    return Stream(model, version or "", role or "live")


def model_problem(model: str | Unusable, knows: Callable[[str], bool]) -> Problem | None:
    """Tell why a name, as ``names`` gives it, cannot be that of a model."""
    if why := _unusable(model):
        return Problem(Reason.BAD_MODEL, f"model: {why}")
    if isinstance(model, Unusable) or not knows(model):
        return Problem(Reason.UNKNOWN_MODEL, f"model: expected one that models names, got {shown(model)}")
    return None


def _unusable(name: str | Unusable) -> str | None:
    if why := _no_text(name):
        return why
    return f"expected no control characters, got {shown(name)}" if _CONTROL.search(str(name)) else None


def _no_text(name: str | Unusable) -> str | None:
    if isinstance(name, Unusable):
        return f"expected a string or an integer, got {shown(name.value)}"
    if len(name) > NAME_LENGTH_MAX:
        return f"expected at most {NAME_LENGTH_MAX} characters, got {len(name)}"
    return None


def judge_times(
    values: Sequence[Any] | Int64s, timestamps: Int64s, skew_ms: int
) -> tuple[Int64s, dict[int, Problem]]:
    """Give the time of n rows in ms, and the rows whose time cannot be used (theirs is anything)."""
    problems: dict[int, Problem] = {}
    time = values if isinstance(values, np.ndarray) else _integers(values)
    if time is None:
        time = np.zeros(len(values), np.int64)
        for row, value in enumerate(values):
            one = epoch_ms(value)
            if one is None:
                problems[row] = _no_time(value)
            else:
                time[row] = one
    early_or_late = (time < 0) | (time >= TIME_MS_END)
    for row in np.flatnonzero(early_or_late).tolist():
        problems[row] = _no_time(int(time[row]) if time is values else values[row])
    future = (time > timestamps + skew_ms) & (timestamps != NO_TIMESTAMP) & ~early_or_late
    for row in np.flatnonzero(future).tolist():
        ahead_ms = int(time[row] - timestamps[row])
        problems[row] = Problem(
            Reason.TIME_IN_FUTURE,
            f"time: expected at most {skew_ms} ms after the Kafka timestamp, got {ahead_ms} ms",
        )
    return time, problems


def _integers(values: Sequence[Any]) -> Int64s | None:
    if set(map(type, values)) != {int}:
        return None
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return None


def _no_time(value: Any) -> Problem:
    if value is None:
        return Problem(Reason.NO_TIME, "time: expected one, got none")
    return Problem(
        Reason.BAD_TIME,
        f"time: expected whole epoch milliseconds or RFC 3339 with a zone, 1970 to 2248, got {shown(value)}",
    )


def judge_ids(values: Sequence[Any], *, needed: bool) -> tuple[Sequence[str | None], dict[int, Problem]]:
    """Give the id of n rows, None where none can be used; that is a problem only where it is needed."""
    lengths = set(map(len, values)) if set(map(type, values)) == {str} else {0}
    if 0 < min(lengths) <= max(lengths) <= NAME_LENGTH_MAX:
        return values, {}
    ids: list[str | None] = []
    problems: dict[int, Problem] = {}
    for row, value in enumerate(values):
        name = _name(value)
        if not name:
            problems[row] = Problem(Reason.NO_ID, "id: expected one, since labels are joined, got none")
        elif why := _no_text(name):
            problems[row] = Problem(Reason.BAD_ID, f"id: {why}")
        ids.append(None if row in problems else str(name))
    return ids, problems if needed else {}

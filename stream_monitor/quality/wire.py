"""The bytes of cohorts: a mark, a version, and one msgpack array. The same content gives the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from stream_monitor.errors import FormatError
from stream_monitor.quality import classes, regression
from stream_monitor.quality.exact import BITS_MAX, from_bytes, to_bytes
from stream_monitor.quality.measures import Task, size_of, totals_of
from stream_monitor.quality.tally import Net
from stream_monitor.summary.categories import TEXT_MAX
from stream_monitor.summary.counts import ROWS_MAX

MARK = b"SMQ"
VERSION = 1

NAME_BYTES_MAX = 1_024
"""Of an output that has measures; a configured name. Longer ones cost room beyond the bounds below."""
_TOTAL_BYTES_MAX = 2 + 2 + (BITS_MAX + 7) // 8
_ENTRY_BYTES_MAX = 5 + 9
_CLASSES_BYTES_MAX = 3 + classes.CLASSES_MAX * (3 + 4 * TEXT_MAX)
_FIXED_BYTES_MAX = 64 + 3 + NAME_BYTES_MAX + _CLASSES_BYTES_MAX
PART_BYTES_MIN = 64_000
"""A cohort of one output and one entry of its tally is shorter than this."""

Net64 = Annotated[int, Meta(ge=-ROWS_MAX, le=ROWS_MAX)]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Gap = Annotated[int, Meta(ge=0, le=classes.SIZE)]
Class = Annotated[str, Meta(max_length=TEXT_MAX)]
Classes = Annotated[list[Class], Meta(max_length=classes.CLASSES_MAX)]
Sum = Annotated[bytes, Meta(max_length=_TOTAL_BYTES_MAX)]


class MeasuresForm(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Of one output. ``gaps`` between the ascending keys of the tally."""

    name: str
    task: Task
    named: bool
    classes: Classes
    totals: list[Sum]
    gaps: list[Gap]
    counts: list[Net64]


class CohortForm(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Of one cohort, outputs ascending."""

    start: Int64
    predictions: Net64
    labeled: Net64
    unusable: Net64
    measures: list[MeasuresForm]


class Form(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What is written: cohorts, ascending."""

    cohorts: list[CohortForm]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Form)


def bytes_max(task: Task, keys: int) -> int:
    """No measures with so many keys in their tally take more. Usual: 2 kB a cohort of 1,000 pairs."""
    return _FIXED_BYTES_MAX + totals_of(task) * _TOTAL_BYTES_MAX + keys * _ENTRY_BYTES_MAX


def encode(form: Form) -> bytes:
    """With mark and version."""
    return MARK + bytes([VERSION]) + _ENCODER.encode(form)


def decode(data: bytes) -> Form:
    """Raises FormatError where the bytes are damaged, or of a later version than this one reads."""
    if data[: len(MARK)] != MARK or len(data) <= len(MARK):
        raise FormatError(f"cohorts: expected bytes that begin with {MARK!r} and a version, got {data[:8]!r}")
    if data[len(MARK)] != VERSION:
        raise FormatError(
            f"cohorts: expected version {VERSION}, got {data[len(MARK)]}; upgrade the reader first"
        )
    try:
        form = _DECODER.decode(memoryview(data)[len(MARK) + 1 :])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"cohorts: damaged: {error}") from error
    _require(all(one.start < two.start for one, two in pairwise(form.cohorts)), "cohorts not ascending")
    for cohort in form.cohorts:
        ascending = all(one.name < two.name for one, two in pairwise(cohort.measures))
        _require(ascending, "outputs not ascending")
    return form


def write(
    name: str,
    task: Task,
    names: Sequence[str],
    totals: Sequence[int],
    net: Net,
    *,
    named: bool,
) -> MeasuresForm:
    """The form of measures."""
    gaps = np.diff(net.keys, prepend=0).tolist()
    return MeasuresForm(name, task, named, list(names), [*map(to_bytes, totals)], gaps, net.counts.tolist())


def read(form: MeasuresForm) -> tuple[tuple[int, ...], Net]:
    """The totals and the tally of measures."""
    _require(len(form.totals) == totals_of(form.task), "number of totals")
    _require(all(one < two for one, two in pairwise(form.classes)), "classes not ascending")
    _require(form.task == "multiclass" or not (form.classes or form.named), "classes of another task")
    _require(len(form.gaps) == len(form.counts), "keys and counts differ in length")
    gaps, counts = np.array(form.gaps, np.int64), np.array(form.counts, np.int64)
    keys = np.cumsum(gaps)
    in_order = len(keys) == 0 or bool(keys[-1] < size_of(form.task) and (gaps[1:] > 0).all())
    _require(in_order, "keys out of order")
    _require(bool((counts != 0).all()), "a count of zero")
    totals = tuple(map(from_bytes, form.totals))
    plain = totals[: regression.COUNTS if form.task == "regression" else classes.COUNTS]
    _require(all(abs(count) <= ROWS_MAX for count in plain), "counts out of bounds")
    return totals, Net(keys, counts)


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise FormatError(f"cohorts: damaged: {problem}")

"""Entries of many ids from columns: the bytes that ``entries.encode`` gives of their elements.

Most of an element is what its head says, and is encoded once a head: *pieces*, with integers behind the first
and numbers between the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, zip_longest
from operator import attrgetter
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_monitor import native
from stream_monitor.events import Float64s, Int64s
from stream_monitor.join.entries import Label, Prediction, decode
from stream_monitor.join.rows import Head
from stream_monitor.join.store import Entry
from stream_monitor.quality.kept import SLOT, ByClass, Kept, coded, crossed, split, used

Pieces = list[bytes]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_FLOAT = np.dtype([("mark", "u1"), ("number", ">f8")])
_FLOAT_MARK = 0xCB
_NONE = b"\xc0"
_OF_PREDICTIONS = attrgetter("topic", "model", "version", "role", "segments")
_OF_LABELS = attrgetter("topic", "model")
_ARRAY = 0x90
"""The first byte of an array, with its length where that is below 16."""
BLOCK_ROWS = 4_096
"""So many are encoded at a time: of each, all pieces and numbers are objects meanwhile, of some 50 bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One element of each of n ids: its head, of ``pieces``; integers (n,), numbers (n, most of a head), and
    what ends it."""

    pieces: Sequence[Pieces]
    head: Int64s
    integers: Sequence[Int64s]
    numbers: Float64s
    tails: Sequence[bytes] | None = None

    @property
    def width(self) -> int:
        """Of ``numbers``."""
        return int(self.numbers.shape[1])

    def take(self, rows: slice) -> Part:
        """Those of some ids."""
        integers, tails = [column[rows] for column in self.integers], self.tails and self.tails[rows]
        return Part(self.pieces, self.head[rows], integers, self.numbers[rows], tails)


def encoded(n: int, parts: Sequence[Part], *, compiled: bool = True) -> list[Entry]:
    """The entry of each id, with an element of every part. ``compiled``: by the kernel where it is installed,
    which changes the cost and nothing else. Cost: 0.1 us an element, 0.3 us without the kernel."""
    module = native.installed() if compiled else None
    if module is not None:
        made: list[Entry] = module.encode_entries(n, list(parts))
        return made
    blocks = (slice(first, first + BLOCK_ROWS) for first in range(0, n, BLOCK_ROWS))
    return list(chain.from_iterable(_joined([part.take(rows) for part in parts]) for rows in blocks))


def _joined(parts: Sequence[Part]) -> Iterable[Entry]:
    n, mark = len(parts[0].head), bytes([_ARRAY | len(parts)])
    columns = chain.from_iterable(_columns_of(n, part) for part in parts)
    return map(b"".join, zip(repeat(mark, n), *columns, strict=True))


def _columns_of(n: int, part: Part) -> Iterator[Iterable[bytes]]:
    """What elements are made of, one behind the other."""
    heads, at = used(part.pieces, part.head)
    # By place, a piece of each head: none where it has fewer.
    first, second, *others = zip_longest(*heads, fillvalue=b"")
    slots = np.array([len(pieces) - 2 for pieces in heads])[at]
    yield _each(n, first, at)
    yield _integers(part.integers)
    yield _each(n, second, at)
    for place, (ones, numbers) in enumerate(zip(others, part.numbers.T, strict=False)):
        yield _numbers(numbers, slots > place)
        yield _each(n, ones, at)
    if part.tails is not None:
        yield part.tails


def _each(n: int, pieces: Sequence[bytes], at: Int64s) -> Iterable[bytes]:
    return repeat(pieces[0], n) if len(pieces) == 1 else map(pieces.__getitem__, at.tolist())


def _integers(columns: Sequence[Int64s]) -> list[bytes]:
    """Those of a row: an array of them, without the byte that it begins with."""
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [array[1:] for array in map(_encode, rows)]


def _numbers(numbers: Float64s, is_there: NDArray[np.bool_]) -> list[bytes]:
    marked = np.empty(len(numbers), _FLOAT)
    marked["mark"], marked["number"] = _FLOAT_MARK, numbers
    found = marked.view(f"V{_FLOAT.itemsize}").astype(np.object_)
    found[np.isnan(numbers)] = _NONE
    found[~is_there] = b""
    return cast("list[bytes]", found.tolist())


def of_prediction(topic: str, head: Head) -> Pieces:
    """The pieces of a prediction, whose integers are ``clock`` and ``lag``."""
    fields = b"".join(map(_encode, (head.model, head.version, head.role, head.segments)))
    return [_begin(Prediction, 0) + _encode(topic), *_cut(fields, head.template)]


def of_label(topic: str, model: str | None) -> Pieces:
    """The pieces of a label, whose integers are offset, row, clock and lag; its value ends it."""
    return [_begin(Label, 2) + _encode(topic), _encode(model)]


def tails_of(values: Sequence[Any]) -> list[bytes]:
    """The values of labels."""
    return list(map(_encode, values))


@dataclass(frozen=True, slots=True)
class Lone:
    """Entries that are one element alone: their places ``at`` (n,); which of ``heads`` each has, with its
    topic; what of them is ``integers`` and ``numbers`` in a Part, and their values."""

    at: Sequence[int]
    head: Int64s
    heads: Sequence[tuple[str, Any]]
    integers: Sequence[Int64s]
    numbers: Float64s
    values: Sequence[Any]


def lone_predictions(entries: Sequence[Entry], *, compiled: bool = True) -> Lone:
    """Those that are a prediction. Cost: 0.1 us each, 2 us without the kernel, 5 us where
    they are not of one form."""
    module = native.installed() if compiled else None
    if module is not None:
        return _told(module.decode_lone(list(entries), 0, 2, False), entries)  # noqa: FBT003 (by position)
    at, ones = _alone(entries, Prediction)
    kept = Kept.of([one.inputs for one in ones])
    said, code = coded(list(map(_OF_PREDICTIONS, ones)))
    pairs, head = crossed(said, code, kept.templates, kept.code)
    heads = [
        (topic, Head(model, version, role, segments, template))
        for (topic, model, version, role, segments), template in pairs
    ]
    return Lone(at, head, heads, _integers_of(ones, ("clock", "lag")), kept.numbers, ())


def lone_labels(entries: Sequence[Entry], *, compiled: bool = True) -> Lone:
    """Those that are a label. Cost: 0.1 us each, 1 us without the kernel."""
    module = native.installed() if compiled else None
    if module is not None:
        return _told(module.decode_lone(list(entries), 2, 4, True), entries)  # noqa: FBT003 (by position)
    at, ones = _alone(entries, Label)
    heads, head = coded(list(map(_OF_LABELS, ones)))
    integers = _integers_of(ones, ("offset", "row", "clock", "lag"))
    return Lone(at, head, heads, integers, np.empty((len(ones), 0)), [one.value for one in ones])


def _told(found: tuple[Any, ...], entries: Sequence[Entry]) -> Lone:
    at, head, firsts, columns, numbers, width, tails = found
    ones: list[Any] = [decode(entries[at[first]])[0] for first in firsts]
    integers = [np.frombuffer(column, np.int64) for column in columns]
    filled = np.frombuffer(numbers, np.float64).reshape(len(at), width)
    said = {tail: _decode(tail) for tail in set(tails)}
    return Lone(
        at,
        np.frombuffer(head, np.int64),
        list(map(_head_of_one, ones)),
        integers,
        filled,
        [said[tail] for tail in tails],
    )


def _head_of_one(one: Prediction | Label) -> tuple[str, Any]:
    if isinstance(one, Label):
        return one.topic, one.model
    return one.topic, Head(one.model, one.version, one.role, one.segments, split(one.inputs)[0])


def _alone(entries: Sequence[Entry], kind: type[Any]) -> tuple[list[int], list[Any]]:
    decoded = enumerate(map(decode, entries))
    found = [(at, here[0]) for at, here in decoded if len(here) == 1 and type(here[0]) is kind]
    return [at for at, _ in found], [one for _, one in found]


def _integers_of(ones: Sequence[Any], names: Sequence[str]) -> list[Int64s]:
    return [np.fromiter(map(attrgetter(name), ones), np.int64, len(ones)) for name in names]


def _begin(kind: Any, tag: int) -> bytes:
    return bytes([_ARRAY | len(kind.__struct_fields__) + 1, tag])


def _cut(before: bytes, template: Any) -> Pieces:
    """``before`` and a template, cut at its numbers."""
    pieces = [before]

    def add(item: Any) -> None:
        if item is SLOT:
            pieces.append(b"")
        elif isinstance(item, ByClass):
            pieces[-1] += _head_of(dict.fromkeys(item.names))
            for name in item.names:
                pieces[-1] += _encode(name)
                pieces.append(b"")
        elif isinstance(item, tuple):
            pieces[-1] += _head_of(item)
            for one in item:
                add(one)
        else:
            pieces[-1] += _encode(item)

    add(template)
    return pieces


def _head_of(items: Any) -> bytes:
    """What an array or a map of so many items begins with."""
    blank = dict.fromkeys(range(len(items))) if isinstance(items, dict) else (None,) * len(items)
    whole = _encode(blank)
    if isinstance(items, dict):
        return whole[: len(whole) - sum(len(_encode(one)) + 1 for one in blank)]
    return whole[: len(whole) - len(items)]

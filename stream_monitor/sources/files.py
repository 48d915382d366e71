"""Files of predictions or labels as the records of a topic: JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import orjson

from stream_monitor.codecs.fields import Place, at_path
from stream_monitor.codecs.parse import parse_all
from stream_monitor.config import Fields, LabelFields
from stream_monitor.errors import InputError
from stream_monitor.events import NO_TIMESTAMP, Records, Source
from stream_monitor.sources.partitioners import BY_NAME

BATCH_ROWS = 1_000
LINE_BYTES_MAX = 16 * 2**20
"""A line of a file may be so long; Kafka would refuse a sixteenth of it by default."""

PARTITIONERS = tuple(BY_NAME)
"""As librdkafka's property ``partitioner`` names them; the first is its default."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "": None}

Row = tuple[int, bytes]
Mapped = Fields | LabelFields
Reader = Callable[[Path, Mapped], Iterator[Row]]


def read(path: Path | str, fields: Mapped | None = None, topic: str | None = None) -> Iterator[Records]:
    """Read a file as the records of one partition of ``topic`` (default: the file's name), in file order.

    By suffix: .jsonl, .ndjson and .json (an event or an array of them a line), .csv, .parquet; all but the
    last also with .gz. Values are JSON bytes, for the codec that topics are read with; the offset is
    the row, from 0; there is no Kafka timestamp. Blank lines are not records.

    CSV: one header line; "features.age" is the member age of features; an empty cell is null; numbers, true
    and false are JSON's, other cells strings, as are those that ``fields`` maps to model, version, role,
    id or time ("1.10" is a version). Parquet: structs or dotted names; NaN is null, as data frames
    write what is missing; timestamps and dates are epoch ms, UTC where they have no zone; what JSON has no
    form for (bytes, durations) is an empty object, which counts as a wrong type.

    Raises InputError, with file, row and what is wrong. Memory: BATCH_ROWS rows.
    """
    path = Path(path)
    reader = _reader(path)
    source = (Source(topic or path.name, 0),)
    rows = reader(path, fields or Fields())
    while batch := list(islice(rows, BATCH_ROWS)):
        yield Records(
            sources=source,
            source=np.zeros(len(batch), np.int64),
            offset=np.array([row for row, _ in batch], np.int64),
            timestamp=np.full(len(batch), NO_TIMESTAMP, np.int64),
            values=[value for _, value in batch],
        )


def partitioned(
    batches: Iterable[Records],
    partitions: int = 1,
    partitioner: str = PARTITIONERS[0],
    key_of: Callable[[bytes | None], bytes | None] | None = None,
) -> Iterator[Records]:
    """Lay the rows of one source out over the partitions of its topic, as their producer would have.

    ``key_of`` gives the key of a record from its value; default: its prediction id, by the default
    fields. Rows keep their order; offsets count from 0 in each partition.
    """
    place, key_of = BY_NAME[partitioner], key_of or key_at("$.prediction_id")
    ends = np.zeros(partitions, np.int64)
    for records in batches:
        keys = map(key_of, records.values) if partitions > 1 else [None] * len(records)
        keyed = zip(keys, records.offset.tolist(), strict=True)
        source = np.array([place(key, row, partitions) for key, row in keyed], np.int64)
        offset = np.empty(len(records), np.int64)
        for partition in range(partitions):
            own = np.flatnonzero(source == partition)
            offset[own] = np.arange(ends[partition], ends[partition] + len(own))
            ends[partition] += len(own)
        topic = records.sources[0].topic
        sources = tuple(Source(topic, partition) for partition in range(partitions))
        yield replace(records, sources=sources, source=source, offset=offset)


def key_at(mapping: str | None) -> Callable[[bytes | None], bytes | None]:
    """Give the function that finds a record's key in its JSON value; None where it has none there."""
    place = Place.optional(mapping)
    path = None if place is None else place.path

    def key(value: bytes | None) -> bytes | None:
        if path is None:
            return None
        [found] = at_path(parse_all([value]), path)
        return str(found).encode() if type(found) in (str, int) else None

    return key


def _reader(path: Path) -> Reader:
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    reader = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json_lines, ".csv": _csv}.get(suffix)
    if path.suffix == ".parquet":
        reader = _parquet
    if reader is None:
        raise InputError(f"{path}: expected .jsonl, .ndjson, .json or .csv (also .gz) or .parquet, by suffix")
    return reader


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; what the system says against it becomes an InputError."""
    try:
        with path.open("rb") as raw:
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _lines(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        for number in range(2**63):
            line = file.readline(LINE_BYTES_MAX)
            if len(line) == LINE_BYTES_MAX:
                raise InputError(f"{path}: row {number}: expected less than {LINE_BYTES_MAX} bytes in a line")
            if not line:
                return
            yield number, line


def _json_lines(path: Path, _fields: Mapped) -> Iterator[Row]:
    for number, line in _lines(path):
        if value := line.strip():
            yield number, value


def _csv(path: Path, fields: Mapped) -> Iterator[Row]:
    def texts() -> Iterator[str]:
        for number, line in _lines(path):
            try:
                yield line.decode("utf-8-sig" if number == 0 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{path}: line {number + 1}: expected UTF-8, got {error}") from error

    lines = csv.reader(texts(), strict=True)
    try:
        header = next(lines, None)
        if header is None:
            raise InputError(f"{path}: expected a header line, got an empty file")
        nest = _nesting(path, header)
        as_text = _identities(fields)
        parsers = [_as_text if name in as_text else _as_json for name in header]
        for row, cells in enumerate(line for line in lines if line):
            if len(cells) != len(header):
                raise InputError(f"{path}: row {row}: expected {len(header)} cells, got {len(cells)}")
            yield row, orjson.dumps(nest([parse(cell) for parse, cell in zip(parsers, cells, strict=True)]))
    except csv.Error as error:
        raise InputError(f"{path}: line {lines.line_num}: {error}") from error


def _identities(fields: Mapped) -> set[str]:
    """Give the columns that name or place an event; they are text, whatever they look like."""
    mapped = [fields.id, fields.model, fields.time]
    if isinstance(fields, Fields):
        mapped += [fields.version, fields.role]
    return {mapping.removeprefix("$.") for mapping in mapped if mapping is not None}


def _as_text(cell: str) -> str | None:
    return cell or None


def _as_json(cell: str) -> Any:
    if cell in _WORDS:
        return _WORDS[cell]
    if _JSON_NUMBER.fullmatch(cell) is None:
        return cell
    number = float(cell) if not cell.lstrip("-").isdigit() or len(cell) > 18 else int(cell)
    return number if abs(number) != float("inf") else cell


def _nesting(path: Path, names: Sequence[str]) -> Callable[[Iterable[Any]], dict[str, Any]]:
    """Give the function that makes a JSON object of the values of a row, nested as dotted names say."""
    paths = [tuple(name.split(".")) for name in names]
    inner = {at[:depth] for at in paths for depth in range(1, len(at))}
    for name, at in zip(names, paths, strict=True):
        if paths.count(at) > 1 or at in inner:
            raise InputError(f"{path}: expected distinct columns, got {name!r} twice or with members")
    if not inner:
        return lambda values: dict(zip(names, values, strict=True))

    def nest(values: Iterable[Any]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for at, value in zip(paths, values, strict=True):
            into = row
            for name in at[:-1]:
                into = into.setdefault(name, {})
            into[at[-1]] = value
        return row

    return nest


def _parquet(path: Path, _fields: Mapped) -> Iterator[Row]:
    try:
        from stream_monitor.sources import parquet  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise InputError(f'{path}: reading Parquet needs pip install "stream-monitor[parquet]"') from error
    nest = None
    for first, names, columns in parquet.batches(path, BATCH_ROWS):
        nest = nest or _nesting(path, names)
        for row, values in enumerate(zip(*columns, strict=True), first):
            yield row, orjson.dumps(nest(values), _of_no_form)


def _of_no_form(value: Any) -> Any:
    """For what JSON has no form of, as ArrowCodec has it: a number for a decimal, else an empty object."""
    return float(value) if isinstance(value, Decimal) else {}

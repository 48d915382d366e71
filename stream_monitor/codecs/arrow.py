"""Arrow: records that hold many events as a table, to the batch that the same events as JSON would give.

Values stay in columns from the record's own buffers on. What columns cannot say (lists of many lengths, maps
of features, outputs of one name) is made the objects that JSON stands for, at some twenty times the cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np
import pyarrow as pa

from stream_monitor.codecs import arrow_columns
from stream_monitor.codecs.arrow_columns import IrregularError, member
from stream_monitor.codecs.arrow_parts import Part, at_places, batch_of
from stream_monitor.codecs.arrow_tables import Table, read
from stream_monitor.codecs.arrow_values import (
    Array,
    Coded,
    coded,
    epoch_ms,
    is_time,
    nulls_of,
    objects,
)
from stream_monitor.codecs.fields import Place, mapped_inside
from stream_monitor.codecs.identity import Problem, Streams, judge_ids, judge_times
from stream_monitor.codecs.json import FIELDS, JsonCodec
from stream_monitor.codecs.later import Later
from stream_monitor.codecs.parts import by_value
from stream_monitor.codecs.wanted import Wanted
from stream_monitor.config import Config
from stream_monitor.events import NO_TIMESTAMP, Batch, Column, Group, Int64s, Records, Reject, Stream
from stream_monitor.summary.rows import taken
from stream_monitor.summary.vocabulary import Vocabulary

TOLD_BYTES_MAX = 1 << 22
"""So many bytes of JSON rejected rows of one record bring along; those that follow bring none."""

Columns = dict[str, Column]
_Judged = tuple[Sequence[str | None], dict[int, Problem]]
_encoder = json.JSONEncoder(ensure_ascii=False)


class ArrowCodec:
    """Decodes records whose value is an Arrow IPC stream or file, by a configuration's field mapping.

    A row is the JSON object that has its columns as members, and means what JsonCodec reads from that: null
    is null, a struct is an object, a list an array; a column that is missing is absent. Timestamps and dates
    are epoch milliseconds, in UTC where they have no zone. float32 is the float64 that equals it. What JSON
    has no form for (bytes, durations) counts as a value of a wrong type.

    A record that is no Arrow, or too large (``arrow_limits``), is rejected as a whole; of others each row is
    judged alone, and a rejected one brings its JSON along, as far as TOLD_BYTES_MAX goes. Where ``wanted`` is
    given, only those features and outputs are read.
    """

    def __init__(self, config: Config, wanted: Wanted | None = None) -> None:
        fields = config.predictions.fields
        self._places = {name: Place.optional(getattr(fields, name)) for name in FIELDS}
        self._unread = mapped_inside("features", self._places)
        self._wanted = wanted
        self._skew_ms = config.predictions.max_clock_skew_ms
        self._model = config.model if config.labels is not None else None
        self._streams = Streams(config.knows)
        self._vocabulary = Vocabulary()
        self._json = JsonCodec(config, wanted)

    def decode(self, records: Records) -> Batch:
        """Decode records into a batch. Raises nothing for what they hold.

        Several groups may be of one stream. ``keys`` and ``headers`` are needed where a field is mapped to
        them. Cost: 0.2 to 0.3 us an event of 22 columns in records of 1,000, of which 0.1 us are a record's
        own: small records cost more. Memory: 20 bytes a value, and 100 bytes each of those of one record.
        """
        if self._vocabulary.is_full:
            self._vocabulary = Vocabulary()
        found = read(records)
        parts = [part for table in found.tables for part in self._parts(table, records)]
        return batch_of(records, parts, found.rejects, found.skipped, with_ids=self._places["id"] is not None)

    def _parts(self, table: Table, records: Records) -> Iterator[Part]:
        try:
            yield self._part(table, records)
        except IrregularError:
            for record in np.unique(table.record).tolist():
                yield self._part_by_hand(table, record, records)

    def _part(self, table: Table, records: Records) -> Part:
        """IrregularError where columns cannot say what the rows hold."""
        features, outputs = self._columns(table)
        streams, stream = self._find_streams(table, records)
        time, time_problems = self._judge_times(table, records)
        joined = self._joined(streams)
        ids, id_problems = self._judge_ids(table, records, needed=any(joined))
        if not all(joined):
            id_problems = {row: one for row, one in id_problems.items() if joined[stream[row]]}
        problems = id_problems | time_problems | _stream_problems(streams, stream)
        kept = np.ones(len(table), np.bool_)
        kept[list(problems)] = False
        accepted = np.flatnonzero(kept)
        position = np.cumsum(kept) - 1
        groups = []
        for index, rows in by_value(stream, len(streams), accepted):
            all_rows = len(rows) == len(table)
            of_features, of_outputs = (one if all_rows else taken(one, rows) for one in (features, outputs))
            one = cast("Stream", streams[index])
            groups.append(Group(one, position[rows], dict(of_features), dict(of_outputs)))
        return Part(
            table.record[accepted],
            table.row[accepted],
            time[accepted],
            groups,
            ids if len(accepted) == len(table) else Later(len(accepted), lambda: at_places(ids, accepted)),
            _rejects(table, records, problems),
        )

    def _columns(self, table: Table) -> tuple[Columns, Columns]:
        features = arrow_columns.features(
            self._array("features", table), self._unread, self._wanted, self._vocabulary
        )
        outputs = arrow_columns.outputs(self._array("outputs", table), self._wanted, self._vocabulary)
        return arrow_columns.named(features), arrow_columns.named(outputs)

    def _array(self, name: str, table: Table) -> Array | None:
        """A field of every row, where it is a path; None where there is none."""
        place = self._places[name]
        return None if place is None or place.path is None else member(table.rows, place.path)

    def _coded(self, name: str, table: Table, records: Records) -> Coded:
        """A field of every row."""
        place = self._places[name]
        if place is not None and place.path is None:
            return Coded(place.of_records(records, np.arange(len(records))), table.record)
        array = self._array(name, table)
        return Coded([None], np.zeros(len(table), np.int64)) if array is None else coded(array)

    def _find_streams(self, table: Table, records: Records) -> tuple[list[Stream | Problem], Int64s]:
        """As Streams.find, which is asked once for each combination that occurs."""
        model, version, role = (self._coded(name, table, records) for name in ("model", "version", "role"))
        versions, roles = len(version.values), len(role.values)
        named, place = _distinct(model.codes * versions + version.codes, len(model.values) * versions)
        distinct, place = _distinct(place * roles + role.codes, len(named) * roles)
        of_name, of_role = np.divmod(distinct, roles)
        of_model, of_version = np.divmod(named[of_name], versions)
        streams, index = self._streams.find(
            [model.values[at] for at in of_model.tolist()],
            [version.values[at] for at in of_version.tolist()],
            [role.values[at] for at in of_role.tolist()],
        )
        return streams, index[place]

    def _judge_times(self, table: Table, records: Records) -> tuple[Int64s, dict[int, Problem]]:
        timestamps, place = records.timestamp[table.record], self._places["time"]
        array, null = self._array("time", table), None
        times: Int64s | list[Any]
        if place is not None and place.mapping == "kafka":
            times, null = timestamps, timestamps == NO_TIMESTAMP
        elif array is not None and is_time(array.type):
            times, null = epoch_ms(array), nulls_of(array)
        else:
            times = self._coded("time", table, records).each()
        time, problems = judge_times(times, timestamps, self._skew_ms)
        if null is not None and null.any():
            _, none = judge_times([None], timestamps[:1], self._skew_ms)
            problems |= dict.fromkeys(np.flatnonzero(null).tolist(), none[0])
        return time, problems

    def _judge_ids(self, table: Table, records: Records, *, needed: bool) -> _Judged:
        """As judge_ids. Where no id is needed they are made when they are asked for."""

        def read_ids() -> list[Any]:
            array = self._array("id", table)
            return self._coded("id", table, records).each() if array is None else objects(array)

        if needed:
            return judge_ids(read_ids(), needed=True)
        return Later(len(table), lambda: judge_ids(read_ids(), needed=False)[0]), {}

    def _joined(self, streams: list[Stream | Problem]) -> list[bool]:
        """Tell of each stream whether labels are joined with its events, so that these need an id."""
        model = self._model
        if model is None:
            return [False] * len(streams)
        return [isinstance(one, Stream) and bool(model(one.model).quality) for one in streams]

    def _part_by_hand(self, table: Table, record: int, records: Records) -> Part:
        """The rows of a record in the way of events that are JSON."""
        first, end = np.searchsorted(table.record, [record, record + 1]).tolist()
        rows = objects(table.rows.slice(first, end - first))
        batch = self._json.decode_objects(records, rows, table.record[first:end])
        told = _told([rows[reject.row] for reject in batch.rejects], TOLD_BYTES_MAX)
        for reject, value in zip(batch.rejects, told, strict=True):
            reject.value = value
            reject.row = int(table.row[first + reject.row])
        return Part(
            np.full(len(batch), record, np.int64),
            table.row[first + batch.row],
            batch.time,
            batch.groups,
            batch.ids or (),
            batch.rejects,
        )


def _stream_problems(streams: list[Stream | Problem], stream: Int64s) -> dict[int, Problem]:
    bad = np.array([isinstance(one, Problem) for one in streams], np.bool_)
    rows = np.flatnonzero(bad[stream]) if bad.any() else ()
    return {int(row): cast("Problem", streams[stream[row]]) for row in rows}


def _distinct(codes: Int64s, size: int) -> tuple[Int64s, Int64s]:
    """The distinct ones of codes below ``size``, ascending, and for each code which it is."""
    if size > len(codes):
        distinct, place = np.unique(codes, return_inverse=True)
        return distinct, place
    seen = np.zeros(size, np.bool_)
    seen[codes] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[codes]


def _rejects(table: Table, records: Records, problems: dict[int, Problem]) -> list[Reject]:
    """One a bad row, with its JSON."""
    found = []
    for record, of_record in groupby(sorted(problems), lambda row: int(table.record[row])):
        rows, source = list(of_record), int(records.source[record])
        told = _told(objects(table.rows.take(pa.array(rows))), TOLD_BYTES_MAX)
        for row, value in zip(rows, told, strict=True):
            found.append(Reject(record, int(table.row[row]), *problems[row], source=source, value=value))
    return found


def _told(rows: list[Any], most: int) -> Iterator[bytes]:
    """The JSON of each row, until those before it have so many bytes: one text may stand in every row."""
    for row in rows:
        parts, left = list[str](), most
        for part in _encoder.iterencode(row) if most > 0 else ():
            parts.append(part)
            left -= len(part)
            if left <= 0:
                break
        value = "".join(parts).encode()
        most -= len(value)
        yield value

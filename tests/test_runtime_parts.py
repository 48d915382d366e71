"""The parts of the runtime that need no Kafka: formats, positions, snapshots, properties."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.codecs.reasons import Reason
from stream_monitor.config import parse_config
from stream_monitor.errors import ConfigError, DataLossError, FormatError
from stream_monitor.events import Delta, Flush, Progress, Reject, SliceKey, Source, Stream
from stream_monitor.runtime.kafka import (
    assignor,
    check_properties,
    consumer_properties,
    transactional_properties,
)
from stream_monitor.runtime.messages import Assembler, Outgoing, emptied, flush_messages, partition_of
from stream_monitor.runtime.pace import Pace
from stream_monitor.runtime.positions import (
    Owned,
    Stall,
    ahead,
    decode_metadata,
    decode_partitions,
    encode_metadata,
)
from stream_monitor.runtime.record import Record
from stream_monitor.runtime.rejects import held_bytes, reject_message
from stream_monitor.runtime.share import decode_floor
from stream_monitor.runtime.snapshots import PART_BYTES_MAX, Collector, Snapshot, snapshot_messages
from stream_monitor.watermark import NEVER, Clock

GOLDEN = Path(__file__).parent / "golden" / "flush-v1.txt"
BEFORE_LABELS = GOLDEN.with_name("flush-v1-before-labels.txt")
"""As releases wrote it that joined no labels: without segment, kind and stage."""


def progress(partition: int = 0) -> Progress:
    return Progress(
        Source("t", partition), "id", 2, 10, 20, 1000, None, drained=True, rows=9, rejected=1, late=2
    )


def delta(model: str, rows: int) -> Delta:
    return Delta(SliceKey(Stream(model, "3", "live"), 5000), "shape", rows, b"\x00\xff" * rows)


def add(assembler: Assembler, offset: int, message: Outgoing) -> object:
    return assembler.add(offset, list(message.headers), message.value)


# Messages


def test_a_flush_arrives_as_it_was_sent_partition_by_partition() -> None:
    deltas = [delta(f"m{i}", i) for i in range(20)]
    messages = list(flush_messages("w/1", deltas, [progress(0), progress(1)], "s", 3))
    for partition in range(3):
        mine = [one for one in messages if one.partition == partition]
        assembler = Assembler()
        assert [add(assembler, i, one) for i, one in enumerate(mine[:-1])] == [None] * (len(mine) - 1)
        flush = assembler.add(99, list(mine[-1].headers), mine[-1].value)
        assert flush is not None
        expected = [one for one in deltas if partition_of(one.key.stream.model, 3) == partition]
        assert flush.deltas == expected
        assert flush.progress == [progress(0), progress(1)]
        assert flush.announced_deltas == len(expected)
        assert flush.announced_rows == sum(one.rows for one in expected)


def test_a_flush_holds_none_of_the_deltas_that_it_has_handed_on() -> None:
    deltas = [delta("m", rows) for rows in range(5)]
    expected, given = list(deltas), iter(emptied(deltas))
    assert [(next(given), len(deltas)) for _ in range(5)] == list(zip(expected, [4, 3, 2, 1, 0], strict=True))
    assert list(given) == []


def test_the_bytes_of_a_flush_are_those_of_its_release() -> None:
    messages = list(flush_messages("w/1", [delta("m", 2)], [progress()], "s", 1))
    found = "".join(f"{dict(one.headers)} {one.key!r} {(one.value or b'').hex()}\n" for one in messages)
    assert found == GOLDEN.read_text()


def test_a_flush_of_a_release_before_labels_is_one_of_observe() -> None:
    assembler, flush = Assembler(), None
    for offset, line in enumerate(BEFORE_LABELS.read_text().splitlines()):
        headers, rest = ast.literal_eval(line[: line.index("}") + 1]), line[line.index("}") + 2 :]
        flush = assembler.add(offset, list(headers.items()), bytes.fromhex(rest.split()[1]))
    assert flush is not None
    assert flush == Flush([delta("m", 2)], [progress()], 1, 2, "observe")
    assert flush.deltas[0].kind == "events"


def test_models_stay_in_their_partition_in_every_release() -> None:
    # The published check value of CRC-32.
    assert [partition_of("123456789", n) for n in (1, 4, 7)] == [0, 0xCBF43926 % 4, 0xCBF43926 % 7]


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([("kind", b"delta"), ("version", b"2"), ("flush", b"w/1")], b""),
        ([("kind", b"delta"), ("flush", b"w/1")], b""),
        ([("kind", b"other"), ("version", b"1"), ("flush", b"w/1")], b""),
        ([("kind", b"delta"), ("version", b"1")], b""),
        ([("kind", b"delta"), ("version", b"1"), ("flush", b"w/1")], b"\xc1"),
        ([("kind", b"progress"), ("version", b"1"), ("flush", b"w/1")], None),
    ],
)
def test_what_is_newer_or_damaged_is_an_error_and_changes_nothing(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    assembler = Assembler()
    messages = list(flush_messages("w/0", [delta("m", 2)], [progress()], "s", 1))
    add(assembler, 5, messages[0])
    with pytest.raises(FormatError):
        assembler.add(6, headers, value)
    assert assembler.floor(7) == 5


def test_a_flush_that_its_writer_never_finished_is_dropped_when_its_next_one_begins() -> None:
    assembler = Assembler()
    torn = list(flush_messages("a/1", [delta("m", 1), delta("m", 2)], [progress()], "s", 1))
    whole = list(flush_messages("a/2", [delta("m", 4)], [progress()], "s", 1))
    other = list(flush_messages("b/1", [delta("m", 8)], [progress()], "s", 1))
    add(assembler, 0, torn[0])
    add(assembler, 1, other[0])
    assert assembler.floor(2) == 0
    add(assembler, 2, whole[0])
    assert assembler.torn == 1
    assert assembler.floor(3) == 1
    flush = assembler.add(3, list(whole[1].headers), whole[1].value)
    assert flush is not None
    assert [one.rows for one in flush.deltas] == [4]
    assert assembler.floor(4) == 1


# Positions


@given(st.text(), st.none() | st.integers(0, 2**43), st.none() | st.integers(0, 2**43))
def test_metadata_of_a_commit_comes_back(topic_id: str, event: int | None, claim: int | None) -> None:
    clock = Clock(NEVER if event is None else event, NEVER if claim is None else claim)
    assert decode_metadata(encode_metadata(topic_id, clock)) == (topic_id, clock)


def test_the_count_of_partitions_travels_with_a_commit_where_ids_must_stay() -> None:
    assert decode_partitions(encode_metadata("id", Clock(), 7)) == 7
    assert decode_partitions(encode_metadata("id", Clock())) is None
    assert decode_partitions(None) is None


def test_a_place_is_at_its_end_once_that_is_met_or_known_and_read() -> None:
    place = Owned(Source("t", 0), "id", 0, 0, Clock(), 0.0)
    assert not place.at_end
    place.learn_end(0)
    assert place.at_end
    place.learn_end(7)
    assert not place.at_end
    place.move(6, 0.0)
    assert not place.at_end
    # The last one is a control record, which is never delivered.
    place.skip(7)
    assert place.at_end
    place.move(9, 0.0)
    place.learn_end(10)
    assert not place.at_end


# Pace


def test_a_worker_that_keeps_up_flushes_once_an_interval() -> None:
    pace = Pace(1.0)
    flushes = []
    for step in range(1_000):
        now_s = step / 100
        pace.caught_up()
        if pace.is_due(now_s):
            flushes.append(now_s)
            pace.flushed(now_s, at_end=step % 2 == 0)
    assert flushes == [0.0, *map(float, range(1, 10))]


def test_a_worker_that_was_behind_flushes_as_soon_as_it_has_caught_up() -> None:
    pace = Pace(1.0)
    flushes = []
    for step in range(500):
        now_s = step / 100
        if 2.3 <= now_s < 2.8 or now_s >= 4.2:
            pace.caught_up()
        if pace.is_due(now_s):
            flushes.append(now_s)
            pace.flushed(now_s, at_end=False)
    # Behind until 2.3, and again from 2.8 on: 3.3 ends an interval in which it had caught up.
    assert flushes == [0.0, 1.0, 2.0, 2.3, 3.3, 4.3]


def test_nothing_to_read_is_no_catching_up() -> None:
    pace = Pace(1.0)
    pace.flushed(0.0, at_end=True)
    pace.flushed(1.0, at_end=True)
    pace.caught_up()
    assert not pace.is_due(1.5)
    assert pace.is_due(2.0)


@pytest.mark.parametrize("text", ['{"v":2,"topic_id":"x","clock":1,"claim":null}', "[]", "{}", "\x00"])
def test_metadata_that_is_newer_or_foreign_is_an_error(text: str) -> None:
    with pytest.raises(FormatError):
        decode_metadata(text)


def test_the_floor_of_a_commit_comes_from_its_metadata_or_is_its_offset() -> None:
    assert decode_floor(None, 7) == decode_floor("", 7) == 7
    assert decode_floor('{"v":1,"floor":3}', 7) == 3
    with pytest.raises(FormatError):
        decode_floor('{"v":2,"floor":3}', 7)


def owned(partition: int, clock: int, *, drained: bool = False, paused: bool = False) -> Owned:
    place = Owned(Source("t", partition), "id", 0, 0, Clock(clock), 0.0)
    place.drained, place.paused = drained, paused
    return place


def waiting(*places: Owned) -> set[int]:
    return {source.partition for source in ahead(places, 100)}


def test_who_is_too_far_ahead_waits_until_half_of_the_distance_is_left() -> None:
    assert waiting(owned(0, 0), owned(1, 100), owned(2, 101)) == {2}
    assert waiting(owned(0, 0), owned(1, 51, paused=True), owned(2, 50, paused=True)) == {1}


def test_who_is_drained_holds_nobody_back_and_who_showed_nothing_yet_holds_all() -> None:
    assert waiting(owned(0, 0, drained=True), owned(1, 1000)) == set()
    assert waiting(owned(0, NEVER), owned(1, 1000)) == {1}
    assert waiting(owned(0, NEVER, drained=True), owned(1, 1000)) == set()


def test_who_waits_for_its_store_holds_nobody_back_and_has_no_news() -> None:
    held = owned(0, 0)
    held.held = True
    assert waiting(held, owned(1, 1000)) == set()
    assert not held.has_news


def test_a_claim_does_not_put_a_partition_ahead() -> None:
    idle = owned(0, 0)
    idle.claim(10**12)
    assert waiting(idle, owned(1, 0)) == set()


def test_a_position_is_news_when_it_moves_claims_or_is_drained_and_only_until_it_is_handed_over() -> None:
    place = owned(0, 5)
    assert place.has_news
    place.handed_over()
    assert not place.has_news
    for change in (lambda: place.move(3, 1.0), lambda: place.learn_end(3), lambda: place.claim(9)):
        change()
        assert place.has_news
        place.handed_over()
        assert not place.has_news
    place.skip(4)
    assert place.has_news
    place.halted = True
    assert not place.has_news


def dues(stall: Stall, seconds: range, *, next_offset: int = 7, expected: bool = True) -> list[int]:
    return [now for now in seconds if stall.is_due(next_offset, now, expected=expected)]


def test_a_partition_that_brings_nothing_is_due_after_20_s_and_then_ever_more_seldom() -> None:
    found = dues(Stall(), range(3 * 3600))
    assert found[:7] == [20, 40, 80, 160, 320, 640, 1240]
    assert {later - sooner for sooner, later in pairwise(found[5:])} == {600}


@pytest.mark.parametrize(("next_offset", "expected"), [(8, True), (7, False)])
def test_a_record_or_a_pause_ends_what_was_waited_for(next_offset: int, expected: bool) -> None:
    stall = Stall()
    assert dues(stall, range(100)) == [20, 40, 80]
    assert dues(stall, range(100, 101), next_offset=next_offset, expected=expected) == []
    assert dues(stall, range(101, 200), next_offset=next_offset) == [120, 140, 180]


def test_time_in_which_nobody_looked_is_not_held_against_a_partition() -> None:
    stall = Stall()
    assert dues(stall, range(15)) == []
    assert dues(stall, range(1000, 1002)) == []
    assert dues(stall, range(1002, 1010)) == [1004]


def test_only_what_is_read_and_has_more_can_stall() -> None:
    def due(place: Owned) -> bool:
        return any(place.has_stalled(now) for now in range(60))

    for end, change in ((1, {}), (0, {}), (1, {"paused": True}), (1, {"held": True}), (1, {"halted": True})):
        place = owned(0, 5)
        place.learn_end(end)
        for name, value in change.items():
            setattr(place, name, value)
        assert due(place) == (end == 1 and not change)
        assert (place.first, place.next, place.active_s) == (0, 0, 0.0)


# Rejects


def test_what_a_flush_may_hold_of_rejects_counts_all_that_they_take() -> None:
    """Of values of a few bytes, nearly all of it is the rest."""
    read = [Message(topic="t", partition=3, offset=i, key=b"%d" % i, value=b"{}") for i in range(3_000)]
    tracemalloc.start()
    found = [
        reject_message("rejects", one, Reject(i, 0, Reason.NO_MODEL, f"model: got none, {i}", source=0))
        for i, one in enumerate(read)
    ]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken <= sum(map(held_bytes, found))


# Snapshots


def collected(*messages: Outgoing, seed: int = 0) -> Collector:
    """As compaction may leave them: of each key at least the last record, in order."""
    collector, chance = Collector(), random.Random(seed)
    last = {one.key: i for i, one in enumerate(messages)}
    for i, one in enumerate(messages):
        if last[one.key] == i or chance.random() < 0.5:
            collector.add(Record(0, i, 1234, one.key, list(one.headers), one.value))
    return collector


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_snapshot_of_each_model_is_found_whole(seed: int) -> None:
    data = random.Random(1).randbytes(PART_BYTES_MAX * 2 + 5)
    big = Snapshot("a/b", 1, 10, 8, 4, data)
    small = Snapshot("a/b", 2, 20, 20, 4, b"small")
    other = Snapshot("c", 7, 15, 15, 4, data)
    first, second, third = (
        list(snapshot_messages(one, before, "state", 0)) for one, before in ((big, 0), (small, 3), (other, 0))
    )
    assert all(len(one.value or b"") < 1_000_000 for one in first)
    assert [one.value is None for one in second] == [False, True, True]
    found = collected(*first, *third, *second, seed=seed).newest(4)
    assert [(one.model, one.generation, one.position, one.floor, one.data) for one in found] == [
        ("c", 7, 15, 15, data),
        ("a/b", 2, 20, 20, b"small"),
    ]
    assert [one.parts for one in found] == [3, 1]


def test_state_that_lacks_a_part_is_of_other_partitions_or_is_newer_is_not_used() -> None:
    parts = list(snapshot_messages(Snapshot("m", 1, 10, 8, 4, b"x" * (PART_BYTES_MAX + 1)), 0, "state", 0))
    with pytest.raises(DataLossError, match="expected 2 parts"):
        collected(parts[0]).newest(4)
    with pytest.raises(DataLossError, match="expected that of 5 partitions, got state of 4"):
        collected(*parts).newest(5)
    newer = [("version", b"2"), *parts[0].headers[1:]]
    with pytest.raises(FormatError):
        Collector().add(Record(0, 0, 0, b"m/0", list(newer), b"x"))


# Properties


def config(**kafka: Any) -> dict[str, Any]:
    kafka = {"bootstrap.servers": "localhost:1", **kafka}
    return {"pipeline": "p", "kafka": kafka, "predictions": {"topics": ["t"]}}


def test_properties_that_break_delivery_are_refused_all_at_once_and_no_value_is_shown() -> None:
    refused = {"enable.auto.commit": True, "isolation.level": "hunter2", "plugin.library.paths": "hunter2"}
    # Below what records are divided into, it would abort every flush.
    refused["message.max.bytes"] = 100_000
    with pytest.raises(ConfigError) as caught:
        check_properties(parse_config(config(**refused)))
    assert {problem.split(":")[0] for problem in caught.value.problems} >= {
        f"kafka.{name}" for name in refused
    }
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("properties", [{"no.such.property": "hunter2"}, {"session.timeout.ms": "hunter2"}])
def test_properties_that_librdkafka_refuses_are_named_without_their_value(properties: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=rf"kafka\.{next(iter(properties))}: expected") as caught:
        check_properties(parse_config(config(**properties)))
    assert "hunter2" not in str(caught.value)


def test_a_worker_is_a_static_member_of_the_classic_protocol_whose_transactions_end_with_its_session() -> (
    None
):
    parsed = parse_config(config(**{"session.timeout.ms": 6000}))
    check_properties(parsed)
    consumer = consumer_properties(parsed, "observe", "a")
    assert consumer["group.instance.id"] == "p.stream-monitor.observe.a"
    assert consumer["group.protocol"] == "classic"
    assert consumer["session.timeout.ms"] == 6000
    assert consumer["heartbeat.interval.ms"] == 2000
    assert consumer["isolation.level"] == "read_committed"
    producer = transactional_properties(parsed, "decide", "a")
    assert producer["transactional.id"] == "p.stream-monitor.decide.a"
    assert producer["transaction.timeout.ms"] == 6000


def test_only_a_join_worker_is_assigned_by_range() -> None:
    assert [assignor(role) for role in ("observe", "decide", "join")] == [
        "cooperative-sticky",
        "cooperative-sticky",
        "range",
    ]


# Failpoints


def test_a_failpoint_kills_at_its_nth_pass_and_unset_ones_never() -> None:
    code = (
        "from stream_monitor.runtime import failpoints as f\n"
        "for i in range(5): print(i, flush=True); f.hit('a'); f.hit('b')"
    )
    environment = {"STREAM_MONITOR_FAILPOINTS": "x:1,a:3", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert done.returncode == -9
    assert done.stdout == b"0\n1\n2\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env={"PATH": ""})
    assert done.stdout == b"0\n1\n2\n3\n4\n"

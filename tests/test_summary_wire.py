"""The bytes of a summary: equal for ever, bounded, in parts where need be, and never a crash when damaged."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_monitor.errors import FormatError
from stream_monitor.events import SliceKey, Source, Stream
from stream_monitor.observe import observe
from stream_monitor.summary import wire
from stream_monitor.summary.categories import BUCKETS, NAMED_MAX, TEXT_MAX, Named
from stream_monitor.summary.codes import BINS
from stream_monitor.summary.counts import ROWS_MAX, Count
from stream_monitor.summary.histogram import Tally
from stream_monitor.summary.summary import Summary
from tests.oracles_summary import Event, batch_of, plain_observe, plain_of
from tests.test_observe import LATENESS_MS, SHAPE

GOLDEN = Path(__file__).parent / "golden" / "summary-1.bin"
FEATURES = SliceKey(Stream("m"), 0)


def events() -> list[Event]:
    """Of every kind that a summary tells apart; what the golden file was made of."""
    values = [1, 2.5, -3e-40, 1e300, "7", "x", "free", True, None, [1], {"a": 1}, float("nan"), float("-inf")]
    return [
        Event(
            Source("p", row % 2),
            row,
            0,
            {name: values[(row * step) % len(values)] for step, name in enumerate(("plan", "age", "a", "b"))},
        )
        for row in range(40)
    ]


def summary() -> Summary:
    return observe(batch_of(events()), lambda _: SHAPE, {}, LATENESS_MS)[FEATURES]


def test_bytes_of_version_1_are_written_and_read_as_ever() -> None:
    golden = GOLDEN.read_bytes()
    assert summary().to_bytes() == golden
    assert plain_of(Summary.from_bytes(golden)) == plain_observe(events(), SHAPE, LATENESS_MS)[FEATURES]


def test_a_summary_is_read_back_whole() -> None:
    once = Summary.from_bytes(summary().to_bytes())
    assert plain_of(once) == plain_of(summary())
    assert once.to_bytes() == summary().to_bytes()
    assert once + summary() == summary() + once


def test_the_empty_summary_is_the_identity() -> None:
    assert summary() + Summary.empty() == summary() == Summary.empty() + summary()
    assert Summary.from_bytes(Summary.empty().to_bytes()) == Summary.empty()


def test_a_later_version_is_told_from_damage() -> None:
    data = bytearray(summary().to_bytes())
    data[3] = 2
    with pytest.raises(FormatError, match="expected version 1, got 2"):
        Summary.from_bytes(bytes(data))


def test_damaged_bytes_are_refused_or_read_as_a_summary_that_works() -> None:
    rng, data = random.Random(7), summary().to_bytes()
    refused = 0
    for _ in range(4_000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(3, len(damaged))
            match rng.randrange(3):
                case 0:
                    damaged[at] = rng.randrange(256)
                case 1:
                    del damaged[at : at + rng.randint(1, 9)]
                case _:
                    damaged[at:at] = rng.randbytes(rng.randint(1, 9))
        try:
            read = Summary.from_bytes(bytes(damaged))
        except FormatError:
            refused += 1
            continue
        total = read + summary()
        assert Summary.from_bytes(read.to_bytes()) == read
        assert Summary.from_bytes(total.to_bytes()) == total
    assert refused > 2_000


def form(**changes: Any) -> wire.Form:
    data = summary().to_bytes()
    return msgspec.structs.replace(wire.decode(data), **changes)


def packed(size: int, *values: int) -> bytes:
    return bytes([size]) + b"".join(value.to_bytes(size, "little") for value in values)


DAMAGE: dict[str, dict[str, Any]] = {
    "signals not ascending": {"signals": ["plan", "b", "age", "a"]},
    "length of declared": {"declared": b""},
    "length of counts": {"counts": [0] * 3},
    "length of extremes": {"extremes": b"1234"},
    "extreme that is not a number": {"extremes": np.full(8, np.nan, "<f4").tobytes()},
    "counts out of bounds": {"counts": [-1] * 4 * len(Count)},
    "squares out of bounds": {"counts": ([0] * Count.FINE_SQUARES_LOW + [-1, 0]) * 4},
    "beyond its bound": {"bins": (packed(8, 2**63), packed(1, 1))},
    "keys out of order": {"bins": (packed(1, 5, 0), packed(1, 1, 1))},
    "differ in length": {"bins": (packed(1, 5, 1), packed(1, 1))},
    "a count of zero": {"buckets": (packed(1, 5), packed(1, 0))},
    "length of an array": {"buckets": (b"\x03abc", b"\x03abc")},
    "beyond the signals": {"named": [(4, {}, {})]},
    "texts not ascending": {"named": [(0, {"b": 1, "a": 1}, {})]},
    "text kept twice": {"named": [(0, {"a": 1}, {"a": 1})]},
    "offsets not ascending": {"offsets": [("p", 1, 0, 0), ("p", 0, 0, 0)]},
    "int": {"rows": ROWS_MAX + 1},
    "length": {"named": [(0, {}, {f"{n:05}": 1 for n in range(NAMED_MAX + 1)})]},
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_each_damage_is_named(problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        Summary.from_bytes(wire.encode(form(**DAMAGE[problem])))


def test_a_claim_of_endless_content_takes_no_memory() -> None:
    start = b"SMS\x01\x9d" + bytes(5)
    for claim in (b"\xdd\xff\xff\xff\xff", b"\x90\xdd\xff\xff\xff\xff", b"\x90\x90\xc6\xff\xff\xff\xff"):
        with pytest.raises(FormatError, match="truncated"):
            Summary.from_bytes(start + claim)


def largest(signals: int, kept: int, sources: int) -> Summary:
    """The longest summary there can be: every bin, bucket and name used, every number at its bound."""
    names = tuple(f"{n:0>{TEXT_MAX}}" for n in range(signals))
    full = np.full(signals * BINS, ROWS_MAX, np.int64)
    buckets = np.full(signals * BUCKETS, ROWS_MAX, np.int64)
    texts = {f"{n:06}" + "\U0001f600" * (TEXT_MAX - 6): ROWS_MAX for n in range(NAMED_MAX + kept)}
    by_name = Named(dict(list(texts.items())[NAMED_MAX:]), dict(list(texts.items())[:NAMED_MAX]))
    counts = np.full((signals, len(Count)), ROWS_MAX, np.int64)
    counts[:, Count.FINE_SUM : Count.FINE_SQUARES_HIGH] = -(1 << 62)
    counts[:, Count.FINE_SQUARES_LOW :] = (1 << 32) - 1
    return Summary(
        rows=ROWS_MAX,
        late=ROWS_MAX,
        late_idle=ROWS_MAX,
        dropped_values=1 << 62,
        signal_limit=256,
        offsets={Source("t" * 249, 1 << 20 | n): (1 << 62, 1 << 62) for n in range(sources)},
        signals=names,
        declared=np.ones(signals, np.bool_),
        counts=counts,
        minimum=np.zeros(signals, np.float32),
        maximum=np.zeros(signals, np.float32),
        bins=Tally.of(np.arange(signals * BINS), full, signals * BINS),
        buckets=Tally.of(np.arange(signals * BUCKETS), buckets, signals * BUCKETS),
        named={name: by_name.copy() for name in names},
    )


@pytest.mark.parametrize(("signals", "kept", "sources"), [(0, 0, 0), (0, 0, 300), (3, 0, 1), (2, 100, 2)])
def test_no_summary_is_longer_than_its_bound(signals: int, kept: int, sources: int) -> None:
    data = largest(signals, kept, sources).to_bytes()
    bound = wire.bytes_max(sources, signals, TEXT_MAX, kept)
    assert 0.5 * bound < len(data) <= bound or signals == sources == 0
    assert Summary.from_bytes(data).to_bytes() == data


def test_a_usual_summary_takes_about_a_thousand_bytes_a_signal() -> None:
    normal = np.random.default_rng(1).normal(0, 1, (1_000, 20)).tolist()
    rows = [
        Event(Source("p", 0), row, 0, {f"f{i}": value for i, value in enumerate(values)})
        for row, values in enumerate(normal)
    ]
    found = observe(batch_of(rows), lambda _: SHAPE, {}, LATENESS_MS)[FEATURES]
    assert len(found.to_bytes()) < 20 * 1_200


@pytest.mark.parametrize("max_bytes", [4_096, 100_000, 900_000])
def test_parts_are_short_enough_and_add_up(max_bytes: int) -> None:
    whole = largest(2, 10, 40)
    whole.rows = whole.late = whole.late_idle = 7
    whole.counts[:] = 7
    pairs = whole.split(max_bytes)
    parts = [part for part, _ in pairs]
    assert all(data == part.to_bytes() and len(data) <= max_bytes for part, data in pairs)
    assert [part.rows for part in parts] == [7] + [0] * (len(parts) - 1)
    assert [part.late for part in parts] == [7] + [0] * (len(parts) - 1)
    total = Summary.empty()
    for part in random.Random(1).sample(parts, len(parts)):
        total.merge(Summary.from_bytes(part.to_bytes()))
    assert total == whole


def test_a_short_summary_is_one_part() -> None:
    assert [data for _, data in summary().split()] == [summary().to_bytes()]


def test_selected_signals_keep_their_numbers() -> None:
    whole, chosen = plain_of(summary()), plain_of(summary().select(["plan", "a", "not there"]))
    assert chosen.rows == whole.rows
    assert chosen.offsets == whole.offsets
    assert chosen.signals == {name: whole.signals[name] for name in ("a", "plan")}
    assert summary().select([]).signals == ()


def test_what_is_derived_from_counts() -> None:
    found = summary()
    plain = plain_of(found).signals
    for index, name in enumerate(found.signals):
        counts = plain[name].counts
        there = sum(counts[column.name] for column in list(Count)[Count.NUMBER : Count.NAN])
        assert found.missing[index] == found.rows - there
        assert found.numbers[index] == plain[name].bins.total()
        assert found.texts[index] == found.texts_total(name) == plain[name].buckets.total()
    assert found.texts_total("not there") == 0


def test_a_sum_of_many_rows_stays_exact() -> None:
    """The sums of 2^44 overflowing values, the most there can be, by doubling."""
    row = Event(Source("p", 0), 0, 0, {"a": 1e300, "b": -1e300})
    total = observe(batch_of([row]), lambda _: SHAPE, {}, LATENESS_MS)[FEATURES]
    code = int(total.counts[0, Count.FINE_SUM])
    for _ in range(44):
        total.merge(total.copy())
    assert total.rows == ROWS_MAX
    assert total.counts[:, Count.FINE_SUM].tolist() == [code * ROWS_MAX, -code * ROWS_MAX]
    assert total.fine_squares(0) == code * code * ROWS_MAX
    assert Summary.from_bytes(total.to_bytes()) == total

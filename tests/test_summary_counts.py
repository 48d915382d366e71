"""Counting by key and by name: the cheap ways and the plain way agree, and bounds hold without an order."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.summary import histogram
from stream_monitor.summary.categories import (
    NAMED_MAX,
    TEXT_MAX,
    Named,
    bounded,
    number_text,
    text_hash,
)
from stream_monitor.summary.counts import Count, carry_squares
from stream_monitor.summary.histogram import Tally, sum_by_key
from tests.oracles_summary import hash64

SIZE = 500
KEYS = st.lists(st.integers(0, SIZE - 1), max_size=40)


@given(KEYS)
def test_dense_and_sorted_sums_agree_with_a_counter(keys: list[int]) -> None:
    plain = sorted(Counter(keys).items())
    for size in (SIZE, 10**9):
        found, totals = sum_by_key(np.array(keys, np.int64), None, size)
        assert list(zip(found.tolist(), totals.tolist(), strict=True)) == plain


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 2**40)), max_size=40))
def test_dense_and_sorted_sums_of_counts_agree_with_a_counter(pairs: list[tuple[int, int]]) -> None:
    plain: Counter[int] = Counter()
    for key, count in pairs:
        plain[key] += count
    keys, counts = np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)
    for size in (SIZE, 10**9):
        found, totals = sum_by_key(keys, counts, size)
        assert dict(zip(found.tolist(), totals.tolist(), strict=True)) == plain


@given(st.lists(KEYS, max_size=8), st.randoms(use_true_random=False))
def test_tallies_merge_to_the_count_of_all_keys(parts: list[list[int]], rng: random.Random) -> None:
    tallies = []
    for keys in parts:
        tally = Tally(SIZE)
        tally.add(np.array(keys, np.int32))
        if rng.random() < 0.5:
            tally.entries()
        tallies.append(tally)
    total = Tally(SIZE)
    for tally in tallies:
        before = tally.copy()
        total.merge(tally)
        assert [one.tolist() for one in tally.entries()] == [one.tolist() for one in before.entries()]
    found, totals = total.entries()
    assert dict(zip(found.tolist(), totals.tolist(), strict=True)) == Counter(chain.from_iterable(parts))
    low, high = total.halves()
    low.merge(high)
    assert [one.tolist() for one in low.entries()] == [found.tolist(), totals.tolist()]


def test_a_tally_holds_no_more_unsummed_keys_than_it_says() -> None:
    total = Tally(SIZE)
    keys = np.arange(SIZE, dtype=np.int32)
    for _ in range(2_000):
        total.add(keys)
        assert sum(map(len, total._raw)) <= histogram._PENDING_MAX
    assert set(total.entries()[1].tolist()) == {2_000}


@pytest.mark.parametrize("seed", range(5))
def test_the_named_are_those_with_the_smallest_hashes_in_any_cut(seed: int) -> None:
    rng = random.Random(seed)
    texts = [f"value {number}" for number in range(10 * NAMED_MAX)]
    reference, counts = frozenset(texts[:5]), Counter[str]()
    parts = [Counter[str]() for _ in range(rng.randint(2, 40))]
    for text in texts * 3:
        part, count = rng.choice(parts), rng.randint(1, 9)
        part[text] += count
        counts[text] += count
    total = Named()
    for part in parts:
        total.merge(Named.of(part, reference))
    expected = sorted(set(texts) - reference, key=hash64)[:NAMED_MAX]
    assert total.others == {text: counts[text] for text in expected}
    assert total.kept == {text: counts[text] for text in reference}


def test_the_named_never_grow_beyond_their_bound_while_filled() -> None:
    total = Named()
    for first in range(0, 40_000, 1_000):
        total.merge(Named.of({str(number): 1 for number in range(first, first + 1_000)}, frozenset()))
        assert len(total._others) <= 8 * NAMED_MAX
    assert len(total.others) == NAMED_MAX


def test_the_hash_of_a_text_is_the_same_for_ever() -> None:
    # From the reference implementation of BLAKE2b: b2sum -l 64.
    assert f"{text_hash('abc'):016x}" == "d8bb14d833d59559"


@given(st.text(max_size=400))
def test_a_bounded_text_is_short_and_stays_as_it_is(text: str) -> None:
    kept = bounded(text)
    assert len(kept) <= TEXT_MAX
    assert bounded(kept) == kept
    if len(text) <= TEXT_MAX:
        assert kept == text


def test_long_texts_that_begin_alike_stay_apart() -> None:
    assert bounded("x" * 500 + "a") != bounded("x" * 500 + "b")


def test_what_utf8_cannot_say_is_escaped() -> None:
    assert bounded("a\ud800b") == "a\\ud800b"


def test_a_number_counts_as_the_text_a_person_would_write() -> None:
    assert [number_text(number) for number in (3.0, -0.5, 1e22, float("inf"))] == [
        "3",
        "-0.5",
        "10000000000000000000000",
        "inf",
    ]


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_squares_have_one_form(one: int, other: int) -> None:
    counts = np.zeros(len(Count), np.int64)
    for value in (one, other):
        counts[Count.FINE_SQUARES_HIGH] += value >> 32
        counts[Count.FINE_SQUARES_LOW] += value & 0xFFFFFFFF
    carry_squares(counts)
    high, low = counts[[Count.FINE_SQUARES_HIGH, Count.FINE_SQUARES_LOW]].tolist()
    assert (high << 32) + low == one + other
    assert 0 <= low < 2**32

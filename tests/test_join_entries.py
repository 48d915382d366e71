"""The bytes that stores on disk are made of: of one form in every process and release."""

from __future__ import annotations

import pytest

from stream_monitor.config import Labels
from stream_monitor.errors import FormatError
from stream_monitor.join.entries import (
    KEY_BYTES,
    Again,
    Elements,
    Label,
    Prediction,
    decode,
    encode,
    key_of,
    keys_of,
)
from stream_monitor.join.store import BUCKETS, FORM, bucket_ms, history_ms

ELEMENTS: Elements = (
    Prediction("p", 600_000_000, 1_500, "churn", "3", "live", ("country=DE",), ((None, 0.25),)),
    Again("p", 600_001_000, "churn", "3", "live"),
    Label("l", 1 << 40, 2, -5, 0, None, {"amount": 7}),
    Label("l", 9, 0, 0, 0, "churn", None),
)
BYTES = (
    "94"
    "9900a170ce23c34600cd05dca5636875726ea133a46c69766591aa636f756e7472793d44459192c0cb3fd0000000000000"
    "9601a170ce23c349e8a5636875726ea133a46c697665"
    "9802a16ccf000001000000000002fb00c081a6616d6f756e7407"
    "9802a16c09000000a5636875726ec0"
)


def test_entries_have_the_bytes_that_they_always_had() -> None:
    """Other bytes need another FORM, so that no store is read as what it is not."""
    assert FORM == 2
    assert encode(ELEMENTS).hex() == BYTES
    assert encode(decode(bytes.fromhex(BYTES))).hex() == BYTES
    assert key_of("p-1") == b"p-1"
    assert key_of("a payment of 2026").hex() == "ffcdda240d69c348097c63bca912d579"


def test_ids_have_keys_of_their_own_whatever_else_is_asked() -> None:
    ids = ["", "a", "16 bytes of text", "\ud800", "é" * 8, "é" * 9, "17 bytes of text.", "\ud800" * 6]
    keys = keys_of(ids)
    assert keys == [key_of(one) for one in ids]
    assert len(set(keys)) == len(ids)
    assert {len(key) for key in keys[-3:]} == {KEY_BYTES}
    assert max(map(len, keys)) == KEY_BYTES


def test_no_id_is_the_key_of_a_longer_one() -> None:
    # No text in UTF-8 begins with such a byte.
    assert {key_of(f"a payment of 2026, number {number}")[0] for number in range(500)} == {0xFF}


def test_a_prediction_takes_few_bytes() -> None:
    assert len(encode(ELEMENTS[:1])) + KEY_BYTES <= 70


def test_an_entry_that_is_none_says_what_to_do() -> None:
    with pytest.raises(FormatError, match=r"store: expected an entry, got 3 bytes .*; remove the store"):
        decode(b"abc")


@pytest.mark.parametrize(("horizon", "bucket"), [("4s", 1_000), ("30d", 7.5 * 86_400_000), ("5s", 2_000)])
def test_a_bucket_is_a_quarter_of_the_horizon_in_whole_slices(horizon: str, bucket: float) -> None:
    labels = Labels.model_validate({"topics": ["l"], "horizon": horizon, "slice": "1s", "cohort": "2s"})
    assert bucket_ms(labels) == bucket
    assert bucket_ms(labels) * BUCKETS >= labels.horizon_ms
    assert history_ms(labels) == 2 * labels.horizon_ms

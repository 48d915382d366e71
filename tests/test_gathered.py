"""What comes to an open slice is kept as bytes, and is in the end what merging at once would have made."""

from __future__ import annotations

from functools import reduce
from operator import add

import pytest

from stream_monitor.checks import subject
from stream_monitor.checks.subject import Learner
from stream_monitor.config import parse_config
from stream_monitor.decide.gathered import PARTS_MAX, Gathered
from stream_monitor.errors import FormatError
from stream_monitor.events import DeltaKind
from stream_monitor.summary.summary import Summary
from tests import inputs
from tests.core import Schedule, flushes


def load(_: DeltaKind | None, data: bytes) -> Summary:
    return Summary.from_bytes(data)


def deltas(count: int) -> list[bytes]:
    """Of one stream."""
    config = parse_config(inputs.config())
    sent = flushes(
        config, inputs.messy(events=6_000), Schedule(workers=1, batch_max=50, flush_every=1, seed=3)
    )
    found = [delta for flush in sent for delta in flush.deltas]
    stream = found[0].key.stream
    mine = [delta.data for delta in found if delta.key.stream == stream]
    assert len(mine) >= count
    return mine[:count]


@pytest.mark.parametrize("count", [1, 2, PARTS_MAX, PARTS_MAX + 1, 3 * PARTS_MAX])
def test_gathered_is_what_merging_would_have_made(count: int) -> None:
    data = deltas(count)
    whole = reduce(add, map(Summary.from_bytes, data))
    gathered = reduce(add, (Gathered(load, ((None, one),)) for one in data))
    assert gathered.content() == whole
    assert Gathered(load, tuple(gathered.parts())).content() == whole
    assert len(gathered.parts()) <= PARTS_MAX + 1


def test_what_is_damaged_is_told_to_who_asks() -> None:
    damaged = Gathered(load, ((None, b"damaged"),))
    assert damaged.parts() == [(None, b"damaged")]
    with pytest.raises(FormatError):
        damaged.content()


def test_a_learner_that_packs_what_it_has_learned_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "RECENT_MAX", 500)
    summaries = [Summary.from_bytes(one) for one in deltas(60)]
    names = summaries[0].signals
    learner = Learner(0, summaries[0])
    for one in summaries[1:]:
        learner.add(one)
    whole = reduce(add, (one.select(list(names)) for one in summaries))
    assert whole.rows * len(names) > 10 * subject.RECENT_MAX
    assert learner.summary == whole
    assert learner.period.rows == whole.rows

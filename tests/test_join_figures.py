"""Every count and figure of quality that the join finds is what a dictionary, a loop and fsum find."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_monitor.events import Delta
from stream_monitor.quality.cohorts import Cohorts
from tests import join_feed, join_oracle
from tests.join_feed import LABELS, PREDICTIONS, Feed
from tests.join_figures import assert_as_the_oracle_says
from tests.test_join_joins import Worker, config, read_all


def cohorts_of(deltas: list[Delta]) -> dict[tuple[str, ...], Cohorts]:
    found: dict[tuple[str, ...], Cohorts] = {}
    for one in deltas:
        if one.kind == "cohorts":
            place = tuple(one.key.stream)
            found[place] = found.get(place, Cohorts()) + Cohorts.from_bytes(one.data)
    return found


@pytest.mark.parametrize("policy", ["first", "last"])
@pytest.mark.parametrize("seed", [11, 12])
def test_all_figures_of_all_cohorts(tmp_path: Path, policy: str, seed: int) -> None:
    feed = Feed.of(seed, predictions=1_500, partitions=2)
    feed.write(tmp_path)
    _, expected = join_oracle.find(tmp_path, [PREDICTIONS], [LABELS], join_feed.settings(policy))
    worker = read_all(Worker(config(policy), feed), seed)
    found = {
        stream: Cohorts({start: one for start, one in cohorts.items() if one.predictions or one.labeled})
        for stream, cohorts in cohorts_of(worker.deltas).items()
    }
    assert assert_as_the_oracle_says(found, expected, join_feed.QUALITY) > 10_000

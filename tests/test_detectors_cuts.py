"""Windows of merged slices and the cuts through them, on examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stream_monitor.detectors.cuts import Buckets, Cuts, Located, locate
from stream_monitor.detectors.window import Window


def test_a_window_merges_the_two_oldest_of_a_size() -> None:
    window = Window(1, max_buckets=2)
    for mean in range(7):
        window.add(np.array([0]), np.ones(1), np.array([float(mean)]), np.zeros(1))
    # 0 to 3 in one bucket, then 4 and 5, then 6.
    occupied = window.buckets.n[:, 0] > 0
    assert [values[occupied, 0].tolist() for values in window.buckets] == [
        [4.0, 2.0, 1.0],
        [6.0, 9.0, 6.0],
        [0, 4, 6],
        [3, 5, 6],
    ]
    assert (window.n[0], window.total[0], window.m2[0], window.ticks[0]) == (7.0, 21.0, 28.0, 7)


def located(spans: list[tuple[int, int]], means: list[float], m2: float) -> Located:
    first, last = (np.array(ends)[:, np.newaxis] for ends in zip(*spans, strict=True))
    n = (last - first + 1).astype(np.float64)
    buckets = Buckets(n, n * np.array(means)[:, np.newaxis], first, last)
    cuts = Cuts.through(buckets, buckets.total.sum(axis=0))
    return locate(buckets, cuts, np.array([m2]), among=cuts.real)


@pytest.mark.parametrize(
    ("spans", "means", "m2", "began", "earliest", "latest"),
    [
        # Without noise only one cut is possible; it is as exact as the buckets at its sides.
        ([(0, 3), (4, 7), (8, 8), (9, 9)], [0, 0, 1, 1], 1.6, 8, 5, 8),
        ([(0, 3), (4, 7), (8, 8)], [0, 1, 1], 5 * 4 / 9, 4, 1, 7),
        ([(0, 0), (1, 1), (2, 2), (3, 3)], [0, 0, 1, 1], 1.0, 2, 2, 2),
        # After a gap: the first slice seen, although it may have come in the gap.
        ([(0, 0), (1, 1), (50, 50), (51, 51)], [0, 0, 1, 1], 1.0, 50, 2, 50),
        # Much noise: anywhere behind the first slice.
        ([(0, 3), (4, 7), (8, 8), (9, 9)], [0, 0, 1, 1], 1e6, 8, 1, 9),
    ],
)
def test_the_interval_ends_where_the_buckets_do(
    spans: list[tuple[int, int]], means: list[float], m2: float, began: int, earliest: int, latest: int
) -> None:
    place = located(spans, means, m2)
    assert (place.began[0], place.earliest[0], place.latest[0]) == (began, earliest, latest)


def test_padding_is_passed_over_wherever_it_stands() -> None:
    full = Buckets(
        np.array([[4.0], [0.0], [0.0], [1.0], [0.0], [1.0], [0.0]]),
        np.array([[0.0], [0.0], [0.0], [0.0], [0.0], [1.0], [0.0]]),
        np.array([[0], [0], [0], [4], [0], [5], [0]]),
        np.array([[3], [0], [0], [4], [0], [5], [0]]),
    )
    cuts = Cuts.through(full, np.array([1.0]))
    place = locate(full, cuts, np.array([5 / 6]), among=cuts.real)
    assert (place.began[0], place.earliest[0], place.latest[0]) == (5, 5, 5)
    assert (cuts.n0[place.row[0], 0], cuts.n1[place.row[0], 0]) == (5.0, 1.0)

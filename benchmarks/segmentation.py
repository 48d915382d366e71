"""How well change points agree with those of several annotators.

Source: van den Burg and Williams, An Evaluation of Change Point Detection Algorithms, 2020, section 3. Theirs
takes the nearest for a match; here as many are matched as can be, which is their definition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise

MARGIN = 5
"""Observations by which a change point may be off."""


def matched(wanted: Iterable[int], found: Iterable[int], margin: int = MARGIN) -> int:
    """How many of ``wanted`` have one of ``found`` within the margin; none serves two.

    >>> matched({10, 14, 90}, {12, 20, 80})
    1
    """
    left, count = sorted(found, reverse=True), 0
    for one in sorted(wanted):
        while left and left[-1] < one - margin:
            left.pop()
        if left and left[-1] <= one + margin:
            left.pop()
            count += 1
    return count


def f1(annotations: Iterable[Collection[int]], found: Iterable[int], margin: int = MARGIN) -> float:
    """Of precision against what any annotator says and recall averaged over annotators; the start of the
    series is a change point in all, so nothing found where all say nothing is 1.

    >>> f1([{10}], {11, 80})
    0.8
    """
    said = [{0, *one} for one in annotations]
    points = {0, *found}
    precision = matched(set().union(*said), points, margin) / len(points)
    recall = sum(matched(one, points, margin) / len(one) for one in said) / len(said)
    return 2 * precision * recall / (precision + recall)


def covering(annotations: Iterable[Collection[int]], found: Iterable[int], length: int) -> float:
    """By how much of itself a segment of an annotator lies in one found (Jaccard), weighted by its length and
    averaged over annotators.

    >>> covering([{5}], {5}, 10), covering([{5}], set(), 10)
    (1.0, 0.5)
    """
    segments = _segments(found, length)
    covers = [
        sum((end - start) * max(_overlap((start, end), other) for other in segments) for start, end in own)
        for own in (_segments(one, length) for one in annotations)
    ]
    return sum(covers) / len(covers) / length


def _segments(points: Iterable[int], length: int) -> list[tuple[int, int]]:
    """From each to the next, exclusive."""
    return list(pairwise(sorted({0, *points, length})))


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    """What both have of what either has."""
    both = min(one[1], other[1]) - max(one[0], other[0])
    return max(both, 0) / (one[1] - one[0] + other[1] - other[0] - max(both, 0))

"""Classes: the confusion matrix, scores by class, and what follows from them.

Kept apart are the classes that the configuration names or, without it, the CLASSES_MAX of all seen with the
smallest hashes; the others are one, "other". A class once seen stays in the running when its labels are taken
back: that it was seen cannot depend on order. (See summary.categories for why this merges exactly.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Int64s
from stream_monitor.quality.curves import SCORE_BINS, score_bins
from stream_monitor.quality.judging import Judged
from stream_monitor.quality.tally import Emissions, Net
from stream_monitor.summary.categories import text_hash

if TYPE_CHECKING:
    from stream_monitor.config import Quality

CLASSES_MAX = 64
OTHER = CLASSES_MAX
"""The place of all classes that are not kept."""
WIDTH = CLASSES_MAX + 1
CALIBRATION_BINS = 20

# The tally: four tables, one after the other.
CONFUSION = 0
"""predicted * WIDTH + actual"""
SCORED = CONFUSION + WIDTH * WIDTH
"""Pairs with scores, by their actual class."""
CALIBRATION = SCORED + WIDTH
"""bin * 2 + (1 where the class that was sure is the actual one)"""
SCORES = CALIBRATION + 2 * CALIBRATION_BINS
"""(class * 2 + (1 where it is the actual one)) * SCORE_BINS + bin of its score; none of OTHER"""
SIZE = SCORES + CLASSES_MAX * 2 * SCORE_BINS


class Total(IntEnum):
    """What is summed. From CONFIDENCE on, one sum for each bin of calibration."""

    N = 0
    RIGHT = 1
    SCORED = 2
    LOG_LOSS = 3
    LOG_LOSS_SQUARE = 4
    BRIER = 5
    BRIER_SQUARE = 6
    CONFIDENCE = 7


TOTALS = Total.CONFIDENCE + CALIBRATION_BINS
COUNTS = Total.LOG_LOSS
"""The totals before it are counts, the others exact sums."""


def kept_of(seen: Iterable[str]) -> tuple[str, ...]:
    """The classes that are kept of those seen, ascending."""
    return tuple(sorted(sorted(seen, key=lambda name: (text_hash(name), name))[:CLASSES_MAX]))


def measure(
    quality: Quality, judged: Judged, emissions: Emissions
) -> tuple[list[tuple[int, ...]], list[Net], list[tuple[str, ...]]]:
    """The totals, the tally and the classes of each group. ``emissions`` are those of the judged pairs."""
    kept, place = _places(quality, judged, emissions)
    of_scored = emissions.take(judged.scored)
    bins = np.minimum((judged.confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    by_bin = Emissions(
        of_scored.sign, of_scored.group * CALIBRATION_BINS + bins, emissions.groups * CALIBRATION_BINS
    )
    confidence = by_bin.sum(judged.confidence)
    columns = [
        emissions.count(),
        emissions.take(~judged.wrong).count(),
        of_scored.count(),
        of_scored.sum(judged.log_loss),
        of_scored.sum(judged.log_loss * judged.log_loss),
        of_scored.sum(judged.brier),
        of_scored.sum(judged.brier * judged.brier),
        *(confidence[bin_::CALIBRATION_BINS] for bin_ in range(CALIBRATION_BINS)),
    ]
    return list(zip(*columns, strict=True)), _tally(judged, emissions, place, bins), kept


def _tally(judged: Judged, emissions: Emissions, place: Int64s, bins: Int64s) -> list[Net]:
    group = emissions.group
    actual = place[group, judged.actual]
    confusion = CONFUSION + place[group, judged.predicted] * WIDTH + actual
    sure_right = judged.sure == judged.actual[judged.scored]
    calibration = CALIBRATION + 2 * bins + sure_right
    owner = place[group[judged.score_pair], judged.score_class]
    known = owner != OTHER
    pair, owner, of_class = judged.score_pair[known], owner[known], judged.score_class[known]
    is_actual = of_class == judged.actual[pair]
    scores = SCORES + (2 * owner + is_actual) * SCORE_BINS + score_bins(judged.scores[known])
    every = np.arange(len(judged.rows))
    return emissions.tally(
        [confusion, SCORED + actual[judged.scored], calibration, scores],
        [every, judged.scored, judged.scored, pair],
        SIZE,
    )


def _places(quality: Quality, judged: Judged, emissions: Emissions) -> tuple[list[tuple[str, ...]], Int64s]:
    """The classes that each group keeps, and where each code stands among them, int64 (groups, codes)."""
    groups, names = emissions.groups, judged.names
    place = np.full((groups, len(names)), OTHER, np.int64)
    if quality.task == "binary":
        place[:] = np.arange(len(names))
        return [()] * groups, place
    if quality.classes is not None:
        kept = tuple(sorted(quality.classes))
        place[:] = _among(names, kept)
        return [kept] * groups, place
    group = emissions.group
    codes = np.concatenate((judged.predicted, judged.actual, judged.score_class))
    keys = np.concatenate((group, group, group[judged.score_pair])) * len(names) + codes
    owner, code = np.divmod(np.unique(keys), max(len(names), 1))
    ends = np.searchsorted(owner, np.arange(groups + 1)).tolist()
    of_group = []
    for one, (first, last) in enumerate(pairwise(ends)):
        seen = code[first:last]
        mine = kept_of(names[at] for at in seen.tolist())
        place[one, seen] = _among([names[at] for at in seen.tolist()], mine)
        of_group.append(mine)
    return of_group, place


def _among(names: Sequence[str], kept: Sequence[str]) -> Int64s:
    """Where names stand among those that are kept, int64 (n,); OTHER where they do not."""
    at = {name: place for place, name in enumerate(kept)}
    return np.array([at.get(name, OTHER) for name in names], np.int64)


def moved(net: Net, names: Sequence[str], kept: Sequence[str]) -> Net:
    """A tally over the classes ``names`` as one over ``kept``, which has all that the merged one keeps."""
    if tuple(names) == tuple(kept):
        return net
    place = np.append(_among(names, kept), np.full(WIDTH - len(names), OTHER))
    keys = net.keys
    confusion, scored = keys < SCORED, (keys >= SCORED) & (keys < CALIBRATION)
    scores = keys >= SCORES
    new = keys.copy()
    predicted, actual = np.divmod(keys[confusion] - CONFUSION, WIDTH)
    new[confusion] = CONFUSION + place[predicted] * WIDTH + place[actual]
    new[scored] = SCORED + place[keys[scored] - SCORED]
    owner, inside = np.divmod(keys[scores] - SCORES, 2 * SCORE_BINS)
    new[scores] = SCORES + place[owner] * 2 * SCORE_BINS + inside
    stays: NDArray[np.bool_] = new < SIZE
    return Net.of(new[stays], net.counts[stays], SIZE)


def histograms(net: Net, classes: int) -> tuple[Int64s, Int64s]:
    """Scores of each class in pairs where it is the actual one, and in the others.

    Both int64 (classes, SCORE_BINS). A pair with scores but none for the class has 0 for it.
    """
    size = classes * 2 * SCORE_BINS
    table = net.between(SCORES, SCORES + size).dense(size).reshape(classes, 2, SCORE_BINS)
    negatives, positives = table[:, 0].copy(), table[:, 1].copy()
    scored = net.between(SCORED, CALIBRATION).dense(WIDTH)
    mine = scored[:classes]
    positives[:, 0] += np.maximum(mine - positives.sum(axis=1), 0)
    negatives[:, 0] += np.maximum(scored.sum() - mine - negatives.sum(axis=1), 0)
    return positives, negatives

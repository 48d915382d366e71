"""What many pairs of predicted and true classes say, pair by pair: right or wrong, log loss, Brier score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality.columns import Coded, Scored
from stream_monitor.quality.logarithm import log

if TYPE_CHECKING:
    from stream_monitor.config import Quality

NEGATIVE, POSITIVE = 0, 1
PROBABILITY_MIN = 1e-15
"""Log loss takes probabilities for at least this, and for at most 1 less this: one that was 0 for what then
happened costs 34.5, not infinitely much."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs (n,) of usable prediction and label, at ``rows`` of what was asked. Classes are codes: places in
    ``names``.

    ``scored`` are the pairs (m,) with a score, and have ``log_loss``, ``brier`` and the ``confidence`` in the
    class that was ``sure``. Of all their scores, score i is that of class ``score_class[i]`` in pair
    ``score_pair[i]``; a class without one has 0.
    """

    rows: Int64s
    names: Sequence[str]
    predicted: Int64s
    actual: Int64s
    scored: Int64s
    log_loss: Float64s
    brier: Float64s
    sure: Int64s
    confidence: Float64s
    score_pair: Int64s
    score_class: Int64s
    scores: Float64s

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return np.asarray(self.predicted != self.actual)


def log_loss(probabilities: Float64s) -> Float64s:
    """Of the probability that what happened had."""
    return np.asarray(-log(np.clip(probabilities, PROBABILITY_MIN, 1 - PROBABILITY_MIN)))


def judge(quality: Quality, inputs: Sequence[Any], labels: Sequence[Any]) -> Judged:
    """The pairs of which both sides can be used. Cost: 0.1 us a pair, and 0.4 us a score of a class."""
    return (_judge_binary if quality.task == "binary" else _judge_multiclass)(quality, inputs, labels)


# Binary: a class is the positive one, or it is not


def _judge_binary(quality: Quality, inputs: Sequence[Any], labels: Sequence[Any]) -> Judged:
    if isinstance(inputs, Scored):
        named, scores = _signs(quality, inputs.classes), inputs.scores
    else:
        named = _signs(quality, [one[0] for one in inputs])
        scores = np.array([one[1] for one in inputs], np.float64)
    has_score = ~np.isnan(scores)
    told = (scores >= quality.threshold).astype(np.int64)
    predicted = np.where(named >= 0, named, np.where(has_score, told, -1))
    actual = _signs(quality, labels)
    rows = np.flatnonzero((predicted >= 0) & (actual >= 0))
    scored = np.flatnonzero(has_score[rows])
    happened, score = actual[rows][scored], scores[rows][scored]
    return Judged(
        rows,
        ("negative", "positive"),
        predicted[rows],
        actual[rows],
        scored,
        log_loss(np.where(happened == POSITIVE, score, 1.0 - score)),
        (score - happened) ** 2,
        np.full(len(scored), POSITIVE),
        score,
        scored,
        np.full(len(scored), POSITIVE),
        score,
    )


def _signs(quality: Quality, classes: Sequence[str | None]) -> Int64s:
    """POSITIVE or NEGATIVE for each class, -1 where it is none, or not one that the configuration names."""
    if isinstance(classes, Coded):
        return np.array([_sign(quality, text) for text in classes.values], np.int64)[classes.code]
    known = {text: _sign(quality, text) for text in set(classes)}
    return np.fromiter(map(known.__getitem__, classes), np.int64, len(classes))


_TRUE = frozenset({"1", "true"})
"""Where one of them is the positive class, so is the other: many label with a boolean, and score a 1."""


def _sign(quality: Quality, text: str | None) -> int:
    if text is None:
        return -1
    if text == quality.positive or (text in _TRUE and quality.positive in _TRUE):
        return POSITIVE
    return NEGATIVE if quality.classes is None or text in quality.classes else -1


# Multiclass: by name


def _judge_multiclass(quality: Quality, inputs: Sequence[Any], labels: Sequence[Any]) -> Judged:
    scores = [_by_class(quality, one[1]) for one in inputs]
    told = [
        one[0] if one[0] is not None else _likeliest(mine) for one, mine in zip(inputs, scores, strict=True)
    ]
    rows = [row for row, label in enumerate(labels) if label is not None and told[row] is not None]
    scored = [at for at, row in enumerate(rows) if scores[row] is not None]
    mine = [scores[rows[at]] or {} for at in scored]
    predicted, actual = [told[row] or "" for row in rows], [labels[row] for row in rows]
    codes = {name: at for at, name in enumerate(sorted({*predicted, *actual, *chain.from_iterable(mine)}))}
    lengths = np.fromiter(map(len, mine), np.int64, len(mine))
    flat = np.fromiter(chain.from_iterable(one.values() for one in mine), np.float64, int(lengths.sum()))
    happened = np.array([one.get(actual[at], 0.0) for at, one in zip(scored, mine, strict=True)], np.float64)
    squares = np.bincount(np.repeat(np.arange(len(mine)), lengths), flat * flat, len(mine))
    return Judged(
        np.array(rows, np.int64),
        list(codes),
        np.array([codes[name] for name in predicted], np.int64),
        np.array([codes[name] for name in actual], np.int64),
        np.array(scored, np.int64),
        log_loss(happened),
        squares - happened * happened + (1 - happened) ** 2,
        np.array([codes[predicted[at]] for at in scored], np.int64),
        np.array([one.get(predicted[at], 0.0) for at, one in zip(scored, mine, strict=True)], np.float64),
        np.repeat(np.array(scored, np.int64), lengths),
        np.array([codes[name] for one in mine for name in one], np.int64),
        flat,
    )


def _by_class(quality: Quality, scores: Any) -> dict[str, float] | None:
    if scores is None or isinstance(scores, dict):
        return scores
    assert quality.classes is not None, "scores without names are those of the configured classes"
    return dict(zip(quality.classes, scores, strict=True))


def _likeliest(scores: dict[str, float] | None) -> str | None:
    """The class with the highest score; of equal ones the first by name."""
    return min(scores, key=lambda name: (-scores[name], name)) if scores else None

"""A slow twin of the quality room: one pair at a time, in fractions, with no arrays and no histograms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from stream_monitor.config import Quality
from stream_monitor.quality.cohorts import Cohorts, cohorts_of

HOUR_MS = 3_600_000

REGRESSION = Quality(task="regression", error_max=2.5)
BINARY = Quality(task="binary", score="p", positive="yes")
MULTICLASS = Quality(task="multiclass", score="p")
NAMED = Quality(task="multiclass", score="p", classes=["b", "a", "c"])
EVERY = {"amount": REGRESSION, "churn": BINARY, "kind": MULTICLASS, "listed": NAMED}


@dataclass(frozen=True)
class Pair:
    """An emission: a prediction's inputs and a label, of a cohort, that comes or is taken back."""

    cohort: int
    inputs: tuple[Any, ...]
    labels: tuple[Any, ...]
    sign: int = 1


def cohorts_of_pairs(pairs: Sequence[Pair], quality: dict[str, Quality]) -> Cohorts:
    return cohorts_of(
        quality,
        np.array([pair.cohort for pair in pairs], np.int64),
        [pair.inputs for pair in pairs],
        [pair.labels for pair in pairs],
        np.array([pair.sign for pair in pairs], np.int64),
    )


def exact(values: Iterable[float]) -> Fraction:
    return sum(map(Fraction, values), Fraction())


def plain_regression(pairs: Sequence[tuple[float, float]], error_max: float) -> dict[str, float | None]:
    """Figures of (prediction, label)."""
    n = len(pairs)
    errors = [prediction - label for prediction, label in pairs]
    square, around = exact(error * error for error in errors), exact(label for _, label in pairs) / n
    spread = sum((Fraction(label) - around) ** 2 for _, label in pairs)
    shares = [abs(error / label) for error, (_, label) in zip(errors, pairs, strict=True) if label]
    return {
        "mae": float(exact(map(abs, errors)) / n),
        "rmse": math.sqrt(square / n),
        "mean_error": float(exact(errors) / n),
        "mape": float(100 * exact(shares) / len(shares)) if shares else None,
        "r2": float(1 - square / spread) if spread else None,
        "above": sum(abs(error) > error_max for error in errors) / n,
    }


def plain_confusion(pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Of (predicted, actual)."""
    return Counter(pairs)


def plain_auc(scores: Sequence[float], actual: Sequence[bool]) -> float | None:
    """The share of pairs of a positive and a negative that the scores put in order; ties count half."""
    positives = [score for score, label in zip(scores, actual, strict=True) if label]
    negatives = [score for score, label in zip(scores, actual, strict=True) if not label]
    won = sum((one > other) + (one == other) / 2 for one in positives for other in negatives)
    return won / (len(positives) * len(negatives)) if positives and negatives else None


def plain_precision(scores: Sequence[float], actual: Sequence[bool]) -> float | None:
    """Average precision: over positives, the share of positives among all that score no less."""
    pairs = list(zip(scores, actual, strict=True))
    shares = [
        sum(label and other >= score for other, label in pairs) / sum(other >= score for other, _ in pairs)
        for score, positive in pairs
        if positive
    ]
    return sum(shares) / len(shares) if shares else None

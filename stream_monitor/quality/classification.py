"""The figures of a classification, from its exact counts and sums.

Recall of the positive class is the true positive rate, its precision the positive predictive value. Averages
over classes are of those that are kept apart and that were predicted or true; one never predicted has
precision 0 there, as scikit-learn has it. Micro averages are all the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality.classes import (
    CALIBRATION,
    CALIBRATION_BINS,
    CONFUSION,
    SCORED,
    SCORES,
    WIDTH,
    Total,
    histograms,
)
from stream_monitor.quality.curves import average_precision, roc_auc
from stream_monitor.quality.exact import to_float
from stream_monitor.quality.figures import Figure, f1, macro, mean, share
from stream_monitor.quality.judging import NEGATIVE, POSITIVE
from stream_monitor.quality.tally import Net

CURVES = ("roc_auc", "average_precision")
"""Figures from histograms of scores: they cost 0.1 ms a class, all others together 0.1 ms."""


def figures(totals: Sequence[int], net: Net, classes: Sequence[str] | None) -> dict[str, Figure]:
    """All but CURVES, by name; with the classes None those of a binary task."""
    n, scored = totals[Total.N], totals[Total.SCORED]
    found = {"accuracy": share(totals[Total.RIGHT], n, "lower")}
    matrix = confusion(net)
    found.update(_binary(matrix) if classes is None else _multiclass(matrix, classes, found["accuracy"]))
    if scored > 0:
        found["log_loss"] = mean(totals[Total.LOG_LOSS], totals[Total.LOG_LOSS_SQUARE], scored, "higher")
        found["brier"] = mean(totals[Total.BRIER], totals[Total.BRIER_SQUARE], scored, "higher")
        found["ece"] = _calibration_error(totals, net, scored)
    return found


def confusion(net: Net) -> Int64s:
    """Predicted by actual, int64 (WIDTH, WIDTH); the last place is that of other classes."""
    return net.between(CONFUSION, SCORED).dense(WIDTH * WIDTH).reshape(WIDTH, WIDTH)


def _binary(matrix: Int64s) -> dict[str, Figure]:
    (true_negative, false_negative), (false_positive, true_positive) = (
        matrix[side, [NEGATIVE, POSITIVE]].tolist() for side in (NEGATIVE, POSITIVE)
    )
    return {
        "precision": share(true_positive, true_positive + false_positive, "lower"),
        "recall": share(true_positive, true_positive + false_negative, "lower"),
        "f1": f1(true_positive, true_positive + false_positive + false_negative, "lower"),
        "false_positive_rate": share(false_positive, false_positive + true_negative, "higher"),
        "negative_predictive_value": share(true_negative, true_negative + false_negative, "lower"),
    }


def _multiclass(matrix: Int64s, classes: Sequence[str], accuracy: Figure) -> dict[str, Figure]:
    found = {}
    right, told, true = matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), matrix.sum(axis=0).tolist()
    there = [place for place in range(len(classes)) if told[place] + true[place] > 0]
    by_class: dict[str, list[Figure]] = {
        "precision": [share(right[place], told[place], "lower") for place in there],
        "recall": [share(right[place], true[place], "lower") for place in there],
        "f1": [f1(right[place], told[place] + true[place] - right[place], "lower") for place in there],
    }
    support = sum(true[place] for place in there)
    for name, mine in by_class.items():
        found.update({f"{name}.{classes[place]}": one for place, one in zip(there, mine, strict=True)})
        # Recalls are of different labels, precisions of different predictions; an F1 shares both with others.
        found[f"{name}_macro"] = macro(mine, support, independent=name != "f1")
        found[f"{name}_micro"] = accuracy
        weighted = [(one.value or 0.0) * true[place] for place, one in zip(there, mine, strict=True)]
        value = sum(weighted) / support if support > 0 else None
        found[f"{name}_weighted"] = Figure(value, max(support, 0), "lower")
    return found


def curves(net: Net, classes: Sequence[str] | None) -> dict[str, Figure]:
    """ROC AUC and average precision; of each class that has labels against the others, and their mean."""
    if len(net.between(SCORED, CALIBRATION)) == 0:
        return {}
    if classes is None:
        positives, negatives = (table[POSITIVE] for table in histograms(net, 2))
        return {
            "roc_auc": roc_auc(positives, negatives),
            "average_precision": average_precision(positives, negatives),
        }
    found: dict[str, Figure] = {}
    all_tables = zip(classes, *histograms(net, len(classes)), strict=True)
    tables = [table for table in all_tables if table[1].any()]
    for name, curve in (("roc_auc", roc_auc), ("average_precision", average_precision)):
        mine = {f"{name}.{one}": curve(positives, negatives) for one, positives, negatives in tables}
        found.update(mine)
        found[f"{name}_macro"] = _macro([figure for figure in mine.values() if figure.value is not None])
    return found


def _macro(figures: Sequence[Figure]) -> Figure:
    if not figures:
        return Figure(None, 0, "lower")
    sides = ([one.value for one in figures], [one.low for one in figures], [one.high for one in figures])
    value, low, high = (sum(side or 0.0 for side in part) / len(figures) for part in sides)
    return Figure(value, max(one.n for one in figures), "lower", None, low, high)


def calibration(totals: Sequence[int], net: Net) -> tuple[Int64s, Int64s, Float64s]:
    """By bins of confidence of equal width: pairs, how many were right, and mean confidence (NaN: none).

    Binary: the score, against being positive. Multiclass: the score of the predicted class, against being it.
    """
    table = net.between(CALIBRATION, SCORES).dense(2 * CALIBRATION_BINS).reshape(-1, 2)
    n, right = table.sum(axis=1), table[:, 1]
    sums = np.array([to_float(total) for total in totals[Total.CONFIDENCE :]])
    return n, right, np.divide(sums, n, out=np.full(CALIBRATION_BINS, np.nan), where=n > 0)


def _calibration_error(totals: Sequence[int], net: Net, scored: int) -> Figure:
    """Expected calibration error (Naeini, Cooper, Hauskrecht 2015)."""
    n, right, confidence = calibration(totals, net)
    full = n > 0
    apart = np.abs(confidence[full] * n[full] - right[full])
    return Figure(float(apart.sum()) / scored, scored, "higher")

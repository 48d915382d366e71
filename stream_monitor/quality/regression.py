"""Errors of numbers: prediction less label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality.columns import Coded, Numbers
from stream_monitor.quality.exact import UNIT_EXPONENT, bounded, squares
from stream_monitor.quality.figures import Figure, error_of_mean, mean, quotient, ratio, share, spread
from stream_monitor.quality.tally import Emissions, Net
from stream_monitor.summary.codes import BINS, bins_of, fine_codes

if TYPE_CHECKING:
    from stream_monitor.config import Quality

SIZE = BINS
"""The tally of regression: bins of signed percentage errors."""


class Total(IntEnum):
    """What is summed. NONZERO: labels other than 0. LIMITED: pairs where errors ABOVE a limit are counted."""

    N = 0
    NONZERO = 1
    LIMITED = 2
    ABOVE = 3
    ERROR = 4
    ABSOLUTE = 5
    SQUARE = 6
    FOURTH_POWER = 7
    PERCENTAGE = 8
    PERCENTAGE_SQUARE = 9
    LABEL = 10
    LABEL_SQUARE = 11


COUNTS = Total.ERROR
"""The totals before it are counts, the others exact sums."""


def numbers(values: Sequence[Any]) -> Float64s:
    """float64 (n,), NaN where a value cannot be used."""
    if isinstance(values, Numbers):
        return values.numbers
    if isinstance(values, Coded):
        return numbers(values.values)[values.code]
    return np.array([value if type(value) is float else math.nan for value in values], np.float64)


def errors_of(predictions: Float64s, labels: Float64s) -> tuple[Float64s, Float64s]:
    """Errors, and errors in percent of the size of the label (NaN where that is 0). Never infinite."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        errors = bounded(predictions - labels)
        percentages = bounded(100.0 * (errors / np.abs(labels)))
    percentages[labels == 0] = math.nan
    return errors, percentages


def measure(
    quality: Quality, predictions: Float64s, labels: Float64s, emissions: Emissions
) -> tuple[list[tuple[int, ...]], list[Net]]:
    """The totals and the tally of each group; every pair can be used."""
    errors, percentages = errors_of(predictions, labels)
    with np.errstate(over="ignore"):
        square = bounded(errors * errors)
        fourth = bounded(square * square)
        share_square = bounded(percentages * percentages)
    nonzero = np.flatnonzero(labels != 0)
    percentages, of_nonzero = percentages[nonzero], emissions.take(nonzero)
    label_square, rest = squares(labels)
    none = [0] * emissions.groups
    limit = quality.error_max
    columns = [
        emissions.count(),
        of_nonzero.count(),
        none if limit is None else emissions.count(),
        none if limit is None else emissions.take(np.abs(errors) > limit).count(),
        emissions.sum(errors),
        emissions.sum(np.abs(errors)),
        emissions.sum(square),
        emissions.sum(fourth),
        of_nonzero.sum(np.abs(percentages)),
        of_nonzero.sum(share_square[nonzero]),
        emissions.sum(labels),
        [one + more for one, more in zip(emissions.sum(label_square), emissions.sum(rest), strict=True)],
    ]
    bins = bins_of(fine_codes(percentages)).astype(np.int64)
    return list(zip(*columns, strict=True)), emissions.tally([bins], [nonzero], SIZE)


def figures(totals: Sequence[int]) -> dict[str, Figure]:
    """By name. Percentages are of the size of the label, over labels other than 0."""
    n, nonzero, limited = totals[Total.N], totals[Total.NONZERO], totals[Total.LIMITED]
    found = {
        "mae": mean(totals[Total.ABSOLUTE], totals[Total.SQUARE], n, "higher"),
        "rmse": _rmse(totals[Total.SQUARE], totals[Total.FOURTH_POWER], n),
        "mean_error": mean(totals[Total.ERROR], totals[Total.SQUARE], n, "farther"),
        "mape": mean(totals[Total.PERCENTAGE], totals[Total.PERCENTAGE_SQUARE], nonzero, "higher"),
        "r2": _r2(totals, n),
    }
    if limited:
        found["above"] = share(totals[Total.ABOVE], limited, "higher")
    return found


def _rmse(square: int, fourth: int, n: int) -> Figure:
    if n <= 0:
        return Figure(None, max(n, 0), "higher")
    value = math.sqrt(max(ratio(square, n), 0.0))
    error = error_of_mean(square, fourth, n)
    # By the delta method, from the error of the mean square.
    known = error is not None and math.isfinite(error) and 0 < value < math.inf
    return Figure(value, n, "higher", error / (2 * value) if known and error is not None else None)


def _r2(totals: Sequence[int], n: int) -> Figure:
    around = spread(totals[Total.LABEL], totals[Total.LABEL_SQUARE], n) if n > 0 else 0
    if around <= 0:
        return Figure(None, max(n, 0), "lower")
    unexplained = (n * totals[Total.SQUARE]) << -UNIT_EXPONENT
    return Figure(quotient(around - unexplained, around), n, "lower")


def percentage_errors(net: Net) -> tuple[Int64s, Int64s]:
    """The bins (see summary.codes) of signed percentage errors that have any, and how many."""
    return net.keys, net.counts

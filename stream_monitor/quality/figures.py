"""The figures of quality, from exact sums and counts: the only place of this room where rounding begins.

Where pairs were lost (their deltas were, or were of another form) more may be taken back than had come. Then
figures are wrong, as any would be, but they are numbers or None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stream_monitor.quality.exact import UNIT_EXPONENT

Worse = Literal["higher", "lower", "farther"]
"""Which way is worse; "farther": from zero."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure of ``n`` pairs; ``value`` is None where it is not defined.

    ``low`` and ``high``: the value that the pairs themselves give is between them (None: it is ``value``).
    ``standard_error``: of independent pairs (None: not known).
    """

    value: float | None
    n: int
    worse: Worse
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None


def mean(total: int, squares: int | None, n: int, worse: Worse) -> Figure:
    """Of n values, by the exact sums of them and of their squares."""
    if n <= 0:
        return Figure(None, max(n, 0), worse)
    return Figure(ratio(total, n), n, worse, None if squares is None else error_of_mean(total, squares, n))


def ratio(total: int, n: int) -> float:
    """An exact sum by a number."""
    return quotient(total, n << -UNIT_EXPONENT)


def quotient(over: int, under: int) -> float:
    """Of integers of any size; infinite where float64 ends, as only damaged bytes can have it."""
    try:
        return over / under
    except OverflowError:
        return math.inf if over > 0 else -math.inf


def error_of_mean(total: int, squares: int, n: int) -> float | None:
    """The standard error of a mean; None of a single value."""
    if n < 2:
        return None
    variance = quotient(max(spread(total, squares, n), 0), n * n * (n - 1) << 2 * -UNIT_EXPONENT)
    return math.sqrt(variance)


def spread(total: int, squares: int, n: int) -> int:
    """n times the sum of squared deviations from the mean, in units of 2^-2148: no digit is lost."""
    return n * (squares << -UNIT_EXPONENT) - total * total


def share(count: int, n: int, worse: Worse) -> Figure:
    """A share of n, with its binomial standard error."""
    if n <= 0:
        return Figure(None, max(n, 0), worse)
    value = count / n
    return Figure(value, n, worse, math.sqrt(max(value * (1 - value), 0.0) / n))


def f1(both: int, either: int, worse: Worse) -> Figure:
    """Of ``both`` predicted and true, of ``either`` predicted or true.

    F1 = 2 J / (1 + J) of the share J = both / either, and so is its standard error (delta method).
    """
    jaccard = share(both, either, worse)
    if jaccard.value is None or jaccard.standard_error is None:
        return jaccard
    value = 2 * jaccard.value / (1 + jaccard.value)
    return Figure(value, either, worse, 2 * jaccard.standard_error / (1 + jaccard.value) ** 2)


def macro(figures: list[Figure], n: int, *, independent: bool) -> Figure:
    """The mean over classes. Its standard error is known only where the classes' own are independent."""
    values = [figure.value or 0.0 for figure in figures]
    if not values:
        return Figure(None, max(n, 0), "lower")
    errors = [figure.standard_error or 0.0 for figure in figures]
    error = math.sqrt(sum(one * one for one in errors)) / len(errors) if independent else None
    return Figure(math.fsum(values) / len(values), n, "lower", error)

"""Measures of one output: what its pairs of prediction and label add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stream_monitor.events import Float64s, Int64s
from stream_monitor.quality import classes as of_classes
from stream_monitor.quality import classification, regression
from stream_monitor.quality.figures import Figure
from stream_monitor.quality.judging import judge
from stream_monitor.quality.tally import Emissions, Net

if TYPE_CHECKING:
    from stream_monitor.config import Quality

Task = Literal["regression", "binary", "multiclass"]

OTHER_CLASS = "*other*"


@dataclass(frozen=True, slots=True)
class Measures:
    """Integers only, so adding is associative, commutative, and exact: the same for any order and any cut.

    A pair that is taken back leaves all figures as they were before it came. (It may leave its class among
    the ``classes``: where more than CLASSES_MAX are seen, that can put another one among the "other".)
    ``totals`` are the sums that the task names (regression.Total, classes.Total), ``net`` its tally.
    Memory: 10 kB of totals and 16 bytes a used bin, at most 480,000 of them (64 classes with scores).
    """

    task: Task
    named: bool
    classes: tuple[str, ...]
    totals: tuple[int, ...]
    net: Net

    @classmethod
    def empty(cls, quality: Quality) -> Measures:
        """The identity of ``+``."""
        named = quality.task == "multiclass" and quality.classes is not None
        classes = tuple(sorted(quality.classes or ())) if named else ()
        return cls(quality.task, named, classes, (0,) * totals_of(quality.task), Net())

    def fits(self, quality: Quality) -> bool:
        """Whether they are of the form that this asks for."""
        asked = self.empty(quality)
        same = (self.task, self.named) == (asked.task, asked.named)
        return same and (not self.named or self.classes == asked.classes)

    @property
    def n(self) -> int:
        """Pairs of which both sides could be used."""
        return self.totals[0]

    @property
    def is_empty(self) -> bool:
        return not any(self.totals) and not len(self.net) and (self.named or not self.classes)

    def __add__(self, other: Measures) -> Measures:
        """Raises ValueError where the two are not of one form."""
        if (self.task, self.named) != (other.task, other.named):
            raise ValueError(f"expected measures of a {self.task}, got those of a {other.task}")
        totals = tuple(one + more for one, more in zip(self.totals, other.totals, strict=True))
        mine, theirs, classes = self.net, other.net, self.classes
        if classes != other.classes:
            if self.named:
                raise ValueError(f"expected measures of the classes {classes}, got {other.classes}")
            classes = of_classes.kept_of({*classes, *other.classes})
            mine = of_classes.moved(mine, self.classes, classes)
            theirs = of_classes.moved(theirs, other.classes, classes)
        return Measures(self.task, self.named, classes, totals, mine + theirs)

    def figures(self) -> dict[str, Figure]:
        """All figures by name: "mae", "accuracy", "recall.CLASS", "f1_macro", "roc_auc", ..."""
        if self.task == "regression":
            return regression.figures(self.totals)
        known = self._known_classes
        found = classification.figures(self.totals, self.net, known)
        return {**found, **classification.curves(self.net, known)}

    def figure(self, name: str) -> Figure | None:
        """One figure; without the cost of the others where those are the costly ones."""
        if self.task == "regression" or name.startswith(classification.CURVES):
            return self.figures().get(name)
        return classification.figures(self.totals, self.net, self._known_classes).get(name)

    @property
    def _known_classes(self) -> tuple[str, ...] | None:
        return None if self.task == "binary" else self.classes

    def confusion(self) -> tuple[tuple[str, ...], Int64s]:
        """Names, and predicted by actual, int64 (n, n); the last may be OTHER_CLASS."""
        if self.task == "regression":
            raise ValueError("expected measures of a classification, got those of a regression")
        matrix = classification.confusion(self.net)
        if self.task == "binary":
            return ("negative", "positive"), matrix[:2, :2]
        places = [*range(len(self.classes))]
        names = self.classes
        if matrix[of_classes.OTHER].any() or matrix[:, of_classes.OTHER].any():
            places, names = [*places, of_classes.OTHER], (*names, OTHER_CLASS)
        return names, matrix[np.ix_(places, places)]

    def calibration(self) -> tuple[Int64s, Int64s, Float64s]:
        """See classification.calibration."""
        if self.task == "regression":
            raise ValueError("expected measures of a classification, got those of a regression")
        return classification.calibration(self.totals, self.net)

    def percentage_errors(self) -> tuple[Int64s, Int64s]:
        """See regression.percentage_errors."""
        if self.task != "regression":
            raise ValueError(f"expected measures of a regression, got those of a {self.task}")
        return regression.percentage_errors(self.net)


def totals_of(task: Task) -> int:
    """How many totals a task has."""
    return len(regression.Total) if task == "regression" else of_classes.TOTALS


def size_of(task: Task) -> int:
    """How many keys its tally has."""
    return regression.SIZE if task == "regression" else of_classes.SIZE


def measure(
    quality: Quality, inputs: Sequence[Any], labels: Sequence[Any], emissions: Emissions
) -> tuple[list[Measures], Int64s]:
    """The measures of each group, and the rows of the pairs of which both sides could be used."""
    empty = Measures.empty(quality)
    if quality.task == "regression":
        predictions, actual = regression.numbers(inputs), regression.numbers(labels)
        rows = np.flatnonzero(~(np.isnan(predictions) | np.isnan(actual)))
        totals, nets = regression.measure(quality, predictions[rows], actual[rows], emissions.take(rows))
        classes = [empty.classes] * emissions.groups
    else:
        judged = judge(quality, inputs, labels)
        rows = judged.rows
        totals, nets, classes = of_classes.measure(quality, judged, emissions.take(rows))
    parts = zip(classes, totals, nets, strict=True)
    return [Measures(empty.task, empty.named, *part) for part in parts], rows

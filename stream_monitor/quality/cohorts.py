"""Quality by the time of the prediction: cohorts, amended as labels come in, are corrected or withdrawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from stream_monitor.events import Int64s
from stream_monitor.quality import wire
from stream_monitor.quality.columns import output_of
from stream_monitor.quality.measures import Measures, measure
from stream_monitor.quality.tally import Emissions
from stream_monitor.quality.values import Inputs, Labels

if TYPE_CHECKING:
    from stream_monitor.config import Quality

BYTES_MAX = 900_000
"""The longest part that a Kafka record may hold."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Predictions of one time. Those that can be joined, those that have a label now (``labeled``), and those
    of these of which an output has no usable label or prediction. ``measures`` by output, none of them empty.
    """

    predictions: int = 0
    labeled: int = 0
    unusable: int = 0
    measures: Mapping[str, Measures] = field(default_factory=dict)

    def __add__(self, other: Cohort) -> Cohort:
        measures = dict(self.measures)
        for name, more in other.measures.items():
            measures[name] = measures[name] + more if name in measures else more
        return Cohort(
            self.predictions + other.predictions,
            self.labeled + other.labeled,
            self.unusable + other.unusable,
            {name: one for name, one in measures.items() if not one.is_empty},
        )

    @property
    def is_empty(self) -> bool:
        return not (self.predictions or self.labeled or self.unusable or self.measures)


class Cohorts(dict[int, Cohort]):
    """Cohorts by their start (epoch ms); none that are empty. Adding is exact, associative and commutative.

    >>> one = Cohorts({0: Cohort(predictions=2)})
    >>> (one + Cohorts({0: Cohort(labeled=1)}))[0]
    Cohort(predictions=2, labeled=1, unusable=0, measures={})
    """

    def __add__(self, other: Mapping[int, Cohort]) -> Self:
        total = type(self)(self)
        total.merge(other)
        return total

    def merge(self, other: Mapping[int, Cohort]) -> None:
        """Add all cohorts of another."""
        for start, more in other.items():
            mine = self.get(start)
            cohort = more if mine is None else mine + more
            if not cohort.is_empty:
                self[start] = cohort
            elif mine is not None:
                del self[start]

    def total(self) -> Cohort:
        """All of them as one."""
        return sum(self.values(), Cohort())

    @classmethod
    def holding(cls, measures: Mapping[str, Measures]) -> Self:
        """These measures alone, to be written: one cohort, at 0."""
        cohorts = cls()
        cohorts.merge({0: Cohort() + Cohort(measures=measures)})
        return cohorts

    def to_bytes(self) -> bytes:
        """Equal cohorts give equal bytes."""
        return wire.encode(wire.Form([_write(start, cohort) for start, cohort in sorted(self.items())]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises FormatError where the bytes are damaged, or of a later version."""
        cohorts = cls()
        cohorts.merge(dict(_read(form) for form in wire.decode(data).cohorts))
        return cohorts

    def split(self, max_bytes: int = BYTES_MAX) -> list[tuple[Self, bytes]]:
        """Parts that add up to this, each with its bytes, none longer than ``max_bytes``.

        At least wire.PART_BYTES_MIN: what cannot be divided is shorter than that.
        """
        assert max_bytes >= wire.PART_BYTES_MIN, max_bytes
        data = self.to_bytes()
        if len(data) <= max_bytes:
            return [(self, data)]
        return [part for half in self._halves() for part in half.split(max_bytes)]

    def _halves(self) -> Iterator[Self]:
        starts = sorted(self)
        if len(starts) > 1:
            middle = len(starts) // 2
            for mine in (starts[:middle], starts[middle:]):
                yield type(self)({start: self[start] for start in mine})
        else:
            for half in _halves_of(self[starts[0]]):
                yield type(self)({starts[0]: half})


def _halves_of(cohort: Cohort) -> tuple[Cohort, Cohort]:
    names = sorted(cohort.measures)
    if len(names) > 1:
        first, second = (
            {name: cohort.measures[name] for name in mine}
            for mine in (names[: len(names) // 2], names[len(names) // 2 :])
        )
    else:
        ((name, one),) = cohort.measures.items()
        low, high = one.net.halves()
        none = (0,) * len(one.totals)
        first = {name: Measures(one.task, one.named, one.classes, one.totals, low)}
        second = {name: Measures(one.task, one.named, one.classes, none, high)}
    return Cohort(cohort.predictions, cohort.labeled, cohort.unusable, first), Cohort(measures=second)


def _write(start: int, cohort: Cohort) -> wire.CohortForm:
    measures = [
        wire.write(name, one.task, one.classes, one.totals, one.net, named=one.named)
        for name, one in sorted(cohort.measures.items())
    ]
    return wire.CohortForm(start, cohort.predictions, cohort.labeled, cohort.unusable, measures)


def _read(form: wire.CohortForm) -> tuple[int, Cohort]:
    measures = {}
    for one in form.measures:
        totals, net = wire.read(one)
        measures[one.name] = Measures(one.task, one.named, tuple(one.classes), totals, net)
    return form.start, Cohort() + Cohort(form.predictions, form.labeled, form.unusable, measures)


def cohorts_of(
    quality: Mapping[str, Quality],
    cohort: Int64s,
    inputs: Sequence[Inputs],
    labels: Sequence[Labels],
    signs: Int64s,
) -> Cohorts:
    """What n pairs change that come (sign 1) or are taken back (-1); pair i is of the cohort ``cohort[i]``.

    Cost, for each output: 0.2 us (regression) or 0.4 us (binary) a pair, 0.5 us for each score of a class,
    and 30 us a cohort.
    """
    if len(cohort) == 0:
        return Cohorts()
    starts, group = np.unique(cohort, return_inverse=True)
    emissions = Emissions(signs, group, len(starts))
    usable = np.ones(len(cohort), np.bool_)
    by_output: list[tuple[str, list[Measures]]] = []
    for place, (name, one) in enumerate(sorted(quality.items())):
        mine = (output_of(inputs, place), output_of(labels, place))
        measures, rows = measure(one, *mine, emissions)
        here = np.zeros(len(cohort), np.bool_)
        here[rows] = True
        usable &= here
        by_output.append((name, measures))
    labeled, unusable = emissions.count(), emissions.take(~usable).count()
    found = {
        start: Cohort(0, labeled[at], unusable[at], {name: each[at] for name, each in by_output})
        for at, start in enumerate(starts.tolist())
    }
    return Cohorts() + {start: Cohort() + one for start, one in found.items()}


def predictions_of(cohort: Int64s) -> Cohorts:
    """Of n predictions that can be joined, each of the cohort that starts at ``cohort[i]``."""
    starts, counts = np.unique(cohort, return_counts=True)
    pairs = zip(starts.tolist(), counts.tolist(), strict=True)
    return Cohorts({start: Cohort(predictions=count) for start, count in pairs})

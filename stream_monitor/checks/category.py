"""Drift of categories: the share of each of the reference's largest, of the others, and of the unseen.

Each share is a score of its own. (A mean surprise would be blind to a change among equally likely ones.)
Where the configuration lists a signal's values, the unseen are told by the check on range instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from stream_monitor.checks.base import Observations, Score, Unit, rates
from stream_monitor.reference import Kind, Reference

if TYPE_CHECKING:
    from stream_monitor.config import MinEffect, Signal
    from stream_monitor.summary.summary import Summary

LARGEST = 10
OTHER = "(other)"
UNSEEN = "(unseen)"
NOWHERE = -1


class CategoryMeasure:
    """Scores of all categorical signals. Cost: one look-up per distinct value of the slice."""

    def __init__(self, reference: Reference, min_effect: MinEffect, listed: Collection[str]) -> None:
        self._listed = listed
        self._places: dict[str, tuple[dict[str, int], int]] = {}
        self.scores: list[Score] = []
        for signal in sorted(reference.kinds):
            if reference.kinds[signal] is Kind.CATEGORY:
                self._add(signal, reference.summary, min_effect)
        self._of_score = [score.signal for score in self.scores]

    def _add(self, signal: str, reference: Summary, min_effect: MinEffect) -> None:
        values = reference.values.get(signal, {})
        names = sorted(values, key=lambda text: (-values[text], text))
        first, largest = len(self.scores), names[:LARGEST]
        self.scores += [
            Score("drift", signal, f"share of {name!r}", Unit.SHARE, min_effect.share) for name in largest
        ]
        complete = sum(values.values()) == reference.texts_total(signal)
        other = unseen = NOWHERE
        if len(names) > LARGEST or not complete:
            other = len(self.scores)
            self.scores.append(Score("drift", signal, f"share of {OTHER}", Unit.SHARE, min_effect.share))
        if not complete:
            unseen = other
        elif signal not in self._listed:
            unseen = len(self.scores)
            self.scores.append(Score("unseen", signal, f"share of {UNSEEN}", Unit.SHARE, min_effect.rate))
        places = {name: first + position for position, name in enumerate(largest)}
        places.update(dict.fromkeys(names[LARGEST:], other))
        self._places[signal] = (places, unseen)

    def measure(self, summary: Summary) -> Observations:
        hits = [0] * len(self.scores)
        totals = dict(zip(summary.signals, summary.texts.tolist(), strict=True))
        for signal, (places, unseen) in self._places.items():
            named, known = summary.named.get(signal), 0
            for text, count in named.counts.items() if named else ():
                if (place := places.get(text)) is not None:
                    hits[place] += count
                    known += count
            if unseen != NOWHERE:
                hits[unseen] += totals.get(signal, 0) - known
        n = [totals.get(signal, 0) for signal in self._of_score]
        return rates(np.array(hits, np.float64), np.array(n, np.float64))


class Category:
    """Data drift of categorical features, prediction drift of classes, and categories never seen."""

    def __call__(
        self, reference: Reference, min_effect: MinEffect, declared: Mapping[str, Signal]
    ) -> CategoryMeasure:
        listed = {name for name, signal in declared.items() if signal.values is not None}
        return CategoryMeasure(reference, min_effect, listed)

"""How the false alarms that a signal may raise are divided among its scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stream_monitor.checks.base import Score
from stream_monitor.events import Float64s

DRIFT = 16.0
"""What drift weighs, each of the other checks being 1: what is missing or wrong is far from its rate at once,
and is found as soon with few false alarms as with many."""
LOCATION = 0.5
"""Of what drift gets. A shift is what is asked for first, and the one that river's detectors see."""

MOVEMENT = 0.05
"""Of all that a signal may raise, what changes of its movement get where they are watched: they are told when
they have lasted for a while, and no sooner for a greater part."""


def shares(scores: Sequence[Score]) -> Float64s:
    """Of the false alarms that a signal may raise, the part of each of its scores: (scores,), above 0.

    Those of one signal add up to 1, whatever else there is. Of drift the location, where there is one, has
    LOCATION; what is left of a check is shared equally. So a score that may raise ``alarms`` x share in a
    period of so many slices has the run length period / (alarms x share).

    >>> from stream_monitor.checks.base import Unit
    >>> names = ("location", "spread", "skew")
    >>> shares([Score("drift", "age", name, Unit.RANK, 0.0) for name in names]).tolist()
    [0.5, 0.25, 0.25]
    """
    of_check = Counter((score.signal, score.check) for score in scores)
    of_signal = dict.fromkeys((signal for signal, _ in of_check), 0.0)
    for signal, check in of_check:
        of_signal[signal] += _weight(check)
    located = {(score.signal, score.check) for score in scores if _is_location(score)}

    def share(score: Score) -> float:
        group = score.signal, score.check
        part, number = _weight(score.check) / of_signal[score.signal], of_check[group]
        if group not in located or number == 1:
            return part / number
        return part * (LOCATION if _is_location(score) else (1.0 - LOCATION) / (number - 1))

    return np.array([share(score) for score in scores], np.float64)


def _weight(check: str) -> float:
    return DRIFT if check == "drift" else 1.0


def _is_location(score: Score) -> bool:
    return score.check == "drift" and score.name == "location"

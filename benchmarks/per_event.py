"""What who monitors event by event does: river's ADWIN, PageHinkley and Var for each number of each event.

Imports nothing of the package: contenders run it in environments of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from river.drift import ADWIN, PageHinkley
from river.stats import Var

_MAKERS: tuple[Any, ...] = ADWIN, PageHinkley, Var


class PerEvent:
    """Categories and missing values are passed over, in favour of whoever runs this."""

    def __init__(self) -> None:
        self._watched: dict[str, tuple[Any, ...]] = {}
        self.detections = 0

    @property
    def signals(self) -> int:
        return len(self._watched)

    def update(self, event: Mapping[str, Any]) -> None:
        for name, value in chain(event["features"].items(), event["outputs"].items()):
            if type(value) is not float and type(value) is not int:
                continue
            if name not in self._watched:
                self._watched[name] = tuple(make() for make in _MAKERS)
            adwin, page_hinkley, variance = self._watched[name]
            adwin.update(value)
            page_hinkley.update(value)
            variance.update(value)
            self.detections += adwin.drift_detected or page_hinkley.drift_detected

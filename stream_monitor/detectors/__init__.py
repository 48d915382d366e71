"""Sequential detection of change over weighted slices, on many signals at once.

A detector is one file here, with one line in ``DETECTORS`` and its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_monitor.detectors.adwin import Adwin
from stream_monitor.detectors.base import Changes, Detector, Snapshot
from stream_monitor.detectors.page_hinkley import PageHinkley
from stream_monitor.errors import FormatError

DETECTORS: dict[str, type[Detector]] = {
    Adwin.NAME: Adwin,
    PageHinkley.NAME: PageHinkley,
}

__all__ = ["DETECTORS", "Adwin", "Changes", "Detector", "PageHinkley", "Snapshot", "make", "restore"]


def make(name: str, signals: int, params: Mapping[str, Any]) -> Detector:
    """A detector by its name, with its own parameters. Raises ValueError for a name or value it has not."""
    if name not in DETECTORS:
        message = f"detector: expected one of {sorted(DETECTORS)}, got {name!r}"
        raise ValueError(message)
    return DETECTORS[name](signals, **params)


def restore(snapshot: Snapshot) -> Detector:
    """The detector that made the snapshot. Raises FormatError."""
    name = snapshot.get("detector")
    if name not in DETECTORS:
        message = f"detector snapshot: expected one of {sorted(DETECTORS)}, got {name!r}"
        raise FormatError(message)
    return DETECTORS[name].restore(snapshot)

"""Sequential detection of change over weighted slices, on many signals at once.

A detector is one file here, with one line in ``DETECTORS`` and its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_monitor.detectors.adwin import Adwin
from stream_monitor.detectors.base import Changes, Detector, Snapshot
from stream_monitor.detectors.cusum import Cusum
from stream_monitor.detectors.eprocess import EProcess
from stream_monitor.detectors.ewma import Ewma
from stream_monitor.detectors.ks import Ks
from stream_monitor.detectors.page_hinkley import PageHinkley
from stream_monitor.detectors.river_adapter import River
from stream_monitor.detectors.scan import Scan
from stream_monitor.detectors.seasonal import Seasonal
from stream_monitor.errors import FormatError

DETECTORS: dict[str, type[Detector]] = {
    Adwin.NAME: Adwin,
    Cusum.NAME: Cusum,
    EProcess.NAME: EProcess,
    Ewma.NAME: Ewma,
    Ks.NAME: Ks,
    PageHinkley.NAME: PageHinkley,
    River.NAME: River,
    Scan.NAME: Scan,
    Seasonal.NAME: Seasonal,
}

__all__ = [
    "DETECTORS",
    "Adwin",
    "Changes",
    "Cusum",
    "Detector",
    "EProcess",
    "Ewma",
    "Ks",
    "PageHinkley",
    "River",
    "Scan",
    "Seasonal",
    "Snapshot",
    "make",
    "restore",
]


def make(name: str, signals: int, params: Mapping[str, Any]) -> Detector:
    """A detector by its name, ``drift.KSWIN`` and the like being river's, with its own parameters.

    Raises ValueError for a name, a parameter or a value that there is not.
    """
    if name.startswith("drift."):
        return River(signals, name=name, params=params)
    if name not in DETECTORS:
        raise ValueError(f"detector: expected one of {sorted(DETECTORS)} or a river class, got {name!r}")
    try:
        return DETECTORS[name](signals, **params)
    except TypeError as error:
        raise ValueError(f"detector {name}: {error}") from error


def restore(snapshot: Snapshot) -> Detector:
    """The detector that made the snapshot. Raises FormatError."""
    name = snapshot.get("detector")
    if name not in DETECTORS:
        raise FormatError(f"detector snapshot: expected one of {sorted(DETECTORS)}, got {name!r}")
    try:
        return DETECTORS[name].restore(snapshot)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"detector snapshot of {name}: {error!r}") from error

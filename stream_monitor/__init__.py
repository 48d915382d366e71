"""A streaming drift detector and model monitor on Kafka.

As a library, without Kafka:

    import stream_monitor as sm

    monitor = sm.Monitor("monitor.yaml")
    for records in sm.read("predictions.parquet"):
        for alert in monitor.update(records):
            print(alert.summary)
    for alert in monitor.close():
        print(alert.summary)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_monitor.alerting.alert import Alert
    from stream_monitor.config import load_config
    from stream_monitor.monitor import Monitor
    from stream_monitor.sources.files import read

__version__ = "0.1.0"

__all__ = ["Alert", "Monitor", "__version__", "load_config", "read"]

_HOMES = {
    "Alert": "stream_monitor.alerting.alert",
    "Monitor": "stream_monitor.monitor",
    "load_config": "stream_monitor.config",
    "read": "stream_monitor.sources.files",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: the command line starts without numpy."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(_HOMES[name]), name)

"""Named places where a test has the process killed, as a power cut would do it.

``STREAM_MONITOR_FAILPOINTS="observe.after_produce:3,decide.in_snapshot:1"`` sends SIGKILL to the process
at the third and the first time that it comes by. Unset, a place costs one look at an empty dict.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "STREAM_MONITOR_FAILPOINTS"
SOON_S = 0.004
"""About a quarter of a commit: a kill that soon falls into the middle of it."""


def parse(text: str) -> dict[str, int]:
    """How many more times each named place is passed before it kills.

    >>> parse("observe.after_produce:3,decide.in_snapshot:1")
    {'observe.after_produce': 3, 'decide.in_snapshot': 1}
    """
    pairs = (one.rsplit(":", 1) for one in text.split(",") if one)
    return {name: int(count) for name, count in pairs}


_left = parse(os.environ.get(VARIABLE, ""))


def hit(name: str) -> None:
    """Pass the place ``name``."""
    if _left and _due(name):
        _kill()


def hit_soon(name: str) -> None:
    """Pass the place ``name``; where it kills, it does so SOON_S later, while the caller goes on."""
    if _left and _due(name):
        threading.Timer(SOON_S, _kill).start()


def _due(name: str) -> bool:
    if name not in _left:
        return False
    _left[name] -= 1
    return _left[name] == 0


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

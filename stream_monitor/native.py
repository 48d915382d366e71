"""The compiled kernel: the hot loops of decoding and summarising, where it is installed.

An optional extra (``pip install ./native``): without the module ``stream_monitor_native`` every answer is as
it is with it, at a multiple of the cost. The same loops in Python are its oracle in the tests.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

FORM = 3
"""Of the module: one that speaks another is not used."""


@cache
def installed() -> ModuleType | None:
    """Give the module, None where it is missing or of another form."""
    module = _found()
    return module if module is not None and module.FORM == FORM else None


def said() -> str:
    """Which loops run: what an operator who wonders about speed wants to read."""
    module = _found()
    if module is None:
        return "not installed"
    if module.FORM == FORM:
        return "installed"
    return f"not used: expected form {FORM}, got {module.FORM}; install the one of this version"


def _found() -> ModuleType | None:
    try:
        return import_module("stream_monitor_native")
    except ImportError:
        return None

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
    try:
        module = import_module("stream_monitor_native")
    except ImportError:
        return None
    return module if module.FORM == FORM else None

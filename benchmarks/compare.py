"""The figures of two results of one section, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def ratios(earlier: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float | None]:
    """Now over earlier, of each figure that either has; None where one has none, or the earlier is 0.

    >>> ratios({"speed": 2.0, "old": 1.0}, {"speed": 3.0, "new": 1.0})
    {'new': None, 'old': None, 'speed': 1.5}
    """
    found: dict[str, float | None] = {}
    for name in sorted(earlier.keys() | now.keys()):
        both = name in earlier and name in now and earlier[name]
        found[name] = now[name] / earlier[name] if both else None
    return found


def show(before: Mapping[str, Any], after: Mapping[str, Any], console: Console) -> None:
    """The ratio of each figure; and what of the machine and the versions differs, for then it says little."""
    table = Table(title=f"{after['section']}: now / earlier")
    for heading in ("figure", "earlier", "now", "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, ratio in ratios(before["figures"], after["figures"]).items():
        said = "-" if ratio is None else f"{ratio:.3f}"
        table.add_row(name, _said(before["figures"].get(name)), _said(after["figures"].get(name)), said)
    console.print(table)
    for part in ("machine", "versions", "settings"):
        for name in sorted(before[part].keys() | after[part].keys()):
            was, is_now = before[part].get(name), after[part].get(name)
            if was != is_now:
                console.print(f"{part}.{name}: {was} then, {is_now} now", highlight=False)


def _said(value: Any) -> str:
    return "-" if value is None else f"{value:,.4g}"

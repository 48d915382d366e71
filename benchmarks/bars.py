"""A picture of figures side by side: bars with the range of their rounds. SVG, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from xml.sax.saxutils import escape

WIDTH, BAR, GAP = 820, 22, 12
LEFT, RIGHT, TOP = 150, 110, 64
COLOR, OURS = "#9db4c8", "#1b6ca8"
TEXT = 'font-family="sans-serif" font-size="13"'


@dataclass(frozen=True, slots=True)
class Bar:
    """``values``: one a round, none below 0. ``ours``: drawn in another color."""

    name: str
    values: Sequence[float]
    ours: bool = False


def picture(title: str, below: str, bars: Sequence[Bar]) -> str:
    """The SVG: from the largest median to the smallest, with a line from least to largest value each."""
    bars = sorted(bars, key=lambda bar: -median(bar.values))
    highest = max((max(bar.values) for bar in bars), default=1.0) or 1.0
    height = TOP + len(bars) * (BAR + GAP) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {TEXT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="20" y="26" font-size="16">{escape(title)}</text>',
        f'<text x="20" y="46" fill="#666">{escape(below)}</text>',
    ]
    scale = (WIDTH - LEFT - RIGHT) / highest
    for number, bar in enumerate(bars):
        parts += _bar(bar, TOP + number * (BAR + GAP), scale)
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, top: float, scale: float) -> list[str]:
    middle, value = top + BAR / 2, median(bar.values)
    color = OURS if bar.ours else COLOR
    least, most = LEFT + scale * min(bar.values), LEFT + scale * max(bar.values)
    return [
        f'<text x="{LEFT - 8}" y="{middle + 5}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{scale * value:.1f}" height="{BAR}" fill="{color}"/>',
        f'<path d="M{least:.1f} {middle}H{most:.1f}" stroke="#333"/>',
        f'<text x="{most + 8:.1f}" y="{middle + 5}">{value:,.0f}</text>',
    ]

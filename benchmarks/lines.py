"""A picture of series over time: one panel below the other, each with its own scale. SVG, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from xml.sax.saxutils import escape

WIDTH, PANEL, GAP = 920, 110, 40
LEFT, RIGHT, TOP = 80, 160, 56
COLORS = ("#1b6ca8", "#c8553d", "#4a8f4a", "#8a5fa8")
TEXT = 'font-family="sans-serif" font-size="12"'


@dataclass(frozen=True, slots=True)
class Panel:
    """``series`` by name, each as long as the times; NaN where there is nothing. ``says``: its verdict."""

    title: str
    series: Mapping[str, Sequence[float]]
    says: str = ""


def picture(title: str, times_s: Sequence[float], panels: Sequence[Panel], from_s: float) -> str:
    """The SVG. What lies before ``from_s`` is shaded: it is not judged, nor does it set the scale."""
    height = TOP + len(panels) * (PANEL + GAP) + 10
    end_s = max(times_s, default=0.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {TEXT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, times_s, end_s, from_s, TOP + number * (PANEL + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, times_s: Sequence[float], end_s: float, from_s: float, top: float) -> list[str]:
    high = max(_judged(panel, times_s, from_s), default=0.0) * 1.2 or 1.0
    wide, bottom, beside = WIDTH - LEFT - RIGHT, top + PANEL, WIDTH - RIGHT + 10

    def x(time_s: float) -> float:
        return LEFT + wide * time_s / end_s

    parts = [
        f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{top - 6}" text-anchor="end" fill="#666">{escape(panel.says)}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{x(from_s) - LEFT:.1f}" height="{PANEL}" fill="#eee"/>',
        f'<path d="M{LEFT} {top}V{bottom}H{LEFT + wide}" fill="none" stroke="#999"/>',
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{high:,.4g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{LEFT + wide}" y="{bottom + 14}" text-anchor="end">{end_s / 60:.0f} min</text>',
    ]
    for number, (name, series) in enumerate(panel.series.items()):
        color = COLORS[number % len(COLORS)]
        points = [
            f"{x(time_s):.1f},{bottom - PANEL * min(value / high, 1):.1f}"
            for time_s, value in zip(times_s, series, strict=True)
            if not isnan(value)
        ]
        parts += [
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}"/>',
            f'<text x="{beside}" y="{top + 14 + 16 * number}" fill="{color}">{escape(name)}</text>',
        ]
    return parts


def _judged(panel: Panel, times_s: Sequence[float], from_s: float) -> list[float]:
    return [
        value
        for series in panel.series.values()
        for time_s, value in zip(times_s, series, strict=True)
        if time_s >= from_s and not isnan(value)
    ]

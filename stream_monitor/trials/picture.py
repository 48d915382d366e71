"""Verdicts as a picture: a lane a configuration, incidents as bands, alerts as marks. SVG, by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from stream_monitor.config.values import DAY_MS, UNITS_MS
from stream_monitor.trials.report import moment, short_duration
from stream_monitor.trials.verdict import PAGE, History, Met, Told, Verdict

WIDTH, LEFT, RIGHT = 1_000, 170, 30
TOP, LANE, GAP, LINE = 104, 60, 8, 18
BAND_MIN = 3.0
NAME_CHARS_MAX = 24
TICKS_MAX = 8
COLUMN, ROW, ROWS = 8, 9, (0, -1, 1, -2, 2)
"""Marks that come at one time stand above each other."""

_STEPS_MS = [
    *(seconds * 1_000 for seconds in (1, 5, 15)),
    *(minutes * UNITS_MS["m"] for minutes in (1, 5, 15)),
    *(hours * UNITS_MS["h"] for hours in (1, 3, 6, 12)),
    *(days * DAY_MS for days in (1, 2, 7, 14, 28, 91, 182, 364)),
]
# Its own ground under it, so that it reads on any page; the colours tell apart what shapes tell apart, too.
_STYLE = """
svg { font: 13px sans-serif; }
.ground { fill: #fff; } text { fill: #24292f; } .faint { fill: #656d76; }
.lane { fill: #f3f4f6; } .axis { stroke: #b6bcc4; }
.band { fill: #f5c26b; fill-opacity: .55; } .missed { fill: none; stroke: #b35900; stroke-dasharray: 4 3; }
.found { fill: #0b6e4f; stroke: #0b6e4f; } .more { fill: none; stroke: #0b6e4f; stroke-width: 1.6; }
.page { stroke: #c1121f; stroke-width: 2; } .ticket { stroke: #8a929b; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } text { fill: #e6edf3; } .faint { fill: #9198a1; }
  .lane { fill: #1b2129; } .axis { stroke: #4b535d; }
  .band { fill: #9e6a03; fill-opacity: .6; } .missed { stroke: #f0a04b; }
  .found { fill: #3fb98a; stroke: #3fb98a; } .more { stroke: #3fb98a; } .page { stroke: #ff6b6b; }
}
"""
_CROSS = "M{left:.1f} {top:.1f}l7 7m0 -7l-7 7"


def picture(source: str, verdicts: Sequence[Verdict]) -> str:
    """The SVG, self-contained. Every mark and band says what it is when it is pointed at."""
    history, met = verdicts[0].history, verdicts[0].met
    read = f"{history.events:,} events in {short_duration(history.length_ms)}"
    bottom = TOP + len(verdicts) * (LANE + GAP)
    height = bottom + 40 + (len(met) + 1) * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(_said(verdicts))}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text x="20" y="28" font-size="17">{escape(source)}</text>',
        f'<text class="faint" x="20" y="48">{read}</text>',
        *_legend(),
    ]
    for number, verdict in enumerate(verdicts):
        parts += _lane(verdict, TOP + number * (LANE + GAP))
    parts += _numbers(history, met)
    parts += _axis(history, bottom)
    parts += _incidents(met, bottom + 40)
    return "\n".join([*parts, "</svg>", ""])


def _said(verdicts: Sequence[Verdict]) -> str:
    return "; ".join(
        f"{one.name}: {len(one.found)} of {len(one.met)} incidents found, {len(one.false_pages)} false pages"
        for one in verdicts
    )


def _x(history: History, time_ms: int) -> float:
    span = max(history.last - history.first, 1)
    share = (time_ms - history.first) / span
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)


def _legend() -> Iterator[str]:
    marks = (
        ('<circle class="found" cx="{x}" cy="70" r="4"/>', "found it"),
        ('<circle class="more" cx="{x}" cy="70" r="4"/>', "told more of it"),
        (f'<path class="page" d="{_CROSS}"/>', "false page"),
        (f'<path class="ticket" d="{_CROSS}"/>', "false ticket"),
        ('<rect class="band" x="{left}" y="62" width="16" height="16"/>', "incident"),
        ('<rect class="missed" x="{left}" y="62" width="16" height="16"/>', "missed"),
    )
    for number, (mark, name) in enumerate(marks):
        x = LEFT + number * 128
        yield mark.format(x=x, left=x - 3.5, top=66.5)
        yield f'<text class="faint" x="{x + 18}" y="75">{name}</text>'


def _lane(verdict: Verdict, top: int) -> Iterator[str]:
    name = verdict.name
    if len(name) > NAME_CHARS_MAX:
        name = f"...{name[3 - NAME_CHARS_MAX :]}"
    a_week = verdict.false_pages_a_week
    rate = "" if a_week is None else f" ({a_week:.2g} a week)"
    yield f'<text x="{LEFT - 12}" y="{top + 20}" text-anchor="end">{escape(name)}</text>'
    for line, said in enumerate(
        (f"{len(verdict.found)} of {len(verdict.met)} found", f"{len(verdict.false_pages)} false{rate}")
    ):
        y = top + 37 + 16 * line
        yield f'<text class="faint" font-size="12" x="{LEFT - 12}" y="{y}" text-anchor="end">{said}</text>'
    yield f'<rect class="lane" x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{LANE}"/>'
    for met in verdict.met:
        yield from _band(verdict.history, met, top)
    yield from _marks(verdict, top)


def _band(history: History, met: Met, top: int) -> Iterator[str]:
    one = met.incident
    left, right = _x(history, one.start), _x(history, history.last if one.end is None else one.end)
    width = max(right - left, BAND_MIN)
    said = "missed" if met.delay_ms is None else f"found after {short_duration(met.delay_ms)}"
    kind = "missed" if met.found is None else "band"
    yield f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{LANE}">'
    yield f"<title>{escape(one.name)}: {said}</title></rect>"


def _marks(verdict: Verdict, top: int) -> Iterator[str]:
    """Each alert once, whatever it belongs to."""
    kinds: dict[int, tuple[str, Told]] = {}
    for told in verdict.false:
        kinds[id(told)] = ("page" if told.severity == PAGE else "ticket"), told
    for met in verdict.met:
        for told in met.alerts:
            if told is met.found or id(told) not in kinds:
                kinds[id(told)] = ("found" if told is met.found else "more"), told
    stacked: Counter[int] = Counter()
    for kind, told in sorted(kinds.values(), key=lambda one: (one[1].time, one[0], one[1].summary)):
        x = _x(verdict.history, told.time)
        row = ROWS[min(stacked[round(x / COLUMN)], len(ROWS) - 1)]
        stacked[round(x / COLUMN)] += 1
        y = top + LANE / 2 + row * ROW
        said = f"<title>{moment(told.time)} {escape(told.summary)}</title>"
        if kind in {"page", "ticket"}:
            yield f'<path class="{kind}" d="{_CROSS.format(left=x - 3.5, top=y - 3.5)}">{said}</path>'
        else:
            yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.6">{said}</circle>'


def _numbers(history: History, met: Sequence[Met]) -> Iterator[str]:
    """Above the bands, which the list below names; where two would touch, the second is left out."""
    free = 0.0
    for number, one in enumerate(met, 1):
        x = _x(history, one.incident.start)
        if x >= free:
            yield f'<text x="{x:.1f}" y="{TOP - 8}" font-size="12">{number}</text>'
            free = x + 8 * len(str(number)) + 4


def _axis(history: History, bottom: int) -> Iterator[str]:
    step = next((one for one in _STEPS_MS if history.last - history.first <= TICKS_MAX * one), _STEPS_MS[-1])
    form = "%Y-%m-%d" if step >= DAY_MS else "%m-%d %H:%M" if step >= UNITS_MS["m"] else "%H:%M:%S"
    for time_ms in range(-(-history.first // step) * step, history.last + 1, step):
        x, at = _x(history, time_ms), datetime.fromtimestamp(time_ms / 1000, UTC)
        yield f'<path class="axis" d="M{x:.1f} {bottom - GAP}v6"/>'
        yield (
            f'<text class="faint" font-size="12" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">'
            f"{at:{form}}</text>"
        )


def _incidents(met: Sequence[Met], top: int) -> Iterator[str]:
    for number, one in enumerate(met, 1):
        incident = one.incident
        end = "on" if incident.end is None else f"to {moment(incident.end)}"
        said = f"{number}  {incident.name}, from {moment(incident.start)} {end}"
        yield f'<text class="faint" x="{LEFT}" y="{top + LINE * number - 4}">{escape(said)}</text>'

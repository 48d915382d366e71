"""The one sentence of an alert, in plain words: what, where, since when, how much."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_monitor.checks.movement import MEMORY, NAME, VARIATION, correlation, times
from stream_monitor.events import Finding, Level, Stream
from stream_monitor.summary.segments import MISSING, OTHER, field_and_value

_RATES = {
    "missing": "is missing in {after} of events (was {before})",
    "wrong_type": "has the wrong type in {after} of its values (was {before})",
    "out_of_range": "is out of range in {after} of its values (was {before})",
    "not_finite": "is NaN or infinite in {after} of its values (was {before})",
    "unseen": "holds values never seen in the reference in {after} of events (was {before})",
}
_MOVEMENTS = {
    MEMORY: ("resemble each other less than they did", "have come to resemble each other"),
    VARIATION: ("differ less than they did", "have come to differ more"),
}
"""Of a score that fell, and of one that rose."""
RESEMBLE = 0.4
"""From such a change of their correlation on it is what is said first."""
_SHAPES = {
    "spread": "changed its spread",
    "skew": "changed its shape (skew)",
    "tails": "changed its shape (tails)",
    "above_maximum": "exceeds the reference's maximum in {after} of its values (was {before})",
    "below_minimum": "is below the reference's minimum in {after} of its values (was {before})",
}


def sentence(stream: Stream, subject: str, finding: Finding) -> str:
    """For example: churn: feature age rose: mean 41.2 -> 47.9 (+0.55 sd) since 2026-01-05 10:00:05 UTC
    (between 10:00:03 and 10:00:06)."""
    if finding.check == "ledger":
        return _ledger(finding)
    where = stream.model
    if stream.version:
        where += f" version {stream.version}"
    if stream.role == "shadow":
        where += " (shadow)"
    if stream.segment:
        where += f", {_segment(stream.segment)}"
    if finding.check == "quality":
        return f"{where}: {_quality(finding)}{_basis(finding)}"
    said = f"{where}: {subject.removesuffix('s')} {finding.signal} {_what(finding)}{_course(finding)}"
    if finding.predicted is not None:
        said += f"; it began with predictions made {_between(*finding.predicted)}"
    return said + _basis(finding)


def _quality(finding: Finding) -> str:
    moved = f"{finding.score} {_number(finding.before.score)} -> {_number(finding.after.score)}"
    said = "is no longer" if finding.retracted else "is"
    made = "" if finding.predicted is None else f", of predictions made {_between(*finding.predicted)}"
    told = ", as was told before" if finding.retracted else ""
    return f"quality of {finding.signal} {said} worse than in its reference{told}: {moved}{made}"


def _basis(finding: Finding) -> str:
    if finding.basis is None or not finding.basis.predictions:
        return ""
    labels, predictions = finding.basis
    return f"; {_percent(labels / predictions)} of the {predictions:,} predictions have a label"


def _between(earliest: int, latest: int) -> str:
    return f"between {_utc(earliest):%Y-%m-%d %H:%M} and {_utc(latest):%Y-%m-%d %H:%M} UTC"


def _segment(name: str) -> str:
    field, value = field_and_value(name)
    if value == MISSING:
        return f"{field} missing"
    return f"other values of {field}" if value == OTHER else f"{field} = {value}"


def _ledger(finding: Finding) -> str:
    before, after = int(finding.before.score), int(finding.after.score)
    if finding.unit == "offset":
        said = f"offset {before} was next, {after} came"
    else:
        said = f"{before} summaries were announced, {after} came"
    return f"input {finding.signal}: {finding.score} in what observe reported: {said}; slices marked suspect"


def _what(finding: Finding) -> str:
    before, after = finding.before, finding.after
    if finding.check == NAME:
        return _movement(finding)
    if finding.check in _RATES:
        return _filled(_RATES[finding.check], before, after)
    if finding.check == "distribution":
        edge = finding.score.removeprefix("share ")
        return _filled(f"has {{after}} of its values {edge} (was {{before}})", before, after)
    if finding.unit == "share" and finding.score != "location":
        template = _SHAPES.get(finding.score, f"changed: {finding.score} {{before}} -> {{after}}")
        return _filled(template, before, after)
    if finding.score == "location":
        return f"{'rose' if finding.effect > 0 else 'fell'}{_means(before, after)}"
    return f"{_SHAPES[finding.score]}{_means(before, after)}"


def _movement(finding: Finding) -> str:
    """Both scores say something of it: the one that is told, and the other."""
    moved = {one.score: (one.before, one.after) for one in finding.contributors}
    moved[finding.score] = (finding.before.score, finding.after.score)
    before, after = (correlation(one) for one in moved[MEMORY])
    told = MEMORY if abs(after - before) >= RESEMBLE else finding.score
    said = _MOVEMENTS[told][moved[told][1] > moved[told][0]]
    differ = times(*moved[VARIATION])
    return (
        f"keeps its level, but consecutive slices {said}: "
        f"correlation {before:.2f} -> {after:.2f}, differences x {differ:.2g}"
    )


def _filled(template: str, before: Level, after: Level) -> str:
    return template.format(before=_percent(before.score), after=_percent(after.score))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _means(before: Level, after: Level) -> str:
    if before.mean is None or before.sd is None or after.mean is None or after.sd is None:
        return ""
    said = f": mean {_number(before.mean)} -> {_number(after.mean)}"
    if before.sd > 0:
        said += f" ({(after.mean - before.mean) / before.sd:+.2f} sd)"
    return f"{said}, sd {_number(before.sd)} -> {_number(after.sd)}"


def _number(value: float) -> str:
    """Four digits or so, as a person writes them."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _since(finding: Finding) -> str:
    at, earliest, latest = (_utc(time) for time in (finding.since, finding.earliest, finding.latest))
    said = f"since {at:%Y-%m-%d %H:%M:%S} UTC"
    if earliest == latest:
        return said
    form = "%H:%M:%S" if earliest.date() == latest.date() == at.date() else "%Y-%m-%d %H:%M:%S"
    return f"{said} (between {earliest.strftime(form)} and {latest.strftime(form)})"


def _course(finding: Finding) -> str:
    """Since when; until when, of what went gradually; and whether it is over."""
    said, shape = _since(finding), finding.shape
    if shape is None:
        return f" {said}"
    if shape.kind == "gradual":
        said = f"gradually {said}"
        said += "" if shape.until is None else f" until {_utc(shape.until):%Y-%m-%d %H:%M:%S}"
    over = "" if shape.ended is None else f"; back since {_utc(shape.ended):%Y-%m-%d %H:%M:%S}"
    return f"{', ' if shape.kind == 'gradual' else ' '}{said}{over}"


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)

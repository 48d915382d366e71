"""What a configuration told of a history, held against what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from stream_monitor.alerting.alert import Alert
from stream_monitor.config import Config
from stream_monitor.config.values import DAY_MS
from stream_monitor.trials.incidents import Incident

WEEK_MS = 7 * DAY_MS
PAGE = "page"


@dataclass(frozen=True, slots=True)
class Told:
    """What counts of an alert. ``first`` is the start of the slice that showed it, ``time`` its end."""

    id: str
    model: str
    kind: str
    signal: str
    check: str
    severity: str
    since: int
    first: int
    time: int
    summary: str
    score: str
    unit: str
    effect: float
    dead: float

    @classmethod
    def of(cls, alert: Alert, config: Config) -> Told:
        return cls(
            alert.id,
            alert.model,
            alert.subject.removesuffix("s"),
            alert.finding.signal,
            alert.check,
            alert.severity,
            alert.finding.since,
            alert.time - _slice_ms(alert, config),
            alert.time,
            alert.summary,
            alert.finding.score,
            alert.finding.unit,
            alert.finding.effect,
            alert.finding.dead,
        )


def _slice_ms(alert: Alert, config: Config) -> int:
    """Of the slice that showed it: labels have slices of their own, and the ledger has none."""
    if alert.subject in {"features", "outputs"}:
        return config.model(alert.model).slice_ms
    return config.labels.slice_ms if config.labels is not None and alert.model else 0


@dataclass(frozen=True, slots=True)
class History:
    """What was read: so many events, from the start of the first slice to the last event."""

    first: int
    last: int
    events: int

    @property
    def length_ms(self) -> int:
        return self.last - self.first

    @property
    def weeks(self) -> float:
        return self.length_ms / WEEK_MS

    def holds(self, incident: Incident) -> bool:
        """Whether any of it lies in what was read."""
        return incident.start <= self.last and (incident.end is None or incident.end > self.first)


@dataclass(frozen=True, slots=True)
class Met:
    """An incident and the alerts that belong to it, by time; ``found``: the first that was in time."""

    incident: Incident
    alerts: Sequence[Told]
    found: Told | None

    @property
    def delay_ms(self) -> int | None:
        return None if self.found is None else self.found.time - self.incident.start


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one configuration: the incidents in the history, and alerts that belong to none of them."""

    name: str
    history: History
    met: Sequence[Met]
    false: Sequence[Told]

    @property
    def found(self) -> list[Met]:
        return [one for one in self.met if one.found is not None]

    @property
    def missed(self) -> list[Met]:
        return [one for one in self.met if one.found is None]

    @property
    def false_pages(self) -> list[Told]:
        """Those that would have woken somebody; the others are tickets."""
        return [one for one in self.false if one.severity == PAGE]

    @property
    def false_pages_a_week(self) -> float | None:
        """None: the history has no length."""
        return len(self.false_pages) / self.history.weeks if self.history.weeks > 0 else None

    @property
    def delay_median_ms(self) -> float | None:
        """Of the incidents that were found."""
        delays = [one.delay_ms for one in self.met if one.delay_ms is not None]
        return median(delays) if delays else None


def judge(
    name: str, history: History, alerts: Sequence[Told], incidents: Sequence[Incident], grace_ms: int
) -> Verdict:
    """Which incidents were found, and which alerts were false.

    An alert tells of an incident if it is of its model and one of its signals, and the slice that showed it
    overlaps the incident or the ``grace_ms`` after it: the first such alert found it. One that came still
    later, but names a change since a time in the incident, is not false: it belongs to it, and found nothing.
    An alert may belong to several incidents that overlap. Incidents outside the history are left out.
    """
    inside = [one for one in incidents if history.holds(one)]
    told = sorted(alerts, key=lambda one: (one.time, one.model, one.signal, one.check, one.id))
    met, known = [], set[int]()
    for incident in inside:
        belong = [at for at, one in enumerate(told) if _belongs(one, incident, grace_ms)]
        known.update(belong)
        of = [told[at] for at in belong]
        met.append(Met(incident, of, next((one for one in of if _in_time(one, incident, grace_ms)), None)))
    return Verdict(name, history, met, [one for at, one in enumerate(told) if at not in known])


def _belongs(alert: Told, incident: Incident, grace_ms: int) -> bool:
    if not incident.shows_in(alert.model, alert.signal):
        return False
    began = incident.start <= alert.since and (incident.end is None or alert.since < incident.end)
    return began or _in_time(alert, incident, grace_ms)


def _in_time(alert: Told, incident: Incident, grace_ms: int) -> bool:
    ended = incident.end is not None and alert.first >= incident.end + grace_ms
    return alert.time > incident.start and not ended

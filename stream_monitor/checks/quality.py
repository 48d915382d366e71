"""Quality against the reference, by cohort: predictions of one time, whenever their labels come.

A cohort is judged again whenever labels change it. An output has *run bad* from the first cohort of an
unbroken run of bad ones: that is told once, and taken back under the same id where labels that came later
say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stream_monitor.checks.quality_learning import QualityLearning
from stream_monitor.checks.worse import NOISE_SDS, Worse, value_of, worse
from stream_monitor.detectors.cuts import Buckets, Cuts, locate
from stream_monitor.events import Basis, Contributor, Finding, Level
from stream_monitor.quality.cohorts import Cohort, Cohorts
from stream_monitor.quality.figures import Figure
from stream_monitor.quality.measures import Measures

if TYPE_CHECKING:
    from stream_monitor.config import Learn, Quality

LABELS_MIN = 100
"""A cohort with fewer labels is not judged."""
BEGAN_COHORTS_MAX = 48
"""In so many cohorts the beginning of a change is looked for."""
SIGNAL_FIGURES = {
    "error": ("rmse", "accuracy"),
    "absolute_error": ("mae",),
    "percentage_error": ("mape",),
    "log_loss": ("log_loss",),
    "brier": ("brier",),
}
"""By error signal, the figure of a cohort (of several the one that there is) in which its change shows."""


_findings = msgspec.msgpack.Decoder(Finding)


class QualityBook:
    """Cohorts of one stream, and what was told of them. State: a Cohort for each that labels still reach.

    ``reference``: what outputs are compared with. For those that it does not hold one is learned, by output.
    """

    def __init__(
        self,
        quality: Mapping[str, Quality],
        cohort_ms: int,
        kept_ms: int,
        learn: Learn,
        reference: Mapping[str, Measures],
    ) -> None:
        self._quality = quality
        self._cohort_ms = cohort_ms
        self._kept_ms = kept_ms
        self._learn = learn
        self._compare(reference)
        self._judged_from = 0
        self._cohorts = Cohorts()
        self._bad: dict[str, dict[int, list[Worse]]] = {name: {} for name in quality}
        self._told: dict[str, dict[int, Finding]] = {name: {} for name in quality}

    @property
    def cohorts(self) -> Cohorts:
        return self._cohorts

    @property
    def reference(self) -> Mapping[str, Measures]:
        """By output, of those of which it is known."""
        return self._reference

    def _compare(self, reference: Mapping[str, Measures]) -> None:
        """From now on with this; the rest is learned."""
        self._reference = {name: one for name, one in reference.items() if self._fits(name, one)}
        self._then = {name: one.figures() for name, one in self._reference.items()}
        self._learning = {name: QualityLearning() for name in self._quality.keys() - self._reference.keys()}
        self._learned_labels: dict[str, dict[int, int]] = {}

    def forget(self, reference: Mapping[str, Measures], start: int) -> None:
        """Compare with this from now on, or learn it. Only cohorts that begin at ``start`` or later are
        judged: what was told of others stands.
        """
        self._compare(reference)
        self._judged_from = start
        for output in self._quality:
            self._bad[output].clear()
            self._told[output].clear()

    def close(self, end: int, changed: Cohorts) -> list[Finding]:
        """An arrival slice that ends at ``end`` closed, and changed these cohorts."""
        self._cohorts = self._cohorts + changed
        touched = changed.keys() & self._cohorts.keys()
        findings = []
        for output in sorted(self._quality):
            learned = output in self._learning and self._learn_from(output, end, changed)
            self._judge(output, set(self._cohorts) if learned else touched)
            findings += [*self._take_back(output, end), *self._tell(output, end)]
        self._expire(end)
        return findings

    def _learn_from(self, output: str, end: int, changed: Cohorts) -> bool:
        """Whether that was enough for a reference."""
        learning = self._learning[output]
        learning.add(
            end,
            {
                start: cohort.measures[output]
                for start, cohort in changed.items()
                if start >= self._judged_from and output in cohort.measures
            },
        )
        if not learning.is_enough(end, self._learn):
            return False
        self._know(output, learning.total)
        self._learned_labels[output] = learning.labels
        return True

    def _know(self, output: str, reference: Measures) -> None:
        self._reference[output], self._then[output] = reference, reference.figures()
        self._learning.pop(output, None)

    def _judge(self, output: str, touched: set[int]) -> None:
        then, bad = self._then.get(output), self._bad[output]
        if then is None:
            return
        learned = self._learned_labels.get(output, {})
        for start in sorted(one for one in touched if one >= self._judged_from):
            measures = self._cohorts[start].measures.get(output)
            bad.pop(start, None)
            if measures is None or measures.n < LABELS_MIN:
                continue
            # What the reference was learned from is no news against it.
            if 2 * learned.get(start, 0) <= measures.n:
                bad[start] = list(worse(measures.figures(), then, self._quality[output].margin))

    def _take_back(self, output: str, end: int) -> Iterator[Finding]:
        told, bad = self._told[output], self._bad[output]
        for start in sorted(told):
            if not bad.get(start):
                yield replace(told.pop(start), found=end, retracted=True, basis=self._basis([start]))

    def _tell(self, output: str, end: int) -> Iterator[Finding]:
        for run in self._runs(output):
            if not self._told[output].keys() & set(run):
                finding = self._finding(output, run, end)
                self._told[output][run[0]] = finding
                yield finding

    def _runs(self, output: str) -> Iterator[list[int]]:
        """Unbroken runs of bad cohorts; those with too few labels to judge break none."""
        run: list[int] = []
        for start, how in sorted(self._bad[output].items()):
            if how:
                run.append(start)
            elif run:
                yield run
                run = []
        if run:
            yield run

    def _finding(self, output: str, run: list[int], end: int) -> Finding:
        first = run[0]
        worst, *others = self._bad[output][first]
        now, then = value_of(worst.now), value_of(worst.then)
        return Finding(
            check="quality",
            signal=output,
            score=worst.name,
            unit="measure",
            since=first,
            earliest=first,
            latest=first + self._cohort_ms,
            found=end,
            before=Level(worst.then.n, then),
            after=Level(worst.now.n, now),
            effect=now - then,
            dead=worst.margin,
            detector="z-test",
            statistic=worst.sds + NOISE_SDS,
            threshold=NOISE_SDS,
            contributors=tuple(
                Contributor(one.name, value_of(one.then), value_of(one.now)) for one in others
            ),
            basis=self._basis(run),
            predicted=(first, run[-1] + self._cohort_ms),
        )

    def _basis(self, run: list[int]) -> Basis:
        known = [self._cohorts[start] for start in run if start in self._cohorts]
        return Basis(sum(one.labeled for one in known), sum(one.predictions for one in known))

    def _expire(self, end: int) -> None:
        """Cohorts that no label can reach any more are forgotten. What was told of a run that goes on is kept
        with its next cohort: it is not told anew.
        """
        for start in sorted(one for one in self._cohorts if one + self._cohort_ms + self._kept_ms < end):
            del self._cohorts[start]
            for learned in self._learned_labels.values():
                learned.pop(start, None)
            for output, told in self._told.items():
                run: list[int] = next((run for run in self._runs(output) if start in run), [])
                finding = told.pop(start, None)
                if finding is not None and run[1:]:
                    told[run[1]] = finding
                self._bad[output].pop(start, None)

    # When predictions changed

    def explain(self, finding: Finding) -> Finding:
        """Adds to a finding on an error signal when the predictions were made that changed, and how many
        of all predictions since then have a label.
        """
        output, _, signal = finding.signal.rpartition(".")
        names = SIGNAL_FIGURES.get(signal, ())
        if (signal, finding.score) == ("error", "location"):
            names = ("mean_error", "accuracy")
        began = self._began(output, names)
        if began is None:
            return replace(finding, basis=self._basis(list(self._cohorts)))
        since = [start for start in self._cohorts if start >= began[0]]
        return replace(finding, predicted=began, basis=self._basis(since))

    def _began(self, output: str, names: tuple[str, ...]) -> tuple[int, int] | None:
        """The most likely time of a change in the latest cohorts of an output, as an interval."""
        starts, rows = [], []
        for start in sorted(self._cohorts)[-BEGAN_COHORTS_MAX:]:
            measures: Measures | None = self._cohorts[start].measures.get(output)
            figure = _first(measures.figures(), names) if measures is not None else None
            if figure is not None and figure.n > 1 and figure.standard_error is not None:
                starts.append(start)
                rows.append((figure.n, figure.n * value_of(figure), (figure.n * figure.standard_error) ** 2))
        if len(starts) < 2:
            return None
        n, total, m2 = (np.array(column, np.float64)[:, None] for column in zip(*rows, strict=True))
        index = np.arange(len(starts))[:, None]
        buckets = Buckets(n, total, index, index)
        cuts = Cuts.through(buckets, total.sum(axis=0))
        between = float((total**2 / n).sum() - total.sum() ** 2 / n.sum())
        place = locate(buckets, cuts, np.array([float(m2.sum()) + between]), cuts.real)
        earliest, latest = int(place.earliest[0]), int(place.latest[0])
        return starts[earliest], starts[min(latest, len(starts) - 1)] + self._cohort_ms

    def snapshot(self) -> dict[str, Any]:
        return {
            "cohorts": self._cohorts.to_bytes(),
            "learning": {
                output: [one.since, _cohorts(output, one.cohorts).to_bytes()]
                for output, one in sorted(self._learning.items())
            },
            "learned_labels": {
                output: [[*item] for item in sorted(labels.items())]
                for output, labels in sorted(self._learned_labels.items())
            },
            "judged_from": self._judged_from,
            "reference": Cohorts.holding(self._reference).to_bytes(),
            "told": {
                output: [[start, msgspec.msgpack.encode(finding)] for start, finding in sorted(told.items())]
                for output, told in self._told.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """As it was. What is judged of the cohorts follows from them. Of an output that is measured otherwise
        now all is dropped: its reference is learned anew, and nothing is told."""
        self._cohorts = self._fitting(Cohorts.from_bytes(state["cohorts"]))
        self._judged_from = state["judged_from"]
        known = Cohorts.from_bytes(state["reference"]).total().measures
        fitting = {output: one for output, one in known.items() if self._fits(output, one)}
        for output, one in fitting.items():
            self._know(output, one)
        for output in self._learning.keys() & state["learning"].keys():
            since, data = state["learning"][output]
            cohorts = self._fitting(Cohorts.from_bytes(data))
            measures = {start: cohort.measures[output] for start, cohort in cohorts.items()}
            self._learning[output] = QualityLearning(measures, since if measures else None)
        self._learned_labels = {
            output: dict(labels) for output, labels in state["learned_labels"].items() if output in fitting
        }
        for output in self._quality:
            told = state["told"].get(output, []) if output in fitting else []
            self._told[output] = {start: _findings.decode(data) for start, data in told}
            self._judge(output, set(self._cohorts))

    def _fits(self, output: str, measures: Measures) -> bool:
        return output not in self._quality or measures.fits(self._quality[output])

    def _fitting(self, cohorts: Cohorts) -> Cohorts:
        """Without what cannot be added to what comes."""
        found = Cohorts()
        for start, cohort in cohorts.items():
            kept = {name: one for name, one in cohort.measures.items() if self._fits(name, one)}
            found.merge({start: replace(cohort, measures=kept)})
        return found


def _cohorts(output: str, measures: Mapping[int, Measures]) -> Cohorts:
    """These of one output alone, by start, to be written."""
    return Cohorts({start: Cohort(measures={output: one}) for start, one in measures.items()})


def _first(figures: Mapping[str, Figure], names: tuple[str, ...]) -> Figure | None:
    found = (figures[name] for name in names if name in figures and figures[name].value is not None)
    return next(found, None)

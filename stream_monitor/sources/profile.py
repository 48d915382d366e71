"""Make the reference of a model from a file of its predictions (Parquet, CSV or JSON lines).

The file is read twice: once for the shape of every signal, and once more on the grid that follows from it,
so that means and standard deviations are exact; where its rows have labels, once more for the quality of the
model. The order of the events does not matter.
"""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from stream_monitor.checks.numeric import NumericMeasure
from stream_monitor.codecs.json import JsonCodec
from stream_monitor.config import Config, ModelConfig, Signal, load_config, parse_config
from stream_monitor.errors import InputError
from stream_monitor.observe import LIVE, observe
from stream_monitor.quality.measures import Measures
from stream_monitor.reference import SUBJECTS, Kind, Reference, ReferenceFile
from stream_monitor.sources.files import read
from stream_monitor.sources.holdout import holdout
from stream_monitor.sources.profile_season import Learned, learned
from stream_monitor.summary.codes import BINS, EXPONENT_MAX, bin_value
from stream_monitor.summary.grid import Grid
from stream_monitor.summary.shape import Kind as Subject
from stream_monitor.summary.shape import Shape
from stream_monitor.summary.summary import Count, Summary

STEPS_PER_SD = 1_024
NUMBER_MAX = 2.0**EXPONENT_MAX
VALUES_SHOWN_MAX = 5
WIDTH_CHARS = 160
NO_SEASON = (
    "no season in it: what goes with the hour of the day is told as drift; --season learns it, from weeks"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """The reference of a model, and what was found in the file beside it."""

    model: str
    file: ReferenceFile
    rejected: Counter[str]
    others: Counter[str]
    """Rows of other models, by name."""
    learned: Learned | None = None
    """How its signals move, where that was asked for."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--config", type=Path, help="where an event keeps what; default: the default fields")
    parser.add_argument("--model", help="which one, where the file holds several")
    parser.add_argument(
        "--season",
        action="store_true",
        help="also how signals move from slice to slice, and their season; rows must be in order of time",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NAME.profile")


def main(args: Namespace) -> int:
    config = load_config(args.config) if args.config else parse_config({"predictions": {"topics": ["file"]}})
    made = profile(args.file, config, args.model, season=args.season)
    try:
        made.file.write(args.out)
    except OSError as error:
        raise InputError(f"{args.out}: expected to write the reference, got {error.strerror}") from error
    _show(made, config.model(made.model))
    print(f"written to {args.out}")  # noqa: T201
    return 0


def profile(path: Path, config: Config, model: str | None = None, *, season: bool = False) -> Profile:
    """The reference that the live events of one model in a file make; outputs of all versions are pooled.

    Equal for any order of the events; with ``season`` how signals move is learned, in order of time.
    Raises InputError where the file cannot be read, holds no event of the model, or several models and none
    was named. Memory: that of one summary.
    """
    name = model or _first_model(path, config)
    # A reference is of all events.
    settings = config.model(name).model_copy(update={"segments": []})
    declared: dict[Subject, Mapping[str, Signal]] = {
        "features": settings.features,
        "outputs": settings.outputs,
    }
    rough, rejected, others = _summarise(path, config, name, Shape.of(settings))
    if not rough["outputs"].rows:
        raise InputError(f"{path}: expected live events of model {name}, got those of {_listed(others)}")
    if model is None and others:
        raise InputError(
            f"{path}: expected one model, got {name} and {_listed(others)}; choose one with --model"
        )
    references = {}
    for subject, summary in rough.items():
        references[subject] = Reference.of(summary, declared[subject], _grids(summary, declared[subject]))
    shape = ReferenceFile(references).shape
    exact, _, _ = _summarise(path, config, name, Shape.of(settings, shape))
    for subject, reference in references.items():
        summary = exact[subject].select(reference.kinds)
        references[subject] = Reference.of(summary, declared[subject], reference.grids)
    pairs, quality = holdout(path, config, name)
    file = ReferenceFile(references, pairs, quality)
    found = learned(path, config, name, file) if season else None
    if found is not None:
        file = replace(file, movements=found.movements)
    return Profile(name, file, rejected, others, found)


def _first_model(path: Path, config: Config) -> str:
    codec = JsonCodec(config)
    for records in read(path, config.predictions.fields):
        for group in codec.decode(records).groups:
            return group.stream.model
    raise InputError(f"{path}: expected events, got none that could be attributed to a model")


def _summarise(
    path: Path, config: Config, model: str, shape: Shape
) -> tuple[dict[Subject, Summary], Counter[str], Counter[str]]:
    codec = JsonCodec(config)
    summaries = {subject: Summary.empty() for subject in SUBJECTS}
    rejected: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for records in read(path, config.predictions.fields):
        batch = codec.decode(records)
        rejected.update(str(reject.reason) for reject in batch.rejects)
        for group in batch.groups:
            if group.stream.model != model:
                others[group.stream.model] += len(group.rows)
        batch.groups = [
            group for group in batch.groups if group.stream.model == model and group.stream.role == LIVE
        ]
        # A profile has no order: all is one slice, and nothing in it is late.
        batch.time[:] = 0
        for (stream, _), summary in observe(batch, lambda _: shape, {}, lateness_ms=0).items():
            summaries["features" if stream.of_features else "outputs"].merge(summary)
    for summary in summaries.values():
        # Where an event stood in the file is no property of the model.
        summary.offsets.clear()
    return summaries, rejected, others


def _grids(summary: Summary, declared: Mapping[str, Signal]) -> dict[str, Grid]:
    numeric = np.flatnonzero(summary.numbers)
    return {summary.signals[row]: _grid(summary, int(row), declared) for row in numeric}


def _grid(summary: Summary, row: int, declared: Mapping[str, Signal]) -> Grid:
    """A unit near sd / STEPS_PER_SD, from estimates that need only be about right.

    The histogram knows a value within 1/64 of it. Where a signal's whole range is less than that (a
    year), the range is all there is to go by.
    """
    keys, counts = summary.histogram
    mine = keys // BINS == row
    values, n = bin_value(keys[mine] % BINS), counts[mine]
    low, high = np.clip([summary.minimum[row], summary.maximum[row]], -NUMBER_MAX, NUMBER_MAX).tolist()
    mean = float(np.clip(np.average(values, weights=n), low, high))
    sd = math.sqrt(np.average((values - mean) ** 2, weights=n))
    spread = min(sd, (high - low) / 2) if len(values) > 1 else (high - low) / 4
    signal = declared.get(summary.signals[row])
    center = mean + (signal.center or 0.0 if signal else 0.0)
    unit = 2.0 ** round(math.log2((spread or abs(mean) or 1.0) / STEPS_PER_SD))
    return Grid(round(center / unit) * unit, unit)


def _listed(models: Counter[str]) -> str:
    names = sorted(models)
    more = f" and {len(names) - VALUES_SHOWN_MAX} more" if len(names) > VALUES_SHOWN_MAX else ""
    return ", ".join(names[:VALUES_SHOWN_MAX]) + more or "none"


# What a person is shown


def _show(made: Profile, settings: ModelConfig) -> None:
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH_CHARS, highlight=False)
    for subject in SUBJECTS:
        reference = made.file.subjects[subject]
        console.print(f"{made.model}: {subject} of {reference.summary.rows:,} events", markup=False)
        console.print(_table(reference, settings))
    for output, measures in sorted(made.file.quality.items()):
        console.print(f"{made.model}: quality of {output} by {measures.n:,} labels", markup=False)
        console.print(_quality(measures))
    if made.learned is not None:
        console.print(_moves(made.model, made.learned), markup=False)
    else:
        console.print(f"{made.model}: {NO_SEASON}", markup=False)
    for reason, count in sorted(made.rejected.items()):
        console.print(f"rejected, {reason}: {count:,}", markup=False)


def _moves(model: str, learned: Learned) -> str:
    seasons = ", ".join(f"{name} {hours} h" for name, hours in sorted(learned.seasons.items())) or "none"
    said = f"{model}: how signals move, from {learned.slices:,} slices; seasons: {seasons}"
    if learned.late:
        said += f"; {learned.late:,} rows are out of order by more than `lateness` and in no slice"
    return said


def _table(reference: Reference, settings: ModelConfig) -> Table:
    table = Table("signal", "kind", box=None, pad_edge=False)
    for column in ("missing", "mean", "sd", "least", "greatest"):
        table.add_column(column, justify="right")
    table.add_column("most frequent, or what to know")
    unwatchable = NumericMeasure(reference, settings.min_effect).unwatchable
    summary = reference.summary
    for row, (name, missing) in enumerate(zip(summary.signals, summary.missing.tolist(), strict=True)):
        kind = reference.kinds[name]
        share = f"{100 * missing / summary.rows:.3g} %"
        if kind is Kind.NUMBER:
            note = "unwatchable: needs `center` in the configuration" if name in unwatchable else ""
            table.add_row(name, kind, share, *_numbers(reference, row), note)
        else:
            table.add_row(name, kind, share, "", "", "", "", _top(summary, name))
    return table


def _quality(measures: Measures) -> Table:
    table = Table("measure", box=None, pad_edge=False)
    for column in ("value", "standard error"):
        table.add_column(column, justify="right")
    for name, figure in sorted(measures.figures().items()):
        if figure.value is not None:
            error = "" if figure.standard_error is None else f"{figure.standard_error:.3g}"
            table.add_row(name, f"{figure.value:.6g}", error)
    return table


def _numbers(reference: Reference, row: int) -> tuple[str, ...]:
    summary, name = reference.summary, reference.summary.signals[row]
    if name not in reference.grids:
        return ("", "", "", "")
    grid, n, total = (
        reference.grids[name],
        int(summary.numbers[row]),
        int(summary.counts[row, Count.GRID_SUM]),
    )
    mean = grid.center + grid.unit * (total / n)
    sd = grid.unit * math.sqrt(n * summary.grid_squares(row) - total * total) / n
    return f"{mean:.6g}", f"{sd:.4g}", f"{summary.minimum[row]:.6g}", f"{summary.maximum[row]:.6g}"


def _top(summary: Summary, name: str) -> str:
    total = summary.texts_total(name)
    most = Counter(summary.values[name]).most_common()
    most.sort(key=lambda value: (-value[1], value[0]))
    said = [f"{value} {100 * count / total:.3g} %" for value, count in most[:VALUES_SHOWN_MAX]]
    return ", ".join(said) + (f" ... ({len(most)} values)" if len(most) > VALUES_SHOWN_MAX else "")

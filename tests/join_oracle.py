"""What the join has to find, said a second time: a dictionary of ids, a loop over it, sums by math.fsum.

The standard library only. TOPIC-PARTITION.jsonl holds the records of a partition in offset order, one a
line: {"timestamp": Kafka's, "key": text or null, "value": text or null}. ``settings``: horizon_ms, cohort_ms,
policy and models: name -> {segments, quality} as in the configuration. No partition claims a time.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Found = tuple[dict[tuple[str, ...], Counter[str]], dict[tuple[Any, ...], Row]]
LEAST, BINS = 1e-15, 20


def find(folder: Path, predictions: list[str], labels: list[str], settings: Row) -> Found:
    """Counts by (model, version, role), of labels by (model or "",), of rejected rows by (topic,). Cohorts by
    (model, version, role, segment, start): predictions, pairs in the end, and figures by "OUTPUT.FIGURE"."""
    found: Found = defaultdict(Counter), defaultdict(lambda: {"predictions": 0, "pairs": []})
    counts, cohorts = found
    for partition in sorted({path.stem.rpartition("-")[2] for path in folder.glob("*.jsonl")}):
        known: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for topic in labels:
            for label in read(folder / f"{topic}-{partition}.jsonl", counts[topic,], "label"):
                known[str(label["prediction_id"])][topic].append(label)
        for topic in predictions:
            last: dict[tuple[str, ...], float] = {}
            for row in read(folder / f"{topic}-{partition}.jsonl", counts[topic,], "model"):
                if settings["models"].get(row["model"], {}).get("quality"):
                    join(found, row, last, known[str(row["prediction_id"])], settings)
        for label in (one for topics in known.values() for same in topics.values() for one in same):
            counts[label.get("model") or "",].update(labels=1, orphans=not label["met"])
    for place, cohort in cohorts.items():
        outputs = settings["models"][place[0]]["quality"]
        for output, quality in outputs.items():
            usable = list(usable_of(output, quality, cohort["pairs"], len(outputs) == 1))
            figures = regression if quality["task"] == "regression" else classification
            cohort |= {f"{output}.{name}": value for name, value in figures(usable, quality).items()}
    return found


def read(path: Path, counts: Counter[str], needed: str) -> Iterator[Row]:
    """The events of a partition and the clock there. A label's tombstone is a label of null."""
    clock = -math.inf
    for line in path.read_text().splitlines():
        record = json.loads(line)
        value: Any = {"prediction_id": record["key"], "ts": record["timestamp"], "label": None}
        try:
            value = json.loads(record["value"] or "[]") if needed == "model" or record["value"] else value
        except ValueError:
            value = None
        for event in value if isinstance(value, list) else [value]:
            if isinstance(event, dict) and {"prediction_id", "ts", needed} <= event.keys():
                clock = max(clock, event["ts"])
                yield {**event, "clock": clock, "met": event.get("label") is None}
            else:
                counts["rejected"] += 1


def join(found: Found, row: Row, last: dict[Any, float], known: dict[str, Any], settings: Row) -> None:
    """Count a prediction, unless one like it came just before, and the label that counts in the end."""
    stream = row["model"], row.get("model_version") or "", row.get("role") or "live"
    counts, element, horizon = found[0][stream], (*stream, str(row["prediction_id"])), settings["horizon_ms"]
    before, last[element] = last.get(element, -math.inf), row["clock"]
    if row["clock"] - before <= horizon:
        counts["duplicate_predictions"] += 1
        return
    near = [[one for one in same if abs(row["clock"] - one["clock"]) <= horizon] for same in known.values()]
    of_model = [[one for one in same if one.get("model") in (None, row["model"])] for same in near]
    values = [latest(same, settings["policy"], counts) for same in of_model]
    joined = [(row["outputs"], value) for value in values if value is not None]
    counts.update(predictions=1, unlabeled=not joined)
    fields = settings["models"][row["model"]]["segments"]
    start = row["ts"] // settings["cohort_ms"] * settings["cohort_ms"]
    said = {name: "*empty*" if (one := row["features"].get(name)) == "" else text(one) for name in fields}
    for segment in ("", *(f"{name}={value}" for name, value in said.items())):
        found[1][*stream, segment, start]["predictions"] += 1
        found[1][*stream, segment, start]["pairs"] += joined


def latest(labels: list[Row], policy: str, counts: Counter[str]) -> Any:
    current, had_one = None, False
    for label in labels:
        value, label["met"] = label["label"], True
        if value is None:
            counts["withdrawn_without_label" if current is None else "withdrawals"] += 1
            current = None
        elif current is None:
            counts["again" if had_one else "pairs"] += 1
            current, had_one = value, True
        elif json.dumps(value, sort_keys=True) == json.dumps(current, sort_keys=True):
            counts["duplicate_labels"] += 1
        else:
            counts["corrections" if policy == "last" else "ignored"] += 1
            current = value if policy == "last" else current
    return current


def text(value: Any) -> str:
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return value or "" if value is None or isinstance(value, str) else json.dumps(value)


def usable_of(output: str, quality: Row, pairs: list[Any], alone: bool) -> Iterator[tuple[Any, Any, Any]]:
    kinds = (int, float) if quality["task"] == "regression" else (int, float, str)
    for outputs, label in pairs:
        actual = label.get(quality.get("label", output)) if type(label) is dict else label if alone else None
        predicted = outputs.get(quality.get("prediction", output))
        if isinstance(predicted, kinds) and isinstance(actual, kinds):
            yield predicted, actual, outputs.get(quality.get("score"))


def regression(pairs: list[Any], quality: Row) -> Row:
    errors, actual = [p - a for p, a, _ in pairs], [a for _, a, _ in pairs]
    square, middle = mean([one * one for one in errors]), mean(actual)
    spread = mean([(one - middle) ** 2 for one in actual])
    figures = {"n": len(pairs), "mean_error": mean(errors), "mae": mean([abs(one) for one in errors])}
    figures["above"] = mean([abs(one) > quality["error_max"] for one in errors if quality.get("error_max")])
    figures["mape"] = mean([100 * abs(p - a) / abs(a) for p, a, _ in pairs if a])
    return {**figures, "rmse": square and math.sqrt(square), "r2": spread and 1 - square / spread}


def classification(pairs: list[Any], quality: Row) -> Row:
    names, positive = [(text(a), text(p)) for p, a, _ in pairs], quality.get("positive")
    if quality["task"] == "binary":
        names = [(str(a == positive), str(p == positive)) for a, p in names]
    figures = {"n": len(pairs), "confusion": Counter(names), "accuracy": mean([a == p for a, p in names])}
    for name in {one for pair in names for one in pair}:
        figures[f"recall.{name}"] = mean([p == name for a, p in names if a == name])
        figures[f"precision.{name}"] = mean([a == name for a, p in names if p == name])
    scored = [(score, text(actual)) for _, actual, score in pairs if score is not None]
    if quality["task"] == "binary":
        apart = [(min(int(score * BINS), BINS - 1), score - (a == positive)) for score, a in scored]
        bins = [abs(math.fsum(one for k, one in apart if k == i)) for i in range(BINS)]
        figures |= {"ece": math.fsum(bins) / len(scored) if scored else None}
        squares = [one * one for _, one in apart]
        likely = [score if a == positive else 1 - score for score, a in scored]
    else:
        squares = [math.fsum((p - (c == a)) ** 2 for c, p in {a: 0, **score}.items()) for score, a in scored]
        likely = [score.get(a, 0) for score, a in scored]
    log_loss = mean([-math.log(min(max(p, LEAST), 1 - LEAST)) for p in likely])
    return {**figures, "brier": mean(squares), "log_loss": log_loss}


def mean(values: list[Any]) -> Any:
    return math.fsum(values) / len(values) if values else None

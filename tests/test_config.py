"""The configuration: what a file comes to, and that every mistake is named in the words of its author."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.config import Config, Detector, Learn, ModelConfig, load_config, parse_config
from stream_monitor.config.config import MODELS_CACHED_MAX
from stream_monitor.config.schema import schema_text
from stream_monitor.config.values import DURATION_MAX_MS, duration_ms, duration_text
from stream_monitor.errors import ConfigError

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "stream_monitor" / "schemas" / "config.json"
EXAMPLE = ROOT / "examples" / "monitor.yaml"


def parse(**sections: Any) -> Config:
    predictions = {"topics": ["predictions"]} | sections.pop("predictions", {})
    return parse_config({"predictions": predictions, **sections})


def problems(**sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(**sections)
    return caught.value.problems


def load(folder: Path, text: str) -> Config:
    path = folder / "monitor.yaml"
    path.write_text(text)
    return load_config(path)


def load_problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return caught.value.problems


# What a configuration comes to


def test_topics_of_predictions_are_all_that_is_required() -> None:
    config = parse_config({"predictions": {"topics": ["predictions"]}})
    assert config.predictions.lateness_ms == 10_000
    assert config.predictions.fields.time == "$.ts"
    assert config.model("any") == ModelConfig()
    assert config.model("any").detectors == [Detector("scan")]
    assert config.model("any").learn == Learn(ms=86_400_000)
    assert config.kafka_properties() == {}


def test_the_pipeline_prefixes_topics_and_groups() -> None:
    plain, named = parse(), parse(pipeline="eu")
    assert (plain.topic("summaries"), plain.group("observe")) == ("drift.summaries", "stream-monitor.observe")
    assert (named.topic("summaries"), named.group("observe")) == (
        "eu.drift.summaries",
        "eu.stream-monitor.observe",
    )


@given(st.integers(0, DURATION_MAX_MS))
def test_a_duration_reads_back_as_it_was_written(ms: int) -> None:
    assert duration_ms(duration_text(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("2h30m", 9_000_000), ("1d", 86_400_000), ("0s", 0)],
)
def test_durations_become_milliseconds(text: str, ms: int) -> None:
    assert parse(predictions={"lateness": text}).predictions.lateness_ms == ms


@pytest.mark.parametrize(
    "value", [10, 1.5, "10", "1.5s", "30m2h", "-1s", " 1s", "", "s", None, True, "1s\n", "٣s"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    (problem,) = problems(predictions={"lateness": value})
    assert problem.startswith("predictions.lateness: expected a duration")


def test_a_slice_divides_a_day() -> None:
    assert parse(models={"*": {"slice": "1d"}}).model("m").slice_ms == 86_400_000
    assert problems(models={"*": {"slice": "7s"}}) == [
        'models.*.slice: expected a duration that divides a day, got "7s"'
    ]


def test_learning_takes_a_time_or_a_number_of_events() -> None:
    config = parse(models={"a": {"learn": "2h"}, "b": {"learn": 20_000}})
    assert (config.model("a").learn, config.model("b").learn) == (Learn(ms=7_200_000), Learn(events=20_000))


def test_detectors_are_named_alone_or_with_parameters() -> None:
    entries = [
        "adwin",
        {"page_hinkley": {"threshold": 20, "min_instances": 5}},
        {"scan": {"run_length": 1e5}},
        {"cusum": {"shift": 1}},
        {"ewma": {"window": 8}},
        "eprocess",
        "ks",
        {"river": "drift.KSWIN", "params": {"alpha": 0.001, "seed": 7}},
    ]
    assert parse(models={"*": {"detectors": entries}}).model("m").detectors == [
        Detector("adwin"),
        Detector("page_hinkley", params={"threshold": 20, "min_instances": 5}),
        Detector("scan", params={"run_length": 1e5}),
        Detector("cusum", params={"shift": 1}),
        Detector("ewma", params={"window": 8}),
        Detector("eprocess"),
        Detector("ks"),
        Detector("river", "drift.KSWIN", {"alpha": 0.001, "seed": 7}),
    ]
    assert parse(models={"*": {"detectors": []}}).model("m").detectors == []


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    config = load(
        tmp_path,
        """
        kafka: {sasl.password: {file: password}}
        predictions: {topics: [p]}
        models: {churn: {reference: churn.profile}}
        """,
    )
    assert config.model("churn").reference == tmp_path / "churn.profile"
    assert config.kafka_properties() == {"sasl.password": "hunter2"}


# Models: globs over defaults


def test_entries_merge_from_general_to_special() -> None:
    config = parse(
        models={
            "churn": {"labels": {"team": "growth"}},
            "churn*": {"learn": 500, "labels": {"team": "ml", "tier": "1"}},
            "*": {"learn": "2d", "slice": "10s", "labels": {"runbook": "r"}},
        }
    )
    churn = config.model("churn")
    assert churn.labels == {"team": "growth", "tier": "1", "runbook": "r"}
    assert (churn.learn, churn.slice_ms) == (Learn(events=500), 10_000)
    assert config.model("churn-2").labels["team"] == "ml"
    assert config.model("other").learn == Learn(ms=2 * 86_400_000)


def test_more_literal_characters_are_more_special_then_the_lexical_order_decides() -> None:
    severities = {
        "fraud-*": {"severity": "ticket"},
        "fraud-??": {"severity": "page"},
        "*": {"severity": "page"},
    }
    assert parse(models=severities).model("fraud-eu").severity == "page"  # "?" sorts after "*"
    severities["[e-g]raud-eu"] = {"severity": "ticket"}
    assert parse(models=severities).model("fraud-eu").severity == "ticket"
    longer = {"[a-z][a-z]*": {"severity": "ticket"}, "fr*": {"severity": "page"}}
    assert parse(models=longer).model("fraud").severity == "page"


def test_a_list_and_an_explicit_null_replace_what_is_more_general() -> None:
    config = parse(
        models={"*": {"reference": "all.profile"}, "a": {"reference": None, "detectors": ["adwin"]}}
    )
    assert config.model("a").reference is None
    assert config.model("a").detectors == [Detector("adwin")]
    assert config.model("b").reference == Path("all.profile")


def test_a_signal_merges_within_its_type_and_is_replaced_across() -> None:
    general = {"age": {"range": [0, 120]}, "zip": {"range": [0, 99_999], "strict": True}}
    special = {"age": {"center": 40.0}, "zip": {"values": ["10115"]}}
    features = parse(models={"*": {"features": general}, "a": {"features": special}}).model("a").features
    assert (features["age"].range, features["age"].center) == ((0, 120), 40)
    assert (features["zip"].type, features["zip"].range, features["zip"].strict) == ("category", None, None)


def test_the_order_of_entries_in_the_file_does_not_matter() -> None:
    models = {"*": {"learn": 1}, "a*": {"learn": 2}, "a?": {"slice": "2s"}, "ab": {"slice": "3s"}}
    turned = dict(reversed(models.items()))
    for name in ("ab", "ac", "abc", "x"):
        assert parse(models=models).model(name) == parse(models=turned).model(name)


def test_unknown_models_are_those_that_no_entry_names() -> None:
    config = parse(predictions={"unknown_models": "reject"}, models={"churn": {}, "fraud-*": {}})
    assert [config.knows(name) for name in ("churn", "fraud-eu", "other")] == [True, True, False]
    assert parse(models={"churn": {}}).knows("other")


def test_settings_of_unseen_models_take_bounded_memory() -> None:
    config = parse()
    for i in range(MODELS_CACHED_MAX + 10):
        config.model(f"model-{i}")
    assert len(config._by_name) <= MODELS_CACHED_MAX


# Mistakes
# ruff: noqa: E501 - a message is one line, here as there.


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"predictions": {"topcis": ["p"]}}, "predictions.topcis: unknown key; did you mean topics?"),
    ({"htpp": {}}, "htpp: unknown key; did you mean http?"),
    ({"models": {"m": {"zzz": 1}}}, "models.m.zzz: unknown key"),
    ({"models": {"m": {"features": {"age": {"rnage": [1, 2]}}}}}, "models.m.features.age.rnage: unknown key; did you mean range?"),
    ({"predictions": {"topics": []}}, "predictions.topics: expected at least 1 item, got []"),
    ({"predictions": {"topics": ["p", "p"]}}, 'predictions.topics: expected distinct topics, got ["p", "p"]'),
    ({"predictions": {"topics": "p"}}, 'predictions.topics: expected a list, got "p"'),
    ({"predictions": {"topics": ["drift.alerts"]}}, 'predictions: expected topics that this pipeline does not write, got "drift.alerts"'),
    ({"predictions": {"start": "now"}}, "predictions.start: expected 'earliest' or 'latest', got \"now\""),
    ({"predictions": {"fields": {"model": None}}}, 'predictions.fields.model: expected a JSON path such as "$.a.b", "key", "header:NAME", "topic" or a constant "=text", got null'),
    ({"predictions": {"fields": {"features": "$.a..b"}}}, 'predictions.fields.features: expected a JSON path such as "$.a.b", got "$.a..b"'),
    ({"labels": {"topics": ["predictions"]}}, 'labels: expected other topics than those of predictions, got ["predictions"]'),
    ({"http": {"port": 65_536}}, "http.port: expected a number <= 65535, got 65536"),
    ({"summaries": {"partitions": "4"}}, 'summaries.partitions: expected an integer, got "4"'),
    ({"models": {"m": None}}, "models.m: expected a mapping, got null"),
    ({"models": {1: {}}}, "models[1]: expected a string, got 1"),
    ({"models": {"m": {"labels": {"team": 5}}}}, "models.m.labels.team: expected a string, got 5"),
    ({"models": {"m": {"max_signals": True}}}, "models.m.max_signals: expected an integer, got true"),
    ({"models": {"m": {"min_effect": {"rate": 2}}}}, "models.m.min_effect.rate: expected a number <= 1, got 2"),
    ({"models": {"churn": {"features": {"age": {"range": [100, 18]}}}}}, "models.churn.features.age.range: expected [min, max] with min < max, got [100, 18]"),
    ({"models": {"m": {"features": {"a": {"range": [0, float("nan")]}}}}}, "models.m.features.a.range: expected [min, max] with min < max, got [0, NaN]"),
    ({"models": {"m": {"features": {"a": {"type": "number", "values": ["x"]}}}}}, 'models.m.features.a.values: expected nothing here, since the type is number, got ["x"]'),
    ({"models": {"m": {"features": {"a": {"type": "category", "center": 1.0}}}}}, "models.m.features.a.center: expected nothing here, since the type is category, got 1.0"),
    ({"predictions": {"start": {"a": "hunter2"}}}, "predictions.start: expected 'earliest' or 'latest', got a mapping"),
    ({"predictions": {"idle_after": "0s"}}, 'predictions.idle_after: expected a duration between 1ms and 3650d, got "0s"'),
    ({"predictions": {"lateness": "3651d"}}, 'predictions.lateness: expected a duration between 0s and 3650d, got "3651d"'),
    ({"commit_interval": "2h"}, 'commit_interval: expected a duration between 10ms and 1h, got "2h"'),
    ({"models": {"m": {"slice": "50ms"}}}, 'models.m.slice: expected a duration between 100ms and 1d, got "50ms"'),
    ({"models": {"m": {"features": {"a": {"range": [5, 5]}}}}}, "models.m.features.a.range: expected [min, max] with min < max, got [5, 5]"),
    ({"models": {"m": {"features": {"a": {"values": ["x", "x"]}}}}}, 'models.m.features.a.values: expected distinct values, got ["x", "x"]'),
    ({"models": {"m": {"learn": 0}}}, 'models.m.learn: expected a duration such as "1d" or a number of events, got 0'),
    ({"models": {"m": {"detectors": ["adwn"]}}}, 'models.m.detectors[0]: expected adwin, page_hinkley, scan, cusum, ewma, eprocess, ks, {adwin: {delta: ...}} or {river: drift.NAME, params: {...}}, got "adwn"'),
    ({"models": {"m": {"detectors": [{"adwin": {"detla": 1}}]}}}, "models.m.detectors[0].adwin.detla: unknown key; did you mean delta?"),
    ({"models": {"m": {"detectors": [{"adwin": {"delta": 1}}]}}}, "models.m.detectors[0].adwin.delta: expected a number < 1, got 1"),
    ({"models": {"m": {"detectors": [{"adwin": {}, "page_hinkley": {}}]}}}, 'models.m.detectors[0]: expected one of adwin, page_hinkley, scan, cusum, ewma, eprocess, ks and river, got ["adwin", "page_hinkley"]'),
    ({"models": {"m": {"detectors": [{"river": "drift.KSWIN", "params": {"alpa": 1}}]}}}, 'models.m.detectors[0].params: expected parameters among alpha, window_size, stat_size, seed, window, got "alpa"'),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "problem"), MISTAKES)
def test_a_mistake_is_named_with_its_place(sections: dict[str, Any], problem: str) -> None:
    assert problems(**sections) == [problem]


def test_what_is_required_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"predictions": {}})
    assert caught.value.problems == ["predictions.topics: expected a value, got nothing"]


def test_a_detector_that_river_does_not_have_is_named_with_the_nearest() -> None:
    (problem,) = problems(models={"m": {"detectors": [{"river": "drift.KSWN"}]}})
    assert "(did you mean drift.KSWIN?)" in problem


def test_labels_need_an_id() -> None:
    unmapped = {"fields": {"id": None}}
    assert problems(predictions=unmapped, labels={"topics": ["labels"]}) == [
        "labels: expected predictions.fields.id to be mapped, since labels are joined by it, got null"
    ]
    assert parse(predictions=unmapped).predictions.fields.id is None


def test_all_mistakes_are_reported_at_once() -> None:
    everything: dict[str, Any] = {}
    for sections, _ in MISTAKES[:4]:
        everything |= sections
    found = problems(**everything, http={"port": -1}, summaries={"partitions": 0})
    assert len(found) == len(everything) + 2


def test_a_long_value_is_cut() -> None:
    (problem,) = problems(predictions={"start": "x" * 10_000})
    assert len(problem) < 200


# Secrets


def test_secrets_come_from_the_environment_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    key = tmp_path / "key.pem"
    key.write_text("line 1\nline 2\r\n")
    config = parse_config(
        {
            "predictions": {"topics": ["p"]},
            "kafka": {"a": {"env": "KAFKA_PASSWORD"}, "b": {"file": "key.pem"}, "c": True, "d": 5},
        },
        base=tmp_path,
    )
    assert config.kafka_properties() == {"a": "hunter2", "b": "line 1\nline 2", "c": "true", "d": 5}
    key.write_text("rotated")
    assert config.kafka_properties()["b"] == "rotated"


def test_a_missing_secret_is_a_problem_when_the_configuration_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    assert problems(kafka={"a": {"env": "KAFKA_PASSWORD"}, "b": {"file": "no-such-file"}}) == [
        "kafka.a: expected the environment variable KAFKA_PASSWORD to be set",
        "kafka.b: expected a readable file at no-such-file, got: No such file or directory",
    ]


def test_a_secret_that_goes_missing_later_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    config = parse(kafka={"sasl.password": {"env": "KAFKA_PASSWORD"}})
    monkeypatch.delenv("KAFKA_PASSWORD")
    with pytest.raises(ConfigError, match=r"kafka\.sasl\.password: .*KAFKA_PASSWORD"):
        config.kafka_properties()


def test_no_value_of_kafka_shows_when_a_configuration_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    config = parse(kafka={"sasl.password": "hunter2", "ssl.key.password": {"env": "KAFKA_PASSWORD"}})
    shown = [
        repr(config),
        str(config),
        repr(config.kafka),
        str(config.model_dump()),
        config.model_dump_json(),
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert pickle.loads(pickle.dumps(config)).kafka_properties() == config.kafka_properties()


@pytest.mark.parametrize(
    "kafka",
    [
        "hunter2",
        ["hunter2"],
        {"a": ["hunter2"]},
        {"a": {"hunter2": 1}},
        {"a": {"env": "X", "b": "hunter2"}},
        {"a": None},
    ],
)
def test_no_value_of_kafka_shows_in_an_error(kafka: object) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(kafka=kafka, htpp="x")
    assert len(caught.value.problems) == 2
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "line",
    [
        "*hunter2",
        "!hunter2 x",
        "!hunter2!x y",
        "%hunter2",
        "@hunter2",
        "&hunter2 &b",
        '"hunter2',
        "[hunter2",
        "hunter2: x: y",
    ],
)
def test_no_value_shows_in_an_error_of_yaml(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"predictions: {{topics: [p]}}\nkafka:\n  sasl.password: {line}\n")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_document_that_is_no_mapping_is_not_quoted(tmp_path: Path) -> None:
    assert load_problems(tmp_path, "kafka:{sasl.password:hunter2}") == ["configuration: expected a mapping"]


# YAML


def test_an_error_of_syntax_tells_the_line(tmp_path: Path) -> None:
    (problem,) = load_problems(tmp_path, "predictions:\n  topics: [p\nmodels: {}\n")
    assert problem.startswith("line 3, column 7: expected YAML")
    (problem,) = load_problems(tmp_path, "predictions:\n\ttopics: [p]\n")
    assert (
        problem == "line 2, column 1: expected YAML, got: found character '\\t' that cannot start any token"
    )


def test_a_key_that_comes_twice_is_an_error_beside_all_others(tmp_path: Path) -> None:
    text = """\
predictions: {topics: [p]}
models:
  churn: {learn: 1d}
  fraud: {learn: 0}
  churn: {learn: 2d}
"""
    assert load_problems(tmp_path, text) == [
        "line 5: duplicate key churn, first on line 3",
        'models.fraud.learn: expected a duration such as "1d" or a number of events, got 0',
    ]


def test_a_key_that_comes_twice_on_one_line_is_an_error(tmp_path: Path) -> None:
    text = "predictions: {topics: [p], topics: [q]}"
    assert load_problems(tmp_path, text) == ["line 1: duplicate key topics, first on line 1"]


def test_words_of_a_country_or_a_switch_are_strings(tmp_path: Path) -> None:
    values = ["no", "yes", "on", "off", "y", "1:30", "010", "2026-01-02"]
    text = f"""
predictions: {{topics: [p]}}
models: {{"*": {{features: {{a: {{values: [{", ".join(values)}]}}}}}}}}
"""
    assert load(tmp_path, text).model("m").features["a"].values == values


def test_numbers_of_yaml(tmp_path: Path) -> None:
    text = """
predictions: {topics: [p]}
models: {"*": {features: {a: {range: [-1e-3, .inf]}, b: {center: +2.5}, c: {range: [0, 12]}}}}
"""
    features = load(tmp_path, text).model("m").features
    assert features["a"].range == (-0.001, float("inf"))
    assert features["b"].center == 2.5
    assert features["c"].range == (0, 12)


def test_anchors_and_merges_may_be_used(tmp_path: Path) -> None:
    text = """
predictions: {topics: [p]}
models:
  a: &a {learn: 5, slice: 2s, features: {x: {range: &r [0, 1]}, y: &y {strict: true}, z: &z {<<: *y, strict: false}}}
  b: {<<: *a, slice: 4s}
  c: {features: {z: {<<: *z, range: *r}}}
"""
    b = load(tmp_path, text).model("b")
    assert (b.learn, b.slice_ms) == (Learn(events=5), 4_000)


@pytest.mark.parametrize("content", [b"", b"# nothing\n"])
def test_an_empty_file_lacks_what_is_required(tmp_path: Path, content: bytes) -> None:
    assert load_problems(tmp_path, content.decode()) == ["predictions: expected a value, got nothing"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: \x00", b"a: \x1b"])
def test_bytes_that_are_no_yaml_are_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no-such\.yaml: expected a readable YAML file, got: No such file"):
        load_config("no-such.yaml")


# The schema for editors


def test_the_schema_in_the_package_is_the_one_that_the_code_makes() -> None:
    assert SCHEMA.read_text() == schema_text(), "run `stream-monitor check-config --schema > SCHEMA`"


def test_the_schema_accepts_the_example_and_so_does_the_code() -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert load_config(EXAMPLE).model("churn").labels["team"] == "growth"


# Said by code only: what holds between two fields, or what river knows.
BEYOND_SCHEMA = (
    "distinct",
    "does not write",
    "other topics",
    "min < max",
    "nothing here",
    "one of",
    "parameters",
    "between",
    "a string, got 1",
)


IN_SCHEMA = [
    (sections, problem)
    for sections, problem in MISTAKES
    if not any(words in problem for words in BEYOND_SCHEMA)
]


@pytest.mark.parametrize(("sections", "problem"), IN_SCHEMA)
def test_the_schema_rejects_what_the_code_rejects(sections: dict[str, Any], problem: str) -> None:
    document = {**sections, "predictions": {"topics": ["p"]} | sections.get("predictions", {})}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert problem in problems(**sections)


def test_defaults_in_the_schema_are_valid_and_are_those_of_the_code() -> None:
    schema = json.loads(SCHEMA.read_text())
    sections = {
        "Predictions": {"topics": ["p"]},
        "ModelConfig": {},
        "SummariesTopic": {},
        "Topic": {},
        "Http": {},
    }
    for name, required in sections.items():
        properties = schema["$defs"][name]["properties"]
        stated = {key: said["default"] for key, said in properties.items() if "default" in said}
        jsonschema.validate(stated | required, {"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]})
    stated = {
        key: said["default"]
        for key, said in schema["$defs"]["ModelConfig"]["properties"].items()
        if "default" in said
    }
    assert parse(models={"*": stated}).model("m") == ModelConfig()

"""From a YAML file to a Config, or to the list of all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stream_monitor.config.config import Config
from stream_monitor.config.problems import problems_of
from stream_monitor.errors import ConfigError


def load_config(path: str | Path) -> Config:
    """The configuration in a YAML file; paths in it are relative to the file.

    Raises ConfigError with every problem, each "path.of.field: expected ..., got ...".
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        message = f"{path}: expected a readable YAML file, got: {reason}"
    else:
        document, problems = read_yaml(text)
        return _parsed(document, path.parent, problems)
    raise ConfigError([message])


def parse_config(document: Mapping[str, Any], base: str | Path = ".") -> Config:
    """The same for a mapping; paths in it are relative to ``base``."""
    return _parsed(dict(document), Path(base), [])


def _parsed(document: Any, base: Path, problems: list[str]) -> Config:
    try:
        config = Config.model_validate({} if document is None else document, context={"base": base})
    except ValidationError as error:
        problems = problems + problems_of(error, Config)
    # Raised out here, so that no traceback shows pydantic's error with the values in it.
    if problems:
        raise ConfigError(problems)
    return config


class _Loader(yaml.SafeLoader):
    """Scalars nearly as in YAML 1.2 (``no``, ``1:30``, ``010`` and dates are strings), and no key twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: list[str] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first_lines:
                self.problems.append(f"line {line}: duplicate key {name}, first on line {first_lines[name]}")
            first_lines.setdefault(name, line)
        return node


_FLOAT = (
    r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (_FLOAT, list("-+.0123456789")),
    "merge": (r"<<", ["<"]),
}
_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first_letters) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first_letters
    )


def read_yaml(text: str) -> tuple[Any, list[str]]:
    """The document, and the keys in it that come twice. ConfigError where it is no YAML."""
    try:
        loader = _Loader(text)
        return loader.get_single_data(), loader.problems
    except yaml.MarkedYAMLError as error:
        # The parser quotes names and tags, and what it takes for one may be the start of a password. A single
        # character it may tell: most often a tab, as '\t'.
        problem = re.sub(r"(['\"])(?!<|\\[a-z]\1)[^'\"]{2,}\1", "'...'", error.problem or "not YAML")
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        message = f"{place}: expected YAML, got: {problem}"
    except yaml.YAMLError:
        message = "document: expected YAML, got characters that it does not allow"
    raise ConfigError([message])

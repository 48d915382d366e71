"""Properties for librdkafka, any of which may be a secret: what is here is never shown."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, ValidationInfo, WithJsonSchema

from stream_monitor.config.section import complain
from stream_monitor.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FromEnv:
    """A value that an environment variable holds."""

    name: str

    def read(self) -> str:
        if self.name not in os.environ:
            message = f"expected the environment variable {self.name} to be set"
            raise ConfigError([message])
        return os.environ[self.name]


@dataclass(frozen=True, slots=True)
class FromFile:
    """A value that a file holds, without the line end. Read when it is needed: such files are rotated."""

    path: Path

    def read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            message = f"expected a readable file at {self.path}, got: {reason}"
        raise ConfigError([message])


class Properties(dict[str, Any]):
    """librdkafka's properties by name. Its repr shows the names only."""

    def __repr__(self) -> str:
        return f"Properties({', '.join(sorted(self))})"

    def resolved(self) -> dict[str, Any]:
        """The values themselves, secrets read now. Raises ConfigError that names the property."""
        values, problems = {}, []
        for name, value in self.items():
            try:
                values[name] = value.read() if isinstance(value, FromEnv | FromFile) else value
            except ConfigError as error:
                problems += [f"kafka.{name}: {problem}" for problem in error.problems]
        if problems:
            raise ConfigError(problems)
        return values


def _property(value: Any, info: ValidationInfo) -> str | int | float | FromEnv | FromFile:
    base: Path = (info.context or {}).get("base", Path())
    secret: FromEnv | FromFile
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return value
        case {"env": str(name), **rest} if not rest:
            secret = FromEnv(name)
        case {"file": str(path), **rest} if not rest:
            secret = FromFile(base / path)
        case _:
            problem = "expected a string, a number, a boolean, {env: NAME} or {file: PATH}"
            return complain(problem)
    try:
        secret.read()
    except ConfigError as error:
        problem = str(error)
    else:
        return secret
    return complain(problem)


def _one_of(name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"}},
        "required": [name],
        "additionalProperties": False,
    }


_SCHEMA = {"anyOf": [{"type": ["string", "number", "boolean"]}, _one_of("env"), _one_of("file")]}

KafkaProperties = Annotated[
    dict[str, Annotated[Any, PlainValidator(_property), WithJsonSchema(_SCHEMA)]],
    AfterValidator(Properties),
]

"""The JSON Schema of the configuration, for editors that complete and check YAML while it is written."""

from __future__ import annotations

import json

from pydantic.json_schema import GenerateJsonSchema

from stream_monitor.config.config import Config


class _Generator(GenerateJsonSchema):
    """Without a title for each field: it would say no more than the field's name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def schema_text() -> str:
    """The schema as it is kept in ``schemas/config.json``."""
    schema = Config.model_json_schema(schema_generator=_Generator)
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema | {"title": "stream-monitor configuration"}, indent=2) + "\n"

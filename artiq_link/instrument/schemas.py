"""JSON Schemas of parameters and results: made of type hints, and said in words.

Schemas have the units of what they describe: ``"unit": "Hz"``. The words that users are shown,
such as ``float, from 0 to 1``, are Python's names of types, as the server's refusals have them.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_origin

import msgspec
import numpy as np

from .annotations import kinds_of, members_of, unit_of

TYPE_NAMES = {
    "array": "list",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "object": "object",
    "string": "str",
}
"""Names of JSON Schema's types."""

_BOUNDS = {
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "to",
    "exclusiveMaximum": "below",
}


def describe_type(annotation: Any) -> dict[str, Any]:
    """A type hint's JSON Schema and, where it has one, its unit, as `link.describe` shows them.

    Raises TypeError for a type that msgspec does not know how to describe.
    """
    schema = msgspec.json.schema(annotation, schema_hook=_schema_of_custom)
    for definition in schema.get("$defs", {}).values():
        # Python takes the indentation out of docstrings from its version 3.13 on.
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    description: dict[str, Any] = {"schema": schema}
    for kind in kinds_of(annotation):
        for name, member in members_of(kind).items():
            if unit := unit_of(member):
                definition = description["schema"]["$defs"][kind.__name__]
                definition["properties"][name]["unit"] = unit
    if unit := unit_of(annotation):
        description["unit"] = unit
    return description


def check_request_type(annotation: Any) -> None:
    """Raise TypeError for a type that no request can give: neither JSON's nor array nor path."""
    msgspec.json.schema(annotation, schema_hook=_schema_of_parameter)


def _schema_of_parameter(kind: Any) -> dict[str, Any]:
    origin = get_origin(kind) or kind
    if origin is np.ndarray or issubclass(origin, Path):
        return _schema_of_custom(kind)
    raise TypeError(f"a request cannot give what is declared as {kind.__name__!r}")


def _schema_of_custom(kind: Any) -> dict[str, Any]:
    kind = get_origin(kind) or kind
    if kind is np.ndarray:
        return {"type": "array", "items": {"type": "number"}, "format": "nparray"}
    if issubclass(kind, Path):
        return {"type": "string", "format": "path"}
    return {"description": kind.__name__}


def alternatives(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which a value fits one: references followed, null left out.

    `definitions` is what references point at, the ``$defs`` of the whole schema.
    """
    if "$ref" in schema:
        return alternatives(definitions[_referred(schema)], definitions)
    if "anyOf" in schema:
        return [kind for part in schema["anyOf"] for kind in alternatives(part, definitions)]
    return [] if schema.get("type") == "null" else [schema]


def admits_null(schema: dict[str, Any]) -> bool:
    """Whether null is among what a schema takes."""
    return any(kind.get("type") == "null" for kind in (schema, *schema.get("anyOf", ())))


def unit_in(schema: dict[str, Any]) -> str:
    """The unit that a schema has, or one of those that it admits; empty where there is none."""
    return next((s["unit"] for s in (schema, *schema.get("anyOf", ())) if "unit" in s), "")


def type_text(schema: dict[str, Any]) -> str:
    """Say in a word or two what values a schema takes; references by their names."""
    if "anyOf" in schema:
        kinds = [type_text(kind) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return _referred(schema)
    if schema.get("format") == "nparray":
        return "array"
    kind = TYPE_NAMES.get(schema.get("type", ""), schema.get("type", "any"))
    if kind == "list" and "items" in schema:
        return f"list of {type_text(schema['items'])}"
    return ", ".join(filter(None, (kind, bounds_text(schema))))


def bounds_text(schema: dict[str, Any]) -> str:
    """Say between what bounds a schema's numbers lie: ``from 0 to 1``, ``above 0``, or nothing."""
    return " ".join(
        f"{word} {_number_text(schema[key])}" for key, word in _BOUNDS.items() if key in schema
    )


def _number_text(number: float) -> str:
    # 400e6 Hz is 400000000, and 0.1 + 0.2 is 0.3; a whole number keeps all its digits.
    return f"{number:.12g}" if isinstance(number, float) else str(number)


def _referred(schema: dict[str, Any]) -> str:
    """The name of the definition that a schema refers to."""
    return str(schema["$ref"]).rpartition("/")[2]

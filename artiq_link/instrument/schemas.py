"""What a JSON Schema says of a value, in the words that users are shown: ``float, from 0 to 1``.

The words are Python's names of types, as the server's refusals have them.
"""

from __future__ import annotations

from typing import Any

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


def alternatives(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which a value fits one: references followed, null left out.

    `definitions` is what references point at, the ``$defs`` of the whole schema.
    """
    if "$ref" in schema:
        return alternatives(definitions[_referred(schema)], definitions)
    if "anyOf" in schema:
        return [kind for part in schema["anyOf"] for kind in alternatives(part, definitions)]
    return [] if schema.get("type") == "null" else [schema]


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

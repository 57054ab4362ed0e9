"""A command line that can be typed for a command: values that its parameters take."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from ..instrument.schemas import admits_null, alternatives, unit_in
from ..units import example_of, read_quantity

MAX_DEPTH = 4
"""Levels of lists in one another, below which they are empty."""


def example_line(name: str, parameters: list[dict[str, Any]]) -> str:
    """How the command is sent with its required parameters, and the first of the others.

    The values are of the right types and within the declared bounds; they mean nothing.
    """
    required = [parameter for parameter in parameters if parameter["required"]]
    optional = [parameter for parameter in parameters if not parameter["required"]]
    words = [f"{shown['name']}={_typed(shown)}" for shown in (*required, *optional[:1])]
    return shlex.join(["artiq-link", "send", name, *words])


def _typed(parameter: dict[str, Any]) -> str:
    """A parameter's value as it is typed: ``80MHz``, ``on``, ``ch0``, JSON."""
    schema, unit = parameter["schema"], parameter.get("unit", "")
    value = parameter.get("default")
    if value is None:
        value = _value(schema, unit, schema.get("$defs", {}))
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    if unit and value == _quantity(unit) and " " not in example_of(unit):
        return example_of(unit)
    return json.dumps(value)


def _value(schema: dict[str, Any], unit: str, definitions: dict[str, Any], depth: int = 0) -> Any:
    """A value that a schema takes, as far as it says so."""
    if depth and admits_null(schema):
        return None
    kind = next(iter(alternatives(schema, definitions)), {})
    match kind.get("type"):
        case _ if "enum" in kind:
            return kind["enum"][0]
        case "number" | "integer":
            return next((number for number in _numbers(kind, unit) if _fits(number, kind)), 0)
        case "boolean":
            return True
        case "array":
            # A type may have a list of itself as a member.
            count = max(kind.get("minItems", 0), int(depth < MAX_DEPTH))
            items = kind.get("items", {})
            return [_value(items, unit, definitions, depth + 1) for _ in range(count)]
        case "object":
            properties = kind.get("properties", {})
            return {
                name: _value(member, unit_in(member), definitions, depth + 1)
                for name, member in properties.items()
                if name in kind.get("required", ())
            }
        case _:
            return "text"


def _numbers(kind: dict[str, Any], unit: str) -> Iterator[float]:
    """Numbers that are tried, those that read best first."""
    if unit:
        yield _quantity(unit)
    yield from (0, 1) if kind["type"] == "integer" else (1, 0)  # channels begin with 0
    bounds = [
        kind[name]
        for name in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
        if name in kind
    ]
    for bound in bounds:
        yield from (bound, bound + 1, bound - 1)
    if bounds:
        yield sum(bounds) / len(bounds)


def _fits(number: float, kind: dict[str, Any]) -> bool:
    return (
        kind.get("minimum", number) <= number <= kind.get("maximum", number)
        and ("exclusiveMinimum" not in kind or number > kind["exclusiveMinimum"])
        and ("exclusiveMaximum" not in kind or number < kind["exclusiveMaximum"])
        and (kind["type"] == "number" or number == int(number))
        and number % kind.get("multipleOf", number or 1) == 0
    )


def _quantity(unit: str) -> float:
    return read_quantity(example_of(unit), unit)

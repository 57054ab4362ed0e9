"""JSON Schemas in words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from artiq_link.instrument.schemas import alternatives, bounds_text, type_text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "number", "minimum": 0, "maximum": 1}, "float, from 0 to 1"),
        ({"type": "number", "exclusiveMaximum": 1}, "float, below 1"),
        ({"type": "integer", "maximum": 4194304}, "int, to 4194304"),
        ({"type": "array", "items": {"type": "string"}}, "list of str"),
        ({"type": "array"}, "list"),
        ({"type": "array", "items": {"type": "number"}, "format": "nparray"}, "array"),
        ({"type": "object"}, "object"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "bool"),
        ({"anyOf": [{"$ref": "#/$defs/Pulse"}, {"type": "integer"}]}, "Pulse or int"),
        ({"enum": ["a", 1]}, "a | 1"),
        ({"type": "octets"}, "octets"),
        ({}, "any"),
    ],
)
def test_type_text(schema: dict[str, Any], text: str) -> None:
    assert type_text(schema) == text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "number"}, ""),
        ({"minimum": -5, "maximum": 5.5}, "from -5 to 5.5"),
        ({"exclusiveMinimum": 0, "exclusiveMaximum": 0.1 + 0.2}, "above 0 below 0.3"),
        ({"maximum": 400e6}, "to 400000000"),
        ({"maximum": 2**48 - 1}, "to 281474976710655"),
    ],
)
def test_bounds_text(schema: dict[str, Any], text: str) -> None:
    assert bounds_text(schema) == text


class Pulse(msgspec.Struct):
    length: float


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (Any, ["any"]),
        (None, []),
        (int | str | None, ["int", "str"]),
        (Pulse | None, ["object"]),
        (Annotated[float, msgspec.Meta(gt=0)] | bool, ["bool", "float, above 0"]),
        (Literal["fast", "slow"] | None, ["fast | slow"]),
    ],
)
def test_alternatives_are_all_that_a_value_may_be_but_null(kind: Any, texts: list[str]) -> None:
    schema = msgspec.json.schema(kind)
    found = alternatives(schema, schema.get("$defs", {}))
    assert sorted(map(type_text, found)) == texts

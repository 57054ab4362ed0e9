"""JSON Schemas: made of type hints with their units, and said in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest

from artiq_link.instrument.schemas import (
    alternatives,
    bounds_text,
    check_request_type,
    describe_type,
    type_text,
)

# --- made of type hints

Frequency = Annotated[float, msgspec.Meta(ge=0, extra={"unit": "Hz"})]


class Step(msgspec.Struct):
    """One step.

    Its time is the table's.
    """

    frequency: Frequency
    count: int


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        (Frequency, {"schema": {"type": "number", "minimum": 0}, "unit": "Hz"}),
        (int, {"schema": {"type": "integer"}}),
        (None, {"schema": {"type": "null"}}),
        (
            np.ndarray,
            {"schema": {"type": "array", "items": {"type": "number"}, "format": "nparray"}},
        ),
        (Path, {"schema": {"type": "string", "format": "path"}}),
        (complex, {"schema": {"description": "complex"}}),
    ],
)
def test_a_type_is_described_with_its_unit(annotation: Any, described: dict[str, Any]) -> None:
    assert describe_type(annotation) == described


@pytest.mark.parametrize("annotation", [Step, list[Step] | None, dict[str, Step]])
def test_members_of_objects_have_their_units(annotation: Any) -> None:
    properties = describe_type(annotation)["schema"]["$defs"]["Step"]["properties"]
    assert properties["frequency"]["unit"] == "Hz"
    assert "unit" not in properties["count"]


def test_docstrings_are_shown_without_their_indentation() -> None:
    definition = describe_type(Step)["schema"]["$defs"]["Step"]
    assert definition["description"] == "One step.\n\nIts time is the table's."


def test_what_no_request_can_give_is_a_result_only() -> None:
    check_request_type(list[Path] | None)
    with pytest.raises(TypeError, match=r"^a request cannot give what is declared as 'complex'$"):
        check_request_type(list[complex])


# --- said in words


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

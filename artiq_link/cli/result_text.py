"""A command's result, written for people: a line for each member, numbers with their units."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent
from typing import Any, NamedTuple

from ..instrument.schemas import alternatives, unit_in
from ..units import write_quantity


def result_text(value: Any, description: dict[str, Any]) -> str:
    """`value` in lines; `description` has its JSON Schema and unit where they are declared."""
    schema = description.get("schema", {})
    place = _Place(schema, description.get("unit", ""), schema.get("$defs", {}))
    return "\n".join(_lines(value, place))


class _Place(NamedTuple):
    """What is declared of a part of the result."""

    schema: dict[str, Any]
    unit: str
    definitions: dict[str, Any]

    def member(self, name: str) -> _Place:
        """Of an object's member."""
        for kind in alternatives(self.schema, self.definitions):
            if schema := kind.get("properties", {}).get(name):
                return _Place(schema, unit_in(schema), self.definitions)
            if isinstance(schema := kind.get("additionalProperties"), dict):
                return self._inner(schema)
        return _Place({}, "", {})

    def item(self) -> _Place:
        """Of a list's items."""
        for kind in alternatives(self.schema, self.definitions):
            if isinstance(schema := kind.get("items"), dict):
                return self._inner(schema)
        return self._inner({})

    def _inner(self, schema: dict[str, Any]) -> _Place:
        # The unit of ``list[Frequency]`` stands with the list.
        return _Place(schema, unit_in(schema) or self.unit, self.definitions)


def _lines(value: Any, place: _Place) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            text = "\n".join(_lines(member, place.member(name)))
            yield f"{name}:\n{indent(text, '  ')}" if _has_lines(member) else f"{name}: {text}"
    elif _has_lines(value):
        for item in value:
            text = "\n".join(_lines(item, place.item()))
            yield f"- {indent(text, '  ').lstrip(' ')}"
    elif isinstance(value, str):
        yield value
    else:
        yield _word(value, place)


def _has_lines(value: Any) -> bool:
    """Whether a value is written in lines of its own: an object, or a list that has such parts."""
    if isinstance(value, list):
        return any(isinstance(item, (dict, list)) and item for item in value)
    return isinstance(value, dict) and bool(value)


def _word(value: Any, place: _Place) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_word(item, place.item()) for item in value)}]"
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and place.unit:
        return write_quantity(value, place.unit)
    return str(value)

"""What people type for a parameter, in a shell or in a field, becomes a value.

One set of rules for both. What the parameter's schema and unit say decides, where they are known;
otherwise the text is JSON, one of Python's True, False and None, or a number as people write it:
``.5``, ``+5``. Only where nothing is known of the parameter may it be a text without quotes.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from ..text import written
from ..units import example_of, known_quantity, read_quantity
from .schemas import TYPE_NAMES, admits_null, alternatives

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?|[0-9]*\.[0-9]+)([eE][+-]?[0-9]+)?")
_CONSTANTS = {"True": True, "False": False, "None": None}
_SWITCH = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False}

_TYPES: dict[type | tuple[type, ...], str] = {
    bool: "boolean",  # before the numbers, of which it is one for Python
    (int, float): "number",
    dict: "object",
    list: "array",
    str: "string",
}


def read_text(text: str, kinds: AbstractSet[str], unit: str = "") -> Any:
    """Read what was typed for a parameter of these JSON types; any value where there are none.

    A number may have its unit behind it, with a prefix of its own: ``80MHz`` where `unit` is Hz.
    A boolean may be on or off, yes or no. Raises ValueError that says what was expected.
    """
    if kinds & {"number", "integer"}:
        with contextlib.suppress(ValueError):
            number = _read_number_of(text, unit)
            if "number" in kinds or isinstance(number, int):
                return number
            if number.is_integer():  # 1e3 samples
                return int(number)
    if "boolean" in kinds and text.lower() in _SWITCH:
        return _SWITCH[text.lower()]
    if kinds == {"array"} and not text.startswith("["):
        raise ValueError("expected a list such as [1, 2, 3]")
    if not kinds or kinds <= {"array", "object"}:
        value = _read_value(text, read_json)
        if not kinds or _kind(value) in kinds:
            return value
    elif kinds & {"array", "object"}:
        with contextlib.suppress(ValueError):
            value = _read_value(text, read_json)
            if _kind(value) in kinds:
                return value
    if "string" in kinds:
        return text
    raise ValueError(f"expected {_expected(text, kinds, unit)}, got {text!r:.60}")


def _expected(text: str, kinds: AbstractSet[str], unit: str) -> str:
    """The types in words, with an example that fits what was typed."""
    words = " or ".join(TYPE_NAMES[kind] for kind in sorted(kinds))
    if kinds & {"array", "object"}:
        return f"{words} in JSON"
    if unit:
        return f"{words} such as {example_of(unit)}"
    if kinds == {"boolean"}:
        return f"{words}: on or off"
    with contextlib.suppress(ValueError):
        if (number := known_quantity(text)) is not None:
            return f"{words} without a unit, such as {written(number)}"
    return words


def read_parameter(text: str, schema: dict[str, Any], unit: str = "") -> Any:
    """Read what was typed in a shell for a parameter of this JSON Schema and unit.

    As `read_text` does. Beyond it, null, one of several choices, and what begins as JSON's
    objects, arrays and quoted texts do is taken as such, so that a text that looks like a
    number can be given wherever it may stand. Raises ValueError that says what was expected.
    """
    kinds = alternatives(schema, schema.get("$defs", {}))
    types = {kind["type"] for kind in kinds if "type" in kind}
    if text in {"null", "None"} and admits_null(schema):
        return None
    for choice in (choice for kind in kinds for choice in kind.get("enum", ())):
        if text == str(choice):
            return choice
    if text.startswith('"') or (text.startswith(("[", "{")) and types != {"string"}):
        with contextlib.suppress(ValueError):
            return read_json(text)
    if types:
        return read_text(text, types, unit)
    # What is none of the choices, the server refuses with their names.
    return read_unknown(text) if any("enum" in kind for kind in kinds) else read_undeclared(text)


def read_undeclared(text: str) -> Any:
    """Do as `read_unknown`, but refuse what only looks like a text: ``80MHz``, ``off``.

    Whoever gets it would take the one for no number, and the other for true.
    """
    value = read_unknown(text)
    if value == text:
        number = known_quantity(text)
        meant = json.dumps(_SWITCH.get(text.lower())) if number is None else written(number)
        if meant != "null":
            raise ValueError(
                f"{text!r:.60} is a text where no type is declared; "
                f"write {meant}, or '\"{text:.60}\"' if a text is meant"
            )
    return value


def read_unknown(text: str) -> Any:
    """Read what was typed for a parameter of which nothing is known; what is no value is a text.

    NaN, infinities and numbers beyond floats become floats, so that whoever sends them says that
    they cannot be sent.
    """
    try:
        return _read_value(text, json.loads)
    except (ValueError, RecursionError):
        return text


def read_json(text: str) -> Any:
    """Read JSON; raises ValueError that says what is wrong, and where."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise ValueError("not JSON: nested too deep") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"not JSON: it has no {name}")


def _read_value(text: str, read: Callable[[str], Any]) -> Any:
    """Read any value: what `read` knows, a number, or one of Python's constants."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    with contextlib.suppress(ValueError):
        return _read_number(text)
    return read(text)


def _read_number_of(text: str, unit: str) -> int | float:
    """Read a number that may have its unit behind it."""
    try:
        return _read_number(text)
    except ValueError:
        if not unit:
            raise
        return read_quantity(text, unit)


def _read_number(text: str) -> int | float:
    """Read a number as people type it: ``80e6``, ``.5``; raises ValueError for what is none."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is beyond floats")
    return number


def _kind(value: Any) -> str:
    """The JSON type of a value."""
    for kind, name in _TYPES.items():
        if isinstance(value, kind):
            return name
    return "null"

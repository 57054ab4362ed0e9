"""What people type for a parameter, in a shell or in a field, becomes a value.

One set of rules for both. What the parameter's schema says decides, where it is known; otherwise
the text is JSON, one of Python's True, False and None, or a number as people write it: ``.5``,
``+5``. Only where nothing is known of the parameter may it be a text without quotes.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from .schemas import TYPE_NAMES

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?|[0-9]*\.[0-9]+)([eE][+-]?[0-9]+)?")
_CONSTANTS = {"True": True, "False": False, "None": None}

_TYPES: dict[type | tuple[type, ...], str] = {
    bool: "boolean",  # before the numbers, of which it is one for Python
    (int, float): "number",
    dict: "object",
    list: "array",
    str: "string",
}


def read_text(text: str, kinds: AbstractSet[str]) -> Any:
    """Read what was typed for a parameter of these JSON types; any value where there are none.

    Raises ValueError that says what was expected.
    """
    if kinds & {"number", "integer"}:
        with contextlib.suppress(ValueError):
            number = _read_number(text)
            if "number" in kinds or isinstance(number, int):
                return number
            if number.is_integer():  # 1e3 samples
                return int(number)
    if kinds == {"array"} and not text.startswith("["):
        raise ValueError("expected a list such as [1, 2, 3]")
    if not kinds or kinds <= {"array", "object"}:
        value = _read_value(text, read_json)
        if not kinds or _kind(value) in kinds:
            return value
    elif kinds & {"array", "boolean", "object"}:
        with contextlib.suppress(ValueError):
            value = _read_value(text, read_json)
            if _kind(value) in kinds:
                return value
    if "string" in kinds:
        return text
    expected = " or ".join(TYPE_NAMES[kind] for kind in sorted(kinds))
    if kinds - {"integer", "number"}:
        expected += " in JSON"
    raise ValueError(f"expected {expected}, got {text!r:.60}")


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

"""PYON v2, which is JSON: other values are ``{"__jsonclass__": [name, [arguments]]}``.

sipyco writes and reads it from release 1.10 on (`sipyco.pyon`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from ..errors import Malformed
from ..slices import Slices
from ..values import (
    CLASS_KEY,
    MAX_ESCAPES,
    base64_text,
    dtype_and_base64,
    object_of,
    refuse_half_characters,
    replacing_classes,
)
from .json_pieces import finding_cuts, parsing
from .pyon import (
    CLASSES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_FLOAT_LENGTH,
    SIMPLE,
    TOO_DEEP,
    NotText,
    Version,
    counted,
    dict_of,
    form_of,
    integer,
    pairs_in,
    real,
    set_of,
    text_of,
)
from .scanner import ObjectScanner


def reading(line: bytes | bytearray | str) -> Slices[Any]:
    """Read one value in slices; arrays become `numpy.ndarray`, ``npscalar`` NumPy scalars.

    Raises `Malformed`, and nothing else, saying what is wrong. Arrays of objects and what is
    beyond the limits of `pyon` are refused.
    """
    data = yield from counted(line)
    try:
        if len(data) <= _AT_ONCE:
            plain = _parse(data)
        else:
            cuts = yield from finding_cuts(data, ObjectScanner(MAX_DIGITS))
            plain = yield from parsing(data, cuts, _parse)
        return (yield from replacing_classes(plain, _make, MAX_DEPTH))
    except NotText:
        raise
    except Malformed as error:
        raise Malformed(f"not PYON v2: {error}") from None


def _parse(data: bytes | bytearray) -> Any:
    """Read JSON text, and leave the objects of PYON in their notation."""
    text = text_of(data)
    if (escapes := text.count("\\")) > MAX_ESCAPES:
        raise Malformed(f"{escapes} escapes; at most {MAX_ESCAPES} are read")
    try:
        is_short = len(text) < SHORT and not _LONG_NUMBER.search(text)
        plain = (_DECODER if is_short else _WARY_DECODER).decode(text)
        refuse_half_characters(text, plain)
        return plain
    except json.JSONDecodeError as error:
        raise Malformed(f"{error.msg} (char {error.pos})") from None
    except UnicodeEncodeError:
        raise Malformed("an escape stands for no character") from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None


def _make(name: str, arguments: list[Any]) -> Any:
    """Make the object of PYON that has this name."""
    if name not in _CLASSES:
        raise Malformed(f"PYON has no class {name:.40}")
    return _CLASSES[name](arguments)


def encode(value: Any) -> str:
    """Write a value in ASCII, on one line, as sipyco does.

    Which types are taken and what is raised is said at `pyon.form_of`.
    """
    form = _object(value, 0)
    try:
        return _ENCODER.encode(form)
    except TypeError:  # it has met long base64
        return _encode_with_base64(form)


def _encode_with_base64(form: Any) -> str:
    long: list[str] = []

    def leave_out(text: _Base64) -> str:
        long.append(text.text)
        return _PLACE

    encoder = json.JSONEncoder(separators=(",", ":"), default=leave_out)
    *between, end = encoder.encode(form).split(_PLACE)
    return "".join([*chain.from_iterable(zip(between, long, strict=True)), end])


V2 = Version(encode, reading)

_ENCODER = json.JSONEncoder(separators=(",", ":"))

_PLACE = secrets.token_hex(16)
"""Where long base64 is put in: nobody can have it in his text."""

_LONG = 64 * 1024
"""Characters of base64 from which on the encoder does not look through them: it holds all others
up for 20 ms with those of 8 MB."""

_DECODER = json.JSONDecoder()
_WARY_DECODER = json.JSONDecoder(parse_int=integer, parse_float=real)

_AT_ONCE = 32 * 1024
"""Bytes of a line that is parsed without a look for places to cut it."""

SHORT = 4096
"""Characters of a line in which looking for a long number takes less than looking at each."""

_LONG_NUMBER = re.compile(rf"[0-9.eE+-]{{{MAX_FLOAT_LENGTH + 1}}}")
"""Only beside one of these, a number can be beyond the limits of `pyon`."""


class _Base64:
    """A long text that needs no escapes."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _items_in(name: str, arguments: list[Any]) -> list[Any]:
    match arguments:
        case [list(items)]:
            return items
    raise Malformed(f"{name}: expected one list")


def _complex(arguments: list[Any]) -> complex:
    match arguments:
        case [int() | float() as real_part, int() | float() as imaginary_part]:
            try:
                return complex(real_part, imaginary_part)
            except OverflowError:
                pass
    raise Malformed("complex: expected two floats")


def _bytes(arguments: list[Any]) -> bytes:
    match arguments:
        case [str(text)]:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                pass
    raise Malformed("bytes: expected base64")


_CLASSES: dict[str, Callable[[list[Any]], Any]] = {
    **CLASSES,
    "tuple": lambda arguments: tuple(_items_in("tuple", arguments)),
    "set": lambda arguments: set_of(_items_in("set", arguments)),
    "dict": lambda arguments: dict_of(pairs_in("dict", arguments)),
    "complex": _complex,
    "bytes": _bytes,
}


# Writing. A form takes a value and the depth of what is inside it.


def _object(value: Any, depth: int) -> Any:
    return form_of(value, _FORMS, depth)


def _number_or_text(value: Any, _depth: int) -> Any:
    return value


def _dict_form(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if CLASS_KEY not in value and all(isinstance(key, str) for key in value):
        return {
            key: item if type(item) in SIMPLE else _object(item, depth)
            for key, item in value.items()
        }
    return object_of("dict", _pairs_form(value, depth))


def _pairs_form(value: dict[Any, Any], depth: int) -> Any:
    return _object([[key, item] for key, item in value.items()], depth)


def _slice_form(value: slice, depth: int) -> dict[str, Any]:
    parts = (value.start, value.stop, value.step)
    return object_of("slice", *(_object(part, depth) for part in parts))


def _array_form(value: np.ndarray[Any, Any], depth: int) -> dict[str, Any]:
    dtype, text = dtype_and_base64(value)
    return object_of("nparray", _object([*value.shape], depth), dtype, _base64_form(text))


def _bytes_form(value: bytes | bytearray, _depth: int) -> dict[str, Any]:
    return object_of("bytes", _base64_form(base64_text(value)))


def _base64_form(text: str) -> str | _Base64:
    return _Base64(text) if len(text) > _LONG else text


_FORMS: dict[type, Callable[[Any, int], Any]] = {
    **dict.fromkeys(SIMPLE, _number_or_text),
    np.float64: lambda value, depth: float(value),  # a float to sipyco too
    complex: lambda value, depth: object_of("complex", value.real, value.imag),
    bytes: _bytes_form,
    bytearray: _bytes_form,
    tuple: lambda value, depth: object_of("tuple", _object([*value], depth)),
    list: lambda value, depth: [
        item if type(item) in SIMPLE else _object(item, depth) for item in value
    ],
    set: lambda value, depth: object_of("set", _object([*value], depth)),
    frozenset: lambda value, depth: object_of("set", _object([*value], depth)),
    dict: _dict_form,
    OrderedDict: lambda value, depth: object_of("OrderedDict", _pairs_form(value, depth)),
    slice: _slice_form,
    Fraction: lambda value, depth: object_of("Fraction", value.numerator, value.denominator),
    np.ndarray: _array_form,
    np.generic: lambda value, depth: object_of("npscalar", *dtype_and_base64(value)),
}

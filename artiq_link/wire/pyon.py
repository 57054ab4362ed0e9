"""PYON, the notation of values in NDSP: what a line of either version may hold and may cost.

sipyco writes and reads two versions: one that looks like Python (`pyon_v1`) in its releases up to
1.9, one that is JSON (`pyon_v2`) from 1.10 on. Both carry the same values, and name the same
classes for those that have no brackets of their own.

A line is read in slices, so that other clients are served meanwhile; and whatever could take long
is counted before it is done.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, OrderedDict
from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from ..errors import Malformed
from ..slices import BYTES, Slices, finish
from ..values import array_from_parts

MAX_VALUES = 3 << 13
"""In one line, counted by its commas and opening brackets. Reading one takes up to 3 us; arrays
are one value, whatever their size."""

MAX_DEPTH = 64
"""Values inside values. CPython's `eval`, to which sipyco hands PYON v1, gives up near 100 in
releases up to 3.8; and so few levels fit on any stack."""

MAX_DIGITS = 640
"""Of an integer. Reading takes the square of their number, and Python promises to read so many
whatever `sys.set_int_max_str_digits` says."""

MAX_FLOAT_LENGTH = 40
"""Characters of a float; repr() writes 24 at most. Beyond 40 digits Python calculates with large
integers: 36 us for one of 700."""

MAX_KEYS = 1024
"""In one dictionary or set, strings and bytes not counted: numbers can be chosen so that each
looks for its place where the others are, and strings cannot, because Python salts their hashes."""

MAX_EQUAL_HASHES = 8
"""Among these keys. Two keys with one hash are compared: a microsecond for fractions and NumPy's
numbers, and their whole length for tuples."""

SIMPLE = frozenset({type(None), bool, int, float, str})
"""The types whose values stand for themselves, here as in JSON."""

TOO_DEEP = f"values are nested deeper than {MAX_DEPTH} levels"


class Version(NamedTuple):
    """How one version of PYON is written and read."""

    encode: Callable[[Any], str]
    reading: Callable[[bytes | bytearray | str], Slices[Any]]

    def decode(self, line: bytes | bytearray | str) -> Any:
        """Read a line at once; raises `Malformed`."""
        return finish(self.reading(line))


# Reading.


def counted(line: bytes | bytearray | str) -> Slices[bytes | bytearray]:
    """The bytes of a line, once it is counted, in slices, that reading them is worth its while.

    Raises `Malformed` beyond `MAX_VALUES`, and for half a surrogate pair.
    """
    try:
        data = line.encode() if isinstance(line, str) else line
    except UnicodeEncodeError as error:
        raise Malformed(f"not Unicode: half a surrogate pair (char {error.start})") from None
    number = 0
    for begin in range(0, len(data), BYTES):
        count = data[begin : begin + BYTES].count
        number += count(b",") + count(b"[") + count(b"(") + count(b"{")
        if len(data) > BYTES:
            yield
    if number > MAX_VALUES:
        raise Malformed(
            f"not PYON: a line of {number} values; at most {MAX_VALUES} are read, "
            "send numbers as an array"
        )
    return data


class NotText(Malformed):
    """Bytes that are not UTF-8."""


def text_of(data: bytes | bytearray) -> str:
    """The text of bytes; raises `NotText`."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NotText(
            f"not UTF-8: byte 0x{error.object[error.start]:02x} (byte {error.start})"
        ) from None


def integer(digits: str) -> int:
    """Read an integer; raises `Malformed` beyond `MAX_DIGITS`."""
    number = len(digits.removeprefix("-"))
    if number > MAX_DIGITS:
        raise Malformed(f"an integer of {number} digits; at most {MAX_DIGITS} are read")
    return int(digits)


def real(literal: str) -> float:
    """Read a float; raises `Malformed` beyond `MAX_FLOAT_LENGTH`."""
    if len(literal) > MAX_FLOAT_LENGTH:
        raise Malformed(
            f"a float of {len(literal)} characters; at most {MAX_FLOAT_LENGTH} are read"
        )
    return float(literal)


def set_of(members: list[Any]) -> set[Any]:
    """Make a set; raises `Malformed` for members that are none, or cost too much."""
    return _keyed(set, members, members)


def dict_of(pairs: list[Any]) -> dict[Any, Any]:
    """Make a dictionary; raises `Malformed` for keys that are none, or cost too much."""
    return _keyed(dict, pairs, [key for key, _ in pairs])


_Keyed = TypeVar("_Keyed", set[Any], dict[Any, Any], OrderedDict[Any, Any])


def _keyed(kind: type[_Keyed], content: list[Any], keys: list[Any]) -> _Keyed:
    others = [key for key in keys if type(key) not in (str, bytes)]
    if len(others) > MAX_KEYS:
        raise Malformed(
            f"{len(others)} keys or members that are not strings; at most {MAX_KEYS} are read"
        )
    try:
        hashes = [hash(key) for key in others]
        if len(set(hashes)) == len(hashes):
            return kind(content)
        equal = max(Counter(hashes).values())
        if equal > MAX_EQUAL_HASHES:
            raise Malformed(
                f"{equal} keys or members with one hash; at most {MAX_EQUAL_HASHES} are read"
            )
        # They are compared, and NumPy's comparisons can overflow and warn.
        with np.errstate(all="ignore"):
            return kind(content)
    except (ArithmeticError, TypeError, ValueError):
        raise Malformed(
            "keys and members of a set must be numbers, strings, bytes, or tuples of them"
        ) from None


def pairs_in(name: str, arguments: list[Any]) -> list[Any]:
    """The one argument of a class that takes pairs; raises `Malformed` if it is not that."""
    match arguments:
        case [list(pairs)] if all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
            return pairs
    raise Malformed(f"{name}: expected one list of pairs")


def _slice(arguments: list[Any]) -> slice:
    if len(arguments) != 3:
        raise Malformed("slice: expected start, stop and step")
    return slice(*arguments)


def _fraction(arguments: list[Any]) -> Fraction:
    # Fraction() itself would also read text, and "1e1000000000" is a number without end.
    match arguments:
        case [int(numerator), int(denominator)] if denominator != 0:
            return Fraction(numerator, denominator)
    raise Malformed("Fraction: expected two integers, the second not 0")


def _ordered_dict(arguments: list[Any]) -> OrderedDict[Any, Any]:
    pairs = pairs_in("OrderedDict", arguments)
    return _keyed(OrderedDict, pairs, [key for key, _ in pairs])


def _array(arguments: list[Any]) -> np.ndarray[Any, Any]:
    if len(arguments) != 3:
        raise Malformed("nparray: expected shape, dtype and base64")
    return array_from_parts(*arguments)


def _scalar(arguments: list[Any]) -> Any:
    if len(arguments) != 2:
        raise Malformed("npscalar: expected dtype and base64")
    return array_from_parts([], *arguments)[()]


CLASSES: dict[str, Callable[[list[Any]], Any]] = {
    "slice": _slice,
    "Fraction": _fraction,
    "OrderedDict": _ordered_dict,
    "nparray": _array,
    "npscalar": _scalar,
}
"""What stands behind a name in both versions, made from its arguments."""


# Writing.

Form = TypeVar("Form")


def form_of(value: Any, forms: dict[type, Callable[[Any, int], Form]], depth: int) -> Form:
    """Write a value, inside `depth` others, by the form of its nearest type.

    A form takes a value and the depth of what is inside it. `msgspec.Struct` and dataclasses
    count as dictionaries, and what JSON text would hold as a string or number (enumerations,
    times, `uuid.UUID`) as that. Raises TypeError for types that PYON does not have, ValueError
    for values nested beyond `MAX_DEPTH` or holding themselves.
    """
    if depth > MAX_DEPTH:
        raise ValueError(TOO_DEEP)
    for kind in type(value).__mro__:
        if kind in forms:
            return forms[kind](value, depth + 1)
    return form_of(_plain(value), forms, depth)


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(value)
        return {field.encode_name: getattr(value, field.name) for field in fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return msgspec.to_builtins(value, enc_hook=_refuse)


def _refuse(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as PYON")

"""PYON, the notation of values in NDSP: version 1 looks like Python, version 2 is JSON.

sipyco writes and reads both: version 1 in its releases up to 1.9 and in `sipyco.pyon_v1`, version
2 in `sipyco.pyon` from 1.10 on. It hands version 1 to `eval`; here it is parsed, by a tokenizer
and one method for each bracket, so that a line can name values and nothing else.

An empty set is ``{}`` in version 1, and so comes back as a dictionary: PYON v1 has no other way.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from ..errors import Malformed
from ..values import array_from_parts, class_of, dtype_and_base64, object_of

MAX_DEPTH = 64
"""Values inside values. CPython's `eval`, to which sipyco hands PYON v1, gives up near 100 in
releases up to 3.8; and so few levels fit on any stack."""

MAX_DIGITS = 640
"""Of an integer. Reading takes the square of their number, and Python promises to read so many
whatever `sys.set_int_max_str_digits` says."""

MAX_KEYS = 1024
"""In one dictionary or set, strings and bytes not counted. Numbers can be chosen so that their
hashes collide, and building a set of them then takes the square of their number; strings cannot,
because Python salts their hashes."""

MAX_SLOW_KEYS = 32
"""Those among them that are fractions, complex or NumPy's: comparing two takes a microsecond."""

MAX_VALUES = 1 << 17
"""In one line, counted by its commas and opening brackets. Reading so many takes a tenth of a
second, and 1.5 s at worst, for long escaped texts; no other client is served meanwhile. Arrays are
one value, whatever their size."""

_CLASS_KEY = "__jsonclass__"

# Of repr(): neither 1_000 nor 0x10, no leading zeros. Every repeat is possessive, so that no
# input is scanned twice.
_FLOAT = r"(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|inf|nan)"
_ESCAPE = r"\\(?:[\\'\"nrtbf]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_BYTE_ESCAPE = r"\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2})"
_TOKEN = re.compile(
    rf"""[ \t\r\n\f]*+(?:
      (?P<integer> -?(?:0|[1-9][0-9]*+)(?![\w.]))
    | (?P<real> -?{_FLOAT}(?![\w.]))
    | (?P<complex> \(-?{_FLOAT}[+-]{_FLOAT}j\) | -?{_FLOAT}j(?![\w.]))
    | (?P<mark> [][(){{}},:])
    | (?P<string> "(?:[^"\\\n\r]++|{_ESCAPE})*+" | '(?:[^'\\\n\r]++|{_ESCAPE})*+')
    | (?P<bytes> b"(?:[ !#-\[\]-~]++|{_BYTE_ESCAPE})*+"
               | b'(?:[ -&(-\[\]-~]++|{_BYTE_ESCAPE})*+')
    | (?P<broken> b?["'])
    | (?P<name> [A-Za-z_][\w.]*+)
    | (?P<end> \Z)
    | (?P<other> .)
    )""",
    re.VERBOSE | re.ASCII,
)

_CONSTANTS = {
    "null": None,
    "true": True,
    "false": False,
    # In slices, which sipyco writes with repr().
    "None": None,
    "True": True,
    "False": False,
}


def decode_v1(line: bytes | bytearray | str) -> Any:
    """Read one value of PYON v1; arrays become `numpy.ndarray`, ``npscalar`` NumPy scalars.

    Raises `Malformed`, and nothing else, saying what is wrong and at which character, counted
    from 0. Arrays of objects and what is beyond `MAX_VALUES`, `MAX_DEPTH`, `MAX_DIGITS`,
    `MAX_KEYS` or `MAX_SLOW_KEYS` are refused.
    """
    reader = _Reader(_text(line))
    value = reader.value(0)
    reader.expect_end()
    return value


def decode_v2(line: bytes | bytearray | str) -> Any:
    """Read one value of PYON v2; as `decode_v1` otherwise."""
    text = _text(line)
    try:
        plain = json.loads(text, parse_int=_integer)
        if "\\ud" in text or "\\uD" in text:
            # json.loads reads half a surrogate pair as if it were a character.
            json.dumps(plain, ensure_ascii=False).encode()
        return _revive(plain, 0)
    except json.JSONDecodeError as error:
        raise Malformed(f"not PYON v2: {error.msg} (char {error.pos})") from None
    except UnicodeEncodeError:
        raise Malformed("not PYON v2: an escape stands for no character") from None
    except RecursionError:
        raise Malformed(f"not PYON v2: {_TOO_DEEP}") from None
    except Malformed as error:
        raise Malformed(f"not PYON v2: {error}") from None


def encode_v1(value: Any) -> str:
    """Write a value as PYON v1, in ASCII, on one line, as sipyco 1.9 does and all read.

    Where sipyco would not read its own form (characters above U+FFFF, complex numbers with an
    infinite or undefined imaginary part), another is written that it reads.

    `msgspec.Struct` and dataclasses are written as dictionaries, and what JSON text would hold as
    a string or number (enumerations, times, `uuid.UUID`) likewise. Raises TypeError for types that
    PYON does not have, ValueError for values nested beyond `MAX_DEPTH` or holding themselves.
    """
    return _text_of(value, 0)


def encode_v2(value: Any) -> str:
    """Write a value as PYON v2; as `encode_v1` otherwise."""
    return json.dumps(_object(value, 0), separators=(",", ":"))


class Version(NamedTuple):
    """How one version of PYON is written and read."""

    encode: Callable[[Any], str]
    decode: Callable[[bytes | bytearray | str], Any]


V1 = Version(encode_v1, decode_v1)
V2 = Version(encode_v2, decode_v2)

_Keyed = TypeVar("_Keyed", set[Any], dict[Any, Any], OrderedDict[Any, Any])

_TOO_DEEP = f"values are nested deeper than {MAX_DEPTH} levels"


def _text(line: bytes | bytearray | str) -> str:
    try:
        if isinstance(line, str):
            line.encode()  # surrogates are no characters
            text = line
        else:
            text = line.decode()
    except UnicodeDecodeError as error:
        raise Malformed(
            f"not UTF-8: byte 0x{error.object[error.start]:02x} (byte {error.start})"
        ) from None
    except UnicodeEncodeError as error:
        raise Malformed(f"not Unicode: half a surrogate pair (char {error.start})") from None
    number = sum(text.count(mark) for mark in ",[({")
    if number > MAX_VALUES:
        raise Malformed(
            f"not PYON: a line of {number} values; at most {MAX_VALUES} are read, "
            "send numbers as an array"
        )
    return text


def _integer(digits: str) -> int:
    number = len(digits.removeprefix("-"))
    if number > MAX_DIGITS:
        raise Malformed(f"an integer of {number} digits; at most {MAX_DIGITS} are read")
    return int(digits)


# What stands behind a name, from its arguments, in both versions.


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
    pairs = _pairs("OrderedDict", arguments)
    return _keyed(OrderedDict, pairs, [key for key, _ in pairs])


def _array(arguments: list[Any]) -> np.ndarray[Any, Any]:
    if len(arguments) != 3:
        raise Malformed("nparray: expected shape, dtype and base64")
    return array_from_parts(*arguments)


def _scalar(arguments: list[Any]) -> Any:
    if len(arguments) != 2:
        raise Malformed("npscalar: expected dtype and base64")
    return array_from_parts([], *arguments)[()]


_CLASSES_V1: dict[str, Callable[[list[Any]], Any]] = {
    "slice": _slice,
    "Fraction": _fraction,
    "OrderedDict": _ordered_dict,
    "nparray": _array,
    "npscalar": _scalar,
}


# And the others of version 2, for which version 1 has brackets and signs.


def _tuple(arguments: list[Any]) -> tuple[Any, ...]:
    return tuple(_list("tuple", arguments))


def _set(arguments: list[Any]) -> set[Any]:
    members = _list("set", arguments)
    return _keyed(set, members, members)


def _dict(arguments: list[Any]) -> dict[Any, Any]:
    pairs = _pairs("dict", arguments)
    return _keyed(dict, pairs, [key for key, _ in pairs])


def _complex(arguments: list[Any]) -> complex:
    match arguments:
        case [int() | float() as real, int() | float() as imaginary]:
            try:
                return complex(real, imaginary)
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


_CLASSES_V2 = _CLASSES_V1 | {
    "tuple": _tuple,
    "set": _set,
    "dict": _dict,
    "complex": _complex,
    "bytes": _bytes,
}


def _list(name: str, arguments: list[Any]) -> list[Any]:
    match arguments:
        case [list(items)]:
            return items
    raise Malformed(f"{name}: expected one list")


def _pairs(name: str, arguments: list[Any]) -> list[Any]:
    match arguments:
        case [list(pairs)] if all(type(p) in (list, tuple) and len(p) == 2 for p in pairs):
            return pairs
    raise Malformed(f"{name}: expected one list of pairs")


def _is_slow(key: Any) -> bool:
    if type(key) is tuple:
        return any(map(_is_slow, key))
    return isinstance(key, (Fraction, complex, np.generic))


def _keyed(kind: type[_Keyed], content: list[Any], keys: list[Any]) -> _Keyed:
    others = [key for key in keys if type(key) not in (str, bytes)]
    if len(others) > MAX_KEYS:
        raise Malformed(
            f"{len(others)} keys or members that are not strings; at most {MAX_KEYS} are read"
        )
    slow = sum(map(_is_slow, others))
    if slow > MAX_SLOW_KEYS:
        raise Malformed(
            f"{slow} keys or members that are fractions, complex or NumPy's; at most "
            f"{MAX_SLOW_KEYS} are read"
        )
    try:
        # Keys are compared, and NumPy's comparisons can overflow and warn.
        with np.errstate(all="ignore"):
            return kind(content)
    except (ArithmeticError, TypeError, ValueError):
        raise Malformed(
            "keys and members of a set must be numbers, strings, bytes, or tuples of them"
        ) from None


def _revive(value: Any, depth: int) -> Any:
    """Put the objects of PYON v2 in the places of the dictionaries that stand for them."""
    if not isinstance(value, (list, dict)):
        return value
    if depth > MAX_DEPTH:
        raise Malformed(_TOO_DEEP)
    if isinstance(value, dict) and _CLASS_KEY in value:
        name, arguments = class_of(value)
        if name not in _CLASSES_V2:
            raise Malformed(f"PYON has no class {name:.40}")
        return _CLASSES_V2[name](_revive(arguments, depth))
    places: Iterable[tuple[Any, Any]]
    places = value.items() if isinstance(value, dict) else enumerate(value)
    for place, item in places:
        if type(item) in (list, dict):
            value[place] = _revive(item, depth + 1)
    return value


class _Reader:
    """Reads one value of PYON v1 from the tokens of its text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next = _TOKEN.finditer(text).__next__
        self._token = self._next()

    def value(self, depth: int) -> Any:
        """Read the value that begins here, inside `depth` others."""
        token = self._token
        if depth > MAX_DEPTH:
            raise self._error(_TOO_DEEP, token)
        match token.lastgroup:
            case "real":
                make: Callable[[str], Any] = float
            case "integer":
                make = _integer
            case "string":
                make = _string
            case "mark" if token["mark"] in "([{":
                return self._bracket(depth + 1)
            case "name":
                return self._named(depth + 1)
            case "complex":
                make = complex
            case "bytes":
                make = _bytes_literal
            case _:
                raise self._unexpected("a value")
        self._token = self._next()
        return self._made(make, token[token.lastgroup], token)

    def expect_end(self) -> None:
        """Raise `Malformed` if anything follows the value."""
        if self._token.lastgroup != "end":
            raise self._unexpected("the end")

    def _bracket(self, depth: int) -> Any:
        opening = self._token
        self._token = self._next()
        if opening["mark"] == "[":
            return self._items("]", depth)
        if opening["mark"] == "(":
            if self._take(")"):
                return ()
            first = self.value(depth)
            if self._take(")"):
                return first  # as in Python: only the comma makes a tuple
            return (first, *self._rest(")", self.value, depth))
        if self._take("}"):
            return {}
        first = self.value(depth)
        if self._take(":"):
            pairs = [(first, self.value(depth)), *self._rest("}", self._pair, depth)]
            return self._made(_dict, [pairs], opening)
        return self._made(_set, [[first, *self._rest("}", self.value, depth)]], opening)

    def _named(self, depth: int) -> Any:
        token = self._token
        name = token["name"]
        if name in _CONSTANTS:
            self._token = self._next()
            return _CONSTANTS[name]
        if name not in _CLASSES_V1:
            raise self._error(f"PYON has no name {name:.40}", token)
        self._token = self._next()
        if not self._take("("):
            raise self._unexpected(f"'(' after {name}")
        return self._made(_CLASSES_V1[name], self._items(")", depth), token)

    def _items(self, closing: str, depth: int) -> list[Any]:
        if self._take(closing):
            return []
        return [self.value(depth), *self._rest(closing, self.value, depth)]

    def _rest(self, closing: str, read: Callable[[int], Any], depth: int) -> list[Any]:
        """Read what follows the first item, up to the closing bracket."""
        items: list[Any] = []
        while not self._take(closing):
            if not self._take(","):
                raise self._unexpected(f"',' or '{closing}'")
            if self._take(closing):
                break
            items.append(read(depth))
        return items

    def _pair(self, depth: int) -> tuple[Any, Any]:
        key = self.value(depth)
        if not self._take(":"):
            raise self._unexpected("':' after a key")
        return key, self.value(depth)

    def _take(self, mark: str) -> bool:
        if self._token["mark"] != mark:
            return False
        self._token = self._next()
        return True

    def _made(self, make: Callable[[Any], Any], source: Any, token: re.Match[str]) -> Any:
        try:
            return make(source)
        except Malformed as error:
            raise self._error(str(error), token) from None

    def _unexpected(self, expected: str) -> Malformed:
        token = self._token
        if token.lastgroup == "broken":
            return self._error("a string without end, or with an escape that PYON lacks", token)
        start = _start(token)
        got = repr(self._text[start : start + 20]) if token.lastgroup != "end" else "the end"
        return self._error(f"expected {expected}, got {got}", token)

    def _error(self, problem: str, token: re.Match[str]) -> Malformed:
        return Malformed(f"not PYON v1: {problem} (char {_start(token)})")


def _start(token: re.Match[str]) -> int:
    """Where a token begins, after the white space before it."""
    return token.start(token.lastgroup or 0)


def _string(literal: str) -> str:
    if "\\" not in literal:
        return literal[1:-1]
    try:
        text = _unescaped(literal[1:-1])
        # json.dumps, and so sipyco, writes a character above U+FFFF as a pair of surrogates.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Malformed("an escape stands for no character") from None


def _bytes_literal(literal: str) -> bytes:
    content = literal[2:-1]
    return (_unescaped(content) if "\\" in content else content).encode("latin-1")


def _unescaped(content: str) -> str:
    # Python's codec reads Latin-1; what that lacks becomes an escape first.
    return content.encode("latin-1", "backslashreplace").decode("unicode_escape")


# Writing. A form takes a value and the depth of what is inside it.


def _form(value: Any, forms: dict[type, Callable[[Any, int], Any]], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    for kind in type(value).__mro__:
        if kind in forms:
            return forms[kind](value, depth + 1)
    return _form(_plain(value), forms, depth)


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


def _text_of(value: Any, depth: int) -> str:
    text: str = _form(value, _FORMS_V1, depth)
    return text


def _join(items: Iterable[Any], depth: int) -> str:
    return ", ".join([_text_of(item, depth) for item in items])


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _string_v1(value: str, _depth: int) -> str:
    text = json.dumps(value)
    if "\\ud" in text:
        # To eval() a pair of surrogates is two characters; one escape of Python's is one.
        text = json.dumps(value, ensure_ascii=False)
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text


def _complex_v1(value: complex, depth: int) -> str:
    if math.isfinite(value.imag):
        return complex.__repr__(value)
    return _scalar_v1(np.complex128(value), depth)  # infj and nanj are no Python


def _tuple_v1(value: tuple[Any, ...], depth: int) -> str:
    return f"({_join(value, depth)}{', ' if len(value) == 1 else ''})"


def _dict_v1(value: dict[Any, Any], depth: int) -> str:
    items = [f"{_text_of(key, depth)}: {_text_of(item, depth)}" for key, item in value.items()]
    return f"{{{', '.join(items)}}}"


def _slice_v1(value: slice, depth: int) -> str:
    parts = (value.start, value.stop, value.step)
    return _call("slice", *("None" if part is None else _text_of(part, depth) for part in parts))


def _array_v1(value: np.ndarray[Any, Any], depth: int) -> str:
    dtype, data = dtype_and_base64(value)
    return _call("nparray", _text_of(value.shape, depth), _text_of(dtype, depth), f'b"{data}"')


def _scalar_v1(value: np.generic, depth: int) -> str:
    dtype, data = dtype_and_base64(value)
    return _call("npscalar", _text_of(dtype, depth), f'b"{data}"')


# Numbers by their types' own repr: an enumeration's is another.
_FORMS_V1: dict[type, Callable[[Any, int], str]] = {
    type(None): lambda value, depth: "null",
    bool: lambda value, depth: "true" if value else "false",
    int: lambda value, depth: int.__repr__(value),
    float: lambda value, depth: float.__repr__(value),
    complex: _complex_v1,
    str: _string_v1,
    bytes: lambda value, depth: repr(bytes(value)),
    bytearray: lambda value, depth: repr(bytes(value)),
    tuple: _tuple_v1,
    list: lambda value, depth: f"[{_join(value, depth)}]",
    set: lambda value, depth: f"{{{_join(value, depth)}}}",
    frozenset: lambda value, depth: f"{{{_join(value, depth)}}}",
    dict: _dict_v1,
    OrderedDict: lambda value, depth: _call("OrderedDict", _text_of([*value.items()], depth)),
    slice: _slice_v1,
    Fraction: lambda value, depth: _call(
        "Fraction", _text_of(value.numerator, depth), _text_of(value.denominator, depth)
    ),
    np.ndarray: _array_v1,
    np.generic: _scalar_v1,
}


def _object(value: Any, depth: int) -> Any:
    return _form(value, _FORMS_V2, depth)


def _number_or_text(value: Any, _depth: int) -> Any:
    return value


def _dict_v2(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if _CLASS_KEY not in value and all(isinstance(key, str) for key in value):
        return {key: _object(item, depth) for key, item in value.items()}
    return object_of("dict", _pairs_v2(value, depth))


def _pairs_v2(value: dict[Any, Any], depth: int) -> Any:
    return _object([[key, item] for key, item in value.items()], depth)


def _slice_v2(value: slice, depth: int) -> dict[str, Any]:
    parts = (value.start, value.stop, value.step)
    return object_of("slice", *(_object(part, depth) for part in parts))


def _array_v2(value: np.ndarray[Any, Any], depth: int) -> dict[str, Any]:
    return object_of("nparray", _object([*value.shape], depth), *dtype_and_base64(value))


def _bytes_v2(value: bytes | bytearray, _depth: int) -> dict[str, Any]:
    return object_of("bytes", base64.b64encode(value).decode("ascii"))


_FORMS_V2: dict[type, Callable[[Any, int], Any]] = {
    **dict.fromkeys((type(None), bool, int, float, str), _number_or_text),
    np.float64: lambda value, depth: float(value),  # a float to sipyco too
    complex: lambda value, depth: object_of("complex", value.real, value.imag),
    bytes: _bytes_v2,
    bytearray: _bytes_v2,
    tuple: lambda value, depth: object_of("tuple", _object([*value], depth)),
    list: lambda value, depth: [_object(item, depth) for item in value],
    set: lambda value, depth: object_of("set", _object([*value], depth)),
    frozenset: lambda value, depth: object_of("set", _object([*value], depth)),
    dict: _dict_v2,
    OrderedDict: lambda value, depth: object_of("OrderedDict", _pairs_v2(value, depth)),
    slice: _slice_v2,
    Fraction: lambda value, depth: object_of("Fraction", value.numerator, value.denominator),
    np.ndarray: _array_v2,
    np.generic: lambda value, depth: object_of("npscalar", *dtype_and_base64(value)),
}

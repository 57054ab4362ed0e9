"""PYON v1, which looks like Python.

sipyco writes and reads it in its releases up to 1.9, and in `sipyco.pyon_v1` from then on. It
hands it to `eval`; here it is parsed, by a tokenizer and a stack of open brackets, so that a line
can name values and nothing else, and in slices.

An empty set is ``{}``, and so comes back as a dictionary: PYON v1 has no other way.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import Malformed
from ..slices import BYTES, Slices
from ..values import dtype_and_base64, reading_array
from .pyon import (
    CLASSES,
    MAX_DEPTH,
    TOO_DEEP,
    Version,
    counted,
    dict_of,
    form_of,
    integer,
    real,
    set_of,
    text_of,
)

MAX_ESCAPES = 1 << 18
"""Backslashes in one line. Each takes up to 0.3 us; bytes can be sent as an array."""

MAX_UNICODE = 1 << 20
"""Bytes of a line that is not ASCII, as sipyco's are: as a text it takes four times as many."""

TOKENS = 512
"""Read in one slice: each takes up to 3 us."""

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

_SURROGATE = r"u[dD][89abAB][0-9a-fA-F]{2}"
# An escape that stands for a whole character, or two that do.
_WHOLE_ESCAPE = rf"\\{_SURROGATE}\\u[0-9a-fA-F]{{4}}|(?!\\{_SURROGATE}){_ESCAPE}"

_CONSTANTS = {
    "null": None,
    "true": True,
    "false": False,
    # In slices, which sipyco writes with repr().
    "None": None,
    "True": True,
    "False": False,
}


def reading(line: bytes | bytearray | str) -> Slices[Any]:
    """Read one value in slices; arrays become `numpy.ndarray`, ``npscalar`` NumPy scalars.

    Raises `Malformed`, and nothing else, saying what is wrong and at which character, counted
    from 0. Arrays of objects and what is beyond `MAX_ESCAPES`, `MAX_UNICODE` and the limits of
    `pyon` are refused.
    """
    data = yield from counted(line)
    if len(data) > MAX_UNICODE and not data.isascii():
        raise Malformed(
            f"not PYON v1: {len(data)} bytes, and not all of them ASCII; at most {MAX_UNICODE} "
            "such are read"
        )
    text = text_of(data)
    escapes = text.count("\\")
    if escapes > MAX_ESCAPES:
        raise Malformed(f"not PYON v1: {escapes} escapes; at most {MAX_ESCAPES} are read")
    return (yield from _Reader(text).reading())


def encode(value: Any) -> str:
    """Write a value in ASCII, on one line, as sipyco 1.9 does and all read.

    Where sipyco would not read its own form (characters above U+FFFF, complex numbers with an
    infinite or undefined imaginary part), another is written that it reads. Which types are taken
    and what is raised is said at `pyon.form_of`.
    """
    return _text(value, 0)


V1 = Version(encode, reading)


class _Opened:
    """A bracket that is open, and what stands in it."""

    __slots__ = ("closing", "is_dict", "items", "separator", "token")

    def __init__(self, token: re.Match[str], mark: str) -> None:
        self.token = token
        """The bracket, or the name before it."""
        self.closing = _CLOSING[mark]
        self.items: list[Any] = []
        self.separator = ""
        """What stands behind the last item."""
        self.is_dict = False


_CLOSING = {"[": "]", "(": ")", "{": "}"}


class _Reader:
    """Reads one value of PYON v1 from the tokens of its text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._opened: list[_Opened] = []
        self._position = 0
        self._next = self._next_of_long
        if len(text) <= BYTES:
            self._next = _TOKEN.finditer(text).__next__

    def reading(self) -> Slices[Any]:
        """Read the value, and that nothing follows it."""
        opened = self._opened
        for number in itertools.count(1):
            if number % TOKENS == 0:
                yield
            token = self._next()
            kind = token.lastgroup or ""
            closing, inside = token["mark"], opened[-1] if opened else None
            if inside is not None and closing == inside.closing and inside.separator != ":":
                value = yield from self._close()
            elif len(opened) > MAX_DEPTH:
                raise self._error(TOO_DEEP, token)
            elif closing is not None and closing in _CLOSING:
                opened.append(_Opened(token, closing))
                continue
            elif kind == "name" and token["name"] in _CONSTANTS:
                value = _CONSTANTS[token["name"]]
            elif kind == "name":
                self._open_class(token)
                continue
            elif kind in _LITERALS:
                value = self._made(_LITERALS[kind], token[kind], token)
            elif kind == "broken" and len(self._text) > BYTES:
                value = yield from self._long_string(token)
            else:
                raise self._unexpected("a value", token)
            while opened and self._is_closed_behind(value):
                value = yield from self._close()
            if not opened:
                if (token := self._next()).lastgroup != "end":
                    raise self._unexpected("the end", token)
                return value
        raise AssertionError

    def _next_of_long(self) -> re.Match[str]:
        position = self._position
        token = _TOKEN.match(self._text, position, position + BYTES)
        assert token is not None  # noqa: S101 it matches anything
        self._position = token.end()
        return token

    def _open_class(self, token: re.Match[str]) -> None:
        name = token["name"]
        if name not in CLASSES:
            raise self._error(f"PYON has no name {name:.40}", token)
        if (bracket := self._next())["mark"] != "(":
            raise self._unexpected(f"'(' after {name}", bracket)
        self._opened.append(_Opened(token, "("))

    def _is_closed_behind(self, value: Any) -> bool:
        """Put a value into the bracket that is open, and look whether that closes behind it."""
        inside = self._opened[-1]
        inside.items.append(value)
        token = self._next()
        mark = token["mark"]
        if mark == ":" and inside.closing == "}" and len(inside.items) == 1:
            inside.is_dict = True
        if inside.is_dict and len(inside.items) % 2 == 1:
            if mark != ":":
                raise self._unexpected("':' after a key", token)
        elif mark == inside.closing:
            return True
        elif mark != ",":
            raise self._unexpected(f"',' or '{inside.closing}'", token)
        inside.separator = mark
        return False

    def _close(self) -> Slices[Any]:
        """The value that ends here."""
        inside = self._opened.pop()
        items, token = inside.items, inside.token
        if inside.is_dict:
            return self._made(dict_of, list(zip(items[::2], items[1::2], strict=True)), token)
        match token["mark"]:
            case "[":
                return items
            case "(":
                # As in Python: only the comma makes a tuple.
                return items[0] if items and not inside.separator else tuple(items)
            case "{":
                return self._made(set_of, items, token) if items else {}
        name = token["name"]
        is_long = len(items) == 3 and isinstance(items[2], bytes) and len(items[2]) > BYTES
        if name != "nparray" or not is_long:
            return self._made(CLASSES[name], items, token)
        try:
            return (yield from reading_array(*items))
        except Malformed as error:
            raise self._error(str(error), token) from None

    def _long_string(self, token: re.Match[str]) -> Slices[Any]:
        """Read the string whose end is too far away for a token."""
        opening = token["broken"]
        pattern, make = _LONG[opening]
        parts = []
        position = token.end()
        while not self._text.startswith(opening[-1], position):
            part = pattern.match(self._text, position, position + BYTES)
            if not part or part.end() == position:
                raise self._unexpected("a value", token)
            position = part.end()
            parts.append(self._made(make, f"{opening}{part[0]}{opening[-1]}", token))
            yield
        self._position = position + 1
        return parts[0][:0].join(parts)

    def _made(self, make: Callable[[Any], Any], source: Any, token: re.Match[str]) -> Any:
        try:
            return make(source)
        except Malformed as error:
            raise self._error(str(error), token) from None

    def _unexpected(self, expected: str, token: re.Match[str]) -> Malformed:
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


def _complex(literal: str) -> complex:
    for part in re.findall(_FLOAT, literal):
        real(part)  # its length is looked at
    return complex(literal)


def _string(literal: str) -> str:
    if "\\" not in literal:
        return literal[1:-1]
    try:
        text = _unescaped(literal[1:-1])
        # json.dumps, and so sipyco, writes a character above U+FFFF as a pair of surrogates.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Malformed("an escape stands for no character") from None


def _bytes(literal: str) -> bytes:
    content = literal[2:-1]
    return (_unescaped(content) if "\\" in content else content).encode("latin-1")


def _unescaped(content: str) -> str:
    # Python's codec reads Latin-1; what that lacks becomes an escape first.
    return content.encode("latin-1", "backslashreplace").decode("unicode_escape")


_LITERALS: dict[str, Callable[[str], Any]] = {
    "integer": integer,
    "real": real,
    "complex": _complex,
    "string": _string,
    "bytes": _bytes,
}

_LONG: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    '"': (re.compile(rf'(?:[^"\\\n\r]++|{_WHOLE_ESCAPE})*+'), _string),
    "'": (re.compile(rf"(?:[^'\\\n\r]++|{_WHOLE_ESCAPE})*+"), _string),
    'b"': (re.compile(rf"(?:[ !#-\[\]-~]++|{_BYTE_ESCAPE})*+"), _bytes),
    "b'": (re.compile(rf"(?:[ -&(-\[\]-~]++|{_BYTE_ESCAPE})*+"), _bytes),
}
"""How the inside of a long string is read, by what opens it."""


# Writing. A form takes a value and the depth of what is inside it.


def _text(value: Any, depth: int) -> str:
    text: str = form_of(value, _FORMS, depth)
    return text


def _join(items: Iterable[Any], depth: int) -> str:
    return ", ".join([_text(item, depth) for item in items])


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _string_form(value: str, _depth: int) -> str:
    text = json.dumps(value)
    if "\\ud" in text:
        # To eval() a pair of surrogates is two characters; one escape of Python's is one.
        text = json.dumps(value, ensure_ascii=False)
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text


def _complex_form(value: complex, depth: int) -> str:
    if math.isfinite(value.imag):
        return complex.__repr__(value)
    return _scalar_form(np.complex128(value), depth)  # infj and nanj are no Python


def _tuple_form(value: tuple[Any, ...], depth: int) -> str:
    return f"({_join(value, depth)}{', ' if len(value) == 1 else ''})"


def _dict_form(value: dict[Any, Any], depth: int) -> str:
    items = [f"{_text(key, depth)}: {_text(item, depth)}" for key, item in value.items()]
    return f"{{{', '.join(items)}}}"


def _slice_form(value: slice, depth: int) -> str:
    parts = (value.start, value.stop, value.step)
    return _call("slice", *("None" if part is None else _text(part, depth) for part in parts))


def _array_form(value: np.ndarray[Any, Any], depth: int) -> str:
    dtype, data = dtype_and_base64(value)
    return _call("nparray", _text(value.shape, depth), _text(dtype, depth), f'b"{data}"')


def _scalar_form(value: np.generic, depth: int) -> str:
    dtype, data = dtype_and_base64(value)
    return _call("npscalar", _text(dtype, depth), f'b"{data}"')


# Numbers by their types' own repr: an enumeration's is another.
_FORMS: dict[type, Callable[[Any, int], str]] = {
    type(None): lambda value, depth: "null",
    bool: lambda value, depth: "true" if value else "false",
    int: lambda value, depth: int.__repr__(value),
    float: lambda value, depth: float.__repr__(value),
    complex: _complex_form,
    str: _string_form,
    bytes: lambda value, depth: repr(bytes(value)),
    bytearray: lambda value, depth: repr(bytes(value)),
    tuple: _tuple_form,
    list: lambda value, depth: f"[{_join(value, depth)}]",
    set: lambda value, depth: f"{{{_join(value, depth)}}}",
    frozenset: lambda value, depth: f"{{{_join(value, depth)}}}",
    dict: _dict_form,
    OrderedDict: lambda value, depth: _call("OrderedDict", _text([*value.items()], depth)),
    slice: _slice_form,
    Fraction: lambda value, depth: _call(
        "Fraction", _text(value.numerator, depth), _text(value.denominator, depth)
    ),
    np.ndarray: _array_form,
    np.generic: _scalar_form,
}

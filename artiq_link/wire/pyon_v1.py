"""PYON v1, which looks like Python.

sipyco writes and reads it in its releases up to 1.9, and in `sipyco.pyon_v1` from then on. It
hands it to `eval`; here it is parsed, by a tokenizer and one method for each bracket, so that a
line can name values and nothing else.

An empty set is ``{}``, and so comes back as a dictionary: PYON v1 has no other way.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import Malformed
from ..values import dtype_and_base64
from .pyon import (
    CLASSES,
    MAX_DEPTH,
    TOO_DEEP,
    Version,
    dict_of,
    form_of,
    integer,
    real,
    set_of,
    text_of,
)

MAX_ESCAPES = 1 << 18
"""Backslashes in one line. Each takes up to 0.3 us; bytes can be sent as an array."""

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


def decode(line: bytes | bytearray | str) -> Any:
    """Read one value; arrays become `numpy.ndarray`, ``npscalar`` NumPy scalars.

    Raises `Malformed`, and nothing else, saying what is wrong and at which character, counted
    from 0. Arrays of objects and what is beyond `MAX_ESCAPES` and the limits
    of `pyon` are refused.
    """
    text = text_of(line)
    escapes = text.count("\\")
    if escapes > MAX_ESCAPES:
        raise Malformed(f"not PYON v1: {escapes} escapes; at most {MAX_ESCAPES} are read")
    reader = _Reader(text)
    value = reader.value(0)
    reader.expect_end()
    return value


def encode(value: Any) -> str:
    """Write a value in ASCII, on one line, as sipyco 1.9 does and all read.

    Where sipyco would not read its own form (characters above U+FFFF, complex numbers with an
    infinite or undefined imaginary part), another is written that it reads. Which types are taken
    and what is raised is said at `pyon.form_of`.
    """
    return _text(value, 0)


V1 = Version(encode, decode)


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
            raise self._error(TOO_DEEP, token)
        kind = token.lastgroup or ""
        if kind == "mark" and token[kind] in "([{":
            return self._bracket(depth + 1)
        if kind == "name":
            return self._named(depth + 1)
        if kind not in _LITERALS:
            raise self._unexpected("a value")
        self._token = self._next()
        return self._made(_LITERALS[kind], token[kind], token)

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
            return self._made(dict_of, pairs, opening)
        return self._made(set_of, [first, *self._rest("}", self.value, depth)], opening)

    def _named(self, depth: int) -> Any:
        token = self._token
        name = token["name"]
        if name in _CONSTANTS:
            self._token = self._next()
            return _CONSTANTS[name]
        if name not in CLASSES:
            raise self._error(f"PYON has no name {name:.40}", token)
        self._token = self._next()
        if not self._take("("):
            raise self._unexpected(f"'(' after {name}")
        return self._made(CLASSES[name], self._items(")", depth), token)

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

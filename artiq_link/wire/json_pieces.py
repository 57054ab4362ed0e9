"""JSON text that is read piece by piece, so that a large one holds nobody up.

Strategy: the text is cut behind some of its commas. What is open at a cut is closed in the piece
before it and opened again in the one behind it, with a mark of our own on both sides of the cut.
Each piece is then JSON to any parser, unless the whole is not; and the marks show where its values
go on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import Malformed
from ..slices import Slices
from ..values import ARRAY_MARK, parse, reviving
from .scanner import Cut, ObjectScanner

FEW = 256
"""Commas of a piece up to which its parser may be slow with some of them: see `parse`."""

_BEFORE, _BEHIND = secrets.token_hex(16), secrets.token_hex(16)
"""The marks on both sides of a cut: nobody can have them in his text."""

_BRACKETS = b"{[", b"}]"
_CLOSING = bytes.maketrans(*_BRACKETS)
_KINDS = {ord("{"): dict, ord("["): list}
_POSITION = re.compile(r"(?<=\((char|byte) )[0-9]+(?=\)$)")

Text = bytes | bytearray


def parse_piece(text: Text) -> Any:
    """Read a piece of JSON text as `parse` does, with a bound to what each of its values takes."""
    return parse(text, FEW)


def parsing(
    text: Text, cuts: Iterable[Cut], parse: Callable[[Text], Any] = parse_piece
) -> Slices[Any]:
    """Parse JSON text in pieces, cut where its scanner found; raises what `parse` raises.

    Raises `Malformed` as well where a name comes again in an object that was cut.
    """
    whole: Any = None
    begin, opened = 0, b""
    for cut in (*cuts, Cut(len(text), b"")):
        head = _head(opened)
        is_whole = not begin and not cut.opened
        piece = text if is_whole else head + text[begin : cut.position] + _tail(cut.opened)
        try:
            part = parse(piece)
        except Malformed as error:
            raise Malformed(_moved(str(error), text[:begin], -len(head))) from None
        if opened:
            _join(whole, part, opened)
        else:
            whole = part
        begin, opened = cut
        if opened:
            yield
    return whole


def _head(opened: bytes) -> bytes:
    """What opens a piece behind a cut."""
    mark = b'"%s"' % _BEHIND.encode()
    again = opened[:-1].replace(b"{", b"{%s:" % mark)
    return again + {b"": b"", b"{": b"{%s:0," % mark, b"[": b"[%s," % mark}[opened[-1:]]


def _tail(opened: bytes) -> bytes:
    """What closes a piece before a cut."""
    mark = b'"%s"' % _BEFORE.encode()
    last = {b"": b"", b"{": b"%s:0" % mark, b"[": mark}[opened[-1:]]
    return last + opened[::-1].translate(_CLOSING)


def _join(whole: Any, part: Any, opened: bytes) -> None:
    """Let `part` go on where `whole` was cut."""
    innermost = len(opened) - 1
    for level, bracket in enumerate(opened):
        if type(whole) is not _KINDS[bracket] or not whole:
            raise _TWICE
        rest = part
        if isinstance(whole, dict):
            inner = next(reversed(whole.values()))
            part = rest.pop(_BEHIND)
            if level == innermost and whole.pop(_BEFORE, None) is None:
                raise _TWICE
            whole.update(rest)
        else:
            inner = whole[-1]
            part = rest.pop(0)
            if level == innermost and whole.pop() != _BEFORE:
                raise _TWICE
            whole.extend(rest)
        whole = inner


_TWICE = Malformed("not JSON: a name comes twice in one object")


def _moved(sentence: str, before: Text, shift: int) -> str:
    """A parser's sentence about a piece with the position in the whole text, `before` it."""

    def position(match: re.Match[str]) -> str:
        length = len(before.decode("utf-8", "replace") if match[1] == "char" else before)
        return str(int(match[0]) + length + shift)

    return _POSITION.sub(position, sentence)


def parsing_message(text: Text) -> Slices[Any]:
    """Parse JSON text that is whole, as `values.parse` does, within the scanner's limits."""
    scanner = ObjectScanner()
    scanner.look(text)
    while scanner.paused:
        yield
        scanner.look(text)
    return (yield from parsing(text, scanner.cuts))


def decoding(text: Text) -> Slices[Any]:
    """Read JSON text that is whole, as `values.decode` does, within the scanner's limits."""
    message = yield from parsing_message(text)
    return (yield from reviving(message)) if ARRAY_MARK in text else message

"""JSON text that is read piece by piece, so that a large one holds nobody up.

Strategy: the text is cut behind some of its commas, and around long strings. What is open at a cut
is closed in the piece before it and opened again in the one behind it, with a mark of our own on
both sides of the cut. Each piece is then JSON to any parser, unless the whole is not; and the
marks show where its values go on.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import Malformed, TooLarge
from ..slices import BYTES, Slices
from ..values import ARRAY_MARK, parse, reviving
from .scanner import Cut, ObjectScanner

FEW = 256
"""Commas of a piece up to which its parser may be slow with some of them: see `parse`."""

MAX_WIDE = 2_500_000
"""Characters of one string that are not all ASCII: one emoji makes all of them take 4 bytes, and
for as much memory as 11,000,000 of them would take the system needs 20 ms."""

_BEFORE, _BEHIND = secrets.token_hex(16), secrets.token_hex(16)
"""The marks on both sides of a cut: nobody can have them in his text."""

_CLOSING = bytes.maketrans(b"{[", b"}]")
_KINDS = {ord("{"): dict, ord("["): list}
_POSITION = re.compile(r"(?<=\((char|byte) )[0-9]+(?=\)$)")

_SURROGATE = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_WHOLE_CHARACTERS = re.compile(
    rb"(?:[^\\]++|\\[^u]|%b\\u[0-9a-fA-F]{4}|(?!%b)\\u[0-9a-fA-F]{4})*+" % (_SURROGATE, _SURROGATE)
)
"""No escape ends amid it, nor a pair of them that is one character."""

Text = bytes | bytearray


def parse_piece(text: Text) -> Any:
    """Read a piece of JSON text as `parse` does, with a bound to what each of its values takes."""
    return parse(text, FEW)


def parsing(
    text: Text, cuts: Iterable[Cut], parse: Callable[[Text], Any] = parse_piece
) -> Slices[Any]:
    """Parse JSON text in pieces, cut where its scanner found; raises what `parse` raises.

    Raises `Malformed` as well where a name comes again in an object that was cut, or is itself as
    long as a piece.
    """
    whole: Any = None
    string: str | None = None
    begin, opened = 0, b""
    for cut in (*cuts, Cut(len(text), b"", len(text))):
        is_string = cut.begin > cut.end
        if is_string and text[cut.begin : cut.begin + 1024].lstrip().startswith(b":"):
            raise Malformed(f"a name of {cut.begin - cut.end - 2} bytes")
        head = _head(opened, is_behind_comma=string is None)
        piece: Text = text
        if begin or cut.opened:
            piece = head + text[begin : cut.end] + _tail(cut.opened, is_string=is_string)
        try:
            part = parse(piece)
        except Malformed as error:
            raise Malformed(_moved(str(error), text[:begin], -len(head))) from None
        if opened:
            _join(whole, part, opened, string)
        else:
            whole = part
        string = (yield from _parsing_string(text, cut, parse)) if is_string else None
        _, opened, begin = cut
        if opened:
            yield
    return whole


def _parsing_string(text: Text, cut: Cut, parse: Callable[[Text], Any]) -> Slices[str]:
    """Parse the long string around which text is cut."""
    parts: list[str] = []
    length, is_ascii = 0, True
    begin, last = cut.end + 1, cut.begin - 1
    while begin < last:
        match = _WHOLE_CHARACTERS.match(text, begin, min(last, begin + BYTES))
        assert match is not None  # noqa: S101 it matches nothing, too
        end = match.end()
        while begin < end < last and text[end] & 0xC0 == 0x80:  # amid a character of UTF-8
            end -= 1
        if end == begin:
            end = last  # the parser knows what is wrong
        try:
            parts.append(parse(b'"' + text[begin:end] + b'"'))
        except Malformed as error:
            raise Malformed(_moved(str(error), text[:begin], -1)) from None
        length += len(parts[-1])
        is_ascii = is_ascii and parts[-1].isascii()
        if length > MAX_WIDE and not is_ascii:
            raise TooLarge(f"a string that is not all ASCII has more than {MAX_WIDE} characters")
        begin = end
        yield
    return "".join(parts)


def _head(opened: bytes, *, is_behind_comma: bool) -> bytes:
    """What opens a piece behind a cut."""
    mark = b'"%b"' % _BEHIND.encode()
    again = opened[:-1].replace(b"{", b"{%b:" % mark)
    innermost = {b"": b"", b"{": b"{%b:0" % mark, b"[": b"[%b" % mark}[opened[-1:]]
    return again + innermost + (b"," if opened and is_behind_comma else b"")


def _tail(opened: bytes, *, is_string: bool) -> bytes:
    """What closes a piece before a cut."""
    mark = b'"%b"' % _BEFORE.encode() if opened else b""
    if opened.endswith(b"{") and not is_string:
        mark += b":0"
    return mark + opened[::-1].translate(_CLOSING)


def _join(whole: Any, part: Any, opened: bytes, string: str | None) -> None:
    """Let `part` go on where `whole` was cut, behind the string where it was cut around one."""
    innermost = len(opened) - 1
    for level, bracket in enumerate(opened):
        if type(whole) is not _KINDS[bracket] or not whole:
            raise _TWICE
        last: Any = len(whole) - 1 if isinstance(whole, list) else next(reversed(whole))
        inner = whole[last]
        if level == innermost:
            if _BEFORE not in (last, inner):
                raise _TWICE
            if string is None:
                del whole[last]
            else:
                whole[last] = string
        if isinstance(whole, list):
            rest, part = part[1:], part[0]
            whole.extend(rest)
        else:
            rest, part = part, part.pop(_BEHIND)
            whole.update(rest)
        whole = inner


_TWICE = Malformed("not JSON: a name comes twice in one object")


def _moved(sentence: str, before: Text, shift: int) -> str:
    """A parser's sentence about a piece with the position in the whole text, `before` it."""

    def position(match: re.Match[str]) -> str:
        length = len(before.decode("utf-8", "replace") if match[1] == "char" else before)
        return str(int(match[0]) + length + shift)

    return _POSITION.sub(position, sentence)


def finding_cuts(text: Text, scanner: ObjectScanner) -> Slices[list[Cut]]:
    """Where text that is whole can be cut; raises what the scanner raises."""
    scanner.look(text)
    while scanner.paused:
        yield
        scanner.look(text)
    return scanner.cuts


def parsing_message(text: Text) -> Slices[Any]:
    """Parse JSON text that is whole, as `values.parse` does, within the scanner's limits."""
    cuts = yield from finding_cuts(text, ObjectScanner())
    return (yield from parsing(text, cuts))


def decoding(text: Text) -> Slices[Any]:
    """Read JSON text that is whole, as `values.decode` does, within the scanner's limits."""
    message = yield from parsing_message(text)
    return (yield from reviving(message)) if ARRAY_MARK in text else message

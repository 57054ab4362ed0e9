"""Where a JSON object ends in bytes that come in any pieces.

Strategy: the bytes are looked through once, as they come, for what opens and closes objects,
arrays and strings. That finds the object's end in linear time however the bytes are cut. Inside
strings only quotes and backslashes count.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import Malformed, TooLarge
from ..values import decode
from .base import MAX_DEPTH

EOT = b"\x04"
"""Ends a request of EOT text. It never stands in JSON, not even in a string."""

MAX_MARKS = 1 << 17
"""Brackets and strings in one request, and twice its commas, because numbers take longest to read:
up to a microsecond each. No other client is served meanwhile. Large data are arrays, which are one
string."""

MAX_NUMBER = 64
"""Characters of a number; repr() writes 24 at most. Beyond 40 digits, reading one takes 80 ns for
each of them."""

_AROUND = b" \t\r\n:"
"""What stands between a number and the marks around it."""

# EOT never stands in JSON, not even in a string: it ends a request that is broken.
_RUN = re.compile(rb'[^"{}\[\]\x04]*+')
# The rest of a string: possessive, so that no input is looked at twice.
_INSIDE = re.compile(rb'(?:[^"\\\x04]++|\\[^\x04])*+')


class ObjectScanner:
    """Finds where the JSON object that begins a buffer ends."""

    def __init__(self) -> None:
        self._position = 0
        self._depth = 0
        self._in_string = False
        self._marks = 0

    def find_end(self, buffer: bytes | bytearray) -> int | None:
        """The index after the object's end, or None; call it again when the buffer has grown.

        An EOT inside ends the object as well, broken. Raises `Malformed` where the object nests
        too deep or holds a number that is too long, `TooLarge` where it holds too many values.
        """
        while True:
            if self._in_string:
                rest = _INSIDE.match(buffer, self._position)
                assert rest is not None  # noqa: S101 it matches nothing, too
                self._position = rest.end()
                left = len(buffer) - self._position
                if left == 0 or (left == 1 and buffer[self._position] == ord("\\")):
                    return None
                self._in_string = False
                if buffer[self._position] == ord('"'):
                    self._position += 1
            run = _RUN.match(buffer, self._position)
            assert run is not None  # noqa: S101 it matches nothing, too
            end = run.end()
            if end == len(buffer):
                # What is behind the last comma goes on with the next bytes.
                cut = buffer.rfind(b",", self._position) + 1 or self._position
                self._take(buffer[self._position : cut])
                _check_length(buffer[cut:])
                # White space without end is not looked at again and again.
                self._position = max(cut, end - 2 * MAX_NUMBER)
                return None
            if end > self._position:
                self._take(run[0])
            self._position = end + 1
            self._count(1)
            match buffer[end]:
                case 0x22:  # '"'
                    self._in_string = True
                case 0x7B | 0x5B:  # '{' and '['
                    self._depth += 1
                    if self._depth > MAX_DEPTH:
                        raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
                case 0x7D | 0x5D:  # '}' and ']'
                    self._depth -= 1
                    if self._depth == 0:
                        return self._position
                case _:  # EOT
                    return self._position

    def _take(self, run: bytes | bytearray) -> None:
        """Look at what stands between two marks that are no commas."""
        self._count(2 * run.count(b","))
        if len(run) > MAX_NUMBER:
            words = run.split(b",")
            if max(map(len, words)) > MAX_NUMBER:
                for word in words:
                    _check_length(word)

    def _count(self, marks: int) -> None:
        self._marks += marks
        if self._marks > MAX_MARKS:
            raise TooLarge(
                f"the request holds over {MAX_MARKS} values and brackets; "
                "send large data as arrays"
            )


def _check_length(word: bytes | bytearray) -> None:
    """Refuse a number that is too long; it may have white space around it."""
    if len(word) > MAX_NUMBER and (length := len(word.strip(_AROUND))) > MAX_NUMBER:
        raise Malformed(f"a number or word of {length} characters; at most {MAX_NUMBER} are read")


def decode_message(text: bytes | bytearray) -> Any:
    """Read JSON text that is whole, as `decode` does, but no deeper than `MAX_DEPTH`."""
    ObjectScanner().find_end(text)
    return decode(text)

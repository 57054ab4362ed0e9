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
"""Brackets, strings and commas in one request. To look through and parse so many takes 0.1 s, and
2 s at worst, for numbers of hundreds of digits; no other client is served meanwhile. Large data
are arrays, which are one string."""

# EOT never stands in JSON, not even in a string: it ends a request that is broken.
_OUTSIDE = re.compile(rb'["{}\[\],\x04]')
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
        too deep, `TooLarge` where it holds too many values.
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
            if (match := _OUTSIDE.search(buffer, self._position)) is None:
                self._position = len(buffer)
                return None
            self._position = match.end()
            self._marks += 1
            if self._marks > MAX_MARKS:
                raise TooLarge(
                    f"the request holds over {MAX_MARKS} values and brackets; "
                    "send large data as arrays"
                )
            match match[0]:
                case b'"':
                    self._in_string = True
                case b"{" | b"[":
                    self._depth += 1
                    if self._depth > MAX_DEPTH:
                        raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
                case b"}" | b"]":
                    self._depth -= 1
                    if self._depth == 0:
                        return self._position
                case b"\x04":  # EOT
                    return self._position


def decode_message(text: bytes | bytearray) -> Any:
    """Read JSON text that is whole, as `decode` does, but no deeper than `MAX_DEPTH`."""
    ObjectScanner().find_end(text)
    return decode(text)

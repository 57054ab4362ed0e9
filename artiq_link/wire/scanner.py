"""Where a JSON object ends in bytes that come in any pieces.

Strategy: the bytes are looked through once, as they come, for what opens and closes objects,
arrays and strings. That finds the object's end in linear time however the bytes are cut. Inside
strings only quotes and backslashes count.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import Malformed, TooLarge
from ..slices import BYTES, VALUES
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


class Cut(NamedTuple):
    """A place where a text can be cut: behind a comma, or around a long string."""

    end: int
    """Where the piece before it ends."""
    opened: bytes
    """The brackets that are open there, the outermost first."""
    begin: int
    """Where the piece behind it begins: at the same place, or behind the string."""


class ObjectScanner:
    """Finds where the JSON object that begins a buffer ends, and where a large one can be cut.

    `most_digits` is the longest number that is read, in characters.
    """

    def __init__(self, most_digits: int = MAX_NUMBER) -> None:
        self._most_digits = most_digits
        self._position = 0
        # Of the string or of what stands between two marks, commas among them.
        self._begun = 0
        self._opened = bytearray()
        self._in_string = False
        self._marks = self._marks_at_cut = 0
        self.cuts: list[Cut] = []
        """Places about `slices.BYTES` or `slices.VALUES` apart, where there are any."""
        self.paused = False
        """Whether `look` has left a part of the buffer for its next call."""

    def look(self, buffer: bytes | bytearray) -> int | None:
        """The index after the object's end, as far as a slice of the buffer tells; None: not yet.

        It has `paused` where the slice is not all; otherwise it is to be called again when the
        buffer has grown. An EOT inside ends the object as well, broken. Raises `Malformed` where
        the object nests too deep or holds a number that is too long, `TooLarge` where it holds
        too many values.
        """
        limit = min(len(buffer), self._position + BYTES)
        most_marks = self._marks + VALUES
        self.paused = False
        while True:
            if self._in_string:
                rest = _INSIDE.match(buffer, self._position, limit)
                assert rest is not None  # noqa: S101 it matches nothing, too
                self._position = rest.end()
                left = limit - self._position
                if left == 0 or (left == 1 and buffer[self._position] == ord("\\")):
                    self.paused = limit < len(buffer)
                    return None
                self._in_string = False
                if buffer[self._position] == ord('"'):
                    self._position += 1
                    if self._position - self._begun > BYTES and self._opened:
                        self._cut(self._begun, self._position)
                self._begun = self._position
            run = _RUN.match(buffer, self._position, limit)
            assert run is not None  # noqa: S101 it matches nothing, too
            end = run.end()
            if end == limit:
                # What is behind the last comma goes on with the next bytes.
                cut = buffer.rfind(b",", self._position, end) + 1
                if cut:
                    self._begun = cut
                elif end - self._begun > BYTES:
                    raise Malformed(f"over {BYTES} characters without a value")
                cut = cut or self._position
                self._take(buffer[self._position : cut], cut)
                self._check_length(buffer[cut:end])
                # White space without end is not looked at again and again.
                self._position = max(cut, end - 2 * self._most_digits)
                self.paused = limit < len(buffer)
                return None
            if end > self._position:
                self._take(run[0], end)
            self._position = end + 1
            self._begun = end
            self._count(1)
            match buffer[end]:
                case 0x22:  # '"'
                    self._in_string = True
                case 0x7B | 0x5B as bracket:  # '{' and '['
                    self._opened.append(bracket)
                    if len(self._opened) > MAX_DEPTH:
                        raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
                case 0x7D | 0x5D:  # '}' and ']'
                    del self._opened[-1:]
                    if not self._opened:
                        return self._position
                case _:  # EOT
                    return self._position
            if self._marks > most_marks:
                self.paused = True
                return None

    def _take(self, run: bytes | bytearray, end: int) -> None:
        """Look at what stands before `end`, between two marks that are no commas."""
        if commas := run.count(b","):
            self._count(2 * commas)
            cut = end - len(run) + run.rfind(b",") + 1
            last = self.cuts[-1].begin if self.cuts else 0
            is_far = cut - last > BYTES or self._marks - self._marks_at_cut > VALUES
            if is_far and self._opened:
                self._cut(cut, cut)
        if len(run) > self._most_digits:
            words = run.split(b",")
            if max(map(len, words)) > self._most_digits:
                for word in words:
                    self._check_length(word)

    def _check_length(self, word: bytes | bytearray) -> None:
        """Refuse a number that is too long; it may have white space around it."""
        most = self._most_digits
        if len(word) > most and (length := len(word.strip(_AROUND))) > most:
            raise Malformed(f"a number or word of {length} characters; at most {most} are read")

    def _cut(self, end: int, begin: int) -> None:
        self.cuts.append(Cut(end, bytes(self._opened), begin))
        self._marks_at_cut = self._marks

    def _count(self, marks: int) -> None:
        self._marks += marks
        if self._marks > MAX_MARKS:
            raise TooLarge(
                f"the request holds over {MAX_MARKS} values and brackets; "
                "send large data as arrays"
            )

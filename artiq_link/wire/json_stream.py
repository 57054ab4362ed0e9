"""The JSON dialect: an object is a request as soon as it closes, whatever follows it.

Requests in EOT text are framed alike, and their shape alone tells them (see `ipc_text`).

Strategy: the bytes are looked through once, as they come, for what opens and closes objects,
arrays and strings. That finds the request's end in linear time however the bytes are cut, and
only a whole object goes to the JSON parser. Inside strings only quotes and backslashes count.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import ExchangeError, Malformed, TooLarge
from ..exchanges.messages import Reply, Request
from ..values import decode, encode
from . import ipc_text
from .base import MAX_DEPTH, Wire, WireOptions

BETWEEN = b" \t\r\n\x04"
"""White space and EOT: what may stand before, between and after requests."""

CTRL_Z = b"\x1a"
"""Ends a telnet session."""

MAX_MARKS = 1 << 17
"""Brackets, strings and commas in one request. To look through and parse so many takes 0.1 s, and
2 s at worst, for numbers of hundreds of digits; no other client is served meanwhile. Large data
are arrays, which are one string."""

_GAP = re.compile(b"[%s]*" % BETWEEN)
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
                case ipc_text.EOT:
                    return self._position


def decode_message(text: bytes | bytearray) -> Any:
    """Read JSON text that is whole, as `decode` does, but no deeper than `MAX_DEPTH`."""
    ObjectScanner().find_end(text)
    return decode(text)


class BrokenText(Malformed):
    """A broken request of EOT text."""

    def __init__(self) -> None:
        super().__init__(ipc_text.MALFORMED)


class JsonWire(Wire):
    """Requests are JSON objects; replies are JSON objects with a newline each, or EOT text's.

    After a reply the connection closes, unless the request said ``"link": {"keep": true}``. In
    telnet mode it stays open after a reply in EOT text, until the client sends Ctrl-Z.
    """

    name = "json"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._buffer = bytearray()
        self._scanner = ObjectScanner()
        self._tried = False
        self._eof = False
        self._plain_text = False
        self._lost = False

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        if not self._buffer:
            data = data.lstrip(BETWEEN)
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if not self._buffer or self._buffer.startswith(CTRL_Z):
            self.closed = self._eof or bool(self._buffer)
            return None
        spoken = self.options.dialects
        self._plain_text = "json" not in spoken
        size = len(self._buffer)
        try:
            message = self._take_object()
        except ExchangeError as error:
            self._plain_text |= isinstance(error, BrokenText) and "eot" in spoken
            # Where the next request begins, nobody knows.
            self._lost = len(self._buffer) == size
            raise
        if message is None:
            return None
        if "eot" in spoken and (request := ipc_text.request_of(message)):
            self._plain_text = True
            return request
        if "json" not in spoken:
            raise Malformed("expected one command, with its parameters in an object")
        return Request.from_object(message)

    def _take_object(self) -> Any:
        """Take a whole object off the buffer and parse it; None where it is not whole.

        The buffer then begins with what follows the object, also where it was broken.
        """
        if (message := self._parse_at_once()) is not None:
            return message
        end = self._find_end()
        size = len(self._buffer) if end is None else end
        if size > self.options.max_request:
            raise TooLarge(f"the request is over the limit of {self.options.max_request} bytes")
        if end is None:
            if not self._eof:
                return None
            if ipc_text.is_begun_in(self._buffer):
                raise BrokenText
            raise Malformed("the connection ended before the JSON object did")
        text = self._buffer[:end]
        self._remove(end)
        if text.endswith(ipc_text.EOT):
            raise BrokenText
        try:
            return decode(text)
        except Malformed:
            if ipc_text.is_begun_in(text):
                raise BrokenText from None
            raise

    def _parse_at_once(self) -> Any:
        """Take the whole buffer as one object, as it nearly always is; None where it is not.

        It is tried once for what comes at once, and only where it is sure that there are not too
        many marks or levels, so that a request is taken or refused alike however it comes.
        """
        if self._tried or not self._buffer.endswith(b"}"):
            return None
        self._tried = True
        count = self._buffer.count
        if count(b"{") + count(b"[") > MAX_DEPTH or count(b",") + count(b'"') > MAX_MARKS // 2:
            return None
        if len(self._buffer) > self.options.max_request:
            return None
        try:
            message = decode(self._buffer)
        except Malformed:
            return None
        self._remove(len(self._buffer))
        return message

    def _remove(self, end: int) -> None:
        """Take an object off the buffer, which then begins with the next one."""
        gap = _GAP.match(self._buffer, end)
        assert gap is not None  # noqa: S101 it matches nothing, too
        del self._buffer[: gap.end()]
        self._scanner = ObjectScanner()
        self._tried = bool(self._buffer)

    def _find_end(self) -> int | None:
        if self._buffer[0] == ord("{"):
            return self._scanner.find_end(self._buffer)
        if self.options.telnet:
            # A person types: what is no object ends with EOT as well.
            return self._buffer.find(ipc_text.EOT) + 1 or None
        raise Malformed("expected a JSON object, which begins with '{'")

    def send_reply(self, reply: Reply) -> None:
        if self._plain_text:
            self._outgoing.append(ipc_text.text_of(reply).encode() + b"\r\n")
            self.closed = self._lost or not self.options.telnet
        else:
            self._outgoing.append(encode(reply.to_object()) + b"\n")
            self.closed = reply.request is None or not reply.request.link.keep

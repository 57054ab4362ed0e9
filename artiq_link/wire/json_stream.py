"""The JSON dialect: an object is a request as soon as it closes, whatever follows it.

Requests in EOT text are framed alike, and their shape alone tells them (see `ipc_text`).

`ObjectScanner` finds where an object ends, and only a whole one goes to the JSON parser.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..errors import ExchangeError, Malformed, TooLarge
from ..exchanges.messages import Event, Reply, Request
from ..values import ARRAY_MARK, encode, parse, revive
from . import ipc_text
from .base import MAX_DEPTH, Wire, WireOptions
from .buffers import Announced, announced_in, reply_with_buffers
from .scanner import EOT, MAX_MARKS, ObjectScanner

BETWEEN = b" \t\r\n\x04"
"""White space and EOT: what may stand before, between and after requests."""

CTRL_Z = b"\x1a"
"""Ends a telnet session."""

JSON, TEXT, BUFFERS = "json", "text", "json with buffers"
"""The forms of replies."""

_GAP = re.compile(b"[%s]*" % BETWEEN)


class BrokenText(Malformed):
    """A broken request of EOT text."""

    def __init__(self) -> None:
        super().__init__(ipc_text.MALFORMED)


def request_of(message: Any, *, keeps: bool = True) -> Request:
    """Read the parsed object of one exchange, as `Request.from_object` does, with its form."""
    request = Request.from_object(message, JSON, keeps=keeps)
    if request.link.buffers is False:
        return request
    return msgspec.structs.replace(request, form=BUFFERS)


class JsonWire(Wire):
    """Requests are JSON objects; replies are JSON objects with a newline each, or EOT text's.

    After a reply the connection closes, unless the request said ``"link": {"keep": true}``. In
    telnet mode it stays open after a reply in EOT text, until the client sends Ctrl-Z.
    """

    name = "json"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        # What came at once stays as it came: nearly always it is one whole request.
        self._buffer: bytes | bytearray = b""
        self._scanner: ObjectScanner | None = None
        # A request whose buffers have not all come, and whether their newline has not either.
        self._announced: Announced | None = None
        self._newline_due = False
        self._eof = False
        self._speaks_json, self._speaks_text = options.speaks("json"), options.speaks("eot")

    @property
    def form(self) -> str:
        return JSON if self._speaks_json else TEXT

    @property
    def buffered(self) -> int:
        if self._announced is None:
            return len(self._buffer)
        return len(self._buffer) + self._announced.held

    def receive_data(self, data: bytes) -> None:
        if not self._buffer:
            self._buffer = data.lstrip(BETWEEN) if self._announced is None else data
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._announced is None and (not self._buffer or self._buffer.startswith(CTRL_Z)):
            self.closed = self._eof or bool(self._buffer)
            return None
        size = len(self._buffer)
        try:
            message = self._take_object()
            if message is None:
                return None
            is_short = len(message) == 1 and self._speaks_text
            if is_short and (text := ipc_text.data_of(message)) is not None:
                return Request.from_data(text, TEXT, keeps=self.options.telnet)
            if not self._speaks_json:
                raise Malformed("expected one command, with its parameters in an object")
            return request_of(message, keeps=False)
        except ExchangeError as error:
            is_text = self.form == TEXT or (isinstance(error, BrokenText) and self._speaks_text)
            # Where the next request begins, nobody knows.
            is_lost = len(self._buffer) == size or self._announced is not None
            ends = is_lost or not (is_text and self.options.telnet)
            return Request.refused(error, TEXT if is_text else JSON, ends=ends)

    def _take_object(self) -> Any:
        """Take a whole object off the buffer and parse it; None where it is not whole.

        The buffer then begins with what follows the object, also where it was broken.
        """
        if self._announced is not None:
            return self._take_buffers(self._announced)
        at_once = self._buffer
        if (message := self._parse_at_once()) is not None:
            return self._complete(message, at_once)
        end = self._find_end()
        size = len(self._buffer) if end is None else end
        if size > self.options.max_text:
            raise TooLarge(f"the request is over the limit of {self.options.max_text} bytes")
        if end is None:
            if not self._eof:
                return None
            if ipc_text.is_begun_in(self._buffer):
                raise BrokenText
            raise Malformed("the connection ended before the JSON object did")
        text = self._remove(end)
        try:
            if text.endswith(EOT):
                raise BrokenText
            message = parse(text)
        except Malformed:
            self._skip_gap()
            if ipc_text.is_begun_in(text):
                raise BrokenText from None
            raise
        return self._complete(message, text)

    def _complete(self, message: Any, text: bytes | bytearray) -> Any:
        """The parsed object with its arrays; None where their buffers are not there yet."""
        announced = announced_in(message, len(text), self.options.max_request)
        if announced is None:
            if self._buffer:
                self._skip_gap()
            return revive(message) if ARRAY_MARK in text else message
        self._announced, self._newline_due = announced, True
        return self._take_buffers(announced)

    def _take_buffers(self, announced: Announced) -> Any:
        """The object with the buffers behind its newline, or None where they are not whole."""
        if self._newline_due and self._buffer:
            if not self._buffer.startswith(b"\n"):
                raise Malformed("expected a newline between the object and its buffers")
            self._buffer = self._buffer[1:]
            self._newline_due = False
        if not self._newline_due:
            self._buffer = bytes(announced.take(self._buffer))
        if not announced.is_whole:
            if self._eof:
                raise Malformed("the connection ended before the buffers did")
            return None
        self._announced = None
        self._buffer = self._buffer.lstrip(BETWEEN)
        return announced.whole()

    def _parse_at_once(self) -> Any:
        """Take the whole buffer as one object, as it nearly always is; None where it is not.

        Only what came at once is tried so, and only where it is sure that there are not too many
        marks or levels, so that a request is taken or refused alike however it comes.
        """
        text = self._buffer
        if isinstance(text, bytearray) or not text.endswith(b"}"):
            return None
        count = text.count
        if count(b"{") + count(b"[") > MAX_DEPTH or len(text) > self.options.max_text:
            return None
        few = (MAX_MARKS - MAX_DEPTH) // 2
        if len(text) > few and count(b",") + count(b'"') > few:
            return None
        try:
            message = parse(text)
        except Malformed:
            return None
        self._buffer = b""
        return message

    def _skip_gap(self) -> None:
        """Let the buffer begin with the next request."""
        if isinstance(self._buffer, bytearray):
            gap = _GAP.match(self._buffer)
            assert gap is not None  # noqa: S101 it matches nothing, too
            del self._buffer[: gap.end()]

    def _remove(self, end: int) -> bytes | bytearray:
        """Take an object off the buffer."""
        self._scanner = None
        if end == len(self._buffer):  # no copy of what may be large
            text, self._buffer = self._buffer, b""
            return text
        self._buffer = bytearray(self._buffer) if isinstance(self._buffer, bytes) else self._buffer
        text = self._buffer[:end]
        del self._buffer[:end]
        return text

    def _find_end(self) -> int | None:
        if self._buffer[0] == ord("{"):
            if self._scanner is None:
                self._scanner = ObjectScanner()
            return self._scanner.find_end(self._buffer)
        if self.options.telnet:
            # A person types: what is no object ends with EOT as well.
            return self._buffer.find(EOT) + 1 or None
        raise Malformed("expected a JSON object, which begins with '{'")

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        if request.form == TEXT:
            return ipc_text.text_of(reply).encode() + b"\r\n"
        if request.form == BUFFERS:
            text, buffers = reply_with_buffers(request, reply)
            return b"".join([text, b"\n", *buffers])
        return encode(reply.to_object(request)) + b"\n"

    @staticmethod
    def can_push(request: Request) -> bool:
        return request.form in {JSON, BUFFERS}

    @staticmethod
    def encode_event(event: Event) -> bytes:
        return encode(event.to_object()) + b"\n"

"""The JSON dialect: an object is a request as soon as it closes, whatever follows it.

Requests in EOT text are framed alike, and their shape alone tells them (see `ipc_text`).

`ObjectScanner` finds where an object ends, and only a whole one goes to the JSON parser.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import ExchangeError, Malformed, TooLarge
from ..exchanges.messages import Event, Reply, Request
from ..values import decode, encode
from . import ipc_text
from .base import MAX_DEPTH, Wire, WireOptions
from .scanner import EOT, MAX_MARKS, ObjectScanner

BETWEEN = b" \t\r\n\x04"
"""White space and EOT: what may stand before, between and after requests."""

CTRL_Z = b"\x1a"
"""Ends a telnet session."""

JSON, TEXT = "json", "text"
"""The forms of replies."""

_GAP = re.compile(b"[%s]*" % BETWEEN)


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
        # What came at once stays as it came: nearly always it is one whole request.
        self._buffer: bytes | bytearray = b""
        self._scanner: ObjectScanner | None = None
        self._eof = False
        self._speaks_json, self._speaks_text = options.speaks("json"), options.speaks("eot")

    @property
    def form(self) -> str:
        return JSON if self._speaks_json else TEXT

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        if not self._buffer:
            self._buffer = data.lstrip(BETWEEN)
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if not self._buffer or self._buffer.startswith(CTRL_Z):
            self.closed = self._eof or bool(self._buffer)
            return None
        size = len(self._buffer)
        try:
            message = self._take_object()
            if message is None:
                return None
            if self._speaks_text and (text := ipc_text.request_of(message)) is not None:
                name, parameters = text
                return Request(name, parameters, form=TEXT, ends=not self.options.telnet)
            if not self._speaks_json:
                raise Malformed("expected one command, with its parameters in an object")
            return Request.from_object(message, JSON, keeps=False)
        except ExchangeError as error:
            is_text = self.form == TEXT or (isinstance(error, BrokenText) and self._speaks_text)
            # Where the next request begins, nobody knows.
            is_lost = len(self._buffer) == size
            ends = is_lost or not (is_text and self.options.telnet)
            return Request.refused(error, TEXT if is_text else JSON, ends=ends)

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
        if text.endswith(EOT):
            raise BrokenText
        try:
            return decode(text)
        except Malformed:
            if ipc_text.is_begun_in(text):
                raise BrokenText from None
            raise

    def _parse_at_once(self) -> Any:
        """Take the whole buffer as one object, as it nearly always is; None where it is not.

        Only what came at once is tried so, and only where it is sure that there are not too many
        marks or levels, so that a request is taken or refused alike however it comes.
        """
        text = self._buffer
        if isinstance(text, bytearray) or not text.endswith(b"}"):
            return None
        count = text.count
        if count(b"{") + count(b"[") > MAX_DEPTH or len(text) > self.options.max_request:
            return None
        if len(text) > MAX_MARKS // 2 and count(b",") + count(b'"') > MAX_MARKS // 2:
            return None
        try:
            message = decode(text)
        except Malformed:
            return None
        self._buffer = b""
        return message

    def _remove(self, end: int) -> None:
        """Take an object off the buffer, which then begins with the next one."""
        gap = _GAP.match(self._buffer, end)
        assert gap is not None  # noqa: S101 it matches nothing, too
        self._buffer = bytearray(self._buffer) if isinstance(self._buffer, bytes) else self._buffer
        del self._buffer[: gap.end()]
        self._scanner = None

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
        return encode(reply.to_object(request)) + b"\n"

    @staticmethod
    def encode_event(event: Event) -> bytes:
        return encode(event.to_object()) + b"\n"

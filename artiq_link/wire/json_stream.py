"""The JSON dialect: an object is a request as soon as it closes, whatever follows it.

Requests in EOT text are framed alike, and their shape alone tells them (see `ipc_text`).

`ObjectScanner` finds where an object ends, and only a whole one goes to the JSON parser.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..errors import ExchangeError, Malformed
from ..exchanges.messages import Event, Reply, Request
from ..slices import BYTES, Slices
from ..values import ARRAY_MARK, encode, parse, reviving
from . import ipc_text
from .base import MAX_DEPTH, Wire, WireOptions, too_large
from .buffers import Announced, announced_in, reply_with_buffers
from .json_pieces import parsing
from .scanner import EOT, MAX_MARKS, ObjectScanner

BETWEEN = b" \t\r\n\x04"
"""White space and EOT: what may stand before, between and after requests."""

CTRL_Z = b"\x1a"
"""Ends a telnet session."""

JSON, TEXT, BUFFERS = "json", "text", "json with buffers"
"""The forms of replies."""

_AT_ONCE = min(BYTES, (MAX_MARKS - MAX_DEPTH) // 2)
"""Bytes of a text that is parsed without a look at it; it cannot hold too many marks."""

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
        # Bytes of the object that is being parsed.
        self._size = 0
        # Whether nobody knows where the next request begins.
        self._is_lost = False
        self._eof = False
        self._speaks_json, self._speaks_text = options.speaks("json"), options.speaks("eot")

    @property
    def form(self) -> str:
        return JSON if self._speaks_json else TEXT

    @property
    def buffered(self) -> int:
        announced = 0 if self._announced is None else self._announced.held
        return len(self._buffer) + self._size + announced

    def receive_data(self, data: bytes) -> None:
        if not self._buffer:
            is_between = self._announced is None and self._work is None
            self._buffer = data.lstrip(BETWEEN) if is_between else data
            return
        if isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def receive_eof(self) -> None:
        self._eof = True

    def next_request(self) -> Request | None:
        if self._work is not None:
            return self._go_on(self._work)
        if self._announced is None and (not self._buffer or self._buffer.startswith(CTRL_Z)):
            self.closed = self._eof or bool(self._buffer)
            return None
        at_once = self._buffer
        message = None if self._announced is not None else self._parse_at_once()
        if message is not None and ARRAY_MARK not in at_once and b"buffers" not in at_once:
            # As nearly always: nothing of it can take long.
            self._is_lost = False
            try:
                return self._request_of(message)
            except ExchangeError as error:
                return self._refused(error)
        return self._go_on(self._reading(message, at_once))

    def _reading(self, message: Any, text: bytes | bytearray) -> Slices[Request | None]:
        """Read the next request, which may have been parsed; None where it is not whole."""
        self._is_lost = message is None
        try:
            if message is None:
                message = yield from self._taking_object()
            else:
                message = yield from self._completing(message, text)
            return None if message is None else self._request_of(message)
        except ExchangeError as error:
            return self._refused(error)

    def _request_of(self, message: Any) -> Request:
        is_short = len(message) == 1 and self._speaks_text
        if is_short and (text := ipc_text.data_of(message)) is not None:
            return Request.from_data(text, TEXT, keeps=self.options.telnet)
        if not self._speaks_json:
            raise Malformed("expected one command, with its parameters in an object")
        return request_of(message, keeps=False)

    def _refused(self, error: ExchangeError) -> Request:
        is_text = self.form == TEXT or (isinstance(error, BrokenText) and self._speaks_text)
        ends = self._is_lost or not (is_text and self.options.telnet)
        return Request.refused(error, TEXT if is_text else JSON, ends=ends)

    def _taking_object(self) -> Slices[Any]:
        """Take a whole object off the buffer and parse it; None where it is not whole.

        The buffer then begins with what follows the object, also where it was broken.
        """
        if self._announced is not None:
            return (yield from self._taking_buffers(self._announced))
        end = self._look_for_end()
        while self._scanner is not None and self._scanner.paused:
            yield
            end = self._look_for_end()
        if (end or len(self._buffer)) > self.options.max_text:
            raise too_large(self.options.max_text)
        if end is None:
            if not self._eof:
                return None
            if ipc_text.is_begun_in(self._buffer):
                raise BrokenText
            raise Malformed("the connection ended before the JSON object did")
        cuts = [] if self._scanner is None else self._scanner.cuts
        text = self._remove(end)
        self._is_lost = False
        self._size = end
        try:
            if text.endswith(EOT):
                raise BrokenText
            message = yield from parsing(text, cuts)
        except Malformed:
            self._skip_gap()
            if ipc_text.is_begun_in(text):
                raise BrokenText from None
            raise
        finally:
            self._size = 0
        return (yield from self._completing(message, text))

    def _completing(self, message: Any, text: bytes | bytearray) -> Slices[Any]:
        """The parsed object with its arrays; None where their buffers are not there yet."""
        announced = announced_in(message, len(text), self.options.max_request)
        if announced is None:
            if self._buffer:
                self._skip_gap()
            return (yield from reviving(message)) if ARRAY_MARK in text else message
        self._is_lost = self._newline_due = True
        self._announced = announced
        return (yield from self._taking_buffers(announced))

    def _taking_buffers(self, announced: Announced) -> Slices[Any]:
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
        self._is_lost = False
        self._announced = None
        self._buffer = self._buffer.lstrip(BETWEEN)
        return (yield from announced.whole())

    def _parse_at_once(self) -> Any:
        """Take the whole buffer as one object, as it nearly always is; None where it is not.

        Only what came at once is tried so, and only where it is so short that there are not too
        many marks or levels, so that a request is taken or refused alike however it comes.
        """
        if isinstance(self._buffer, bytearray):
            return None
        text = self._buffer.rstrip(BETWEEN)
        # Behind the newline may be buffers.
        if not text.endswith(b"}") or (len(text) < len(self._buffer) and b"buffers" in text):
            return None
        count = text.count
        if len(text) > _AT_ONCE or len(text) > self.options.max_text:
            return None
        if count(b"{") + count(b"[") > MAX_DEPTH:
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

    def _look_for_end(self) -> int | None:
        """The index after the first object, as far as a slice of the buffer tells."""
        if self._buffer[0] == ord("{"):
            if self._scanner is None:
                self._scanner = ObjectScanner()
            return self._scanner.look(self._buffer)
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

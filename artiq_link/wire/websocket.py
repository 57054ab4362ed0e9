"""WebSocket: each message is a request, each reply a text message (RFC 6455).

The protocol itself is the websockets library's; here its events become requests. A message is a
request as in the JSON dialect, or of EOT text's shape, which is answered in plain text. Buffers
are a binary message each, behind the one that tells of them. The message ``quit`` ends the
connection.
"""

from __future__ import annotations

import codecs
from collections import deque

import msgspec
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin

from ..errors import ExchangeError, Malformed
from ..exchanges.messages import Event, Reply, Request
from ..loggers import get_logger
from ..slices import BYTES, Slices
from ..values import ARRAY_MARK, encode, reviving
from . import ipc_text, origins
from .base import Wire, WireOptions, too_large
from .buffers import Announced, announced_in, reply_with_buffers
from .credentials import proof_of
from .json_pieces import parsing_message
from .json_stream import BUFFERS, JSON, TEXT, request_of

QUIT = b"quit"
"""A message that begins so is answered ``bye``, and the connection closed."""

PIECE = 1024
"""Bytes that the protocol is fed at once: it takes all frames in them, up to 170 empty ones."""

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message, such as a buffer's: unmasking more would hold up other clients."""

FRAMES_AT_ONCE = 100
"""Frames after which other connections get their turn; 100 take 1 to 2 ms."""

logger = get_logger(__name__)


class WebSocketWire(Wire):
    """Many requests on one connection, answered in their order.

    A handshake that names an ``Origin``, as those of browsers do, is refused unless it is one of
    `origins`. A token, or a session, may come in its headers; it is that of the first request.
    """

    name = "websocket"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        size = min(options.max_request, MAX_MESSAGE)
        self._protocol = ServerProtocol(max_size=size, logger=logger)
        self._protocol.debug = False  # it would log tokens, in headers and messages
        self._token: str | None = None
        self._unread = bytearray()
        self._begun = bytearray()
        self._opcode = Opcode.TEXT
        self._messages: deque[tuple[Opcode, bytearray]] = deque()
        self._waiting = 0
        self._announced: Announced | None = None

    @property
    def buffered(self) -> int:
        # An empty message takes memory as well.
        waiting = self._waiting + len(self._messages) + len(self._begun)
        announced = 0 if self._announced is None else self._announced.held
        return waiting + announced + len(self._protocol.reader.buffer) + len(self._unread)

    @property
    def awaiting(self) -> bool:
        return self._protocol.state is State.CONNECTING or self.buffered > 0

    def receive_data(self, data: bytes) -> None:
        self._unread += data
        frames = 0
        while self._unread and frames < FRAMES_AT_ONCE:
            size = PIECE
            if self._protocol.state is State.CONNECTING:
                # It is answered, or refused, before the frames that came with it are looked at.
                size = self._unread.find(b"\n", 0, PIECE) + 1 or PIECE
                frames += 1  # a line takes as long as one
            self._protocol.receive_data(bytes(self._unread[:size]))
            del self._unread[:size]
            for event in self._protocol.events_received():
                if isinstance(event, Handshake):
                    self._shake_hands(event)
                else:
                    assert isinstance(event, Frame)  # noqa: S101 a server has no other events
                    self._receive_frame(event)
                    frames += 1
        self.unfinished = bool(self._unread) or self._work is not None

    def receive_eof(self) -> None:
        self._protocol.receive_eof()
        self._unread.clear()
        self._work, self.unfinished = None, False
        self.closed = True

    def _shake_hands(self, handshake: Handshake) -> None:
        headers = handshake.headers
        host = origins.host_of(headers.get_all("Host"))
        own = origins.origins_of(host, self.options)
        self._protocol.origins = [None, *map(Origin, own)]
        self._token = proof_of(headers.get_all("Authorization"), headers.get_all("Cookie"), host)
        self._protocol.send_response(self._protocol.accept(handshake))
        if self._protocol.state is State.CONNECTING:  # it is refused, and what follows not read
            self._unread.clear()

    def _receive_frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            if frame.opcode is not Opcode.CONT:
                self._opcode = frame.opcode
            self._begun += frame.data
            # The protocol keeps its last frame until the next one comes, and in a circle of
            # references when the connection has gone.
            frame.data = b""
            if frame.fin:
                self._messages.append((self._opcode, self._begun))
                self._waiting += len(self._begun)
                self._begun = bytearray()

    def next_request(self) -> Request | None:
        while not self.closed:
            if self._work is not None:
                request = self._go_on(self._work)
            elif not self._messages:
                return None
            elif self._announced is None:
                request = self._go_on(self._taking_message())
            else:
                request = self._go_on(self._taking_buffer(self._announced))
            if request is not None:
                return request if self._token is None else self._with_token(request)
            if self._work is not None:
                return None
        return None

    def _go_on(self, work: Slices[Request | None]) -> Request | None:
        request = super()._go_on(work)
        self.unfinished |= bool(self._unread)
        return request

    def _with_token(self, request: Request) -> Request:
        """The first request, with the token of the handshake unless it has its own."""
        if request.refusal is None:
            token, self._token = self._token, None
            if request.link.token is None:
                link = msgspec.structs.replace(request.link, token=token)
                return msgspec.structs.replace(request, link=link)
        return request

    def _taking_message(self) -> Slices[Request | None]:
        """Take a message, which is a request unless its buffers are to come; None then."""
        opcode, data = self._messages[0]
        if opcode is Opcode.TEXT and not (yield from _is_utf8(data)):
            self._protocol.fail(CloseCode.INVALID_DATA, "not UTF-8")  # RFC 6455, section 8.1
            self.closed = True
            return None
        if data.startswith(QUIT):
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(b"bye")
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            if self.options.quit_stops:
                return Request("link.stop", {}, ends=True)  # without a form: it was answered
            self.closed = True
            return None
        try:
            if len(data) > self.options.max_text:
                raise too_large(self.options.max_text)
            message = yield from parsing_message(data)
        except ExchangeError as error:
            return self.refuse(error, ends=False)
        finally:
            self._forget_message()
        try:
            self._announced = announced_in(message, len(data), self.options.max_request)
        except ExchangeError as error:
            # What follows are buffers, nobody knows how many, and never requests.
            return self.refuse(error)
        if self._announced is not None:
            return None
        try:
            if ARRAY_MARK in data:
                message = yield from reviving(message)
            if self.options.speaks("eot") and (text := ipc_text.data_of(message)) is not None:
                return Request.from_data(text, TEXT)
            return request_of(message)
        except ExchangeError as error:
            return self.refuse(error, ends=False)

    def _taking_buffer(self, announced: Announced) -> Slices[Request | None]:
        """Take a binary message for a buffer; the request where it is the last one."""
        opcode, data = self._messages[0]
        if opcode is Opcode.TEXT:
            # It is the next request: array elements never come as text.
            self._announced = None
            return self.refuse(
                Malformed("expected a binary message for each of link.buffers, got a text"),
                ends=False,
            )
        self._forget_message()
        announced.add(data)
        if not announced.is_whole:
            return None
        self._announced = None
        try:
            return request_of((yield from announced.whole()))
        except ExchangeError as error:
            return self.refuse(error, ends=False)

    def _forget_message(self) -> None:
        """The first message has been taken."""
        self._waiting -= len(self._messages.popleft()[1])

    @property
    def form(self) -> str | None:
        # It is not open before the handshake, nor after the client has closed it.
        return JSON if self._protocol.state is State.OPEN else None

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        if request.form is None:
            return b""
        data = _message_frames(request, reply)
        return data + _CLOSING if request.ends else data

    @staticmethod
    def can_push(request: Request) -> bool:
        return request.form in {JSON, BUFFERS}

    @staticmethod
    def encode_event(event: Event) -> bytes:
        return _text_frame(encode(event.to_object()))

    def data_to_send(self) -> bytes:
        writes = self._protocol.data_to_send()
        # An empty write is the library's sign for the end of the stream.
        self.closed |= b"" in writes
        return b"".join(writes)


_CLOSING = Frame(
    Opcode.CLOSE, Close(CloseCode.POLICY_VIOLATION, "the last reply says why").serialize()
).serialize(mask=False)
"""What ends a connection behind the reply to what could not be taken."""


def _message_frames(request: Request, reply: Reply) -> bytes:
    """The text message of a reply, with a binary one for each of its buffers."""
    if request.form == TEXT:
        return _text_frame(ipc_text.text_of(reply).encode())
    if request.form != BUFFERS:
        return _text_frame(encode(reply.to_object(request)))
    text, buffers = reply_with_buffers(request, reply)
    binary = (Frame(Opcode.BINARY, buffer).serialize(mask=False) for buffer in buffers)
    return b"".join([_text_frame(text), *binary])


def _text_frame(data: bytes) -> bytes:
    """One message; a server masks nothing (RFC 6455, section 5.1)."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def _is_utf8(data: bytearray) -> Slices[bool]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for begin in range(0, len(data), BYTES):
            decoder.decode(data[begin : begin + BYTES])
            if len(data) > BYTES:
                yield
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True

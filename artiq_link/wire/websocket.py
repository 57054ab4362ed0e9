"""WebSocket: each message is a request, each reply a text message (RFC 6455).

The protocol itself is the websockets library's; here its events become requests. A message is a
request as in the JSON dialect, or of EOT text's shape, which is answered in plain text. The
message ``quit`` ends the connection.
"""

from __future__ import annotations

import logging
from collections import deque
from http import HTTPStatus

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin

from ..errors import ExchangeError
from ..exchanges.messages import Event, Reply, Request
from ..values import encode
from . import ipc_text
from .base import Wire, WireOptions
from .json_stream import JSON, TEXT
from .scanner import decode_message

QUIT = b"quit"
"""A message that begins so is answered ``bye``, and the connection closed."""

PAGE = """This is an artiq_link server: it lets experiments command instruments.

It speaks WebSocket here; try it with   python -m websockets ws://HOST:PORT/
and with a message such as              {"command_id": "link.describe"}
"""

PIECE = 1024
"""Bytes that the protocol is fed at once: it takes all frames in them, up to 170 empty ones."""

FRAMES_AT_ONCE = 100
"""Frames after which other connections get their turn; 100 take 1 to 2 ms."""

logger = logging.getLogger(__name__)


class WebSocketWire(Wire):
    """Many requests on one connection, answered in their order.

    Any web page can reach a port of the computer on which its browser runs, so a handshake that
    names an ``Origin`` is refused unless the server's keeper allowed that one (RFC 6455, 10.2).
    """

    name = "websocket"

    def __init__(self, options: WireOptions) -> None:
        super().__init__(options)
        self._protocol = ServerProtocol(
            origins=[None, *map(Origin, options.origins)],
            max_size=options.max_request,
            logger=logger,
        )
        self._unread = bytearray()
        self._begun = bytearray()
        self._opcode = Opcode.TEXT
        self._messages: deque[tuple[Opcode, bytes]] = deque()
        self._waiting = 0

    @property
    def buffered(self) -> int:
        # An empty message takes memory as well.
        waiting = self._waiting + len(self._messages) + len(self._begun)
        return waiting + len(self._protocol.reader.buffer) + len(self._unread)

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
        self.unfinished = bool(self._unread)

    def receive_eof(self) -> None:
        self._protocol.receive_eof()
        self._unread.clear()
        self.unfinished = False
        self.closed = True

    def _shake_hands(self, handshake: Handshake) -> None:
        if handshake.headers.get_all("Upgrade"):
            response = self._protocol.accept(handshake)
        else:
            response = self._protocol.reject(HTTPStatus.OK, PAGE)
        self._protocol.send_response(response)
        if self._protocol.state is State.CONNECTING:  # it is refused, and what follows not read
            self._unread.clear()

    def _receive_frame(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            if frame.opcode is not Opcode.CONT:
                self._opcode = frame.opcode
            self._begun += frame.data
            if frame.fin:
                self._messages.append((self._opcode, bytes(self._begun)))
                self._waiting += len(self._begun)
                self._begun.clear()

    def next_request(self) -> Request | None:
        if not self._messages:
            return None
        opcode, data = self._messages.popleft()
        self._waiting -= len(data)
        if opcode is Opcode.TEXT and not _is_utf8(data):
            self._protocol.fail(CloseCode.INVALID_DATA, "not UTF-8")  # RFC 6455, section 8.1
            self.closed = True
            return None
        if data.startswith(QUIT):
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(b"bye")
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self.closed = True
            self.stops_server = self.options.quit_stops
            return None
        try:
            message = decode_message(data)
            if self.options.speaks("eot") and (text := ipc_text.request_of(message)) is not None:
                name, parameters = text
                return Request(name, parameters, form=TEXT)
            return Request.from_object(message, JSON)
        except ExchangeError as error:
            return self.refuse(error, ends=False)

    @property
    def form(self) -> str | None:
        # It is not open before the handshake, nor after the client has closed it.
        return JSON if self._protocol.state is State.OPEN else None

    @staticmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        if request.form is None:
            return b""
        if request.form == TEXT:
            return _text_frame(ipc_text.text_of(reply).encode())
        return _text_frame(encode(reply.to_object(request)))

    @staticmethod
    def encode_event(event: Event) -> bytes:
        return _text_frame(encode(event.to_object()))

    def data_to_send(self) -> bytes:
        writes = self._protocol.data_to_send()
        # An empty write is the library's sign for the end of the stream.
        self.closed |= b"" in writes
        return b"".join(writes)


def _text_frame(data: bytes) -> bytes:
    """One message; a server masks nothing (RFC 6455, section 5.1)."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

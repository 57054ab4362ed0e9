"""The other side of each dialect: what clients send, and how a wire is fed with it."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from artiq_link import LinkServer
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.wire import select_wire
from artiq_link.wire.base import Wire, WireOptions
from tests.probe import PATIENCE

TRANSCRIPTS = Path(__file__).parent / "transcripts"

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
"""The opening handshake of RFC 6455, section 1.3."""

MASK = bytes([0x37, 0xFA, 0x21, 0x3D])
"""The masking key of RFC 6455's examples, section 5.7."""


def posted(body: bytes, *headers: str, host: str = "localhost") -> bytes:
    """What a page of the server itself posts to sign in."""
    lines = [
        "POST /session HTTP/1.1",
        f"Host: {host}",
        f"Origin: http://{host}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Its answer to the key above."""


class Outcome(NamedTuple):
    """What came of the bytes that a wire was fed with."""

    requests: list[Request | str]
    """The requests, and the sentences of those that were refused."""
    sent: bytes
    closed: bool


def success(request: Request) -> Reply:
    """The answer to any request: it succeeded, without a result."""
    return Reply()


class Talk:
    """One connection: its wire, fed as the server does, and what comes of that."""

    def __init__(
        self,
        answer: Callable[[Request], Reply] = success,
        options: WireOptions = WireOptions(),  # noqa: B008 it is frozen
    ) -> None:
        self._answer = answer
        self._options = options
        self._first = b""
        self._wire: Wire | None = None
        self._requests: list[Request | str] = []
        self._sent = bytearray()

    def receive_data(self, chunk: bytes) -> None:
        """Take what came in one read; nothing behind the connection's end."""
        if self._wire is None:
            self._first += chunk
            self._wire = select_wire(self._first, self._options)
            chunk = self._first
        if self._wire is None or self._wire.closed:
            return
        self._wire.receive_data(chunk)
        self._advance(self._wire)
        while self._wire.unfinished and not self._wire.closed:
            self._wire.receive_data(b"")
            self._advance(self._wire)

    def receive_eof(self) -> None:
        """Take the client's end of writing."""
        if self._wire is not None and not self._wire.closed:
            self._wire.receive_eof()
            self._advance(self._wire)

    def _advance(self, wire: Wire) -> None:
        while not wire.closed:
            request = wire.next_request()
            if request is None:
                if wire.successor is None:
                    break
                wire = self._wire = wire.successor
                continue
            self._sent += wire.data_to_send()
            if request.refusal is not None:
                self._requests.append(str(request.refusal))
                reply = Reply(error=request.refusal)
            else:
                self._requests.append(request)
                reply = self._answer(request)
            if not wire.closed:
                self._sent += wire.encode_reply(request, reply)
            if request.refusal is None:
                wire.note_reply(request, reply)
            wire.closed |= request.ends
        self._sent += wire.data_to_send()

    @property
    def outcome(self) -> Outcome:
        """What has come of all bytes so far."""
        closed = self._wire is not None and self._wire.closed
        return Outcome(self._requests, bytes(self._sent), closed)


def talk(
    chunks: Iterable[bytes],
    answer: Callable[[Request], Reply] = success,
    options: WireOptions = WireOptions(),  # noqa: B008 it is frozen
    eof: bool = False,
) -> Outcome:
    """Feed a connection's wire with all it gets."""
    connection = Talk(answer, options)
    for chunk in chunks:
        connection.receive_data(chunk)
    if eof:
        connection.receive_eof()
    return connection.outcome


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut bytes at the given places, each taken modulo their number."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def one_by_one(data: bytes) -> list[bytes]:
    """Cut bytes into single ones."""
    return [data[index : index + 1] for index in range(len(data))]


def conversations(name: str) -> list[tuple[bytes, bytes]]:
    """What client and server said in each connection of a transcript."""
    transcript = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    connections = transcript.get("connections") or [transcript["exchanges"]]

    def said(who: str, connection: list[dict[str, str]]) -> bytes:
        spoken = [part["bytes"] for part in connection if part["from"] == who]
        return "".join(spoken).encode("latin-1")

    return [(said("client", each), said("server", each)) for each in connections]


def comet_frame(content: Any, **header: Any) -> bytes:
    """A frame as COMET's client builds it; `header` replaces members of its header."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    text = json.dumps(
        {
            "byteorder": "little",
            "content-type": "text/json",
            "content-encoding": "utf-8",
            "content-length": len(data),
            **header,
        }
    ).encode()
    return struct.pack(">H", len(text)) + text + data


def comet_content(frame: bytes) -> Any:
    """The content of the one frame that a server sent."""
    (length,) = struct.unpack_from(">H", frame)
    header = json.loads(frame[2 : 2 + length])
    content = frame[2 + length :]
    assert header["content-length"] == len(content)
    return json.loads(content)


def websocket_frame(
    data: bytes, opcode: int = 1, fin: bool = True, mask: bytes | None = None, size: int = -1
) -> bytes:
    """A client's frame (RFC 6455, section 5.2); `size` is what it says of its length."""
    mask = MASK if mask is None else mask
    size = len(data) if size < 0 else size
    head = bytes([fin << 7 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    pattern = (mask * (len(data) // 4 + 1))[: len(data)]
    masked = int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")
    return head + mask + masked.to_bytes(len(data), "big")


def websocket_messages(data: bytes) -> list[tuple[int, bytes]]:
    """The frames that a server sent, each with its opcode."""
    frames = []
    at = 0
    while at < len(data):
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = struct.unpack_from(">H", data, start)[0], at + 4
        elif size == 127:
            size, start = struct.unpack_from(">Q", data, start)[0], at + 10
        frames.append((data[at] & 15, data[start : start + size]))
        at = start + size
    return frames


@contextlib.contextmanager
def connected(server: LinkServer) -> Iterator[socket.socket]:
    """A connection to a server for the length of a ``with`` block."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def read_all(client: socket.socket) -> bytes:
    """What a server sends until it closes; a reset counts as its close."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := client.recv(65536):
            received += data
    return bytes(received)


def answer_to(server: LinkServer, data: bytes, eof: bool = False) -> bytes:
    """Send bytes on a connection of their own, and read until the server closes."""
    with connected(server) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(data)
            if eof:
                client.shutdown(socket.SHUT_WR)
        return read_all(client)


def server_has_ended() -> None:
    """Wait until the only server, which was asked for its end, has come to it."""
    for thread in threading.enumerate():
        if thread.name == "link server":
            thread.join(PATIENCE)
            assert not thread.is_alive()

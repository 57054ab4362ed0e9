"""How each dialect asks for a count, in bytes, and how its reply is known to be whole."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from typing import NamedTuple

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

HOST = "127.0.0.1"


class Dialect(NamedTuple):
    """A dialect's request for one command with one parameter."""

    name: str
    ask: Callable[[str, dict[str, object]], bytes]
    """Of a command and its parameters."""
    ending: int = 0
    """So many of the last bytes may be missing where the client ends its writing side."""
    success: str = ""
    """What says that it succeeded, where the result is not shown."""
    half_closes: bool = True
    """Whether a client may end its writing side and is answered nevertheless."""

    def request(self, who: str) -> bytes:
        """The request that counts a name."""
        return self.ask("count", {"who": who})

    def acknowledges(self, reply: bytes, who: str) -> bool:
        """Whether what came says that the name was counted."""
        return (self.success or f"counted {who}").encode() in reply

    def exchange(self, port: int, who: str, seconds: float) -> bytes:
        """Ask for a count on a connection of its own, and return what came as an answer."""
        return answer(
            port,
            self.request(who),
            seconds,
            half_close=self.half_closes,
            is_whole=lambda reply: self.acknowledges(reply, who),
        )


def _json(command: str, parameters: dict[str, object]) -> bytes:
    return json.dumps({"command_id": command, **parameters}).encode() + b"\n"


def _eot(command: str, parameters: dict[str, object]) -> bytes:
    return json.dumps({command: parameters}).encode() + b"\x04"


def websocket_frame(content: bytes, *, binary: bool = False) -> bytes:
    """A client's frame."""
    return Frame(Opcode.BINARY if binary else Opcode.TEXT, content).serialize(mask=True)


def handshake() -> bytes:
    """What a WebSocket's client sends first."""
    protocol = ClientProtocol(parse_uri(f"ws://{HOST}/"))
    protocol.send_request(protocol.connect())
    return b"".join(protocol.data_to_send())


def _websocket(command: str, parameters: dict[str, object]) -> bytes:
    return handshake() + websocket_frame(_json(command, parameters))


def comet_frame(content: bytes) -> bytes:
    """A frame as COMET's client builds it."""
    header = json.dumps(
        {
            "byteorder": "little",
            "content-type": "text/json",
            "content-encoding": "utf-8",
            "content-length": len(content),
        }
    ).encode()
    return len(header).to_bytes(2, "big") + header + content


def _comet(command: str, parameters: dict[str, object]) -> bytes:
    return comet_frame(json.dumps({"action": command, "value": parameters}).encode())


def ndsp(target: str, line: bytes, version: int = 2) -> bytes:
    """What an NDSP client sends from its first byte to the end of its first call."""
    encoding = b" pyon_v2" if version == 2 else b""
    return b"ARTIQ pc_rpc\n%s%s\n%s\n" % (target.encode(), encoding, line)


def _ndsp(command: str, parameters: dict[str, object]) -> bytes:
    arguments = {"__jsonclass__": ["tuple", [[]]]}
    call = {"action": "call", "name": command, "args": arguments, "kwargs": parameters}
    return ndsp("counter", json.dumps(call).encode())


def _ndsp_v1(command: str, parameters: dict[str, object]) -> bytes:
    call = {"action": "call", "name": command, "args": [], "kwargs": parameters}
    return ndsp("counter", json.dumps(call).encode(), version=1)


DIALECTS = [
    Dialect("JSON", _json, ending=1),
    Dialect("EOT text", _eot, ending=1, success="O.k."),
    Dialect("WebSocket", _websocket, half_closes=False),
    Dialect("COMET", _comet),
    Dialect("NDSP, PYON v2", _ndsp, ending=1),
    Dialect("NDSP, PYON v1", _ndsp_v1, ending=1),
]


def answer(
    port: int,
    data: bytes,
    seconds: float,
    half_close: bool = True,
    is_whole: Callable[[bytes], bool] = lambda reply: False,
) -> bytes:
    """Send bytes, and return what comes until it is whole, or the server closes.

    What came is the answer also where the connection is lost, or nothing more comes in time.
    """
    received = bytearray()
    with (
        contextlib.suppress(OSError),
        socket.create_connection((HOST, port), timeout=seconds) as connection,
    ):
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while not is_whole(bytes(received)) and (chunk := connection.recv(65536)):
            received += chunk
    return bytes(received)

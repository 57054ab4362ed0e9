"""One command through all five dialects, on one port of one server.

    python examples/dialects.py [PORT]

The server must have a DDS named ``dds``, as ``python server.py`` has. What is shown is what goes
over the wire: a client of each dialect needs no more than this.
"""

from __future__ import annotations

import json
import socket
import sys

from websockets.sync.client import connect

HOST = "127.0.0.1"
PARAMETERS = {"channel": 0, "frequency": 80e6}


def show(dialect: str, sent: bytes | str, received: bytes | str) -> None:
    """Print what went over the wire."""
    print(f"\n{dialect}\n  sent:     {sent!r}\n  received: {received!r}")


def ask(port: int, request: bytes) -> bytes:
    """Send bytes, end the writing side, and read until the server closes."""
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def plain_json(port: int) -> None:
    """An object with ``command_id``."""
    request = json.dumps({"command_id": "set_frequency", **PARAMETERS}).encode()
    show("plain JSON", request, ask(port, request))


def eot_text(port: int) -> None:
    """The command as the one key, ended by EOT."""
    request = json.dumps({"set_frequency": PARAMETERS}).encode() + b"\x04"
    show("EOT text", request, ask(port, request))


def websocket(port: int) -> None:
    """A message; the connection could carry more of them."""
    request = json.dumps({"command_id": "set_frequency", **PARAMETERS})
    with connect(f"ws://{HOST}:{port}/") as connection:
        connection.send(request)
        show("WebSocket", request, connection.recv())


def comet(port: int) -> None:
    """A length, a header, the content."""
    content = json.dumps({"action": "set_frequency", "value": PARAMETERS}).encode()
    header = json.dumps(
        {
            "byteorder": sys.byteorder,
            "content-type": "text/json",
            "content-encoding": "utf-8",
            "content-length": len(content),
        }
    ).encode()
    request = len(header).to_bytes(2, "big") + header + content
    show("COMET frame", request, ask(port, request))


def ndsp(port: int) -> None:
    """Three lines: the protocol, the target, the call; ARTIQ's clients speak it."""
    call = {
        "action": "call",
        "name": "set_frequency",
        "args": {"__jsonclass__": ["tuple", [[]]]},
        "kwargs": PARAMETERS,
    }
    request = b"ARTIQ pc_rpc\ndds pyon_v2\n" + json.dumps(call).encode() + b"\n"
    show("NDSP", request, ask(port, request))


def main() -> None:
    """Speak all five."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 65432
    for speak in (plain_json, eot_text, websocket, comet, ndsp):
        speak(port)


if __name__ == "__main__":
    main()

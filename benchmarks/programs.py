"""Bare servers, which cost what TCP itself costs: ``python -m benchmarks.programs echo``.

Each prints ``listening on 127.0.0.1:PORT`` and serves until it is terminated.
"""

from __future__ import annotations

import socket
import sys

ANSWER = b"taken\n"


def listener() -> socket.socket:
    """A listening socket, announced."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    announce(listening.getsockname()[1])
    return listening


def announce(port: int) -> None:
    print(f"listening on 127.0.0.1:{port}", flush=True)


def echo() -> None:
    """Connect, echo, close: what TCP itself costs."""
    with listener() as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(connection.recv(65536))


def sink() -> None:
    """Take 8 bytes that say how many follow, take them, answer: what an array costs TCP itself."""
    data = memoryview(b"")
    with listener() as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                left = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
                if left > len(data):
                    data = memoryview(bytearray(left))
                while left:
                    left -= connection.recv_into(data[-left:])
                connection.sendall(ANSWER)


if __name__ == "__main__":
    {"echo": echo, "sink": sink}[sys.argv[1]]()

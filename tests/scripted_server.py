"""A server on a real socket that does with each connection what a test's script says."""

import contextlib
import itertools
import json
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.probe import PATIENCE

Script = Callable[[socket.socket], object]


@contextlib.contextmanager
def scripted_server(
    *scripts: Script, host: str = "127.0.0.1", repeat: bool = False, ends: bool = False
) -> Iterator[tuple[str, int]]:
    """Serve one connection after the other, each with its script; yield host and port.

    With ``repeat`` the scripts start over until the block ends. Otherwise every script must have
    been used by then; with ``ends``, nobody can connect any more when the last one begins. What a
    script raises is raised at the end of the block, and the server's thread has ended.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        ThreadPoolExecutor(1, thread_name_prefix="scripted server") as pool,
        socket.socket(family, socket.SOCK_STREAM) as listener,
    ):
        listener.settimeout(PATIENCE)
        # What a script does not read is not to vanish in a large buffer of the system.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind((host, 0))
        listener.listen()

        def serve() -> None:
            for number, script in enumerate(itertools.cycle(scripts) if repeat else scripts, 1):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    if repeat:  # the block has ended
                        return
                    raise
                if ends and number == len(scripts):
                    listener.shutdown(socket.SHUT_RDWR)  # its port stays its own
                with connection:
                    connection.settimeout(PATIENCE)
                    script(connection)

        served = pool.submit(serve)
        ended = False
        try:
            yield host, listener.getsockname()[1]
            ended = True
        finally:
            if repeat or not ended:
                listener.shutdown(socket.SHUT_RDWR)
        served.result()


def read_request(connection: socket.socket) -> dict[str, Any]:
    """Read until the request's object closes; an EOT may stand behind it."""
    received = bytearray()
    while True:
        chunk = connection.recv(65536)
        assert chunk, f"the connection was closed after {received!r}"
        received += chunk
        if chunk.endswith((b"}", b"\x04")):
            with contextlib.suppress(ValueError):
                request = json.loads(received.rstrip(b"\x04"))
                assert isinstance(request, dict)
                return request


def answer(**members: Any) -> Script:
    """Read a request and answer it with its id and these members."""

    def script(connection: socket.socket) -> None:
        request = read_request(connection)
        reply = {"command_id": request.get("command_id"), "id": request["link"]["id"], **members}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    return script


def answer_bytes(data: bytes) -> Script:
    """Read a request, send these bytes, close."""

    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return script


def reset(connection: socket.socket) -> None:
    """Close the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def free_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Yield a port on which nothing listens, and nothing will while the block runs."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[1]

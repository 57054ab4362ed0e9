"""Clients that send without end, or take no replies: bounded memory, and nobody else waits."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from artiq_link import Instrument, LinkServer, command
from artiq_link.server.connection import READ_AHEAD
from tests.conftest import PATIENCE, until
from tests.peers import HANDSHAKE, answer_to, connected, websocket_frame

Serve = Callable[..., LinkServer]
PING = b'{"command_id": "link.ping", "link": {"keep": true}}'
ONE_READ = 256 * 1024
"""Bytes that an event loop reads at once."""


class Waves(Instrument):
    """Gives large results for small requests."""

    def __init__(self) -> None:
        self.given = 0

    @command
    def wave(self, n: int) -> np.ndarray:
        """Return n samples."""
        self.given += 1
        return np.zeros(n)


@contextlib.contextmanager
def flooded(server: LinkServer, first: bytes, flood: bytes, take: bool) -> Iterator[None]:
    """A client that sends `flood` again and again, and takes what it gets or nothing."""
    with connected(server) as client, contextlib.ExitStack() as stack:
        client.sendall(first)

        def send() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client.sendall(flood)

        def receive() -> None:
            with contextlib.suppress(OSError):
                while client.recv(1 << 20):
                    pass

        threads = [threading.Thread(target=each) for each in ([send, receive] if take else [send])]
        stack.callback(lambda: [thread.join(PATIENCE) for thread in threads])
        stack.callback(shut_down, client)
        for thread in threads:
            thread.start()
        yield


def shut_down(client: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the server has dropped it
        client.shutdown(socket.SHUT_RDWR)


def test_large_results_that_are_not_taken(serve: Serve) -> None:
    """No further command is begun for a client that does not take its replies."""
    waves = Waves()
    server = serve({"dds": waves}, linger_time=0.2)
    request = b'{"command_id": "wave", "n": 500000, "link": {"keep": true}}'
    with connected(server) as client:
        client.sendall(request * 500)
        until(lambda: not server.connections)
    assert waves.given < 10


@pytest.mark.parametrize("take", [True, False])
@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"", PING * 2000),
        (HANDSHAKE, websocket_frame(b"") * 20_000),
        (b"ARTIQ pc_rpc\ndds\n", b'{"action": "get_rpc_method_list"}\n' * 2000),
    ],
    ids=["json", "websocket", "ndsp"],
)
def test_little_is_read_ahead(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: bytes,
    flood: bytes,
    take: bool,
) -> None:
    """What a client sends faster than it is served waits in its system; others are served."""
    caplog.set_level(logging.CRITICAL, "artiq_link")  # a line for each frame that is refused
    server = serve()
    sizes = watch_held(server, monkeypatch)
    with flooded(server, first, flood, take):
        until(lambda: max(sizes) > 0)  # the flood has come
        for _ in range(3):
            assert b"true" in answer_to(server, b'{"command_id": "link.ping"}')
    assert 0 < max(sizes) < READ_AHEAD + 2 * ONE_READ


def watch_held(server: LinkServer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes of requests the server has held, from now on."""
    sizes = [0]
    holds = server.holds

    def watched(more: int) -> None:
        sizes.append(sizes[-1] + more)
        holds(more)

    monkeypatch.setattr(server, "holds", watched)
    return sizes


def test_pings_whose_pongs_are_not_taken(serve: Serve) -> None:
    """The server stops reading, and drops the client after its time."""
    server = serve(linger_time=0.2)
    with flooded(server, HANDSHAKE, websocket_frame(b"x" * 125, 9, mask=b"1234") * 500, False):
        until(lambda: len(server.connections) == 1)
        until(lambda: not server.connections)
    assert json.loads(answer_to(server, b'{"command_id": "link.ping"}'))["result"] is True

"""What the tests of a server share: one request on a connection of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from artiq_link import (
    LinkServer,
    exchange,
)
from tests.peers import connected, read_all

Serve = Callable[..., LinkServer]


SET = b'{"command_id": "set_frequency", "channel": 0, "frequency": 80e6}'


SET_REPLY = {
    "status": "success",
    "command_id": "set_frequency",
    "result": {"frequency": 80e6},
}


def ask(server: LinkServer, data: bytes) -> dict[str, Any]:
    """Send bytes as they are and return the one reply; the server must close the connection."""
    with connected(server) as client:
        client.sendall(data)
        reply = read_all(client)
    assert reply.endswith(b"\n"), reply
    return json.loads(reply)


def waiting(server: LinkServer) -> int:
    """How many commands wait for the instrument."""
    status = exchange({"command_id": "link.status"}, port=server.port)
    return int(status["instruments"]["dds"]["waiting"])

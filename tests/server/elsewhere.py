"""What the tests of access share: a client that comes from elsewhere."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Sequence
from typing import Any

from artiq_link import LinkServer
from artiq_link.link_client import tls_context
from tests.conftest import PATIENCE
from tests.peers import read_all


def ask_from(server: LinkServer, data: bytes, host: str = "127.0.0.2") -> bytes:
    """Send bytes to an address of the server's, and read until it closes."""
    with socket.create_connection((host, server.port), timeout=PATIENCE) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(data)
        return read_all(client)


def ndsp_call(
    server: LinkServer, name: str, host: str, files: Sequence[str] | None = None
) -> dict[str, Any]:
    """Call a method of the target dds by NDSP, with TLS where there are files for it."""
    call = {"action": "call", "name": name, "args": [], "kwargs": {}}
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(
            socket.create_connection((host, server.port), timeout=PATIENCE)
        )
        if files is not None:
            client = stack.enter_context(tls_context(files).wrap_socket(client))
        client.sendall(b"ARTIQ pc_rpc\ndds pyon_v2\n" + json.dumps(call).encode() + b"\n")
        with client.makefile("rb") as lines:
            answer: dict[str, Any] = [json.loads(lines.readline()) for _ in range(3)][-1]
        return answer

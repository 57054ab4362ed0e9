"""Listeners of a link server, in a process of their own: some read, others never do.

python -m benchmarks.listeners PORT LISTENERS READERS
"""

from __future__ import annotations

import json
import selectors
import socket
import sys

from benchmarks.measures import allow_files

KINDS = ["state", "progress", "exchange"]


def listen(port: int, listeners: int, readers: int) -> None:
    """Subscribe so often, say so, and read on those connections that are to be read."""
    allow_files(listeners + 100)
    request = {"command_id": "link.subscribe", "kinds": KINDS, "link": {"keep": True}}
    selector = selectors.DefaultSelector()
    connections = []
    for number in range(listeners):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(json.dumps(request).encode())
        if not connection.recv(65536).startswith(b'{"status":"success"'):
            raise OSError("the server takes no more listeners")
        connections.append(connection)
        if number < readers:
            selector.register(connection, selectors.EVENT_READ)
    print(f"listening to 127.0.0.1:{port}", flush=True)
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(65536):
                selector.unregister(key.fileobj)


if __name__ == "__main__":
    listen(*map(int, sys.argv[1:]))

"""What is measured of one tree of the link's code: its own client, with its own servers.

``python -m benchmarks.link TREE PORT CLIENTS`` is a crowd of its clients.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.measures import Call
from benchmarks.processes import ROOT, Server, be_crowd, serving
from benchmarks.programs import ANSWER

HOST = "127.0.0.1"
COMMAND = {"command_id": "set_frequency", "channel": 0, "frequency": 80e6}
MESSAGE = b'{"command_id": "set_frequency", "channel": 0, "frequency": 80000000.0}'


class NotThereError(Exception):
    """What was to be measured is not there, and why."""


class Tree:
    """One tree of the link's code: the present one, or another to compare with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.client = _load(root / "artiq_link" / "link_client.py")

    def serve(self) -> AbstractContextManager[Server]:
        """The template, as users start it."""
        return serving("server.py", "-p", "0", tree=self.root)

    @contextlib.contextmanager
    def serve_with_journal(self) -> Iterator[Server]:
        """The template with a journal in a file; raises `NotThereError`."""
        if not (self.root / "artiq_link" / "exchanges" / "journal.py").exists():
            raise NotThereError("the journal is not there")
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal.sqlite")
            with serving("server.py", "-p", "0", "--journal", journal, tree=self.root) as server:
                yield server

    def serve_instrument(self) -> AbstractContextManager[Server]:
        """The instrument of `benchmarks.instrument`."""
        return serving(str(ROOT / "benchmarks" / "instrument.py"), tree=self.root)

    def send_data(self, port: int, request: dict[str, Any] | None = None) -> Call:
        """The call of `send_data`, connecting each time."""
        request = COMMAND if request is None else request
        send_data = self.client.send_data

        def call() -> None:
            reply = send_data(request, port=port, timeout=60.0)
            if reply is None or reply["status"] != "success":
                raise OSError(f"{request['command_id']}: {reply}")

        return call

    @contextlib.contextmanager
    def kept(self, port: int) -> Iterator[Call]:
        """A call on a connection that is kept; raises `NotThereError`."""
        if not hasattr(self.client.Link, "__enter__"):
            raise NotThereError("kept connections are not there")
        with self.client.Link(port=port) as link:
            yield lambda: link.call("set_frequency", channel=0, frequency=80e6)

    def batch(self, port: int, count: int) -> Call:
        """So many commands in one exchange, executed once already; raises `NotThereError`."""
        if not hasattr(self.client.Link, "batch"):
            raise NotThereError("batches are not there")
        link = self.client.Link(port=port, timeout=60.0)
        requests = [COMMAND] * count
        try:
            (*_, last) = link.batch(requests)
        except self.client.LinkError as error:
            raise NotThereError(f"a batch of {count:,} is not there: {error}") from None
        if last["status"] != "success":
            raise OSError(f"link.batch: {last}")
        return lambda: link.batch(requests)


def bare(port: int) -> Call:
    """Connect, send, receive the same, close."""

    def call() -> None:
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(MESSAGE)
            if connection.recv(65536) != MESSAGE:
                raise OSError("no echo")

    return call


def bare_bytes(port: int, data: memoryview) -> Call:
    """Connect, send all, receive a line, close."""
    length = len(data).to_bytes(8, "big")

    def call() -> None:
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(length)
            connection.sendall(data)
            if connection.recv(65536) != ANSWER:
                raise OSError("no answer")

    return call


def _load(path: Path) -> ModuleType:
    """The client's one file as a module of its own, as if it had been copied."""
    spec = importlib.util.spec_from_file_location(f"link_client_{abs(hash(path))}", path)
    if spec is None or spec.loader is None:
        raise OSError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        be_crowd(Tree(Path(sys.argv[1])).send_data(int(sys.argv[2])), int(sys.argv[3]))

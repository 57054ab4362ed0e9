"""The event loop of a server, and its end, whatever commands do."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import (
    serve_in_background,
)
from artiq_link.server import connection, loop
from tests.conftest import PATIENCE, Probe
from tests.peers import connected, read_all
from tests.programs import finish, first_line, program, running
from tests.scripted_server import reset
from tests.server.asking import ask


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, loop._fastest_event_loop])
def test_stop_meets_a_reset_that_was_not_read(
    probe: Probe,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio cannot end such a connection's sending side; the others are closed all the same."""
    monkeypatch.setattr(loop, "_new_event_loop", new_loop)
    monkeypatch.setattr(connection, "RESET_LOOK", 60.0)
    with serve_in_background({"dds": probe}, grace=0.0) as server, connected(server) as kept:
        kept.sendall(b'{"command_id": "link.ping", "link": {"keep": true}}')
        kept.recv(4096)
        with connected(server) as client:
            client.sendall(b'{"command_id": "wait", "link": {"keep": true}}')
            assert probe.started.wait(PATIENCE)
            client.sendall(b'{"' + b"a" * 1_000_000)
            reset(client)
        server.stop()
        assert kept.recv(4096) == b""
    probe.go_on.set()
    assert not server.connections


FASTEST = "winloop" if sys.platform == "win32" else "uvloop"


@pytest.mark.parametrize(
    ("new_loop", "name"),
    [(asyncio.new_event_loop, "asyncio"), (loop._fastest_event_loop, FASTEST)],
)
def test_the_status_tells_which_loop_runs(
    probe: Probe,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A keeper sees whether the fast one is installed."""
    monkeypatch.setattr(loop, "_new_event_loop", new_loop)
    with serve_in_background({"dds": probe}) as server:
        assert ask(server, b'{"command_id": "link.status"}')["result"]["loop"] == name


THREADED = """
import asyncio, time
from artiq_link import start_server

async def run():
    await asyncio.to_thread(print, "started", flush=True)
    await asyncio.to_thread(time.sleep, 3600)

start_server({}, interact=lambda data: run(), port=0, grace=0.0)
"""


def test_a_thread_that_an_async_command_awaits_does_not_keep_the_program() -> None:
    """The program ends though `asyncio.to_thread` does not return."""
    with program(script=THREADED) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            client.sendall(b'{"command_id": "run"}')
            assert first_line(process) == "started\n"
            process.send_signal(signal.SIGINT)
            code, _, errors = finish(process)
            assert json.loads(read_all(client))["code"] == "timeout"
    assert code == 1  # it is not closed
    assert "Traceback" not in errors


ENDLESS = """
import asyncio
import artiq_link
from artiq_link.server import loop, program as link_program

loop.END_TIME = 0.1

class Laser(artiq_link.Instrument):
    @artiq_link.command
    async def fire(self) -> None:
        while True:
            try:
                print("fire", flush=True)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    def close(self):
        print("closed", flush=True)

artiq_link.start_server({"laser": Laser()}, port=0, grace=0.1)
"""


def test_a_command_that_cannot_be_cancelled_does_not_keep_the_server() -> None:
    with running(sys.executable, "-c", ENDLESS) as process:
        port = int(first_line(process).rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b'{"command_id": "fire"}')
            assert first_line(process) == "fire\n"
            process.terminate()
            assert json.loads(read_all(client))["code"] == "timeout"
        code, output, errors = finish(process)
    assert (code, output) == (1, "fire\n")  # once more when it was cancelled; it is not closed
    assert "left behind, because it does not let itself be cancelled" in errors


def test_an_event_loop_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error, and does not wait for a server."""

    def fail() -> Any:
        raise OSError("too many open files")

    monkeypatch.setattr(loop, "_new_event_loop", fail)
    with pytest.raises(OSError, match="too many"), serve_in_background({"dds": Probe()}):
        pass

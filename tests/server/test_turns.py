"""Turns: a share of the loop's time for those who want much of it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

from artiq_link.server import connection
from artiq_link.server.connection import LARGE
from artiq_link.server.turns import Turns
from tests.conftest import Probe
from tests.peers import connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve, ask

PING = b'{"command_id": "link.ping", "link": {"keep": true}}\n'


def test_each_has_one_turn_in_a_round() -> None:
    """In their order, also where each wants another turn, and nobody is called twice as often."""
    order: list[str] = []

    async def run() -> None:
        turns = Turns(asyncio.get_running_loop())

        def take(name: str) -> None:
            order.append(name)
            if len(order) < 30:
                turns.wait(lambda: take(name))

        for name in "abc":
            turns.wait(lambda name=name: take(name))  # type: ignore[misc]
        rounds = 0
        while len(order) < 30:
            before = len(order)
            await asyncio.sleep(0)
            rounds += 1
            assert len(order) - before <= 3
        assert rounds >= 10

    asyncio.run(run())
    assert "".join(order[:30]) == "abc" * 10


@pytest.mark.parametrize("piece", [PING, b"x", b"{}"], ids=["pings", "junk", "objects"])
def test_a_flood_does_not_stop_others(serve: Serve, piece: bytes) -> None:
    """What one client sends without end is answered beside the others' requests."""
    server = serve()
    ended = threading.Event()
    with connected(server) as flood:
        flood.settimeout(0.1)

        def pour() -> None:
            data = piece * (1 << 16)
            while not ended.is_set():
                try:
                    flood.send(data)
                    flood.recv(1 << 20)
                except TimeoutError:
                    pass
                except OSError:
                    return

        pourer = threading.Thread(target=pour)
        pourer.start()
        for _ in range(20):
            assert ask(server, SET) == SET_REPLY
        ended.set()
        pourer.join()


def test_who_can_only_wait_for_more_bytes_waits_for_no_turn(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer may be so busy that a look at what has come takes longer than a turn."""
    for name in ("SHARE", "TURN"):
        monkeypatch.setattr(connection, name, 0.0)
    server = serve()
    with connected(server) as client:
        client.sendall(SET[:20])
        assert ask(server, SET) == SET_REPLY  # the beginning has been looked at by then
        client.sendall(SET[20:])
        assert json.loads(read_all(client)) == SET_REPLY


def test_large_requests_are_looked_at_in_turns(serve: Serve, probe: Probe) -> None:
    """Several at once are all answered, and small ones between them."""
    server = serve()
    value = "x" * (3 * LARGE)
    request = b'{"command_id": "echo", "value": "%s"}' % value.encode()
    clients: list[socket.socket] = []
    with connected(server) as one, connected(server) as two:
        for client in (one, two):
            clients.append(client)
            threading.Thread(target=client.sendall, args=(request,)).start()
        assert ask(server, SET) == SET_REPLY
        for client in clients:
            taken = 0
            while piece := client.recv(1 << 20):
                taken += len(piece)
            assert taken > len(value)
    assert probe.executed.count("echo") == 2

"""Outbox: replies and events to clients that take them, slowly or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from artiq_link import (
    LinkServer,
    exchange,
)
from artiq_link.exchanges.client import Client
from artiq_link.exchanges.deadlines import Deadlines
from artiq_link.exchanges.messages import Event
from artiq_link.exchanges.refusals import Refusals
from artiq_link.link_client import reset
from artiq_link.server.outbox import MAX_EVENTS, Outbox, is_reset
from artiq_link.wire.comet import CometWire
from artiq_link.wire.json_stream import JsonWire
from tests.conftest import PATIENCE, Probe, until
from tests.peers import connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve, ask


def test_a_client_that_never_reads(serve: Serve, probe: Probe) -> None:
    """A reply that is not taken costs its time, then the connection is dropped."""
    server = serve(linger_time=0.1)
    with connected(server) as client:
        client.sendall(b'{"command_id": "echo", "value": "%s"}' % (b"x" * (10 << 20)))
        until(lambda: probe.executed == ["echo"] and not server.connections)
    assert ask(server, SET) == SET_REPLY


def test_replies_that_are_not_taken_do_not_pile_up(serve: Serve, probe: Probe) -> None:
    """Nothing more is started for a client until it takes its replies; then it gets them all."""
    size, number = 1_000_000, 40
    request = {"command_id": "echo", "value": "x" * size, "link": {"keep": True}}
    server = serve()
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        whole = json.dumps(request).encode() * number
        sender = threading.Thread(target=client.sendall, args=(whole,))
        sender.start()
        until(lambda: len(probe.executed) > 0)
        for _ in range(100):
            exchange({"command_id": "link.ping"}, port=server.port)
        assert len(probe.executed) < number
        taken = 0
        while taken < number:
            piece = client.recv(1 << 20)
            assert piece
            taken += piece.count(b"\n")
        sender.join()
    assert len(probe.executed) == number


@pytest.fixture
def unread(serve: Serve) -> Iterator[tuple[LinkServer, socket.socket]]:
    """A client that has not read a long reply, and has sent a newline since."""
    server = serve()
    with connected(server) as client:
        request = {"command_id": "echo", "value": "a" * 8_000_000, "link": {"keep": True}}
        client.sendall(json.dumps(request).encode())
        assert client.recv(1) == b"{"
        (its_connection,) = server.connections
        until(lambda: its_connection._outbox.choked)
        client.sendall(b"\n")
        yield server, client


def test_a_stop_costs_nobody_the_reply(unread: tuple[LinkServer, socket.socket]) -> None:
    """Also where bytes are unread: a plain close would be a reset then."""
    server, client = unread
    server.stop()
    assert len(read_all(client)) > 8_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell what was taken")
def test_a_slow_reader_is_seen_to_read(unread: tuple[LinkServer, socket.socket]) -> None:
    """The system takes some MB for it at once, and then nothing more for a while."""
    server, client = unread
    (its_connection,) = server.connections
    before = its_connection._outbox._untaken()
    assert before > its_connection._transport.get_write_buffer_size()
    received = 0
    while its_connection._outbox._untaken() == before:
        received += len(client.recv(1000))
    assert received < 4_000_000


# Events


class Slow(asyncio.Transport):
    """A transport whose client takes nothing by itself; it is as slow as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.untaken = 0
        self.socket = socket.socket()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self.socket}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self.untaken += len(data)

    def get_write_buffer_size(self) -> int:
        return self.untaken


@pytest.fixture
def outbox() -> Iterator[tuple[Outbox, Slow]]:
    transport = Slow()
    with contextlib.closing(asyncio.new_event_loop()) as event_loop, transport.socket:
        deadlines, refusals = Deadlines(event_loop), Refusals(event_loop)
        yield Outbox(transport, Client("a client"), deadlines, refusals, 5.0), transport


def state(subject: str, version: int, size: int = 0) -> Event:
    return Event("state", subject, {"version": version, "text": "x" * size})


def versions(written: list[bytes]) -> list[tuple[str, int]]:
    events = [json.loads(line) for line in b"".join(written).splitlines()]
    return [(event["instrument"], event["version"]) for event in events]


def test_events_are_written_at_once_while_the_client_keeps_up(outbox: Any) -> None:
    box, transport = outbox
    for version in range(3):
        box.push([state("dds", version)], JsonWire.encode_event)
    assert versions(transport.written) == [("dds", 0), ("dds", 1), ("dds", 2)]


def test_a_slow_client_gets_the_newest_of_each_once_it_keeps_up(outbox: Any) -> None:
    box, transport = outbox
    box.choke()
    for version in range(1000):
        box.push([state("dds", version)], JsonWire.encode_event)
        box.push([state("laser", -version)], JsonWire.encode_event)
    assert transport.written == []
    box.clear()
    assert versions(transport.written) == [("dds", 999), ("laser", -999)]
    box.push([state("dds", 1000)], JsonWire.encode_event)
    assert versions(transport.written)[2:] == [("dds", 1000)]


def test_nothing_follows_what_has_overtaken_it(outbox: Any) -> None:
    """A slow client gets the newest state; the changes up to it may still be on their way."""
    box, transport = outbox
    newest = 3

    def whole() -> Event:
        return Event("state", "dds", {"version": newest}, whole, newest)

    def change(version: int) -> Event:
        return Event("state", "dds", {"version": version, "patch": {}}, whole, version)

    box.push([change(1)], JsonWire.encode_event)
    box.choke()
    box.push([change(2)], JsonWire.encode_event)
    box.clear()
    box.push([change(3), state("laser", 1)], JsonWire.encode_event)
    assert versions(transport.written) == [("dds", 1), ("dds", 3), ("laser", 1)]
    box.choke()
    box.push([change(3)], JsonWire.encode_event)
    box.clear()
    box.push([change(4)], JsonWire.encode_event)
    assert versions(transport.written)[3:] == [("dds", 4)]


def test_a_client_that_takes_nothing_costs_a_stated_number_of_bytes(outbox: Any) -> None:
    """The oldest events are let go."""
    box, transport = outbox
    box.choke()
    for number in range(100):
        box.push([state(f"dds{number}", number, MAX_EVENTS // 10)], JsonWire.encode_event)
    box.clear()
    kept = versions(transport.written)
    assert kept == [(f"dds{number}", number) for number in range(100 - len(kept), 100)]
    assert 0 < transport.untaken <= MAX_EVENTS
    assert len(kept) >= 8


def test_a_dialect_without_words_for_events_gets_none(outbox: Any) -> None:
    box, transport = outbox
    box.push([state("dds", 1)], CometWire.encode_event)
    box.choke()
    box.push([state("dds", 1)], CometWire.encode_event)
    box.clear()
    assert transport.written == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_listener_that_never_reads_costs_the_system_little(serve: Serve) -> None:
    """It is seen soon, and dropped; its system's own buffer is as large as it says."""
    server = serve(linger_time=0.1)
    assert server.loop is not None
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b'{"command_id": "link.ping", "link": {"keep": true}}')
        client.recv(1000)
        (its_connection,) = server.connections
        pushed = 0
        while not its_connection._outbox.choked:
            event = state("dds", pushed, 10_000)
            told = threading.Event()
            server.loop.call_soon_threadsafe(its_connection.push, [event])
            server.loop.call_soon_threadsafe(told.set)
            assert told.wait(PATIENCE)
            pushed += 1
        assert pushed < 50
        until(lambda: not server.connections)


def test_replies_and_events_interleave_whole(serve: Serve) -> None:
    """Whatever their sizes, and however fast the client reads."""
    server = serve()
    assert server.loop is not None
    count, size = 50, 100_000
    with connected(server) as client:
        request = {"command_id": "echo", "value": "y" * size, "link": {"keep": True}}
        client.sendall(json.dumps(request).encode())
        until(lambda: len(server.connections) == 1)
        (its_connection,) = server.connections

        def push(version: int) -> None:
            server.loop.call_soon_threadsafe(its_connection.push, [state("dds", version, size)])

        def ask_and_push() -> None:
            for version in range(count):
                push(version)
                client.sendall(json.dumps(request).encode())

        lines = client.makefile("rb")
        assert json.loads(lines.readline())["status"] == "success"
        asking = threading.Thread(target=ask_and_push)
        asking.start()
        replies, events = 0, []
        while replies < count or events[-1:] != [count - 1]:
            message = json.loads(lines.readline())
            if "event" in message:
                events.append(message["version"])
            else:
                assert message["result"] == "y" * size
                replies += 1
        asking.join()
    assert events == sorted(events)


@pytest.fixture
def both_ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends: the client's and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                yield client, accepted


@pytest.mark.parametrize("is_told", [False, True])
def test_a_reset_is_seen_whoever_was_told_of_it(
    both_ends: tuple[socket.socket, socket.socket], is_told: bool
) -> None:
    """The event loop may have read the error already, and closes the connection a little later."""
    client, accepted = both_ends
    assert not is_reset(accepted)
    reset(client)
    select.select([accepted], [], [], PATIENCE)
    if is_told:
        with pytest.raises(ConnectionResetError):
            accepted.recv(1)
    assert is_reset(accepted)


def test_a_half_closed_connection_is_no_reset(
    both_ends: tuple[socket.socket, socket.socket],
) -> None:
    client, accepted = both_ends
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b""
    assert not is_reset(accepted)

"""The server as its clients meet it: bad input, faults, limits, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artiq_link import (
    CannotListen,
    InstrumentError,
    LinkServer,
    ServerFailed,
    exchange,
    serve_in_background,
)
from artiq_link.server import connection
from artiq_link.server import server as link_server
from artiq_link.wire.base import MAX_REQUEST
from tests.conftest import PATIENCE, Probe, until
from tests.peers import HANDSHAKE, connected, read_all, websocket_frame
from tests.programs import ROOT, finish, first_line, running, running_python
from tests.scripted_server import reset

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


@pytest.mark.parametrize("end", [b"", b"\n", b"\x04", b"\r\n\r\n", b"   "])
def test_every_end_of_a_request(serve: Serve, end: bytes) -> None:
    """Nothing, a newline, EOT or white space may follow a request."""
    assert ask(serve(), SET + end) == SET_REPLY


def test_half_close(serve: Serve) -> None:
    """A client may close its writing side before the reply."""
    with connected(serve()) as client:
        client.sendall(SET)
        client.shutdown(socket.SHUT_WR)
        assert json.loads(read_all(client)) == SET_REPLY


def test_a_byte_at_a_time(serve: Serve) -> None:
    """A slow sender is served."""
    with connected(serve()) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in SET:
            client.sendall(bytes([byte]))
        assert json.loads(read_all(client)) == SET_REPLY


def test_a_late_newline_does_not_cost_the_reply(serve: Serve) -> None:
    """What comes after the reply is read and thrown away, so that no reset overtakes the reply."""
    with connected(serve()) as client:
        client.sendall(SET)
        peeked = client.recv(1, socket.MSG_PEEK)  # the reply has been sent
        client.sendall(b"\n" * 100_000)
        assert json.loads(read_all(client)) == SET_REPLY
        assert peeked == b"{"


def test_keep_and_pipelined_requests(serve: Serve, probe: Probe) -> None:
    """With keep, a connection carries many exchanges, answered in their order."""
    kept = SET.replace(b"}", b', "link": {"keep": true}}')
    with connected(serve()) as client:
        client.sendall(kept * 3)
        client.sendall(SET)
        replies = read_all(client).splitlines()
    assert [json.loads(reply) for reply in replies] == [SET_REPLY] * 4
    assert len(probe.executed) == 4


def test_two_objects_without_keep(serve: Serve, probe: Probe) -> None:
    """The first object is the request; what follows it is not read."""
    assert ask(serve(), SET + SET) == SET_REPLY
    assert len(probe.executed) == 1


@pytest.mark.parametrize(
    ("data", "code", "sentence", "where"),
    [
        (b"[1]", "malformed", "expected a JSON object, which begins with '{'", None),
        (b"42 ", "malformed", "expected a JSON object, which begins with '{'", None),
        (b"{nonsense}", "malformed", "not JSON: object keys must be strings (byte 1)", None),
        (b'{"a": "\xff"}', "malformed", "not UTF-8: byte 0xff", None),
        (b'{"a": NaN}', "malformed", "not JSON: invalid character (byte 6)", None),
        (b'{"a":' + b"[" * 100_000, "malformed", "nested deeper than 100 levels", None),
        (b'{"a": 1}', "invalid_parameter", "missing parameter 'command_id'", "command_id"),
        (
            b'{"command_id": 7}',
            "invalid_parameter",
            "command_id: expected str, got a number",
            "command_id",
        ),
        (
            b'{"command_id": "echo", "value": 1, "link": {"timeout": "soon"}}',
            "invalid_parameter",
            "link.timeout: expected 'float | null', got 'str'",
            "link.timeout",
        ),
        (
            b'{"command_id": "set_frequencies"}',
            "unknown_command",
            "there is no command 'set_frequencies'; did you mean 'set_frequency'?",
            None,
        ),
        (
            b'{"command_id": "link.pong"}',
            "unknown_command",
            "there is no command 'link.pong'; did you mean 'link.ping'?",
            None,
        ),
        (
            b'{"command_id": "set_frequency", "channel": 0}',
            "invalid_parameter",
            "missing parameter 'frequency' of 'set_frequency'",
            "frequency",
        ),
        (
            SET.replace(b'"channel"', b'"chanel"'),
            "invalid_parameter",
            "'set_frequency' has no parameter 'chanel'; did you mean 'channel'?",
            "chanel",
        ),
        (
            SET.replace(b"80e6", b'"80e6"'),
            "invalid_parameter",
            "frequency: expected 'float', got 'str'",
            "frequency",
        ),
        (
            SET.replace(b"80e6", b"true"),
            "invalid_parameter",
            "frequency: expected 'float', got 'bool'",
            "frequency",
        ),
        (
            SET.replace(b"80e6", b"5e8"),
            "out_of_range",
            "frequency: 5e8 Hz is above the limit of 4e8 Hz",
            "frequency",
        ),
        (
            SET.replace(b"80e6", b"1" + b"0" * 400),
            "out_of_range",
            "frequency: the number is too large for a float",
            "frequency",
        ),
        (b'{"command_id": "fail"}', "internal_error", "the bug's text", None),
        (b'{"command_id": "refuse"}', "instrument_error", "no lock", None),
        (b'{"command_id": "quit_program"}', "internal_error", "SystemExit: 3", None),
        (
            b'{"command_id": "unsendable"}',
            "internal_error",
            "unsendable: its result cannot be sent: an object of type object is not JSON's",
            None,
        ),
    ],
)
def test_failures(
    serve: Serve, probe: Probe, data: bytes, code: str, sentence: str, where: str | None
) -> None:
    """Bad input gets its code and sentence, executes nothing, and the next client is served."""
    server = serve()
    reply = ask(server, data)
    reply.pop("command_id", None)
    expected = {"status": "fail", "code": code, "error": sentence}
    assert reply == (expected if where is None else {**expected, "where": where})
    assert probe.executed == []
    assert ask(server, SET) == SET_REPLY


@pytest.mark.parametrize("size", [MAX_REQUEST + 1024 * 1024, 10 * MAX_REQUEST])
def test_too_large(serve: Serve, probe: Probe, size: int) -> None:
    """A request over the limit is refused at the excess, and is not kept in memory."""
    server = serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunk = b"x" * (1 << 20)
    with connected(server) as client:
        client.sendall(b'{"command_id": "echo", "value": "')
        with contextlib.suppress(ConnectionError):
            for _ in range(size >> 20):
                client.sendall(chunk)
        reply = json.loads(read_all(client))
    assert reply["code"] == "too_large"
    assert reply["error"] == f"the request is over the limit of {MAX_REQUEST} bytes"
    # The buffer, and the copy that its growth takes at times.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3 * MAX_REQUEST / 1024
    assert probe.executed == []
    assert ask(server, SET) == SET_REPLY


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=200))
def test_any_bytes(long_lived: LinkServer, data: bytes) -> None:
    """Whatever a client sends, it is answered or closed, and the next one is served."""
    with connected(long_lived) as client, contextlib.suppress(ConnectionError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        read_all(client)
    assert ask(long_lived, SET) == SET_REPLY


@pytest.fixture
def long_lived(serve: Serve) -> LinkServer:
    return serve()


def test_half_a_request_then_silence(serve: Serve, probe: Probe) -> None:
    """A request that does not become whole is refused after its time."""
    server = serve(request_time=0.05)
    assert ask(server, SET[:-1]) == {
        "status": "fail",
        "code": "malformed",
        "error": "the request was not whole after 0.05 s",
    }
    assert probe.executed == []


def test_silence(serve: Serve) -> None:
    """A connection that sends nothing is closed after the time for a request."""
    with connected(serve(request_time=0.05)) as client:
        assert read_all(client) == b""


def test_a_kept_connection_may_be_silent(serve: Serve) -> None:
    """Between requests there is no limit: experiments pause."""
    server = serve(request_time=0.05)
    kept = SET.replace(b"}", b', "link": {"keep": true}}')
    with connected(server) as client, connected(server) as other:
        client.sendall(kept)
        assert json.loads(client.recv(4096)) == SET_REPLY
        assert read_all(other) == b""  # a silent one has been closed since
        client.sendall(SET)
        assert json.loads(read_all(client)) == SET_REPLY


def test_half_a_request_then_close(serve: Serve, probe: Probe) -> None:
    """Half a request is never executed, and the client that still reads is told."""
    server = serve()
    with connected(server) as client:
        client.sendall(SET[:-1])
        client.shutdown(socket.SHUT_WR)
        assert json.loads(read_all(client))["error"] == (
            "the connection ended before the JSON object did"
        )
    assert probe.executed == []


def test_reset_in_the_middle(serve: Serve, probe: Probe) -> None:
    """A client that vanishes disturbs nobody."""
    server = serve()
    with connected(server) as client:
        client.sendall(SET[:-1])
        reset(client)
    assert ask(server, SET) == SET_REPLY
    assert len(probe.executed) == 1


def test_a_client_that_never_reads(serve: Serve, probe: Probe) -> None:
    """A reply that is not taken costs its time, then the connection is dropped."""
    server = serve(linger_time=0.1)
    with connected(server) as client:
        client.sendall(b'{"command_id": "echo", "value": "%s"}' % (b"x" * (32 << 20)))
        until(lambda: probe.executed == ["echo"] and not server.connections)
    assert ask(server, SET) == SET_REPLY


def test_five_hundred_clients_at_once(serve: Serve, probe: Probe) -> None:
    """All are answered; one instrument executes one at a time."""
    server = serve(queue_length=1000)
    clients = []
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            clients.append(stack.enter_context(connected(server)))
        for number, client in enumerate(clients):
            client.sendall(SET.replace(b"80e6", str(number).encode()))
        results = [json.loads(read_all(client))["result"]["frequency"] for client in clients]
    assert results == list(range(500))
    assert len(probe.executed) == 500


def test_too_many_connections(serve: Serve) -> None:
    """Beyond the limit a client is told so, and those before it are served."""
    server = serve(max_connections=2)
    with connected(server) as one, connected(server) as two:
        until(lambda: len(server.connections) == 2)
        assert ask(server, b"") == {
            "status": "fail",
            "code": "busy",
            "error": "2 connections are open already",
        }
        for client in (one, two):
            client.sendall(SET)
            assert json.loads(read_all(client)) == SET_REPLY


def test_many_large_requests_at_once(serve: Serve, probe: Probe) -> None:
    """All connections together hold a bounded amount; small requests are served meanwhile."""
    server = serve(max_buffered=4 << 20)
    part = b'{"command_id": "echo", "value": "' + b"x" * (3 << 20)
    with connected(server) as one, connected(server) as two:
        one.sendall(part)
        until(lambda: sum(c.buffered for c in server.connections) == len(part))
        two.sendall(part)
        assert json.loads(read_all(two)) == {
            "status": "fail",
            "code": "busy",
            "error": "the server holds too many large requests",
        }
        assert ask(server, SET) == SET_REPLY
        one.sendall(b'"}')
        assert json.loads(read_all(one))["status"] == "success"
    assert probe.executed == [(0, 80e6), "echo"]


def test_large_requests_that_wait_count_too(serve: Serve, probe: Probe) -> None:
    """Those that a busy instrument has in its queue are in the memory as well."""
    server = serve(max_buffered=4 << 20)
    whole = b'{"command_id": "echo", "value": "' + b"x" * (3 << 20) + b'"}'
    with connected(server) as first, connected(server) as one, connected(server) as two:
        first.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        one.sendall(whole)
        until(lambda: waiting(server) == 1)
        two.sendall(whole[:-2])
        assert json.loads(read_all(two))["error"] == "the server holds too many large requests"
        probe.go_on.set()
        assert json.loads(read_all(one))["status"] == "success"
        assert ask(server, whole)["status"] == "success"


def test_http_and_tls(serve: Serve, probe: Probe) -> None:
    """A web page cannot smuggle a command in a POST; TLS is closed without noise."""
    server = serve()
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 64\r\n\r\n" + SET)
        assert read_all(client).startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    with connected(server) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SET)
        assert read_all(client) == b""
    assert probe.executed == []


def test_status_while_a_command_runs(serve: Serve, probe: Probe) -> None:
    """The server's own commands never wait behind an instrument's."""
    server = serve()
    with connected(server) as client:
        client.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        status = ask(server, b'{"command_id": "link.status"}')["result"]["instruments"]["dds"]
        assert (status["state"], status["command"], status["fraction"]) == ("busy", "wait", 0.2)
        assert status["summary"] == "dds: busy with wait, 12.0 of 60.0 s"
        assert ask(server, b'{"command_id": "link.ping"}')["result"] is True
        probe.go_on.set()
        assert json.loads(read_all(client))["result"] == "waited"


def test_timeout_and_expiry(serve: Serve, probe: Probe) -> None:
    """A command that overruns is told so; one that waits too long is never executed."""
    server = serve()
    running = ask(server, b'{"command_id": "wait", "link": {"timeout": 0.05}}')
    waiting = ask(server, SET.replace(b"}", b', "link": {"timeout": 0.05}}'))
    probe.go_on.set()
    assert ask(server, b'{"command_id": "ask"}')["status"] == "success"
    assert (running["code"], running["error"]) == (
        "timeout",
        "wait has not finished in 0.05 s; it goes on",
    )
    assert (waiting["code"], waiting["error"]) == (
        "expired",
        "set_frequency was not started: its time of 0.05 s was up",
    )
    assert probe.executed == ["wait", "ask"]


def test_queue_is_bounded(serve: Serve, probe: Probe) -> None:
    """A full queue says busy at once."""
    server = serve(queue_length=1)
    with connected(server) as running, connected(server) as waiting:
        running.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        waiting.sendall(SET)
        until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == 1)
        assert ask(server, SET)["code"] == "busy"
        probe.go_on.set()
        assert json.loads(read_all(waiting)) == SET_REPLY
    assert len(probe.executed) == 2


def test_a_client_that_has_given_up_is_not_served(serve: Serve, probe: Probe) -> None:
    """A command that waits is not started once its client has reset the connection."""
    server = serve()
    with connected(server) as running, connected(server) as waiting:
        running.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        waiting.sendall(SET)
        until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == 1)
        reset(waiting)
        until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == 0)
        probe.go_on.set()
        assert json.loads(read_all(running))["status"] == "success"
    assert probe.executed == ["wait"]


@pytest.mark.parametrize("behind", [None, b'{"' + b"a" * 1_000_000])
def test_a_reset_is_seen_while_nothing_is_read(
    serve: Serve, probe: Probe, behind: bytes | None
) -> None:
    """A client that has half-closed, or sent more than is read ahead, can give up as well."""
    server = serve()
    with connected(server) as first, connected(server) as second:
        first.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        second.sendall(SET.replace(b"}", b', "link": {"keep": true}}'))
        until(lambda: waiting(server) == 1)
        if behind is None:
            second.shutdown(socket.SHUT_WR)
        else:
            second.sendall(behind)
        reset(second)
        until(lambda: waiting(server) == 0)
        probe.go_on.set()
        read_all(first)
    assert probe.executed == ["wait"]


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
        received = b""
        while received.count(b"\n") < number:
            piece = client.recv(1 << 20)
            assert piece
            received += piece
        sender.join()
    assert len(probe.executed) == number


def test_many_refusals_in_one_piece_give_others_their_turn(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """NDSP stays open after a line that is no call; thousands of them do not stall the server."""
    server = serve()
    with connected(server) as bad:
        bad.sendall(b"ARTIQ pc_rpc\ndds pyon_v2\n" + b"\n" * 20_000)
        bad.shutdown(socket.SHUT_WR)
        until(lambda: len(caplog.records) > 0)
        assert exchange({"command_id": "link.ping"}, port=server.port) is True
        assert len(caplog.records) < 20_000
        replies = read_all(bad)
    assert replies.count(b"failed") == 20_000


KEPT = b'{"command_id": "count", "link": {"keep": true}}'
WAITING = b'{"command_id": "wait", "link": {"keep": true}}'
FRAME_PING = websocket_frame(b"", opcode=9, mask=bytes(4))
FRAME_COUNT = websocket_frame(b'{"command_id": "count"}', mask=bytes(4))
FRAME_WAIT = websocket_frame(b'{"command_id": "wait"}', mask=bytes(4))


@pytest.mark.parametrize(
    ("pieces", "arrivals"),
    [
        ([KEPT], [1]),
        ([KEPT[:9], KEPT[9:]], [1]),
        ([b" ", KEPT], [2]),
        ([KEPT, b"\n", KEPT], [1, 3]),
        ([WAITING, b"\n", KEPT], [1, 3]),
        ([WAITING, KEPT, KEPT], [1, 2, 3]),
        ([KEPT + KEPT[:9], KEPT[9:] + KEPT[:9], KEPT[9:]], [1, 1, 2]),
        ([HANDSHAKE, FRAME_COUNT], [2]),
        ([HANDSHAKE, FRAME_WAIT, FRAME_PING, FRAME_COUNT], [2, 4]),
    ],
)
def test_a_timeout_counts_from_its_requests_first_byte(
    serve: Serve,
    probe: Probe,
    monkeypatch: pytest.MonkeyPatch,
    pieces: list[bytes],
    arrivals: list[int],
) -> None:
    """Not from a greeting, a ping, white space, or a request before; piece 1 comes at 1 s."""
    server = serve()
    loop = server.loop
    assert loop is not None
    clock = SimpleNamespace(now=0)
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: clock.now))
    submit, arrived = server.dispatch.submit, []

    def note(request: Any, answer: Any, at: Any) -> Any:
        arrived.append(at)
        return submit(request, answer)

    monkeypatch.setattr(server.dispatch, "submit", note)
    with connected(server) as client:
        until(lambda: len(server.connections) == 1)
        (its_connection,) = server.connections

        async def has_read() -> bool:
            running = its_connection._exchange
            is_done = running is None or running.request.command_id == "wait"
            return its_connection._read_at == clock.now and is_done

        for clock.now, piece in enumerate(pieces, 1):
            client.sendall(piece)
            # On the event loop it is not in the middle of reading.
            until(lambda: asyncio.run_coroutine_threadsafe(has_read(), loop).result(PATIENCE))
        probe.go_on.set()
        until(lambda: len(arrived) == len(arrivals))
    assert arrived == arrivals


@pytest.fixture
def unread(serve: Serve) -> Iterator[tuple[LinkServer, socket.socket]]:
    """A client that has not read a long reply, and has sent a newline since."""
    server = serve()
    with connected(server) as client:
        request = {"command_id": "echo", "value": "a" * 8_000_000, "link": {"keep": True}}
        client.sendall(json.dumps(request).encode())
        assert client.recv(1) == b"{"
        (its_connection,) = server.connections
        until(lambda: its_connection._choked)
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
    before = its_connection._untaken()
    assert before > its_connection.transport.get_write_buffer_size()
    received = 0
    while its_connection._untaken() == before:
        received += len(client.recv(1000))
    assert received < 4_000_000


def test_the_reply_of_a_client_that_has_gone(serve: Serve, probe: Probe) -> None:
    """A running command finishes though its client has gone."""
    server = serve()
    with connected(server) as running:
        running.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        reset(running)
    until(lambda: not server.connections)
    probe.go_on.set()
    assert ask(server, SET) == SET_REPLY
    assert probe.executed == ["wait", (0, 80e6)]


def test_async_commands_run_on_the_event_loop(serve: Serve) -> None:
    """An ``async def`` command is awaited, in its instrument's turn."""
    assert ask(serve(), b'{"command_id": "ask"}')["result"] == "link server"


def test_interact_is_the_one_door(serve: Serve, probe: Probe) -> None:
    """Each message goes through interact, in the worker's thread, without the key ``link``."""
    seen = []

    def interact(data: dict[str, Any]) -> Any:
        seen.append((data, threading.current_thread().name))
        if data["command_id"] == "test_command":
            return data["param1"]
        return probe.interact(data)

    server = serve(interact=interact)
    own = ask(server, b'{"command_id": "test_command", "param1": 42, "link": {"id": "x"}}')
    assert own == {"status": "success", "command_id": "test_command", "result": 42, "id": "x"}
    assert ask(server, SET) == SET_REPLY
    assert ask(server, b'{"command_id": "test_comand"}')["code"] == "unknown_command"
    assert ask(server, b'{"command_id": "test_command"}')["error"] == "KeyError: 'param1'"
    assert seen[:2] == [
        ({"command_id": "test_command", "param1": 42}, "worker dds"),
        ({"command_id": "set_frequency", "channel": 0, "frequency": 80e6}, "worker dds"),
    ]


def test_a_plain_function_is_served(serve: Serve) -> None:
    """interact alone is enough."""
    server = serve({}, interact=lambda data: data["a"] + 1)
    assert ask(server, b'{"command_id": "anything", "a": 1}')["result"] == 2
    assert ask(server, b'{"command_id": "link.ping"}')["result"] is True


@pytest.mark.parametrize(
    ("link", "repeated"),
    [('{"id": "7", "timeout": "soon"}', {"id": "7"}), ('{"id": 7}', {}), ("7", {})],
)
def test_a_wrong_link_is_refused_by_name(
    serve: Serve, link: str, repeated: dict[str, str]
) -> None:
    """The reply says which request it answers, as far as that could be read."""
    reply = ask(serve(), b'{"command_id": "count", "link": %s}' % link.encode())
    assert reply["code"] == "invalid_parameter"
    assert {name: reply[name] for name in ("command_id", "id") if name in reply} == {
        "command_id": "count",
        **repeated,
    }


def test_any_fault_in_writing_a_result_is_answered(serve: Serve) -> None:
    """A result that another thread changes meanwhile can fail with any exception."""

    class Changing(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("dictionary changed size during iteration")

    server = serve({}, interact=lambda data: Changing(a=1))
    assert ask(server, b'{"command_id": "state"}') == {
        "status": "fail",
        "command_id": "state",
        "code": "internal_error",
        "error": "state: its result cannot be sent: dictionary changed size during iteration",
    }


def test_debug_prints_each_message(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """debug=True shows what is received and sent."""
    ask(serve(debug=True), SET)
    received, sent = capsys.readouterr().out.splitlines()
    assert received.startswith("received from 127.0.0.1:")
    assert json.loads(received.partition(": ")[2]) == json.loads(SET)
    assert sent.startswith("sent to 127.0.0.1:")
    assert json.loads(sent.partition(": ")[2]) == SET_REPLY


def test_what_cannot_be_printed_costs_no_reply(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal without the character gets its number; one that is closed, nothing."""
    printed = io.BytesIO()
    terminal = io.TextIOWrapper(printed, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    server = serve(debug=True)
    request = '{"command_id": "echo", "value": "Ω"}'.encode()
    assert ask(server, request)["result"] == "Ω"
    assert printed.getvalue().count(b'"\\u03a9"') == 2
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as closed:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(closed, encoding="utf-8"))
        assert ask(server, request)["result"] == "Ω"
        sys.stdout.detach()


@pytest.mark.parametrize("stdout", [None, io.StringIO()])
def test_debug_without_a_terminal_costs_no_reply(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, stdout: Any
) -> None:
    """A service, or a window's program, has none; a test's has no encoding."""
    monkeypatch.setattr(sys, "stdout", stdout)
    assert ask(serve(debug=True), SET) == SET_REPLY


def test_debug_cuts_long_messages(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A megabyte is not printed."""
    request = b'{"command_id": "echo", "value": "%s"}' % (b"x" * 1_000_000)
    ask(serve(debug=True), request)
    received, sent = capsys.readouterr().out.splitlines()
    assert received.endswith(f"xxx... ({len(request)} characters)")
    assert len(sent) < 11_000


def test_debug_prints_what_only_pyon_carries(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result that JSON cannot hold is printed as Python shows it."""
    server = serve({}, interact=lambda data: float("inf"), debug=True)
    assert ask(server, b'{"command_id": "x"}')["code"] == "internal_error"
    with connected(server) as client:
        client.sendall(b"ARTIQ pc_rpc\ninteract\n")
        client.shutdown(socket.SHUT_WR)
        assert b'"targets": ["interact"]' in read_all(client)
    assert "internal_error" in capsys.readouterr().out


def test_stop_finishes_what_runs(probe: Probe) -> None:
    """A stop answers the running command's client, refuses the waiting, closes the instrument."""
    with serve_in_background({"dds": probe}) as server:
        with connected(server) as running, connected(server) as waiting:
            running.sendall(b'{"command_id": "wait"}')
            assert probe.started.wait(PATIENCE)
            waiting.sendall(SET)
            until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == 1)
            server.stop()
            assert json.loads(read_all(waiting))["code"] == "shutting_down"
            assert probe.closed_in is None
            probe.go_on.set()
            assert json.loads(read_all(running))["result"] == "waited"
    assert probe.closed_in == "worker dds"
    assert probe.executed == ["wait"]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, link_server._fastest_event_loop])
def test_stop_meets_a_reset_that_was_not_read(
    probe: Probe, loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio cannot end such a connection's sending side; the others are closed all the same."""
    monkeypatch.setattr(link_server, "_new_event_loop", loop)
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


def test_stop_does_not_wait_for_ever(probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    """After the grace time a stop leaves a command behind and says so."""
    with serve_in_background({"dds": probe}, grace=0.05) as server, connected(server) as client:
        client.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        server.stop()
        reply = json.loads(read_all(client))
    sentence = "wait has not finished; the server stops without it"
    assert (reply["code"], reply["error"]) == ("timeout", sentence)
    assert probe.closed_in is None
    assert caplog.messages == [
        "stopping: dds: busy with wait, 12.0 of 60.0 s; it has 0.05 s to finish",
        "dds: busy with wait, 12.0 of 60.0 s: not closed, 0.05 s were not enough",
    ]
    probe.go_on.set()


def test_ipv6_and_several_addresses(probe: Probe) -> None:
    """All addresses share one port; the ready lines name each."""
    with serve_in_background({"dds": probe}, host=["127.0.0.1", "::1"]) as server:
        assert server.addresses == [f"127.0.0.1:{server.port}", f"[::1]:{server.port}"]
        for host in ("127.0.0.1", "::1"):
            request = {"command_id": "set_frequency", "channel": 0, "frequency": 1}
            assert exchange(request, host, server.port) == {"frequency": 1.0}


def test_a_port_in_use(serve: Serve, probe: Probe) -> None:
    """One sentence says what cannot be listened on, and why."""
    port = serve().port
    with (
        pytest.raises(CannotListen, match=f"^cannot listen on 127.0.0.1:{port}: Address already"),
        serve_in_background({"dds": probe}, port=port),
    ):
        pass


def test_elsewhere_than_loopback_is_warned_of(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Listening on all addresses is said aloud."""
    server = serve(host="0.0.0.0")
    assert caplog.messages == [
        f"listening on 0.0.0.0:{server.port}: whoever reaches it can command the instruments"
    ]


def test_nothing_to_serve() -> None:
    """A server without instruments and without interact is a mistake."""
    with pytest.raises(ValueError, match="nothing to serve"):
        LinkServer({})


def test_a_door_that_is_no_function() -> None:
    with pytest.raises(TypeError, match=r"^interact: expected a function, got 5$"):
        LinkServer({}, interact=5)  # type: ignore[arg-type]


def test_failure_of_our_own_client(serve: Serve) -> None:
    """The package's client raises what the server says."""
    server = serve()
    with pytest.raises(ServerFailed) as caught:
        exchange({"command_id": "refuse"}, port=server.port)
    assert (caught.value.code, caught.value.error) == ("instrument_error", "no lock")


PROGRAM = """
import sys
from tests.conftest import Probe
import artiq_link
artiq_link.start_server({"dds": Probe()}, port=int(sys.argv[1]))
"""


def program(port: int = 0, script: str = PROGRAM) -> Any:
    """A server in a process of its own, and its port."""
    return running_python("-c", script, str(port), folder=ROOT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_program(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the program with code 0, after answering, without a traceback."""
    with program() as (process, port):
        assert exchange({"command_id": "echo", "value": 1}, port=port) == 1
        process.send_signal(number)
        assert finish(process) == (0, "", "")


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
    assert code == 0
    assert "Traceback" not in errors


EAGER = f"""
from artiq_link.exchanges.worker import Worker

def submit(worker, job, submit=Worker.submit):
    "Let the worker be faster than the event loop: it has begun before the loop goes on."
    submit(worker, job)
    while worker.describe()["waiting"]:
        pass

Worker.submit = submit
{PROGRAM}"""


@pytest.mark.parametrize("accepted", [True, False])
def test_a_suspended_server_does_not_execute_late(accepted: bool) -> None:
    """What clients asked for and gave up while the server was suspended is never executed."""
    with program(script=EAGER) as (process, port), contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port)))

        clients = [connect() for _ in range(5)] if accepted else []
        assert exchange({"command_id": "link.ping"}, port=port) is True
        os.kill(process.pid, signal.SIGSTOP)
        for client in clients or [connect() for _ in range(5)]:
            client.sendall(SET)
            reset(client)
        os.kill(process.pid, signal.SIGCONT)
        assert exchange({"command_id": "count"}, port=port, timeout=PATIENCE) == 0


def test_the_program_names_a_port_in_use() -> None:
    """A port in use is one sentence and exit code 2."""
    with program() as (_, port):
        command = [sys.executable, "-c", PROGRAM, str(port)]
        with running(*command, folder=ROOT) as second:
            code, output, errors = finish(second)
    assert (code, output) == (2, "")
    assert errors == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; is the server running "
        "already?\n"
    )


def test_a_program_may_open_as_many_files_as_it_takes_connections() -> None:
    """Where the system begins with few, they are raised; the hard limit stays."""
    program = (
        "import resource\n"
        "from artiq_link.server.server import allow_files\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 600))\n"
        "for connections in (100, 4096, 10):\n"
        "    allow_files(connections)\n"
        "    print(*resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    with running(sys.executable, "-c", program) as process:
        assert finish(process) == (0, "356 600\n600 600\n600 600\n", "")


def test_a_second_server_does_not_touch_the_hardware(serve: Serve) -> None:
    """The port comes first, then the hardware: a mistaken start leaves an experiment alone."""
    opened = []

    class Careful(Probe):
        def open_hardware(self) -> None:
            opened.append(threading.current_thread().name)

    port = serve({"dds": Careful()}).port
    assert opened == ["worker dds"]
    with pytest.raises(CannotListen), serve_in_background({"dds": Careful()}, port=port):
        pass
    assert opened == ["worker dds"]


OPENING = """
import artiq_link

class Laser(artiq_link.Instrument):
    def __init__(self, name):
        self.name = name

    def open_hardware(self):
        print(f"opening {self.name}\\n", end="", flush=True)
        if self.name == "slow":
            input()

    def close(self):
        print(f"closed {self.name}\\n", end="", flush=True)

lasers = {name: Laser(name) for name in ("fast", "slow")}
artiq_link.start_server(lasers, port=0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_hardware_opens(number: signal.Signals) -> None:
    """It opens to the end, is closed, and the program ends as it does later."""
    with running(sys.executable, "-c", OPENING) as process:
        assert {first_line(process), first_line(process)} == {"opening fast\n", "opening slow\n"}
        process.send_signal(number)
        assert first_line(process) == "closed fast\n"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        code, output, errors = finish(process)
    assert (code, output) == (0, "closed slow\n")
    assert "Traceback" not in errors


class Opening(Probe):
    """Hardware that opens when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opening = threading.Event()
        self.may_open = threading.Event()

    def open_hardware(self) -> None:
        self.opening.set()
        assert self.may_open.wait(PATIENCE)
        self.executed.append("opened")


@pytest.fixture
def opening() -> Iterator[Opening]:
    opening = Opening()
    yield opening
    opening.may_open.set()


@pytest.fixture
def started(opening: Opening, probe: Probe) -> Iterator[LinkServer]:
    """A server whose first instrument is being opened."""
    server = LinkServer({"slow": opening, "fast": probe}, port=0)

    async def serve() -> None:
        await server.start()
        await server.run()

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, serve())
        assert opening.opening.wait(PATIENCE)
        until(lambda: bool(server._listeners))
        yield server
        opening.may_open.set()
        server.stop()
        served.result(PATIENCE)


def test_while_hardware_opens_the_link_answers(started: LinkServer) -> None:
    """A controller manager may ping before the hardware is there."""
    assert exchange({"command_id": "link.ping"}, port=started.port) is True
    status = exchange({"command_id": "link.status"}, port=started.port)
    assert status["instruments"]["slow"]["command"] == "open_hardware"


@pytest.mark.parametrize("name", ["slow", "fast"])
def test_what_comes_while_hardware_opens_waits_for_it(
    started: LinkServer, opening: Opening, probe: Probe, name: str
) -> None:
    """Also where its own instrument is open: `interact` may use the others."""
    with connected(started) as client:
        client.sendall(b'{"command_id": "%s.echo", "value": 1}' % name.encode())
        until(lambda: started.dispatch.workers[name].describe()["waiting"] == 1)
        assert opening.executed + probe.executed == []
        opening.may_open.set()
        assert json.loads(read_all(client))["result"] == 1
    assert opening.executed[0] == "opened"


def test_what_waits_for_hardware_too_long_is_never_executed(
    started: LinkServer, opening: Opening
) -> None:
    """The request is read before the hardware is there, so its time runs."""
    late = b'{"command_id": "slow.echo", "value": 1, "link": {"timeout": 0.02}}'
    assert ask(started, late)["code"] == "expired"
    opening.may_open.set()
    assert exchange({"command_id": "slow.count"}, port=started.port) == 1  # it was opened


def test_whoever_waits_for_hardware_that_cannot_be_opened_is_told() -> None:
    class Absent(Opening):
        def open_hardware(self) -> None:
            super().open_hardware()
            raise InstrumentError("no answer on COM3")

    absent = Absent()
    server = LinkServer({"absent": absent}, port=0)
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, server.start())
        assert absent.opening.wait(PATIENCE)
        until(lambda: bool(server._listeners))
        with connected(server) as client:
            client.sendall(b'{"command_id": "count"}')
            until(lambda: server.dispatch.workers["absent"].describe()["waiting"] == 1)
            absent.may_open.set()
            assert json.loads(read_all(client))["code"] == "shutting_down"
        with pytest.raises(InstrumentError, match=r"^absent cannot be opened: no answer on COM3$"):
            served.result(PATIENCE)


ENDLESS = """
import asyncio
import artiq_link
from artiq_link.server import server as link_server

link_server.FLUSH_TIME = 0.1

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
    assert (code, output) == (0, "fire\n")  # once more when it was cancelled; it is not closed
    assert "left behind, because it does not let itself be cancelled" in errors


def test_an_event_loop_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error, and does not wait for a server."""

    def fail() -> Any:
        raise OSError("too many open files")

    monkeypatch.setattr(link_server, "_new_event_loop", fail)
    with pytest.raises(OSError, match="too many"), serve_in_background({"dds": Probe()}):
        pass


def test_hardware_that_does_not_answer() -> None:
    """The server does not start, says what is wrong, and closes what it opened."""

    class Absent(Probe):
        def open_hardware(self) -> None:
            raise InstrumentError("no answer on COM3")

    probe, absent = Probe(), Absent()
    with (
        pytest.raises(InstrumentError, match=r"^absent cannot be opened: no answer on COM3$"),
        serve_in_background({"dds": probe, "absent": absent}),
    ):
        pass
    assert probe.closed_in == "worker dds"

"""Connection: bytes to requests to replies, whatever a client does with its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artiq_link import (
    LinkServer,
    exchange,
)
from artiq_link.exchanges.messages import Request
from artiq_link.server import connection
from artiq_link.wire.base import MAX_TEXT
from artiq_link.wire.json_stream import JsonWire
from tests.conftest import PATIENCE, Probe, until
from tests.exchanges.asking import end_time_of_running
from tests.peers import HANDSHAKE, answer_to, connected, read_all, websocket_frame
from tests.programs import PROGRAM, program
from tests.scripted_server import reset
from tests.server.asking import SET, SET_REPLY, Serve, ask, waiting


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


@pytest.mark.parametrize("size", [MAX_TEXT + 1024 * 1024, 10 * MAX_TEXT])
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
    assert reply["error"] == f"the request is over the limit of {MAX_TEXT} bytes"
    # The buffer, and the copy that its growth takes at times.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3 * MAX_TEXT / 1024
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
    with connected(server) as client:
        client.sendall(b'{"command_id": "wait", "link": {"timeout": 17}}')
        assert probe.started.wait(PATIENCE)
        end_time_of_running(server)
        running = json.loads(read_all(client))
    waiting = ask(server, SET.replace(b"}", b', "link": {"timeout": 0.05}}'))
    probe.go_on.set()
    assert ask(server, b'{"command_id": "ask"}')["status"] == "success"
    assert (running["code"], running["error"]) == (
        "timeout",
        "wait has not finished in 17 s; it goes on",
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
    clock, start = SimpleNamespace(now=0), time.monotonic()
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: start + clock.now))
    submit, arrived = server.dispatch.submit, []

    def note(request: Any, answer: Any, encode: Any, client: Any, at: Any) -> Any:
        arrived.append(round(at - start))
        return submit(request, answer, encode, client)

    monkeypatch.setattr(server.dispatch, "submit", note)
    with connected(server) as client:
        until(lambda: len(server.connections) == 1)
        (its_connection,) = server.connections

        async def has_read() -> bool:
            running = its_connection._exchange
            is_done = running is None or running.request.command_id == "wait"
            return its_connection._read_at == start + clock.now and is_done

        for clock.now, piece in enumerate(pieces, 1):
            client.sendall(piece)
            # On the event loop it is not in the middle of reading.
            until(lambda: asyncio.run_coroutine_threadsafe(has_read(), loop).result(PATIENCE))
        probe.go_on.set()
        until(lambda: len(arrived) == len(arrivals))
    assert arrived == arrivals


@pytest.mark.parametrize("half_closed", [False, True])
def test_a_last_look_before_a_command_starts(
    serve: Serve, probe: Probe, half_closed: bool
) -> None:
    """A client that has just gone is not served, though nobody was told of it yet."""
    server = serve()
    with connected(server) as running, contextlib.ExitStack() as stack:
        running.sendall(b'{"command_id": "wait"}')
        assert probe.started.wait(PATIENCE)
        gone = [stack.enter_context(connected(server)) for _ in range(9)]
        for client in gone:
            client.sendall(SET)
            if half_closed:
                client.shutdown(socket.SHUT_WR)
        until(lambda: waiting(server) == len(gone))
        for client in gone:
            reset(client)
        probe.go_on.set()
        read_all(running)
    until(lambda: waiting(server) == 0 and not server.connections)
    assert probe.executed == ["wait"]


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


EAGER = f"""
from artiq_link.exchanges.worker import Worker

def submit(worker, exchange, call, submit=Worker.submit):
    "Let the worker be faster than the event loop: it has begun before the loop goes on."
    submit(worker, exchange, call)
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


# Faults of a wire


WAIT_KEPT = b'{"command_id": "wait", "link": {"keep": true}}\n'
COUNT_ONCE = b'{"command_id": "count"}\n'

BUG = b'{"command_id": "bug"}\n'
"""A request at which the wire has a bug."""


@pytest.fixture
def buggy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the JSON dialect's wire a bug: no bytes are known that reveal one of its own."""
    sound = JsonWire.next_request

    def next_request(self: JsonWire) -> Request | None:
        request = sound(self)
        if request is not None and request.command_id == "bug":
            raise ValueError("the wire's bug")
        return request

    monkeypatch.setattr(JsonWire, "next_request", next_request)


@pytest.mark.usefixtures("buggy")
@pytest.mark.parametrize("eof", [True, False])
def test_what_escapes_a_wire_ends_its_connection(
    serve: Serve, probe: Probe, caplog: pytest.LogCaptureFixture, eof: bool
) -> None:
    """With a reply, a log line and its socket closed, also behind a call; the next is served."""
    server = serve()
    with connected(server) as client:
        client.sendall(WAIT_KEPT + BUG + COUNT_ONCE)
        if eof:
            client.shutdown(socket.SHUT_WR)
        assert probe.started.wait(PATIENCE)
        probe.go_on.set()
        replies = [json.loads(line) for line in read_all(client).splitlines()]
    assert replies[0]["result"] == "waited"
    assert replies[1:] == [{"status": "fail", "code": "internal_error", "error": "the wire's bug"}]
    until(lambda: not server.connections)
    logged = [record for record in caplog.records if record.exc_info is not None]
    assert ["the wire's bug" in record.getMessage() for record in logged] == [True]
    assert json.loads(answer_to(server, COUNT_ONCE))["result"] == 1

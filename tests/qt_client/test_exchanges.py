"""The dialects of the desktop client, each against a real server or a scripted one."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import websockets.sync.server

from artiq_link import (
    LinkServer,
    link_client,
)
from artiq_link.link_client import ConnectFailed, NoReply
from tests.conftest import PATIENCE, Probe, until
from tests.scripted_server import answer_bytes, reset, scripted_server

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)


from artiq_link.qt_client.exchanges import DIALECTS, EotText, WebSocket
from tests.qt_client.using import websocket_server


def test_eot_text_sends_the_command_as_the_key_and_closes_its_side() -> None:
    received = b""

    def script(connection: socket.socket) -> None:
        nonlocal received
        while chunk := connection.recv(65536):
            received += chunk
        connection.sendall(b"O.")
        connection.sendall(b"k.\r\n")

    with scripted_server(script) as (host, port):
        dialect = EotText(host, port)
        reply = dialect.exchange(dialect.message("image", {"file": "ä.jpg"}), PATIENCE)
    assert reply["status"] == "success"
    assert received == b'{"image": {"file": "\\u00e4.jpg"}}\x04'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "answered '', which is no reply in EOT text"),
        (b"SSH-2.0-x\r\n", "answered 'SSH-2.0-x', which is no reply in EOT text"),
        (b'{"a": 1}', "answered '{\"a\": 1}', which is no reply in EOT text"),
        (None, "gave no whole reply within 0.05 s"),
    ],
)
def test_eot_text_tells_what_is_no_reply(answer: bytes | None, why: str) -> None:
    given_up = threading.Event()

    def script(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        if answer is None:
            assert given_up.wait(PATIENCE)
        else:
            connection.sendall(answer)

    with scripted_server(script) as (host, port):
        with pytest.raises(NoReply) as caught:
            EotText(host, port).exchange({"image": {}}, 0.05 if answer is None else PATIENCE)
        given_up.set()
    assert str(caught.value) == (
        f"127.0.0.1:{port} {why}; whether the command was executed is not known: check the "
        "instrument before sending it again"
    )


def test_eot_text_does_not_wait_longer_for_a_server_that_goes_on_sending() -> None:
    def script(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(200_000):
                connection.sendall(b"x")

    with scripted_server(script) as (host, port):
        with pytest.raises(NoReply, match=r"gave no whole reply within 0\.05 s; whether"):
            EotText(host, port).exchange({"image": {}}, 0.05)


def test_eot_text_tells_of_a_lost_connection() -> None:
    def script(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        reset(connection)

    with scripted_server(script) as (host, port):
        with pytest.raises(NoReply, match=r" ended the connection \(Connection reset by peer\);"):
            EotText(host, port).exchange({"image": {}}, PATIENCE)


def test_eot_text_takes_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_client, "MAX_REPLY", 10)
    with scripted_server(answer_bytes(b"Error: 4567")) as (host, port):
        with pytest.raises(NoReply, match=r" answered more than the limit of 10 bytes;"):
            EotText(host, port).exchange({"image": {}}, PATIENCE)


def until_waiting(server: LinkServer, number: int) -> None:
    until(lambda: server.dispatch.workers["dds"].describe()["waiting"] == number)


# An empty link tells the server no timeout: the command waits until its client resets.
WAITING = {
    EotText.name: {"set_frequency": {"channel": 0, "frequency": 1e6}},
    WebSocket.name: {"command_id": "set_frequency", "channel": 0, "frequency": 1e6, "link": {}},
}


@pytest.mark.parametrize("dialect", WAITING)
def test_a_command_that_is_given_up_before_it_starts_is_not_executed(
    serve: Callable[..., LinkServer], probe: Probe, dialect: str
) -> None:
    server = serve()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(link_client.exchange, {"command_id": "wait"}, port=server.port)
        assert probe.started.wait(PATIENCE)
        given_up = DIALECTS[dialect]("127.0.0.1", server.port)
        waiting = pool.submit(given_up.exchange, WAITING[dialect], 0.3)
        until_waiting(server, 1)
        with pytest.raises(NoReply, match=r"reply within 0\.3 s; whether"):
            waiting.result()
        until_waiting(server, 0)
        probe.go_on.set()
        assert running.result() == "waited"
    assert probe.executed == ["wait"]


def test_a_command_that_waits_on_a_websocket_is_given_up_with_it(
    serve: Callable[..., LinkServer], probe: Probe
) -> None:
    """As where the window is closed, or another server chosen."""
    server = serve()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(link_client.exchange, {"command_id": "wait"}, port=server.port)
        assert probe.started.wait(PATIENCE)
        dialect = WebSocket("127.0.0.1", server.port)
        waiting = pool.submit(dialect.exchange, WAITING[WebSocket.name], PATIENCE)
        until_waiting(server, 1)
        dialect.close()
        with pytest.raises(NoReply, match=r" ended the connection "):
            waiting.result()
        until_waiting(server, 0)
        probe.go_on.set()
        assert running.result() == "waited"
    assert probe.executed == ["wait"]


def test_a_server_that_speaks_no_websocket_is_told() -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"what?\r\n\r\n")

    with scripted_server(script) as (host, port):
        with pytest.raises(ConnectFailed) as caught:
            WebSocket(host, port).exchange({"command_id": "ping"}, PATIENCE)
    assert str(caught.value) == (
        f"could not open a WebSocket to 127.0.0.1:{port}: did not receive a valid HTTP response; "
        "check that a link server runs there, and speaks WebSocket"
    )


def test_websocket_keeps_one_connection_until_it_ends() -> None:
    connections = 0

    def script(connection: websockets.sync.server.ServerConnection) -> None:
        nonlocal connections
        connections += 1
        for message in connection:
            request = json.loads(message)
            assert request["link"]["timeout"] <= PATIENCE
            connection.send(json.dumps({"status": "success", "result": connections}))
            if request["command_id"] == "last":
                return

    with websocket_server(script) as port:
        dialect = WebSocket("127.0.0.1", port)
        results = []
        for name in ("one", "last"):
            reply = dialect.exchange({"command_id": name}, PATIENCE)
            results.append(reply["result"])
        connection = dialect._connection
        assert connection is not None
        connection.recv_events_thread.join(PATIENCE)  # the server's close has come
        results.append(dialect.exchange({"command_id": "two"}, PATIENCE)["result"])
        dialect.close()
    assert results == [1, 1, 2]


def test_a_websocket_that_is_closed_while_it_opens_stays_closed() -> None:
    """As where the window is closed at once; nothing is sent any more."""
    opening, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    messages: list[str | bytes] = []

    def shake_hands(*_: object) -> None:
        opening.set()
        assert go_on.wait(PATIENCE)

    def script(connection: websockets.sync.server.ServerConnection) -> None:
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            messages.extend(connection)
        closed.set()

    with websocket_server(script, process_request=shake_hands) as port:
        dialect = WebSocket("127.0.0.1", port)
        with ThreadPoolExecutor() as pool:
            exchange = pool.submit(dialect.exchange, {"command_id": "ping"}, PATIENCE)
            assert opening.wait(PATIENCE)
            dialect.close()
            go_on.set()
            assert closed.wait(PATIENCE)
            with pytest.raises(ConnectFailed) as caught:
                exchange.result()
    assert str(caught.value) == f"nothing was sent: the WebSocket to 127.0.0.1:{port} was closed"
    assert messages == []


def test_a_late_reply_is_not_taken_for_that_to_the_next_message() -> None:
    given_up = threading.Event()

    def script(connection: websockets.sync.server.ServerConnection) -> None:
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            for message in connection:
                name = json.loads(message)["command_id"]
                if name == "slow":
                    assert given_up.wait(PATIENCE)
                connection.send(json.dumps({"status": "success", "result": name}))

    with websocket_server(script) as port:
        dialect = WebSocket("127.0.0.1", port)
        assert dialect.exchange({"command_id": "first"}, PATIENCE)["result"] == "first"
        with pytest.raises(NoReply, match=r"gave no reply within 0\.05 s; whether the command"):
            dialect.exchange({"command_id": "slow"}, 0.05)
        given_up.set()
        assert dialect.exchange({"command_id": "next"}, PATIENCE)["result"] == "next"
        dialect.close()


def test_one_websocket_message_waits_for_the_other_and_says_so() -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def script(connection: websockets.sync.server.ServerConnection) -> None:
        connection.recv()
        arrived.set()
        assert go_on.wait(PATIENCE)
        connection.send("O.k.")

    with websocket_server(script) as port:
        dialect = WebSocket("127.0.0.1", port)
        first = threading.Thread(target=dialect.exchange, args=({"image": {}}, PATIENCE))
        first.start()
        assert arrived.wait(PATIENCE)
        with pytest.raises(ConnectFailed, match=r"^nothing was sent: on the WebSocket to "):
            dialect.exchange({"elements": {}}, 0.05)
        go_on.set()
        first.join()
        dialect.close()

"""COMET's own names: the settings file, the host with its action functions, the messages sent."""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import CannotListen
from artiq_link.bridges.comet import (
    QUEUE_LENGTH,
    Client,
    Config,
    Host,
    load_config,
    send_TCP_message,
)
from artiq_link.errors import Malformed
from artiq_link.wire.comet import BINARY, BINARY_REPLY, TEXT, Frame, FrameReceiver, build_frame
from tests.conftest import PATIENCE, Probe
from tests.peers import comet_frame, conversations, pieces
from tests.programs import finish, running
from tests.scripted_server import Script, free_port, reset, scripted_server

RECORDED = conversations("comet")
SHORT = 0.2  # s; the time after which a test's client gives up

HOST = "Host: {IP: 127.0.0.2, Port: 65432}"
CLIENTS = "Client: {Telegram: {IP: 127.0.0.4, Port: '2000'}, Home: {IP: lab-pc, Port: 2001}}"


def respond(action: str, value: Any) -> str | None:
    """Answer as the recorded server did."""
    return None if action == "silent" else f"Recieved: {action} {value}"


@pytest.fixture
def gui() -> Iterator[Host]:
    """A host that listens on a free port."""
    with Host(port=0) as host:
        yield host


@pytest.fixture
def client(gui: Host) -> Client:
    """A client of that host."""
    return Client(port=gui.port, timeout=PATIENCE)


def read_frame(connection: socket.socket) -> bytes:
    """Read one frame from a connection."""
    with connection.makefile("rb") as stream:
        start = stream.read(2)
        header = stream.read(int.from_bytes(start, "big"))
        return start + header + stream.read(json.loads(header)["content-length"])


def content_of(frame: bytes) -> Any:
    return json.loads(frame[2 + int.from_bytes(frame[:2], "big") :])


def answer(reply: bytes, received: list[bytes] | None = None) -> Script:
    """A server's script: read a frame, send `reply`, close."""

    def script(connection: socket.socket) -> None:
        frame = read_frame(connection)
        if received is not None:
            received.append(frame)
        connection.sendall(reply)

    return script


# --- frames, as both sides have them ------------------------------------------------------------


@given(
    st.lists(st.builds(Frame, st.sampled_from([TEXT, BINARY, BINARY_REPLY]), st.binary())),
    st.lists(st.integers(min_value=0)),
)
def test_frames_are_received_as_built_in_any_pieces(frames: list[Frame], cuts: list[int]) -> None:
    receiver = FrameReceiver({TEXT, BINARY, BINARY_REPLY}, 1000)
    received = []
    for piece in pieces(b"".join(map(build_frame, frames)), cuts):
        receiver.receive_data(piece)
        while (frame := receiver.next_frame()) is not None:
            received.append(frame)
    assert received == frames
    assert receiver.buffered == 0


def test_the_header_tells_text_from_bytes() -> None:
    """As COMET's own ends write it."""
    assert build_frame(Frame(TEXT, b"{}")) == comet_frame({})
    assert build_frame(Frame(BINARY, b"\xff")) == comet_frame(
        b"\xff", **{"content-type": BINARY, "content-encoding": "binary"}
    )


@pytest.mark.parametrize("content_type", ["text/html", BINARY, ["text/json"], None])
def test_a_frame_of_another_content_type_is_refused(content_type: Any) -> None:
    receiver = FrameReceiver({TEXT}, 1000)
    receiver.receive_data(comet_frame({}, **{"content-type": content_type}))
    with pytest.raises(Malformed) as info:
        receiver.next_frame()
    assert str(info.value) == f"content-type: expected 'text/json', got {content_type!r}"


# --- the settings file --------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Config]:
    """Load a settings file of the given text."""
    path = tmp_path / "settings.yml"

    def load(text: str) -> Config:
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load


@pytest.mark.parametrize(
    "text",
    [
        f"Socket_connection:\n  {HOST}\n  {CLIENTS}\n",
        f"Name: x\nsettings:\n  Other: 1\n  Socket_connection:\n    {HOST}\n    {CLIENTS}\n",
    ],
)
def test_a_settings_file_gives_the_host_and_the_clients_by_name(
    load: Callable[[str], Config], text: str
) -> None:
    """It may be a file of its own or stand under settings, with ports as numbers or text."""
    config = load(text)
    assert config.host is not None
    assert (config.host.ip, config.host.port) == ("127.0.0.2", 65432)
    client = config.clients
    assert {name: str(client[name]) for name in client} == {
        "Telegram": "127.0.0.4:2000",
        "Home": "lab-pc:2001",
    }


def test_host_and_client_may_be_absent(load: Callable[[str], Config]) -> None:
    assert load(f"Socket_connection:\n  {CLIENTS}").host is None
    assert load(f"Socket_connection:\n  {HOST}\n  Client:\n").clients == {}
    assert load("Socket_connection: {}") == (None, {})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no 'Socket_connection', neither at the top nor under 'settings'"),
        ("settings: [1]", "no 'Socket_connection', neither at the top nor under 'settings'"),
        ("Socket_connection: 5",
         "Socket_connection: expected {Host: ..., Client: ...}, got 5"),
        ("Socket_connection: {Host: 127.0.0.1}",
         "Socket_connection.Host: expected {IP: ..., Port: ...}, got '127.0.0.1'"),
        ("Socket_connection: {Host: {IP: 127.0.0.1}}",
         "Socket_connection.Host: 'Port' is missing"),
        ("Socket_connection: {Client: {T: {Port: 1}}}",
         "Socket_connection.Client.T: 'IP' is missing"),
        ("Socket_connection: {Client: {IP: 127.0.0.1, Port: 1}}",
         "Socket_connection.Client: each client needs a name: {NAME: {IP: ..., Port: ...}}"),
        ("Socket_connection: {Client: [1]}",
         "Socket_connection.Client: expected {NAME: {IP: ..., Port: ...}}, got [1]"),
        ("Socket_connection: {Client: {T: {IP: 127.0, Port: 1}}}",
         "Socket_connection.Client.T.IP: expected an address such as 127.0.0.1, got 127.0"),
        ("Socket_connection: {Host: {IP: localhost, Port: 0}}",
         "Socket_connection.Host.Port: expected 1 to 65535, got 0"),
        ("Socket_connection: {Host: {IP: localhost, Port: '65536'}}",
         "Socket_connection.Host.Port: expected 1 to 65535, got 65536"),
        ("Socket_connection: {Host: {IP: localhost, Port: http}}",
         "Socket_connection.Host.Port: expected 1 to 65535, got 'http'"),
        ("Socket_connection: {Host: {IP: localhost, Port: true}}",
         "Socket_connection.Host.Port: expected 1 to 65535, got True"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_settings_file_is_said(
    load: Callable[[str], Config], tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(
        ValueError, match="^" + re.escape(f"{tmp_path / 'settings.yml'}: ")
    ) as info:
        load(text)
    assert str(info.value) == f"{tmp_path / 'settings.yml'}: {sentence}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"Socket_connection:\n  Host: {\n",
         "expected the node content, but found '<stream end>' (line 3, column 1)"),
        (b"Socket_connection: \xff", "unacceptable character #x00ff: invalid start byte in "),
        (b"Socket_connection: !!python/object/apply:os.getcwd []",
         "could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object/apply:os.getcwd' (line 1, column 20)"),
        (b"Date: 2024-13-45", "month must be in 1..12"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plain_yaml_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    """Tags that would make objects of Python are no plain YAML."""
    path = tmp_path / "settings.yml"
    path.write_bytes(text)
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: not YAML: {reason}")):
        load_config(path)


# --- the host -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "answered"), RECORDED)
def test_the_host_answers_as_recorded(gui: Host, asked: bytes, answered: bytes) -> None:
    gui.add_TCP_message_action_function(respond)
    with socket.create_connection((gui.ip, gui.port), PATIENCE) as connection:
        connection.sendall(asked)
        with connection.makefile("rb") as stream:
            assert stream.read() == answered


def test_action_functions_are_asked_in_their_order(
    gui: Host, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """One that fails is logged, a falsy answer hands on, and who comes later is asked later."""
    asked = []

    def failing(action: str, value: Any) -> str:
        asked.append("failing")
        raise RuntimeError("the function's bug")

    def silent(action: str, value: Any) -> str:
        asked.append("silent")
        return ""

    gui.add_TCP_message_action_function(failing)
    gui.add_TCP_message_action_function(silent)
    assert send_TCP_message(client, "get", [1], no_thread=True) == {"result": None}
    gui.add_TCP_message_action_function(lambda action, value: {action: value})
    gui.add_TCP_message_action_function(lambda action, value: asked.append("never"))
    assert send_TCP_message(client, "get", [1], no_thread=True) == {"result": {"get": [1]}}
    assert asked == ["failing", "silent"] * 2
    assert "the function's bug" in caplog.text


def test_a_host_without_functions_answers_null(gui: Host, client: Client) -> None:
    assert send_TCP_message(client, "get", "x", no_thread=True) == {"result": None}


def test_instruments_are_served_next_to_the_functions(probe: Probe) -> None:
    """An object for a command's name runs it, and its failure's sentence is the result."""
    host = Host(port=0)
    host.add_TCP_message_action_function(respond)
    with host.start({"dds": probe}):
        client = Client(port=host.port, timeout=PATIENCE)

        def send(action: str, value: Any) -> Any:
            return send_TCP_message(client, action, value, no_thread=True)["result"]

        assert send("set_frequency", {"channel": 0, "frequency": 80e6}) == {"frequency": 80e6}
        assert send("set_frequency", {"channel": 0}) == (
            "Error: missing parameter 'frequency' of 'set_frequency'"
        )
        assert send("set_frequency", "80 MHz") == "Recieved: set_frequency 80 MHz"
        assert send("Telegram", {"x": 1}) == "Recieved: Telegram {'x': 1}"
    assert probe.executed == [(0, 80e6)]
    assert probe.closed_in == "worker dds"


def test_a_host_is_started_and_stopped_again(
    gui: Host, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError) as info:
        gui.start()
    assert str(info.value) == f"Host('127.0.0.1', {gui.port}) has been started already"
    gui.stop()
    gui.stop()
    assert send_TCP_message(client, "get", "x", no_thread=True) is False
    with gui:
        assert send_TCP_message(client, "get", "x", no_thread=True) == {"result": None}


def test_a_host_that_cannot_listen_says_so_and_may_try_again(gui: Host) -> None:
    second = Host(port=gui.port)
    with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{gui.port}: "):
        second.start()
    gui.stop()
    second.start().stop()


def test_a_program_that_never_stops_its_host_ends() -> None:
    """COMET's programs do not stop theirs."""
    program = "from artiq_link.comet import Host; Host(port=0).start(); print('the end')"
    with running(sys.executable, "-c", program) as process:
        assert finish(process) == (0, "the end\n", "")


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "answered"), RECORDED)
def test_a_message_has_the_recorded_bytes_and_gets_the_recorded_reply(
    asked: bytes, answered: bytes
) -> None:
    received: list[bytes] = []
    message = content_of(asked)
    with scripted_server(answer(answered, received)) as (host, port):
        client = Client(host, port, PATIENCE)
        reply = send_TCP_message(client, message["action"], message["value"], no_thread=True)
    assert reply == content_of(answered)
    assert received == [asked]


def test_a_message_without_an_action_is_sent_as_its_text(gui: Host, client: Client) -> None:
    """COMET's client sends a binary content then, and gives the reply's bytes."""
    reply = send_TCP_message(client, "", "0123456789abc", no_thread=True)
    assert reply == b"First 10 bytes of request: 0123456789"


def test_without_no_thread_it_returns_at_once_and_the_messages_keep_their_order(
    gui: Host, client: Client
) -> None:
    """Also where the message is changed behind the call, and where the receiver takes time."""
    received: list[Any] = []
    go_on = threading.Event()

    def receive(action: str, value: Any) -> str:
        assert go_on.wait(PATIENCE)
        received.append(value)
        return "received"

    gui.add_TCP_message_action_function(receive)
    message = [0]
    for number in range(10):
        message[0] = number
        assert send_TCP_message(client, "count", message) is None
    go_on.set()
    assert send_TCP_message(client, "count", [10], no_thread=True) == {"result": "received"}
    assert received == [[number] for number in range(11)]


def test_without_no_thread_it_does_not_even_wait_for_a_name(
    gui: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = threading.Event()
    gui.add_TCP_message_action_function(lambda action, value: received.set())
    go_on = threading.Event()
    look_up = socket.getaddrinfo

    def blocking(host: str, port: int, family: int, kind: int, protocol: int, flags: int) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            assert go_on.wait(PATIENCE)
            host = "127.0.0.1"
        return look_up(host, port, family, kind, protocol, flags)

    monkeypatch.setattr(socket, "getaddrinfo", blocking)
    client = Client("slow.invalid", gui.port, PATIENCE)
    send_TCP_message(client, "Telegram", "hello")
    assert not received.is_set()
    go_on.set()
    assert received.wait(PATIENCE)


def test_a_server_that_is_offline_gives_false(caplog: pytest.LogCaptureFixture) -> None:
    with free_port() as port:
        client = Client(port=port, timeout=PATIENCE)
        assert send_TCP_message(client, "Telegram", "hello", no_thread=True) is False
    wait_for_senders()
    assert caplog.messages == [
        f"'Telegram' to 127.0.0.1:{port}: could not connect to 127.0.0.1:{port}: Connection "
        "refused; check that the server is running, that host and port are right, and that no "
        "firewall is in the way"
    ]


def test_a_server_that_never_answers_gives_false_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reset tells it that nobody waits, so that it does not start the command."""

    def silent(connection: socket.socket) -> None:
        read_frame(connection)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    with scripted_server(silent) as (host, port):
        client = Client(host, port, SHORT)
        assert send_TCP_message(client, "get", "x", no_thread=True) is False
    wait_for_senders()
    assert caplog.messages == [
        f"'get' to 127.0.0.1:{port}: 127.0.0.1:{port} gave no whole reply within 0.2 s"
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "ended before the whole reply"),
        (comet_frame({"result": 1})[:-1], "ended before the whole reply"),
        (b"\x00\x02[]", "the frame's header is not an object"),
        (b"\x00\x02{}", "the frame's header lacks 'byteorder'"),
        (b"\x00\x03{x}" + bytes(9), "not JSON: object keys must be strings (byte 1)"),
        (comet_frame({"result": 1}, **{"content-length": 2**32}),
         "the frame announces 4294967296 bytes, over the limit of 67108864 bytes"),
        (comet_frame({"result": 1}, **{"content-type": "text/html"}),
         "content-type: expected 'text/json', got 'text/html'"),
        (comet_frame(b'{"result": "\xff"}'), "not UTF-8: byte 0xff"),
        (comet_frame([1]), "it has no 'result'"),
        (comet_frame({"action": "get", "value": "x"}), "it has no 'result'"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "ended before the whole reply"),
    ],
)  # fmt: skip
def test_a_malformed_reply_gives_false_and_its_reason_is_logged(
    reply: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_server(answer(reply)) as (host, port):
        client = Client(host, port, PATIENCE)
        assert send_TCP_message(client, "get", "x", no_thread=True) is False
    if reason.startswith("ended"):
        sentence = reason
    else:
        sentence = (
            f"answered is no frame of COMET ({reason}); check that host and port are those of "
            "a COMET host"
        )
    wait_for_senders()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith(sentence)


def test_a_connection_that_is_lost_gives_false(caplog: pytest.LogCaptureFixture) -> None:
    def lose(connection: socket.socket) -> None:
        read_frame(connection)
        reset(connection)

    with scripted_server(lose) as (host, port):
        client = Client(host, port, PATIENCE)
        assert send_TCP_message(client, "get", "x", no_thread=True) is False
    wait_for_senders()
    assert caplog.messages == [
        f"'get' to {client}: the connection to {client} ended before the whole reply"
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (object(), "an object of type object is not JSON's"),
        (float("nan"), "it holds NaN or an infinity, which JSON does not have"),
    ],
)
@pytest.mark.parametrize("no_thread", [False, True])
def test_a_message_that_cannot_be_sent_is_logged_and_nothing_is_raised(
    message: Any, reason: str, no_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reply = send_TCP_message(Client(port=1), "Telegram", message, no_thread)
    assert reply is (False if no_thread else None)
    assert len(caplog.messages) == 1
    # Newer Pythons add the number.
    assert caplog.messages[0].startswith(f"'Telegram' to 127.0.0.1:1: not sent: {reason}")


def test_a_thread_that_cannot_be_started_costs_one_message(
    gui: Host, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next message is sent as if nothing had been."""
    received: list[str] = []
    gui.add_TCP_message_action_function(lambda action, value: received.append(action))

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert send_TCP_message(client, "first", "x", no_thread=True) is False
    assert caplog.messages == [f"'first' to {client}: not sent: can't start new thread"]
    assert send_TCP_message(client, "second", "x", no_thread=True) == {"result": None}
    assert received == ["second"]


def test_without_a_client_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    clients: dict[str, Client] = {}
    assert send_TCP_message(clients.get("Telegram"), "Telegram", "hello", no_thread=True) is None
    assert caplog.messages == ["'Telegram': not sent: there is no client to send it with"]


def test_a_success_is_logged_for_those_who_want_to_know(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "artiq_link.bridges.comet"):
        send_TCP_message(client, "get", "x", no_thread=True)
        wait_for_senders()
    assert f"'get' to {client}: {{'result': None}}" in caplog.messages


@pytest.fixture
def busy(gui: Host, client: Client) -> Iterator[threading.Event]:
    """The client's server holds its first message until the event is set."""
    started, go_on = threading.Event(), threading.Event()

    def hold(action: str, value: Any) -> None:
        started.set()
        assert go_on.wait(PATIENCE)

    gui.add_TCP_message_action_function(hold)
    send_TCP_message(client, "hold", "x")
    assert started.wait(PATIENCE)
    yield go_on
    go_on.set()


def test_more_messages_than_can_wait_are_refused(
    client: Client, busy: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(QUEUE_LENGTH):
        send_TCP_message(client, "more", "x")
    assert caplog.messages == []
    assert send_TCP_message(client, "one too many", "x") is None
    assert send_TCP_message(client, "one too many", "x", no_thread=True) is False
    assert (
        caplog.messages
        == [f"'one too many' to {client}: not sent: {QUEUE_LENGTH} messages are waiting already"]
        * 2
    )


def test_a_message_that_was_given_up_is_not_sent_later(
    gui: Host, client: Client, busy: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    received: list[str] = []
    gui.add_TCP_message_action_function(lambda action, value: received.append(action))
    client.timeout = SHORT
    assert send_TCP_message(client, "late", "x", no_thread=True) is False
    assert caplog.messages == [f"'late' to {client}: not sent: others took too long"]
    client.timeout = PATIENCE
    busy.set()
    assert send_TCP_message(client, "next", "x", no_thread=True) == {"result": None}
    assert received == ["next"]


def test_the_last_message_of_a_program_arrives(gui: Host) -> None:
    """A program may end right after the call."""
    received = threading.Event()
    gui.add_TCP_message_action_function(lambda action, value: received.set())
    program = (
        "from artiq_link.comet import Client, send_TCP_message; "
        f"send_TCP_message(Client(port={gui.port}), 'Telegram', 'the run is over')"
    )
    with running(sys.executable, "-c", program) as process:
        assert finish(process) == (0, "", "")
    assert received.is_set()


def test_a_program_that_ends_does_not_wait_for_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = (
            "from artiq_link.bridges import comet; comet.TIMEOUT = 0.1; "
            f"client = comet.Client(port={silent.getsockname()[1]}, timeout={100 * PATIENCE}); "
            "comet.send_TCP_message(client, 'Telegram', 'the run is over')"
        )
        with running(sys.executable, "-c", program) as process:
            assert finish(process) == (0, "", "")


def wait_for_senders() -> None:
    """Wait until the threads that send messages have ended, and have logged what came of it."""
    for thread in threading.enumerate():
        if thread.name.startswith("messages to "):
            thread.join(PATIENCE)

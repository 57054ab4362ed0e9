"""EOT text: requests whose shape tells the dialect, answered in plain text; and by telnet."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import InstrumentError, LinkServer
from artiq_link.errors import InvalidParameter, UnknownCommand
from artiq_link.exchanges.messages import Reply, Request
from artiq_link.wire.base import WireOptions
from artiq_link.wire.ipc_text import data_of, text_of
from tests.conftest import PATIENCE, Probe
from tests.peers import answer_to, connected, conversations, one_by_one, pieces, read_all, talk

Serve = Callable[..., LinkServer]
SET = b'{"set_frequency": {"channel": 0, "frequency": 80e6}}'
NO_PARAMETER = b'{"set_frequency": {"channel": 0}}\x04'
MISSING = b"Error: missing parameter 'frequency' of 'set_frequency'\r\n"


def inspect(data: dict[str, Any]) -> None:
    """Answer as the recorded server does, whose sentences are its own."""
    parameters = dict(data)
    name = parameters.pop("command_id")
    needed = {"image": "file", "elements": "import_mode"}.get(name)
    if needed is None:
        raise UnknownCommand(f"Unknown request:\n{ {name: parameters} }")
    if needed not in parameters:
        raise InvalidParameter(f"Missing parameter '{needed}' in '{name}' request.")
    if parameters["file"] == "missing.jpg":
        raise InstrumentError("Image file missing.jpg could not be read.")


def answer(request: Request) -> Reply:
    try:
        return Reply(inspect(request.data))
    except (InstrumentError, InvalidParameter, UnknownCommand) as error:
        return Reply(error=error)


RECORDED = conversations("ipc_sockets")


@pytest.mark.parametrize(("asked", "answered"), RECORDED)
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"\x04", b'{"image": {}}\x04'])
def test_transcripts(asked: bytes, answered: bytes, rest: bytes) -> None:
    """Each recorded request gets the recorded bytes, whole or byte by byte, whatever follows."""
    for chunks in ([asked + rest], one_by_one(asked + rest), [asked, rest]):
        outcome = talk(chunks, answer)
        assert (outcome.sent, outcome.closed) == (answered, True)
        assert len(outcome.requests) == 1


@given(st.sampled_from(RECORDED), st.lists(st.integers(0, 200)))
def test_transcripts_in_any_pieces(recorded: tuple[bytes, bytes], cuts: list[int]) -> None:
    asked, answered = recorded
    assert talk(pieces(asked, cuts), answer).sent == answered


def test_transcripts_on_a_server(serve: Serve) -> None:
    """The recorded client's way, to close its side before it reads, gets the recorded bytes."""
    server = serve({}, interact=inspect)
    for asked, answered in RECORDED:
        assert answer_to(server, asked, eof=True) == answered
        assert answer_to(server, asked) == answered


@pytest.mark.parametrize(
    ("message", "command_id"),
    [
        ({"image": {}}, "image"),
        ({"image": {"command_id": 1}}, "image"),
        ({"": {}}, ""),
        ({"image": []}, None),
        ({"image": None}, None),
        ({"image": {}, "elements": {}}, None),
        ({"command_id": {}}, None),
        ({"link": {}}, None),
        ({}, None),
        ([], None),
        ("image", None),
    ],
)
def test_the_shape_tells(message: Any, command_id: str | None) -> None:
    """One key that holds an object, and is neither ``command_id`` nor ``link``."""
    request = data_of(message)
    assert (request and request[0]) == command_id


def test_words() -> None:
    """A success is two letters, a failure its sentence."""
    assert text_of(Reply(result=5)) == "O.k."
    assert text_of(Reply(error=InstrumentError("no lock"))) == "Error: no lock"


def test_command_id_and_eot_is_json(serve: Serve) -> None:
    """What decides is the content: EOT behind a request of the JSON dialect changes nothing."""
    reply = answer_to(serve(), b'{"command_id": "count"}\x04')
    assert json.loads(reply) == {"status": "success", "command_id": "count", "result": 0}


@given(st.binary(max_size=60), st.lists(st.integers(0, 99), max_size=5), st.booleans())
def test_garbage(data: bytes, cuts: list[int], telnet: bool) -> None:
    """Whatever is typed raises nothing but the dialect's errors, however it is cut."""
    options = WireOptions(telnet=telnet)
    data = b"{" + data + b'\x04\r\n{"x": {"a": \x04{"a": {}}\x04'
    assert talk(pieces(data, cuts), options=options) == talk([data], options=options)


# --- telnet


@pytest.fixture
def telnet(serve: Serve) -> LinkServer:
    return serve(telnet=True)


def test_telnet_keeps_the_connection(telnet: LinkServer, probe: Probe) -> None:
    """Requests follow each other, with what a telnet client puts between, until Ctrl-Z."""
    typed = b"\r\n" + SET + b"\x04\r\n" + NO_PARAMETER + b"\r\n" + SET + b"\x04\r\n\x1a"
    for chunks in ([typed], one_by_one(typed)):
        with connected(telnet) as client:
            for chunk in chunks:
                client.sendall(chunk)
            assert read_all(client) == b"O.k.\r\n" + MISSING + b"O.k.\r\n"
    assert len(probe.executed) == 4


def test_telnet_ends_with_the_client(telnet: LinkServer) -> None:
    """A client that closes its side has its replies first."""
    assert answer_to(telnet, SET + SET, eof=True) == b"O.k.\r\n" * 2
    assert answer_to(telnet, b"\x1a") == b""


def test_telnet_garbage_ends_with_eot(telnet: LinkServer, probe: Probe) -> None:
    """What is no object is refused at its EOT, and the next request is served."""
    for noise in (b"help\x04", b"{broken\x04", b"\xff\xfd\x03 what?\r\n\x04", b"[1]\x04"):
        reply = answer_to(telnet, noise + b"\r\n" + SET + b"\x04\x1a")
        assert reply == b"Error: Malformed JSON message.\r\nO.k.\r\n"
    assert len(probe.executed) == 4


def test_without_telnet_the_connection_closes(serve: Serve, probe: Probe) -> None:
    """One request a connection; what is no object is refused at its first byte."""
    server = serve()
    assert answer_to(server, SET + SET) == b"O.k.\r\n"
    assert b"expected a JSON object" in answer_to(server, b"help\x04")
    assert probe.executed == [(0, 80e6)]


def test_telnet_survives_what_is_wrong(serve: Serve, probe: Probe) -> None:
    """Where nothing else is spoken, every answer is plain text and the session goes on."""
    server = serve(telnet=True, dialects={"eot"})
    lines = {
        b'{"get": {"channel": tru}}\x04': "Malformed JSON message.",
        b'{"get": {"channel": 0,}}\x04': "Malformed JSON message.",
        b'{"get": 5}\x04': "expected one command, with its parameters in an object",
        b"{}\x04": "expected one command, with its parameters in an object",
        b"get\x04": "Malformed JSON message.",
    }
    with connected(server) as client, client.makefile("rb") as replies:
        for line, sentence in lines.items():
            client.sendall(line)
            assert replies.readline().decode() == f"Error: {sentence}\r\n"
        client.sendall(SET + b"\x04")
        assert replies.readline() == b"O.k.\r\n"
        client.sendall(b'{"set": ' + b"[" * 200)  # where that would end, nobody knows
        assert replies.read() == b"Error: nested deeper than 100 levels\r\n"
    assert probe.executed == [(0, 80e6)]


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def test_netcat(serve: Serve, probe: Probe) -> None:
    """``nc`` that closes its side after EOT, as the dialect's example client does."""
    port = str(serve().port)
    asked = subprocess.run(
        [need("nc"), "-N", "127.0.0.1", port],
        input=SET + b"\x04",
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert asked.stdout == b"O.k.\r\n"
    assert probe.executed == [(0, 80e6)]


def test_telnet_client(telnet: LinkServer, probe: Probe) -> None:
    """The program telnet, line by line, ended by the server at Ctrl-Z."""
    with subprocess.Popen(
        [need("telnet"), "127.0.0.1", str(telnet.port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            client.stdin.write(SET + b"\x04\n" + NO_PARAMETER + b"\n")
            client.stdin.flush()
            shown = b""
            while MISSING.strip() not in shown:
                line = client.stdout.readline()
                assert line, shown
                shown += line
            # Not earlier: at its input's end telnet closes without waiting for replies.
            client.stdin.write(b"\x1a\n")
            client.stdin.flush()
            client.stdout.read()
        finally:
            client.kill()
    assert shown.count(b"O.k.") == 1
    assert probe.executed == [(0, 80e6)]


def test_half_close_in_every_state(serve: Serve, telnet: LinkServer, probe: Probe) -> None:
    """Nothing, half a request, or a whole one, then the client's end: no state hangs."""
    for server in (serve(), telnet):
        assert answer_to(server, b"", eof=True) == b""
        assert answer_to(server, b"\r\n", eof=True) == b""
        assert b"ended before" in answer_to(server, SET[:9], eof=True)  # it may be JSON still
        assert answer_to(server, SET[:-3], eof=True) == b"Error: Malformed JSON message.\r\n"
        assert answer_to(server, SET, eof=True) == b"O.k.\r\n"
    assert len(probe.executed) == 2
    with connected(telnet) as client:
        client.sendall(SET)
        assert client.recv(100) == b"O.k.\r\n"
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""

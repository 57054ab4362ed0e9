"""The log and the debug output, as observers of exchanges."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from typing import Any

import pytest

from tests.peers import connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve, ask


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

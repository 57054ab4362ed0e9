"""The log and the debug output, as observers of exchanges."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from artiq_link import Instrument, Link, command, current_exchange, exchange
from tests.conftest import PATIENCE, Probe, until
from tests.exchanges.asking import end_time_of_running
from tests.peers import connected, read_all
from tests.server.asking import SET, SET_REPLY, Serve, ask

CLIENT = r"127\.0\.0\.1:\d+ \(json\)"


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
    reading, writing = os.pipe()
    request = '{"command_id": "echo", "value": "Ω"}'.encode()
    with os.fdopen(reading, "rb") as printed, os.fdopen(writing, "wb") as terminal:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
        server = serve(debug=True)
        assert ask(server, request)["result"] == "Ω"
        for line in (printed.readline(), printed.readline()):
            assert b'"\\u03a9"' in line
        printed.close()
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


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (
            {"command_id": "echo", "value": 1, "link": {"rid": 1234, "owner": "Rabi scan"}},
            rf"{CLIENT}: echo, RID 1234, owner Rabi scan: done in [\d.]+ ms",
        ),
        (
            {"command_id": "dds.refuse"},
            rf"{CLIENT}: dds\.refuse: failed after [\d.]+ ms, instrument_error: no lock",
        ),
        (
            {"command_id": "set_frequency", "channel": 0, "frequency": -1},
            rf"{CLIENT}: set_frequency: failed after [\d.]+ ms, out_of_range: frequency: .*",
        ),
        (
            {"command_id": "echo", "value": 1, "link": {"boot": "earlier"}},
            rf"{CLIENT}: echo: refused, restarted: .*",
        ),
        (
            {"command_id": "link.ping", "link": {"owner": "a\nERROR:b", "rid": 10**30}},
            rf"{CLIENT}: link\.ping, RID 10{{30}}, owner a\\nERROR:b: done in [\d.]+ ms",
        ),
    ],
    ids=["done", "failed", "out of range", "refused", "of the link"],
)
def test_each_exchange_is_one_line(
    serve: Serve, caplog: pytest.LogCaptureFixture, request_: dict[str, Any], line: str
) -> None:
    """Who asked for what, and what became of it."""
    caplog.set_level(logging.INFO, "artiq_link.exchanges.log")
    ask(serve(), json.dumps(request_).encode())
    assert len(caplog.messages) == 1
    assert re.fullmatch(line, caplog.messages[0])
    assert caplog.records[0].levelname == "INFO"


def test_the_log_and_the_history_have_the_same_word(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`done`, `refused` where its turn did not come, `failed` where it came."""
    caplog.set_level(logging.INFO, "artiq_link.exchanges.log")
    server = serve(journal=tmp_path / "journal.sqlite")
    words = []
    for request in (
        {"command_id": "count"},
        {"command_id": "conut"},
        {"command_id": "echo"},
        {"command_id": "echo", "value": 1, "link": {"boot": "earlier"}},
        {"command_id": "set_frequency", "channel": "a", "frequency": 1},
        {"command_id": "set_frequency", "channel": 0, "frequency": -1},
        {"command_id": "refuse"},
        {"command_id": "unsendable"},
        {"command_id": "link.batch", "requests": [{"command_id": "conut"}]},
    ):
        caplog.clear()
        ask(server, json.dumps(request).encode())
        word = re.search(r": (done in|refused,|failed after) ", caplog.messages[-1])
        assert word is not None
        words.append(word[1].rstrip(",").partition(" ")[0])
        (entry,) = exchange({"command_id": "link.history", "limit": 1}, port=server.port)
        assert entry["command"] == request["command_id"]
        assert entry["outcome"] == words[-1]
    assert set(words) == {"done", "refused", "failed"}


def test_an_exchange_that_overruns_is_told_of_twice(
    serve: Serve, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    """Once when its client is told timeout, once when it has come to its end, as a warning."""
    caplog.set_level(logging.INFO, "artiq_link.exchanges.log")
    server = serve()
    with connected(server) as client:
        client.sendall(b'{"command_id": "wait", "link": {"timeout": 17}}')
        assert probe.started.wait(PATIENCE)
        end_time_of_running(server)
        read_all(client)
    probe.go_on.set()
    until(lambda: len(caplog.messages) == 2)
    told, late = caplog.records
    assert re.fullmatch(
        rf"{CLIENT}: wait: told timeout: wait has not finished in 17 s; it goes on",
        told.getMessage(),
    )
    assert re.fullmatch(rf"{CLIENT}: wait: done in .*, after its time was up", late.getMessage())
    assert (told.levelname, late.levelname) == ("INFO", "WARNING")


def test_what_somebody_ended_was_refused_only_where_it_had_not_started(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    started = threading.Event()

    class Sleeper(Instrument):
        @command
        def sleep(self) -> None:
            """Sleep until somebody ends it."""
            started.set()
            current_exchange().sleep(PATIENCE)

    caplog.set_level(logging.INFO, "artiq_link.exchanges.log")
    link = Link(port=serve({"sleeper": Sleeper()}).port, timeout=PATIENCE)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(link.send, {"command_id": "sleep", "link": {"id": "a1"}})
        assert started.wait(PATIENCE)
        second = pool.submit(link.send, {"command_id": "sleep", "link": {"id": "a2"}})
        until(lambda: link.call("link.status")["instruments"]["sleeper"]["waiting"] == 1)
        for name, reply in (("a2", second), ("a1", first)):
            link.call("link.abort", id=name)
            assert reply.result()["code"] == "aborted"
    lines = [line for line in caplog.messages if ": sleep" in line]
    assert re.fullmatch(rf"{CLIENT}: sleep: refused, aborted: sleep was not started: .*", lines[0])
    assert re.fullmatch(
        rf"{CLIENT}: sleep: failed after .*, aborted: sleep was aborted while it ran", lines[1]
    )


def test_the_parts_of_a_batch_are_exchanges(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "artiq_link.exchanges.log")
    requests = [{"command_id": "count"}, {"command_id": "echo", "value": 1}]
    exchange({"command_id": "link.batch", "requests": requests}, port=serve().port)
    commands = [re.sub(rf"{CLIENT}: (.*): done in .*", r"\1", line) for line in caplog.messages]
    assert commands == ["count", "echo", "link.batch"]

"""Clients that attack the log of a server: forged lines, escape sequences, floods, megabytes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from contextlib import AbstractContextManager

import pytest

from artiq_link import exchange
from tests.conftest import PATIENCE
from tests.peers import HANDSHAKE, read_all
from tests.programs import finish, program

FORGED = "x\nERROR:root:forged\r\x1b[2J\x1b]0;title\x07\u202e\x9b"

SERVER = """
import sys
import artiq_link
from tests.conftest import Probe

class Broken(Probe):
    @artiq_link.command
    def burn(self, text: str) -> None:
        raise RuntimeError(text)

sys.argv = ["server.py", *{options}]
artiq_link.parse_server_options("")
artiq_link.start_server({{"dds": Broken()}}, port=0)
"""


def server(*options: str) -> AbstractContextManager[tuple[subprocess.Popen[str], int]]:
    return program(script=SERVER.format(options=options))


def request(**members: object) -> bytes:
    return json.dumps(members).encode()


def ndsp(target: str, action: object) -> bytes:
    """A connection of NDSP with one message."""
    body = action if isinstance(action, str) else json.dumps(action)
    return b"ARTIQ pc_rpc\n" + target.encode() + b" pyon_v2\n" + body.encode() + b"\n"


ATTACKS = {
    "command": request(command_id=FORGED),
    "ending": request(command_id=f"echo.{FORGED}") + b"\x04",
    "parameter": request(command_id="echo", **{FORGED: 1}),
    "value": request(command_id="set_frequency", channel=FORGED, frequency=1),
    "id": request(command_id="fail", link={"id": FORGED}),
    "owner": request(command_id="echo", value=1, link={"owner": FORGED}),
    "owner of a refusal": request(command_id="no", link={"owner": FORGED, "rid": 10**4000}),
    "a member of link": request(command_id="echo", link={FORGED: 1}),
    "a long member": request(command_id="echo", link={"x" * 1_000_000: 1}),
    "a long command": request(command_id="x" * 1_000_000),
    "an exception": request(command_id="burn", text=FORGED),
    "a long exception": request(command_id="burn", text="y\n" * 1_000_000),
    "no request": FORGED.encode(),
    "origin": HANDSHAKE[:-2] + b"Origin: http://evil\x1b[2J\nERROR:root:forged\r\n\r\n",
    "path": b"GET /\x1b[2J HTTP/1.1\r\n" + HANDSHAKE.partition(b"\r\n")[2],
    "ndsp target": ndsp(FORGED.replace("\n", " "), {}),
    "ndsp method": ndsp("dds", {"action": "call", "name": FORGED, "args": [], "kwargs": {}}),
    "ndsp action": ndsp("dds", {"action": FORGED}),
    "ndsp keyword": ndsp(
        "dds", {"action": "call", "name": "echo", "args": [], "kwargs": {FORGED: 1}}
    ),
    "ndsp no pyon": ndsp("dds", FORGED.replace("\n", " ")),
    "comet": f"{len(FORGED.encode())}\n".encode() + FORGED.encode(),
}


def send(port: int, data: bytes) -> None:
    """Send bytes, end, and read whatever is answered."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        read_all(client)


LINE = re.compile(r"(?:DEBUG|INFO|WARNING|ERROR)(?:<(\d+)>)?:(?:artiq_link[a-z_.]*|asyncio):.*")


def messages(log: str) -> list[str]:
    """The messages of a log as ARTIQ's controller manager takes it apart (`sipyco.logs`)."""
    lines = log.split("\n")
    assert lines.pop() == ""
    taken = []
    while lines:
        found = LINE.fullmatch(lines[0])
        assert found is not None, lines[0]
        count = int(found[1] or 1)
        taken.append("\n".join(lines[:count]))
        del lines[:count]
    return taken


@pytest.mark.parametrize("options", [(), ("-v",), ("-vv",)], ids=["", "v", "vv"])
def test_nothing_that_clients_send_is_obeyed_or_taken_for_a_line(options: tuple[str, ...]) -> None:
    """In any dialect, at any level: it stands as escapes, and is cut."""
    with server(*options) as (process, port):
        for attack in ATTACKS.values():
            send(port, attack)
        assert exchange({"command_id": "count"}, port=port) >= 0
        process.terminate()
        code, _, log = finish(process)
    assert code == 0
    taken = messages(log)
    assert all(sign.isprintable() or sign == "\n" for sign in log)
    assert not any("forged" in message.split(":")[1] for message in taken)
    assert max(map(len, taken)) < 20_000
    whole = [message for message in taken if "Traceback" not in message]
    assert max(map(len, whole)) < 1_000
    if options:
        assert any(r"owner x\nERROR:root:forged\r\x1b[2J" in message for message in taken)


@pytest.mark.parametrize("data", [b"{]", b"hello", b'{"command_id": 5}'])
def test_a_flood_of_bad_requests_is_two_lines(data: bytes) -> None:
    with server() as (process, port):
        for _ in range(200):
            send(port, data)
        process.terminate()
        code, _, log = finish(process)
    first, second = messages(log)
    assert code == 0
    assert re.fullmatch(r".*:127\.0\.0\.1:\d+ \(.*\): refused, [a-z_]+: .*", first)
    assert re.fullmatch(r".*:127\.0\.0\.1: [a-z_]+: refused 199 more times in .* s", second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_goes_on_and_ends_though_nobody_reads_its_log(number: signal.Signals) -> None:
    """2,000 bad requests with a line each, 500 kB in all: a pipe holds 64 KiB."""
    with server("-v") as (process, port):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            replies = client.makefile("rb")
            for _ in range(2000):
                client.sendall(request(command_id="x" * 200, link={"keep": True}))
                assert b"unknown_command" in replies.readline()
        assert exchange({"command_id": "count"}, port=port) == 0
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0

"""``artiq-link send``: what is sent for what is typed, and what is printed of the reply."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from artiq_link import Instrument, LinkServer, command
from tests.conftest import PATIENCE, Probe
from tests.probe import Frequency
from tests.scripted_server import answer, read_request, scripted_server

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


def test_send_prints_each_member_of_the_result(run: Run, port: int, probe: Probe) -> None:
    """Values are JSON, so that 80e6 is a number."""
    assert run("send", "set_frequency", "channel=1", "frequency=80e6", port=port) == (
        0,
        "frequency: 80000000.0\n",
        "",
    )
    assert probe.executed == [(1, 80e6)]


@pytest.mark.parametrize("text", ["80e6", "80MHz", "80000 kHz", "0.08GHz"])
def test_send_takes_quantities_in_the_declared_unit(
    run: Run, port: int, probe: Probe, text: str
) -> None:
    assert run("send", "set_frequency", "channel=1", f"frequency={text}", port=port)[0] == 0
    assert probe.executed == [(1, 80e6)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("set_frequency", "channel=0", "frequency=25us"),
            "frequency: expected float such as 80MHz, got '25us'",
        ),
        (
            ("dds.set_frequency", "channel=1Hz", "frequency=1"),
            "channel: expected int without a unit, such as 1, got '1Hz'",
        ),
        (
            ("echo", "value=off"),
            "value: 'off' is a text where no type is declared; write false, or '\"off\"' if a "
            "text is meant",
        ),
        (
            ("set_frequenzy", "frequency=80MHz"),
            "there is no command 'set_frequenzy'; did you mean 'set_frequency'?\n"
            "frequency: '80MHz' is a text where no type is declared; write 8e7, or '\"80MHz\"' if "
            "a text is meant",
        ),
        (("echo", "value=NaN"), "value: nan cannot be sent as JSON; expected a finite number"),
    ],
)
def test_what_is_typed_wrong_is_refused_before_it_is_sent(
    run: Run, port: int, probe: Probe, words: tuple[str, ...], sentence: str
) -> None:
    assert run("send", *words, port=port) == (2, "", f"{sentence}\n")
    assert probe.executed == []


def test_what_the_server_refuses_is_left_to_it(run: Run, port: int) -> None:
    words = ("set_frequency", "channel=0", "frequenzy=80MHz")
    code, _, errors = run("send", *words, port=port)
    assert (code, errors.split(":")[0]) == (1, "invalid_parameter")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("value=text that is no JSON", "text that is no JSON\n"),
        ('value="7"', "7\n"),
        ("value=[1, 2]", "[1, 2]\n"),
        (
            'value=[{"long": "%s"}]' % ("x" * 70),
            "- long: %s\n" % ("x" * 70),
        ),
        ("value=a=b", "a=b\n"),
        ("value=.5", "0.5\n"),
        ("value=+5e3", "5000.0\n"),
        ("value=5.", "5.0\n"),
        ("value=.", ".\n"),
        ("value=1.2.3", "1.2.3\n"),
        ("value=", "\n"),
        ("value=null", ""),
        ("value=None", ""),
    ],
)
def test_send_takes_json_or_text(run: Run, port: int, text: str, printed: str) -> None:
    assert run("send", "echo", text, port=port) == (0, printed, "")


@pytest.mark.parametrize(
    ("text", "sent"), [("True", True), ("False", False), ("Truth", "Truth"), ('"5"', "5")]
)
def test_send_takes_pythons_constants_and_quoted_numbers(
    run: Run, port: int, text: str, sent: Any
) -> None:
    _, printed, _ = run("send", "--json", "echo", f"value={text}", port=port)
    assert json.loads(printed)["result"] == sent


@pytest.mark.parametrize("at", range(4))
def test_options_stand_anywhere_among_the_parameters(run: Run, port: int, at: int) -> None:
    words = ["set_frequency", "channel=0", "frequency=1e6"]
    words[at:at] = ["--json", "--port", str(port)]
    code, printed, _ = run("send", *words)
    assert (code, json.loads(printed)["result"]) == (0, {"frequency": 1e6})


def test_what_the_terminal_has_no_sign_for_is_printed_as_its_number(port: int) -> None:
    """Windows' pipes have few."""
    words = ["artiq_link", "send", "echo", "value=in kΩ", "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout.rstrip()) == (0, rb"in k\u03a9")


def test_help_says_how_a_text_that_looks_like_a_number_is_written(run: Run) -> None:
    _, printed, _ = run("send", "--help")
    assert """comment='"5"'""" in printed


def test_send_sends_members_of_link(run: Run, port: int) -> None:
    code, printed, _ = run("send", "--json", "count", 'link={"id": "mine"}', port=port)
    assert (code, json.loads(printed)["id"]) == (0, "mine")


def test_send_json_prints_the_whole_reply(run: Run, port: int) -> None:
    code, printed, errors = run("send", "echo", "value=[1, 2]", "--json", port=port)
    reply = json.loads(printed)
    assert len(reply.pop("id")) == 32
    assert reply == {"status": "success", "command_id": "echo", "result": [1, 2]}
    assert (code, errors) == (0, "")


class Scope(Instrument):
    """Something with arrays."""

    @command
    def samples(self, values: np.ndarray) -> np.ndarray:
        """Give the values back."""
        return values


def test_send_json_prints_arrays_in_the_protocols_notation(run: Run, serve: Serve) -> None:
    port = serve({"scope": Scope()}).port
    code, printed, _ = run("send", "samples", "values=[1.0]", "--json", port=port)
    array = {"__jsonclass__": ["nparray", [[1], "<f8", "AAAAAAAA8D8="]]}
    assert (code, json.loads(printed)["result"]) == (0, array)
    assert run("send", "samples", "values=[1.0, 2.5]", port=port) == (0, "[1.  2.5]\n", "")


class Oven(Instrument):
    """Something with units, in which two commands are told apart by their instruments."""

    @command
    def set_frequency(self, values: list[Frequency], on: bool = False) -> list[Frequency]:
        """Give the values back where it is on."""
        return values if on else []


def test_results_have_their_units(run: Run, serve: Serve) -> None:
    port = serve({"oven": Oven()}).port
    words = ("set_frequency", "values=[1e3, 2.5e6]", "on=yes")
    assert run("send", *words, port=port) == (0, "[1 kHz, 2.5 MHz]\n", "")


def test_a_name_of_several_instruments_says_which(run: Run, serve: Serve, probe: Probe) -> None:
    port = serve({"dds": probe, "oven": Oven()}).port
    words = ("channel=0", "frequency=1MHz")
    assert run("send", "dds.set_frequency", *words, port=port)[0] == 0
    assert run("send", "set_frequency", "channel=0", port=port) == (
        1,
        "",
        "unknown_command: several instruments have 'set_frequency': say 'dds.set_frequency' or "
        "'oven.set_frequency'\n",
    )
    assert probe.executed == [(0, 1e6)]


@pytest.mark.parametrize(
    "description",
    [
        {"status": "success", "result": "hello"},
        {"status": "success", "result": {"parameters": []}},
        {"status": "fail", "code": "invalid_parameter", "error": "no 'command'"},
        {"status": "fail"},
    ],
)
def test_a_server_that_describes_nothing_is_sent_what_is_typed(
    run: Run, description: dict[str, Any]
) -> None:
    """An older one, or another kind of server that takes JSON."""
    heard = []

    def take(connection: socket.socket) -> None:
        heard.append(read_request(connection))
        connection.sendall(b'{"status": "success", "result": {"power": 5.0}}\n')

    with scripted_server(answer(**description), take) as (_, port):
        assert run("send", "set", "power=5", "to=front", port=port) == (0, "power: 5.0\n", "")
    assert {name: heard[0][name] for name in ("command_id", "power", "to")} == {
        "command_id": "set",
        "power": 5,
        "to": "front",
    }


def send_input(port: int, text: str | bytes, *options: str) -> tuple[int, str, str]:
    """Run ``artiq-link send -`` with this standard input."""
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run(
        [sys.executable, "-m", "artiq_link", "send", "-", "--port", str(port), *options],
        input=data,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_requests_come_from_standard_input(port: int, probe: Probe) -> None:
    """One after the other, over one connection, until one fails."""
    text = """
        {"command_id": "set_frequency", "channel": 0, "frequency": 1e6}{"command_id": "count"}

        {"command_id": "refuse"}
        {"command_id": "echo", "value": "not sent"}
    """
    assert send_input(port, text) == (
        1,
        "frequency: 1000000.0\n1\n",
        "instrument_error: no lock\n",
    )
    assert probe.executed == [(0, 1e6)]


def test_replies_to_standard_input_are_lines_of_json(port: int) -> None:
    text = '{"command_id": "count"} {"command_id": "refuse"} {"command_id": "count"}'
    code, printed, errors = send_input(port, text, "--json")
    statuses = [json.loads(line)["status"] for line in printed.splitlines()]
    assert (code, statuses, errors) == (1, ["success", "fail"], "")


def test_a_byte_order_mark_is_no_part_of_a_request(port: int) -> None:
    """PowerShell's pipes begin with one."""
    assert send_input(port, b'\xef\xbb\xbf{"command_id": "count"}\r\n') == (0, "0\n", "")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no request in it"),
        (" \n", "there is no request in it"),
        ("[1]", "expected JSON objects, got an array"),
        ('{"command_id": "count"} {"command_id": ', "not JSON: Expecting value: line 1 column 40 "
         "(char 39)"),
        ('{"command_id": "echo", "value": NaN}', "not JSON: it has no NaN"),
        ("set_frequency", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"a":' * 100_000, "nested too deep"),
        (b"\xff", "not UTF-8 (byte 0)"),
    ],
)  # fmt: skip
def test_nothing_is_sent_where_standard_input_is_wrong(
    port: int, probe: Probe, text: str | bytes, sentence: str
) -> None:
    assert send_input(port, text) == (2, "", f"standard input: {sentence}\n")
    assert probe.executed == []


def test_send_exits_with_1_where_the_server_says_no(run: Run, port: int, probe: Probe) -> None:
    assert run("send", "set_frequency", "channel=0", "frequency=5e8", port=port) == (
        1,
        "",
        "out_of_range: frequency: 5e8 Hz is above the limit of 4e8 Hz\n",
    )
    assert run("send", "set_frequenzy", port=port) == (
        1,
        "",
        "unknown_command: there is no command 'set_frequenzy'; did you mean 'set_frequency'?\n",
    )
    assert probe.executed == []


def test_send_json_prints_a_refusal_too(run: Run, port: int) -> None:
    code, printed, errors = run("send", "refuse", "--json", port=port)
    reply = json.loads(printed)
    assert (code, reply["code"], reply["error"], errors) == (1, "instrument_error", "no lock", "")


def test_timeout_is_the_whole_exchanges(run: Run, port: int, probe: Probe) -> None:
    """The server is told it, and answers before the client gives up."""
    code, _, errors = run("send", "wait", "--timeout", "0.3", port=port)
    assert (code, errors.split(":")[0]) == (1, "timeout")

"""``artiq-link send``: what is sent for what is typed, and what is printed of the reply."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from artiq_link import Instrument, LinkServer, command
from tests.conftest import PATIENCE, Probe

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


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("value=text that is no JSON", "text that is no JSON\n"),
        ('value="7"', "7\n"),
        ("value=[1, 2]", "[1, 2]\n"),
        (
            'value=[{"long": "%s"}]' % ("x" * 70),
            "[\n    {\n        'long': '%s'\n    }\n]\n" % ("x" * 70),
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
    words = ["artiq_link", "send", "echo", "value=5 kΩ", "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout.rstrip()) == (0, rb"5 k\u03a9")


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

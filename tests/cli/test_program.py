"""``artiq-link``: its actions, its exit codes, and errors of one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from artiq_link import __version__
from tests.conftest import PATIENCE, Probe
from tests.programs import ROOT, finish, running
from tests.scripted_server import answer, answer_bytes, free_port, scripted_server

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    "arguments",
    [("send", "count"), ("send", "count", "--json"), ("describe",), ("status",), ("ping",)],
    ids=" ".join,
)
def test_no_connection_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...]
) -> None:
    with free_port() as port:
        code, printed, errors = run(*arguments, port=port)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"could not connect to 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_an_answer_that_is_no_reply_is_exit_code_2(run: Run) -> None:
    with scripted_server(answer_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")) as (host, port):
        code, printed, errors = run("ping", "--host", host, port=port)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"what 127.0.0.1:{port} answered is not a reply of the link (")


@pytest.mark.parametrize("result", [None, 5, {}, {"instruments": {}}])
@pytest.mark.parametrize("action", ["describe", "status"])
def test_another_program_that_answers_with_success_is_told_as_such(
    run: Run, action: str, result: object
) -> None:
    with scripted_server(answer(status="success", result=result)) as (_, port):
        code, printed, errors = run(action, port=port)
    assert (code, printed) == (2, "")
    assert errors == (
        f"what 127.0.0.1:{port} answered to link.{action} is not what a link server answers; "
        "check that host and port are those of one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ping", "--port", "0"), "port: expected 1 to 65535, got 0"),
        (
            ("ping", "--timeout", "-1"),
            "timeout: expected more than 0 and at most 86400 s, got -1.0",
        ),
    ],
)
def test_what_cannot_be_sent_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    assert run(*arguments) == (2, "", sentence + "\n")


def test_a_port_that_says_nothing_may_be_no_link_servers(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert run("send", "count", "--timeout", "0.1", port=port) == (
            2,
            "",
            f"127.0.0.1:{port} gave no whole reply within 0.1 s (0 bytes came: is it a link "
            "server?)\n",
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("send", "get", "channel"),
            "artiq-link send: error: argument NAME=VALUE: 'channel' is not NAME=VALUE",
        ),
        (
            ("send", "get", "=0"),
            "artiq-link send: error: argument NAME=VALUE: '=0' is not NAME=VALUE",
        ),
        (
            ("send", "get", "link=7"),
            "artiq-link send: error: argument NAME=VALUE: 'link=7': the link's own members are a "
            "JSON object",
        ),
        (
            ("send", "-", "channel=0"),
            "artiq-link send: error: requests from standard input have their parameters in them",
        ),
        (
            ("send", "get", "channel=0", "channel=1"),
            "artiq-link send: error: channel is given twice",
        ),
        (
            ("send", "get", "command_id=reset"),
            "artiq-link send: error: command_id is given twice",
        ),
        (
            ("send", "get", "--json", "channel"),
            "artiq-link send: error: argument NAME=VALUE: 'channel' is not NAME=VALUE",
        ),
        (
            ("send", "get", "--channel", "0"),
            "artiq-link send: error: unrecognized arguments: --channel 0",
        ),
        (
            ("ping", "now"),
            "artiq-link: error: unrecognized arguments: now",
        ),
        (
            ("send",),
            "artiq-link send: error: the following arguments are required: command_id",
        ),
        ((), "artiq-link: error: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1] == sentence


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"artiq-link {__version__}\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C reaches a whole console there")
def test_ctrl_c_ends_it_as_shells_expect(port: int, probe: Probe) -> None:
    with running(
        sys.executable, "-m", "artiq_link", "send", "wait", "--port", str(port)
    ) as waiting:
        assert probe.started.wait(PATIENCE)
        waiting.send_signal(signal.SIGINT)
        assert finish(waiting) == (130, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("describe", "--json"),
        ("describe",),
        ("describe", "count"),
        ("status",),
        ("ping", "--count", "1"),
        ("send", "count"),
        ("send", "refuse"),
        ("send", "--help"),
        ("--version",),
    ],
    ids=" ".join,
)
def test_a_closed_pipe_ends_it_as_shells_expect(port: int, arguments: tuple[str, ...]) -> None:
    """``describe --json | head -1``: without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "artiq_link", *arguments],
            check=False,
            stdout=writer,
            stderr=subprocess.PIPE,
            # argparse would write at once, and say nothing of what it could not write.
            env={**os.environ, "ARTIQ_LINK_PORT": str(port), "PYTHONUNBUFFERED": ""},
            cwd=ROOT,
            timeout=PATIENCE,
        )
    finally:
        os.close(writer)
    if "refuse" in arguments:  # it has nothing to print
        assert (done.returncode, done.stderr) == (1, b"instrument_error: no lock\n")
    else:
        assert (done.returncode, done.stderr) == (141, b"")


def test_the_module_and_the_script_are_the_same_program(port: int) -> None:
    """``python -m artiq_link`` and ``artiq-link``, with the exit code of `main`."""
    script = "import sys; from artiq_link.cli.program import main; sys.exit(main())"
    for program in (("-m", "artiq_link"), ("-c", script)):
        done = subprocess.run(
            [sys.executable, *program, "send", "refuse", "--port", str(port)],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=PATIENCE,
        )
        expected = (1, "", "instrument_error: no lock\n")
        assert (done.returncode, done.stdout, done.stderr) == expected


def test_the_scripts_entry_point_is_main() -> None:
    entry = 'artiq-link = "artiq_link.cli.program:main"'
    assert entry in (ROOT / "pyproject.toml").read_text("utf-8")

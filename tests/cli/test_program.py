"""``artiq-link``: its actions, its exit codes, and errors of one sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from artiq_link import __version__, link_client
from tests.conftest import PATIENCE
from tests.programs import ROOT
from tests.scripted_server import answer_bytes, free_port, scripted_server

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    "arguments",
    [("send", "count"), ("send", "count", "--json"), ("describe",), ("ping",)],
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ping", "--port", "0"), "port: expected 1 to 65535, got 0"),
        (
            ("ping", "--timeout", "-1"),
            "timeout: expected more than 0 and at most 86400 s, got -1.0",
        ),
        (("send", "a", "b=NaN"), "b: nan cannot be sent as JSON; expected a finite number"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    assert run(*arguments) == (2, "", sentence + "\n")


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


def test_ctrl_c_ends_it_as_shells_expect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(link_client, "exchange", interrupted)
    assert run("send", "count") == (130, "", "")


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

"""The options of server programs, and the log they set up."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from artiq_link.server.options import (
    DEFAULT_PORT,
    MAX_LOG_LINE,
    ArtiqFormatter,
    add_server_options,
    init_logging,
    listen_options,
    parse_server_options,
)


@contextmanager
def fresh_root_logger() -> Iterator[logging.Logger]:
    """The root logger without handlers, as a program finds it, and not as pytest leaves it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def parse(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> argparse.Namespace:
    monkeypatch.setattr(sys, "argv", ["server.py", *arguments])
    with fresh_root_logger():
        return parse_server_options("The server.\n\nMore.")


LOCALHOST = ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"host": LOCALHOST, "port": 65432, "debug": False, "simulation": False}),
        (["-p", "0"], {"port": 0}),
        (["--port", "4000"], {"port": 4000}),
        (["--debug"], {"debug": True}),
        (["--simulation"], {"simulation": True}),
        (["--bind", "*"], {"host": [*LOCALHOST, "*"]}),
        (
            ["--bind", "10.0.0.1", "--bind", "10.0.0.2"],
            {"host": [*LOCALHOST, "10.0.0.1", "10.0.0.2"]},
        ),
        (["--no-localhost-bind", "--bind", "10.0.0.1"], {"host": ["10.0.0.1"]}),
    ],
)
def test_a_server_programs_options(
    arguments: list[str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = vars(parse(monkeypatch, *arguments))
    assert {name: options[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--no-localhost-bind"],
            "server.py: error: --no-localhost-bind leaves nothing to listen on: give --bind",
        ),
        (
            ["-p", "http"],
            "server.py: error: argument -p/--port: invalid int value: 'http'",
        ),
        (["now"], "server.py: error: unrecognized arguments: now"),
    ],
)
def test_wrong_options_end_with_a_sentence_and_2(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(monkeypatch, *arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == sentence


def test_help_begins_with_the_programs_summary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(monkeypatch, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "The server.\n" in text
    assert "More." not in text
    assert f"0 is a free one (default: {DEFAULT_PORT})" in text


@pytest.mark.parametrize("summary", [None, ""])
def test_a_program_without_a_docstring_has_options(
    summary: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["server.py"])
    with fresh_root_logger():
        assert parse_server_options(summary, port=4000).port == 4000


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ([], logging.WARNING),
        (["-v"], logging.INFO),
        (["-vv"], logging.DEBUG),
        (["-v", "-v"], logging.DEBUG),
        (["-q"], logging.ERROR),
        (["-qq"], logging.CRITICAL),
        (["-v", "-q"], logging.WARNING),
    ],
)
def test_verbose_and_quiet_move_the_level(arguments: list[str], level: int) -> None:
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    with fresh_root_logger() as root:
        init_logging(parser.parse_args(arguments))
        assert root.level == level


def test_log_lines_go_to_standard_error_as_artiqs() -> None:
    program = (
        "import logging, artiq_link\n"
        "artiq_link.parse_server_options('')\n"
        "logging.getLogger('dds.lock').warning('lost')\n"
        "logging.getLogger('dds.lock').info('found')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("", "WARNING:dds.lock:lost\n")


def test_another_program_can_take_the_options() -> None:
    parser = argparse.ArgumentParser()
    add_server_options(parser, port=4000)
    chosen = "--bind 10.0.0.1 --debug -v --dialects json,ndsp --telnet --quit-stops"
    options = parser.parse_args([*chosen.split(), "--origin", "http://lab-pc:8080"])
    assert listen_options(parser, options) == {
        "host": [*LOCALHOST, "10.0.0.1"],
        "port": 4000,
        "debug": True,
        "dialects": {"json", "ndsp"},
        "telnet": True,
        "quit_stops": True,
        "origins": ["http://lab-pc:8080"],
    }


def test_dialects_may_stand_apart() -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    assert parser.parse_args(["--dialects", "json, eot"]).dialects == {"json", "eot"}


def test_an_address_to_bind_has_no_port(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--bind", "127.0.0.1:80"])
    assert "'127.0.0.1:80' has a port: give that with --port" in capsys.readouterr().err


def test_an_unknown_dialect_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--dialects", "json,morse"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "serve: error: argument --dialects: there is no dialect 'morse'; "
        "there are comet, eot, json, ndsp, websocket"
    )


def test_another_programs_options_must_leave_an_address(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    with pytest.raises(SystemExit) as ended:
        listen_options(parser, parser.parse_args(["--no-localhost-bind"]))
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "serve: error: --no-localhost-bind leaves nothing to listen on: give --bind"
    )


def test_messages_of_several_lines_are_counted_and_long_lines_cut() -> None:
    """A controller manager takes the lines of one message together, none over 64 KiB."""
    formatter = ArtiqFormatter(logging.BASIC_FORMAT)

    def written(message: str) -> str:
        record = logging.LogRecord("dds.lock", logging.ERROR, "", 0, message, None, None)
        return formatter.format(record)

    assert written("lost: no light") == "ERROR:dds.lock:lost: no light"
    assert written("lost\nno light\n") == "ERROR<3>:dds.lock:lost\nno light\n"
    lines = written("\N{GREEK SMALL LETTER MU}" * 70_000 + "\nµ").split("\n")
    assert [len(line) for line in lines] == [MAX_LOG_LINE + len("<2>"), 1]
    assert MAX_LOG_LINE * 4 + len("<99999>") < 1 << 16

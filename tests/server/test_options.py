"""The options of server programs."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import pytest

from artiq_link.server.options import (
    DEFAULT_PORT,
    add_server_options,
    listen_options,
    parse_server_options,
)
from tests.server.logged import fresh_root_logger


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
        (
            ["--origin", "lab-pc:8080"],
            "server.py: error: argument --origin: 'lab-pc:8080' is no origin as browsers write it,"
            " such as http://lab-pc:8080",
        ),
        (
            ["--origin", "http://lab-pc:8080/"],
            "server.py: error: argument --origin: 'http://lab-pc:8080/' is no origin as browsers "
            "write it, such as http://lab-pc:8080",
        ),
        (
            ["--host-name", "http://lab-pc"],
            "server.py: error: argument --host-name: 'http://lab-pc' is no host: expected a name"
            " or an address",
        ),
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


def test_another_program_can_take_the_options() -> None:
    parser = argparse.ArgumentParser()
    add_server_options(parser, port=4000)
    chosen = "--bind 10.0.0.1 --debug -v --dialects json,ndsp --telnet --quit-stops"
    chosen += " --journal here.sqlite --journal-sync --journal-days 0.5 --journal-mib 2 --restore"
    chosen += " --announce"
    files = ["server.pem", "server.key", "clients.pem"]
    more = [
        "--origin",
        "http://lab-pc:8080",
        "--origin",
        "null",
        "--host-name",
        "lab-pc",
        "--ssl",
        *files,
    ]
    options = parser.parse_args([*chosen.split(), *more, "--token-file", "tokens"])
    assert listen_options(parser, options) == {
        "host": [*LOCALHOST, "10.0.0.1"],
        "port": 4000,
        "debug": True,
        "dialects": {"json", "ndsp"},
        "telnet": True,
        "quit_stops": True,
        "origins": ["http://lab-pc:8080", "null"],
        "journal": "here.sqlite",
        "journal_sync": True,
        "journal_age": 43200.0,
        "journal_size": 2 * 1024 * 1024,
        "host_names": ["lab-pc"],
        "ssl": files,
        "token_file": "tokens",
        "open_to_all": False,
        "restore": True,
        "announce": True,
    }


def test_the_journal_is_kept_unless_it_is_refused() -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    assert listen_options(parser, parser.parse_args([]))["journal"] is True
    options = parser.parse_args(["--journal", "none"])
    assert listen_options(parser, options)["journal"] is False


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "many"])
def test_what_is_no_time_or_size_of_a_journal_is_refused(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser("serve")
    add_server_options(parser)
    for option in ("--journal-days", "--journal-mib"):
        with pytest.raises(SystemExit):
            parser.parse_args([f"{option}={wrong}"])
        assert f"argument {option}: {wrong!r} is not a number above 0" in capsys.readouterr().err


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
        "there are comet, eot, http, json, ndsp, sync_struct, websocket"
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

"""``artiq-link history``: what became of the exchanges, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from artiq_link import Link, LinkServer
from artiq_link.cli import history
from artiq_link.cli.exit_codes import PIPE_CLOSED
from artiq_link.cli.history import line_of
from artiq_link.cli.times import age
from tests.conftest import PATIENCE
from tests.programs import finish, first_line, running

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


@pytest.fixture
def port(serve: Serve, tmp_path: Path) -> int:
    """The port of a server with a journal of three exchanges."""
    server = serve(journal=tmp_path / "journal.sqlite")
    link = Link(port=server.port, link={"rid": 7})
    link.call("set_frequency", channel=0, frequency=80e6)
    link.send({"command_id": "set_frequency", "channel": 0, "frequency": 1e9})
    link.send({"command_id": "set_freqency"})
    return server.port


def test_each_exchange_is_a_line_for_people(run: Run, port: int) -> None:
    code, printed, errors = run("history", port=port)
    assert (code, errors) == (0, "")
    times = r"; waited [\d.]+ .?s( took [\d.]+ .?s)?"
    lines = [re.sub(times, "", line) for line in printed.splitlines()]
    assert [re.sub(r"^[-\d]+ [:.\d]+ 127\.0\.0\.1:\d+ ", "", line) for line in lines] == [
        'rid 7: set_frequency channel=0 frequency=80000000.0 -> done: {"frequency": 80000000.0}',
        "rid 7: set_frequency channel=0 frequency=1000000000.0 -> failed: out_of_range: "
        "frequency: 1e9 Hz is above the limit of 4e8 Hz",
        "rid 7: set_freqency -> refused: unknown_command: there is no command 'set_freqency'; "
        "did you mean 'set_frequency'?",
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--failed"], [2, 3]),
        (["--command", "set_frequency"], [1, 2]),
        (["--rid", "7"], [1, 2, 3]),
        (["--rid", "8"], []),
        (["--since", "1h"], [1, 2, 3]),
        (["--slow", "1h"], []),
        (["--slow", "0.001ms"], [1, 2, 3]),
        (["--limit", "2"], [2, 3]),
        (["--limit", "1", "--since", "1h"], [3]),
    ],
)
def test_what_is_looked_for_is_listed(
    run: Run, port: int, options: list[str], expected: list[int]
) -> None:
    code, printed, _ = run("history", "--json", *options, port=port)
    assert code == 0
    assert [json.loads(line)["n"] for line in printed.splitlines()] == expected


def test_a_time_of_day_is_the_last_one() -> None:
    now = datetime.now()
    for ago in (timedelta(hours=3), timedelta(hours=20)):
        at = datetime.fromtimestamp(int(now.timestamp() - ago.total_seconds()))
        for text in (f"{at:%H:%M:%S}", f"{at:%Y-%m-%dT%H:%M:%S}", str(at)):
            assert age(text) == pytest.approx(ago.total_seconds(), abs=PATIENCE)
    assert age("2h") == 7200
    assert age(f"{now + timedelta(days=1):%Y-%m-%d}") == 0
    for text in ("soon", "25:00", "21:00Z", "2026-13-01", "5"):
        with pytest.raises(ArgumentTypeError, match=r"is no time such as .*, 2d, 21:00"):
            age(text)


def test_more_is_asked_for_page_by_page(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE", 1)
    _, printed, _ = run("history", "--json", "--limit", "2", port=port)
    assert [json.loads(line)["n"] for line in printed.splitlines()] == [2, 3]
    _, printed, _ = run("history", "--json", port=port)
    assert [json.loads(line)["n"] for line in printed.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "count"),
    [(["--since", "1h"], 3), (["--csv"], 1 + 3), (["--csv", "--failed"], 1 + 2)],
)
def test_all_are_listed_for_a_time_and_in_a_table(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch, options: list[str], count: int
) -> None:
    """What is kept of a server's days must not end with the newest."""
    monkeypatch.setattr(history, "LISTED", 1)
    monkeypatch.setattr(history, "PAGE", 1)
    assert run("history", port=port)[1].count("\n") == 1
    lines = run("history", *options, port=port)[1].splitlines()
    assert len(lines) == count
    assert "set_freqency" in lines[-1]


def test_other_programs_get_a_table(run: Run, port: int) -> None:
    _, printed, _ = run("history", "--csv", port=port)
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [row["outcome"] for row in rows] == ["done", "failed", "refused"]
    assert rows[0]["parameters"] == '{"channel": 0, "frequency": 80000000.0}'
    assert set(history.COLUMNS) == set(rows[0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--since", "soon"], "'soon' is no time such as 100ms, 90s, 15min, 1h, 2d"),
        (["--slow", "5"], "'5' is no time such as 100ms, 90s, 15min, 1h, 2d"),
        (["--limit", "0"], "argument --limit: '0' is not a whole number from 1"),
        (["--csv", "--json"], "--csv and --json exclude each other"),
    ],
)
def test_what_cannot_be_listed_is_told(run: Run, options: list[str], sentence: str) -> None:
    code, printed, errors = run("history", *options)
    assert (code, printed) == (2, "")
    assert sentence in errors


def test_a_server_without_a_journal_is_told_from_one_without_exchanges(
    run: Run, serve: Serve, tmp_path: Path
) -> None:
    sentence = "the server keeps no journal in a file\n"
    assert run("history", port=serve().port) == (0, "", sentence)
    assert run("history", port=serve(journal=tmp_path / "j.sqlite").port) == (0, "", "")


def test_a_line_cannot_be_forged() -> None:
    """New lines and escape sequences are shown, not obeyed."""
    entry: dict[str, Any] = {
        "received": 0.0,
        "peer": "127.0.0.1:1",
        "command": "x\n1970 done",
        "parameters": {"\x1b[2J": "\r"},
        "outcome": "unknown",
    }
    line = line_of(entry)
    assert "\n" not in line
    assert "\x1b" not in line
    assert r"x\n1970 done \x1b[2J=\r -> unknown" in line


def test_what_ends_later_is_followed(port: int) -> None:
    command = (sys.executable, "-m", "artiq_link", "history", "--follow", "--json")
    with running(*command, "--port", str(port)) as process:
        assert [json.loads(first_line(process))["n"] for _ in range(3)] == [1, 2, 3]
        Link(port=port).call("count")
        assert json.loads(first_line(process))["command"] == "count"
        process.terminate()
        finish(process)


def test_who_stops_reading_is_no_error(port: int) -> None:
    """As ``artiq-link history | head`` does."""
    command = (sys.executable, "-m", "artiq_link", "history", "--follow")
    with running(*command, "--port", str(port)) as process:
        first_line(process)
        assert process.stdout is not None
        process.stdout.close()
        for _ in range(2):
            Link(port=port).call("count")
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait() == PIPE_CLOSED

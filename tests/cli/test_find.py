"""``artiq-link find``: what is printed of the lab PCs that were found."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import pytest

from artiq_link.cli import find as find_module
from artiq_link.cli.find import Found
from artiq_link.server.announce import Announcement
from tests.exchanges.asking import on_loop
from tests.server.test_announce import LOOPBACK, TEXTS, found_at, free_port

Run = Callable[..., tuple[int, str, str]]

FOUND = [
    Found("lab-pc 65432", ["192.168.1.5:65432"], ["dds", "laser"], "token", "0.1.0"),
    Found("other 65432", ["192.168.1.6:65432", "[fd00::6]:65432"], [], "none", "0.1.0"),
]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Found]], None]:
    """Have the network answer so; test_announce.py looks for real ones."""

    def finds(found: list[Found]) -> None:
        async def find(seconds: float, interfaces: Sequence[str] | None = None) -> list[Found]:
            return found

        monkeypatch.setattr(find_module, "find", find)

    return finds


def test_each_lab_pc_has_a_line(run: Run, finds: Callable[[list[Found]], None]) -> None:
    finds(FOUND)
    assert run("find") == (
        0,
        "lab PC         address                             instruments   asks for   version\n"
        "lab-pc 65432   192.168.1.5:65432                   dds laser     token      0.1.0\n"
        "other 65432    192.168.1.6:65432 [fd00::6]:65432                 none       0.1.0\n",
        "",
    )


def test_programs_get_json(run: Run, finds: Callable[[list[Found]], None]) -> None:
    finds(FOUND)
    code, output, _ = run("find", "--json")
    assert (code, json.loads(output)) == (0, [each._asdict() for each in FOUND])


def test_nobody_is_said(run: Run, finds: Callable[[list[Found]], None]) -> None:
    finds([])
    assert run("find") == (
        0,
        "",
        "nobody answers: servers announce themselves with --announce\n",
    )
    assert run("find", "--json")[1].strip() == "[]"


def test_without_its_package_it_says_what_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    code, output, errors = run("find")
    assert (code, output) == (2, "")
    assert errors.startswith("to announce and to find lab PCs needs zeroconf: install it with ")


@on_loop
async def test_what_others_announce_commands_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    hostile = {**TEXTS, "instruments": "\x1b[2J,a\nb", "proof": "\u202e"}
    announcement = Announcement(LOOPBACK, port, hostile)
    announcement.begin()
    found = await found_at(port)
    await announcement.end()
    find_module._print(found)
    output = capsys.readouterr().out
    assert "\\x1b[2J a\\nb" in output
    assert "\x1b" not in output
    assert len(output.splitlines()) == 2

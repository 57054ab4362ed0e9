"""Tab completion, in a real bash in a real terminal, of what a running server has."""

from __future__ import annotations

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from artiq_link import LinkServer, command
from artiq_link.cli.completion import complete_command, complete_parameter
from tests.cli.terminals import Terminal, in_terminal
from tests.conftest import Probe
from tests.scripted_server import free_port

Serve = Callable[..., LinkServer]


class Shutter(Probe):
    """The probe with something to choose."""

    @command
    def switch(self, on: bool, how: Literal["fast", "slow"] = "fast") -> None:
        """Open or close."""


@pytest.fixture
def bash(serve: Serve) -> Iterator[Terminal]:
    """A bash with completion switched on as docs/tutorial.md says."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ARTIQ_LINK_PORT": str(serve({"dds": Shutter()}).port),
        "PS1": "> ",
        "INPUTRC": os.devnull,
        "TERM": "dumb",
    }
    with in_terminal(
        "bash", "--norc", "--noprofile", "-i", columns=200, environment=environment
    ) as terminal:
        terminal.type("bind 'set enable-bracketed-paste off'\n")
        terminal.type('eval "$(register-python-argcomplete artiq-link)"; echo is "on"\n')
        terminal.wait_for("is on\r\n")
        yield terminal


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("artiq-link des", "cribe "),
        ("artiq-link send set_f", "requency "),
        ("artiq-link send dds.set_f", "requency "),
        ("artiq-link send link.statu", "s "),
        ("artiq-link describe set_f", "requency "),
        ("artiq-link send set_frequency cha", "nnel="),
        ("artiq-link send set_frequency channel=0 ", "frequency="),
        ("artiq-link send switch on=of", "f "),
        ("artiq-link send switch on=off how=s", "low "),
        ("artiq-link send --js", "on "),
    ],
)
def test_bash_completes(bash: Terminal, typed: str, completed: str) -> None:
    bash.type(f"{typed}\t")
    bash.wait_for(typed)
    bash.wait_for(completed)


def options(port: int, **members: object) -> Namespace:
    return Namespace(host="127.0.0.1", port=port, ssl=None, token_file=None, **members)


def test_names_of_several_instruments_are_whole(serve: Serve, probe: Probe) -> None:
    port = serve({"one": probe, "two": Probe()}).port
    names = complete_command("", options(port))
    assert "count" not in names
    assert {"one.count", "two.count", "link.ping"} <= set(names)


def test_without_a_server_there_is_nothing_to_choose() -> None:
    with free_port() as port:
        assert complete_command("", options(port)) == []
        assert complete_parameter("", options(port, command_id="count", parameters=[])) == []


def test_a_wrong_address_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTIQ_LINK_PORT", "none")
    assert complete_command("", Namespace(host=None, port=None)) == []

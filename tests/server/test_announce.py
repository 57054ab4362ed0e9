"""Announcements, over multicast DNS on this computer's loopback."""

from __future__ import annotations

import gc
import logging
import socket
import sys

import pytest

from artiq_link import LinkServer, serve_in_background
from artiq_link.cli.find import Found, find
from artiq_link.server.addresses import CannotListen
from artiq_link.server.announce import Announcement, reachable
from tests.conftest import Probe
from tests.exchanges.asking import on_loop

LOOPBACK = ["127.0.0.1"]
TEXTS = {"version": "1.2.3", "instruments": "dds,laser", "proof": "token"}


def free_port() -> int:
    """One that nobody has: several tests announce at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def found_at(port: int, count: int = 1) -> list[Found]:
    """What is found with this port, as soon as it is as many."""
    while True:
        found = [each for each in await find(0.5, LOOPBACK) if f":{port}" in each.addresses[0]]
        if len(found) == count:
            return found


@on_loop
async def test_what_is_announced_is_found_until_it_ends() -> None:
    port = free_port()
    announcement = Announcement(LOOPBACK, port, TEXTS)
    announcement.begin()
    host = socket.gethostname().partition(".")[0]
    assert await found_at(port) == [
        Found(f"{host} {port}", [f"127.0.0.1:{port}"], ["dds", "laser"], "token", "1.2.3")
    ]
    await announcement.end()
    assert await found_at(port, 0) == []


@on_loop
async def test_of_two_with_one_name_the_second_gets_a_number() -> None:
    """Two computers that were installed from one image."""
    port = free_port()
    announcements = [Announcement(LOOPBACK, port, TEXTS) for _ in range(2)]
    announcements[0].begin()
    await found_at(port)
    announcements[1].begin()
    names = [each.name for each in await found_at(port, 2)]
    for announcement in announcements:
        await announcement.end()
    assert names[1] == f"{names[0]}-2"


@on_loop
async def test_long_names_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred instruments, and a computer with the longest name."""
    monkeypatch.setattr(socket, "gethostname", lambda: "ü" * 60 + ".example.org")
    port = free_port()
    names = ",".join(f"instrument{n}" for n in range(100))
    announcement = Announcement(LOOPBACK, port, {**TEXTS, "instruments": names})
    announcement.begin()
    (found,) = await found_at(port)
    await announcement.end()
    assert found.name == "ü" * 26 + f" {port}"
    assert found.instruments[:2] == ["instrument0", "instrument1"]
    assert 15 < len(found.instruments) < 25


@on_loop
async def test_an_end_before_it_was_said_is_one() -> None:
    announcement = Announcement(LOOPBACK, free_port(), TEXTS)
    announcement.begin()
    await announcement.end()
    await Announcement(LOOPBACK, free_port(), TEXTS).end()


# zeroconf leaves a socket to the garbage collector there.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@on_loop
async def test_without_a_network_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    announcement = Announcement(["192.0.2.77"], 1, TEXTS)
    announcement.begin()
    assert announcement._task is not None
    await announcement._task
    await announcement.end()
    gc.collect()
    assert caplog.text.count("not announced: ") == 1
    assert "Errno" not in caplog.text


def test_addresses_are_those_that_others_reach() -> None:
    assert reachable(["127.0.0.1", "::1", "192.0.2.5", "fe80::1%eth0", "fd00::2"]) == [
        "192.0.2.5",
        "fd00::2",
    ]
    assert reachable(["127.0.0.2"]) == []


def test_a_wildcard_is_all_addresses_of_its_kind() -> None:
    """But for those that mean nothing elsewhere."""
    every = reachable(["0.0.0.0", "::"])
    assert set(reachable(["0.0.0.0"])) == {each for each in every if ":" not in each}
    assert set(reachable(["::"])) == {each for each in every if ":" in each}
    assert not any(each.startswith(("127.", "::1", "fe80")) for each in every)


def test_a_server_announces_itself_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its instruments, and what it asks for; nothing that a token's file holds."""
    monkeypatch.setattr("artiq_link.server.server.reachable", lambda listened: LOOPBACK)
    found: list[Found] = []

    @on_loop
    async def look(port: int, count: int) -> None:
        found[:] = await found_at(port, count)

    with serve_in_background({"dds": Probe()}, announce=True, open_to_all=True) as server:
        look(server.port, 1)
        assert (found[0].instruments, found[0].proof) == (["dds"], "none")
    look(server.port, 0)


def test_what_listens_on_loopback_alone_is_not_announced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serve_in_background({"dds": Probe()}, announce=True):
        pass
    assert "not announced: no other computer can reach it, see --bind" in caplog.text


def test_nothing_is_announced_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "artiq_link.server.announce")
    with serve_in_background({"dds": Probe()}) as server:
        assert isinstance(server, LinkServer)
    assert "announced" not in caplog.text


def test_without_its_package_a_server_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any hardware is touched."""
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(CannotListen, match="needs zeroconf: install it with") as raised:
        with serve_in_background({"dds": Probe()}, announce=True):
            pass
    assert str(raised.value) == (
        "to announce and to find lab PCs needs zeroconf: install it with "
        "'python -m pip install zeroconf', or artiq-link with its extra 'discovery'"
    )

"""Addresses: what is listened on, and what is said where that cannot be."""

from __future__ import annotations

import errno
import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from artiq_link.server.addresses import (
    FREE_PORT_TRIES,
    CannotListen,
    format_address,
    is_loopback,
    listen,
)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes the sockets of a test; one that the code under test forgot is a warning."""
    with ExitStack() as stack:
        yield stack
    gc.collect()


def names(sockets: list[socket.socket], opened: ExitStack) -> list[str]:
    """Note sockets for closing and return the addresses they listen on."""
    for listener in sockets:
        opened.enter_context(listener)
    return [listener.getsockname()[0] for listener in sockets]


def port_of(sockets: list[socket.socket]) -> int:
    ports: set[int] = {listener.getsockname()[1] for listener in sockets}
    [port] = ports
    return port


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 65432), "127.0.0.1:65432"),
        (("::1", 65432, 0, 0), "[::1]:65432"),
        (("localhost", 0), "localhost:0"),
    ],
)
def test_an_address_is_written(address: tuple[Any, ...], text: str) -> None:
    assert format_address(address) == text


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_every_host_is_listened_on_at_one_free_port(opened: ExitStack) -> None:
    sockets = listen(["127.0.0.1", "127.0.0.2"], 0)
    assert names(sockets, opened) == ["127.0.0.1", "127.0.0.2"]
    port = port_of(sockets)
    assert port != 0
    for host in ("127.0.0.1", "127.0.0.2"):
        socket.create_connection((host, port), 10).close()


def test_a_host_named_twice_is_listened_on_once(opened: ExitStack) -> None:
    assert names(listen(["127.0.0.1", "127.0.0.1"], 0), opened) == ["127.0.0.1"]


def test_brackets_around_ipv6_are_taken_off(opened: ExitStack) -> None:
    """A computer without IPv6 has the first alone."""
    found = names(listen(["127.0.0.1", "[::1]"], 0), opened)
    assert found in (["127.0.0.1", "::1"], ["127.0.0.1"])


@pytest.mark.parametrize("hosts", [["0.0.0.0"], ["127.0.0.1", "0.0.0.0"]])
def test_a_wildcard_covers_its_family(hosts: list[str], opened: ExitStack) -> None:
    assert names(listen(hosts, 0), opened) == ["0.0.0.0"]


def test_a_star_is_every_address_at_one_port(opened: ExitStack) -> None:
    """A computer without IPv6 has the first alone."""
    sockets = listen(["127.0.0.1", "::1", "*"], 0)
    found = names(sockets, opened)
    port_of(sockets)
    assert found in (["0.0.0.0", "::"], ["0.0.0.0"])


def test_a_taken_port_is_named(opened: ExitStack) -> None:
    taken = listen(["127.0.0.1"], 0)
    names(taken, opened)
    with pytest.raises(CannotListen) as caught:
        listen(["127.0.0.1"], port_of(taken))
    reason = os.strerror(errno.EADDRINUSE)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port_of(taken)}: {reason}; is the server running already?"
    )


def test_nothing_stays_open_where_one_address_is_taken(opened: ExitStack) -> None:
    taken = listen(["127.0.0.2"], 0)
    names(taken, opened)
    port = port_of(taken)
    with pytest.raises(CannotListen):
        listen(["127.0.0.1", "127.0.0.2"], port)
    names(listen(["127.0.0.1"], port), opened)


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        (
            "127.0.0.1",
            65536,
            "cannot listen on port 65536: ports go from 0 to 65535",
        ),
        ("127.0.0.1", -1, "cannot listen on port -1: ports go from 0 to 65535"),
        ("127.0.0.1", "65432", "cannot listen on port '65432': ports go from 0 to 65535"),
        (
            "192.0.2.1",  # of the documentation's network, RFC 5737: nobody's
            0,
            f"cannot listen on 192.0.2.1:0: {os.strerror(errno.EADDRNOTAVAIL)}",
        ),
    ],
)
def test_an_address_that_cannot_be_is_named(
    host: str, port: int, sentence: str, opened: ExitStack
) -> None:
    with pytest.raises(CannotListen) as caught:
        listen([host], port)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("host", ["", "a..b"])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(CannotListen) as caught:
        listen([host], 0)
    assert str(caught.value).startswith(f"cannot listen on {host!r}: ")
    assert len(str(caught.value)) > len(f"cannot listen on {host!r}: ")


class Neighbour:
    """Another program, which takes the ports that the first address was given on the second.

    It stands where `socket.create_server` does, calls the real one, and really listens.
    """

    def __init__(self, opened: ExitStack, times: int) -> None:
        self.times = times
        self._opened = opened
        self._taken: set[int] = set()
        self._create_server = socket.create_server

    def create_server(self, address: tuple[str, int], **options: Any) -> socket.socket:
        listener = self._create_server(address, **options)
        if address[1] == 0 and self.times > 0:
            self.times -= 1
            port = listener.getsockname()[1]
            # The system may give the same free port again.
            if port not in self._taken:
                self._taken.add(port)
                self._opened.enter_context(self._create_server(("127.0.0.2", port)))
        return listener


@pytest.mark.parametrize("times", [1, FREE_PORT_TRIES - 1])
def test_a_free_port_is_looked_for_again_where_it_is_taken_elsewhere(
    times: int, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbour = Neighbour(opened, times)
    monkeypatch.setattr(socket, "create_server", neighbour.create_server)
    sockets = listen(["127.0.0.1", "127.0.0.2"], 0)
    assert names(sockets, opened) == ["127.0.0.1", "127.0.0.2"]
    port_of(sockets)
    assert neighbour.times == 0


def test_the_search_for_a_free_port_ends(
    opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_server", Neighbour(opened, FREE_PORT_TRIES).create_server)
    with pytest.raises(CannotListen) as caught:
        listen(["127.0.0.1", "127.0.0.2"], 0)
    assert str(caught.value) == "found no port that is free on all of 127.0.0.1, 127.0.0.2"


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_computer_without_ipv6_listens_on_ipv4(
    number: int, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_server = socket.create_server

    def without_ipv6(address: tuple[str, int], *, family: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6 here")
        return create_server(address, family=family)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    assert names(listen(["127.0.0.1", "::1"], 0), opened) == ["127.0.0.1"]
    with pytest.raises(CannotListen) as caught:
        listen(["::1"], 0)
    assert str(caught.value) == f"cannot listen on [::1]:0: {os.strerror(number)}"

"""Web pages: foreign ones stay out, the server's own come under a name that is its own."""

from __future__ import annotations

import pytest

from artiq_link.wire.base import WireOptions
from artiq_link.wire.origins import host_of, is_own, origins_of

OPTIONS = WireOptions(host_names=("Lab-PC.local",), origins=("https://desk.example",))


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("localhost:65432", True),
        ("127.0.0.1:65432", True),
        ("192.168.1.20", True),
        ("[::1]:65432", True),
        ("[fe80::1]", True),
        ("lab-pc.local:65432", True),
        ("lab-pc.local", True),
        ("lab-pc.local.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:65432", False),
        ("[::1].evil.example", True),  # no browser has such a name
        ("127.1", False),
        ("2130706433", False),
        ("", False),
        (":65432", False),
        ("lab-pc.local@evil.example", False),
    ],
)
def test_names_that_are_the_servers_own(host: str, own: bool) -> None:
    """Nobody else can have pointed them here."""
    assert is_own(host, OPTIONS) is own


def test_origins() -> None:
    """Those that the keeper admits, and that of the very port, under an own name."""
    assert origins_of("evil.example:65432", OPTIONS) == ["https://desk.example"]
    assert origins_of(None, OPTIONS) == ["https://desk.example"]
    assert origins_of("lab-pc.local:65432", OPTIONS) == [
        "https://desk.example",
        "http://lab-pc.local:65432",
        "https://lab-pc.local:65432",
    ]


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ([], None),
        (["a", "b"], None),
        ([" Lab-PC.local:80 "], "lab-pc.local:80"),
    ],
)
def test_the_host_that_is_asked_for(headers: list[str], host: str | None) -> None:
    assert host_of(headers) == host

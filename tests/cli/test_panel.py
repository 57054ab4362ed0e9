"""``artiq-link panel``: the address that it prints, and the browser that it opens."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from artiq_link import Link, LinkServer
from artiq_link.cli.panel import address_of

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser is asked to open; none is there."""
    addresses: list[str] = []

    def open_page(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    return addresses


def test_the_panel_is_opened(run: Run, port: int, opened: list[str]) -> None:
    address = f"http://127.0.0.1:{port}/"
    assert run("panel", port=port) == (0, f"{address}\n", "")
    assert opened == [address]
    assert run("panel", "--json", port=port) == (0, f'{{"address": "{address}"}}\n', "")


def test_nobody_serves_there(run: Run, serve: Serve, opened: list[str]) -> None:
    code, printed, errors = run("panel", port=1)
    assert (code, printed) == (2, "")
    assert errors.startswith("could not connect to 127.0.0.1:1: ")
    assert opened == []


def test_a_server_that_asks_for_a_token(
    run: Run, serve: Serve, elsewhere: str, token_file: str, opened: list[str]
) -> None:
    """Its panel asks for it."""
    server = serve(host=elsewhere, token_file=token_file)
    assert run("panel", "--host", elsewhere, port=server.port)[0] == 0
    assert opened == [f"http://{elsewhere}:{server.port}/"]


def test_a_computer_without_a_browser(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    code, printed, errors = run("panel", port=port)
    assert (code, printed) == (0, f"http://127.0.0.1:{port}/\n")
    assert errors == "there is no browser here: open the address in one\n"


@pytest.mark.parametrize(
    ("host", "is_secure", "address"),
    [
        ("lab-pc", False, "http://lab-pc:65432/"),
        ("::1", False, "http://[::1]:65432/"),
        ("192.168.1.20", True, "https://192.168.1.20:65432/"),
    ],
)
def test_addresses(host: str, is_secure: bool, address: str) -> None:
    assert address_of(Link(host), is_secure=is_secure) == address

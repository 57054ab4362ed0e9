"""``artiq-link gui``: what it hands to the desktop client, which has tests of its own."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]


def test_the_port_is_the_desktop_clients(run: Run) -> None:
    """Refused there before a window opens, with its exit code."""
    assert run("gui", "--port", "70000") == (2, "", "port: expected 1 to 65535, got 70000\n")


def test_a_host_has_no_port(run: Run) -> None:
    code, _, errors = run("gui", "--host", "lab-pc:4000")
    assert (code, errors.splitlines()[-1]) == (
        2,
        "artiq-link gui: error: argument --host: 'lab-pc:4000' has a port: give that with --port",
    )

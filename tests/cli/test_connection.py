"""The options and the variables that say where the server is."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable

import pytest

from artiq_link.cli.connection import (
    HOST_VARIABLE,
    PORT_VARIABLE,
    add_connection_options,
    link_to,
)

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("host", ["::1", "[::1]", "fe80::1:65432"])
def test_an_address_of_ipv6_is_a_host_without_a_port(host: str) -> None:
    parser = argparse.ArgumentParser()
    add_connection_options(parser)
    assert link_to(parser.parse_args(["--host", host, "--port", "4000"])).host == host


@pytest.mark.parametrize("host", ["127.0.0.1:65432", "[::1]:65432"])
def test_a_port_is_no_part_of_the_host(run: Run, host: str) -> None:
    code, _, errors = run("ping", "--host", host)
    assert (code, errors.splitlines()[-1]) == (
        2,
        f"artiq-link ping: error: argument --host: {host!r} has a port: give that with --port",
    )


@pytest.mark.parametrize(
    "arguments",
    [("send", "count"), ("send", "-"), ("describe",), ("status",), ("ping",)],
    ids=" ".join,
)
def test_the_environment_names_the_server(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "127.0.0.1")
    monkeypatch.setenv(PORT_VARIABLE, str(port))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"command_id": "count"}')))
    assert run(*arguments)[0] == 0


def test_the_options_win(run: Run, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the variables are."""
    monkeypatch.setenv(HOST_VARIABLE, "lab-pc:1")
    monkeypatch.setenv(PORT_VARIABLE, "none")
    assert run("send", "count", "--host", "127.0.0.1", port=port) == (0, "0\n", "")


def test_an_empty_variable_names_nothing(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "")
    assert run("send", "count", port=port) == (0, "0\n", "")


@pytest.mark.parametrize("action", ["ping", "gui"])
@pytest.mark.parametrize(
    ("variable", "value", "wrong"),
    [
        (HOST_VARIABLE, "lab-pc:65432", "'lab-pc:65432' has a port: give that with --port"),
        *(
            (PORT_VARIABLE, port, f"{port!r} is not a port from 1 to 65535")
            for port in ("0", "65536", "http", "-1", "\N{SUPERSCRIPT TWO}", "9" * 50)
        ),
    ],
)
def test_a_wrong_variable_is_named(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    variable: str,
    value: str,
    wrong: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert run(action) == (2, "", f"the environment variable {variable}: {wrong}\n")

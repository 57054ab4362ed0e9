"""The options that say where the server is."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from artiq_link.cli.connection import add_connection_options, link_to

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

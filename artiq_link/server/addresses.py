"""Addresses to listen on: names resolved, wildcards, and one port for all of them."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from typing import Any

LAST_PORT = 65535
"""TCP has 16 bits for it (RFC 9293, 3.1)."""

FREE_PORT_TRIES = 20
"""A port that is free on one address may be taken on another."""

_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class CannotListen(OSError):
    """An address cannot be listened on; the text says which, and why."""


class _PortTaken(Exception):
    """The free port of the first address is taken on another."""


def format_address(address: tuple[Any, ...]) -> str:
    """Write a socket's address as ``host:port``, with brackets around IPv6."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this computer reaches the numeric address `host`."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def listen(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Open a listening socket for each address of `hosts`, all on one port; ``"*"`` is all.

    Port 0 is a free one. Raises `CannotListen`. A computer without IPv6 is no error where IPv4
    addresses are asked for as well.
    """
    if not isinstance(port, int) or not 0 <= port <= LAST_PORT:
        raise CannotListen(f"cannot listen on port {port!r}: ports go from 0 to {LAST_PORT}")
    addresses = _resolve(hosts)
    if not addresses:
        raise CannotListen("there is no address to listen on")
    for _ in range(FREE_PORT_TRIES):
        try:
            return _listen_on(addresses, port)
        except _PortTaken:
            continue
    raise CannotListen(f"found no port that is free on all of {', '.join(hosts)}")


def _listen_on(
    addresses: Sequence[tuple[socket.AddressFamily, str]], port: int
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    chosen = port
    try:
        for family, host in addresses:
            try:
                listener = socket.create_server((host, chosen), family=family)
                sockets.append(listener)
                # Connections inherit it: a peer that vanished without a word (power, cable) is
                # noticed at last.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            except OSError as error:
                number = error.errno
                if sockets and family == socket.AF_INET6 and number in _NO_IPV6:
                    continue
                if sockets and port == 0 and number == errno.EADDRINUSE:
                    raise _PortTaken from None
                where = format_address((host, chosen))
                reason = str(error) if number is None else os.strerror(number)
                if number == errno.EADDRINUSE:
                    reason += "; is the server running already?"
                raise CannotListen(f"cannot listen on {where}: {reason}") from None
            chosen = sockets[0].getsockname()[1]
    except BaseException:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _resolve(hosts: Sequence[str]) -> list[tuple[socket.AddressFamily, str]]:
    """Look the hosts up; an address that a wildcard of its family covers is left out."""
    found: dict[tuple[socket.AddressFamily, str], None] = {}
    for host in hosts:
        if host == "*":
            found[socket.AF_INET, "0.0.0.0"] = found[socket.AF_INET6, "::"] = None  # noqa: S104
            continue
        try:
            # Brackets as in URLs (RFC 3986, 3.2.2).
            results = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            reason = error.args[-1] if isinstance(error, socket.gaierror) else error
            raise CannotListen(f"cannot listen on {host!r}: {reason}") from None
        for family, _, _, _, address in results:
            found[family, str(address[0])] = None
    covered = {family for family, host in found if ipaddress.ip_address(host).is_unspecified}
    return [
        (family, host)
        for family, host in found
        if family not in covered or ipaddress.ip_address(host).is_unspecified
    ]

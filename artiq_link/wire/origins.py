"""Web pages: which may open a WebSocket, and under which names this server shows its own.

Any page can make a browser connect to any address that the browser reaches, also to those of its
own computer; the browser then names the page's origin (RFC 6455, 10.2). A page of this server
itself is admitted under a name that nobody else can have pointed here: with DNS rebinding a
foreign page has the browser take its own name for this server's address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from .base import WireOptions

LOCALHOST = "localhost"

UNKNOWN_NAME = (
    "This server is not known under this name: ask for its address, or have its keeper add the "
    "name with --host-name"
)


def host_of(headers: Sequence[str]) -> str | None:
    """The one value of the header ``Host``: a name or address, and perhaps a port."""
    return headers[0].strip().lower() if len(headers) == 1 else None


def is_own(host: str, options: WireOptions) -> bool:
    """Whether the value of a header ``Host`` is an address, localhost, or one of the names."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == LOCALHOST or name in map(str.lower, options.host_names):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def origins_of(host: str | None, options: WireOptions) -> list[str]:
    """The origins that may open a WebSocket on a connection to `host`."""
    return [*options.origins, *own_origins(host, options)]


def own_origins(host: str | None, options: WireOptions) -> list[str]:
    """The origins of this server's own pages, as it is asked for them by `host`."""
    if host is None or not is_own(host, options):
        return []
    return [f"http://{host}", f"https://{host}"]

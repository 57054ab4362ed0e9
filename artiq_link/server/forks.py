"""Forks: what a command's child, such as one of `multiprocessing`, must not keep of its server.

A child has all that its parent has open, for as long as it lives. After the server's death it
would keep the port taken, where clients then wait for nobody, and open what the server has closed.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterable
from typing import Protocol


class HasSockets(Protocol):
    """What listens and has connections."""

    def descriptors(self) -> Iterable[int]:
        """Its open sockets, by their numbers in the system."""


_servers: weakref.WeakSet[HasSockets] = weakref.WeakSet()


def let_go_in_children(server: HasSockets) -> None:
    """From now on have every forked child let the sockets of `server` go."""
    _servers.add(server)


def _let_go() -> None:
    # Their numbers stay taken: whatever closes them once more in the child closes nothing else.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for server in _servers:
        for descriptor in server.descriptors():
            os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go)

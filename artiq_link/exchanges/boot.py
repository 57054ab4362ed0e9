"""A guard: who talked to an earlier start of the server is told, and nothing runs meanwhile.

The settings that the client relies on may have gone with that start. Whoever names a start is told
the present one's name in the reply.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Restarted
from .exchange import Exchange


def refuse_after_restart(boot: str, acts: Callable[[str], bool]) -> Callable[[Exchange], None]:
    """The guard of the start named `boot`; `acts` says whether a command may change anything."""

    def guard(exchange: Exchange) -> None:
        request = exchange.request
        if request.link.boot is None:
            return
        exchange.boot = boot
        if request.link.boot != boot and acts(request.command_id):
            raise Restarted(
                "the server has started anew: what was set before may be gone; the command was "
                "not executed"
            )

    return guard

"""``link.abort``: ends a command that waits, or that looks whether it is to end."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidParameter, Leased
from ..instrument.command import command
from .exchange import current_exchange
from .link_commands import LinkCommands


class Abort(LinkCommands):
    """The end of a command, as somebody else wants it."""

    act = True

    @command
    def abort(self, id: str) -> dict[str, Any]:
        """End the command of the request with this id.

        One that waits is refused. One that runs is asked to end, which it does where it sleeps or
        looks; whether it can is its instrument's. The client of either is told ``aborted``.
        """
        exchange = self.journal.unended(id)
        if exchange is None:
            raise InvalidParameter(f"id: no request {id!r:.60} waits or runs", "id")
        request, rights = exchange.request, current_exchange().client.rights
        rights.need_control(request.command_id, self.registry.target_of(request))
        if self.leases.is_in_force(exchange.lease) and exchange.lease != current_exchange().lease:
            raise Leased(f"{request.command_id} runs under a lease that is not yours")
        waits = exchange.abort()
        return {
            "command_id": request.command_id,
            "state": "refused" if waits else "running",
        }

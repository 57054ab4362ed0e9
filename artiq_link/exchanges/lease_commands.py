"""``link.acquire``, ``link.renew`` and ``link.release``: to hold an instrument."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ..instrument.command import command
from ..instrument.data import MAX_NAME
from .exchange import current_exchange
from .link_commands import LinkCommands
from .registry import LINK

LONGEST_LEASE = 86400.0
"""Seconds; who needs an instrument for longer renews."""

SHORTEST_LEASE = 0.1
"""Seconds; whoever renews a shorter one does little else."""

LEASES = f"{LINK}.leases"
"""The one worker of all that changes leases: it waits for the journal's file."""

_Seconds = Annotated[float, msgspec.Meta(ge=SHORTEST_LEASE, le=LONGEST_LEASE, extra={"unit": "s"})]
_Owner = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]


class _OfLeases(LinkCommands):
    """What is common to commands on leases."""

    worker = LEASES
    act = True

    def _need_control(self, number: int) -> None:
        """Raise `Unauthorized` where who asks may only watch what the lease holds."""
        if (lease := self.leases.in_force(number)) is not None:
            exchange = current_exchange()
            rights = exchange.client.rights
            rights.need_control(exchange.request.command_id, lease.instrument)


class Acquisitions(_OfLeases):
    """Leases that come and go."""

    @command
    def acquire(
        self, instrument: str, owner: _Owner, seconds: _Seconds, force: bool = False
    ) -> dict[str, Any]:
        """Hold an instrument: the commands of all others are refused until the lease ends.

        The lease is the number that link.lease has to carry from now on; owner is shown to those
        who are refused, until is when it runs out, in s since the epoch. force takes it from
        whoever holds it, whom the result tells as former.
        """
        lease, former = self.leases.acquire(instrument, owner, seconds, force=force)
        told = None if former is None else former.describe()
        return {"lease": lease.number, "until": lease.until, "former": told}

    @command
    def release(self, lease: int) -> None:
        """End a lease before its time, by its number."""
        self._need_control(lease)
        self.leases.release(lease)


class Renewals(_OfLeases):
    """Leases that go on. They count as what only asks, and stand in no journal: there are too many
    of them."""

    act = False

    @command
    def renew(self, lease: int, seconds: _Seconds | None = None) -> dict[str, Any]:
        """Let a lease, by its number, last from now on for so long, or as long as at first."""
        self._need_control(lease)
        return {"until": self.leases.renew(lease, seconds).until}

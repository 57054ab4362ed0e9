"""``link.reopen``: an instrument's hardware is closed and opened again."""

from __future__ import annotations

from ..instrument.command import command
from .exchange import current_exchange
from .link_commands import LinkCommands, in_worker


class Reopen(LinkCommands):
    """Hardware that is opened again, because somebody says that it is there."""

    act = True

    @command
    async def reopen(self, instrument: str) -> None:
        """Close and open an instrument's hardware now, before what waits for it.

        It need not be lost. What is lost is opened again by itself, too, but now and then only.
        Who relies on what was set before is told that it may be gone.
        """
        exchange = current_exchange()
        if instrument not in self.workers:
            raise self.registry.no_instrument(instrument)
        if error := self.leases.refusal(exchange.lease, instrument):
            raise error
        worker = self.workers[instrument]
        await in_worker(worker.submit_first, exchange, worker.reopen)

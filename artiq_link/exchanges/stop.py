"""``link.stop``: the end of the server, as by Ctrl-C."""

from __future__ import annotations

from ..instrument.command import command
from ..loggers import get_logger
from .exchange import current_exchange
from .link_commands import LinkCommands, Parts

logger = get_logger(__name__)


class Stop(LinkCommands):
    """The end of the server, as somebody wants it."""

    act = True

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._stop = parts.stop

    @command
    async def stop(self, at_once: bool = False, wait: bool = False) -> list[str] | None:
        """Stop the server as Ctrl-C does: running commands are finished, instruments closed.

        It is answered at once; with wait when the instruments are closed, by the names of those
        that are not, because a command still runs in them or their close failed. at_once does not
        wait for running commands, as a second Ctrl-C does not: they are asked to end, and the
        instruments of those that do not are not closed.
        """
        client = current_exchange().client
        client.rights.need_end()
        how = ", without waiting for running commands" if at_once else ""
        logger.warning("%s: asked the server to stop%s", client.describe(), how)
        ended = self._stop(at_once)
        if not wait:
            return None
        await ended.wait()
        return [name for name, worker in self.workers.items() if worker.left_open]

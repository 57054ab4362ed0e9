"""``link.state`` and ``link.subscribe``: what is known of the instruments, now and from now on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import Busy, InvalidParameter
from ..instrument.command import command
from .exchange import current_exchange
from .feed import Feed, Kind
from .known_states import Since
from .link_commands import LinkCommands
from .messages import Event
from .worker import Worker

FRESH_TIME = 0.1
"""Seconds that are waited for a state to be read. An instrument that is busy for longer is shown
as it was known last."""

FIRST_TIME = 2.0
"""Seconds that are waited for the first state, of which nothing is known before."""

MAX_LISTENERS = 1024
"""Listeners at once: a quarter of all connections, so that those who listen and never go do not
keep everybody else out."""


async def refresh(feed: Feed, workers: Mapping[str, Worker], names: Iterable[str]) -> None:
    """Have instruments' states read for who looks at them, as far as the instruments have time."""
    feed.look()
    asked = {name: future for name in names if (future := workers[name].ask_for_state())}
    if not asked:
        return
    try:
        await asyncio.wait(asked.values(), timeout=FRESH_TIME)
        states = feed.states()
        unknown = [
            future
            for name, future in asked.items()
            if not (future.done() or states[name].version or _is_busy(workers[name]))
        ]
        if unknown:
            await asyncio.wait(unknown, timeout=FIRST_TIME)
    finally:
        for future in asked.values():
            future.cancel()  # a command may run for long, and many may ask meanwhile


def _is_busy(worker: Worker) -> bool:
    return worker.progress()["command"] is not None


class States(LinkCommands):
    """What is known of the instruments."""

    @command
    async def state(self, instrument: str | None = None) -> dict[str, Any]:
        """Give the newest state of each instrument, or of one, as the instrument itself tells it.

        version grows with each change since the server's start, whose name is boot; time is since
        when it is known, in s since the epoch. An error in the place of a state says why there is
        none. While an instrument is busy, its state is what was known before.
        """
        names = self._names(None if instrument is None else [instrument], "instrument")
        await refresh(self.feed, self.workers, names)
        return self.feed.describe(names)

    @command
    async def subscribe(
        self,
        kinds: list[Kind] = ["state"],  # noqa: B006 a description shows it, and nobody changes it
        instruments: list[str] | None = None,
        since: Since | None = None,
    ) -> dict[str, Any]:
        """Have events sent over this connection from now on, and give the newest states first.

        kinds are what to be told of, instruments those it is about; a later subscription takes
        the place of this one, and one without kinds ends it. since names the states that are known
        from before: of these, what has changed is given, or nothing. For connections that stay
        open, in the dialects that can carry events: WebSocket, and JSON with link.keep.
        """
        exchange = current_exchange()
        client = exchange.client
        names = self._names(instruments, "instruments")
        deliver = client.events_to(exchange.request)
        if deliver is None:
            raise InvalidParameter(
                "link.subscribe: no events can follow on this connection; ask by WebSocket, or in "
                'JSON with "link": {"keep": true}'
            )
        if "state" in kinds:
            await refresh(self.feed, self.workers, names)
        # Others may have come meanwhile.
        if kinds and client.subscription is None and len(self.feed) >= MAX_LISTENERS:
            raise Busy(f"{MAX_LISTENERS} listeners are there already")
        if client.subscription is not None:
            client.subscription.close()
            client.subscription = None
        if kinds and not client.has_ended:
            client.subscription = subscription = self.feed.listen(deliver, kinds, instruments)
            if "progress" in kinds:
                # Behind the answer.
                events = [Event("progress", name, self.describe_progress(name)) for name in names]
                asyncio.get_running_loop().call_soon(subscription.give, events)
        return self.feed.describe(names if "state" in kinds else (), since)

    def _names(self, instruments: Iterable[str] | None, where: str) -> list[str]:
        """The instruments that are asked for in a parameter; raises `InvalidParameter` for one
        that is none."""
        targets = self.registry.targets
        if instruments is None:
            return list(targets)
        names = list(dict.fromkeys(instruments))
        for name in names:
            if name not in targets:
                raise self.registry.no_instrument(name, where)
        return names

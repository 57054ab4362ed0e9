"""What clients are refused and closed for, in the log: a client's first, then how many more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from ..errors import ExchangeError
from ..loggers import get_logger
from .client import Client
from .exchange import REFUSED, Exchange, Moment, observes

PERIOD = 10.0
"""Seconds after which what was not logged one by one is told as a number."""

MAX_ADDRESSES = 100
"""Addresses and kinds that are counted apart; more clients than a lab has are no lab's."""

OTHERS = "other clients"

logger = get_logger(__name__)


class Refusals:
    """Warns of refusals of what was no request, and of clients that take nothing: of those of one
    kind and for one address, of the first in each `PERIOD`.

    The others are counted, and told at the period's end. May be called from any thread, such as
    an instrument's, in which the parts of a batch are refused.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counted: dict[_Key, _Count] = {}
        self._lock = threading.Lock()

    @observes(REFUSED)
    def note(self, exchange: Exchange, moment: Moment) -> None:
        """Be told of an exchange that its wire has refused; one for a command is no warning."""
        if exchange.request.refusal is not None and not exchange.abandoned:
            self.warn(exchange.client, exchange.request.refusal)

    def warn(self, client: Client, error: ExchangeError) -> None:
        """Log that a client was refused, or count it."""
        self._note(client, f"{error.code}: refused", "refused, %s: %s", error.code, error)

    def warn_of_slow(self, client: Client, how_slow: str) -> None:
        """Log that a client was closed because it did not take what it was sent, or count it."""
        self._note(client, "closed for not reading", "closed: %s", how_slow)

    def _note(self, client: Client, kind: str, text: str, *arguments: object) -> None:
        """Log what was done to a client, or count it."""
        address = client.peer.rpartition(":")[0] or client.peer
        key = address, kind
        with self._lock:
            if key not in self._counted and len(self._counted) >= MAX_ADDRESSES:
                key = OTHERS, kind
            count = self._counted.get(key)
            if count is None:
                self._counted[key] = _Count(time.monotonic())
            else:
                count.more += 1
        if count is None:
            self._call_later(key)
            logger.warning(f"%s: {text}", client.describe(), *arguments)

    def close(self) -> None:
        """Tell now what there is to tell."""
        for key in list(self._counted):
            self._tell(key)

    def _call_later(self, key: _Key) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(self._loop.call_later, PERIOD, self._end, key)

    def _end(self, key: _Key) -> None:
        """A period is over; another begins where there was something to tell."""
        if self._tell(key):
            with self._lock:
                self._counted.setdefault(key, _Count(time.monotonic()))
            self._call_later(key)

    def _tell(self, key: _Key) -> bool:
        """Log how many more there were, and forget them; whether there were any."""
        with self._lock:
            count = self._counted.pop(key, None)
        if count is None or not count.more:
            return False
        times = "once more" if count.more == 1 else f"{count.more} more times"
        seconds = time.monotonic() - count.since
        logger.warning("%s: %s %s in %.3g s", *key, times, seconds)
        return True


_Key = tuple[str, str]
"""An address and what was done."""


class _Count:
    """How many there were after the one that was logged."""

    __slots__ = ("more", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.more = 0

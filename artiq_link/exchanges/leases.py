"""Leases: who holds an instrument, and which requests are refused because somebody does.

Who holds it is known by the lease's number alone, and numbers only grow: a client that was stopped
for minutes has an old one when it wakes, and whoever took the instrument meanwhile a higher one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from ..errors import ExchangeError, Leased, Stale
from ..loggers import get_logger
from ..text import clock
from .deadlines import Deadlines
from .exchange import Exchange
from .journal import Journal
from .lease_table import Lease
from .registry import Registry

logger = get_logger(__name__)


class Held(NamedTuple):
    """A lease that has not ended, and when it runs out on `time.monotonic`."""

    lease: Lease
    end: float

    @property
    def is_over(self) -> bool:
        """Whether its time is up; it may take an instant until it is ended."""
        return time.monotonic() >= self.end

    def sentence(self) -> str:
        """Who holds what until when, for people."""
        lease = self.lease
        left = f"{max(0.0, self.end - time.monotonic()):.1f} s"
        holder = f"{lease.owner!r:.80} until {clock(lease.until)}"
        return f"{lease.instrument} is held by {holder} ({left} more)"

    def describe(self) -> dict[str, Any]:
        """The same for programs; the number is the holder's alone."""
        return {"owner": self.lease.owner, "until": self.lease.until}


class Leases:
    """The leases on a registry's instruments, kept in the file of `journal`.

    `refusal`, `guard`, `is_in_force`, `in_force` and `holder` answer any thread at once. All else
    is called in one thread, which may wait for the file; `ended` is told there of each lease that
    has run out.
    """

    def __init__(
        self, registry: Registry, journal: Journal, ended: Callable[[Lease], None]
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._ended = ended
        self._set_timer: Callable[[], None] = lambda: None
        self.changed: Callable[[str], None] = lambda instrument: None
        """Is told of each instrument that has got another holder, or none."""
        now, wall = time.monotonic(), time.time()
        kept = journal.leases()
        self._last = max((lease.number for lease in kept), default=0)
        # Replaced and never changed: other threads look at it.
        self._held: Mapping[str, Held] = {
            lease.instrument: Held(lease, now + min(lease.until - wall, lease.seconds))
            for lease in kept
            if lease.owner is not None and lease.instrument in registry.targets
        }

    def refusal(self, number: int | None, instrument: str) -> ExchangeError | None:
        """What refuses a command on an instrument under a lease's number: `Leased` or `Stale`.

        To be asked when it comes and once more when it is to start; from any thread, at once.
        """
        held = self._held
        if number is None and not held:
            return None
        holding = held.get(instrument)
        if number is not None and self.in_force(number) is None:
            now = f"; {holding.sentence()}" if holding is not None and not holding.is_over else ""
            return Stale(f"the lease {number} has ended{now}; the command was not executed")
        if holding is not None and holding.lease.number != number:
            return Leased(f"{holding.sentence()}; the command was not executed")
        return None

    def guard(self, exchange: Exchange) -> None:
        """As a guard: raise what refuses a command of an instrument when it comes."""
        if not self._held and exchange.lease is None:
            return
        instrument = self._registry.target_of(exchange.request)
        if instrument is not None and (error := self.refusal(exchange.lease, instrument)):
            raise error

    def is_in_force(self, number: int | None) -> bool:
        """Whether the lease of this number goes on; from any thread."""
        return number is not None and self.in_force(number) is not None

    def in_force(self, number: int) -> Lease | None:
        """The lease of a number, on whatever instrument, if it goes on; from any thread."""
        for held in self._held.values():
            if held.lease.number == number and not held.is_over:
                return held.lease
        return None

    def holder(self, instrument: str) -> Held | None:
        """Who holds an instrument; from any thread."""
        return self._held.get(instrument)

    def acquire(
        self, instrument: str, owner: str, seconds: float, *, force: bool
    ) -> tuple[Lease, Held | None]:
        """Give a lease, and with `force` also one that takes the place of another, which is told.

        Raises `Leased` where it is held, and `InvalidParameter` where there is no such instrument.
        """
        if instrument not in self._registry.targets:
            raise self._registry.no_instrument(instrument)
        self.end_over()
        former = self._held.get(instrument)
        if former is not None and not force:
            raise Leased(f"{former.sentence()}; it was not given away")
        # Higher than any before, also where no file keeps them: to give one takes more than 1 us.
        self._last = max(self._last + 1, int(time.time() * 1e6))
        lease = Lease(instrument, self._last, owner, seconds, time.time() + seconds)
        self._hold(lease)
        if former is not None:
            logger.warning("%s; %r takes it", former.sentence(), owner)
        return lease, former

    def renew(self, number: int, seconds: float | None) -> Lease:
        """Have a lease last from now on for `seconds`, or as long as it was asked for.

        Raises `Stale` where it has ended.
        """
        lease = self._at_work(number)
        seconds = lease.seconds if seconds is None else seconds
        lease = msgspec.structs.replace(lease, seconds=seconds, until=time.time() + seconds)
        self._hold(lease)
        return lease

    def release(self, number: int) -> None:
        """End a lease before its time; raises `Stale` where it has ended."""
        self._drop(self._at_work(number))

    def end_over(self) -> None:
        """End those that have run out."""
        for held in tuple(self._held.values()):
            if held.is_over:
                logger.warning(
                    "%s: the lease of %r has run out", held.lease.instrument, held.lease.owner
                )
                # What is to be done now comes before what anybody else may ask for.
                self._ended(held.lease)
                self._drop(held.lease)
        self._set_timer()

    def end_in_time(self, deadlines: Deadlines, end_over: Callable[[], None]) -> None:
        """From now on have `end_over` called, on the event loop, whenever one runs out."""
        loop = asyncio.get_running_loop()

        def set_timer() -> None:
            if self._held:
                deadlines.set(end_over, min(held.end for held in self._held.values()))

        def set_from_any_thread() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(set_timer)

        self._set_timer = set_from_any_thread
        set_timer()

    def _at_work(self, number: int) -> Lease:
        if (lease := self.in_force(number)) is None:
            raise Stale(f"the lease {number} has ended")
        return lease

    def _hold(self, lease: Lease) -> None:
        held = Held(lease, time.monotonic() + lease.seconds)
        self._held = {**self._held, lease.instrument: held}
        self._journal.keep_lease(lease)
        self._set_timer()
        self.changed(lease.instrument)

    def _drop(self, lease: Lease) -> None:
        self._held = {name: held for name, held in self._held.items() if name != lease.instrument}
        self._journal.keep_lease(msgspec.structs.replace(lease, owner=None))
        self.changed(lease.instrument)

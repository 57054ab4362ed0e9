"""What listeners are told beside the states: exchanges, progress, leases and hardware.

Nothing here is called for an exchange while nobody listens.
"""

from __future__ import annotations

from .exchange import (
    FINISHED,
    RECEIVED,
    REFUSED,
    RUNNING,
    Exchange,
    Moment,
    Observer,
    observe,
    observes,
)
from .link_commands import Parts
from .log_listener import LogListener
from .messages import Event
from .records import complete, listed, record_of

MAX_RESULT = 16 * 1024
"""Characters of a result that is told; longer ones are the journal's."""


class Events:
    """Makes events of what happens to the instruments and their exchanges, for the feed.

    `observers` are those of the exchanges, among whom it is while somebody wants it to be.
    """

    def __init__(self, parts: Parts, observers: dict[Moment, tuple[Observer, ...]]) -> None:
        self._registry = parts.registry
        self._leases = parts.leases
        self._feed = parts.feed
        self._describe = parts.describe_instrument
        self._describe_progress = parts.describe_progress
        self._observers = observers
        self._log = LogListener(parts.feed)
        self._wanted: frozenset[str] = frozenset()

    def want(self, kind: str, *, is_wanted: bool) -> None:
        """Somebody listens to a kind from now on, or nobody does any more."""
        self._wanted = self._wanted | {kind} if is_wanted else self._wanted - {kind}
        if kind == "progress":
            observe(self._observers, self.note_progress, is_on=is_wanted)
        elif kind == "exchange":
            observe(self._observers, self.note_exchange, is_on=is_wanted)
        elif kind == "log":
            self._log.listen(is_on=is_wanted)

    def note_state(self, name: str) -> None:
        """An instrument does something else, or what goes on by itself went on; from any
        thread."""
        if "progress" in self._wanted:
            self._feed.tell(
                "progress", name, lambda: Event("progress", name, self._describe_progress(name))
            )

    @observes(RUNNING, FINISHED, Moment.PROGRESS)
    def note_progress(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: a command starts, tells how far it is, or ends."""
        name = self._registry.target_of(exchange.request)
        if name is not None:
            self.note_state(name)

    @observes(RECEIVED, FINISHED, REFUSED)
    def note_exchange(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: an exchange comes, or has come to its end.

        It is written here, because the next command may change what this one returned.
        """
        command_id = exchange.request.command_id
        if not self._registry.acts(command_id):
            return
        if moment is RECEIVED:
            exchange.client.peer  # noqa: B018 looked up on the event loop, before it goes
            return
        if moment is FINISHED and exchange.started_at is None:
            return  # it is a repeat, and was told before
        name = self._registry.instrument_of(command_id)
        if self._feed.is_full:
            self._feed.add(Event("exchange", name, {}))  # it is only counted
            return
        record = record_of(exchange, self._feed.boot, name)
        complete(record, exchange)
        if record.result is not None and len(record.result) > MAX_RESULT:
            record.result = None
        self._feed.add(Event("exchange", name, listed(record)))

    def note_lease(self, name: str) -> None:
        """An instrument has got another holder, or none; from any thread."""
        if "lease" not in self._wanted:
            return

        def make() -> Event:
            held = self._leases.holder(name)
            return Event("lease", name, {"lease": None if held is None else held.describe()})

        self._feed.tell("lease", name, make)

    def note_hardware(self, name: str) -> None:
        """An instrument's hardware was lost, or is there again; from any thread."""
        if "instrument" in self._wanted:
            self._feed.tell(
                "instrument", name, lambda: Event("instrument", name, self._describe(name))
            )

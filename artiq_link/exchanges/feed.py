"""The feed: those who listen to what happens, and what each of them is told of it.

What is to be told is collected, and told to all listeners together a few times a second, in
slices of the event loop's time: many listeners cost an exchange no more than few.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from ..loggers import get_logger
from .deadlines import Deadlines
from .known_states import KnownStates, Since, State
from .messages import Event
from .state_reader import Found

Kind = Literal["state", "progress", "exchange", "lease", "log", "instrument"]
"""What can be listened to."""

PAUSE = 0.05
"""Seconds between two times at which listeners are told: people see no more."""

SLICE = 0.0003
"""Seconds that telling listeners may take before all else on the event loop gets its turn: as
long as an exchange or two."""

REST = 4
"""For each second that telling them took, the seconds without: listeners get a fifth of the
event loop's time at most, however many there are."""

LEAST_REST = 0.001
"""Seconds between two slices, at least; event loops count in milliseconds."""

MOST = 20
"""Exchanges, and lines of the log, that are told at one time; of what is more, the number is.
Nobody reads hundreds of lines a second."""

LOOK_TIME = 30.0
"""Seconds for which states are read after somebody has looked: programs that look again and again,
such as Prometheus each 15 s, find them fresh."""

logger = get_logger(__name__)

Deliver = Callable[[Sequence[Event]], None]
"""Takes events on the event loop, and returns at once."""

Demand = Callable[[str, str | None, bool], None]
"""Is told of a kind, and for states of an instrument, that somebody listens now or nobody does."""


class Subscription:
    """What one listener wants to be told; `close` ends it."""

    def __init__(
        self,
        feed: Feed,
        deliver: Deliver,
        kinds: frozenset[str],
        instruments: frozenset[str] | None,
    ) -> None:
        self._deliver = deliver
        self.kinds = kinds
        self.instruments = instruments
        """Those that it is about; None: all."""
        self.is_open = True
        self._feed = feed

    def give(self, events: Sequence[Event]) -> None:
        """Tell it what has happened."""
        if not self.is_open:
            return
        try:
            self._deliver(events)
        except Exception:
            logger.exception("a listener failed, and is told nothing more")
            self.close()

    def close(self) -> None:
        """Tell it nothing more."""
        if self.is_open:
            self.is_open = False
            self._feed.leave(self)


class _Batch:
    """Events, and the listeners that have not been told of them."""

    def __init__(
        self,
        events: list[Event],
        listeners: list[Subscription],
        new: Mapping[Subscription, Mapping[str, int]],
    ) -> None:
        self.listeners = listeners
        self._events = events
        # The versions of those that have come since something was to be told.
        self._new = new
        # Most want the same, and what they get is looked for once.
        self._wanted: dict[Any, list[Event]] = {}

    def tell_next(self) -> None:
        """Tell the next listener what it wants of it."""
        subscription = self.listeners.pop()
        kinds, instruments = key = subscription.kinds, subscription.instruments
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = [
                event
                for event in self._events
                if event.kind in kinds
                # What is about no instrument is for all.
                and (instruments is None or event.subject is None or event.subject in instruments)
            ]
        if (known := self._new.get(subscription)) is not None:
            wanted = [
                event
                for event in wanted
                if event.kind != "state" or event.content["version"] > known[event.subject or ""]
            ]
        if wanted:
            subscription.give(wanted)


class Feed:
    """The newest states of instruments, by their names, and the listeners.

    To be used on the event loop, but for `tell` and `add`. `demand` is called when the first
    listener to something comes and when the last one goes.
    """

    def __init__(
        self,
        names: Iterable[str],
        deadlines: Deadlines,
        boot: str,
        demand: Demand = lambda kind, name, is_wanted: None,
    ) -> None:
        self.boot = boot
        """The name of this start of the server; versions count from there."""
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._demand = demand
        self._known = {name: KnownStates(name) for name in names}
        self._demands: Counter[tuple[str, str | None]] = Counter()
        self._listeners: dict[Subscription, None] = {}
        self._is_looked_at = False
        self._newest: dict[tuple[str, str | None], Callable[[], Event | None]] = {}
        self._each: deque[Event] = deque()
        self._missed: Counter[str] = Counter()
        self._new: dict[Subscription, dict[str, int]] = {}
        self._batch: _Batch | None = None
        self._is_due = self._is_closed = False
        self._next_time = 0.0

    def __len__(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    def states(self) -> Mapping[str, State]:
        """The newest state of each instrument."""
        return {name: known.newest for name, known in self._known.items()}

    def take(self, name: str, found: Found) -> None:
        """Take what a reading has found of an instrument."""
        event = self._known[name].take(found)
        key = "state", name
        # Two changes at one time are told as one, and a patch would be against what nobody has.
        is_second = key in self._newest
        self.tell(*key, self._known[name].whole if is_second else lambda: event)

    def look(self) -> None:
        """Somebody looks at the states: have them read for a while."""
        if self._is_closed:
            return
        if not self._is_looked_at:
            self._is_looked_at = True
            self._want(self._all_states(), 1)
        self._deadlines.set(self._look_away, time.monotonic() + LOOK_TIME)

    def _look_away(self) -> None:
        self._is_looked_at = False
        self._want(self._all_states(), -1)

    def listen(
        self,
        deliver: Deliver,
        kinds: Collection[str] = ("state",),
        instruments: Collection[str] | None = None,
    ) -> Subscription:
        """Have `deliver` called with what happens from now on, until the subscription's close."""
        subscription = Subscription(
            self,
            deliver,
            frozenset(kinds),
            None if instruments is None else frozenset(instruments),
        )
        self._listeners[subscription] = None
        self._new[subscription] = {name: k.newest.version for name, k in self._known.items()}
        self._want(self._demands_of(subscription), 1)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Take note of a subscription's end."""
        self._new.pop(subscription, None)
        if self._listeners.pop(subscription, subscription) is None:
            self._want(self._demands_of(subscription), -1)

    def describe(
        self, instruments: Iterable[str] | None = None, since: Since | None = None
    ) -> dict[str, Any]:
        """The newest states, as they are told to who knows those of `since`."""
        versions = since.versions if since is not None and since.boot == self.boot else {}
        told = {}
        for name in self._known if instruments is None else instruments:
            known = self._known[name]
            news = known.since(versions[name]) if name in versions else known.newest.describe()
            if news is not None:
                told[name] = news
        return {"boot": self.boot, "instruments": told}

    def tell(self, kind: str, subject: str | None, make: Callable[[], Event | None]) -> None:
        """Have listeners told the newest of a kind and subject, as `make` gives it on the event
        loop; from any thread."""
        self._newest[kind, subject] = make
        self._be_due()

    def add(self, event: Event) -> None:
        """Have listeners told of one more thing that has happened; from any thread."""
        if self.is_full:
            self._missed[event.kind] += 1
        else:
            self._each.append(event)
            self._be_due()

    @property
    def is_full(self) -> bool:
        """Whether what `add` gets now would only be counted."""
        return len(self._each) >= MOST

    def close(self) -> None:
        """Tell nobody anything any more."""
        self._is_closed = True
        self._batch = None
        for subscription in list(self._listeners):
            subscription.close()
        if self._is_looked_at:
            self._deadlines.clear(self._look_away)
            self._look_away()

    def _all_states(self) -> list[tuple[str, str | None]]:
        return [("state", name) for name in self._known]

    def _demands_of(self, subscription: Subscription) -> list[tuple[str, str | None]]:
        kinds = subscription.kinds
        demands: list[tuple[str, str | None]] = [(kind, None) for kind in kinds - {"state"}]
        # By its state it is seen that what goes on by itself goes on.
        if not kinds.isdisjoint({"state", "progress"}):
            wanted = subscription.instruments
            demands += self._all_states() if wanted is None else [("state", n) for n in wanted]
        return demands

    def _want(self, demands: Iterable[tuple[str, str | None]], more: int) -> None:
        for demand in demands:
            before = self._demands[demand] > 0
            self._demands[demand] += more
            after = self._demands[demand] > 0
            if before != after:
                self._demand(*demand, after)

    def _be_due(self) -> None:
        # Where two threads are here at once, it is called for twice, which does no harm.
        if not self._is_due:
            self._is_due = True
            with contextlib.suppress(RuntimeError):  # the loop has gone
                self._loop.call_soon_threadsafe(self._wait)

    def _wait(self) -> None:
        """Tell when it is time, and all before it is told."""
        if self._batch is not None or self._is_closed:
            return
        left = self._next_time - time.monotonic()
        if left > 0:
            self._loop.call_later(left, self._wait)
        else:
            self._collect()
            self._tell_some()

    def _collect(self) -> None:
        """Make events of what has happened, for those who listen now."""
        self._is_due = False
        events = []
        for key in list(self._newest):  # other threads may add more meanwhile
            if (event := self._made(self._newest.pop(key))) is not None:
                events.append(event)
        while self._each:
            events.append(self._each.popleft())
        for event in reversed(events if self._missed else ()):
            if missed := self._missed.pop(event.kind, 0):
                event.content["missed"] = missed
        new, self._new = self._new, {}
        if events and self._listeners:
            self._batch = _Batch(events, list(self._listeners), new)

    def _made(self, make: Callable[[], Event | None]) -> Event | None:
        try:
            return make()
        except Exception:  # nobody is to miss all other events for it
            logger.exception("an event could not be made")
            return None

    def _tell_some(self) -> None:
        """Tell as many listeners as a slice of time allows, and the others after a rest."""
        if self._batch is None:
            return
        now = begun = time.monotonic()
        while self._batch.listeners and now < begun + SLICE:
            self._batch.tell_next()
            now = time.monotonic()
        if self._batch.listeners:
            rest = max(LEAST_REST, REST * (now - begun))
            self._loop.call_later(rest, self._tell_some)
            return
        self._batch = None
        self._next_time = now + PAUSE
        if self._is_due:
            self._wait()

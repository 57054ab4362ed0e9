"""Deadlines: one table of what is to happen when, and one timer for all of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

GRAIN = 0.01
"""Seconds between two looks at the table, so that thousands of deadlines close to each other cost
no more than a hundred looks a second."""

EARLY = 0.001
"""Seconds that a timer may come too early: event loops count in milliseconds."""


class Deadlines:
    """Calls functions back once their time has come, unless it was put off or cleared before.

    To be used on the event loop. Most deadlines are cleared long before they come: setting and
    clearing one is an entry in a dictionary.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Callable[[], None], float] = {}
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, callback: Callable[[], None]) -> bool:
        return callback in self._due

    def set(self, callback: Callable[[], None], when: float) -> None:
        """Have `callback` called at `when`, on `time.monotonic`; replaces an earlier setting."""
        self._due[callback] = when
        if when < self._next:
            self._look_at(when)

    def clear(self, callback: Callable[[], None]) -> None:
        """Do not call it, if it was to be called at all."""
        self._due.pop(callback, None)

    def close(self) -> None:
        """Call nothing any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self._loop.call_later(max(0.0, when - time.monotonic()), self._look)

    def _look(self) -> None:
        self._timer = None
        self._next = math.inf
        now = time.monotonic()
        over = now + EARLY
        for callback in [callback for callback, when in self._due.items() if when <= over]:
            # One that came before may have cleared it, or put it off.
            if self._due.get(callback, math.inf) <= over:
                del self._due[callback]
                callback()
        if self._due:
            soonest = min(self._due.values())
            if soonest < self._next:
                self._look_at(max(soonest, now + GRAIN))

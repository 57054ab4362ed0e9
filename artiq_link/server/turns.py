"""Turns: a part of the event loop's time, shared among the connections that want much of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

SHARE = 0.00025
"""Seconds of the loop's time that one connection may take before it has to wait for its turn."""

TURN = 0.0001
"""Seconds that it has then, before all others are looked after: about one exchange's time, so
that others notice little of those who send without end. A look at all costs some 10 us."""

PART = 0.25
"""Of the loop's time, what one connection may take in the long run without waiting for turns."""


class Turns:
    """Gives those that wait their turns, one after the other, on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def wait(self, take: Callable[[], None]) -> None:
        """Have `take` called when it is its turn."""
        self._waiting.append(take)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        end = time.monotonic() + TURN
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
            if time.monotonic() >= end:
                break
        self._is_due = bool(self._waiting)
        if self._is_due:
            self._loop.call_soon(self._give)

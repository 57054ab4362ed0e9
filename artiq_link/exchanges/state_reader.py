"""The state of one instrument, read in its worker's thread while somebody watches it.

A command's reply goes before it: the state is read once the instrument has been quiet for a
moment, or has been busy for so long that those who watch want to see something.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ..instrument.instrument import Instrument
from ..loggers import get_logger
from ..text import sentence_of, without_folders
from ..values import encode

QUIET = 0.002
"""Seconds without a command after which the state is read: the reply is on its way by then, and
who sends one command after the other does not wait for it."""

PAUSE = 0.05
"""Seconds between two readings where commands follow each other: people see no more."""

SHARE = 0.1
"""Of its thread's time, what an instrument's state may take: who writes a slow one gets it less
often, and his commands hardly notice."""

MAX_STATE = 1024 * 1024
"""Characters of a state in JSON; whoever shows more than this shows nothing."""

logger = get_logger(__name__)


class Found(NamedTuple):
    """What a reading has found."""

    text: bytes
    """The state in JSON."""
    error: str | None = None
    """Why there is none, for people."""


class StateReader:
    """Reads an instrument's state, and has `found` called on the event loop where it is new.

    `want` and `ask` are called on the event loop, `changed` from any thread, `begin`, `touch` and
    `tend` in the worker's.
    """

    def __init__(self, name: str, instrument: Instrument, found: Callable[[Found], None]) -> None:
        self._name = name
        self._instrument = instrument
        self._tell = found
        self._loop = asyncio.get_running_loop()
        self._wake: Callable[[], None] = lambda: None
        self._thread: int | None = None
        self._is_wanted = False
        self._is_reading = False
        self._asking: list[asyncio.Future[None]] = []
        self._first_change: float | None = None
        self._last_change = 0.0
        self._next_by_itself = math.inf
        self._read_at = self._rested_at = -math.inf
        self._newest: Found | None = None
        # One that tells of no state has none that could be read.
        self._has_any = type(instrument).state is not Instrument.state

    def want(self, is_wanted: bool) -> None:
        """Somebody watches from now on, or nobody does any more."""
        self._is_wanted = is_wanted and self._has_any
        if self._is_wanted:
            self._change()

    def ask(self) -> asyncio.Future[None] | None:
        """Have it read as soon as no command runs; None where it is known to have no state."""
        if not self._is_wanted:
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        self._asking.append(future)
        self._wake()
        return future

    def changed(self) -> None:
        """The instrument says that its state has changed."""
        if not self._is_wanted:
            return
        if threading.get_ident() != self._thread:
            self._change()
        elif not self._is_reading:  # otherwise it is `state` that says so
            self.touch()
            # The command may go on for long, and nothing else reads it meanwhile.
            if time.monotonic() >= self._rested_at:
                self._read()

    def begin(self, wake: Callable[[], None]) -> None:
        """The worker's thread is this one; `wake` has it call `tend`."""
        self._thread = threading.get_ident()
        self._wake = wake
        wake()

    def touch(self) -> None:
        """A command may have changed the state."""
        if self._is_wanted:
            self._last_change = time.monotonic()
            if self._first_change is None:
                self._first_change = self._last_change

    def tend(self) -> float | None:
        """Read it if that is due; returns the seconds until it may be, None where it is not."""
        if not self._is_wanted:
            return None
        if self._asking or time.monotonic() >= self._due:
            self._read()
        return None if self._due == math.inf else max(0.0, self._due - time.monotonic())

    @property
    def _due(self) -> float:
        """When it is to be read, on `time.monotonic`."""
        due = self._next_by_itself
        if (first := self._first_change) is not None:
            due = min(due, self._last_change + QUIET, first + PAUSE)
        return max(due, self._read_at + PAUSE, self._rested_at)

    def _change(self) -> None:
        """Note a change from beyond the worker's thread, which may be asleep."""
        is_first = self._first_change is None
        self.touch()
        if is_first:
            self._wake()

    def _read(self) -> None:
        asking, self._asking = self._asking, []
        self._first_change = None  # before it is read: it may change meanwhile
        begun = time.monotonic()
        self._is_reading = True
        found, period = self._find()
        self._is_reading = False
        self._read_at = ended = time.monotonic()
        self._rested_at = ended + (ended - begun) / SHARE
        self._next_by_itself = ended + period
        if found != self._newest:
            self._newest = found
            self._on_loop(self._tell, found)
        if asking:
            self._on_loop(_answer, asking)

    def _find(self) -> tuple[Found, float]:
        """The state, and the seconds after which it moves by itself."""
        try:
            text = encode(self._instrument.state())
            if len(text) > MAX_STATE:
                raise ValueError(f"it has {len(text)} characters, of {MAX_STATE} at most")
            return Found(text), _period(self._instrument.state_period)
        except BaseException as error:
            sentence = without_folders(sentence_of(error))
            found = Found(b"null", f"the state of {self._name} cannot be shown: {sentence}")
            if self._newest is None or self._newest.error != found.error:
                logger.error("%s", found.error, exc_info=error)
            return found, math.inf

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(callback, *arguments)


def _period(seconds: float | None) -> float:
    if seconds is None:
        return math.inf
    if not seconds > 0:
        raise ValueError(f"state_period: expected a number above 0, got {seconds!r:.60}")
    return seconds


def _answer(asking: list[asyncio.Future[None]]) -> None:
    for future in asking:
        if not future.done():
            future.set_result(None)

"""The state of one instrument, read in its worker's thread while somebody watches it.

It is what the instrument's `state` tells, with what its program has published and what its
readings have fetched. A command's reply goes before it: the state is read once the instrument has
been quiet for a moment, or has been busy for so long that those who watch want to see something.
Readings, which ask the hardware, are taken while no command waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, NamedTuple

import msgspec

from ..errors import ExchangeError, HardwareLost
from ..instrument.instrument import Instrument
from ..instrument.reading import Reading, readings_of
from ..link_client import patched
from ..loggers import get_logger
from ..text import json_kind, sentence_of, without_folders
from ..values import encode
from .merge_patch import difference

QUIET = 0.002
"""Seconds without a command after which the state is read: the reply is on its way by then, and
who sends one command after the other does not wait for it."""

PAUSE = 0.05
"""Seconds between two readings where commands follow each other: people see no more."""

SHARE = 0.1
"""Of its thread's time, what an instrument's state may take: who writes a slow one gets it less
often, and his commands hardly notice."""

AHEAD = 1.0
"""Seconds whose share may be taken ahead: one state that was read slowly, as on a computer that is
busy, does not keep the next change within a long command from being told."""

MAX_STATE = 1024 * 1024
"""Characters of a state in JSON; whoever shows more than this shows nothing."""

MAX_MEMBERS = 4000
"""Of the objects in a state: to tell what has changed of more takes long of the event loop's time.
Numbers in a list or an array are none."""

GOES_ON = 1.0
"""Seconds after which an instrument that goes on doing something by itself is looked at again,
where it has no `state_period`."""

SHOWN_AFTER = 0.5
"""Seconds after which the status tells that a state or a reading takes long."""

logger = get_logger(__name__)

_current: ContextVar[StateReader] = ContextVar("current_reader")


def publish(values: dict[str, Any]) -> None:
    """Show values in the state of the instrument whose command runs here, until they change.

    They are merged into those that were published before, as a JSON Merge Patch (RFC 7386): an
    object changes the members that it has, and None takes one away. Where no server runs, it does
    nothing. Raises TypeError for what is no dictionary.
    """
    if not isinstance(values, dict):
        raise TypeError(f'publish: expected a dict, such as {{"power": 1e-3}}, got {values!r:.60}')
    if (reader := _current.get(None)) is not None:
        reader.publish(values)


class _Fetched:
    """What a reading has fetched last, and when it is due again."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.value: Any = None
        self.due = -math.inf
        self.fails = False


class Found(NamedTuple):
    """What a reading has found."""

    text: bytes
    """The state in JSON."""
    value: Any
    """It as a JSON parser gives it."""
    patch: dict[str, Any] | None = None
    """What has changed of the one that was found before, as a merge patch; None: it is to be told
    as a whole."""
    error: str | None = None
    """Why there is none, for people."""

    @classmethod
    def of(cls, text: bytes, former: Found | None) -> Found:
        """The state of this text, which is not that of the `former` one; looked at where it is
        read, because that takes long where it is large. Raises ValueError where it is too large.
        """
        if len(text) > MAX_STATE:
            raise ValueError(f"it has {len(text)} characters, of {MAX_STATE} at most")
        value = msgspec.json.decode(text)
        if text.count(b":") > MAX_MEMBERS and (members := _members_in(value)) > MAX_MEMBERS:
            raise ValueError(f"it has {members} members, of {MAX_MEMBERS} at most")
        if former is None or former.error is not None:
            return cls(text, value)
        return cls(text, value, difference(former.value, value))


class StateReader:
    """Reads an instrument's state, and has `found` called on the event loop where it is new; with
    None where it is not, but is read again and again because something goes on by itself.

    `want` and `ask` are called on the event loop, `changed` from any thread, `begin`, `touch` and
    `tend` in the worker's.
    """

    def __init__(
        self, name: str, instrument: Instrument, found: Callable[[Found | None], None]
    ) -> None:
        self._name = name
        self._instrument = instrument
        self._tell = found
        self._loop = asyncio.get_running_loop()
        self._wake: Callable[[], None] = lambda: None
        self._thread: int | None = None
        self._is_watched = self._is_wanted = self._is_new = False
        # What is read just now, and since when.
        self._reading: tuple[str, float] | None = None
        self._note: Callable[[ExchangeError], None] = lambda error: None
        self._published: dict[str, Any] = {}
        self._fetched = {
            name: _Fetched(reading) for name, reading in readings_of(type(instrument)).items()
        }
        self._asking: dict[asyncio.Future[None], None] = {}
        self._first_change: float | None = None
        self._last_change = 0.0
        self._next_by_itself = math.inf
        self._read_at = -math.inf
        # Until when the time that was taken is the share of; and from when it may be read again.
        self._paid_until = self._rested_at = -math.inf
        self._newest: Found | None = None
        self._may_go_on = type(instrument).activity is not Instrument.activity
        # One that tells of no state has none that could be read.
        tells_of_state = type(instrument).state is not Instrument.state
        self._has_any = tells_of_state or self._may_go_on or bool(self._fetched)

    def want(self, is_wanted: bool) -> None:
        """Somebody watches from now on, or nobody does any more."""
        self._is_watched = self._is_new = is_wanted
        self._is_wanted = is_wanted and self._has_any
        if self._is_wanted:
            self._change()

    def publish(self, values: dict[str, Any]) -> None:
        """Merge values into the state; from any thread."""
        self._published = patched(self._published, values)
        self._has_any = True
        self._is_wanted = self._is_watched
        self.changed()

    def describe(self) -> dict[str, Any] | None:
        """What takes long just now, as the status tells of a command; None: nothing does."""
        if (reading := self._reading) is None:
            return None
        name, since = reading
        seconds = time.monotonic() - since
        if seconds < SHOWN_AFTER:
            return None
        text = f"for {seconds:.1f} s"
        return {"command": name, "seconds": round(seconds, 3), "fraction": None, "text": text}

    def ask(self) -> asyncio.Future[None] | None:
        """Have it read as soon as no command runs; None where it is known to have no state.

        Who does not wait for it any more cancels it.
        """
        if not self._is_wanted:
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        self._asking[future] = None
        future.add_done_callback(self._asking_no_more)
        self._wake()
        return future

    def _asking_no_more(self, future: asyncio.Future[None]) -> None:
        self._asking.pop(future, None)

    def changed(self) -> None:
        """The instrument says that its state has changed."""
        if not self._is_wanted:
            return
        if threading.get_ident() != self._thread:
            self._change()
        elif self._reading is None:  # otherwise it is `state` that says so
            self.touch()
            # The command may go on for long, and nothing else reads it meanwhile.
            if time.monotonic() >= self._rested_at:
                self._read()

    def begin(self, wake: Callable[[], None], note: Callable[[ExchangeError], None]) -> None:
        """The worker's thread is this one; `wake` has it call `tend`, and `note` is told what the
        readings fail of."""
        self._thread = threading.get_ident()
        self._wake, self._note = wake, note
        _current.set(self)
        wake()

    def touch(self) -> None:
        """A command may have changed the state."""
        if self._is_wanted:
            self._last_change = time.monotonic()
            if self._first_change is None:
                self._first_change = self._last_change

    def tend(self, is_free: Callable[[], bool], *, is_lost: bool) -> float | None:
        """Read what is due; returns the seconds until something is, None where nothing will be.

        Readings are taken while `is_free` says so; where the hardware `is_lost`, none is known.
        """
        if not self._is_wanted:
            return None
        if self._is_new or is_lost:
            self._forget(is_lost=is_lost)
        if self._newest is None or time.monotonic() >= self._due:
            self._read()
        for name, fetched in self._fetched.items():
            if time.monotonic() >= fetched.due and not is_lost and is_free():
                self._fetch(name, fetched)
        if self._asking and time.monotonic() >= self._rested_at:
            asking, self._asking = self._asking, {}
            self._read()
            self._on_loop(_answer, asking)
        due = self._due if is_lost else min([self._due, *(f.due for f in self._fetched.values())])
        if self._asking:
            due = min(due, self._rested_at)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def _forget(self, *, is_lost: bool) -> None:
        """Let nothing that was fetched be known any more: it is old."""
        self._is_new = False
        for fetched in self._fetched.values():
            if fetched.value is not None and is_lost:
                self.touch()
            fetched.value, fetched.due = None, -math.inf

    def _fetch(self, name: str, fetched: _Fetched) -> None:
        """Take a reading."""
        begun = time.monotonic()
        self._reading = name, begun
        value = None
        try:
            value = getattr(self._instrument, name)()
            encode(value)
            fetched.fails = False
        except BaseException as error:
            value = None
            if not fetched.fails:
                fetched.fails = True
                sentence = sentence_of(error)
                is_bug = not isinstance(error, ExchangeError | OSError)
                exception = error if is_bug else None
                logger.warning(
                    "%s.%s cannot be read: %s", self._name, name, sentence, exc_info=exception
                )
            if isinstance(error, OSError):
                self._note(HardwareLost(without_folders(sentence_of(error))))
            elif isinstance(error, ExchangeError):
                self._note(error)
        self._reading = None
        ended = time.monotonic()
        # One that takes long, such as a device's timeout, leaves commands as much time.
        fetched.due = ended + max(fetched.reading.period, ended - begun)
        fetched.value = value
        self.touch()

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
        self._first_change = None  # before it is read: it may change meanwhile
        begun = time.monotonic()
        self._reading = "state", begun
        found, period = self._find()
        self._reading = None
        self._read_at = ended = time.monotonic()
        self._paid_until = max(self._paid_until, begun) + (ended - begun) / SHARE
        self._rested_at = self._paid_until - AHEAD
        # What has gone on until now has, perhaps, come to its end.
        goes_on = min(period, self._next_by_itself) < math.inf
        self._next_by_itself = ended + period
        if found is not self._newest:
            self._newest = found
            self._on_loop(self._tell, found)
        elif goes_on:
            self._on_loop(self._tell, None)

    def _find(self) -> tuple[Found, float]:
        """The state, and the seconds after which it moves by itself."""
        former = self._newest
        try:
            text = encode(self._whole())
            period = self._period()
            if former is not None and former.error is None and former.text == text:
                return former, period
            return Found.of(text, former), period
        except BaseException as error:
            sentence = without_folders(sentence_of(error))
            sentence = f"the state of {self._name} cannot be shown: {sentence}"
            if former is not None and former.error == sentence:
                return former, math.inf
            logger.error("%s", sentence, exc_info=error)
            return Found(b"null", None, error=sentence), math.inf

    def _period(self) -> float:
        seconds = self._instrument.state_period
        if seconds is not None:
            if not seconds > 0:
                raise ValueError(f"state_period: expected a number above 0, got {seconds!r:.60}")
            return seconds
        with contextlib.suppress(Exception):  # whoever is told of it is told what it fails of
            if self._may_go_on and self._instrument.activity() is not None:
                return GOES_ON
        return math.inf

    def _whole(self) -> Any:
        """The state with what was published and fetched."""
        state = self._instrument.state()
        if not self._published and not self._fetched:
            return state
        if not isinstance(state, dict | None):
            raise TypeError(f"expected an object, beside what was read, got {json_kind(state)}")
        fetched = {name: each.value for name, each in self._fetched.items()}
        return {**patched(state or {}, self._published), **fetched}

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has gone
            self._loop.call_soon_threadsafe(callback, *arguments)


def _members_in(value: Any) -> int:
    """How many members all objects in a value have together."""
    count, left = 0, [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            count += len(value)
            left += value.values()
        elif isinstance(value, list):
            left += value
    return count


def _answer(asking: Iterable[asyncio.Future[None]]) -> None:
    for future in asking:
        if not future.done():
            future.set_result(None)

"""A transport: asks a device one thing at a time, and never takes a late answer for another's.

Whatever fails, the line is closed, and opened again by the next use, which first throws away what
the device still had to say. So an adapter that was pulled out need only be plugged in again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from typing import cast

from ..errors import HardwareLost, InstrumentError
from ..link_client import Deadline
from ..loggers import get_logger
from ..text import escaped
from .endings import Ending
from .protocol import Protocol

OPEN_TIME = 5.0
"""Seconds that `Transport.open` gives to the opening of a line."""

MAX_REPLY = 16 << 20
"""Bytes of a reply: far more than a device has to say, and less than a lab PC has memory."""

LONGEST_TEXT, LONGEST_HEX = 100, 50
"""Bytes of what was sent or received that are shown, as text and in hexadecimal."""

_SHORTEST = 1e-3
"""Seconds instead of 0, which would mean not to wait at all."""

_SCREEN = frozenset(b"\t\n\r").union(range(0x20, 0x7F))

logger = get_logger(__name__)


class Transport(ABC):
    """A line to one device. Any thread may ask; one ask and its answer are never divided.

    It is made without opening anything, and opens by itself when it is first used. No method
    outlasts its timeout, in which waiting for other threads, opening, pauses and answering are.

    Raises `HardwareLost` where the line breaks or cannot be opened, and `InstrumentError` where
    the device does not answer in time, or answers what cannot be a reply. Where the sentence ends
    with "nothing was sent", it is so.
    """

    name: str
    """What the device string says, such as ``serial:/dev/ttyUSB0``."""
    is_open: bool
    """Whether it was opened and not closed since; a line that was lost will be opened again."""
    openings = 0
    """How often the line was opened: where it has grown, the device may have restarted."""

    def __init__(self, name: str, protocol: Protocol) -> None:
        self.name = name
        self.protocol = protocol
        self.is_open = False
        self._lock = threading.Lock()
        self._is_connected = False
        # The moments before which nothing may be asked: the device needs a pause, or the answer
        # to an ask that failed may still come.
        self._busy_until = self._owes_until = time.monotonic()
        self._has_failed = False
        # Whether the answer to an ask that failed was never seen.
        self._is_in_doubt = False

    def query(
        self, data: bytes, ending: Ending | None = None, timeout: float | None = None
    ) -> bytes:
        """Send `data`, and return the reply, which ends as `ending` says, within `timeout` s.

        The protocol's ending and timeout hold where none is given.
        """
        ending = self.protocol.ending if ending is None else ending
        return cast(bytes, self._talk(data, ending, timeout))

    def write(self, data: bytes, timeout: float | None = None) -> None:
        """Send `data`, which the device does not answer, within `timeout` s."""
        self._talk(data, None, timeout)

    def open(self) -> None:
        """Open the line, and wait until the device listens; it is sent nothing."""
        deadline = Deadline(OPEN_TIME + self.protocol.wake + self.protocol.late)
        with self._alone(deadline):
            self._prepare(deadline)

    def close(self) -> None:
        """Close the line, once nobody talks; a later use opens it again."""
        with self._lock:
            self._drop()
            self.is_open = False

    # --- what a kind of line has -----------------------------------------------------------------

    @abstractmethod
    def _connect(self, deadline: Deadline) -> None:
        """Open the line; raises OSError or `InstrumentError`, and leaves nothing open then."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the line, which may be broken; raises nothing but OSError.

        Where `_has_failed`, it must not wait for what was not taken yet.
        """

    @abstractmethod
    def _send(self, data: bytes, seconds: float) -> None:
        """Hand all of `data` to the line, within more than 0 `seconds`.

        Raises OSError, and TimeoutError where the line does not take it in time.
        """

    @abstractmethod
    def _receive(self, seconds: float) -> bytes:
        """Whatever comes first within `seconds`, which may be 0; nothing where nothing comes.

        Raises OSError where nothing can come any more.
        """

    def _receive_unasked(self, seconds: float) -> bytes:
        """The same while no answer is awaited; not all lines may be read from then."""
        return self._receive(seconds)

    def _clear(self) -> None:  # noqa: B027 most lines have no such command
        """Have the device forget an answer that nobody has read; raises OSError."""

    # --- one ask and its answer ------------------------------------------------------------------

    def _talk(self, data: bytes, ending: Ending | None, timeout: float | None) -> bytes | None:
        deadline = Deadline(self.protocol.timeout if timeout is None else timeout)
        with self._alone(deadline):
            self._prepare(deadline)
            heard, is_sent = bytearray(), False
            try:
                logger.info("%s: sent %s", self.name, Readable(data))
                self._send(data, deadline.left() or _SHORTEST)
                is_sent = True
                reply = None if ending is None else self._hear(heard, ending, deadline)
            except BaseException as error:  # KeyboardInterrupt, too, leaves an answer behind
                self._has_failed = True
                self._drop()
                self._owes_until = time.monotonic() + self.protocol.late
                self._is_in_doubt = (
                    ending is not None
                    and self.protocol.late > 0
                    and not isinstance(error, _TwoAnswers)
                )
                if isinstance(error, OSError | ValueError):
                    sentence = self._failure(error, data, heard if is_sent else None, deadline)
                    # Silence may be the device's; what the system says is the line's end.
                    is_lost = isinstance(error, OSError) and not isinstance(error, TimeoutError)
                    raise (HardwareLost if is_lost else InstrumentError)(sentence) from None
                raise
            if ending is not None:
                logger.info("%s: received %s", self.name, Readable(heard))
            self._busy_until = time.monotonic() + self.protocol.pause_after(data)
            return reply

    def _hear(self, heard: bytearray, ending: Ending, deadline: Deadline) -> bytes:
        """Read until the reply is whole; what came is in `heard`, also where this fails."""
        while left := deadline.left():
            wait = left if ending.quiet is None or not heard else min(left, ending.quiet)
            if part := self._receive(wait):
                heard += part
                reply = ending.reply_in(heard)
            else:
                # Silence that the deadline cut short says nothing.
                reply = ending.after_silence(heard) if wait < left else None
            if reply is not None:
                if self._is_in_doubt:
                    self._make_sure(heard, ending, deadline)
                return reply
            if len(heard) > MAX_REPLY:
                raise ValueError(f"an answer of at most {MAX_REPLY >> 20} MiB")
        raise TimeoutError

    def _make_sure(self, heard: bytearray, ending: Ending, deadline: Deadline) -> None:
        """Wait, as long as there is time, whether more comes: then the first was a late answer.

        So a device is found out that was stuck for longer than `late`, and then answers all that
        it was asked meanwhile.
        """
        shortest = bisect_left(
            range(len(heard)), True, key=lambda size: ending.reply_in(heard[:size]) is not None
        )
        more = heard[shortest:]
        end = time.monotonic() + min(self.protocol.late, deadline.left())
        while not more.strip() and (wait := end - time.monotonic()) > 0:
            part = self._receive_unasked(wait)
            heard += part
            more += part
        self._is_in_doubt = False
        if more.strip():
            raise _TwoAnswers("one answer, and none to a command before")

    def _failure(
        self, error: Exception, data: bytes, heard: bytearray | None, deadline: Deadline
    ) -> str:
        """What went wrong with `data`; `heard` is None where not all of it was sent."""
        asked, came = f"'{Readable(data)}'", f"'{Readable(heard or b'')}'"
        within = f"within {deadline.timeout:g} s"
        if isinstance(error, ValueError):
            return f"{self.name} answered {came} to {asked}; expected {error}"
        if not isinstance(error, TimeoutError):
            return f"{self.name} was lost after {asked} was sent: {system_words(error)}"
        if heard is None:
            return f"{self.name} did not take all of {asked} {within}; is it switched on?"
        if not heard:
            return f"{self.name} did not answer {asked} {within}; is it switched on?"
        if heard == data:
            return f"{self.name} only echoed {asked}, and did not answer it {within}"
        return f"{self.name} gave no whole answer to {asked} {within}, only {came}"

    # --- the line --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self, deadline: Deadline) -> Iterator[None]:
        if not self._lock.acquire(timeout=deadline.left()):
            raise InstrumentError(
                f"{self.name} was busy for {deadline.timeout:g} s with another command; "
                "nothing was sent"
            )
        try:
            yield
        finally:
            self._lock.release()

    def _prepare(self, deadline: Deadline) -> None:
        """Have the line open, and the device ready to be asked."""
        if self._is_connected:
            try:
                self._throw_away(deadline)
            except OSError as error:  # nothing is lost: nothing was asked
                logger.info("%s: lost: %s", self.name, system_words(error))
                self._drop()
            else:
                return
        try:
            self._connect(deadline)
            self.is_open = self._is_connected = True
            self.openings += 1
            logger.info("%s: opened", self.name)
            self._busy_until = max(self._busy_until, time.monotonic() + self.protocol.wake)
            self._throw_away(deadline)
        except OSError as error:
            self._drop()
            raise HardwareLost(
                f"{self.name} cannot be opened: {system_words(error)}; nothing was sent"
            ) from None

    def _throw_away(self, deadline: Deadline) -> None:
        """Wait until the device may be asked, and read what it says unasked until then."""
        ready = max(self._busy_until, self._owes_until)
        while True:
            wait = max(0.0, ready - time.monotonic())
            if wait > deadline.left():
                state = "is not ready yet"
                if ready == self._owes_until:
                    state = "may still answer the command before"
                raise InstrumentError(
                    f"{self.name} {state}: try again in {wait:.1f} s; nothing was sent"
                )
            unasked = self._receive_unasked(wait)
            if unasked:
                logger.info("%s: said unasked %s", self.name, Readable(unasked))
            if not wait and not (unasked and deadline.left()):
                break
        if self._has_failed:
            self._clear()
            self._has_failed = False
        if not deadline.left():
            raise InstrumentError(
                f"{self.name} was not ready within {deadline.timeout:g} s; nothing was sent"
            )

    def _drop(self) -> None:
        if self._is_connected:
            self._is_connected = False
            with contextlib.suppress(OSError):  # it was pulled out
                self._disconnect()


class _TwoAnswers(ValueError):
    """A device answered one ask twice."""


class Readable:
    """Bytes that were sent or received, for people: as text on one line, or in hexadecimal, cut.

    They are made text when somebody reads them, and not before.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytes(data)

    def __str__(self) -> str:
        data = self._data[:LONGEST_TEXT]
        if _SCREEN.issuperset(data):
            text = escaped(data.decode("ascii"))
        else:
            data = data[:LONGEST_HEX]
            text = data.hex(" ")
        left_out = len(self._data) - len(data)
        return f"{text}... ({left_out} more bytes)" if left_out else text


def system_words(error: BaseException) -> str:
    """What the system says of an error: `Input/output error`."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error) or type(error).__name__

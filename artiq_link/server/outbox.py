"""The outbox: all that is written to one client, and what becomes of a client that takes nothing.

A reply is written at once; the next request waits until the client takes what was written. Events
are written while the client keeps up. For one that does not, the newest event of each kind and
subject is kept, up to `MAX_EVENTS` bytes in all, and written once it does again: a slow client
gets the newest state, as it is then, and never a backlog.
"""

from __future__ import annotations

import asyncio
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..exchanges.client import Client
from ..exchanges.deadlines import Deadlines
from ..exchanges.messages import Event
from ..exchanges.refusals import Refusals
from ..loggers import get_logger

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_EVENTS = 1024 * 1024
"""Bytes of events that are kept for a client that does not take them; beside these it has one
reply, and what its own system holds."""

RATE = 16 * 1024
"""Bytes of a reply that a client must take in a second; a modem is faster. What is left of it
takes memory of the server."""

SMALL = 16 * 1024
"""Bytes of a reply that every system's buffers hold."""

MAX_UNSENT = 64 * 1024
"""Bytes that the system takes of events for a client whose own system takes none: by itself it
would take megabytes of old ones for each."""

_HAS_POLL = hasattr(select, "poll")

logger = get_logger(__name__)


class _Kept(NamedTuple):
    """An event that waits for its client."""

    event: Event
    encode: Callable[[Event], bytes | None]
    size: int

    def newest(self) -> Event:
        """What the client gets in the end."""
        return self.event if self.event.later is None else self.event.later()


class Outbox:
    """What is written to one client, through `transport`; it must take it in time.

    While something is left to be taken, it must be taken at `RATE`, looked at each `linger_time`
    seconds, or the connection is dropped.
    """

    __slots__ = (
        "_ahead",
        "_client",
        "_deadlines",
        "_ending",
        "_events",
        "_has_events",
        "_last_size",
        "_left_to_take",
        "_linger_time",
        "_refusals",
        "_size_of_events",
        "_socket",
        "_transport",
        "choked",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        client: Client,
        deadlines: Deadlines,
        refusals: Refusals,
        linger_time: float,
    ) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._client = client
        self._deadlines = deadlines
        self._refusals = refusals
        self._linger_time = linger_time
        self.choked = False
        """Whether the client does not take what it is sent as fast as it comes."""
        self._ending = self._has_events = False
        self._last_size = self._left_to_take = 0
        self._events: dict[tuple[str, str | None], _Kept] = {}
        self._size_of_events = 0
        # The orders of the events that have overtaken others.
        self._ahead: dict[tuple[str, str | None], int] = {}

    def write(self, data: bytes) -> None:
        """Send bytes, such as a reply."""
        self._last_size = len(data)
        self._transport.write(data)
        if self.choked:
            self._watch()

    def push(self, events: Iterable[Event], encode: Callable[[Event], bytes | None]) -> None:
        """Send events, or keep them until the client takes what it has been sent."""
        if self._ending:
            return
        if not self._has_events:
            self._has_events = True
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # not on Windows
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
        if self._ahead:
            events = [event for event in events if self._is_news(event)]
        if self.choked:
            for event in events:
                self._keep(event, encode)
        elif data := b"".join([event.written(encode) for event in events]):
            self._transport.write(data)

    def _keep(self, event: Event, encode: Callable[[Event], bytes | None]) -> None:
        """Keep an event in the place of an earlier one of its kind and subject."""
        key = event.kind, event.subject
        if (former := self._events.pop(key, None)) is not None:
            self._size_of_events -= former.size
        # What is made when it is sent takes no memory until then.
        size = 0 if event.later is not None else len(event.written(encode))
        self._events[key] = _Kept(event, encode, size)
        self._size_of_events += size
        while self._size_of_events > MAX_EVENTS:
            oldest = next(key for key, kept in self._events.items() if kept.size)
            self._size_of_events -= self._events.pop(oldest).size

    def choke(self) -> None:
        """The client takes less than it is sent; watch that it takes any."""
        self.choked = True
        self._watch()

    def clear(self) -> None:
        """The client has taken what it was sent: it gets the events that were kept."""
        self.choked = False
        if not self._ending:
            self._deadlines.clear(self._is_late)
            events, self._events, self._size_of_events = self._events, {}, 0
            newest = [(kept.newest(), kept.encode) for kept in events.values()]
            told = [(event, encode) for event, encode in newest if self._is_news(event)]
            self._ahead.update({(e.kind, e.subject): e.order for e, _ in told if e.order})
            if data := b"".join([event.written(encode) for event, encode in told]):
                self._transport.write(data)

    def _is_news(self, event: Event) -> bool:
        """Whether it is none that a newer one has overtaken."""
        return not event.order or event.order > self._ahead.get((event.kind, event.subject), 0)

    def end(self, *, at_once: bool) -> None:
        """Say that nothing more comes, and close once the client has taken all, or `at_once`.

        This is a lingering close: a plain one with bytes unread, such as a newline that comes
        late, makes TCP send a reset, and the client may lose the reply that it has not read (RFC
        1122, 4.2.2.13). The client's own end closes the connection; reading must go on for that.
        """
        self._ending = True
        self._events.clear()
        self._watch()
        if at_once:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:
            # The client has reset the connection, and asyncio has not read it yet.
            self._transport.abort()

    def close_if_taken(self) -> None:
        """Close now, if the client has taken everything."""
        if not self._untaken():
            self._transport.close()

    def forget(self) -> None:
        """The connection has gone."""
        self._ending = True
        self._events.clear()
        self._deadlines.clear(self._is_late)

    def _watch(self) -> None:
        # Asking the system takes a while, and a small reply it has taken as a whole.
        is_small = self._last_size <= SMALL and not self._transport.get_write_buffer_size()
        self._left_to_take = self._last_size if is_small else self._untaken()
        self._deadlines.set(self._is_late, time.monotonic() + self._linger_time)

    def _is_late(self) -> None:
        untaken = self._untaken()
        taken = self._left_to_take - untaken
        if untaken and taken >= RATE * self._linger_time:
            self._watch()
        elif untaken:
            self._refusals.warn_of_slow(
                self._client,
                f"it took {taken} bytes of what it was sent in {self._linger_time:g} s, and "
                f"{untaken} are left",
            )
            self._transport.abort()
        else:
            logger.info("%s: closed: the client did not", self._client)
            self._transport.close()

    def _untaken(self) -> int:
        """How many bytes have been written that the client's system has not taken."""
        return self._transport.get_write_buffer_size() + _unacknowledged(self._socket)


def is_reset(connection: socket.socket) -> bool:
    """Whether the other side has reset a connection, whoever was told of it."""
    if not _HAS_POLL:  # Windows
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    # asyncio has no socket at hand, and making one takes longer than this.
    poll = select.poll()
    poll.register(connection.fileno(), 0)
    found = poll.poll(0)
    # The error is told once, to a reader first; that nothing goes on either way remains.
    return bool(found) and found[0][1] & (select.POLLERR | select.POLLHUP) != 0


def _unacknowledged(connection: socket.socket) -> int:
    """How many bytes the system has not delivered yet; 0 where it does not tell, as on Windows."""
    if fcntl is None:
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is closed already
        return 0
    return int.from_bytes(answer, sys.byteorder)

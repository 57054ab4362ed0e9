"""One client's connection: a state machine between the socket, a wire and the dispatch.

::

    SELECTING ──> READING <──> ANSWERING
        │            │ ^           │
        │            v │           │
        │          RESTING         │
        └────────────┴─────────────┴──> ENDING ──> GONE

Everything that happens (bytes, an end of file, a reply, a turn, a deadline) changes a fact and
calls `step`, which goes on as far as it goes.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar, cast

from ..errors import Busy, ExchangeError, Malformed, Unauthorized, failure_of
from ..exchanges.client import Client
from ..exchanges.dispatch import Dispatch
from ..exchanges.exchange import Exchange
from ..exchanges.messages import Event, Reply, Request
from ..exchanges.rights import EVERYTHING, Role
from ..loggers import get_logger
from ..text import sentence_of
from ..values import encode
from ..wire import select_wire
from ..wire.base import Wire, WireOptions
from .access import Access
from .addresses import format_address
from .outbox import Outbox, is_reset
from .tls import HANDSHAKE, TlsLayer
from .turns import PART, SHARE, TURN, Turns

READ_AHEAD = 64 * 1024
"""Bytes read beyond the request that is running; the rest waits in the client's system."""

LARGE = 1024 * 1024
"""Bytes of a request from which on it is looked at in turns alone."""

RESET_LOOK = 0.1
"""Seconds between two looks for a reset, where no reading tells of it."""

P = ParamSpec("P")
R = TypeVar("R")

logger = get_logger(__name__)


class Phase(enum.IntEnum):
    """What a connection waits for."""

    SELECTING = 0
    """The bytes that tell the dialect."""
    READING = 1
    """A request to be whole."""
    ANSWERING = 2
    """The reply to the request that was taken."""
    RESTING = 3
    """Its next turn, because others want theirs."""
    ENDING = 4
    """The client to take what was written, and to close."""
    GONE = 5
    """Nothing."""


_SELECTING, _READING, _ANSWERING = Phase.SELECTING, Phase.READING, Phase.ANSWERING
_RESTING, _ENDING, _GONE = Phase.RESTING, Phase.ENDING, Phase.GONE


class Service(Protocol):
    """What a connection needs of its server."""

    dispatch: Dispatch
    options: WireOptions
    request_time: float
    linger_time: float
    turns: Turns
    access: Access | None

    def opened(self, connection: Connection) -> None:
        """Take note of a new connection; raises `Busy` where there is no room for it."""

    def closed(self, connection: Connection) -> None:
        """Take note that a connection has gone."""

    def holds(self, more: int) -> None:
        """Take note of so many bytes more, or less, that a connection holds."""

    def is_full(self) -> bool:
        """Whether all connections together hold as much as they may."""


def _guarded(callback: Callable[Concatenate[Connection, P], R]) -> Callable[..., R | None]:
    """Let nothing that a wire raises escape to the event loop, which would only log it."""

    @functools.wraps(callback)
    def call(connection: Connection, *args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return callback(connection, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 it is logged, and told to the client
            connection.break_off(error)
            return None

    return call


class Connection(asyncio.Protocol):
    """One client: reads until a request is whole, has it run, writes its reply, and again."""

    __slots__ = (
        "_arrived",
        "_began",
        "_deadlines",
        "_eof",
        "_exchange",
        "_first",
        "_held",
        "_outbox",
        "_phase",
        "_read_at",
        "_read_size",
        "_service",
        "_taken",
        "_transport",
        "_untaken",
        "_used",
        "_wire",
        "client",
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self._deadlines = service.dispatch.deadlines
        self._phase = _SELECTING
        self._first = b""
        self._wire: Wire | None = None
        self._exchange: Exchange | None = None
        self._eof = False
        self._arrived = self._read_at = self._began = time.monotonic()
        self._used = 0.0
        self._read_size = 0
        self._taken = 0
        self._untaken = 0
        self._held = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the first bytes, for which the client has `REQUEST_TIME`."""
        self._transport = cast(asyncio.Transport, transport)
        # Bytes go at once, and not after all that is left to do in this turn of the loop; and
        # what the client's system does not take at once makes the outbox choke.
        self._transport.set_write_buffer_limits(0)
        # A client that gives up resets the connection (see link_client). Nothing may have been
        # read since, because the loop was busy or the server suspended.
        socket_of = self._transport.get_extra_info("socket")
        self.client = Client(self._find_peer, has_gone=functools.partial(is_reset, socket_of))
        self.client.events_to = self._events_to
        if self._service.access is not None:
            self.client.rights = self._service.access.rights_on(self._transport)
        self._outbox = self._new_outbox()
        self._deadlines.set(self._is_late, self._arrived + self._service.request_time)
        try:
            self._service.opened(self)
        except Busy as error:
            self._send_away(error)

    def _new_outbox(self) -> Outbox:
        refusals, linger_time = self._service.dispatch.refusals, self._service.linger_time
        return Outbox(self._transport, self.client, self._deadlines, refusals, linger_time)

    def _send_away(self, error: ExchangeError) -> None:
        """Tell a client that reaches no wire why."""
        self._service.dispatch.refusals.warn(self.client, error)
        self._outbox.write(encode(Reply(error=error).to_object()) + b"\n")
        self._end()

    def _find_peer(self) -> str:
        address = None if self._phase is _GONE else self._transport.get_extra_info("peername")
        return "a client that has gone" if address is None else format_address(address)

    @_guarded
    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._phase >= _ENDING:
            return
        now = time.monotonic()
        self._used = max(0.0, self._used - PART * (now - self._read_at))
        self._read_at = self._began = now
        self._read_size = len(data)
        if self._wire is None or not self._wire.buffered:
            self._arrived = self._read_at
        if self._wire is None:
            self._first = data = self._first + data
            if not self._select(ended=False):
                return
            self._first = b""
        wire = self._wire
        assert wire is not None  # noqa: S101 it was selected
        wire.receive_data(data)
        if self._phase is _READING and wire.buffered > LARGE:
            self._rest()
        else:
            self.step()

    @_guarded
    def eof_received(self) -> bool:
        """The client writes no more: it may still wait for its reply, so the socket stays."""
        self._eof = True
        self._began = time.monotonic()
        if self._phase is _SELECTING and self._first:
            self._select(ended=True)
        if self._phase is _ENDING:
            self._transport.close()
        elif self._wire is None:
            self._end()
        else:
            self._wire.receive_eof()
            self._look_for_reset()
            self.step()
        return True

    def connection_lost(self, exception: Exception | None) -> None:
        """The connection is gone, and with it the reason for what has not started."""
        has_ended = self._phase is _ENDING
        self._enter(_GONE)
        self._outbox.forget()
        self._deadlines.clear(self._look_for_reset)
        self._service.closed(self)
        self.client.end()
        if exception is not None and not has_ended:
            logger.info("%s: connection lost: %s", self.client, exception)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._service.dispatch.abandon(exchange)

    def pause_writing(self) -> None:
        """The client does not take its reply as fast as it comes: watch that it does at all.

        Until it does, nothing more of it is read or started, so that replies cannot pile up.
        """
        self._outbox.choke()
        self._transport.pause_reading()
        self._untaken = self._transport.get_write_buffer_size()
        self._count(self._held + self._untaken)
        if self._service.is_full():
            logger.warning("%s: closed: it does not take %d bytes", self.client, self._untaken)
            self._abort()

    @_guarded
    def resume_writing(self) -> None:
        """The client has taken its reply."""
        self._count(self._held - self._untaken)
        self._untaken = 0
        self._began = time.monotonic()
        self._outbox.clear()
        self.step()

    @_guarded
    def push(self, events: Sequence[Event]) -> None:
        """Send events, where the dialect has words for them; none to who may no longer see any."""
        if self._wire is None or self._wire.closed or self._phase >= _ENDING:
            return
        access = self._service.access
        if access is None or access.holds(self.client):
            self._outbox.push(events, self._wire.encode_event)
            if self._wire.unfinished and not self._outbox.choked:
                self._rest()
        else:
            logger.info("%s: closed: its session has ended", self.client)
            self.close()

    def _events_to(self, request: Request) -> Callable[[Sequence[Event]], None] | None:
        """What sends events behind the reply to a request, if it can be followed by any."""
        can_follow = self._wire is not None and not request.ends and self._wire.can_push(request)
        return self.push if can_follow else None

    @property
    def descriptor(self) -> int:
        """Its socket's number in the system."""
        number: int = self._transport.get_extra_info("socket").fileno()
        return number

    @property
    def held(self) -> int:
        """How many bytes it holds: of requests, with the one that runs or waits in a queue, and
        of replies that its client does not take."""
        return self._held

    @property
    def silent_since(self) -> float | None:
        """When it was last heard of, on `time.monotonic`, if nothing is to be done for it."""
        if self._phase is not _READING or self._outbox.choked:
            return None
        if self._wire is None or self._wire.awaiting or self.client.subscription is not None:
            return None
        return self._read_at

    def close(self) -> None:
        """Close when what is written has been taken, at once if it has."""
        self._end()
        self._outbox.close_if_taken()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def break_off(self, error: Exception) -> None:
        """A bug has shown itself: tell the client, log it, and end this connection alone."""
        logger.error("%s: %s", self.client, sentence_of(error), exc_info=error)
        if self._wire is None or self._phase >= _ENDING:
            self._transport.abort()
            return
        try:
            self._turn_away(self._wire, failure_of(error))
        except Exception:
            logger.exception("%s: could not be told", self.client)
            self._transport.abort()

    def step(self, *, is_turn: bool = False) -> None:
        """Go on as far as it goes: take requests until one has to be waited for."""
        wire = self._wire
        if wire is None or self._phase >= _ENDING:
            return
        is_stuck = is_turn
        while self._phase is _READING and not self._outbox.choked and not wire.closed:
            size = wire.buffered
            request = wire.next_request()
            if request is None:
                if wire.successor is None:
                    break
                wire = self._take_wire(wire.successor)
                continue
            is_stuck = False
            if words := wire.data_to_send():
                self._outbox.write(words)
            self._taken = size - wire.buffered
            self._answer(wire, request)
        if words := wire.data_to_send():
            self._outbox.write(words)
        self._settle(wire, is_stuck=is_stuck)

    def _settle(self, wire: Wire, *, is_stuck: bool) -> None:
        """See to deadlines, reading and memory, now that nothing more goes on by itself.

        Who had a turn and could do nothing in it needs more bytes, and not another turn.
        """
        if self._phase is _READING:
            if not wire.awaiting:
                self._deadlines.clear(self._is_late)
            if wire.closed:
                if wire.buffered:
                    logger.info("%s: not read: what follows the request", self.client)
                self._end()
            elif self._outbox.choked:
                pass  # once the client takes what it was sent, it goes on
            elif wire.unfinished or (self._is_greedy() and not is_stuck):
                self._rest()
            elif wire.awaiting and self._is_late not in self._deadlines:
                self._deadlines.set(self._is_late, time.monotonic() + self._service.request_time)
        if self._phase >= _ENDING:
            return
        buffered = wire.buffered
        self._count(buffered + self._taken + self._untaken)
        if self._phase is _RESTING:
            return
        if buffered <= READ_AHEAD:
            if not self._outbox.choked:
                self._transport.resume_reading()
        elif self._phase is not _READING or self._outbox.choked:
            self._transport.pause_reading()
            self._look_for_reset()
        elif self._service.is_full():
            error = Busy("the server holds too many large requests")
            self._turn_away(wire, error)
        else:
            self._transport.resume_reading()

    def _select(self, *, ended: bool) -> bool:
        """Choose the wire by the first bytes; whether it may be fed."""
        access = self._service.access
        if access is not None and not self._is_let_in(access):
            return False
        wire = select_wire(self._first, self._service.options, ended)
        if wire is None:
            return False
        self._take_wire(wire)
        if logger.isEnabledFor(logging.INFO):
            self.client.look_up()  # later it may have gone
        self._enter(_READING)
        if self.client.rights.role is Role.NONE and not wire.carries_tokens:
            self._turn_away(wire, Unauthorized(f"{wire.name} carries no token: it needs TLS here"))
            return False
        return True

    def _take_wire(self, wire: Wire) -> Wire:
        self._wire = wire
        self.client.dialect = wire.name
        return wire

    def _is_greedy(self) -> bool:
        """Whether it has taken more of the loop's time than others should have to wait."""
        now = time.monotonic()
        self._used += now - self._began
        self._began = now
        return self._used > SHARE

    def _is_let_in(self, access: Access) -> bool:
        """Whether the first bytes may go to a wire; those that begin TLS go to its layer."""
        if access.context is None:
            return True
        if isinstance(self._transport, TlsLayer):
            self.client.rights = EVERYTHING  # its certificate is trusted, or nothing would come
            return True
        if self._first.startswith(HANDSHAKE):
            self._begin_tls(access.context)
            return False
        if self._first == HANDSHAKE[:1]:
            return False  # the next byte tells
        if self.client.rights.role is not Role.NONE:
            return True
        self._send_away(Unauthorized("this address speaks TLS alone, with a certificate"))
        return False

    def _begin_tls(self, context: ssl.SSLContext) -> None:
        first, self._first = self._first, b""
        refuse = functools.partial(self._service.dispatch.refusals.warn, self.client)
        layer = TlsLayer(context, self._transport, self, refuse)
        self._transport.set_protocol(layer)
        self._transport = layer
        self._outbox = self._new_outbox()
        layer.data_received(first)

    def _rest(self) -> None:
        """Let other connections have their turn: what one client sends at once may be much."""
        if self._phase is _READING:
            self._enter(_RESTING)
            self._transport.pause_reading()
            self._service.turns.wait(self._take_turn)

    @_guarded
    def _take_turn(self) -> None:
        if self._phase is _RESTING:
            assert self._wire is not None  # noqa: S101
            self._enter(_READING)
            self._began, self._used = time.monotonic(), SHARE - TURN
            if self._wire.unfinished:
                self._wire.receive_data(b"")
            self.step(is_turn=True)

    def _answer(self, wire: Wire, request: Request) -> None:
        """Have a request answered: now, or when its command has come to its end."""
        self._deadlines.clear(self._is_late)
        self._enter(_ANSWERING)
        exchange = self._service.dispatch.submit(
            request,
            functools.partial(self._send, wire, request),
            wire.encode_reply,
            self.client,
            self._arrived,
        )
        if wire.buffered <= self._read_size:  # what is left came with the last read
            self._arrived = self._read_at
        if self._phase is _ANSWERING:
            self._exchange = exchange
            return
        if exchange.told is not None:
            wire.note_reply(request, exchange.told)
        if self._phase is _READING and wire.buffered and self._is_greedy() and not wire.closed:
            self._rest()  # it was answered at once, and so might be many others

    @_guarded
    def _send(self, wire: Wire, request: Request, data: bytes) -> None:
        """Send the reply to the request that was taken."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._began = time.monotonic()
        self._taken = 0
        if self._phase is not _ANSWERING:
            return  # the server's stop was faster
        if data and not wire.closed:
            self._outbox.write(data)
        wire.closed |= request.ends
        self._enter(_READING)
        if exchange is not None:
            assert exchange.told is not None  # noqa: S101 data is what was told
            wire.note_reply(request, exchange.told)
            self.step()

    def _turn_away(self, wire: Wire, error: ExchangeError) -> None:
        """Answer what is not whole, and end."""
        self._enter(_ANSWERING)
        request = wire.refuse(error)
        self._service.dispatch.submit(
            request, self._outbox.write, wire.encode_reply, self.client, self._arrived
        )
        self._end()

    @_guarded
    def _is_late(self) -> None:
        if self._wire is None and not self._first:
            logger.info("%s: closed: it sent nothing", self.client)
            self._end()
            return
        error = Malformed(f"the request was not whole after {self._service.request_time:g} s")
        if self._wire is None and not self._select(ended=True):
            self._service.dispatch.refusals.warn(self.client, error)
            self._end()
            return
        assert self._wire is not None  # noqa: S101
        self._turn_away(self._wire, error)

    def _look_for_reset(self) -> None:
        """Drop a client that has reset its connection: while nothing is read, nobody tells."""
        if self._phase >= _ENDING:
            return
        if self.client.has_gone():
            self._abort()
        elif self._eof or not self._transport.is_reading():
            self._deadlines.set(self._look_for_reset, time.monotonic() + RESET_LOOK)

    def _abort(self) -> None:
        self._enter(_ENDING)
        self._transport.abort()

    def _end(self) -> None:
        """Say goodbye: write all that is left, then read until the client closes."""
        if self._phase >= _ENDING:
            return
        self._enter(_ENDING)
        self._outbox.end(at_once=self._eof)
        if not self._eof:
            self._transport.resume_reading()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        if phase >= _ENDING:
            self._deadlines.clear(self._is_late)
            self._count(0 if phase is _GONE else self._untaken)
            self._wire = None

    def _count(self, held: int) -> None:
        """Tell the server how many bytes this connection holds."""
        if held != self._held:
            self._service.holds(held - self._held)
            self._held = held

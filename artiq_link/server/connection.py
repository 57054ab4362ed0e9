"""One client's connection: bytes to its wire, requests to the dispatch, replies back, and time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..errors import Busy, ExchangeError, InternalError, Malformed
from ..exchanges.dispatch import Exchange
from ..exchanges.messages import Reply, Request
from ..exchanges.worker import sentence_of
from ..values import encode
from ..wire import Wire, select_wire
from .addresses import format_address

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from .server import LinkServer

READ_AHEAD = 64 * 1024
"""Bytes read beyond the request that is running; the rest waits in the client's system."""

RESET_LOOK = 0.1
"""Seconds between two looks for a reset, where no reading tells of it."""

MAX_SHOWN = 10_000
"""Characters of a message that debug prints; nobody reads more, and a controller manager stops
reading at a line of 64 KiB."""

logger = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One client: reads until a request is whole, has it run, writes its reply, and again."""

    transport: asyncio.Transport

    def __init__(self, server: LinkServer) -> None:
        self.peer = "a client that has gone"
        self._server = server
        self._first = b""
        self._wire: Wire | None = None
        self._exchange: Exchange | None = None
        self._arrived = self._read_at = time.monotonic()
        self._read_size = 0
        self._held = 0
        self._eof = False
        self._ending = False
        self._resting = False
        self._choked = False
        self._request_timer = Timer(self._request_is_late)
        self._writing_timer = Timer(self._writing_is_late)
        self._reset_timer = Timer(self._look_for_reset)
        self._left_to_take = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with the first bytes, for which the client has `REQUEST_TIME`."""
        self.transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket")
        room = self._server.opened(self)
        peername = transport.get_extra_info("peername")
        if peername is None:
            # It was accepted from the system's backlog after its client had reset it.
            self._ending = True
            self.transport.abort()
            return
        self.peer = format_address(peername)
        self._request_timer.start(self._server.request_time)
        if not room:
            logger.warning("%s: refused: there are too many connections", self.peer)
            error = Busy(f"{self._server.max_connections} connections are open already")
            self.transport.write(encode(Reply(error=error).to_object()) + b"\n")
            self._end()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._ending:
            return
        self._read_at, self._read_size = time.monotonic(), len(data)
        if self._wire is None or not self._wire.buffered:
            self._arrived = self._read_at
        if self._wire is None:
            self._first = data = self._first + data
            self._wire = select_wire(data, self._server.options)
            if self._wire is None:
                return
            self._first = b""
        self._feed(self._wire, data)
        if self._wire.buffered > READ_AHEAD:
            if self._busy:
                self.transport.pause_reading()
                self._reset_timer.start(RESET_LOOK)
            elif self._server.is_full():
                self._refuse(self._wire, Busy("the server holds too many large requests"))
                return
        self._advance()

    def eof_received(self) -> bool:
        """The client writes no more: it may still wait for its reply, so the socket stays."""
        self._eof = True
        if self._wire is None and self._first:
            self._wire = select_wire(self._first, self._server.options, ended=True)
        if self._ending or self._wire is None:
            self._end()
        else:
            self._wire.receive_eof()
            self._reset_timer.start(RESET_LOOK)
            self._advance()
        return True

    def connection_lost(self, exception: Exception | None) -> None:
        """The connection is gone, and with it the reason for what has not started."""
        self._request_timer.cancel()
        self._writing_timer.cancel()
        self._reset_timer.cancel()
        self._ending = True
        self._server.closed(self)
        if exception is not None:
            logger.info("%s: connection lost: %s", self.peer, exception)
        if self._exchange is not None:
            self._exchange.abandon()

    def pause_writing(self) -> None:
        """The client does not take its reply as fast as it comes: watch that it does at all.

        Until it does, nothing more of it is read or started, so that replies cannot pile up.
        """
        self._choked = True
        self.transport.pause_reading()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client takes its reply."""
        self._choked = False
        if not self._ending:
            self._writing_timer.cancel()
            self._go_on()

    @property
    def _busy(self) -> bool:
        """Whether the next request has to wait."""
        return self._exchange is not None or self._resting or self._choked

    @property
    def buffered(self) -> int:
        """How many bytes of requests it holds that are not taken yet."""
        return 0 if self._wire is None else self._wire.buffered

    @property
    def held(self) -> int:
        """How many bytes of requests it holds, with the one that runs or waits in a queue."""
        return self.buffered + self._held

    def close(self) -> None:
        """Close when what is written has been taken, at once if it has."""
        self._end()
        if not self._untaken():
            self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self.transport.abort()

    def _feed(self, wire: Wire, data: bytes) -> None:
        wire.receive_data(data)
        if wire.unfinished:
            self._rest()

    def _rest(self) -> None:
        """Let other connections have their turn: what one client sends at once may be much."""
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self._wire is not None and not self._ending:
            if self._wire.unfinished:
                self._feed(self._wire, b"")
            self._go_on()

    def _advance(self) -> None:
        """Start the next request, when none is running and one is whole."""
        wire = self._wire
        assert wire is not None  # noqa: S101
        while not self._busy and not wire.closed and not self._ending:
            size = wire.buffered
            try:
                request = wire.next_request()
            except ExchangeError as error:
                logger.warning("%s: %s: %s: %s", self.peer, wire.name, error.code, error)
                self._send(wire, Reply(error.request, error=error))
                self._request_timer.cancel()
                self._rest()
                break
            if request is None:
                break
            self._held = size - wire.buffered
            self._start(wire, request)
        self._flush(wire)
        if self._exchange is None and not self._ending:
            if wire.closed:
                if wire.buffered:
                    logger.info("%s: not read: what follows the request", self.peer)
                self._end()
            elif self._busy:
                pass
            elif not wire.awaiting:
                self._request_timer.cancel()
            elif not self._request_timer.running:
                self._request_timer.start(self._server.request_time)

    def _start(self, wire: Wire, request: Request) -> None:
        self._request_timer.cancel()
        # A client that gives up resets the connection (see link_client). The reset may have come
        # behind the request while the server was suspended: then the command would be late.
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            logger.info("%s: %s: its client has gone", self.peer, request.command_id)
            self.transport.abort()
            self._ending = True
            return
        self._print("received from", request.data)
        self._exchange = self._server.dispatch.submit(request, self._answer, self._arrived)
        if wire.buffered <= self._read_size:  # what is left came with the last read
            self._arrived = self._read_at

    def _answer(self, reply: Reply) -> None:
        """Send the reply of the request that was running."""
        self._exchange = None
        self._held = 0
        wire = self._wire
        if wire is None:
            return  # the server's stop was faster
        if reply.error is not None:
            logger.info("%s: %s: %s", self.peer, reply.error.code, reply.error)
        self._send(wire, reply)
        self._go_on()

    def _go_on(self) -> None:
        self._advance()
        # A read brings more than a request takes: what was read ahead must be used up first.
        ahead = self._busy and self.buffered > READ_AHEAD
        if not self._choked and not ahead and not self._ending:
            self.transport.resume_reading()

    def _look_for_reset(self) -> None:
        """Drop a client that has reset its connection: while nothing is read, nobody tells."""
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        elif self._eof or not self.transport.is_reading():
            self._reset_timer.start(RESET_LOOK)

    def _send(self, wire: Wire, reply: Reply) -> None:
        try:
            wire.send_reply(reply)
        except Exception as error:
            assert reply.request is not None  # noqa: S101 only results can be unsendable
            name = reply.request.command_id
            logger.exception("%s: its result cannot be sent", name)
            failure = InternalError(f"{name}: its result cannot be sent: {sentence_of(error)}")
            reply = Reply(reply.request, error=failure)
            wire.send_reply(reply)
        self._print("sent to", reply.to_object())

    def _flush(self, wire: Wire) -> None:
        if data := wire.data_to_send():
            self.transport.write(data)
            if self._choked:
                self._watch_writing()
        if wire.stops_server:
            wire.stops_server = False
            logger.info("%s: it asked for the server's end", self.peer)
            self._server.stop()

    def _end(self) -> None:
        """Say goodbye as a lingering close does: write all, then read until the client closes.

        A plain close with bytes unread, such as a newline that comes late, makes TCP send a
        reset, and the client may lose the reply that it has not read (RFC 1122, 4.2.2.13).
        """
        self._ending = True
        self._wire = None
        self._request_timer.cancel()
        self._reset_timer.cancel()
        self._watch_writing()
        if self._eof:
            self.transport.close()
        else:
            self.transport.resume_reading()
            try:
                self.transport.write_eof()
            except OSError:
                # The client has reset the connection, and asyncio has not read it yet.
                self.transport.abort()

    def _watch_writing(self) -> None:
        """Abort when the client has taken nothing for `LINGER_TIME`."""
        self._left_to_take = self._untaken()
        self._writing_timer.start(self._server.linger_time)

    def _untaken(self) -> int:
        """How many bytes have been written that the client's system has not taken."""
        return self.transport.get_write_buffer_size() + _unacknowledged(self._socket)

    def _writing_is_late(self) -> None:
        untaken = self._untaken()
        if 0 < untaken < self._left_to_take:
            self._watch_writing()
        elif untaken:
            logger.warning("%s: closed: the client does not take its reply", self.peer)
            self.transport.abort()
        else:
            logger.info("%s: closed: the client did not", self.peer)
            self.transport.close()

    def _request_is_late(self) -> None:
        if self._wire is None and not self._first:
            logger.info("%s: closed: it sent nothing", self.peer)
            self._end()
            return
        error = Malformed(f"the request was not whole after {self._server.request_time:g} s")
        wire = self._wire or select_wire(self._first, self._server.options, ended=True)
        if wire is None:
            logger.warning("%s: %s", self.peer, error)
            self._end()
        else:
            self._refuse(wire, error)

    def _refuse(self, wire: Wire, error: ExchangeError) -> None:
        """Answer what is not whole, and end."""
        logger.warning("%s: %s: %s: %s", self.peer, wire.name, error.code, error)
        self._send(wire, Reply(error=error))
        self._flush(wire)
        self._end()

    def _print(self, what: str, message: dict[str, Any]) -> None:
        if not self._server.debug:
            return
        try:
            text = encode(message).decode()
        except (TypeError, ValueError, RecursionError):
            text = repr(message)  # PYON carries what JSON does not
        if len(text) > MAX_SHOWN:
            text = f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            print(f"{what} {self.peer}: {text}", flush=True)


def _unacknowledged(connection: socket.socket) -> int:
    """How many bytes the system has not delivered yet; 0 where it does not tell, as on Windows."""
    if fcntl is None:
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # it is closed already
        return 0
    return int.from_bytes(answer, sys.byteorder)


class Timer:
    """Calls back once after some seconds, unless it is cancelled or started again."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._handle is not None

    def start(self, seconds: float) -> None:
        self.cancel()
        self._handle = asyncio.get_running_loop().call_later(seconds, self._call)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _call(self) -> None:
        self._handle = None
        self._callback()

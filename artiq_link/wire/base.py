"""Wire: what all dialects have in common; bytes in, requests out, replies to bytes, no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from ..exchanges.messages import Reply, Request
from ..instrument.instrument import Instrument

MAX_REQUEST = 64 * 1024 * 1024
"""Bytes of one request: a table or waveform of 8 million samples, and no more than a lab PC's
memory can lose to a client's mistake."""

MAX_DEPTH = 100
"""How deep a request's values may nest; deeper ones are no data, but a try at the parser."""


DIALECTS = frozenset({"json", "eot", "websocket", "comet", "ndsp"})


def unknown_dialect(name: str) -> str:
    """The sentence that refuses a dialect's name."""
    return f"there is no dialect {name!r}; there are {', '.join(sorted(DIALECTS))}"


class WireOptions(msgspec.Struct, frozen=True):
    """What the server's keeper decides about the dialects."""

    dialects: frozenset[str] = DIALECTS
    """Those that are spoken."""
    max_request: int = MAX_REQUEST
    telnet: bool = False
    """Whether a connection stays open after a reply in EOT text."""
    quit_stops: bool = False
    """Whether the WebSocket message ``quit`` stops the server."""
    origins: tuple[str, ...] = ()
    """Web pages' origins, such as ``http://lab-pc:8080``, that may open a WebSocket."""
    instruments: Mapping[str, Instrument] = {}
    """NDSP's targets."""
    description: str | None = None
    """What NDSP tells of the server."""


class Wire(ABC):
    """One connection in one dialect.

    Feed it with `receive_data` and `receive_eof`; ask for `next_request`, answer each with
    `send_reply` before asking for the next; write what `data_to_send` gives after each call.
    Once `closed` is true, nothing more is to be read or asked for: write what is left and close
    the connection.
    """

    name: str
    closed = False
    stops_server = False
    """Whether the client has asked for the server's end."""
    unfinished = False
    """Whether `receive_data` has put bytes off, so that other connections get their turn; call it
    again, with nothing."""

    def __init__(self, options: WireOptions) -> None:
        self.options = options
        self._outgoing: list[bytes] = []

    @abstractmethod
    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""

    @abstractmethod
    def receive_eof(self) -> None:
        """The client has closed its writing side."""

    @abstractmethod
    def next_request(self) -> Request | None:
        """The next whole request, or None where more bytes are needed.

        Raises an `ExchangeError` for bytes that are no request; answer it as if it had been one,
        with ``Reply(error=error)``.
        """

    @abstractmethod
    def send_reply(self, reply: Reply) -> None:
        """Answer the request that `next_request` gave or refused.

        Raises TypeError or ValueError where the dialect cannot carry the reply's result.
        """

    @property
    @abstractmethod
    def buffered(self) -> int:
        """How many bytes have not been taken as part of a request."""

    @property
    def awaiting(self) -> bool:
        """Whether the client has begun something that it has to finish in time."""
        return self.buffered > 0

    def data_to_send(self) -> bytes:
        """What is to be written now; gives it once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

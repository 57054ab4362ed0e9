"""Wire: what all dialects have in common; bytes in, requests out, replies to bytes, no I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from ..errors import ExchangeError, TooLarge
from ..exchanges.messages import Event, Reply, Request
from ..exchanges.registry import Registry
from ..slices import Slices
from .responses import Page

MAX_REQUEST = 64 * 1024 * 1024
"""Bytes of one request with its buffers: a table or waveform of 8 million samples, and no more
than a lab PC's memory can lose to a client's mistake."""

MAX_TEXT = 11_000_000
"""Bytes of the text of one request: an array of a million doubles in base64. Reading it takes up
to 0.1 s, in which no other client is served; what is larger travels as buffers."""

MAX_DEPTH = 100
"""How deep a request's values may nest; deeper ones are no data, but a try at the parser."""


class WireOptions(msgspec.Struct, frozen=True):
    """What the server's keeper decides about the dialects."""

    dialects: frozenset[str] | None = None
    """Those that are spoken; None: all."""
    max_request: int = MAX_REQUEST
    """Bytes, with buffers."""
    telnet: bool = False
    """Whether a connection stays open after a reply in EOT text."""
    quit_stops: bool = False
    """Whether the WebSocket message ``quit`` stops the server."""
    origins: tuple[str, ...] = ()
    """Web pages' origins, such as ``http://lab-pc:8080``, that may open a WebSocket."""
    host_names: tuple[str, ...] = ()
    """The server's names, besides its addresses and localhost, under which it shows web pages."""
    pages: Mapping[str, Page] = {}
    """What browsers are shown, by path."""
    registry: Registry = msgspec.field(default_factory=Registry)
    """Who has which command; the instruments are NDSP's targets."""
    description: str | None = None
    """What NDSP tells of the server."""

    @property
    def max_text(self) -> int:
        """Bytes of a request without its buffers."""
        return min(MAX_TEXT, self.max_request)

    def speaks(self, dialect: str) -> bool:
        """Whether the dialect of that name is spoken."""
        return self.dialects is None or dialect in self.dialects


def too_large(limit: int) -> TooLarge:
    """The refusal of a request of more bytes than are read."""
    return TooLarge(f"the request is over the limit of {limit} bytes")


class Wire(ABC):
    """One connection in one dialect: a codec, which is fed and asked.

    Feed it with `receive_data` and `receive_eof`; ask for `next_request`, answer each with what
    `encode_reply` makes of it before asking for the next; write what `data_to_send` gives, the
    protocol's own words, before each reply. Once `closed` is true, nothing more is to be read,
    asked for or answered: write what is left and close the connection.
    """

    name: str
    closed = False
    carries_tokens = True
    """Whether the dialect has a place for `link.token`."""
    unfinished = False
    """Whether the wire has put something off, so that other connections get their turn: then call
    `receive_data` with nothing, and ask for the next request again."""

    successor: Wire | None = None
    """The wire that the connection goes on with where `next_request` has none, because the client
    has asked for another dialect; it has been fed with what was left."""

    def __init__(self, options: WireOptions) -> None:
        self.options = options
        self._outgoing: list[bytes] = []
        self._work: Slices[Request | None] | None = None

    @abstractmethod
    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client."""

    @abstractmethod
    def receive_eof(self) -> None:
        """The client has closed its writing side."""

    @abstractmethod
    def next_request(self) -> Request | None:
        """The next whole request, or None where more bytes are needed, or more turns.

        Bytes that are no request give one with a refusal.
        """

    @staticmethod
    @abstractmethod
    def encode_reply(request: Request, reply: Reply) -> bytes:
        """Write the reply to a request of this dialect, whichever connection it came on.

        Raises TypeError or ValueError where the dialect cannot carry the reply's result.
        """

    @staticmethod
    def encode_event(event: Event) -> bytes | None:
        """Write an event; None where the dialect has no words for what was not asked for.

        It is a method where it hangs on what the client was told before; then it may write a part,
        and be `unfinished`.
        """
        return None

    @staticmethod
    def can_push(request: Request) -> bool:
        """Whether events may follow the reply to a request that does not end its connection."""
        return False

    def _go_on(self, work: Slices[Request | None]) -> Request | None:
        """Do a slice of what makes a request; None, and `unfinished`, where that is not all."""
        try:
            next(work)
        except StopIteration as end:
            self._work, self.unfinished = None, False
            request: Request | None = end.value
            return request
        self._work, self.unfinished = work, True
        return None

    def note_reply(self, request: Request, reply: Reply) -> None:  # noqa: B027 few need it
        """Be told what the last request has come to: what is asked for next, and what is told
        later, may depend on it."""

    @property
    def form(self) -> Any:
        """How a refusal is written at present, as `Request.form` says it of a request."""
        return None

    def refuse(self, error: ExchangeError, *, ends: bool = True) -> Request:
        """What stands for bytes that are no request, or that do not become one."""
        return Request.refused(error, self.form, ends=ends)

    @property
    @abstractmethod
    def buffered(self) -> int:
        """How many bytes have not been taken as part of a request."""

    @property
    def awaiting(self) -> bool:
        """Whether the client has begun something that it has to finish in time."""
        return self.buffered > 0

    def data_to_send(self) -> bytes:
        """What the protocol itself has to say now, such as a handshake; gives it once."""
        if not self._outgoing:
            return b""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

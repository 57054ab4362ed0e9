"""Who asks: a client with its address, what it speaks, what it may do, and what it listens to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .messages import Event, Request
from .rights import EVERYTHING


class Subscription(Protocol):
    """What a client listens to."""

    def close(self) -> None:
        """Tell it nothing more."""


def _no_events(request: Request) -> None:
    return None


class Client:
    """Who asks. Its address is looked up when somebody wants to know it."""

    __slots__ = (
        "_find_peer",
        "_peer",
        "dialect",
        "events_to",
        "has_ended",
        "has_gone",
        "rights",
        "session",
        "subscription",
    )

    def __init__(
        self,
        peer: str | Callable[[], str],
        dialect: str = "",
        has_gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._find_peer = peer if callable(peer) else None
        self._peer = None if callable(peer) else peer
        self.dialect = dialect
        """What it speaks."""
        self.has_gone = has_gone
        """Whether it has given up, as the system knows at this moment; for any thread."""
        self.rights = EVERYTHING
        """What it may do."""
        self.session: str | None = None
        """The session that it has shown for them."""
        self.events_to: Callable[[Request], Callable[[Sequence[Event]], None] | None] = _no_events
        """Gives what sends events behind the reply to a request; None where nothing can."""
        self.subscription: Subscription | None = None
        """What it listens to."""
        self.has_ended = False
        """Whether its connection is over, so that it listens to nothing any more."""

    def end(self) -> None:
        """Its connection is over."""
        self.has_ended = True
        if self.subscription is not None:
            self.subscription.close()

    def __str__(self) -> str:
        return self.peer

    def describe(self) -> str:
        """Its address and what it speaks: ``192.168.1.5:50123 (json)``."""
        return f"{self.peer} ({self.dialect})" if self.dialect else self.peer

    @property
    def peer(self) -> str:
        """Its address, as ``host:port``."""
        return self._peer or self.look_up()

    @property
    def host(self) -> str:
        """Its address without the port."""
        return self.peer.rpartition(":")[0].strip("[]")

    def look_up(self) -> str:
        """Look its address up now, while it is there."""
        assert self._find_peer is not None  # noqa: S101 one of both was given
        self._peer = self._find_peer()
        return self._peer


NOBODY = Client("nobody")
"""Who asks where a program calls its instrument itself, and for what the link does by itself."""

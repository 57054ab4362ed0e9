"""``link.sign_in`` and ``link.sign_out``: a session for who shows a token, and its end."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidParameter, Unauthorized
from ..instrument.command import command
from .exchange import current_exchange
from .link_commands import LinkCommands, Parts
from .sessions import LIFETIME, PREFIX


class SignIn(LinkCommands):
    """Sessions of those who have shown a token."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._sessions = parts.sessions

    @command
    def sign_in(self) -> dict[str, Any]:
        """Open a session for who shows a token in link.token; seconds is how long it lasts.

        The session is shown in the token's place from then on.
        """
        exchange = current_exchange()
        token = exchange.request.link.token
        if self._sessions is None:
            raise InvalidParameter("this server asks for no token: nobody has to sign in")
        if token is None or token.startswith(PREFIX):
            raise Unauthorized("signing in takes a token: give yours as link.token", "link.token")
        return {"session": self._sessions.open(exchange.client.rights), "seconds": LIFETIME}

    @command
    def sign_out(self) -> None:
        """End the session that is shown in link.token, on all connections that use it."""
        token = current_exchange().request.link.token
        if self._sessions is not None and token is not None:
            self._sessions.close(token)

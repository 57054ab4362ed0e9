"""Who may connect from beyond this computer, by which proof, and what he may do.

Programs of this computer need none. Others show a certificate (see `tls`), or a token (see
`tokens`), or are let in because the server's keeper has opened it to all.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from ..errors import Unauthorized
from ..exchanges.client import Client
from ..exchanges.dispatch import Guard
from ..exchanges.exchange import Exchange
from ..exchanges.registry import Registry
from ..exchanges.rights import EVERYTHING, Rights, Role, check_rights
from ..exchanges.sessions import PREFIX, Sessions
from ..loggers import get_logger
from .addresses import format_address, is_loopback
from .tls import create_context
from .tokens import Tokens, read_tokens

NEEDS_PROOF = Rights(Role.NONE)
"""The rights of a client that has shown neither certificate nor token."""

OPEN = Rights(Role.CONTROL)
"""Those of anyone, where the server is open to all: all but its end."""

logger = get_logger(__name__)


class Access:
    """The keeper's decision: certificates, tokens, everyone, or nobody.

    `files` are the server's certificate, its key, and the certificates that it trusts. Raises
    ValueError where these or a token are asked for and everyone is let in.
    """

    def __init__(
        self,
        registry: Registry,
        files: Sequence[str] | None = None,
        token_file: str | None = None,
        *,
        is_open: bool = False,
    ) -> None:
        if files is not None and (isinstance(files, str) or len(files) != 3):
            raise ValueError("ssl: expected three files, CERT, KEY and PEER")
        if is_open and (files is not None or token_file is not None):
            raise ValueError("open to all, a server asks for neither certificates nor tokens")
        self.is_open = is_open
        """Whether everyone is let in."""
        self.context: ssl.SSLContext | None = None
        """For TLS; None: it is not spoken."""
        self._registry = registry
        self._files = files
        self._token_file = token_file
        self._tokens: Tokens | None = None
        self._sessions = Sessions()

    def read_files(self) -> None:
        """Read certificates and tokens; raises `UnsafeFile`."""
        if self._files is not None:
            self.context = create_context(*self._files)
        if self._token_file is not None:
            self._tokens = read_tokens(self._token_file, self._registry.instruments)

    @property
    def is_given(self) -> bool:
        """Whether anyone is let in from beyond this computer."""
        return self.is_open or self.context is not None or self._tokens is not None

    @property
    def guards(self) -> list[Guard]:
        """Who looks at each exchange: nobody, where all that are let in may do everything."""
        return [] if self._tokens is None else [self._admit]

    @property
    def sessions(self) -> Sessions | None:
        """Of who has shown a token; None where none is asked for."""
        return None if self._tokens is None else self._sessions

    def describe(self) -> str:
        """Who is let in, as `link.status` tells it."""
        if self.is_open:
            return "open: whoever reaches it can command the instruments"
        if self.context is not None:
            return "programs of this computer, and whoever has a certificate"
        if self._tokens is not None:
            return "programs of this computer, and whoever has a token"
        return "programs of this computer"

    @property
    def proof(self) -> str:
        """What a client from another computer shows: a certificate, a token, or none."""
        return "none" if self.is_open else "certificate" if self.context else "token"

    def rights_on(self, transport: asyncio.BaseTransport) -> Rights:
        """What a client may do that has just connected, and has shown nothing yet."""
        address = transport.get_extra_info("sockname")  # None where it has gone already
        if address is not None and is_loopback(address[0]):
            return EVERYTHING
        return OPEN if self.is_open else NEEDS_PROOF

    def _admit(self, exchange: Exchange) -> None:
        """Read the token, if there is one, and refuse what the client may not do.

        A token holds for the connection on which it came, from then on; a session as long as it
        is open. One that has ended is no proof, and no wrong one either.
        """
        client, token = exchange.client, exchange.request.link.token
        if token is not None and token.startswith(PREFIX):
            rights = self._sessions.find(token)
            if rights is not None:
                client.rights, client.session = rights, token
        elif token is not None and self._tokens is not None:
            found = self._tokens.find(token, client.host)
            if client.rights is not found.rights:
                logger.info("%s: the token of %s", client, found.name)
            client.rights, client.session = found.rights, None
        if not self.holds(client):
            raise Unauthorized("your session has ended: sign in again", "link.token")
        check_rights(client.rights, exchange.request, self._registry)

    def holds(self, client: Client) -> bool:
        """Whether the session that a client has shown, if any, is still open."""
        return client.session is None or self._sessions.find(client.session) is not None


def closed_sentence(address: tuple[Any, ...]) -> str:
    """Why a server does not listen on an address beyond this computer, and what lets it."""
    return (
        f"not listening on {format_address(address)}: whoever reaches it could command the "
        "instruments; let in who has a certificate (--ssl CERT KEY PEER), who has a token "
        "(--token-file FILE), or everyone (--open)"
    )

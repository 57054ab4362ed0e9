"""Tokens: the file that has them, and the look whether a client's is one of them.

::

    # name   token                                        role     where another role holds
    master   5tRk0bS7Gm0yQZ2cZkq4lYVv8m4c0y1l             control
    screen   xw1o7nU0eS3kq2Q6cM8d0R5tB9jH4fLz             watch
    oven_pc  Jp8rW2vN5yT1aX7bK3mQ6sD9gF0hL4cZ             watch    oven=control
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import math
from collections import OrderedDict
from collections.abc import Container
from ipaddress import ip_address, ip_network
from time import monotonic
from typing import NamedTuple

from ..errors import Unauthorized
from ..exchanges.rights import Rights, Role
from ..loggers import get_logger
from .private_files import UnsafeFile, read_private

SHORTEST = 16
"""Characters of a token: 96 bits in base64, which nobody guesses."""

FREE_TRIES = 5
"""Wrong tokens from one address that cost it nothing, because people mistype."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries, when many were wrong; the first pause is one second, each further one
twice as long."""

MAX_ADDRESSES = 10_000
"""Addresses whose wrong tokens are remembered, the newest."""

logger = get_logger(__name__)

_ROLES = {"watch": Role.WATCH, "control": Role.CONTROL}


class Token(NamedTuple):
    """One line of the file."""

    name: str
    """Whose it is, for people."""
    digest: bytes
    """Its SHA-256: all are of one length, so that comparing them tells nothing."""
    rights: Rights


class _Tries:
    """What one address has tried."""

    __slots__ = ("known", "until", "wrong")

    def __init__(self) -> None:
        self.wrong = 0
        self.until = 0.0
        self.known: set[str] = set()


class Tokens:
    """The tokens of one file, and the wrong tries of each address."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def find(self, text: str, address: str) -> Token:
        """The token that a client at `address` has given; raises `Unauthorized`.

        Every token is compared, in a time that does not depend on how much of it is right. After
        `FREE_TRIES` wrong ones an address has to wait between two tries, but for a token that it
        has given before and was right: one client's mistake shuts out no others at its address.
        """
        digest = _digest(text)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        tries = self._tries_of(address)
        now = monotonic()
        if found is not None and (now >= tries.until or found.name in tries.known):
            tries.known.add(found.name)
            if now >= tries.until:
                tries.wrong = 0
            return found
        if now < tries.until:
            raise Unauthorized(
                f"too many wrong tokens have come from {address}: "
                f"try again in {math.ceil(tries.until - now)} s",
                "link.token",
            )
        tries.wrong += 1
        logger.warning("%s: a wrong token, in a row: %d", address, tries.wrong)
        if tries.wrong >= FREE_TRIES:
            tries.until = now + min(LONGEST_PAUSE, 2.0 ** min(tries.wrong - FREE_TRIES, 60))
        raise Unauthorized("this token is none of this server's", "link.token")

    def _tries_of(self, address: str) -> _Tries:
        key = _network_of(address)
        tries = self._tries.setdefault(key, _Tries())
        self._tries.move_to_end(key)
        if len(self._tries) > MAX_ADDRESSES:
            self._tries.popitem(last=False)
        return tries


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _network_of(address: str) -> str:
    """What one computer has: with IPv6 a network, in which it takes any address (RFC 8981)."""
    try:
        plain = ip_address(address.partition("%")[0])
    except ValueError:  # it has gone, and nobody knows where it was
        return address
    return address if plain.version == 4 else str(ip_network(f"{plain}/64", strict=False))


def read_tokens(path: str, instruments: Container[str]) -> Tokens:
    """Read a file of tokens; raises `UnsafeFile` with the line that is wrong."""
    tokens: list[Token] = []
    for number, line in enumerate(read_private(path).splitlines(), 1):
        words = list(itertools.takewhile(lambda word: not word.startswith("#"), line.split()))
        if words:
            try:
                token = _token_of(words, instruments)
                for other in tokens:
                    if token.name == other.name or token.digest == other.digest:
                        raise ValueError("its name, or its token, stands in a line before")
            except ValueError as error:
                raise UnsafeFile(f"{path}, line {number}: {error}") from None
            tokens.append(token)
    if not tokens:
        raise UnsafeFile(f"{path}: there is no token in it; a line is NAME TOKEN ROLE")
    return Tokens(tokens)


def _token_of(words: list[str], instruments: Container[str]) -> Token:
    # No word is repeated in what is said: who confuses their order would have a token printed.
    if len(words) < 3:
        raise ValueError("expected NAME TOKEN ROLE, and perhaps INSTRUMENT=ROLE")
    name, text, role, *particular = words
    if len(text) < SHORTEST:
        raise ValueError(
            f"the token, its second word, is too short: take at least {SHORTEST} characters, such "
            'as python -c "import secrets; print(secrets.token_urlsafe())" prints'
        )
    roles = {}
    for word in particular:
        instrument, equals, role_there = word.partition("=")
        if not equals:
            raise ValueError("expected INSTRUMENT=ROLE behind NAME TOKEN ROLE")
        if instrument not in instruments:
            raise ValueError("INSTRUMENT=ROLE names an instrument that there is not")
        roles[instrument] = _role_of(role_there)
    its_role = _role_of(role)
    ends_server = {its_role, *roles.values()} == {Role.CONTROL}
    return Token(name, _digest(text), Rights(its_role, roles, ends_server))


def _role_of(word: str) -> Role:
    if word not in _ROLES:
        raise ValueError(f"a role is {' or '.join(_ROLES)}; a line is NAME TOKEN ROLE")
    return _ROLES[word]

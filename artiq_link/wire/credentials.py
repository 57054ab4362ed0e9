"""Credentials: the proof in an HTTP request's head that its client may connect.

A program sends its token, a browser the cookie of its session. Cookies know no ports: a browser
sends those of every server of the computer. So a cookie's name has the port in it, and one that
comes twice, as another port's page can have it set, is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exchanges.sessions import PREFIX


def proof_of(authorization: Sequence[str], cookies: Sequence[str], host: str | None) -> str | None:
    """What is to be shown as `link.token`, of the values of these headers."""
    return token_of(authorization) or session_of(cookies, host)


def token_of(authorization: Sequence[str]) -> str | None:
    """The token of the header ``Authorization: Bearer TOKEN`` (RFC 6750, 2.1)."""
    if len(authorization) == 1:
        scheme, _, token = authorization[0].strip().partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    return None


def session_of(cookies: Sequence[str], host: str | None) -> str | None:
    """The session of the header ``Cookie`` (RFC 6265, 4.2), in a request to `host`."""
    pairs = [pair.strip().partition("=") for line in cookies for pair in line.split(";")]
    name = cookie_name(host)
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 and found[0].startswith(PREFIX) else None


def cookie_name(host: str | None) -> str:
    """The name of the cookie of a server that is asked for as `host`, such as ``lab-pc:65432``."""
    port = (host or "").rpartition("]")[2].partition(":")[2]
    return f"artiq_link_{port}" if port.isdecimal() else "artiq_link"


def set_cookie(name: str, session: str, seconds: float, *, is_secure: bool) -> str:
    """The value of ``Set-Cookie`` (RFC 6265bis, 4.1): no script reads it, no other site sends it;
    without seconds it is deleted."""
    secure = "; Secure" if is_secure else ""
    return f"{name}={session}; Path=/; Max-Age={seconds:.0f}; HttpOnly; SameSite=Strict{secure}"

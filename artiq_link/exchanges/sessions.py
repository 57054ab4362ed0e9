"""Sessions: what a token opens for a browser, so that no page has to keep the token itself.

A session's name is shown in the token's place and stands for what the token may do, until it is
closed, its time is over, or the server ends: it is kept in memory alone.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict

from .registry import LINK
from .rights import Rights

PREFIX = "artiq-link-session-"
"""Of a session's name, so that one that has ended is no wrong token."""

LIFETIME = 12 * 3600.0
"""Seconds: a long day in the laboratory."""

MAX_SESSIONS = 1000
"""Sessions that are open at once, the newest: every browser of a large laboratory, many times."""

SIGN_IN = f"{LINK}.sign_in"
"""The command whose result is a secret."""


class Sessions:
    """The sessions that are open; to be used on the event loop."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[float, Rights]] = OrderedDict()

    def open(self, rights: Rights) -> str:
        """Open one for a client with these rights; returns its name, which nobody can guess."""
        name = PREFIX + secrets.token_urlsafe(32)
        self._open[name] = time.monotonic() + LIFETIME, rights
        if len(self._open) > MAX_SESSIONS:
            self._open.popitem(last=False)
        return name

    def find(self, name: str) -> Rights | None:
        """What may be done in a session; None where it has ended."""
        end, rights = self._open.get(name, (0.0, None))
        if rights is not None and time.monotonic() >= end:
            self.close(name)
            return None
        return rights

    def close(self, name: str) -> None:
        """End a session, wherever it is used."""
        self._open.pop(name, None)

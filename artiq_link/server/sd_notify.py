"""What systemd is told of a server: that it is ready, lives, does, and stops (sd_notify(3)).

Elsewhere, where nobody has asked for it by ``NOTIFY_SOCKET``, nothing is told.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

from ..loggers import get_logger
from ..text import shown

BEAT = 10.0
"""Seconds between two words on what the server does, where no watchdog wants them sooner."""

SHORTEST_BEAT = 0.05
"""Seconds; what wants to hear of the server more often would only be in its way."""

logger = get_logger(__name__)


class Notices:
    """Says what systemd wants to know, as it has asked by the variables of `environment`.

    `status` says for people what the server does. Where systemd has gone, or takes nothing, the
    server does not wait for it.
    """

    def __init__(self, status: Callable[[], str], environment: Mapping[str, str]) -> None:
        self._status = status
        self._address = environment.get("NOTIFY_SOCKET", "") if hasattr(socket, "AF_UNIX") else ""
        self._watchdog = _watchdog_time(environment) if self._address else None
        self._is_ready_told = False
        self._timer: asyncio.TimerHandle | None = None

    def starting(self) -> None:
        """The instruments are being opened."""
        self._tell(self._status_line())

    def ready(self) -> None:
        """They are open; from now on the event loop tells that it turns, and what it does."""
        if self._address:
            self._beat(asyncio.get_running_loop())

    def stopping(self) -> None:
        """The server stops; the watchdog is fed until its end."""
        self._is_ready_told = True
        self._tell("STOPPING=1", self._status_line())

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        is_told = self._tell(
            *([] if self._is_ready_told else ["READY=1"]),
            *([] if self._watchdog is None else ["WATCHDOG=1"]),
            self._status_line(),
        )
        self._is_ready_told |= is_told
        # Twice in its time, as sd_watchdog_enabled(3) recommends.
        period = BEAT if self._watchdog is None else min(BEAT, self._watchdog / 2)
        self._timer = loop.call_later(max(SHORTEST_BEAT, period), self._beat, loop)

    def _status_line(self) -> str:
        return f"STATUS={shown(self._status())}"

    def _tell(self, *lines: str) -> bool:
        """Send lines in one datagram; whether it was taken."""
        if not self._address:
            return False
        # An abstract socket's name begins with a zero, which no variable can hold.
        is_abstract = self._address.startswith("@")
        address = os.fsencode(f"\0{self._address[1:]}" if is_abstract else self._address)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
                datagrams.setblocking(False)
                datagrams.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            logger.debug("systemd is not told: %s", error)
            return False
        return True


def _watchdog_time(environment: Mapping[str, str]) -> float | None:
    """The seconds within which systemd wants to hear of this process; None where it does not."""
    given = environment.get("WATCHDOG_USEC")
    if given is None or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    # It is a number of 64 bits, and 0 would be off.
    if not (given.isdecimal() and len(given) <= 20 and int(given)):
        logger.warning("WATCHDOG_USEC: %r is no time in us; no watchdog is fed", given)
        return None
    return int(given) / 1e6

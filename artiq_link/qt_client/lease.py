"""The leases that the window holds: taken and released by its user, renewed in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from ..link_client import Lease, Link, LinkError
from .background import Background

LEASE_TIME = 60.0
"""Seconds after which the instrument is free, should this computer stop without a word."""

LAST_WAIT = 0.5
"""Seconds that the end of the program waits for leases to be released."""


class Leases(QObject):
    """What this window holds of one server's instruments, by their names."""

    changed = Signal(str, str)
    """An instrument whose lease has come, or not, or has gone; and why it has not, or empty."""

    def __init__(self, background: Background, link: Callable[[], Link]) -> None:
        super().__init__()
        self._background = background
        self._link = link
        self._held: dict[str, Lease] = {}

    def __contains__(self, instrument: object) -> bool:
        return instrument in self._held

    def is_lost(self, instrument: str) -> bool:
        """Whether the lease that was taken has ended, or may have."""
        return instrument in self._held and self._held[instrument].lost

    def members(self, instrument: str) -> Mapping[str, Any]:
        """What requests say of an instrument's lease; raises `LeaseLost` where it has ended."""
        lease = self._held.get(instrument)
        return {} if lease is None else lease.members(None)

    def take(self, instrument: str, owner: str) -> None:
        """Acquire an instrument under a name; `changed` follows."""
        # A link holds one lease at a time, so each has its own.
        lease = self._link().lease(instrument, owner, LEASE_TIME)
        failures: list[LinkError] = []

        def acquire() -> None:
            try:
                lease.__enter__()
            except LinkError as error:
                failures.append(error)

        def taken() -> None:
            if not failures:
                self._held[instrument] = lease
            self.changed.emit(instrument, "".join(map(str, failures)))

        self._background.run(acquire, taken)

    def release(self, instrument: str) -> threading.Thread | None:
        """Give an instrument back; `changed` follows."""
        lease = self._held.pop(instrument, None)
        if lease is None:
            return None
        return self._background.run(
            lambda: lease.__exit__(None, None, None), lambda: self.changed.emit(instrument, "")
        )

    def release_all(self) -> list[threading.Thread]:
        """Give all back; the threads in which that is done."""
        return [t for t in map(self.release, list(self._held)) if t is not None]

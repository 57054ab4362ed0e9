"""What a server tells by itself, brought from the thread that watches it to the window's."""

from __future__ import annotations

import threading
from typing import Any

from PySide6.QtCore import QObject, Signal

from ..link_client import Link, LinkError, Watch
from .background import Background

KINDS = ("link", "state", "progress", "lease", "instrument", "exchange")


class Live(QObject):
    """The events of one server; the connection is made again where it is lost."""

    came = Signal(object)
    """Events, in their order: those that have come since the last time."""

    ended = Signal(str)
    """Why the server cannot be watched, or not any more."""

    def __init__(self, background: Background, link: Link, parent: QObject) -> None:
        super().__init__(parent)
        self._background = background
        self._link = link
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._closed = False
        self._events: list[dict[str, Any]] = []
        background.run(self._run)

    def close(self) -> None:
        """Watch no more; nothing is told after this."""
        with self._lock:
            self._closed = True
            if self._watch is not None:
                self._watch.close()
        self.deleteLater()

    def _run(self) -> None:
        try:
            watch = self._link.watch(kinds=KINDS)
            with self._lock:
                self._watch = watch
                if self._closed:
                    watch.close()
            for event in watch:
                self._bring(event)
        except LinkError as error:
            reason = str(error)
            self._background.follow(lambda: self._end(reason))

    def _bring(self, event: dict[str, Any]) -> None:
        """Have the window's thread take an event, and those that come before it has time."""
        with self._lock:
            self._events.append(event)
            is_first = len(self._events) == 1
        if is_first:
            self._background.follow(self._give)

    def _end(self, reason: str) -> None:
        if not self._closed:
            self.ended.emit(reason)

    def _give(self) -> None:
        with self._lock:
            events, self._events = self._events, []
            if self._closed:
                return
        self.came.emit(events)

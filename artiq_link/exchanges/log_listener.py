"""The log's warnings, as those who listen to them are told."""

from __future__ import annotations

import logging

from ..text import shown, without_folders
from .feed import Feed
from .messages import Event

MAX_LINE = 1000
"""Characters of a line that are told."""


class LogListener(logging.Handler):
    """Has `feed` tell of warnings and errors, the package's and the lab's own.

    Without tracebacks and folders: whoever may watch sees them.
    """

    def __init__(self, feed: Feed) -> None:
        super().__init__(logging.WARNING)
        self._feed = feed

    def listen(self, *, is_on: bool) -> None:
        """Hear of the lines that are logged from now on, or of none."""
        root = logging.getLogger()
        if is_on:
            root.addHandler(self)
        else:
            root.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Have one line told; from any thread."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 its arguments do not fit it, which other handlers tell
            text = str(record.msg)
        content = {
            "level": record.levelname,
            "name": shown(str(record.name)),
            "text": shown(without_folders(text), MAX_LINE),
            "time": record.created,
        }
        self._feed.add(Event("log", None, content))

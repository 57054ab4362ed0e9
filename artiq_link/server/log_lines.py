"""How a log line is written: for ARTIQ's controller manager, or with its time for people.

The package's own loggers show what clients sent (see `loggers`). Here all messages are made safe,
a lab's and the tracebacks too, though their lines stay lines: nothing in one commands a terminal,
and none of its lines passes for another message.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from ..text import escaped, sentence_of, shown

MAX_LOG_LINE = 16_000
"""Characters, of four bytes at most. A controller manager reads no further after a line of 64 KiB
(asyncio's limit), and then the pipe fills."""

MAX_LOG_TEXT, MAX_LOG_LINES = 16_000, 200
"""Characters and lines of one message; of a longer one, such as a traceback with a client's
megabytes in it, beginning and end are written."""


MAX_CHAIN = 20
"""Exceptions looked at that came from each other."""

_HEAD = "Traceback (most recent call last):"


class _Lines(logging.Formatter):
    """Takes a message apart into lines, as few and as short as is fit."""

    def lines(self, record: logging.LogRecord) -> list[str]:
        text = super().format(record)
        left_out = len(text) - MAX_LOG_TEXT
        if left_out > 0:
            half = MAX_LOG_TEXT // 2
            text = f"{text[:half]}\n... ({left_out} more characters)\n{text[-half:]}"
        lines = [line[:MAX_LOG_LINE] for line in escaped(text, but="\n\t").split("\n")]
        left_out = len(lines) - MAX_LOG_LINES
        if left_out > 0:
            half = MAX_LOG_LINES // 2
            lines[half:-half] = [f"... ({left_out} more lines)"]
        return lines

    def formatException(self, ei: Any) -> str:
        """A traceback; of an exception with megabytes of text only that one's, with little text.

        `traceback` would look at each line of them, for seconds in which nothing else runs.
        """
        error, seen = ei[1], 0
        while error is not None and seen < MAX_CHAIN:
            if len(sentence_of(error)) > MAX_LOG_TEXT:
                frames = "".join(traceback.format_tb(ei[2]))
                return f"{_HEAD}\n{frames}{type(ei[1]).__qualname__}: {shown(sentence_of(ei[1]))}"
            error, seen = error.__cause__ or error.__context__, seen + 1
        return super().formatException(ei)


class ArtiqFormatter(_Lines):
    """Writes ``LEVEL:logger:message``, and of several lines ``LEVEL<lines>:logger:message``.

    So a controller manager keeps a traceback together, and at its level (`sipyco.logs`).
    """

    def __init__(self) -> None:
        super().__init__(logging.BASIC_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        lines = self.lines(record)
        if len(lines) > 1:
            level, _, rest = lines[0].partition(":")
            lines[0] = f"{level}<{len(lines)}>:{rest}"
        return "\n".join(lines)


class BareFormatter(_Lines):
    """Writes the message alone."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(self.lines(record))


class TimedFormatter(_Lines):
    """Writes ``2026-03-01 09:30:00,123 LEVEL:logger:message``, as ARTIQ's log files have it.

    A message's further lines are indented: a time at the beginning of a line begins a message.
    """

    def __init__(self) -> None:
        super().__init__(f"%(asctime)s {logging.BASIC_FORMAT}")

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(self.lines(record))

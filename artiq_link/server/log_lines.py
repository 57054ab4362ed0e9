"""How a log line is written: for ARTIQ's controller manager, or with its time for people.

The package's own loggers show what clients sent (see `loggers`). Here all messages are made safe,
a lab's and the tracebacks too, though their lines stay lines: nothing in one commands a terminal,
and none of its lines passes for another message.
"""

from __future__ import annotations

import logging

from ..text import escaped

MAX_LOG_LINE = 16_000
"""Characters, of four bytes at most. A controller manager reads no further after a line of 64 KiB
(asyncio's limit), and then the pipe fills."""

MAX_LOG_TEXT = 16_000
"""Characters of one message; of a longer one, such as a traceback with a client's megabytes in it,
beginning and end are written."""


class ArtiqFormatter(logging.Formatter):
    """Writes ``LEVEL:logger:message``, and of several lines ``LEVEL<lines>:logger:message``.

    So a controller manager keeps a traceback together, and at its level (`sipyco.logs`).
    """

    def __init__(self) -> None:
        super().__init__(logging.BASIC_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        lines = _lines(super().format(record))
        if len(lines) > 1:
            level, _, rest = lines[0].partition(":")
            lines[0] = f"{level}<{len(lines)}>:{rest}"
        return "\n".join(lines)


class TimedFormatter(logging.Formatter):
    """Writes ``2026-03-01 09:30:00,123 LEVEL:logger:message``, as ARTIQ's log files have it.

    A message's further lines are indented: a time at the beginning of a line begins a message.
    """

    def __init__(self) -> None:
        super().__init__(f"%(asctime)s {logging.BASIC_FORMAT}")

    def format(self, record: logging.LogRecord) -> str:
        return "\n    ".join(_lines(super().format(record)))


def _lines(text: str) -> list[str]:
    left_out = len(text) - MAX_LOG_TEXT
    if left_out > 0:
        half = MAX_LOG_TEXT // 2
        text = f"{text[:half]}\n... ({left_out} more characters)\n{text[-half:]}"
    return [line[:MAX_LOG_LINE] for line in escaped(text, but="\n\t").split("\n")]

"""Where a program's log goes, and what debug shows, each place behind a queue and a thread.

Nobody has to read standard error and output: a pipe fills, Ctrl-S stops a terminal. Then messages
are dropped and counted, and whoever writes them goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import queue
import select
import stat
import sys
import time
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from typing import Any, TextIO

from ..loggers import get_logger
from .log_lines import ArtiqFormatter, BareFormatter, TimedFormatter

MAX_QUEUED = 1000
"""Messages that wait to be written; more than this come only where nobody takes them."""

MAX_LOG_FILE = 10_000_000
"""Bytes of a log file, which is then renamed and a new one begun: two or three days of an exchange
a second at -v."""

READING_TIME = 0.1
"""Seconds in which who reads standard output takes a line; who does not is waited for once, until
all that was queued is written."""

END_TIME = 1.0
"""Seconds that a program's end gives to what is queued."""

logger = get_logger(__name__)


def init_logging(options: argparse.Namespace) -> None:
    """Log to standard error, and to ``--log-file`` too; WARNING, moved by ``-v`` and ``-q``.

    A pipe is read by a program, such as ARTIQ's controller manager, which wants the level first,
    or by the system's log, which has times of its own. On a terminal and in a file each message
    has its time. Where a program has set logging up before, its handlers and level stay as they
    are. Ends the program with a sentence and exit code 2 where the log file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if sys.stderr is not None:  # a program without a terminal, such as pythonw
        is_for_people = not _is_read_by_a_program(sys.stderr)
        formatter = TimedFormatter() if is_for_people else ArtiqFormatter()
        handlers.append(BackgroundHandler(_Stream(sys.stderr), formatter))
    level = logging.WARNING + 10 * (options.quiet - options.verbose)
    logging.basicConfig(handlers=handlers, level=level)
    if options.log_file is None:
        return
    try:
        file = _LogFile(options.log_file, options.log_backup_count)
    except OSError as error:
        print(f"--log-file: {options.log_file}: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    logging.getLogger().addHandler(BackgroundHandler(file, TimedFormatter()))


class BackgroundOutput:
    """Standard output, for what debug shows; nothing where a program has none.

    Where it is read, a line is there before `write` returns, so that what a command prints itself
    stands behind what was received and before what was sent.
    """

    def __init__(self) -> None:
        self._handler = None
        self._is_read = True
        if sys.stdout is not None:
            self._handler = BackgroundHandler(_Stream(sys.stdout), BareFormatter())
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(line_buffering=True)  # of what commands print to a pipe

    def write(self, line: str) -> None:
        """Have a line written, from any thread."""
        handler = self._handler
        if handler is not None:
            handler.handle(logging.makeLogRecord({"msg": line}))
            self._is_read = handler.wait(READING_TIME if self._is_read else 0.0)

    def close(self) -> None:
        """Write what is queued, as far as it is taken in `END_TIME`."""
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.close()


class BackgroundHandler(QueueHandler):
    """Has `target` write what is logged, in a thread of its own, and never waits for it.

    `formatter` makes lines of it at once: what it tells of may change.
    """

    def __init__(self, target: logging.Handler, formatter: logging.Formatter) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(MAX_QUEUED)
        super().__init__(self._queue)
        self.setFormatter(formatter)
        self._target = target
        self._listener = QueueListener(self._queue, target)
        self._is_started = False
        self._dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Have a line written, or count it where too many wait."""
        # The handler's lock is held: nobody else puts something into the queue.
        if not self._is_started:
            self._listener.start()
            self._is_started = True
        # Once lines are dropped, a quarter of the queue has to be free: one gap, not many.
        most = MAX_QUEUED * 3 // 4 if self._dropped else MAX_QUEUED
        if self._queue.qsize() >= most:
            self._dropped += 1
            return
        if self._dropped:
            self._queue.put_nowait(self._gap())
            self._dropped = 0
        self._queue.put_nowait(record)

    def wait(self, seconds: float) -> bool:
        """Whether all that was queued is written within so many seconds."""
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(
                lambda: not self._queue.unfinished_tasks, seconds
            )

    def close(self) -> None:
        """Write what is queued, as far as it is taken in `END_TIME`.

        At the program's end, `logging` calls this.
        """
        end = time.monotonic() + END_TIME
        if self._dropped:
            with contextlib.suppress(queue.Full):
                self._queue.put(self._gap(), timeout=END_TIME)
        if self.wait(max(0.0, end - time.monotonic())):  # otherwise the thread is left behind
            if self._is_started:
                self._listener.stop()
                self._is_started = False
            self._target.close()
        super().close()

    def _gap(self) -> logging.LogRecord:
        """What stands in the place of dropped lines."""
        sentence = "%d messages are missing here: they came faster than they were taken"
        record: logging.LogRecord = self.prepare(
            logger.makeRecord(
                logger.name, logging.WARNING, "", 0, sentence, (self._dropped,), None
            )
        )
        return record


class _Stream(logging.StreamHandler[Any]):
    """Writes to standard error or output without the locks that the program's end would wait for.

    A thread that waits for the reader of a pipe would hold them for ever.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(_Unbuffered.of(stream))

    def handle(self, record: logging.LogRecord) -> bool:
        """Write; only one thread does."""
        self.emit(record)
        return True

    def handleError(self, record: logging.LogRecord) -> None:
        """Nobody reads it any more, and there is no other place to say so."""


class _Unbuffered:
    """Writes text as a whole, and keeps none."""

    def __init__(self, raw: io.RawIOBase, encoding: str) -> None:
        self._raw = raw
        self._encoding = encoding

    @classmethod
    def of(cls, stream: TextIO) -> Any:
        """A stream without its buffer; `stream` itself where it is one of another kind."""
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # python -u has no buffer
        return cls(raw, stream.encoding) if isinstance(raw, io.RawIOBase) else stream

    def write(self, text: str) -> None:
        left = memoryview(text.encode(self._encoding, "backslashreplace"))
        while left:
            written = self._raw.write(left)
            if written is None:  # another program has made the terminal non-blocking
                select.select([], [self._raw], [])
            left = left[written or 0 :]

    def flush(self) -> None:
        """There is nothing left."""


class _LogFile(RotatingFileHandler):
    """Writes to a file, of which `old_ones` are kept, and says once where it cannot."""

    def __init__(self, name: str, old_ones: int) -> None:
        super().__init__(
            name,
            maxBytes=MAX_LOG_FILE,
            backupCount=old_ones,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._has_said_so = False

    def handleError(self, record: logging.LogRecord) -> None:
        """The disk is full, for one."""
        if not self._has_said_so:
            self._has_said_so = True
            logger.error("the log file %s: %s", self.baseFilename, sys.exc_info()[1])


def _is_read_by_a_program(stream: TextIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # a window's
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

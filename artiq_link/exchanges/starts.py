"""The file of started commands: a line before each and one behind it, until the journal has both.

A line costs one call of the system, a tenth of an insertion into the journal with its index, and
waits for no other writer. What has been written survives the death of the process at any moment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from .records import Record

MAX_LINE = 16 * 1024
"""Bytes of a line with a result: to write what is longer would hold up its reply."""

MAX_SIZE = 1024 * 1024
"""Bytes after which lines that are needed no more are dropped: some thousands of commands."""


class Starts:
    """Lines of commands that have started, in the file at `path`.

    With `sync` the line before a command is on the disk itself; the one behind it may be lost by
    a power failure, and what became of the command is not known then. Any thread may call. Raises
    OSError where the file cannot be opened or written.
    """

    def __init__(self, path: Path, *, sync: bool = False) -> None:
        self._path = path
        self._sync = sync
        self._lock = threading.Lock()
        self._lines: dict[Record, bytes] = {}
        self._size = 0
        self._descriptor = self._open()

    def left(self) -> list[Record]:
        """What former starts of the server have left; lines that are not whole are passed over.

        Of a command that has ended it is the line behind it.
        """
        records = {}
        for line in self._path.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                record = msgspec.json.decode(line, type=Record)
                records[record.id] = record
        return list(records.values())

    def add(self, record: Record) -> None:
        """Write a command's line: before it starts, and once more when it has ended.

        A result too long for a line is left out of it.
        """
        with self._lock:
            line = _line_of(record)
            if len(line) > MAX_LINE and record.result is not None:
                line = _line_of(msgspec.structs.replace(record, result=None))
            self._lines[record] = line
            self._write(line)
            if self._sync and record.outcome is None:
                os.fsync(self._descriptor)

    def remove(self, records: Iterable[Record]) -> None:
        """Forget what the journal has; the file is shortened now and then."""
        with self._lock:
            for record in records:
                self._lines.pop(record, None)
            if self._size > MAX_SIZE:
                self._rewrite()

    def rewrite(self, running: Iterable[Record] = ()) -> None:
        """Write what is needed to a new file, in the place of the old one.

        A line is needed for what was added and not removed, and for what is `running` besides.
        """
        with self._lock:
            self._lines.update((each, _line_of(each)) for each in running if each.id is not None)
            self._rewrite()

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _rewrite(self) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("wb") as file:
            file.write(b"".join(self._lines.values()))
            if self._sync:
                file.flush()
                os.fsync(file.fileno())
        # Windows replaces no file that is open.
        os.close(self._descriptor)
        try:
            os.replace(fresh, self._path)
        finally:
            self._descriptor = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(descriptor).st_size
        return descriptor

    def _write(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        self._size += written
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _line_of(record: Record) -> bytes:
    return msgspec.json.encode(record) + b"\n"

"""The journal's file: SQLite, with a row for each exchange; finds, lists, and forgets the oldest.

One thread writes, in batches. Others read meanwhile, over connections of their own, and wait for
nobody, because SQLite keeps a write-ahead log (https://www.sqlite.org/wal.html). What has started
and is not in a row yet stands in the file of `Starts`.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_state_path

from .lease_table import LeaseTable
from .records import REFUSED, Record
from .settings_table import SettingsTable
from .sieve import Sieve
from .starts import Starts

VERSION = 1
"""Of the table; a later version of this program adds what is missing, or says that it cannot."""

MAX_AGE = 90 * 86400.0
"""Seconds for which exchanges are kept: somebody who writes a paper looks back so far."""

MAX_SIZE = 1024 * 1024 * 1024
"""Bytes of the file: some millions of exchanges."""

ALWAYS_KEPT = 10_000
"""Exchanges that are never too old, whatever becomes of the computer's clock."""

FORGOTTEN = 500
"""Rows that are deleted at once, so that none waits long to be written."""

PATIENCE = 1.0
"""Seconds for which another program may hold the file before this is an error."""

MAX_SIEVED = 8_000_000
"""Ids after which the sieve of them is made anew, without those that have been deleted."""

MAX_LOG = 16 * 1024 * 1024
"""Bytes that the write-ahead log is cut to once it has been copied into the file."""

_COLUMNS = ", ".join(f'"{name}"' for name in Record.__struct_fields__)
_NUMBERS = {"received": "REAL", "rid": "INTEGER", "queue": "REAL", "duration": "REAL"}
_TABLE = ", ".join(f'"{n}" {_NUMBERS.get(n, "TEXT")}' for n in Record.__struct_fields__)
_INSERT = (
    f"INSERT INTO exchanges ({_COLUMNS}) "  # noqa: S608 the names are those of Record
    f"VALUES ({', '.join('?' * len(Record.__struct_fields__))})"
)
_VALUES = ", ".join(
    f"json_extract(value, '$[{place}]')" for place in range(len(Record.__struct_fields__))
)
# One statement for all of a batch: its thread then takes the interpreter from the others once.
_INSERT_ALL = (
    f"INSERT INTO exchanges ({_COLUMNS}) "  # noqa: S608
    f"SELECT {_VALUES} FROM json_each(?)"
)
_NUL = "\\u0000"
"""At which SQLite's JSON functions end a text: an id with one would become another."""
_SELECT = f"SELECT n, {_COLUMNS} FROM exchanges "  # noqa: S608
# An id that was refused may come again and be executed.
_FIND = f"{_SELECT} WHERE id = ? ORDER BY outcome IS '{REFUSED}', n DESC LIMIT 1"


FAILURES = (OSError, sqlite3.Error, UnicodeDecodeError)
"""What a file raises that cannot be read or written; the last where SQLite quotes from one that is
damaged."""


def default_path(port: int) -> Path:
    """The journal of the server on a port: in the user's state directory."""
    return user_state_path("artiq_link", appauthor=False) / f"journal-{port}.sqlite"


class Filter(msgspec.Struct, frozen=True):
    """Which exchanges are looked for."""

    since: float | None = None
    """Not received before, in s since the epoch."""
    after: int | None = None
    """Behind the one of this number."""
    before: int | None = None
    """Ahead of the one of this number."""
    command: str | None = None
    """Its name, with or without the instrument's."""
    rid: int | None = None
    failed: bool = False
    """Those alone that did not succeed."""
    slow: float | None = None
    """Those alone that took so many seconds or more, waiting included."""

    def conditions(self) -> tuple[str, list[Any]]:
        """The condition in SQL, and the values in it."""
        taken = {
            "received >= ?": self.since,
            "n > ?": self.after,
            "n < ?": self.before,
            "? IN (command, substr(command, instr(command, '.') + 1))": self.command,
            "rid = ?": self.rid,
            "queue + coalesce(duration, 0) >= ?": self.slow,
        }
        conditions = {each: value for each, value in taken.items() if value is not None}
        texts = [*conditions, *(["outcome IS NOT 'done'"] if self.failed else [])]
        return " AND ".join(texts) or "true", list(conditions.values())


class JournalFile:
    """The file at `path`, which this program alone may have open.

    Raises one of `FAILURES` where it cannot be opened, and from every method where it
    cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        sync: bool = False,
        max_age: float = MAX_AGE,
        max_size: int = MAX_SIZE,
    ) -> None:
        self._path = path
        self._max_age = max_age
        self._max_size = max_size
        self._sieve: Sieve | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            self._own(opened)
            self._writing = self._connect(opened)
            (mode,) = self._writing.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"{mode} in place of a write-ahead log")
            self._writing.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            # To copy the log into the file takes long: `tidy` does it while others write.
            self._writing.execute("PRAGMA wal_autocheckpoint = 0")
            self._writing.execute(f"PRAGMA journal_size_limit = {MAX_LOG}")
            self._make_table()
            self._tidying = self._connect(opened)
            # It is asked on the event loop, which waits for nobody.
            self._finding = self._connect(opened, patience=0)
            self._listing = self._connect(opened)
            self.leases = LeaseTable(self._connect(opened))
            self.settings = SettingsTable(self._connect(opened))
            self.starts = Starts(path.with_name(f"{path.name}-starts"), sync=sync)
            opened.callback(self.starts.close)
            self._take_over()
            self._opened = opened.pop_all()

    def load(self) -> None:
        """Make a sieve of all ids, so that most that are new need not be looked for."""
        sieve = Sieve()
        for (name,) in self._writing.execute("SELECT id FROM exchanges WHERE id IS NOT NULL"):
            sieve.add(name)
        self._sieve = sieve

    def write(self, records: Sequence[Record]) -> None:
        """Write rows, all or none of them; their lines in `starts` may then go."""
        if self._sieve is not None:
            for record in records:
                if record.id is not None:
                    self._sieve.add(record.id)
        text = msgspec.json.encode(records).decode()
        with self._transaction():
            if _NUL in text:
                self._writing.executemany(_INSERT, map(msgspec.structs.astuple, records))
            else:
                self._writing.execute(_INSERT_ALL, (text,))

    def find(self, name: str) -> Record | None:
        """The newest exchange of this id, one that was executed before one that was refused."""
        if self._sieve is not None and name not in self._sieve:
            return None
        row = self._finding.execute(_FIND, (name,)).fetchone()
        return None if row is None else Record(*row[1:])

    def select(self, which: Filter, limit: int) -> list[tuple[int, Record]]:
        """Exchanges with their numbers, in order: the first behind ``after``, or the newest."""
        conditions, values = which.conditions()
        order = "DESC" if which.after is None else "ASC"
        rows = self._listing.execute(
            f"{_SELECT} WHERE {conditions} ORDER BY n {order} LIMIT ?", [*values, limit]
        ).fetchall()
        return sorted((row[0], Record(*row[1:])) for row in rows)

    def tidy(self) -> bool:
        """Delete some of what is too old or too much, and empty the log; whether more is to do."""
        if self._sieve is not None and len(self._sieve) > MAX_SIEVED:
            self.load()
        self._tidying.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        newest = self._value("SELECT coalesce(max(n), 0) FROM exchanges")
        pages = self._value("PRAGMA page_count") - self._value("PRAGMA freelist_count")
        if pages * self._value("PRAGMA page_size") > self._max_size:
            last, before = newest - 1, math.inf
        else:
            last, before = newest - ALWAYS_KEPT, time.time() - self._max_age
        deleted = self._writing.execute(
            "DELETE FROM exchanges WHERE n IN (SELECT n FROM exchanges ORDER BY n LIMIT ?) "
            "AND n <= ? AND received < ?",
            (FORGOTTEN, last, before),
        )
        return deleted.rowcount == FORGOTTEN

    def close(self) -> None:
        """Close the file; the log is emptied into it."""
        self._opened.close()

    def _own(self, opened: contextlib.ExitStack) -> None:
        """Have the file for this program alone; the system gives it free when the program dies.

        A lock on a file beside it, because one on the journal itself would stop its readers.
        """
        lock = sqlite3.connect(
            self._path.with_name(f"{self._path.name}-lock"),
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        opened.callback(lock.close)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise sqlite3.OperationalError("another server has it open") from None

    def _connect(
        self, opened: contextlib.ExitStack, patience: float = PATIENCE
    ) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=patience, isolation_level=None, check_same_thread=False
        )
        opened.callback(connection.close)
        return connection

    def _make_table(self) -> None:
        (version,) = self._writing.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise sqlite3.OperationalError("a later version of artiq_link has written it")
        if version == 0:
            with self._transaction():
                self._writing.execute(f"CREATE TABLE exchanges (n INTEGER PRIMARY KEY, {_TABLE})")
                self._writing.execute(
                    "CREATE INDEX exchanges_by_id ON exchanges (id) WHERE id IS NOT NULL"
                )
                self._writing.execute(f"PRAGMA user_version = {VERSION}")

    def _take_over(self) -> None:
        """Write rows for what was running when a server died."""
        with self._transaction():
            for record in self.starts.left():
                row = self._writing.execute(_FIND, (record.id,)).fetchone()
                if row is None or Record(*row[1:]).outcome == REFUSED:
                    self._writing.execute(_INSERT, msgspec.structs.astuple(record))
        self.starts.rewrite()

    def _value(self, query: str) -> Any:
        return self._writing.execute(query).fetchone()[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writing.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writing.execute("COMMIT")
        except BaseException:
            if self._writing.in_transaction:
                self._writing.execute("ROLLBACK")
            raise

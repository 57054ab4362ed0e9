"""The table of leases in the journal's file: each instrument's last one, so that its number and
its end outlive the server."""

from __future__ import annotations

import sqlite3

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """A time-limited exclusive hold on an instrument: the members are the table's columns."""

    instrument: str
    number: int
    """By which its holder is known; a later lease, of whatever instrument, has a higher one."""
    owner: str | None
    """Who asked for it, for people; None where it has ended."""
    seconds: float
    """For how long it was asked for."""
    until: float
    """When it runs out, in s since the epoch."""


class LeaseTable:
    """The table behind a connection of its own to the journal's file.

    Its methods raise one of `journal_file.FAILURES` where the file cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE IF NOT EXISTS leases "
            "(instrument TEXT PRIMARY KEY, number INTEGER, owner TEXT, seconds REAL, until REAL)"
        )

    def all(self) -> list[Lease]:
        """The last lease of each instrument, also of those that have ended."""
        rows = self._connection.execute("SELECT * FROM leases").fetchall()
        return [Lease(*row) for row in rows]

    def keep(self, lease: Lease) -> None:
        """Write a lease in the place of its instrument's former one."""
        self._connection.execute(
            "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", msgspec.structs.astuple(lease)
        )

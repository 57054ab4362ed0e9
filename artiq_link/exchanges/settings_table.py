"""The table of settings in the journal's file: what each instrument was set to last, as JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping


class SettingsTable:
    """The table behind a connection of its own to the journal's file.

    Its methods raise one of `journal_file.FAILURES` where the file cannot be read or written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE IF NOT EXISTS settings (instrument TEXT PRIMARY KEY, settings TEXT)"
        )

    def all(self) -> dict[str, bytes]:
        """The settings of each instrument."""
        rows = self._connection.execute("SELECT instrument, settings FROM settings").fetchall()
        return {name: settings.encode() for name, settings in rows}

    def keep(self, settings: Mapping[str, bytes]) -> None:
        """Write settings in the place of the former ones."""
        for name, text in settings.items():
            self._connection.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text.decode())
            )

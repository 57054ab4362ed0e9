"""The server's journal as a table: the exchanges of all clients, asked for page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from PySide6.QtGui import QGuiApplication

from ..text import clock
from ..units import write_rounded
from .appearance import Tone, tip

PAGE = 200
"""Exchanges that are asked for at once: some screens full."""

MOST = 100_000
"""Exchanges that are kept for scrolling; whoever looks for older ones filters."""

COLUMNS = ("Time", "Command", "Outcome", "Took", "Who")

Answer = Callable[[Any, str], None]
Ask = Callable[[str, Mapping[str, Any], Answer], None]
"""Asks the server for a command's result; the answer is called with that, or with a failure."""

_Index = QModelIndex | QPersistentModelIndex


def command_of(entry: Mapping[str, Any]) -> str:
    """An exchange's command with its instrument: ``dds.set``."""
    command, instrument = str(entry.get("command", "")), entry.get("instrument")
    return command if "." in command or not instrument else f"{instrument}.{command}"


def outcome_of(entry: Mapping[str, Any]) -> str:
    """What an exchange came to, in a word or two: ``done``, ``out_of_range``."""
    outcome = str(entry.get("code") or entry.get("outcome", ""))
    told = entry.get("told")
    return f"{told}, then {outcome}" if told and told != entry.get("code") else outcome


def sentence_of(entry: Mapping[str, Any]) -> str:
    """What an exchange came to, in one sentence."""
    if entry.get("outcome") == "done":
        return f"{command_of(entry)}: {outcome_of(entry)}"
    return f"{outcome_of(entry)}: {entry.get('error', 'it is not known what became of it')}"


class JournalModel(QAbstractTableModel):
    """The exchanges that have been asked for, and the knowledge whether there are older ones."""

    failed = Signal(str)
    """Why the server does not tell; empty: it does."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self._ask = ask
        self._filter: dict[str, Any] = {}
        self._entries: list[dict[str, Any]] = []
        self._newest = -1
        self._has_older = False
        self._asking = False
        self._generation = 0

    def clear(self) -> None:
        """Forget what there is, and what has been asked."""
        self._generation += 1
        self.beginResetModel()
        self._entries, self._newest = [], -1
        self.endResetModel()
        self._asking = self._has_older = False

    def restart(self, wanted: Mapping[str, Any]) -> None:
        """Forget what there is, and ask for the newest of those that are wanted."""
        self.clear()
        self._filter = dict(wanted)
        self._has_older = True
        self.fetchMore()

    def look(self) -> None:
        """Ask for those that are new."""
        if not self._asking:
            if self._newest < 0:
                self.fetchMore()
            else:
                which = {name: value for name, value in self._filter.items() if name != "since"}
                self._request({**which, "after": self._newest, "limit": PAGE}, self._add_newer)

    def entry(self, index: _Index) -> dict[str, Any] | None:
        """The exchange of a row."""
        return self._entries[index.row()] if index.isValid() else None

    def _request(self, parameters: Mapping[str, Any], add: Callable[[list[Any]], None]) -> None:
        self._asking = True
        generation = self._generation

        def answered(result: Any, failure: str) -> None:
            if generation != self._generation:
                return  # another filter has been chosen meanwhile
            self._asking = False
            if not failure and not isinstance(result, list):
                failure = "the server does not tell its history"
            if failure:
                self._has_older = False
            else:
                add(result)
            self.failed.emit(failure)

        self._ask("link.history", parameters, answered)

    def _add_older(self, page: list[dict[str, Any]]) -> None:
        # Not the size of the page: the server lists fewer where its exchanges are long.
        self._has_older = bool(page) and len(self._entries) + len(page) < MOST
        if not page:
            return
        first = len(self._entries)
        self.beginInsertRows(QModelIndex(), first, first + len(page) - 1)
        self._entries += reversed(page)
        self._newest = max(self._newest, page[-1]["n"])
        self.endInsertRows()

    def _add_newer(self, page: list[dict[str, Any]]) -> None:
        if not page:
            return
        self._newest = page[-1]["n"]
        self.beginInsertRows(QModelIndex(), 0, len(page) - 1)
        self._entries[:0] = reversed(page)
        self.endInsertRows()
        if len(page) >= PAGE:
            self.look()

    # --- as Qt asks -----------------------------------------------------------------------------

    def canFetchMore(self, parent: _Index = QModelIndex()) -> bool:  # noqa: B008, N802 Qt's
        """Whether there are older exchanges."""
        return self._has_older and not self._asking

    def fetchMore(self, parent: _Index = QModelIndex()) -> None:  # noqa: B008, N802 Qt's
        """Ask for the next older ones."""
        if self._asking:
            return
        before = {"before": self._entries[-1]["n"]} if self._entries else {}
        self._request({**self._filter, **before, "limit": PAGE}, self._add_older)

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """As many as have been asked for."""
        return 0 if parent.isValid() else len(self._entries)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """The same always."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802 Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """The columns' names."""
        is_name = role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal
        return COLUMNS[section] if is_name else None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell."""
        entry = self._entries[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return _cells(entry)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip(sentence_of(entry))
        if role == Qt.ItemDataRole.ForegroundRole and COLUMNS[index.column()] == "Outcome":
            tone = Tone.GOOD if entry.get("outcome") == "done" else Tone.BAD
            return tone.colour(QGuiApplication.palette())
        if role == Qt.ItemDataRole.TextAlignmentRole and COLUMNS[index.column()] == "Took":
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    took = entry.get("duration")
    rid = f"RID {entry['rid']}" if "rid" in entry else ""
    return (
        clock(entry["received"]),
        command_of(entry),
        outcome_of(entry),
        "" if took is None else write_rounded(took, "s"),
        ", ".join(filter(None, (entry.get("owner"), rid, entry.get("peer")))),
    )

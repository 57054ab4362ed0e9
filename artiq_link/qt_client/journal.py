"""The server's journal: the exchanges of all clients, the newest first, page by page, and live."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHeaderView,
    QLineEdit,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from ..units import write_rounded
from .appearance import Line, Tone, tip

PAGE = 200
"""Exchanges that are asked for at once: some screens full."""

TYPING = 300
"""Milliseconds after the last key until the journal is filtered."""

COLUMNS = ("Time", "Command", "Outcome", "Took", "Who")

SINCE: Mapping[str, float | None] = {
    "any time": None,
    "10 min": 600.0,
    "1 hour": 3600.0,
    "1 day": 86400.0,
    "1 week": 7 * 86400.0,
}

NOT_KEPT = "This server keeps no journal in a file, so it lists nothing."

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

    def restart(self, wanted: Mapping[str, Any]) -> None:
        """Forget what there is, and ask for the newest of those that are wanted."""
        self._generation += 1
        self._filter = dict(wanted)
        self.beginResetModel()
        self._entries, self._newest = [], -1
        self.endResetModel()
        self._asking, self._has_older = False, True
        self.fetchMore()

    def look(self) -> None:
        """Ask for those that are new."""
        if not self._asking and self._generation:
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
        self._has_older = bool(page)
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
    at = datetime.datetime.fromtimestamp(entry["received"])
    is_today = at.date() == datetime.date.today()
    took = entry.get("duration")
    rid = f"RID {entry['rid']}" if "rid" in entry else ""
    return (
        f"{at:%H:%M:%S}" if is_today else f"{at:%Y-%m-%d %H:%M:%S}",
        command_of(entry),
        outcome_of(entry),
        "" if took is None else write_rounded(took, "s"),
        ", ".join(filter(None, (entry.get("owner"), rid, entry.get("peer")))),
    )


class Journal(QWidget):
    """The journal's exchanges below what filters them."""

    chosen = Signal(object)
    """The exchange that the user wants to see, as ``link.history`` lists it."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self.model = JournalModel(ask)
        self._has_server = False
        self._kept = self._failure = ""
        self.command = QLineEdit()
        self.command.setPlaceholderText("all commands")
        self.command.setToolTip("Those of this command alone, such as set_frequency")
        self.rid = QLineEdit()
        self.rid.setPlaceholderText("all RIDs")
        self.rid.setToolTip("Those of this run of ARTIQ alone")
        self.since = QComboBox()
        self.since.addItems(list(SINCE))
        self.failed = QCheckBox("&failed")
        self.failed.setToolTip("Those alone that did not succeed")
        self.problem = Line()
        self.problem.hide()
        self.view = QTreeView()
        self.view.setModel(self.model)
        self.view.setRootIsDecorated(False)
        self.view.setUniformRowHeights(True)
        self.view.setAlternatingRowColors(True)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.view.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)  # those that are seen, and not all
        header.setStretchLastSection(True)
        self.view.selectionModel().currentRowChanged.connect(self._choose)
        self.view.clicked.connect(self._choose)
        filters = QGridLayout()
        filters.addWidget(self.command, 0, 0)
        filters.addWidget(self.since, 0, 1)
        filters.addWidget(self.rid, 1, 0)
        filters.addWidget(self.failed, 1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(filters)
        layout.addWidget(self.problem)
        layout.addWidget(self.view, 1)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING)
        self._typing.timeout.connect(self.restart)
        for line in (self.command, self.rid):
            line.textEdited.connect(self._typing.start)
        self.since.currentTextChanged.connect(self.restart)
        self.failed.toggled.connect(self.restart)
        self.model.failed.connect(self._show_problem)

    def set_server(self, known: bool) -> None:
        """Be told that there is another server, or none."""
        self._has_server = known
        if known and self.isVisible():
            self.restart()
        elif not known:
            self.model.beginResetModel()
            self.model.endResetModel()

    def show_kept(self, journal: Mapping[str, Any]) -> None:
        """Show what ``link.status`` tells of where the exchanges are kept."""
        self._kept = str(journal.get("problem") or "")
        if not self._kept and journal.get("kept", "") == "in memory":
            self._kept = NOT_KEPT
        self._show_problem(self._failure)

    def restart(self) -> None:
        """Ask anew for what the filters want."""
        if not self._has_server:
            return
        wanted: dict[str, Any] = {}
        if command := self.command.text().strip():
            wanted["command"] = command
        if rid := self.rid.text().strip():
            try:
                wanted["rid"] = int(rid)
            except ValueError:
                self._show_problem(f"RID: expected a whole number, got {rid!r:.60}")
                return
        if (since := SINCE[self.since.currentText()]) is not None:
            wanted["since"] = since
        if self.failed.isChecked():
            wanted["failed"] = True
        self.model.restart(wanted)

    def look(self) -> None:
        """Show what is new, where anybody sees it."""
        if self._has_server and self.isVisible():
            self.model.look()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 Qt's name
        """Ask for what was not asked for while nobody saw it."""
        super().showEvent(event)
        if self.model.rowCount():
            self.look()
        else:
            self.restart()

    def _choose(self, index: QModelIndex) -> None:
        if (entry := self.model.entry(index)) is not None:
            self.chosen.emit(entry)

    def _show_problem(self, failure: str) -> None:
        self._failure = failure
        self.problem.say(failure or self._kept, Tone.BAD if failure else Tone.NEUTRAL)
        self.problem.setVisible(bool(self.problem.text()))

"""The view of the server's journal: filters, and the exchanges of all clients, also the newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLineEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from .appearance import Line, Tone
from .journal_model import Ask, JournalModel

TYPING = 300
"""Milliseconds after the last key until the journal is filtered."""

EXPECTING, LOOKS = 100, 10
"""Milliseconds from one look for a new exchange to the next, and how many there are at most."""

SINCE: Mapping[str, float | None] = {
    "any time": None,
    "10 min": 600.0,
    "1 hour": 3600.0,
    "1 day": 86400.0,
    "1 week": 7 * 86400.0,
}

NOT_KEPT = "This server keeps no journal in a file, so it lists nothing."


class Journal(QWidget):
    """The journal's exchanges below what filters them."""

    chosen = Signal(object)
    """The exchange that the user wants to see, as ``link.history`` lists it."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self.model = JournalModel(ask)
        self._has_server = False
        self._kept = self._failure = ""
        self._make_widgets()
        self._looks = 0
        self._expecting = QTimer(self)
        self._expecting.setSingleShot(True)
        self._expecting.setInterval(EXPECTING)
        self._expecting.timeout.connect(self._look_again)
        self.model.rowsInserted.connect(self._stop_looking)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING)
        self._typing.timeout.connect(self.restart)
        for line in (self.command, self.rid):
            line.textEdited.connect(self._typing.start)
        self.since.currentTextChanged.connect(self.restart)
        self.failed.toggled.connect(self.restart)
        self.model.failed.connect(self._show_page)

    def _make_widgets(self) -> None:
        self.command = QLineEdit()
        self.command.setPlaceholderText("all commands")
        self.command.setToolTip("Only those of this command, such as set_frequency")
        self.rid = QLineEdit()
        self.rid.setPlaceholderText("all RIDs")
        self.rid.setToolTip("Only those of this run of ARTIQ")
        self.since = QComboBox()
        self.since.addItems(list(SINCE))
        self.failed = QCheckBox("&failed")
        self.failed.setToolTip("Only those that did not succeed")
        self.problem = Line()
        self.problem.hide()
        self.view = self._make_view()
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

    def _make_view(self) -> QTableView:
        # No tree: that lays all rows out anew for each page that comes.
        view = QTableView()
        view.setModel(self.model)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 4)
        view.setShowGrid(False)
        view.setWordWrap(False)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setAlternatingRowColors(True)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = view.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        header.setResizeContentsPrecision(0)  # those that are seen, and not all
        header.setStretchLastSection(True)
        view.selectionModel().currentRowChanged.connect(self._choose)
        view.clicked.connect(self._choose)
        return view

    def set_server(self, known: bool) -> None:
        """Be told that there is another server, or none."""
        self._has_server = known
        self.model.clear()
        if self.isVisible():
            self.restart()

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

    def expect(self) -> None:
        """Look until there is something new: the server writes it a little later than it tells."""
        self._looks = LOOKS
        self._expecting.start()

    def _look_again(self) -> None:
        """Look, and once more where nothing new has come of the last look."""
        self._looks -= 1
        self.look()
        if self._looks:
            self._expecting.start()

    def _stop_looking(self) -> None:
        self._looks = 0
        self._expecting.stop()

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

    def _show_page(self, failure: str) -> None:
        """Show what came of a question, with columns as wide as what is seen in them."""
        self._show_problem(failure)
        self.view.resizeColumnsToContents()

    def _show_problem(self, failure: str) -> None:
        self._failure = failure
        self.problem.say(failure or self._kept, Tone.BAD if failure else Tone.NEUTRAL)
        self.problem.setVisible(bool(self.problem.text()))

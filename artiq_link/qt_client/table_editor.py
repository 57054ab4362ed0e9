"""A window in which a list of objects is edited as a table, and checked as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QItemSelectionModel, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from .appearance import Sentence, Tone
from .table_model import Member, TableModel

CHECK_DELAY = 300
"""Milliseconds after the last change until the table is checked."""

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of a CSV file that is opened: some 10^5 rows, more than any hardware plays."""

ENCODING = "utf-8-sig"
"""Of CSV files, with or without the mark that Excel puts before them."""


class TableEditor(QDialog):
    """A table for one parameter; whoever opens it asks the server whether the rows are right."""

    check_wanted = Signal(object)
    """The rows as they are now: the server is to be asked, and `show_verdict` called."""

    judged = Signal()
    """It is shown whether the rows are right."""

    chosen = Signal(object)
    """The rows that the user wants to have in the form."""

    def __init__(
        self,
        parent: QWidget,
        title: str,
        name: str,
        members: list[Member],
        rows: list[dict[str, Any]],
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(680, 420)
        self.model = TableModel(name, members, rows)
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.verdict = Sentence()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHECK_DELAY)
        self._timer.timeout.connect(self.check)
        self.model.edited.connect(self._timer.start)
        layout = QVBoxLayout(self)
        layout.addLayout(self._make_tools())
        layout.addWidget(self.table, 1)
        layout.addWidget(self.verdict)
        layout.addWidget(self._make_buttons())
        for key, act in (
            (QKeySequence.StandardKey.Paste, self.paste),
            (QKeySequence.StandardKey.Copy, self.copy),
            (QKeySequence.StandardKey.Delete, self._clear),
        ):
            shortcut = QShortcut(QKeySequence(key), self.table)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(act)
        if not rows:
            self.model.add_row(0)
        self.table.setCurrentIndex(self.model.index(0, 0))
        self._timer.start()

    # --- what is right and wrong ----------------------------------------------------------------

    def check(self) -> None:
        """Read the table; where all can be read, have the server check it."""
        rows = self.model.read()
        if self.model.errors:
            (row, _), sentence = min(self.model.errors.items())
            self.verdict.say(f"row {row}: {sentence}", Tone.BAD)
        elif not rows:
            self.verdict.say("there is no row in it", Tone.NEUTRAL)
        else:
            self.verdict.say("asking the server …", Tone.NEUTRAL)
            self.check_wanted.emit(rows)

    def show_verdict(self, rows: list[dict[str, Any]], verdict: dict[str, Any]) -> None:
        """Show what ``link.check`` says of these rows, at the cell that it is about."""
        # Reading clears what the server said before.
        if self.model.read() != rows or self.model.errors:
            return  # it has been changed meanwhile, and is checked again
        if verdict.get("status") == "success":
            count = f"{len(rows)} rows" if len(rows) != 1 else "1 row"
            self.verdict.say(f"{count}, as the server would take them", Tone.GOOD)
        else:
            sentence = str(verdict.get("error", "the server does not say what it thinks of them"))
            self.model.mark(str(verdict.get("where") or ""), sentence)
            self.verdict.say(sentence, Tone.BAD)
        self.judged.emit()

    # --- what the buttons do --------------------------------------------------------------------

    def paste(self) -> None:
        """Put in what a spreadsheet has copied, from the current cell on."""
        current = self.table.currentIndex()
        text = QGuiApplication.clipboard().text()
        if text.strip():
            row, column = max(current.row(), 0), max(current.column(), 0)
            self.model.paste(text, row, column)
            self.table.setCurrentIndex(self.model.index(row, column))

    def copy(self) -> None:
        """Copy the chosen cells for a spreadsheet."""
        QGuiApplication.clipboard().setText(self.model.copied(self.table.selectedIndexes()))

    def open_file(self, path: str) -> None:
        """Take the rows of a CSV file in place of those that there are."""
        try:
            with Path(path).open(encoding=ENCODING, newline="") as file:
                text = file.read(LARGEST_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            self.verdict.say(f"not opened: {error}", Tone.BAD)
            return
        if len(text) > LARGEST_FILE:
            self.verdict.say(f"not opened: {path} has more than {LARGEST_FILE} bytes", Tone.BAD)
            return
        self.model.replace(text)

    def save_file(self, path: str) -> None:
        """Write the rows as CSV."""
        try:
            Path(path).write_text(self.model.csv(), encoding="utf-8", newline="")
        except OSError as error:
            self.verdict.say(f"not saved: {error}", Tone.BAD)
        else:
            self.verdict.say(f"saved in {path}", Tone.GOOD)

    def add_row(self) -> None:
        """Make an empty row below the current one, and go there."""
        row = self.table.currentIndex().row() + 1
        self.model.add_row(row)
        self.table.setCurrentIndex(self.model.index(row, 0))

    def remove_rows(self) -> None:
        """Take out the rows of the chosen cells."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        self.model.remove_rows(rows)
        left = self.model.index(min(min(rows, default=0), self.model.rowCount() - 1), 0)
        self.table.selectionModel().setCurrentIndex(
            left, QItemSelectionModel.SelectionFlag.ClearAndSelect
        )

    def accept(self) -> None:
        """Give the rows to the form, if they can be read."""
        rows = self.model.read()
        if self.model.errors:
            self.check()
            return
        self.chosen.emit(rows)
        super().accept()

    def _clear(self) -> None:
        self.model.clear(self.table.selectedIndexes())

    # --- the widgets ----------------------------------------------------------------------------

    def _make_tools(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.buttons: dict[str, QPushButton] = {}
        for name, act, says in (
            ("&Add row", self.add_row, "An empty row below the current one"),
            ("&Remove rows", self.remove_rows, "The rows of the chosen cells"),
            ("&Paste", self.paste, "A spreadsheet's cells, from the current one on (Ctrl+V)"),
            ("&Open CSV…", self._choose_to_open, "Its rows take the place of these"),
            ("&Save as CSV…", self._choose_to_save, "With a line of headings"),
        ):
            button = self.buttons[name.replace("&", "")] = QPushButton(name)
            button.setToolTip(says)
            button.setAutoDefault(False)
            button.clicked.connect(act)
            row.addWidget(button)
        row.addStretch(1)
        return row

    def _make_buttons(self) -> QDialogButtonBox:
        kinds = QDialogButtonBox.StandardButton
        box = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.ok = box.button(kinds.Ok)
        self.ok.setText("&Use these rows")
        self.ok.setAutoDefault(False)
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        return box

    def _choose_to_open(self) -> None:
        dialog = QFileDialog(self, "Open a table", "", "Tables (*.csv *.tsv *.txt);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.open_file)
        dialog.open()

    def _choose_to_save(self) -> None:
        dialog = QFileDialog(self, "Save the table", f"{self.model.name}.csv", "Tables (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.save_file)
        dialog.open()

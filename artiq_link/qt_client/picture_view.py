"""The picture of the last reply, and its numbers on request: as a table, or in a file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ..text import written
from .appearance import Line, Tone
from .pictures import Axis, Column, Picture
from .plots import Plot

NOTHING = "Arrays, ramps and tables are drawn here when a reply has one."

_Index = QModelIndex | QPersistentModelIndex


class NumbersModel(QAbstractTableModel):
    """Numbers under each other; only those that are seen are written."""

    def __init__(self, columns: list[Column]) -> None:
        super().__init__()
        self._columns = columns

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """As many as the longest column has."""
        if parent.isValid():
            return 0
        return max((len(column.values) for column in self._columns), default=0)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """As there are columns."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """One number with all its digits."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        values = self._columns[index.column()].values
        if role != Qt.ItemDataRole.DisplayRole or index.row() >= len(values):
            return None
        value = values[index.row()].item()
        return written(value) if type(value) in {int, float} else str(value)

    def headerData(  # noqa: N802 Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """The columns' names with their units; the rows from 0."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if orientation is Qt.Orientation.Vertical:
            return section
        return heading(self._columns[section].axis)


class PictureView(QWidget):
    """A plot with its title, and a table that takes its place."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: Picture | None = None
        self.title = Line(NOTHING, Tone.NEUTRAL)
        self.plot = Plot()
        self.table = QTableView()
        self.numbers = QPushButton("&Numbers")
        self.numbers.setCheckable(True)
        self.numbers.toggled.connect(self._choose)
        self.save = QPushButton("&Save as CSV…")
        self.save.clicked.connect(self._open_dialog)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.numbers)
        top.addWidget(self.save)
        self._stack = QStackedLayout()
        self._stack.addWidget(self.plot)
        self._stack.addWidget(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(top)
        layout.addLayout(self._stack, 1)
        self.show_picture(None)

    def show_picture(self, picture: Picture | None) -> None:
        """Draw another picture; None: say that there is none."""
        self.picture = picture
        if picture is None:
            self.title.say(NOTHING, Tone.NEUTRAL)
        else:
            self.title.say(picture.title)
        self.numbers.setEnabled(picture is not None)
        self.save.setEnabled(picture is not None)
        self.plot.show_picture(picture)
        self._choose(self.numbers.isChecked())

    def write(self, path: Path) -> None:
        """Write the numbers as CSV, with a line of headings; raises OSError."""
        assert self.picture is not None  # noqa: S101 the button is disabled
        columns = self.picture.columns
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([heading(column.axis) for column in columns])
            table.writerows(zip(*(column.values.tolist() for column in columns), strict=False))

    def _choose(self, numbers: bool) -> None:
        self._stack.setCurrentIndex(int(numbers))
        former = self.table.model()
        columns = [] if self.picture is None or not numbers else list(self.picture.columns)
        self.table.setModel(NumbersModel(columns))
        if former is not None:
            former.deleteLater()

    def _open_dialog(self) -> None:
        dialog = QFileDialog(self, "Save the numbers", "numbers.csv", "Tables (*.csv)")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(self._save)
        dialog.open()

    def _save(self, path: str) -> None:
        try:
            self.write(Path(path))
        except OSError as error:
            self.title.say(f"not saved: {error}", Tone.BAD)
        else:
            self.title.say(f"saved in {path}", Tone.GOOD)


def heading(axis: Axis) -> str:
    """A column's name with its unit: ``frequency (Hz)``."""
    return f"{axis.name} ({axis.unit})" if axis.unit else axis.name

"""A list of objects as a table of typed texts: read, pasted, and taken from and to CSV; no window.

A column is a member of the objects. A cell is typed as in a form, ``80 MHz``; an empty one leaves
its member out, and a row without anything in it is none.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QBrush, QColor

from ..instrument.schemas import type_text
from ..instrument.typed_text import read_parameter
from ..units import known_quantity
from .appearance import tip
from .fields import NEEDED, row_of, typed

_Index = QModelIndex | QPersistentModelIndex

WRONG = QColor(179, 38, 30, 90)
"""Behind a cell that is wrong; the text on it can be read on light and dark."""

_HEADING = re.compile(r"\s*(?P<name>[^(/\[]+?)\s*(?:[(\[/]\s*(?P<unit>[^)\]]+?)\s*[)\]]?)?\s*")
_PLACE = re.compile(r"\[(?P<row>[0-9]+)\](?:\.(?P<member>\w+))?")


class Member(NamedTuple):
    """A column: a member of the rows' objects."""

    name: str
    schema: Mapping[str, Any]
    unit: str
    required: bool

    @property
    def heading(self) -> str:
        """With its unit: ``frequency (Hz)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def read(self, text: str) -> Any:
        """The value that was typed; raises ValueError."""
        return read_parameter(text, dict(self.schema), self.unit)


def members_of(schema: Mapping[str, Any]) -> list[Member]:
    """The columns for a parameter's list of objects, in the order of their declaration.

    Those that are always given come first, as in what a person writes by hand.
    """
    definitions = schema.get("$defs", {})
    members = [
        Member(name, {**part, "$defs": definitions}, part.get("unit", ""), part["required"])
        for name, part in row_of(dict(schema)).items()
    ]
    return sorted(members, key=lambda member: not member.required)


class TableModel(QAbstractTableModel):
    """The texts of the cells, and what is wrong with which of them."""

    edited = Signal()
    """A cell has another text, or there are more rows or fewer."""

    def __init__(
        self, name: str, members: Sequence[Member], rows: Iterable[Mapping[str, Any]]
    ) -> None:
        super().__init__()
        self.name = name
        """Of the parameter."""
        self.members = members
        self.errors: dict[tuple[int, int], str] = {}
        self._texts = [self._typed(row) for row in rows]

    def _typed(self, row: Mapping[str, Any]) -> list[str]:
        given = (m for m in self.members)
        return [typed(row[m.name], m.unit) if m.name in row else "" for m in given]

    # --- values ---------------------------------------------------------------------------------

    def read(self) -> list[dict[str, Any]]:
        """The objects; what cannot be read is in `errors` afterwards, and its member left out."""
        self.errors = {}
        objects = []
        for row, texts in self._written():
            values: dict[str, Any] = {}
            for column, (member, text) in enumerate(zip(self.members, texts, strict=True)):
                try:
                    if text:
                        values[member.name] = member.read(text)
                    elif member.required:
                        raise ValueError(NEEDED)
                except ValueError as error:
                    self.errors[row, column] = f"{member.name}: {error}"
            objects.append(values)
        self._show_all()
        return objects

    def mark(self, where: str, sentence: str) -> bool:
        """Show an error at the cell that `where`, such as ``steps[2].dwell``, names; whether it
        names one."""
        found = (
            _PLACE.fullmatch(where.removeprefix(self.name))
            if where.startswith(self.name)
            else None
        )
        rows = [row for row, _ in self._written()]
        if found is None or int(found["row"]) >= len(rows):
            return False
        names = [member.name for member in self.members]
        row = rows[int(found["row"])]
        named = found["member"] in names
        columns = [names.index(found["member"])] if named else range(len(names))
        self.errors |= {(row, column): sentence for column in columns}
        self._show_all()
        return True

    def _written(self) -> list[tuple[int, list[str]]]:
        """The rows that have something in them, with their numbers."""
        rows = ((n, [text.strip() for text in texts]) for n, texts in enumerate(self._texts))
        return [(number, texts) for number, texts in rows if any(texts)]

    # --- text from elsewhere --------------------------------------------------------------------

    def paste(self, text: str, row: int, column: int) -> None:
        """Put a spreadsheet's cells in, from a cell on; more rows are made where they are needed.

        Where the first line names columns, the cells go to those instead. A unit that stands with
        a name, as in ``frequency (MHz)``, is that of its numbers without one.
        """
        lines = cells_of(text)
        columns, units = list(range(column, len(self.members))), [""] * len(self.members)
        if lines and (named := self._columns_named(lines[0])):
            lines = lines[1:]
            columns, units = [c for c, _ in named], [u for _, u in named]
        self.beginResetModel()
        while len(self._texts) < row + len(lines):
            self._texts.append([""] * len(self.members))
        for offset, line in enumerate(lines):
            for place, unit, cell in zip(columns, units, line, strict=False):
                cell = cell.strip()  # noqa: PLW2901
                bare = unit and re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", cell)
                self._texts[row + offset][place] = f"{cell} {unit}" if bare else cell
        self.endResetModel()
        self.edited.emit()

    def replace(self, text: str) -> None:
        """Put a file's cells in, and nothing else."""
        self.beginResetModel()
        self._texts = []
        self.endResetModel()
        self.paste(text, 0, 0)

    def _columns_named(self, cells: Sequence[str]) -> list[tuple[int, str]]:
        """The columns that a line of headings names, with their units; empty where it is none."""
        names = [member.name for member in self.members]
        named = []
        for cell in cells:
            found = _HEADING.fullmatch(cell)
            if found is None or found["name"] not in names:
                return []
            unit = found["unit"] or ""
            column = names.index(found["name"])
            named.append((column, "" if unit == self.members[column].unit else unit))
        return named

    def csv(self) -> str:
        """All of it as CSV with a line of headings; numbers in their columns' units."""
        file = io.StringIO()
        table = csv.writer(file, lineterminator="\n")
        table.writerow([member.heading for member in self.members])
        for _, texts in self._written():
            cells = zip(self.members, texts, strict=True)
            table.writerow([_bare(member, text) for member, text in cells])
        return file.getvalue()

    def copied(self, indexes: Iterable[_Index]) -> str:
        """The texts of these cells, for a spreadsheet."""
        rows: dict[int, list[str]] = {}
        for index in sorted(indexes, key=lambda index: (index.row(), index.column())):
            rows.setdefault(index.row(), []).append(self._texts[index.row()][index.column()])
        return "\n".join("\t".join(cells) for cells in rows.values())

    # --- rows -----------------------------------------------------------------------------------

    def add_row(self, row: int) -> None:
        """Make an empty row before this one."""
        self.beginInsertRows(QModelIndex(), row, row)
        self._texts.insert(row, [""] * len(self.members))
        self.endInsertRows()
        self.edited.emit()

    def remove_rows(self, rows: Iterable[int]) -> None:
        """Take these rows out."""
        self.beginResetModel()
        gone = set(rows)
        self._texts = [texts for row, texts in enumerate(self._texts) if row not in gone]
        self.endResetModel()
        self.edited.emit()

    def clear(self, indexes: Iterable[_Index]) -> None:
        """Empty these cells."""
        for index in indexes:
            self._texts[index.row()][index.column()] = ""
        self._show_all()
        self.edited.emit()

    # --- as Qt asks -----------------------------------------------------------------------------

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """As there are rows."""
        return 0 if parent.isValid() else len(self._texts)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008, N802 Qt's
        """As the objects have members."""
        return 0 if parent.isValid() else len(self.members)

    def flags(self, index: _Index) -> Qt.ItemFlag:
        """Every cell can be edited."""
        return super().flags(index) | Qt.ItemFlag.ItemIsEditable

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text; the colour and the tool tip of what is wrong with it."""
        row, column = index.row(), index.column()
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole}:
            return self._texts[row][column]
        error = self.errors.get((row, column))
        if error is not None and role == Qt.ItemDataRole.BackgroundRole:
            return QBrush(WRONG)
        if error is not None and role == Qt.ItemDataRole.ToolTipRole:
            return tip(error)
        return None

    def setData(self, index: _Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:  # noqa: N802 Qt's name
        """Take what was typed."""
        if role != Qt.ItemDataRole.EditRole:
            return False
        self._texts[index.row()][index.column()] = str(value)
        self.dataChanged.emit(index, index)
        self.edited.emit()
        return True

    def headerData(  # noqa: N802 Qt's name
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """The members with their units; the rows as the server counts them, from 0."""
        if orientation is Qt.Orientation.Vertical:
            return section if role == Qt.ItemDataRole.DisplayRole else None
        member = self.members[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            kind = type_text(dict(member.schema))
            return tip(f"{kind}, {'needed' if member.required else 'may be left empty'}")
        return (
            member.heading.replace(" ", "\n", 1) if role == Qt.ItemDataRole.DisplayRole else None
        )

    def _show_all(self) -> None:
        if self._texts:
            last = self.index(len(self._texts) - 1, len(self.members) - 1)
            self.dataChanged.emit(self.index(0, 0), last)


def cells_of(text: str) -> list[list[str]]:
    """The cells of a spreadsheet's text: separated by tabs, else semicolons, else commas."""
    first = text.partition("\n")[0]
    mark = next((sign for sign in "\t;" if sign in first), ",")
    return [line for line in csv.reader(io.StringIO(text), delimiter=mark) if any(line)]


def _bare(member: Member, text: str) -> str:
    """A number without its unit; anything else as it was typed."""
    try:
        is_quantity = bool(member.unit) and known_quantity(text) is not None
        return repr(member.read(text)) if is_quantity else text
    except ValueError:
        return text

"""Pages of the window: what there is to be said, and forms made from commands."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from .appearance import rich
from .fields import Field, RowsField, TextField, make_field


class Page(QWidget):
    """A name, and what there is to be said of it."""

    def __init__(self, name: str, doc: str) -> None:
        super().__init__()
        heading = QLabel(name)
        heading.setTextFormat(Qt.TextFormat.PlainText)
        heading.setStyleSheet("font-weight: bold; font-size: 13pt")
        first, _, rest = doc.partition("\n\n")
        self.body = QVBoxLayout(self)
        self.body.addWidget(heading)
        self.body.addWidget(_paragraphs(first))
        self.rest = _paragraphs(rest)
        """What is said beyond the first paragraph stands below what there is to be done."""

    def finish(self) -> None:
        """End the page, below all that stands on it."""
        if self.rest.text():
            self.body.addWidget(self.rest)
        self.body.addStretch(1)


def _paragraphs(text: str) -> QLabel:
    label = QLabel(rich(text) if text else "")
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setWordWrap(True)
    return label


class CommandForm(Page):
    """A command's docstring, a field for each of its parameters, and its Transmit button."""

    transmitted = Signal(str, object)
    """The command and its parameters."""

    refused = Signal(str)
    """What is wrong with the first of the parameters that cannot be sent."""

    table_asked = Signal(object, object)
    """The form and its field that is to be edited as a table."""

    def __init__(self, command_id: str, description: dict[str, Any]) -> None:
        super().__init__(command_id, description["doc"])
        self.command_id = command_id
        self.description = description
        self.fields = {
            parameter["name"]: make_field(parameter) for parameter in description["parameters"]
        }
        self.button = QPushButton("&Transmit")
        self.button.setToolTip("Enter in a field does the same")
        self.button.clicked.connect(self.transmit)
        rows = QGridLayout()
        rows.setColumnStretch(1, 1)
        for index, field in enumerate(self.fields.values()):
            label = QLabel(field.name)
            label.setBuddy(field.editor)
            rows.addWidget(label, 2 * index, 0)
            rows.addWidget(field.editor, 2 * index, 1)
            rows.addWidget(field.hint, 2 * index, 2)
            rows.addWidget(field.error, 2 * index + 1, 1, 1, 2)
            if isinstance(field, TextField):
                field.line.returnPressed.connect(self.transmit)
            if isinstance(field, RowsField):
                field.edit.clicked.connect(
                    lambda _=False, field=field: self.table_asked.emit(self, field)
                )
        self.body.addLayout(rows)
        self.body.addWidget(self.button, 0, Qt.AlignmentFlag.AlignRight)
        first = next((field.editor for field in self.fields.values()), self.button)
        self.setFocusProxy(first)

    @property
    def units(self) -> dict[str, str]:
        """The units of the parameters that have one."""
        return {name: field.unit for name, field in self.fields.items() if field.unit}

    def readable(self) -> dict[str, Any]:
        """The parameters that can be read as they stand."""
        parameters: dict[str, Any] = {}
        for field in self.fields.values():
            with contextlib.suppress(ValueError):
                parameters |= field.read()
        return parameters

    @Slot()
    def transmit(self) -> None:
        """Emit `transmitted`; or show at the fields what is wrong with them, emit `refused`."""
        parameters: dict[str, Any] = {}
        wrong: list[Field] = []
        for field in self.fields.values():
            field.show_error("")
            try:
                parameters |= field.read()
            except ValueError as error:
                field.show_error(f"{field.name}: {error}")
                wrong.append(field)
        if wrong:
            wrong[0].editor.setFocus()
            self.refused.emit(wrong[0].error.text())
        else:
            self.transmitted.emit(self.command_id, parameters)

    def fill(self, parameters: dict[str, Any]) -> None:
        """Put these parameters into the fields, as they are typed; the others are left out."""
        for field in self.fields.values():
            field.show_error("")
            field.fill(parameters)

    def show_error(self, where: str, sentence: str) -> None:
        """Show an error at the field that `where`, such as ``steps[2].dwell``, is part of."""
        if field := self.fields.get(re.split(r"[.\[]", where)[0]):
            field.show_error(sentence)

"""Fields made from JSON Schemas, and forms made from commands, as `link.describe` gives them."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..instrument.schemas import alternatives, bounds_text
from ..instrument.typed_text import read_text

GOOD, BAD, NEUTRAL = "#1a7f37", "#b3261e", "#5f6368"
"""Colours that can be read on white, and told apart by those who see no red or green."""

NEEDED = "a value is needed"


# --- what a schema says -------------------------------------------------------------------------


def _sketch(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a value looks like: ``[{"dwell": …, "frequency": …}, …]``."""
    kind = next(iter(alternatives(schema, definitions)), schema)
    if kind.get("type") == "array":
        return f"[{_sketch(kind.get('items', {}), definitions)}, …]"
    if kind.get("type") != "object":
        return "…"
    members = (
        f'"{name}": {_sketch(part, definitions)}'
        for name, part in kind.get("properties", {}).items()
    )
    return f"{{{', '.join(members) or '…'}}}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- the fields ---------------------------------------------------------------------------------


class Field(ABC):
    """One parameter: its editor, its unit and bounds beside it, and a place for its error."""

    def __init__(self, parameter: dict[str, Any], kinds: list[dict[str, Any]]) -> None:
        self.name: str = parameter["name"]
        self.required: bool = parameter["required"]
        self.default = parameter.get("default")
        self.editor = self.make_editor(parameter["schema"], kinds)
        bounds = " or ".join(filter(None, map(bounds_text, kinds)))
        self.hint = QLabel(", ".join(filter(None, (parameter.get("unit"), bounds))))
        self.hint.setStyleSheet(f"color: {NEUTRAL}")
        self.error = QLabel()
        self.error.setTextFormat(Qt.TextFormat.PlainText)
        self.error.setStyleSheet(f"color: {BAD}")
        self.error.setWordWrap(True)
        self.error.hide()

    def show_error(self, sentence: str) -> None:
        """Show what is wrong with the value; empty: nothing is."""
        self.error.setText(sentence)
        self.error.setVisible(bool(sentence))

    @property
    def if_left_out(self) -> str:
        """What an optional parameter is where it is left out, in a word or two."""
        return "optional" if self.default is None else f"default: {_short(self.default)}"

    @abstractmethod
    def make_editor(self, schema: dict[str, Any], kinds: list[dict[str, Any]]) -> QWidget:
        """Make the widget in which the value is given."""

    @abstractmethod
    def read(self) -> dict[str, Any]:
        """The parameter with its value, or nothing where it is left out; raises ValueError."""

    @abstractmethod
    def text(self) -> str:
        """What was put in, to be kept for the next time."""

    @abstractmethod
    def set_text(self, text: str) -> None:
        """Put in what `text` gave."""


class TextField(Field):
    """Numbers, text, and what else there is as JSON."""

    strips = False
    """Whether blanks before and behind a text are a slip."""

    def make_editor(self, schema: dict[str, Any], kinds: list[dict[str, Any]]) -> QWidget:
        self.kinds = {kind["type"] for kind in kinds if "type" in kind}
        self.line = QLineEdit()
        if not self.required:
            expected = self.if_left_out
        elif self.kinds & {"array", "object"}:
            expected = _sketch(schema, schema.get("$defs", {}))
        else:
            expected = schema.get("description", "" if self.kinds else "JSON")
        self.line.setPlaceholderText(expected)
        self.line.setToolTip(expected)
        return self.line

    def read(self) -> dict[str, Any]:
        text = self.line.text()
        if self.strips or self.kinds != {"string"}:
            text = text.strip()
        if text:
            return {self.name: read_text(text, self.kinds)}
        if not self.required:
            return {}
        if self.kinds == {"string"}:
            return {self.name: ""}
        raise ValueError(NEEDED)

    def text(self) -> str:
        return self.line.text()

    def set_text(self, text: str) -> None:
        self.line.setText(text)


class PathField(TextField):
    """A file: typed, or picked in a dialog."""

    strips = True

    def make_editor(self, schema: dict[str, Any], kinds: list[dict[str, Any]]) -> QWidget:
        line = super().make_editor(schema, kinds)
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._open_dialog)
        editor = QWidget()
        row = QHBoxLayout(editor)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(line, 1)
        row.addWidget(self.browse)
        editor.setFocusProxy(line)
        return editor

    def _open_dialog(self) -> None:
        dialog = QFileDialog(self.editor, f"Choose a file for {self.name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.fileSelected.connect(self.line.setText)
        dialog.open()  # and not exec(): the window goes on


class CheckField(Field):
    """Yes or no; where neither is the default, a state in between leaves it out."""

    def make_editor(self, schema: dict[str, Any], kinds: list[dict[str, Any]]) -> QWidget:
        self.box = QCheckBox()
        if not self.required and self.default is None:
            self.box.setTristate(True)
            self.box.setCheckState(Qt.CheckState.PartiallyChecked)
            self.box.setText("optional")
        else:
            self.box.setChecked(bool(self.default))
        return self.box

    def read(self) -> dict[str, Any]:
        if self.box.checkState() is Qt.CheckState.PartiallyChecked:
            return {}
        return {self.name: self.box.isChecked()}

    def text(self) -> str:
        return self.box.checkState().name

    def set_text(self, text: str) -> None:
        if text in Qt.CheckState.__members__:
            self.box.setCheckState(Qt.CheckState[text])


class ChoiceField(Field):
    """One of several values; none is chosen before the user does."""

    def make_editor(self, schema: dict[str, Any], kinds: list[dict[str, Any]]) -> QWidget:
        self.box = QComboBox()
        self.box.addItem("" if self.required else f"({self.if_left_out})", {})
        for kind in kinds:
            for value in kind["enum"]:
                self.box.addItem(_short(value), {self.name: value})
        return self.box

    def read(self) -> dict[str, Any]:
        chosen = dict(self.box.currentData())
        if self.required and not chosen:
            raise ValueError(NEEDED)
        return chosen

    def text(self) -> str:
        return self.box.currentText()

    def set_text(self, text: str) -> None:
        self.box.setCurrentText(text)


def make_field(parameter: dict[str, Any]) -> Field:
    """The field that fits a parameter's JSON Schema."""
    schema = parameter["schema"]
    kinds = alternatives(schema, schema.get("$defs", {}))
    field: type[Field] = TextField
    if kinds:
        if all("enum" in kind for kind in kinds):
            field = ChoiceField
        elif all(kind.get("format") == "path" for kind in kinds):
            field = PathField
        elif all(kind.get("type") == "boolean" for kind in kinds):
            field = CheckField
    return field(parameter, kinds)


# --- the pages ----------------------------------------------------------------------------------


class Page(QWidget):
    """A name, and what there is to be said of it."""

    def __init__(self, name: str, doc: str) -> None:
        super().__init__()
        heading = QLabel(name)
        heading.setStyleSheet("font-weight: bold; font-size: 13pt")
        # The lines of a docstring's paragraph are filled anew.
        text = QLabel(re.sub(r"(?<!\n)\n(?!\n)", " ", doc))
        text.setWordWrap(True)
        self.body = QVBoxLayout(self)
        for label in (heading, text):
            label.setTextFormat(Qt.TextFormat.PlainText)
            self.body.addWidget(label)


class CommandForm(Page):
    """A command's docstring, a field for each of its parameters, and its Transmit button."""

    transmitted = Signal(str, object)
    """The command and its parameters."""

    refused = Signal(str)
    """What is wrong with the first of the parameters that cannot be sent."""

    def __init__(self, command_id: str, description: dict[str, Any]) -> None:
        super().__init__(command_id, description["doc"])
        self.command_id = command_id
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
        self.body.addLayout(rows)
        self.body.addWidget(self.button, 0, Qt.AlignmentFlag.AlignRight)
        first = next((field.editor for field in self.fields.values()), self.button)
        self.setFocusProxy(first)

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

    def show_error(self, where: str, sentence: str) -> None:
        """Show an error at the field that `where`, such as ``steps[2].dwell``, is part of."""
        if field := self.fields.get(re.split(r"[.\[]", where)[0]):
            field.show_error(sentence)

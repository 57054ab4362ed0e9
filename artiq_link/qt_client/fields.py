"""Fields for parameters, made from JSON Schemas: editor, unit, bounds, a place for errors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QWidget,
)

from ..instrument.schemas import alternatives, bounds_text
from ..instrument.typed_text import read_parameter
from ..units import example_of, write_quantity
from .appearance import Sentence, Tone

NEEDED = "a value is needed"


def typed(value: Any, unit: str = "") -> str:
    """A value as it is typed: ``80 MHz``, a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if unit and " " not in unit and is_number:  # nobody types "0.5 of full scale"
        return write_quantity(value, unit)
    return json.dumps(value, ensure_ascii=False, default=str)


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


class Field(ABC):
    """One parameter: its editor, its unit and bounds beside it, and a place for its error."""

    def __init__(self, parameter: dict[str, Any], kinds: list[dict[str, Any]]) -> None:
        self.name: str = parameter["name"]
        self.required: bool = parameter["required"]
        self.default = parameter.get("default")
        self.unit: str = parameter.get("unit", "")
        self.schema: dict[str, Any] = parameter["schema"]
        self.editor = self.make_editor(kinds)
        bounds = " or ".join(filter(None, map(bounds_text, kinds)))
        self.hint = Sentence(", ".join(filter(None, (self.unit, bounds))), Tone.NEUTRAL)
        self.hint.setWordWrap(False)
        self.error = Sentence()
        self.error.hide()

    def show_error(self, sentence: str) -> None:
        """Show what is wrong with the value; empty: nothing is."""
        self.error.say(sentence, Tone.BAD)
        self.error.setVisible(bool(sentence))

    @property
    def if_left_out(self) -> str:
        """What an optional parameter is where it is left out, in a word or two."""
        return "optional" if self.default is None else f"default: {typed(self.default, self.unit)}"

    @abstractmethod
    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
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

    @abstractmethod
    def fill(self, given: dict[str, Any]) -> None:
        """Put in the value among these parameters; leave the parameter out where there is none."""


class TextField(Field):
    """Numbers with their units, text, and what else there is as JSON."""

    strips = False
    """Whether blanks before and behind a text are a slip."""

    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
        self.kinds = {kind["type"] for kind in kinds if "type" in kind}
        self.line = QLineEdit()
        if not self.required:
            expected = self.if_left_out
        elif self.kinds & {"array", "object"}:
            expected = _sketch(self.schema, self.schema.get("$defs", {}))
        elif self.kinds & {"number", "integer"} and self.unit:
            expected = "" if " " in self.unit else f"such as {example_of(self.unit)}"
        else:
            expected = self.schema.get("description", "" if self.kinds else "JSON")
        self.line.setPlaceholderText(expected)
        self.line.setToolTip(expected)
        return self.line

    def read(self) -> dict[str, Any]:
        text = self.line.text()
        if self.strips or self.kinds != {"string"}:
            text = text.strip()
        if text:
            is_text = self.kinds == {"string"}
            value = text if is_text else read_parameter(text, self.schema, self.unit)
            return {self.name: value}
        if not self.required:
            return {}
        if self.kinds == {"string"}:
            return {self.name: ""}
        raise ValueError(NEEDED)

    def text(self) -> str:
        return self.line.text()

    def set_text(self, text: str) -> None:
        self.line.setText(text)

    def fill(self, given: dict[str, Any]) -> None:
        self.line.setText(typed(given[self.name], self.unit) if self.name in given else "")


class PathField(TextField):
    """A file: typed, or picked in a dialog."""

    strips = True

    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
        line = super().make_editor(kinds)
        self.browse = QPushButton("Browse…")
        self.browse.clicked.connect(self._open_dialog)
        return beside(line, self.browse)

    def _open_dialog(self) -> None:
        dialog = QFileDialog(self.editor, f"Choose a file for {self.name}")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.fileSelected.connect(self.line.setText)
        dialog.open()  # and not exec(): the window goes on


class RowsField(TextField):
    """A list of objects: typed as JSON, or edited as a table, which whoever has the form opens."""

    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
        line = super().make_editor(kinds)
        self.edit = QPushButton("&Table…")
        self.edit.setToolTip("Edit it as a table: paste from a spreadsheet, open and save CSV")
        return beside(line, self.edit)

    def rows(self) -> list[dict[str, Any]]:
        """The objects that were put in; raises ValueError for what is no list of them."""
        value = self.read().get(self.name, []) if self.line.text().strip() else []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise ValueError("expected a list of objects")
        return value


class CheckField(Field):
    """Yes or no; where neither is the default, a state in between leaves it out."""

    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
        self.box = QCheckBox()
        if self._can_be_left_out:
            self.box.setTristate(True)
            self.box.setText("optional")
        self._put(self.default)
        return self.box

    @property
    def _can_be_left_out(self) -> bool:
        return not self.required and self.default is None

    def read(self) -> dict[str, Any]:
        if self.box.checkState() is Qt.CheckState.PartiallyChecked:
            return {}
        return {self.name: self.box.isChecked()}

    def text(self) -> str:
        return self.box.checkState().name

    def set_text(self, text: str) -> None:
        if text in Qt.CheckState.__members__:
            self.box.setCheckState(Qt.CheckState[text])

    def fill(self, given: dict[str, Any]) -> None:
        self._put(given.get(self.name, self.default))

    def _put(self, value: object) -> None:
        if value is None and self._can_be_left_out:
            self.box.setCheckState(Qt.CheckState.PartiallyChecked)
        else:
            self.box.setChecked(bool(value))


class ChoiceField(Field):
    """One of several values; none is chosen before the user does."""

    def make_editor(self, kinds: list[dict[str, Any]]) -> QWidget:
        self.box = QComboBox()
        self.box.addItem("" if self.required else f"({self.if_left_out})", {})
        for kind in kinds:
            for value in kind["enum"]:
                self.box.addItem(typed(value), {self.name: value})
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

    def fill(self, given: dict[str, Any]) -> None:
        self.box.setCurrentIndex(0)
        if self.name in given:
            self.box.setCurrentText(typed(given[self.name]))


def make_field(parameter: dict[str, Any]) -> Field:
    """The field that fits a parameter's JSON Schema."""
    schema = parameter["schema"]
    definitions = schema.get("$defs", {})
    kinds = alternatives(schema, definitions)
    field: type[Field] = TextField
    if kinds:
        if all("enum" in kind for kind in kinds):
            field = ChoiceField
        elif all(kind.get("format") == "path" for kind in kinds):
            field = PathField
        elif all(kind.get("type") == "boolean" for kind in kinds):
            field = CheckField
        elif row_of(schema):
            field = RowsField
    return field(parameter, kinds)


def row_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The members of the objects in a schema's list; empty where it is no list of them."""
    definitions = schema.get("$defs", {})
    for kind in alternatives(schema, definitions):
        items = kind.get("items")
        if kind.get("type") == "array" and isinstance(items, dict):
            for item in alternatives(items, definitions):
                if properties := item.get("properties"):
                    required = item.get("required", ())
                    return {n: {**p, "required": n in required} for n, p in properties.items()}
    return {}


def beside(line: QLineEdit | QWidget, button: QPushButton) -> QWidget:
    """One editor of a line and a button."""
    editor = QWidget()
    row = QHBoxLayout(editor)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(line, 1)
    row.addWidget(button)
    editor.setFocusProxy(line)
    return editor

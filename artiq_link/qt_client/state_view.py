"""What is known of the instruments now: their states as a tree, numbers with their units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from ..units import write_quantity, write_rounded
from .appearance import Line, Tone, tip

DIGITS = 9
"""Of a number that is shown; the tool tip has all."""

UNKNOWN = "unknown"

MOST_MEMBERS = 500
"""Of one object or list that are shown."""

NO_STATE = "This server does not tell what its instruments know."


class StateView(QWidget):
    """The states of all instruments; their units come from what their commands declare."""

    def __init__(self) -> None:
        super().__init__()
        self.units: dict[str, Mapping[str, str]] = {}
        """By instrument and name."""
        self.notice = Line(NO_STATE, Tone.NEUTRAL)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Name", "Value"])
        self.tree.setIndentation(14)
        self.tree.setUniformRowHeights(True)
        header = self.tree.header()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.notice)
        layout.addWidget(self.tree, 1)

    def clear(self) -> None:
        """Show nothing."""
        self.tree.clear()
        self.notice.say(NO_STATE, Tone.NEUTRAL)
        self.notice.show()

    def show_stale(self, sentence: str) -> None:
        """Say that what stands here was so when the server was last heard."""
        if self.tree.topLevelItemCount():
            self.notice.say(sentence, Tone.BAD)
            self.notice.show()

    def show_states(self, states: Mapping[str, Any]) -> None:
        """Show the newest states by instrument; what has changed is changed in its place."""
        self.notice.hide()
        if not any(state is not None for state in states.values()):
            self.notice.say("No instrument of this server has a state.", Tone.NEUTRAL)
            self.notice.show()
        root = self.tree.invisibleRootItem()
        shown = {name: state for name, state in states.items() if state is not None}
        self._fill(root, [(name, name, state) for name, state in shown.items()], "")

    def _fill(
        self, parent: QTreeWidgetItem, parts: list[tuple[str, str, Any]], inside: str
    ) -> None:
        while parent.childCount() > len(parts):
            parent.takeChild(parent.childCount() - 1)
        for index, (key, label, value) in enumerate(parts):
            former = parent.child(index)
            item = former or QTreeWidgetItem(parent)
            instrument = inside or key
            unit = self.units.get(instrument, {}).get(key, "") if inside else ""
            inner = list(_parts(value))
            _set(item, 0, label)
            _set(item, 1, "" if inner else _text(value, unit))
            item.setToolTip(1, tip("" if inner else _whole(value, unit)))
            self._fill(item, inner, instrument)
            if former is None and (not inside or index == 0):
                item.setExpanded(True)

    def text_at(self, *path: str) -> str:
        """What stands beside a name; empty where there is none."""
        item = self.tree.invisibleRootItem()
        for name in path:
            children = (item.child(i) for i in range(item.childCount()))
            named = (child for child in children if child is not None and child.text(0) == name)
            item = next(named, QTreeWidgetItem())
        return item.text(1)


def _set(item: QTreeWidgetItem, column: int, text: str) -> None:
    if item.text(column) != text:  # a change costs a layout
        item.setText(column, text)
        if column == 1:
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignLeft)


def _parts(value: Any) -> Iterator[tuple[str, str, Any]]:
    """The members of a state's part: key, what it is called, and value."""
    if isinstance(value, Mapping):
        for name, member in list(value.items())[:MOST_MEMBERS]:
            yield str(name), str(name), member
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for index, item in enumerate(value[:MOST_MEMBERS]):
            name = item.get("name") if isinstance(item, Mapping) else None
            yield str(index), str(index) if name is None else f"{index}: {name}", item


def _text(value: Any, unit: str) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return write_rounded(value, unit, DIGITS) if unit else f"{value:.{DIGITS}g}"
    if isinstance(value, int) and unit:
        return write_quantity(value, unit)
    text = str(value)
    return text if len(text) <= MOST_MEMBERS else f"{text[:MOST_MEMBERS]}…"


def _whole(value: Any, unit: str) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and unit:
        return write_quantity(value, unit)
    return str(value)[:MOST_MEMBERS]

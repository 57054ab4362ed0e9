"""The commands of a server: a tree of them, and a page with a form for each."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, QSettings, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHeaderView,
    QScrollArea,
    QStackedWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from .appearance import plain, tip
from .forms import CommandForm, Page

NARROW = 200
"""Pixels; in fewer, what a command does would be a word or none."""

LINK_DOC = "What the server itself answers, at once."


class CommandTree(QTreeWidget):
    """A tree that shows its names alone where there is no room for more."""

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 Qt's name
        """Show what the commands do, or leave it to the tool tips."""
        self.setColumnHidden(1, event.size().width() < NARROW)
        super().resizeEvent(event)


class Commands(QObject):
    """The tree and the pages, which stand beside each other in the window."""

    transmitted = Signal(str, object)
    """A command and its parameters, to be sent."""

    refused = Signal(str)
    """Why a form cannot be sent."""

    table_asked = Signal(object, object)
    """A form and its field that is to be edited as a table."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self.settings = settings
        self.forms: dict[str, CommandForm] = {}
        self._items: dict[str, QTreeWidgetItem] = {}
        self.pages = QStackedWidget()
        self.tree = CommandTree()
        self.tree.setHeaderLabels(["Command", "What it does"])
        self.tree.currentItemChanged.connect(self._show_page)
        self.tree.itemActivated.connect(self._edit_page)
        self.tree.setIndentation(14)
        # A description that is cut stands whole in the tool tip; a name is never cut.
        header = self.tree.header()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)

    def clear(self) -> None:
        """Have none, and keep what was typed for the next time."""
        self.keep()
        self.forms.clear()
        self._items.clear()
        self.tree.clear()
        while page := self.pages.widget(0):
            self.pages.removeWidget(page)
            page.deleteLater()

    def show_description(self, description: dict[str, Any]) -> None:
        """Have those of a server, with what was typed the last time."""
        self.clear()
        for name, instrument in description["instruments"].items():
            self._add_group(name, instrument["doc"], instrument["commands"]).setExpanded(True)
        if description["interact"]:
            doc = f"{description['interact']}\n\nUse the free JSON for these."
            self._add_page("interact", Page("interact", doc), doc, self.tree)
        self._add_group("link", LINK_DOC, description["link"])
        self.choose(str(self.settings.value("command", "")))

    def choose(self, command_id: str) -> CommandForm | None:
        """Show a command's form; the first one's where there is no such command."""
        for form in (self.forms.get(command_id), *self.forms.values()):
            if form is not None:
                self.tree.setCurrentItem(self._items[form.command_id])
                return form
        return None

    def keep(self) -> None:
        """Keep what was typed, and which command it was."""
        page = self._page()
        if isinstance(page, CommandForm):
            self.settings.setValue("command", page.command_id)
        for form in self.forms.values():
            for name, field in form.fields.items():
                self.settings.setValue(_key(form, name), field.text())

    def _add_group(self, name: str, doc: str, commands: dict[str, Any]) -> QTreeWidgetItem:
        group = self._add_page(name, Page(name, doc), doc, self.tree)
        for command, details in commands.items():
            form = CommandForm(f"{name}.{command}", details)
            form.transmitted.connect(self.transmitted)
            form.refused.connect(self.refused)
            form.table_asked.connect(self.table_asked)
            self.forms[form.command_id] = form
            self._items[form.command_id] = self._add_page(command, form, details["doc"], group)
            for parameter, field in form.fields.items():
                if self.settings.contains(key := _key(form, parameter)):
                    field.set_text(str(self.settings.value(key)))
        return group

    def _add_page(
        self, name: str, page: Page, doc: str, parent: QTreeWidget | QTreeWidgetItem
    ) -> QTreeWidgetItem:
        page.finish()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(page)
        item = QTreeWidgetItem(parent, [name, plain(doc.partition("\n")[0])])
        item.setData(0, Qt.ItemDataRole.UserRole, self.pages.addWidget(area))
        item.setToolTip(0, tip(doc))
        item.setToolTip(1, tip(doc))
        return item

    def _show_page(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.pages.setCurrentIndex(item.data(0, Qt.ItemDataRole.UserRole))

    def _edit_page(self) -> None:
        if page := self._page():
            page.setFocus()

    def _page(self) -> QWidget | None:
        area = self.pages.currentWidget()
        return area.widget() if isinstance(area, QScrollArea) else None


def _key(form: CommandForm, name: str) -> str:
    return f"values/{form.command_id}/{name}"

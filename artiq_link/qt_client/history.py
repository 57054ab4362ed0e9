"""The exchanges that this window began, the latest first."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from .answer import tone_of
from .appearance import tip
from .exchanges import Exchange

LONGEST_HISTORY = 1000
"""Exchanges; the server's journal has the others."""

COLUMNS = ["Time", "Command", "Outcome", "Duration"]


class HistoryItem(QTreeWidgetItem):
    """A line of the history."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange
        self.refresh()

    def refresh(self) -> None:
        """Show what has become of the exchange by now."""
        exchange = self.exchange
        columns = (
            f"{exchange.began:%H:%M:%S}",
            exchange.title,
            exchange.outcome,
            exchange.duration,
        )
        for column, text in enumerate(columns):
            self.setText(column, text)
            self.setToolTip(column, tip(exchange.headline))
        palette = view.palette() if (view := self.treeWidget()) is not None else None
        if palette is not None:
            self.setForeground(2, tone_of(exchange).colour(palette))
        self.setTextAlignment(3, Qt.AlignmentFlag.AlignRight)


class History(QTreeWidget):
    """A line for each exchange."""

    chosen = Signal(object)
    """The exchange that the user wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(COLUMNS)
        self.setRootIsDecorated(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(False)
        self.currentItemChanged.connect(self._choose)
        self.itemClicked.connect(self._choose)

    def add(self, exchange: Exchange) -> HistoryItem:
        """A line for an exchange that begins; the oldest goes where there are too many."""
        item = HistoryItem(exchange)
        self.insertTopLevelItem(0, item)
        item.refresh()
        self.takeTopLevelItem(LONGEST_HISTORY)
        self.setCurrentItem(item)
        return item

    def items(self) -> Iterator[HistoryItem]:
        """The lines, the latest first."""
        for index in range(self.topLevelItemCount()):
            if isinstance(item := self.topLevelItem(index), HistoryItem):
                yield item

    def _choose(self, item: QTreeWidgetItem | None) -> None:
        if isinstance(item, HistoryItem):
            self.chosen.emit(item.exchange)

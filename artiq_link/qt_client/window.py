"""The window: connection, commands, free JSON, the server's answers and their history."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QByteArray, QModelIndex, QObject, QSettings, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QCloseEvent, QColor, QFont, QFontDatabase, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QSplitter,
    QStackedWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..instrument.typed_text import read_json
from ..link_client import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_TIMEOUT
from ..server.addresses import LAST_PORT
from .exchanges import DIALECTS, Dialect, Exchange, PlainJson, pretty
from .forms import BAD, GOOD, NEUTRAL, CommandForm, Page

REFRESH = 1000
"""Milliseconds from one look at the server's status to the next."""

LONGEST_HISTORY = 1000
"""Exchanges; who needs more of them needs the server's record."""

LONGEST_TIMEOUT = 3600.0
"""Seconds that the window lets one wait for a reply."""


class Background(QObject):
    """Runs what blocks in threads, and what follows it in the window's thread.

    The threads are Python's daemons and not QThreadPool's: that one waits for its threads when
    the program ends, and its user would wait for a reply that does not come.
    """

    _done = Signal(object)

    def __init__(self) -> None:
        # The application's, not the window's: a thread may come back after its window has gone.
        super().__init__(QApplication.instance())
        self._stopped = False
        self._done.connect(self._follow, Qt.ConnectionType.QueuedConnection)

    def run(self, work: Callable[[], object], then: Callable[[], object] | None = None) -> None:
        """Do `work` in a thread, afterwards `then` in this one."""

        def run() -> None:
            work()
            if then is not None and not self._stopped:
                with contextlib.suppress(RuntimeError):  # the application, too, has gone
                    self._done.emit(then)

        threading.Thread(target=run, name="desktop client", daemon=True).start()

    def stop(self) -> None:
        """Let what runs end by itself, and nothing follow it."""
        self._stopped = True

    @Slot(object)
    def _follow(self, then: Callable[[], object]) -> None:
        if not self._stopped:
            then()


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
            exchange.duration,
            exchange.outcome,
        )
        for column, text in enumerate(columns):
            self.setText(column, text)
            self.setToolTip(column, exchange.headline)
        self.setForeground(len(columns) - 1, QColor(_colour(exchange)))
        self.setTextAlignment(2, Qt.AlignmentFlag.AlignRight)


class MainWindow(QMainWindow):
    """The desktop client's window; what it keeps for the next time goes to `settings`."""

    described = Signal()
    """The server has said what commands it has, and their forms are there."""

    refreshed = Signal()
    """The server's status, or that there is none, is shown."""

    exchanged = Signal(object)
    """An `Exchange` that the user began is over, and shown."""

    proofs: tuple[Sequence[str] | None, Mapping[str, str] | None] = (None, None)
    """What servers are shown: the files of a certificate, the ``link`` with a token."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self.settings = settings
        self.forms: dict[str, CommandForm] = {}
        self._items: dict[str, QTreeWidgetItem] = {}
        self._background = Background()
        self._dialects: dict[str, Dialect] = {}
        self._askers: dict[str, Dialect] = {}
        self._asking: Exchange | None = None
        self._description: dict[str, Any] | None = None
        self._connected = False
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH)
        self._timer.timeout.connect(self._refresh)
        self._make_widgets()
        self._recall()

    # --- the server -----------------------------------------------------------------------------

    @Slot()
    def connect_to_server(self) -> None:
        """Ask the server at the host and port of the window for its commands."""
        self._disconnect()
        host, port = self.host.text().strip(), self.port.value()
        self._dialects = {
            name: dialect(host, port, *self.proofs) for name, dialect in DIALECTS.items()
        }
        # Not the same ones: on a WebSocket the status would wait behind the user's command.
        self._askers = {
            name: dialect(host, port, *self.proofs)
            for name, dialect in DIALECTS.items()
            if dialect.carries_results
        }
        self.free_button.setEnabled(True)
        self.summary.clear()
        self._show_state(f"connecting to {self._address} …", NEUTRAL)
        self._ask("link.describe", self._show_description)

    def _disconnect(self) -> None:
        self._timer.stop()
        self._connected = False
        self._asking = None
        for dialect in (*self._dialects.values(), *self._askers.values()):
            self._background.run(dialect.close)
        self._dialects = {}
        self._askers = {}

    @property
    def _address(self) -> str:
        return str(self._dialects[PlainJson.name].peer)

    def _ask(self, command_id: str, then: Callable[[Exchange], None]) -> None:
        """Ask the server something that the user has not asked; `then` follows success."""
        dialect = self._askers.get(self.dialect.currentText(), self._askers[PlainJson.name])
        exchange = self._asking = Exchange(dialect, command_id, {"command_id": command_id})
        timeout = self.timeout.value()

        def answered() -> None:
            if exchange is self._asking:  # otherwise another server has been chosen meanwhile
                self._asking = None
                if exchange.failure:
                    self._show_failure(self._why(exchange))
                else:
                    then(exchange)

        self._background.run(lambda: exchange.run(timeout), answered)

    def _why(self, exchange: Exchange) -> str:
        """Why the server has not answered what it was asked, in a sentence."""
        if self._dialect.carries_results or exchange.outcome == "not sent":
            return exchange.failure
        return (
            f"{self._address} does not say in {PlainJson.name} what commands it has, and "
            f"{self._dialect.name} cannot: only free JSON can be sent"
        )

    def _refresh(self) -> None:
        if self._asking is not None:
            return
        if self._connected:
            self._ask("link.status", self._show_status)
        else:  # it may come back with other commands
            self._ask("link.describe", self._show_description)

    def _show_description(self, exchange: Exchange) -> None:
        description = exchange.result
        if not isinstance(description, dict) or "instruments" not in description:
            self._show_failure(
                f"{self._address} answers, but does not say what commands it has: only free JSON "
                "can be sent"
            )
            return
        self._connected = True
        self._show_state(f"connected to {self._address}, version {description['version']}", GOOD)
        if description != self._description:
            self._description = description
            self._make_forms(description)
        self._timer.start()
        self._refresh()
        self.described.emit()

    def _show_status(self, exchange: Exchange) -> None:
        instruments = exchange.result["instruments"].values()
        self.summary.setText("\n".join(instrument["summary"] for instrument in instruments))
        self.refreshed.emit()

    def _show_failure(self, sentence: str) -> None:
        self._connected = False
        self.summary.clear()
        self._show_state(sentence, BAD)
        self.refreshed.emit()

    def _show_state(self, sentence: str, colour: str) -> None:
        self.state.setText(f"● {sentence}")
        self.state.setStyleSheet(f"color: {colour}")

    # --- the exchanges --------------------------------------------------------------------------

    @Slot(str, object)
    def _transmit_command(self, command_id: str, parameters: dict[str, Any]) -> None:
        message = self._dialect.message(command_id, parameters)
        self._transmit(command_id, message, command_id)

    @Slot()
    def _transmit_free(self) -> None:
        self.free_error.hide()
        try:
            message = read_json(self.free_text.toPlainText())
            if not isinstance(message, dict):
                raise ValueError("expected an object: {…}")
        except ValueError as error:
            self.free_error.setText(str(error))
            self.free_error.show()
            self._show_refusal(str(error))
            return
        self._transmit(str(message.get("command_id") or next(iter(message), "{}")), message)

    @property
    def _dialect(self) -> Dialect:
        return self._dialects[self.dialect.currentText()]

    def _transmit(self, title: str, message: dict[str, Any], form: str = "") -> None:
        exchange = Exchange(self._dialect, title, message, form)
        item = HistoryItem(exchange)
        self.history.insertTopLevelItem(0, item)
        self.history.takeTopLevelItem(LONGEST_HISTORY)
        self.history.setCurrentItem(item)
        timeout = self.timeout.value()
        self._background.run(lambda: exchange.run(timeout), lambda: self._finish(item))

    def _finish(self, item: HistoryItem) -> None:
        exchange = item.exchange
        item.refresh()
        self.history.setCurrentItem(item)
        self._show_exchange(item)
        if exchange.failure and exchange.form in self.forms:
            self.forms[exchange.form].show_error(exchange.where, exchange.failure)
        self.exchanged.emit(exchange)

    @Slot(str)
    def _show_refusal(self, sentence: str) -> None:
        """Show why nothing was sent, in place of the answer to what was sent before."""
        self.history.setCurrentIndex(QModelIndex())  # so that any line of it can be chosen again
        self.headline.setText(f"not sent: {sentence}")
        self.headline.setStyleSheet(_headline_style(BAD))
        self.answer.clear()

    @Slot(QTreeWidgetItem)
    def _show_exchange(self, item: QTreeWidgetItem | None) -> None:
        if not isinstance(item, HistoryItem):
            return
        exchange = item.exchange
        self.headline.setText(exchange.headline)
        self.headline.setStyleSheet(_headline_style(_colour(exchange)))
        sent = f"sent in {exchange.dialect.name} at {exchange.began:%H:%M:%S}:"
        text = f"{sent}\n{pretty(exchange.message)}\n"
        if exchange.text:
            text += f"\nanswered after {exchange.duration}:\n{exchange.text}\n"
        self.answer.setPlainText(text)

    # --- the commands ---------------------------------------------------------------------------

    def _make_forms(self, description: dict[str, Any]) -> None:
        self._keep_values()
        self.forms.clear()
        self._items.clear()
        self.commands.clear()
        while page := self.pages.widget(0):
            self.pages.removeWidget(page)
            page.deleteLater()
        for name, instrument in description["instruments"].items():
            self._add_group(name, instrument["doc"], instrument["commands"]).setExpanded(True)
        if description["interact"]:
            doc = f"{description['interact']}\n\nUse the free JSON for these."
            self._add_page("interact", Page("interact", doc), doc, self.commands)
        self._add_group("link", "What the server itself answers, at once.", description["link"])
        self._choose(str(self.settings.value("command", "")))

    def _choose(self, command_id: str) -> None:
        """Show a command's form; the first one's where there is no such command."""
        for form in (self.forms.get(command_id), *self.forms.values()):
            if form is not None:
                self.commands.setCurrentItem(self._items[form.command_id])
                return

    def _add_group(self, name: str, doc: str, commands: dict[str, Any]) -> QTreeWidgetItem:
        group = self._add_page(name, Page(name, doc), doc, self.commands)
        for command, details in commands.items():
            form = CommandForm(f"{name}.{command}", details)
            form.transmitted.connect(self._transmit_command)
            form.refused.connect(self._show_refusal)
            self.forms[form.command_id] = form
            self._items[form.command_id] = self._add_page(command, form, details["doc"], group)
            for parameter, field in form.fields.items():
                if self.settings.contains(key := _key(form, parameter)):
                    field.set_text(str(self.settings.value(key)))
        return group

    def _add_page(
        self, name: str, page: Page, doc: str, parent: QTreeWidget | QTreeWidgetItem
    ) -> QTreeWidgetItem:
        page.body.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(page)
        item = QTreeWidgetItem(parent, [name, doc.partition("\n")[0]])
        item.setData(0, Qt.ItemDataRole.UserRole, self.pages.addWidget(area))
        item.setToolTip(0, doc)
        item.setToolTip(1, doc)
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

    # --- what is kept for the next time ---------------------------------------------------------

    def _recall(self) -> None:
        settings = self.settings
        self.host.setText(str(settings.value("host", DEFAULT_HOST)))
        self.port.setValue(int(str(settings.value("port", DEFAULT_PORT))))
        self.dialect.setCurrentText(str(settings.value("dialect", PlainJson.name)))
        self.timeout.setValue(float(str(settings.value("timeout", DEFAULT_TIMEOUT))))
        self.free_text.setPlainText(str(settings.value("free", '{"command_id": "link.ping"}')))
        self.resize(1100, 750)
        geometry = settings.value("geometry")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        for name, splitter in self._splitters.items():
            state = settings.value(f"splitters/{name}")
            if isinstance(state, QByteArray):
                splitter.restoreState(state)

    def _keep(self) -> None:
        settings = self.settings
        settings.setValue("host", self.host.text())
        settings.setValue("port", self.port.value())
        settings.setValue("dialect", self.dialect.currentText())
        settings.setValue("timeout", self.timeout.value())
        settings.setValue("free", self.free_text.toPlainText())
        settings.setValue("geometry", self.saveGeometry())
        for name, splitter in self._splitters.items():
            settings.setValue(f"splitters/{name}", splitter.saveState())
        self._keep_values()

    def _keep_values(self) -> None:
        page = self._page()
        if isinstance(page, CommandForm):
            self.settings.setValue("command", page.command_id)
        for form in self.forms.values():
            for name, field in form.fields.items():
                self.settings.setValue(_key(form, name), field.text())

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 Qt's name
        """Keep what is to be kept, and leave what still runs to itself."""
        self._keep()
        self._background.stop()
        self._disconnect()
        super().closeEvent(event)

    # --- the widgets ----------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        self.setWindowTitle("artiq_link")
        self._splitters = {
            "columns": QSplitter(Qt.Orientation.Horizontal),
            "requests": QSplitter(Qt.Orientation.Vertical),
            "answers": QSplitter(Qt.Orientation.Vertical),
        }
        requests, answers = self._splitters["requests"], self._splitters["answers"]
        self.pages = QStackedWidget()
        requests.addWidget(self.pages)
        requests.addWidget(self._make_free_json())
        requests.setSizes([500, 170])
        answers.addWidget(self._make_status())
        answers.addWidget(self._make_history())
        answers.setSizes([370, 300])
        columns = self._splitters["columns"]
        columns.addWidget(self._make_commands())
        columns.addWidget(requests)
        columns.addWidget(answers)
        columns.setSizes([290, 410, 400])
        central = QWidget()
        layout = QVBoxLayout(central)
        layout.addLayout(self._make_connection())
        layout.addLayout(self._make_state())
        layout.addWidget(columns, 1)
        self.setCentralWidget(central)

    def _make_connection(self) -> QHBoxLayout:
        self.host = QLineEdit()
        self.host.returnPressed.connect(self.connect_to_server)
        self.port = QSpinBox()
        self.port.setRange(1, LAST_PORT)
        self.dialect = QComboBox()
        self.dialect.addItems(list(DIALECTS))
        self.dialect.setToolTip("EOT text carries no results: the forms come over plain JSON")
        self.timeout = QDoubleSpinBox()
        self.timeout.setRange(0.1, LONGEST_TIMEOUT)
        self.timeout.setDecimals(1)
        self.timeout.setSuffix(" s")
        self.connect_button = QPushButton("&Connect")
        self.connect_button.clicked.connect(self.connect_to_server)
        row = QHBoxLayout()
        for text, widget, stretch in (
            ("&Host", self.host, 1),
            ("&Port", self.port, 0),
            ("&Dialect", self.dialect, 0),
            ("Time&out", self.timeout, 0),
        ):
            label = QLabel(text)
            label.setBuddy(widget)
            row.addWidget(label)
            row.addWidget(widget, stretch)
        row.addWidget(self.connect_button)
        return row

    def _make_state(self) -> QHBoxLayout:
        self.state = _plain_label()
        self._show_state("not connected", NEUTRAL)
        self.summary = _plain_label()
        row = QHBoxLayout()
        row.addWidget(self.state, 1)
        row.addWidget(self.summary)
        return row

    def _make_commands(self) -> QTreeWidget:
        self.commands = QTreeWidget()
        self.commands.setHeaderLabels(["Command", "What it does"])
        self.commands.currentItemChanged.connect(self._show_page)
        self.commands.itemActivated.connect(self._edit_page)
        self.commands.setIndentation(14)
        # A description that is cut stands whole in the tool tip; a name is never cut.
        header = self.commands.header()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        return self.commands

    def _make_free_json(self) -> QGroupBox:
        self.free_text = QPlainTextEdit()
        self.free_text.setFont(_fixed_font())
        self.free_text.setTabChangesFocus(True)
        self.free_error = _plain_label()
        self.free_error.setStyleSheet(f"color: {BAD}")
        self.free_error.hide()
        self.free_button = QPushButton("T&ransmit")
        self.free_button.setToolTip("Ctrl+Enter in the text does the same")
        self.free_button.setEnabled(False)
        self.free_button.clicked.connect(self._transmit_free)
        for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            shortcut = QShortcut(
                QKeySequence(Qt.KeyboardModifier.ControlModifier | key), self.free_text
            )
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(self.free_button.click)
        return _group("Free JSON", self.free_text, self.free_error, self.free_button)

    def _make_status(self) -> QGroupBox:
        self.headline = _plain_label()
        self.answer = QPlainTextEdit()
        self.answer.setReadOnly(True)
        self.answer.setFont(_fixed_font())
        self.answer.setTabChangesFocus(True)
        return _group("Status", self.headline, self.answer)

    def _make_history(self) -> QGroupBox:
        self.history = QTreeWidget()
        self.history.setHeaderLabels(["Time", "Command", "Duration", "Outcome"])
        self.history.setRootIsDecorated(False)
        header = self.history.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setStretchLastSection(False)
        self.history.currentItemChanged.connect(self._show_exchange)
        return _group("History", self.history)


def _colour(exchange: Exchange) -> str:
    if exchange.seconds is None:
        return NEUTRAL
    return BAD if exchange.failure else GOOD


def _headline_style(colour: str) -> str:
    return f"color: {colour}; font-weight: bold"


def _key(form: CommandForm, name: str) -> str:
    return f"values/{form.command_id}/{name}"


def _plain_label() -> QLabel:
    """A label for text that comes from elsewhere: any length, no markup, to be copied from."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setWordWrap(True)
    return label


def _fixed_font() -> QFont:
    return QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)


def _group(title: str, *widgets: QWidget) -> QGroupBox:
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    for widget in widgets:
        layout.addWidget(widget)
        if isinstance(widget, QPushButton):
            layout.setAlignment(widget, Qt.AlignmentFlag.AlignRight)
    return box


def run(
    host: str | None,
    port: int | None,
    ssl: Sequence[str] | None = None,
    link: Mapping[str, str] | None = None,
) -> int:
    """Show the window and connect; returns when it has been closed."""
    application = QApplication([])
    # Qt's event loop does not let Python's own handler of Ctrl-C run.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    window = MainWindow(QSettings("artiq_link", "desktop client"))
    window.proofs = ssl, link
    if host is not None:
        window.host.setText(host)
    if port is not None:
        window.port.setValue(port)
    window.show()
    window.connect_to_server()
    return application.exec()

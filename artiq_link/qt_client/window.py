"""The window: where everything stands in it, and what follows from what its user does."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QByteArray, QModelIndex, QSettings, Qt, Signal, Slot
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ..instrument.typed_text import read_json
from ..link_client import DEFAULT_HOST, DEFAULT_PORT, DEFAULT_TIMEOUT, Link
from ..owners import this_person
from ..server.addresses import LAST_PORT
from .answer import Answer
from .appearance import Line, Sentence, Tone, fixed_font, group
from .background import Background
from .commands import Commands
from .exchanges import DIALECTS, Exchange, PlainJson
from .fields import RowsField
from .forms import CommandForm
from .garbage import Garbage
from .history import History, HistoryItem
from .instruments import Instruments
from .journal import Journal
from .journal_model import command_of
from .lease import LAST_WAIT, Leases
from .picture_view import PictureView
from .pictures import picture_of, units_of
from .session import Proofs, Session
from .state_view import StateView
from .table_editor import TableEditor
from .table_model import members_of

LONGEST_TIMEOUT = 3600.0
"""Seconds that the window lets one wait for a reply."""


class MainWindow(QMainWindow):
    """The desktop client's window; what it keeps for the next time goes to `settings`."""

    described = Signal()
    """The server has said what commands it has, and their forms are there."""

    refreshed = Signal()
    """What the instruments do, or that the server does not answer, is shown."""

    stated = Signal()
    """The states of the instruments are shown."""

    exchanged = Signal(object)
    """An `Exchange` that the user began is over, and shown."""

    proofs: Proofs = (None, None)
    """What servers are shown: the files of a certificate, the ``link`` with a token."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self.settings = settings
        self.owner = this_person()
        """Under whose name instruments are held."""
        self.session: Session | None = None
        self._background = Background()
        self._description: dict[str, Any] | None = None
        self._units: dict[str, dict[str, str]] = {}
        self._open_ends: list[HistoryItem] = []
        """Exchanges of which the server may know more later than it answered."""
        self.leases = Leases(self._background, self._link)
        self.leases.changed.connect(self._show_lease)
        self._make_widgets()
        self._recall()

    @property
    def forms(self) -> dict[str, CommandForm]:
        """The forms of the server's commands."""
        return self.commands.forms

    # --- the server -----------------------------------------------------------------------------

    @Slot()
    def connect_to_server(self) -> None:
        """Ask the server at the host and port of the window for its commands."""
        self._disconnect()
        session = self.session = Session(
            self._background, self._address, self.proofs, self._chosen, self
        )
        session.described.connect(self._show_description)
        session.told.connect(self._show_status)
        session.stated.connect(self._show_states)
        session.failed.connect(self._show_failure)
        session.ticked.connect(self._follow_up)
        session.ticked.connect(self.journal.look)
        session.happened.connect(self.journal.expect)
        self.free_button.setEnabled(True)
        self._show_connection(f"connecting to {session.peer} …", Tone.NEUTRAL)
        session.look()

    def _disconnect(self) -> None:
        """Leave the server, with what is held of it, and what was shown of another one."""
        for thread in self.leases.release_all():
            thread.join(LAST_WAIT)
        session, self.session = self.session, None
        if session is not None:
            session.close()
            if session.address != self._address:
                self._forget()
        self._open_ends.clear()
        self.journal.set_server(False)

    def _forget(self) -> None:
        """Show no commands, instruments or states: they were another server's."""
        self._description = None
        self.commands.clear()
        self.instruments.clear()
        self.states.clear()
        self.picture.show_picture(None)

    @property
    def _address(self) -> tuple[str, int]:
        """The server that the fields name."""
        return self.host.text().strip(), self.port.value()

    def _chosen(self) -> tuple[str, float]:
        return self.dialect.currentText(), self.timeout.value()

    def _link(self) -> Link:
        assert self.session is not None  # noqa: S101 its instruments are shown
        return self.session.link()

    def _ask(self, command_id: str, parameters: Mapping[str, Any], answered: Any) -> None:
        """Ask the server for something that the user has not sent."""
        if self.session is None:
            answered(None, "not connected")
        else:
            self.session.ask(command_id, parameters, answered)

    def _show_description(self, description: dict[str, Any]) -> None:
        assert self.session is not None  # noqa: S101 it has described itself
        self._connected_text = (
            f"connected to {self.session.peer}, version {description['version']}"
        )
        self._show_connection(self._connected_text, Tone.GOOD)
        if description != self._description:
            self._description = description
            self._units = {
                name: units_of(each) for name, each in description["instruments"].items()
            }
            self.states.units = dict(self._units)
            self.commands.show_description(description)
        self.journal.set_server(True)
        self.described.emit()

    def _show_status(self, told: dict[str, Any]) -> None:
        self.instruments.show_status(told["instruments"])
        self.journal.show_kept(told.get("journal", {}))
        self.refreshed.emit()

    def _show_states(self, states: dict[str, Any]) -> None:
        self.states.show_states(states)
        self.stated.emit()

    def _show_failure(self, sentence: str) -> None:
        self.instruments.show_stale()
        self.states.show_stale("The server does not answer. This is what it told last.")
        self._show_connection(sentence, Tone.BAD)
        self.refreshed.emit()

    def _show_connection(self, sentence: str, tone: Tone) -> None:
        self.state.say(f"● {sentence}", tone)

    def _show_address(self) -> None:
        """Say that the fields name another server than the one that commands go to."""
        if (other := self._other_address()) and self.session is not None:
            self._show_connection(other, Tone.BAD)
        elif self.session is not None and self.session.connected:
            self._show_connection(self._connected_text, Tone.GOOD)

    def _other_address(self) -> str:
        """Why nothing can be sent: the fields name another server; empty where they do not."""
        if self.session is None or self.session.address == self._address:
            return ""
        host, port = self._address
        return (
            f"host and port were changed to {host}:{port}, and this window is connected to "
            f"{self.session.peer}: press Connect first"
        )

    # --- leases ---------------------------------------------------------------------------------

    def _show_lease(self, instrument: str, failure: str) -> None:
        if failure:
            self._show_refusal(f"{instrument} could not be taken: {failure}")
        if self.session is not None:
            self.session.look()

    def _lease_of(self, command_id: str) -> str:
        """The instrument whose lease a command needs; empty where it is nobody's."""
        instruments = (self._description or {}).get("instruments", {})
        name = command_id.partition(".")[0]
        if "." in command_id:
            return name if name in instruments else ""
        having = [n for n, each in instruments.items() if command_id in each["commands"]]
        return next(iter(having or instruments), "")

    # --- the exchanges --------------------------------------------------------------------------

    @Slot(str, object)
    def _transmit_command(self, command_id: str, parameters: dict[str, Any]) -> None:
        if self.session is not None:
            message = self.session.dialect.message(command_id, parameters)
            self._transmit(command_id, message, command_id)

    @Slot()
    def _transmit_free(self) -> None:
        self.free_error.hide()
        try:
            message = read_json(self.free_text.toPlainText())
            if not isinstance(message, dict):
                raise ValueError("expected an object: {…}")
        except ValueError as error:
            self.free_error.say(str(error), Tone.BAD)
            self.free_error.show()
            self._show_refusal(str(error))
            return
        self._transmit(str(message.get("command_id") or next(iter(message), "{}")), message)

    @Slot(str)
    def _reopen(self, instrument: str) -> None:
        """Have hardware that is lost opened again now."""
        if self.session is not None:
            message = self.session.dialect.message("link.reopen", {"instrument": instrument})
            self._transmit("link.reopen", message, instrument=instrument)

    def _transmit(
        self, title: str, message: dict[str, Any], form: str = "", instrument: str = ""
    ) -> None:
        session = self.session
        if session is None:
            return
        if other := self._other_address():
            self._show_refusal(other)
            return
        lease = partial(self.leases.members, instrument or self._lease_of(title))
        exchange = Exchange(session.dialect, title, message, form or self._form_of(title), lease)
        item = self.history.add(exchange)
        timeout = self.timeout.value()
        self._background.run(lambda: exchange.run(timeout), lambda: self._finish(item))

    def _form_of(self, title: str) -> str:
        """The command whose form has the fields of a message; empty where there is none."""
        full = f"{self._lease_of(title)}.{title}"
        return next((name for name in (title, full) if name in self.forms), "")

    def _finish(self, item: HistoryItem) -> None:
        exchange = item.exchange
        item.refresh()
        self.history.setCurrentItem(item)
        self._show_exchange(exchange)
        if exchange.failure and exchange.form in self.forms:
            self.forms[exchange.form].show_error(exchange.where, exchange.failure)
        if exchange.may_go_on and self.session is not None and "outcome" in self.session.knows:
            self._open_ends.append(item)
        self.exchanged.emit(exchange)

    def _follow_up(self) -> None:
        """Ask what became of those exchanges whose end was not answered."""
        open_ends, self._open_ends = self._open_ends, []
        for item in open_ends:
            self._ask("link.outcome", {"id": item.exchange.id}, partial(self._learn, item))

    def _learn(self, item: HistoryItem, told: Any, failure: str) -> None:
        if failure or not isinstance(told, dict) or not item.exchange.learn(told):
            self._open_ends.append(item)
            return
        item.refresh()
        if self.history.currentItem() is item:
            self._show_exchange(item.exchange)
        self.refreshed.emit()

    @Slot(str)
    def _show_refusal(self, sentence: str) -> None:
        """Show why nothing was sent, in place of the answer to what was sent before."""
        self.history.setCurrentIndex(QModelIndex())  # so that any line of it can be chosen again
        self.answer.show_refusal(sentence)

    def _show_exchange(self, exchange: Exchange) -> None:
        self.answer.show_exchange(exchange)
        title = f"{exchange.title} at {exchange.began:%H:%M:%S}"
        self._draw(title, exchange.title, exchange.result, exchange.parameters)

    def _show_entry(self, entry: dict[str, Any]) -> None:
        self.answer.show_entry(entry)
        command = command_of(entry)
        self._draw(command, command, entry.get("result"), entry.get("parameters") or {})

    def _draw(
        self, title: str, command_id: str, result: Any, parameters: Mapping[str, Any]
    ) -> None:
        """Show the picture of a result, where it has one."""
        units = self._units.get(self._lease_of(command_id), {})
        picture = picture_of(title, result, parameters, units)
        if picture is None:
            return
        self.picture.show_picture(picture)
        if self.tabs.currentWidget() is not self.free:
            self.tabs.setCurrentWidget(self.picture)

    @Slot(str, object)
    def _refill(self, command_id: str, parameters: dict[str, Any]) -> None:
        """Fill a command's form with what was sent before."""
        if command_id not in self.forms:
            self._show_refusal(f"this server has no command {command_id!r:.60}")
        elif form := self.commands.choose(command_id):
            form.fill(parameters)
            form.setFocus()

    # --- tables ---------------------------------------------------------------------------------

    @Slot(object, object)
    def _edit_table(self, form: CommandForm, field: RowsField) -> None:
        """Open the table of a form's field."""
        try:
            rows = field.rows()
        except ValueError as error:
            field.show_error(f"{field.name}: {error}")
            return
        title = f"{form.command_id}: {field.name}"
        editor = TableEditor(self, title, field.name, members_of(field.schema), rows)
        editor.chosen.connect(lambda chosen: field.fill({field.name: chosen}))
        editor.check_wanted.connect(partial(self._check_table, editor, form, field))
        editor.show()

    def _check_table(
        self, editor: TableEditor, form: CommandForm, field: RowsField, rows: list[Any]
    ) -> None:
        request = {"command_id": form.command_id, **form.readable(), field.name: rows}

        def answered(verdicts: Any, failure: str) -> None:
            if failure or not isinstance(verdicts, list) or not verdicts:
                verdicts = [{"error": failure or "the server does not check requests"}]
            editor.show_verdict(rows, verdicts[0])

        self._ask("link.check", {"requests": [request]}, answered)

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
        self.commands.keep()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 Qt's name
        """Keep what is to be kept, and leave what still runs to itself."""
        self._keep()
        self._background.stop()
        self._disconnect()
        super().closeEvent(event)

    # --- the widgets ----------------------------------------------------------------------------

    def _make_widgets(self) -> None:
        self.setWindowTitle("artiq_link")
        self.commands = Commands(self.settings)
        self.commands.transmitted.connect(self._transmit_command)
        self.commands.refused.connect(self._show_refusal)
        self.commands.table_asked.connect(self._edit_table)
        self.instruments = Instruments(self.leases)
        self.instruments.take_wanted.connect(lambda name: self.leases.take(name, self.owner))
        self.instruments.release_wanted.connect(self.leases.release)
        self.instruments.reopen_wanted.connect(self._reopen)
        self.states = StateView()
        self.picture = PictureView()
        self.answer = Answer()
        self.answer.refill_wanted.connect(self._refill)
        self.history = History()
        self.history.chosen.connect(self._show_exchange)
        self.journal = Journal(self._ask)
        self.journal.chosen.connect(self._show_entry)
        self.free = self._make_free_json()
        self.tabs = _tabs(
            ("&State", self.states), ("P&icture", self.picture), ("Free &JSON", self.free)
        )
        self.past = _tabs(("This &window", self.history), ("&All clients", self.journal))
        vertical, horizontal = Qt.Orientation.Vertical, Qt.Orientation.Horizontal
        self._splitters = {
            "left": _splitter(
                vertical, (self.commands.tree, 480), (group("Instruments", self.instruments), 140)
            ),
            "middle": _splitter(vertical, (self.commands.pages, 330), (self.tabs, 290)),
            "right": _splitter(vertical, (group("Exchange", self.answer), 370), (self.past, 290)),
        }
        columns = zip(self._splitters.values(), (270, 460, 370), strict=True)
        self._splitters["columns"] = _splitter(horizontal, *columns)
        central = QWidget()
        layout = QVBoxLayout(central)
        self.state = Line("● not connected", Tone.NEUTRAL)
        layout.addLayout(self._make_connection())
        layout.addWidget(self.state)
        layout.addWidget(self._splitters["columns"], 1)
        self.setCentralWidget(central)

    def _make_connection(self) -> QHBoxLayout:
        self.host = QLineEdit()
        self.host.returnPressed.connect(self.connect_to_server)
        self.host.textChanged.connect(self._show_address)
        self.port = QSpinBox()
        self.port.setRange(1, LAST_PORT)
        self.port.valueChanged.connect(self._show_address)
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

    def _make_free_json(self) -> QWidget:
        self.free_text = QPlainTextEdit()
        self.free_text.setFont(fixed_font())
        self.free_text.setTabChangesFocus(True)
        self.free_error = Sentence()
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
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.free_text)
        layout.addWidget(self.free_error)
        layout.addWidget(self.free_button, 0, Qt.AlignmentFlag.AlignRight)
        return page


def _tabs(*pages: tuple[str, QWidget]) -> QTabWidget:
    tabs = QTabWidget()
    tabs.setDocumentMode(True)
    for name, page in pages:
        tabs.addTab(page, name)
    return tabs


def _splitter(orientation: Qt.Orientation, *parts: tuple[QWidget, int]) -> QSplitter:
    """Widgets beside each other, with their sizes at first."""
    splitter = QSplitter(orientation)
    splitter.setChildrenCollapsible(False)
    for widget, _ in parts:
        splitter.addWidget(widget)
    splitter.setSizes([size for _, size in parts])
    return splitter


def run(
    host: str | None,
    port: int | None,
    ssl: Sequence[str] | None = None,
    link: Mapping[str, str] | None = None,
) -> int:
    """Show the window and connect; returns when it has been closed."""
    application = QApplication([])
    Garbage(application)
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

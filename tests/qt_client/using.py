"""How tests use the desktop client: as its user does, with keys and clicks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import websockets.sync.server
from PySide6.QtCore import QEventLoop, Qt, QTimer, SignalInstance
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QWidget

from artiq_link.qt_client import fields, forms
from artiq_link.qt_client.window import MainWindow
from tests.conftest import PATIENCE


def click(widget: QWidget) -> None:
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def write(line: QLineEdit, text: str) -> None:
    line.clear()
    QTest.keyClicks(line, text)


def wait(
    signal: SignalInstance, act: Callable[[], object], until: Callable[[], bool] = lambda: True
) -> None:
    """Act, and go on when `signal` has been emitted and `until` is true then."""
    loop = QEventLoop()
    over = []

    def emitted(*_: object) -> None:
        if until():
            over.append(True)
            loop.quit()

    signal.connect(emitted)
    guard = QTimer()
    guard.setSingleShot(True)
    guard.timeout.connect(loop.quit)
    guard.start(int(PATIENCE * 1000))
    act()
    # The signal may have come while acting.
    if not over:
        loop.exec()
    signal.disconnect(emitted)
    assert over, "the signal did not come"


def connect(opened: MainWindow, port: int, host: str = "127.0.0.1") -> None:
    """Connect as a user does, and wait for the forms and the status."""
    write(opened.host, host)
    opened.port.setValue(port)
    wait(opened.described, lambda: click(opened.connect_button))
    wait(opened.refreshed, lambda: None)


def show_form(opened: MainWindow, command_id: str) -> forms.CommandForm:
    """Choose a command in the tree."""
    [name, command] = command_id.split(".")
    [group] = opened.commands.tree.findItems(name, Qt.MatchFlag.MatchExactly)
    [item] = [
        group.child(i) for i in range(group.childCount()) if group.child(i).text(0) == command
    ]
    group.setExpanded(True)
    opened.commands.tree.scrollToItem(item)
    position = opened.commands.tree.visualItemRect(item).center()
    QTest.mouseClick(opened.commands.tree.viewport(), Qt.MouseButton.LeftButton, pos=position)
    form = opened.forms[command_id]
    assert form.isVisible()
    return form


def fill(form: forms.CommandForm, **values: str) -> None:
    for name, text in values.items():
        field = form.fields[name]
        assert isinstance(field, fields.TextField)
        write(field.line, text)


def transmit(opened: MainWindow, command_id: str, **values: str) -> forms.CommandForm:
    """Fill in a command's form, click its Transmit button, and wait for the answer."""
    form = show_form(opened, command_id)
    fill(form, **values)
    wait(opened.exchanged, lambda: click(form.button))
    return form


def transmit_free(opened: MainWindow, text: str) -> None:
    opened.tabs.setCurrentWidget(opened.free)
    opened.free_text.setPlainText(text)
    wait(opened.exchanged, lambda: click(opened.free_button))


def history(opened: MainWindow) -> list[tuple[str, str]]:
    """Command and outcome of the exchanges, the latest first."""
    items = [opened.history.topLevelItem(i) for i in range(opened.history.topLevelItemCount())]
    return [(item.text(1), item.text(2)) for item in items if item is not None]


@contextlib.contextmanager
def websocket_server(
    script: Callable[[websockets.sync.server.ServerConnection], object], **options: Any
) -> Iterator[int]:
    """Run `script` for each WebSocket connection; yield the port."""
    with websockets.sync.server.serve(script, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()

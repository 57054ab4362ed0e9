"""Fixtures of the desktop client's tests: windows without a screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is imported

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from artiq_link.qt_client.window import MainWindow


@pytest.fixture(scope="session")
def application() -> QApplication:
    """The one application that a process can have."""
    widgets = pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    application: QApplication = widgets.QApplication([])
    return application


@pytest.fixture
def open_window(
    application: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], MainWindow]]:
    """Open windows that share their settings; all are closed at the test's end."""
    from PySide6.QtCore import QEvent, QSettings

    from artiq_link.qt_client import session
    from artiq_link.qt_client.garbage import Garbage
    from artiq_link.qt_client.window import MainWindow

    garbage = Garbage(application)
    monkeypatch.setattr(session, "REFRESH", 20)
    windows = []

    def open_one() -> MainWindow:
        settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
        opened = MainWindow(settings)
        windows.append(opened)
        opened.show()
        return opened

    yield open_one
    for opened in windows:
        opened.close()
        opened.deleteLater()
    application.processEvents()
    # Without this they would be deleted in the event loop of the next test.
    application.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    garbage.close()
    garbage.deleteLater()


@pytest.fixture
def main_window(open_window: Callable[[], MainWindow]) -> MainWindow:
    return open_window()

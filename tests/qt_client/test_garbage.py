"""Garbage of windows is collected in their own thread."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import QObject, Qt, QTimer

from artiq_link.qt_client import garbage
from artiq_link.qt_client.garbage import Garbage
from tests.qt_client.using import wait

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication


class Ring(QObject):
    """One that refers to itself, so that only a collection of garbage ends it."""

    def __init__(self, ends: list[threading.Thread]) -> None:
        super().__init__()
        self.own = self
        self.destroyed.connect(
            lambda: ends.append(threading.current_thread()), Qt.ConnectionType.DirectConnection
        )


def make_much() -> list[Any]:
    """As many objects as make Python collect garbage."""
    return [[index] for index in range(10_000)]


def test_qt_objects_are_not_deleted_by_a_thread_that_makes_much(
    application: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But by the window's soon, without a word from anybody."""
    monkeypatch.setattr(garbage, "PERIOD", 1)
    ends: list[threading.Thread] = []
    collector = Garbage(application)
    Ring(ends)
    thread = threading.Thread(target=make_much)
    thread.start()
    thread.join()
    assert ends == []
    ticks = QTimer()
    ticks.setInterval(0)
    much: list[Any] = []

    def until_ended() -> bool:
        much.append(make_much())
        return bool(ends)

    wait(ticks.timeout, ticks.start, until_ended)
    ticks.stop()
    assert ends == [threading.current_thread()]
    collector.close()
    collector.deleteLater()


def test_afterwards_it_is_collected_as_before(application: QApplication) -> None:
    ends: list[threading.Thread] = []
    collector = Garbage(application)
    assert not gc.isenabled()
    Ring(ends)
    collector.close()
    collector.deleteLater()
    assert ends == [threading.current_thread()]
    assert gc.isenabled()

"""What blocks runs in threads, and what it holds is let go in the window's."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import QObject, Signal

from artiq_link.qt_client.background import Background
from tests.qt_client.using import wait

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication


class Owner(QObject):
    """One that works in the background."""

    done = Signal()

    def work(self) -> None:
        pass

    def __call__(self) -> None:
        self.done.emit()


def thread_of_the_end(one: object) -> list[threading.Thread]:
    """The thread in which an object is let go, once it is."""
    threads: list[threading.Thread] = []
    weakref.finalize(one, lambda: threads.append(threading.current_thread()))
    return threads


@pytest.mark.parametrize("is_stopped", [False, True])
def test_what_only_a_job_still_holds_ends_in_the_windows_thread(
    application: QApplication, *, is_stopped: bool
) -> None:
    """Also where nothing follows it any more: a window that is deleted elsewhere is a crash."""
    background, watching = Background(), Owner()
    worker, follower = Owner(), Owner()
    ends = thread_of_the_end(worker), thread_of_the_end(follower)
    may_end = threading.Event()

    def work(owner: Owner = worker) -> None:
        assert may_end.wait(10)
        owner.work()

    thread = background.run(work, lambda owner=follower: owner())  # type: ignore[misc]
    del worker, follower, work
    if is_stopped:
        background.stop()
    may_end.set()
    thread.join()
    assert ends == ([], [])
    other = Background()
    wait(watching.done, lambda: other.run(lambda: None, watching))
    assert ends == ([threading.current_thread()], [threading.current_thread()])

"""What blocks runs in threads, and what follows it in the window's thread."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal, Slot

THREAD_NAME = "desktop client"


class Background(QObject):
    """Runs work in threads; once stopped, nothing follows what still runs.

    What is run, and what follows it, may hold windows and other objects of Qt's, which only their
    own thread may delete: so it is let go there and not in the thread in which it ran.

    The threads are Python's daemons and not QThreadPool's: that one waits for its threads when
    the program ends, and its user would wait for a reply that does not come.
    """

    _came_back = Signal()

    def __init__(self) -> None:
        # The application's, not the window's: a thread may come back after its window has gone.
        super().__init__(QCoreApplication.instance())
        self._stopped = False
        self._jobs: deque[list[Callable[[], object]]] = deque()
        self._came_back.connect(self._follow, Qt.ConnectionType.QueuedConnection)

    def run(
        self, work: Callable[[], object], then: Callable[[], object] = lambda: None
    ) -> threading.Thread:
        """Do `work` in a thread, afterwards `then` in this one; returns the thread."""
        job = [work, then]

        def run() -> None:
            job[0]()
            self._come_back(job)

        thread = threading.Thread(target=run, name=THREAD_NAME, daemon=True)
        thread.start()
        return thread

    def follow(self, then: Callable[[], object]) -> None:
        """Have `then` called in the window's thread; to be called from any other."""
        self._come_back([then])

    def stop(self) -> None:
        """Let what runs end by itself, and nothing follow it."""
        self._stopped = True

    def _come_back(self, job: list[Callable[[], object]]) -> None:
        """Have the last of a job done in the window's thread, and all of it let go there."""
        self._jobs.append(job)
        with contextlib.suppress(RuntimeError):  # the application, too, has gone
            self._came_back.emit()

    @Slot()
    def _follow(self) -> None:
        job = self._jobs.popleft()
        then = job[-1]
        job.clear()  # the thread may still have the list
        if not self._stopped:
            then()

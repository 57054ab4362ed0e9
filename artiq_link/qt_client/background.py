"""What blocks runs in threads, and what follows it in the window's thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal, Slot

THREAD_NAME = "desktop client"


class Background(QObject):
    """Runs work in threads; once stopped, nothing follows what still runs.

    The threads are Python's daemons and not QThreadPool's: that one waits for its threads when
    the program ends, and its user would wait for a reply that does not come.
    """

    _done = Signal(object)

    def __init__(self) -> None:
        # The application's, not the window's: a thread may come back after its window has gone.
        super().__init__(QCoreApplication.instance())
        self._stopped = False
        self._done.connect(self._follow, Qt.ConnectionType.QueuedConnection)

    def run(
        self, work: Callable[[], object], then: Callable[[], object] | None = None
    ) -> threading.Thread:
        """Do `work` in a thread, afterwards `then` in this one; returns the thread."""

        def run() -> None:
            work()
            if then is not None:
                self.follow(then)

        thread = threading.Thread(target=run, name=THREAD_NAME, daemon=True)
        thread.start()
        return thread

    def follow(self, then: Callable[[], object]) -> None:
        """Have `then` called in the window's thread; to be called from any other."""
        if not self._stopped:
            with contextlib.suppress(RuntimeError):  # the application, too, has gone
                self._done.emit(then)

    def stop(self) -> None:
        """Let what runs end by itself, and nothing follow it."""
        self._stopped = True

    @Slot(object)
    def _follow(self, then: Callable[[], object]) -> None:
        if not self._stopped:
            then()

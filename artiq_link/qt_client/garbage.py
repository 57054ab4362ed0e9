"""Python's garbage is collected in the window's thread, and in no other."""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

PERIOD = 500
"""Milliseconds from one look at how much there is to the next."""


class Garbage(QObject):
    """Collects garbage in the thread that makes this, as often as Python would, until `close`.

    Python by itself collects in any thread that happens to make many objects. Where there are
    objects of Qt's in a circle of references, such as of a window that was closed and its slots,
    it would delete them there, while the window's thread uses them: Qt's objects belong to one
    thread, and the program would end with a segmentation fault.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        gc.disable()
        self._timer = QTimer(self)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def close(self) -> None:
        """Collect what there is, and let Python do it by itself again."""
        self._timer.stop()
        gc.collect()
        gc.enable()

    def _look(self) -> None:
        """Collect the oldest generation that is due, which has the younger ones with it."""
        due = [
            one > most > 0 for one, most in zip(gc.get_count(), gc.get_threshold(), strict=True)
        ]
        if any(due):
            gc.collect(max(generation for generation, is_due in enumerate(due) if is_due))

"""What each instrument does: a row with its summary, how far its command is, and who holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from ..owners import holder_text
from .appearance import Line, Tone
from .lease import Leases

_FULL = 1000
"""Of a progress bar: finer than its pixels."""


class InstrumentRow(QWidget):
    """One instrument."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.summary = Line(name)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(5)
        self.bar.setMinimumWidth(10)
        self.bar.setRange(0, _FULL)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # nothing moves when a command begins
        self.bar.setSizePolicy(policy)
        self.bar.hide()
        self.holder = Line(tone=Tone.NEUTRAL)
        self.button = QPushButton("Take")
        self.button.setAccessibleName(f"Take or release {name}")
        self.reopen_button = QPushButton("Open again")
        self.reopen_button.setAccessibleName(f"Open the hardware of {name} again")
        self.reopen_button.setToolTip(
            "Close its hardware and open it now; by itself that is tried only now and then"
        )
        self.reopen_button.hide()
        layout = QGridLayout(self)
        layout.setContentsMargins(2, 2, 2, 4)
        layout.setVerticalSpacing(1)
        layout.setColumnStretch(0, 1)
        layout.addWidget(self.summary, 0, 0, 1, 3)
        layout.addWidget(self.bar, 1, 0, 1, 3)
        layout.addWidget(self.holder, 2, 0)
        layout.addWidget(self.reopen_button, 2, 1)
        layout.addWidget(self.button, 2, 2)

    def show_status(self, status: Mapping[str, Any], *, stale: bool = False) -> None:
        """Show what ``link.status`` tells of it."""
        waiting = status.get("waiting", 0)
        queue = f"; {waiting} more in the queue" if waiting else ""
        is_well = status.get("state") in {"idle", "busy"}
        tone = Tone.NEUTRAL if stale else Tone.PLAIN if is_well else Tone.BAD
        past = " (as it was told last)" if stale else ""
        self.summary.say(f"{status.get('summary', self.name)}{queue}{past}", tone)
        self.reopen_button.setVisible(status.get("state") == "lost" and not stale)
        activity = status.get("activity")
        doing = activity if isinstance(activity, Mapping) else status
        is_active = status.get("state") == "busy" or doing is activity
        fraction = doing.get("fraction")
        self.bar.setVisible(bool(is_active) and not stale)
        if fraction is None:
            self.bar.setRange(0, 0)  # it is not known how far: it only moves
        else:
            self.bar.setRange(0, _FULL)
            self.bar.setValue(round(fraction * _FULL))

    def show_holder(self, held: Mapping[str, Any] | None, leases: Leases) -> None:
        """Show who holds it, and what the button does."""
        mine = self.name in leases
        self.button.setText("Release" if mine else "Take")
        for button in (self.button, self.reopen_button):
            button.setEnabled(mine or held is None)
        if mine and leases.is_lost(self.name):
            self.holder.say("your lease has ended", Tone.BAD)
        elif mine:
            self.holder.say("held by you", Tone.GOOD)
        elif held is not None:
            self.holder.say(f"held by {holder_text(held)}", Tone.NEUTRAL)
        else:
            self.holder.say("held by nobody", Tone.NEUTRAL)
        self.button.setToolTip(
            "Let others send commands again"
            if mine
            else "Hold it: until you release it, or close this window, the commands of all "
            "others are refused"
            if held is None
            else "Somebody holds it, so your commands are refused until the lease ends"
        )


class Instruments(QScrollArea):
    """The rows of all instruments of a server."""

    take_wanted = Signal(str)
    release_wanted = Signal(str)
    reopen_wanted = Signal(str)

    def __init__(self, leases: Leases) -> None:
        super().__init__()
        self.rows: dict[str, InstrumentRow] = {}
        self._leases = leases
        self._told: dict[str, Mapping[str, Any]] = {}
        body = QWidget()
        self._layout = QVBoxLayout(body)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._layout.addStretch(1)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(body)
        leases.changed.connect(lambda *_: self.show_holders())

    @property
    def text(self) -> str:
        """What all instruments do, each on a line."""
        return "\n".join(row.summary.text() for row in self.rows.values())

    def clear(self) -> None:
        """Show none."""
        self.show_status({})

    def show_status(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Show what ``link.status`` tells of all instruments."""
        for name in [name for name in self.rows if name not in told]:
            row = self.rows.pop(name)
            self._layout.removeWidget(row)
            row.deleteLater()
        for name, status in told.items():
            if name not in self.rows:
                self._add(name)
            self.rows[name].show_status(status)
        self._told = dict(told)
        self.show_holders()

    def show_stale(self) -> None:
        """Show that what stands here was so when the server was last heard."""
        for name, row in self.rows.items():
            row.show_status(self._told.get(name, {}), stale=True)
            row.button.setEnabled(False)

    def show_holders(self) -> None:
        """Show who holds what by now."""
        for name, row in self.rows.items():
            row.show_holder(self._told.get(name, {}).get("lease"), self._leases)

    def _add(self, name: str) -> None:
        row = self.rows[name] = InstrumentRow(name)
        row.button.clicked.connect(lambda: self._click(name))
        row.reopen_button.clicked.connect(lambda: self.reopen_wanted.emit(name))
        self._layout.insertWidget(self._layout.count() - 1, row)

    def _click(self, name: str) -> None:
        self.rows[name].button.setEnabled(False)  # until it is known what came of it
        (self.release_wanted if name in self._leases else self.take_wanted).emit(name)

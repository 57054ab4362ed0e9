"""The last exchange, or one that is chosen in a history: what was sent, and what came of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from .appearance import Sentence, Tone, fixed_font
from .exchanges import SUCCESS, Exchange, pretty
from .journal_model import command_of, outcome_of, sentence_of


class Answer(QWidget):
    """A sentence in the colour of what came of it, and all of it as text."""

    refill_wanted = Signal(str, object)
    """A command and the parameters that its form is to be filled with."""

    def __init__(self) -> None:
        super().__init__()
        self._refill: tuple[str, Mapping[str, Any]] = "", {}
        self.headline = Sentence("Nothing has been sent yet.", Tone.NEUTRAL, bold=True)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(fixed_font())
        self.text.setTabChangesFocus(True)
        self.refill = QPushButton("&Fill the form again")
        self.refill.setToolTip("Put these parameters into the command's form; nothing is sent")
        self.refill.clicked.connect(lambda: self.refill_wanted.emit(*self._refill))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.headline)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.refill, 0, Qt.AlignmentFlag.AlignRight)
        self._offer("", {})

    def show_exchange(self, exchange: Exchange) -> None:
        """Show one of this window's exchanges."""
        self.headline.say(exchange.headline, tone_of(exchange))
        sent = f"sent in {exchange.dialect.name} at {exchange.began:%H:%M:%S}:"
        text = f"{sent}\n{pretty(exchange.message)}\n"
        if exchange.text:
            text += f"\nanswered after {exchange.duration}:\n{exchange.text}\n"
        self.text.setPlainText(text)
        self._offer(exchange.form, exchange.parameters)

    def show_entry(self, entry: Mapping[str, Any]) -> None:
        """Show an exchange of the server's journal."""
        tone = Tone.GOOD if outcome_of(entry) == "done" else Tone.BAD
        self.headline.say(sentence_of(entry), tone)
        at = datetime.datetime.fromtimestamp(entry["received"])
        self.text.setPlainText(
            f"came to the server on {at:%Y-%m-%d at %H:%M:%S}:\n{pretty(entry)}\n"
        )
        self._offer(command_of(entry), entry.get("parameters") or {})

    def show_refusal(self, sentence: str) -> None:
        """Show why nothing was sent, in place of the answer to what was sent before."""
        self.headline.say(f"not sent: {sentence}", Tone.BAD)
        self.text.clear()
        self._offer("", {})

    def _offer(self, command: str, parameters: Mapping[str, Any]) -> None:
        self._refill = command, parameters
        self.refill.setEnabled(bool(command))


def tone_of(exchange: Exchange) -> Tone:
    """Neutral while it runs, good or bad afterwards."""
    if exchange.seconds is None:
        return Tone.NEUTRAL
    is_good = exchange.outcome == SUCCESS or not exchange.failure
    return Tone.GOOD if is_good else Tone.BAD

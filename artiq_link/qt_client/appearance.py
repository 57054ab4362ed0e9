"""How the window shows texts: colours for light and dark, labels for what comes from elsewhere."""

from __future__ import annotations

import enum
import html
import re

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QGroupBox, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget


class Tone(enum.Enum):
    """What a text says by its colour: on light, on dark.

    The colours can be read, and told apart by those who see no red or green.
    """

    PLAIN = "", ""
    NEUTRAL = "#5f6368", "#a6adb5"
    GOOD = "#1a7f37", "#6fd08c"
    BAD = "#b3261e", "#ff9a8f"

    def colour(self, palette: QPalette) -> QColor:
        """Its colour where the window has `palette`."""
        light, dark = self.value
        if not light:
            return palette.color(QPalette.ColorRole.WindowText)
        return QColor(dark if is_dark(palette) else light)


def is_dark(palette: QPalette) -> bool:
    """Whether texts are lighter than what is behind them."""
    return (
        palette.color(QPalette.ColorRole.WindowText).lightness()
        > palette.color(QPalette.ColorRole.Window).lightness()
    )


class Sentence(QLabel):
    """A label for a text from elsewhere: any length, no markup, to be copied from."""

    def __init__(self, text: str = "", tone: Tone = Tone.PLAIN, *, bold: bool = False) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setWordWrap(True)
        self._weight = "; font-weight: bold" if bold else ""
        self.say(text, tone)

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Show another text in the colour of its tone."""
        self.tone = tone
        self.setText(text)
        self._dye()

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 Qt's name
        """Follow the desktop from light to dark."""
        super().changeEvent(event)
        if event.type() is QEvent.Type.PaletteChange:
            self._dye()

    def _dye(self) -> None:
        # Of the window: the label's own palette has the colour that was given to it last.
        colour = (
            "" if self.tone is Tone.PLAIN else self.tone.colour(self.window().palette()).name()
        )
        style = f"color: {colour}{self._weight}" if colour else self._weight.lstrip("; ")
        if style != self.styleSheet():
            self.setStyleSheet(style)


class Line(Sentence):
    """A sentence on one line, which takes the room that there is; the tool tip has all of it."""

    def __init__(self, text: str = "", tone: Tone = Tone.PLAIN) -> None:
        super().__init__(text, tone)
        self.setWordWrap(False)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Show another text in the colour of its tone."""
        super().say(text, tone)
        self.setToolTip(tip(text))

    def sizeHint(self) -> QSize:  # noqa: N802 Qt's name
        """Of a line, whatever the text."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text()), metrics.height() + 2)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 Qt's name
        """Of a line that is cut."""
        return QSize(0, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 Qt's name
        """Paint as much of the text as there is room for."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        text = " ".join(self.text().split())
        cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, self.width())
        flags = self.alignment() | Qt.TextFlag.TextSingleLine
        painter.drawText(self.rect(), flags, cut)


def rich(text: str) -> str:
    """A docstring as rich text: its paragraphs filled anew, and what is in backticks as code."""
    marked = re.sub(r"`+([^`]+)`+", r"<code>\1</code>", html.escape(text.strip(), quote=False))
    return "".join(f"<p>{part}</p>" for part in re.split(r"\n\s*\n", marked))


def tip(text: str) -> str:
    """A tool tip that shows `text`, whatever it looks like."""
    return rich(text) if text else ""


def plain(text: str) -> str:
    """A docstring's text for where there is no code: without its backticks."""
    return text.replace("`", "")


def fixed_font() -> QFont:
    """The desktop's font whose characters are all as wide."""
    return QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """A box with a title, its widgets below each other, its buttons to the right."""
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    layout.setContentsMargins(6, 6, 6, 6)
    for widget in widgets:
        layout.addWidget(widget)
        if isinstance(widget, QPushButton):
            layout.setAlignment(widget, Qt.AlignmentFlag.AlignRight)
    return box

"""A widget that draws pictures: curves of any length over one axis, and images.

Of a curve, what lies in one column of pixels is drawn from its least to its greatest value, so
that a million samples cost as little as a thousand and no spike is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
    QPolygonF,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from ..units import read_quantity, write_rounded
from .appearance import Tone, is_dark
from .pictures import Axis, Curve, Numbers, Panel, Picture

LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d31")
DARK = ("#56b4e9", "#ff9d5c", "#4fd1a5", "#e8a3c8", "#a5d8ff", "#f0c75e", "#ffffff", "#c9a86a")
"""Colours of curves that can be told apart by those who see no red or green (Okabe and Ito)."""

GAP = 6
"""Pixels between numbers, axes and the edge."""

LARGEST, SMALLEST = 1e300, 1e-200
"""Numbers between which floats have room for what is computed of them."""

FARTHEST = 1e6
"""Pixels; what lies farther outside is no matter of Qt's."""

ZOOM = 1.25
"""By how much one notch of the wheel changes what is seen."""


class Scale(NamedTuple):
    """How an axis' numbers are written: with one prefix for all of them."""

    unit: str
    factor: float

    @classmethod
    def of(cls, axis: Axis, low: float, high: float) -> Scale:
        """The prefix that fits the largest number between two."""
        largest = max(abs(low), abs(high))
        if not axis.unit or not largest or not math.isfinite(largest):
            return cls(axis.unit, 1.0)
        unit = write_rounded(largest, axis.unit).partition(" ")[2]
        try:
            return cls(unit, read_quantity(f"1 {unit}", axis.unit))
        except ValueError:
            return cls(axis.unit, 1.0)

    def label(self, axis: Axis) -> str:
        """What stands beside the axis: ``frequency (MHz)``."""
        return f"{axis.name} ({self.unit})" if self.unit else axis.name


def ticks(low: float, high: float, most: int) -> tuple[list[float], int]:
    """Round numbers between two, no more than `most`, and the decimals that tell them apart."""
    rough = (high - low) / max(1, most)
    power = math.floor(math.log10(rough))
    step = next(s for s in (1, 2, 5, 10) if s * 10.0**power >= rough * (1 - 1e-9)) * 10.0**power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [number * step for number in range(first, last + 1)], decimals


def reduced(
    x: Numbers, y: Numbers, low: float, high: float, columns: int
) -> tuple[Numbers, Numbers]:
    """A curve between two places as no more than some four points for each of the columns."""
    first = max(0, int(np.searchsorted(x, low, "left")) - 1)
    last = min(len(x), int(np.searchsorted(x, high, "right")) + 1)
    x, y = x[first:last], y[first:last]
    if len(x) <= 4 * columns:
        return x, y
    starts = np.arange(columns) * len(x) // columns
    least, greatest = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    ends = np.append(starts[1:], len(x)) - 1
    return (
        np.repeat(x[starts], 4),
        np.stack((y[starts], least, greatest, y[ends]), axis=1).reshape(-1),
    )


class Plot(QWidget):
    """Draws a picture; the wheel zooms, dragging moves, a double click shows all of it again."""

    def __init__(self) -> None:
        super().__init__()
        self._picture: Picture | None = None
        self._image: QImage | None = None
        self._all = self._seen = (0.0, 1.0)
        self._mouse: QPointF | None = None
        self._dragged: QPointF | None = None
        self._area = QRectF()
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("")

    def sizeHint(self) -> QSize:  # noqa: N802 Qt's name
        """As much as there is."""
        return QSize(320, 180)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 Qt's name
        """In which something can be seen."""
        return QSize(120, 80)

    @property
    def seen(self) -> tuple[float, float]:
        """Between which places of the x axis the curves are shown."""
        return self._seen

    def show_picture(self, picture: Picture | None) -> None:
        """Draw another picture, all of it; None: nothing."""
        self._picture = picture
        self._image = None if picture is None or picture.image is None else _image(picture.image)
        curves = [] if picture is None else [c for p in picture.panels for c in p.curves]
        self._all = self._seen = _extent([end for c in curves for end in (c.x[0], c.x[-1])])
        self._mouse = None
        self.update()

    # --- the mouse ------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 Qt's name
        """Zoom about the place of the mouse."""
        if not self._curves_are_shown:
            return
        notches = event.angleDelta().y() / 120
        low, high = self._seen
        place = self._place(event.position().x())
        factor = ZOOM**-notches
        low, high = place - (place - low) * factor, place + (high - place) * factor
        self._see(low, high)
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 Qt's name
        """Begin to move what is seen."""
        self._dragged = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 Qt's name
        """Tell the values at the mouse, or move what is seen."""
        self._mouse = event.position()
        if self._dragged is not None and self._curves_are_shown:
            moved = self._place(self._dragged.x()) - self._place(self._mouse.x())
            self._dragged = self._mouse
            low, high = self._seen
            moved = min(max(moved, self._all[0] - low), self._all[1] - high)
            self._see(low + moved, high + moved)
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 Qt's name
        """End the move."""
        self._dragged = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 Qt's name
        """Show all again."""
        self._see(*self._all)

    def leaveEvent(self, event: object) -> None:  # noqa: N802 Qt's name
        """Tell no values any more."""
        self._mouse = None
        self.update()

    @property
    def _curves_are_shown(self) -> bool:
        return self._picture is not None and bool(self._picture.panels) and not self._area.isNull()

    def _place(self, pixel: float) -> float:
        low, high = self._seen
        return low + (pixel - self._area.left()) / max(1.0, self._area.width()) * (high - low)

    def _see(self, low: float, high: float) -> None:
        whole = self._all[1] - self._all[0]
        if high - low < whole * 1e-9:  # floats end here
            return
        self._seen = max(low, self._all[0]), min(high, self._all[1])
        self.update()

    # --- painting -------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 Qt's name
        """Draw it as large as there is room."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        picture = self._picture
        if picture is None:
            return
        if self._image is not None:
            self._paint_image(painter, self._image)
        elif picture.panels:
            self._paint_panels(painter, picture)

    def _paint_image(self, painter: QPainter, image: QImage) -> None:
        size = image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        corner = QPointF((self.width() - size.width()) / 2, (self.height() - size.height()) / 2)
        painter.drawImage(QRectF(corner, size), image)

    def _paint_panels(self, painter: QPainter, picture: Picture) -> None:
        metrics = painter.fontMetrics()
        line = metrics.height()
        bottom = 2 * line + GAP
        height = (self.height() - bottom - line) / len(picture.panels)
        ranges = [self._range(panel) for panel in picture.panels]
        most = max(2, int(height / (2.2 * line)))
        written = [
            _ticks_of(panel.axis, *r, most)
            for panel, r in zip(picture.panels, ranges, strict=True)
        ]
        left = GAP + max(metrics.horizontalAdvance(text) for w in written for _, text in w[1])
        self._area = QRectF(
            left + GAP, line, self.width() - left - 3 * GAP, self.height() - bottom - line
        )
        for index, (panel, lowest_highest, (scale, marks)) in enumerate(
            zip(picture.panels, ranges, written, strict=True)
        ):
            area = QRectF(
                self._area.left(),
                line + index * height + line,
                self._area.width(),
                height - line - GAP,
            )
            self._paint_frame(painter, area, marks, lowest_highest)
            painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
            above = QRectF(area.left(), area.top() - line - 1, area.width(), line)
            painter.drawText(above, Qt.AlignmentFlag.AlignLeft, scale.label(panel.axis))
            self._paint_curves(painter, area, panel, lowest_highest)
        self._paint_x(painter, picture.x)
        self._paint_values(painter, picture)

    def _range(self, panel: Panel) -> tuple[float, float]:
        """The least and greatest value of what is seen, with some air."""
        ends: list[float] = []
        for curve in panel.curves:
            _, y = reduced(curve.x, curve.y, *self._seen, max(16, self.width()))
            if np.isfinite(y).any():
                ends += [float(np.nanmin(y[np.isfinite(y)])), float(np.nanmax(y[np.isfinite(y)]))]
        low, high = _extent(ends)
        air = (high - low) * 0.06
        return low - air, high + air

    def _paint_frame(
        self,
        painter: QPainter,
        area: QRectF,
        marks: list[tuple[float, str]],
        lowest_highest: tuple[float, float],
    ) -> None:
        low, high = lowest_highest
        painter.fillRect(area, self.palette().color(QPalette.ColorRole.Base))
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(colour)
        faint.setAlpha(40)
        half = painter.fontMetrics().height() / 2
        for value, text in marks:
            y = area.bottom() - (value - low) / (high - low) * area.height()
            painter.setPen(faint)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(colour)
            beside = QRectF(0, y - half, area.left() - GAP / 2, 2 * half)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(beside, flags, text)
        for value, _ in self._x_marks(painter)[1]:
            x = self._pixel(value)
            painter.setPen(faint)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        painter.setPen(faint)
        painter.drawRect(area)

    def _paint_curves(
        self, painter: QPainter, area: QRectF, panel: Panel, lowest_highest: tuple[float, float]
    ) -> None:
        low, high = lowest_highest
        painter.save()
        painter.setClipRect(area)
        for index, (curve, colour) in enumerate(zip(panel.curves, self._colours(), strict=False)):
            xs, ys = reduced(curve.x, curve.y, *self._seen, max(16, int(area.width())))
            painter.setPen(QPen(colour, 1.5))
            pixels_x = self._pixels(xs).clip(-FARTHEST, FARTHEST)
            up = (ys - low) / (high - low) * area.height()
            pixels_y = (area.bottom() - up).clip(-FARTHEST, FARTHEST)
            painter.drawPath(_path(pixels_x, pixels_y, steps=curve.steps))
            if len(panel.curves) > 1:
                place = QPointF(
                    area.left() + GAP, area.top() + (index + 1) * painter.fontMetrics().height()
                )
                painter.drawText(place, curve.name)
        painter.restore()

    def _paint_x(self, painter: QPainter, axis: Axis) -> None:
        scale, marks = self._x_marks(painter)
        metrics = painter.fontMetrics()
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        top = self._area.bottom() + 1
        for value, text in marks:
            width = metrics.horizontalAdvance(text)
            x = min(max(self._pixel(value) - width / 2, 0), self.width() - width)
            painter.drawText(QPointF(x, top + metrics.ascent()), text)
        below = QRectF(
            self._area.left(), top + metrics.height(), self._area.width(), metrics.height()
        )
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, scale.label(axis))

    def _paint_values(self, painter: QPainter, picture: Picture) -> None:
        """What the curves are at the mouse."""
        if self._mouse is None or not self._area.contains(self._mouse):
            return
        place = self._place(self._mouse.x())
        texts = [_value_text(picture.x, place)]
        for panel in picture.panels:
            for curve in panel.curves:
                texts.append(
                    _value_text(
                        Axis(curve.name or panel.axis.name, panel.axis.unit), _at(curve, place)
                    )
                )
        text = ", ".join(texts)
        faint = Tone.NEUTRAL.colour(self.palette())
        painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
        x = self._mouse.x()
        painter.drawLine(QPointF(x, self._area.top()), QPointF(x, self._area.bottom()))
        metrics = painter.fontMetrics()
        cut = metrics.elidedText(text, Qt.TextElideMode.ElideRight, self.width() - 2 * GAP)
        painter.drawText(
            QRectF(GAP, 0, self.width() - 2 * GAP, metrics.height()),
            Qt.AlignmentFlag.AlignRight,
            cut,
        )

    def _x_marks(self, painter: QPainter) -> tuple[Scale, list[tuple[float, str]]]:
        assert self._picture is not None  # noqa: S101 it is being painted
        most = max(
            2, int(self._area.width() / (7 * painter.fontMetrics().averageCharWidth() + 24))
        )
        return _ticks_of(self._picture.x, *self._seen, most)

    def _pixel(self, value: float) -> float:
        return float(self._pixels(np.array(value)))

    def _pixels(self, values: Numbers) -> Numbers:
        low, high = self._seen
        return self._area.left() + (values - low) / (high - low) * self._area.width()

    def _colours(self) -> Iterator[QColor]:
        return map(QColor, DARK if is_dark(self.palette()) else LIGHT)


def _ticks_of(
    axis: Axis, low: float, high: float, most: int
) -> tuple[Scale, list[tuple[float, str]]]:
    """The marks of an axis, with their numbers in one prefix."""
    scale = Scale.of(axis, low, high)
    places, decimals = ticks(low / scale.factor, high / scale.factor, most)
    return scale, [(place * scale.factor, f"{place:.{decimals}f}") for place in places]


def _value_text(axis: Axis, value: float) -> str:
    written = write_rounded(value, axis.unit, 6) if axis.unit else f"{value:.6g}"
    return f"{axis.name} = {written}"


def _at(curve: Curve, place: float) -> float:
    """The value that holds at a place, or that of the sample nearest to it."""
    index = int(np.searchsorted(curve.x, place, "right")) - 1
    if not curve.steps and index + 1 < len(curve.x):
        nearer = place - curve.x[max(index, 0)] > curve.x[index + 1] - place
        index += int(nearer)
    return float(curve.y[min(max(index, 0), len(curve.y) - 1)])


def _extent(ends: list[float]) -> tuple[float, float]:
    """Between what numbers something lies; never nothing."""
    if not ends:
        return 0.0, 1.0
    low, high = max(min(ends), -LARGEST), min(max(ends), LARGEST)
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-12 or size < SMALLEST:
        around = size * 1e-3 if size >= SMALLEST else 1.0
        return low - around, high + around
    return low, high


def _path(x: Numbers, y: Numbers, *, steps: bool) -> QPainterPath:
    """A line through points; where one is no number, it is broken."""
    if steps and len(x):
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    path = QPainterPath()
    whole = np.flatnonzero(~np.isfinite(y))
    start = 0
    for end in (*whole, len(x)):
        if end > start:
            points = zip(x[start:end].tolist(), y[start:end].tolist(), strict=True)
            path.addPolygon(QPolygonF([QPointF(*point) for point in points]))
        start = int(end) + 1
    return path


def _image(numbers: Numbers) -> QImage:
    """Grey from the least number to the greatest."""
    known = numbers[np.isfinite(numbers)]
    low, high = _extent([float(known.min()), float(known.max())] if known.size else [])
    grey = np.nan_to_num((numbers - low) / (high - low) * 255, nan=0.0).clip(0, 255)
    data = np.ascontiguousarray(grey.astype(np.uint8))
    rows, columns = data.shape
    return QImage(data.data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()

"""How pictures are drawn: what is seen of them, pixel by pixel where it must be."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from artiq_link.qt_client import plots
from artiq_link.qt_client.pictures import Axis, picture_of
from artiq_link.qt_client.plots import Plot, Scale, reduced, ticks


def test_a_million_samples_become_some_points_and_no_spike_is_lost() -> None:
    y = np.zeros(1_000_000)
    y[123_456], y[654_321] = 5.0, -7.0
    xs, ys = reduced(np.arange(1e6), y, 0, 1e6, 500)
    assert len(xs) == len(ys) == 2000
    assert (ys.max(), ys.min()) == (5, -7)


def test_what_is_seen_of_a_curve_reaches_beyond_the_edges() -> None:
    xs, ys = reduced(np.arange(100.0), np.arange(100.0), 10.5, 12.5, 500)
    assert xs.tolist() == ys.tolist() == [10, 11, 12, 13]


def test_unknown_numbers_do_not_hide_the_known_ones() -> None:
    y = np.full(100_000, np.nan)
    y[50_000] = 1.0
    assert np.nanmax(reduced(np.arange(1e5), y, 0, 1e5, 100)[1]) == 1


@pytest.mark.parametrize(
    ("low", "high", "most", "places", "decimals"),
    [
        (0, 10, 5, [0, 2, 4, 6, 8, 10], 0),
        (0.05, 0.95, 4, [0.5], 1),
        (79.9, 80.1, 4, [79.9, 79.95, 80.0, 80.05, 80.1], 2),
        (-3, 3, 3, [-2, 0, 2], 0),
    ],
)
def test_marks_stand_at_round_numbers(
    low: float, high: float, most: int, places: list[float], decimals: int
) -> None:
    found = ticks(low, high, most)
    assert (pytest.approx(places), decimals) == found


def test_numbers_of_an_axis_have_one_prefix() -> None:
    assert Scale.of(Axis("frequency", "Hz"), 70e6, 90e6) == Scale("MHz", 1e6)
    assert Scale.of(Axis("t", "s"), 0, 2e-5) == Scale("us", 1e-6)
    assert Scale.of(Axis("amplitude", "of full scale"), 0, 1) == Scale("of full scale", 1)
    assert Scale.of(Axis("sample"), 0, 1e6) == Scale("", 1)
    assert Scale("MHz", 1e6).label(Axis("frequency", "Hz")) == "frequency (MHz)"


@pytest.fixture
def plot(application: QApplication) -> Plot:
    shown = Plot()
    shown.resize(400, 300)
    shown.show_picture(picture_of("a step", np.repeat([0.0, 1.0], 50_000), {}, {}))
    shown.show()
    shown.grab()
    return shown


def is_drawn(plot: Plot, x: float, y: float) -> bool:
    """Whether there is a curve near a place, in parts of the width and height."""
    image = plot.grab().toImage()
    blue = QColor(plots.LIGHT[0])
    place = QPoint(round(x * image.width()), round(y * image.height()))
    near = [place + QPoint(dx, dy) for dx in range(-3, 4) for dy in range(-3, 4)]
    colours = [QColor(image.pixel(point)) for point in near]
    return any(c.blue() - c.red() > 60 and c.hue() - blue.hue() < 30 for c in colours)


def drawn_in(plot: Plot, left: float, right: float, top: float, bottom: float) -> bool:
    """Whether there is a curve somewhere in a part of the plot."""
    xs, ys = np.linspace(left, right, 12), np.linspace(top, bottom, 40)
    return any(is_drawn(plot, x, y) for x in xs[::4] for y in ys)


def test_a_step_is_drawn_low_at_first_and_high_then(plot: Plot) -> None:
    assert drawn_in(plot, 0.2, 0.3, 0.6, 0.85)
    assert drawn_in(plot, 0.8, 0.9, 0.1, 0.4)
    assert not drawn_in(plot, 0.2, 0.3, 0.15, 0.4)


def test_the_wheel_zooms_a_double_click_shows_all_again(plot: Plot) -> None:
    assert plot.seen == (0, 99_999)
    place, none = QPointF(200, 150), Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(
        place, plot.mapToGlobal(place), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton, none,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(plot, event)
    low, high = plot.seen
    assert high - low == pytest.approx(99_999 / plots.ZOOM**2)
    assert 0 < low < high < 99_999
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    QTest.mouseMove(plot, QPoint(220, 150))
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(220, 150))
    assert plot.seen[0] < low
    assert plot.seen[1] - plot.seen[0] == pytest.approx(high - low)
    QTest.mouseDClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(200, 150))
    assert plot.seen == (0, 99_999)


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([np.nan, np.nan]),
        np.array([1.0, np.inf, np.nan, -np.inf, 2.0]),
        np.array([80e6, 80e6]),
        np.array([-1e300, 1e300]),
        np.array([5e-324, 0.0]),
        np.zeros((20, 30)),
        np.full((20, 30), np.nan),
    ],
    ids=["unknown", "broken", "constant", "huge", "tiny", "dark image", "unknown image"],
)
def test_whatever_the_numbers_are_they_can_be_drawn(
    application: QApplication, numbers: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    plot = Plot()
    plot.resize(300, 200)
    plot.show_picture(picture_of("numbers", numbers, {}, {}))
    assert not plot.grab().isNull()
    plot.resize(10, 10)
    assert not plot.grab().isNull()

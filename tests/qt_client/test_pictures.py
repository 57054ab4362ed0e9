"""What of a reply is drawn."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
import pytest

from artiq_link import DDS, Instrument, SimulatedDriver, reading
from artiq_link.qt_client.pictures import Axis, Picture, picture_of, units_of

UNITS = {"frequency": "Hz", "amplitude": "of full scale", "rate": "Hz"}


def picture(result: Any, **parameters: Any) -> Picture:
    drawn = picture_of("a title", result, parameters, UNITS)
    assert drawn is not None
    return drawn


def test_an_array_is_a_curve_over_its_samples() -> None:
    drawn = picture(np.array([1, 4, 9]))
    [panel] = drawn.panels
    [curve] = panel.curves
    assert (drawn.x, panel.axis) == (Axis("sample"), Axis("value"))
    assert (curve.x.tolist(), curve.y.tolist()) == ([0, 1, 2], [1, 4, 9])
    assert [column.values.tolist() for column in drawn.columns] == [[1, 4, 9]]


def test_an_array_that_was_asked_for_at_a_rate_is_a_curve_over_time() -> None:
    drawn = picture(np.zeros(3), rate=1e9)
    assert drawn.x == Axis("t", "s")
    assert drawn.panels[0].curves[0].x.tolist() == [0, 1e-9, 2e-9]


def test_a_list_of_numbers_is_drawn_like_an_array() -> None:
    assert picture([1, 2.5]).panels[0].curves[0].y.tolist() == [1, 2.5]


def test_arrays_of_an_object_have_a_panel_each_with_the_unit_of_their_name() -> None:
    drawn = picture({"frequency": np.ones(2), "note": "two", "level": [1, 2, 3]})
    assert [panel.axis for panel in drawn.panels] == [Axis("frequency", "Hz"), Axis("level")]


def test_complex_numbers_are_two_curves() -> None:
    curves = picture(np.array([1 + 2j, 3 - 4j])).panels[0].curves
    assert [(c.name, c.y.tolist()) for c in curves] == [("real", [1, 3]), ("imaginary", [2, -4])]


def test_few_rows_are_curves_and_many_an_image() -> None:
    few = picture(np.arange(20).reshape(2, 10))
    assert [curve.y.tolist() for curve in few.panels[0].curves] == [[*range(10)], [*range(10, 20)]]
    many = picture(np.arange(200).reshape(10, 20))
    assert many.image is not None
    assert many.image.shape == (10, 20)
    assert len(many.columns) == 20
    assert many.columns[3].values.tolist() == [*range(3, 200, 20)]


@pytest.mark.parametrize(
    "result",
    [None, True, 5, "text", [], [1], [True, False], ["a", "b"], [1, None], {}, {"frequency": 8e7},
     np.array(3.0), np.array([]), np.zeros((2, 2, 2)), np.array(["a", "b"])],
    ids=repr,
)  # fmt: skip
def test_what_has_no_picture_is_not_drawn(result: Any) -> None:
    assert picture_of("a title", result, {}, UNITS) is None


def run(dds: DDS, command_id: str, **parameters: Any) -> Any:
    return dds.interact({"command_id": command_id, **parameters})


@pytest.fixture
def dds() -> DDS:
    instrument = DDS(SimulatedDriver())
    instrument.open_hardware()
    return instrument


def test_a_ramp_is_drawn_by_the_steps_that_were_achieved(dds: DDS) -> None:
    achieved = run(
        dds, "ramp", channel=0, parameter="frequency", start=80e6, stop=70e6, duration=1e-4
    )
    drawn = picture(achieved)
    [panel] = drawn.panels
    [curve] = panel.curves
    assert (drawn.x, panel.axis, curve.steps) == (Axis("t", "s"), Axis("frequency", "Hz"), True)
    assert len(curve.x) == achieved["steps"] + 1
    assert (curve.x[0], curve.y[0]) == (0, achieved["start"])
    assert (curve.x[-1], curve.y[-1]) == (achieved["duration"], achieved["stop"])
    assert curve.x[1] == achieved["step_time"]
    assert curve.y[1] == pytest.approx(achieved["start"] + achieved["step"])
    assert np.all(np.diff(curve.x) >= 0)
    assert np.all(np.diff(curve.y) <= 0)


def test_a_ramp_of_very_many_steps_is_a_line() -> None:
    achieved = {
        "parameter": "frequency", "start": 1.0, "stop": 2.0, "step": 1e-6, "step_time": 1e-6,
        "steps": 1_000_000, "duration": 1.0,
    }  # fmt: skip
    [curve] = picture(achieved).panels[0].curves
    assert (curve.x.tolist(), curve.y.tolist(), curve.steps) == ([0, 1], [1, 2], False)


def test_a_table_is_drawn_by_its_rows_and_what_does_not_change_is_left_out(dds: DDS) -> None:
    run(dds, "set", channel=0, frequency=80e6, amplitude=0.5, phase=0.0)
    steps = [{"dwell": 1e-3, "frequency": 80e6}, {"dwell": 2e-3, "frequency": 90e6}]
    achieved = run(dds, "play", channel=0, steps=steps)
    drawn = picture(achieved)
    [panel] = drawn.panels
    [curve] = panel.curves
    assert (panel.axis, curve.steps) == (Axis("frequency", "Hz"), True)
    dwells = [step["dwell"] for step in achieved["steps"]]
    assert curve.x.tolist() == pytest.approx([0, dwells[0], sum(dwells)])
    values = [step["frequency"] for step in achieved["steps"]]
    assert curve.y.tolist() == [*values, values[-1]]
    assert [c.values.tolist() for c in drawn.columns] == [pytest.approx([0, dwells[0]]), values]


def test_rows_that_wait_for_triggers_are_drawn_one_after_the_other() -> None:
    rows = [{"dwell": None, "amplitude": 0.1}, {"dwell": 1.0, "amplitude": 0.2}]
    drawn = picture({"steps": rows, "repeat": 1, "duration": None})
    assert drawn.x == Axis("row")
    assert drawn.panels[0].curves[0].x.tolist() == [0, 1, 2]


def test_a_name_has_the_unit_that_its_instrument_gives_it_everywhere(dds: DDS) -> None:
    units = units_of(dds.describe())
    assert (units["frequency"], units["dwell"], units["rate"]) == ("Hz", "s", "Hz")
    assert units["max_frequency"] == "Hz"
    assert "channel" not in units
    two = {"commands": {
        "heat": {"parameters": [{"name": "level", "unit": "W", "schema": {}}]},
        "fill": {"parameters": [{"name": "level", "unit": "m", "schema": {}}]},
    }}  # fmt: skip
    assert units_of(two) == {}


class Meter(Instrument):
    """Measures power."""

    @reading()
    def power(self) -> Annotated[float, msgspec.Meta(extra={"unit": "W"})]:
        return 1e-3


def test_a_reading_has_the_unit_that_it_declares() -> None:
    assert units_of(Meter().describe()) == {"power": "W"}

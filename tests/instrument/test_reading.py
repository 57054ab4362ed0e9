"""Readings: which methods they are, and how they are described."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import pytest

from artiq_link import Instrument, command, reading
from artiq_link.instrument.reading import readings_of

Kelvin = Annotated[float, msgspec.Meta(extra={"unit": "K"})]


class Oven(Instrument):
    """An oven."""

    @reading(period=2.5)
    def temperature(self) -> Kelvin:
        """Measure the temperature."""
        return 300.0

    @reading()
    @command
    def pressure(self) -> float:
        """Measure the pressure."""
        return 1.0


class Colder(Oven):
    def temperature(self) -> Kelvin:
        return 4.0


def test_readings_are_described_with_their_units() -> None:
    assert Oven().describe()["readings"] == {
        "temperature": {
            "doc": "Measure the temperature.",
            "period": 2.5,
            "result": {"schema": {"type": "number"}, "unit": "K"},
        },
        "pressure": {
            "doc": "Measure the pressure.",
            "period": 1.0,
            "result": {"schema": {"type": "number"}},
        },
    }
    assert "readings" not in Instrument().describe()


def test_a_reading_stays_the_method_that_it_is_and_may_be_a_command() -> None:
    assert Oven().temperature() == 300.0
    assert Oven().pressure() == 1.0
    assert list(Oven.commands) == ["pressure"]


def test_a_method_in_a_readings_place_is_none() -> None:
    assert list(readings_of(Colder)) == ["pressure"]


def test_what_is_no_reading_is_said_when_the_class_is_made() -> None:
    async def later(self: Any) -> float:
        return 1.0

    def of_channel(self: Any, channel: int) -> float:
        return 1.0

    def fine(self: Any) -> float:
        return 1.0

    name = "test_what_is_no_reading_is_said_when_the_class_is_made.<locals>."
    with pytest.raises(TypeError) as raised:
        reading(period=1.0)(later)
    assert str(raised.value) == f"{name}later: a reading is a plain 'def': nobody awaits it"
    with pytest.raises(TypeError) as raised:
        reading(period=1.0)(of_channel)
    assert str(raised.value) == (
        f"{name}of_channel: a reading is a method without parameters: nobody gives any"
    )
    with pytest.raises(TypeError) as raised:
        reading(fine)  # type: ignore[arg-type]
    assert str(raised.value) == (
        "@reading needs its parentheses: write @reading(), or with a period"
    )
    with pytest.raises(TypeError, match="@reading goes before a method, not before a property"):
        reading()(property(fine))  # type: ignore[type-var]
    for period in (0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="period: expected seconds above 0, got"):
            reading(period)(fine)
    with pytest.raises(TypeError, match=r"Wrong\.state cannot be a reading: the name is the"):

        class Wrong(Instrument):
            @reading()
            def state(self) -> float:
                return 1.0

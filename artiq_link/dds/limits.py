"""What a DDS may be asked for: refusing numbers beyond limits, with a sentence that says which."""

from __future__ import annotations

import math

from ..errors import OutOfRange
from ..text import written
from .driver import Driver
from .types import UNITS, Channel, Limits, Setting, Step, ToneParameter


def channel_limits(channel: Channel, driver: Driver) -> Limits:
    """The channel's limits, the driver's where it has none; raises ValueError."""
    low, high = channel.min_frequency, channel.max_frequency
    limits: Limits = {
        "min_frequency": driver.min_frequency if low is None else float(low),
        "max_frequency": driver.max_frequency if high is None else float(high),
        "max_amplitude": float(channel.max_amplitude),
    }
    if not (
        driver.min_frequency
        <= limits["min_frequency"]
        <= limits["max_frequency"]
        <= driver.max_frequency
    ):
        raise ValueError(
            f"channel {channel.name!r}: its frequencies must lie between the driver's, "
            f"{written(driver.min_frequency)} and {written(driver.max_frequency)} Hz"
        )
    if not 0 <= limits["max_amplitude"] <= 1:
        raise ValueError(f"channel {channel.name!r}: max_amplitude must lie between 0 and 1")
    return limits


def check_finite(where: str, value: float) -> None:
    """Raise `OutOfRange` for NaN and infinities."""
    if not math.isfinite(value):
        raise OutOfRange(f"{where}: {value} is not a finite number", where)


def check_range(
    where: str, value: float, low: float, high: float, unit: str, *, whose: str
) -> None:
    """Raise `OutOfRange` unless ``low <= value <= high``; `whose` limits they are is said."""
    if low <= value <= high and math.isfinite(value):
        return
    check_finite(where, value)
    side, limit = ("below", low) if value < low else ("above", high)
    raise OutOfRange(
        f"{where}: {written(value)} {unit} is {side} the {whose} limit of {written(limit)} {unit}",
        where,
    )


def check_value(parameter: ToneParameter, value: float, limits: Limits, where: str) -> None:
    """Raise `OutOfRange` for a tone's parameter beyond its channel's limits, or not finite."""
    if parameter == "phase":
        # Any number of turns is a phase.
        check_finite(where, value)
        return
    if parameter == "frequency":
        low, high = limits["min_frequency"], limits["max_frequency"]
    else:
        low, high = 0.0, limits["max_amplitude"]
    check_range(where, value, low, high, UNITS[parameter], whose="channel's")


def check_given(asked: Setting | Step, limits: Limits, where: str) -> None:
    """Raise `OutOfRange` for what a setting or a step gives that `check_value` refuses.

    The members are named with `where` before them, such as ``"settings[1]."``.
    """
    if asked.frequency is not None:
        check_value("frequency", asked.frequency, limits, f"{where}frequency")
    if asked.phase is not None:
        check_value("phase", asked.phase, limits, f"{where}phase")
    if asked.amplitude is not None:
        check_value("amplitude", asked.amplitude, limits, f"{where}amplitude")

"""What a DDS may be asked for: refusing numbers beyond limits, with a sentence that says which."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import InstrumentError, InvalidParameter, OutOfRange
from ..text import written
from .capabilities import Span
from .types import UNITS, Limits, Setting, Step, ToneParameter

Bounds = Mapping[ToneParameter, Span]
"""A channel's limits for each parameter that it has."""


def limits_of(bounds: Bounds) -> Limits:
    """A channel's limits as `get` tells them."""
    frequency = bounds["frequency"]
    limits: Limits = {"min_frequency": frequency.lowest, "max_frequency": frequency.highest}
    if "amplitude" in bounds:
        limits["max_amplitude"] = bounds["amplitude"].highest
    if "power" in bounds:
        limits["min_power"] = bounds["power"].lowest
        limits["max_power"] = bounds["power"].highest
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


def check_value(parameter: ToneParameter, value: float, bounds: Bounds, where: str) -> None:
    """Raise `OutOfRange` for a tone's parameter beyond its channel's limits, or not finite.

    Raises `InstrumentError` where the channel has no such parameter.
    """
    span = bounds.get(parameter)
    if span is None:
        raise _missing(parameter, bounds, where)
    if parameter == "phase":
        # Any number of turns is a phase.
        check_finite(where, value)
        return
    check_range(where, value, span.lowest, span.highest, UNITS[parameter], whose="channel's")


def check_given(asked: Setting | Step, bounds: Bounds, where: str) -> None:
    """Raise for what a setting or a step gives that `check_value` refuses.

    The members are named with `where` before them, such as ``"settings[1]."``.
    """
    if asked.amplitude is not None and asked.power is not None:
        raise InvalidParameter(
            f"{where}power: the amplitude is given too, which says the same", f"{where}power"
        )
    if asked.frequency is not None:
        check_value("frequency", asked.frequency, bounds, f"{where}frequency")
    if asked.phase is not None:
        check_value("phase", asked.phase, bounds, f"{where}phase")
    if asked.amplitude is not None:
        check_value("amplitude", asked.amplitude, bounds, f"{where}amplitude")
    if asked.power is not None:
        check_value("power", asked.power, bounds, f"{where}power")


def _missing(parameter: ToneParameter, bounds: Bounds, where: str) -> InstrumentError:
    hint = ""
    if parameter == "amplitude" and "power" in bounds:
        hint = ": set its power"
    elif parameter == "power" and "amplitude" in bounds:
        hint = " without a calibration: set its amplitude"
    return InstrumentError(f"{where}: the channel has no {parameter}{hint}", where)

"""What a channel's hardware cannot do, refused with a sentence before the driver is asked."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InstrumentError, InvalidParameter
from .capabilities import Capabilities
from .types import TONE_PARAMETERS, PhaseMode, Step, Tone, ToneParameter


def check_phase_mode(model: str, can: Capabilities, mode: PhaseMode, where: str) -> None:
    """Raise `InstrumentError` for a phase mode that the hardware has not."""
    if mode not in can.phase_modes:
        raise InstrumentError(f"{where}: {model} has no {mode} phase", where)


def check_output_switch(model: str, can: Capabilities) -> None:
    """Raise `InstrumentError` where the output has no switch."""
    if not can.output:
        raise InstrumentError(f"{model} has no output switch: set the amplitude to 0")


def check_ramp(model: str, can: Capabilities, parameter: ToneParameter) -> None:
    """Raise `InstrumentError` for a ramp that the hardware does not make by itself."""
    if parameter in can.ramps:
        return
    kind = f"{parameter} ramp" if can.ramps else "ramp"
    play = "play, or " if can.tables and parameter in can.tables.columns else ""
    raise InstrumentError(f"{model} has no {kind} of its own: use {play}software_ramp")


def check_table(model: str, can: Capabilities, steps: Sequence[Step], *, has_level: bool) -> None:
    """Raise `InstrumentError` for a table that the hardware does not play, whatever its times.

    `has_level`: an amplitude is made of a power before it gets to the hardware.
    """
    if can.tables is None:
        raise InstrumentError(f"{model} has no tables on this channel")
    columns = set(can.tables.columns)
    if has_level and "amplitude" in columns:
        columns.add("power")
    for index, step in enumerate(steps):
        for parameter in TONE_PARAMETERS:
            if getattr(step, parameter) is not None and parameter not in columns:
                where = f"steps[{index}].{parameter}"
                raise InstrumentError(f"{where}: the tables of {model} have no {parameter}", where)
        if step.dwell is None and not can.tables.triggers:
            where = f"steps[{index}].dwell"
            raise InstrumentError(f"{where}: {model} has no trigger: give a time", where)


def check_known(
    tone: Tone, needed: Sequence[ToneParameter], channel: str, reason: str, where: str
) -> None:
    """Raise `InvalidParameter` where a needed parameter is neither given nor known.

    `reason` says why it is needed, `where` is what stands before the parameter's name.
    """
    missing = [name for name in needed if getattr(tone, name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise InvalidParameter(
            f"{where}{missing[0]}: {reason}, and {_listed(missing)} of {channel!r} {verb} not "
            f"known: give all of {_listed(needed)} at once",
            f"{where}{missing[0]}",
        )


def _listed(names: Sequence[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last

"""What a DDS was set to last, as settings that may be asked for today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .types import Limits, Setting, Tone

_MEMBERS = [name for name in Setting.__struct_fields__ if name != "channel"]


def setting_of(
    state: dict[str, Any], limits: Limits, quantise: Callable[[Tone], Tone]
) -> Setting | None:
    """The setting that brings back a channel's `ChannelState`; None where that is not known.

    What was achieved may be half a step beyond a limit; then the limit itself is asked for, which
    achieves the same.
    """
    if state["activity"] not in {"single_tone", "ramp"}:
        return None
    known = {name: state[name] for name in _MEMBERS if state.get(name) is not None}
    setting = Setting(state["name"], **known)
    frequency, amplitude = setting.frequency or 0.0, setting.amplitude or 0.0
    nearest = Tone(
        min(max(frequency, limits["min_frequency"]), limits["max_frequency"]),
        setting.phase or 0.0,
        min(amplitude, limits["max_amplitude"]),
    )
    if quantise(nearest) != Tone(frequency, setting.phase or 0.0, amplitude):
        return setting
    return msgspec.structs.replace(
        setting,
        frequency=None if setting.frequency is None else nearest.frequency,
        amplitude=None if setting.amplitude is None else nearest.amplitude,
    )

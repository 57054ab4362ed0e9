"""What a DDS was set to last, as settings that may be asked for today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .limits import Bounds
from .types import Setting, Tone


def setting_of(
    state: dict[str, Any], bounds: Bounds, quantise: Callable[[Tone], Tone]
) -> Setting | None:
    """The setting that brings back a channel's `ChannelState`; None where that is not known.

    What was achieved may be half a step beyond a limit; then the limit itself is asked for, which
    achieves the same.
    """
    if state["activity"] not in {"single_tone", "ramp"}:
        return None
    given = {name: state[name] for name in bounds if state.get(name) is not None}
    if "amplitude" in given:
        given.pop("power", None)  # which says the same
    nearest = {
        name: value
        if name == "phase"
        else min(max(value, bounds[name].lowest), bounds[name].highest)
        for name, value in given.items()
    }
    if "power" not in given and quantise(Tone(**nearest)) == Tone(**given):
        given = nearest
    mode = state.get("phase_mode")
    return Setting(state["name"], **given, **({} if mode is None else {"phase_mode": mode}))

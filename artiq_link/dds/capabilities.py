"""What a channel's hardware can do, as data, of which limits and refusals are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from .types import PhaseMode, ToneParameter

Readable = Literal["frequency", "phase", "amplitude", "power", "output", "activity"]
"""What a driver may be able to read of a channel."""


class Span(msgspec.Struct, frozen=True):
    """Between what values a parameter lies, both included, and how fine it is."""

    lowest: float
    highest: float
    step: float | None = None
    """Resolution; None: it depends, or nobody knows."""


class Tables(msgspec.Struct, frozen=True):
    """The tables that a channel plays by itself."""

    rows: int
    """The most that a table may have."""
    columns: Sequence[ToneParameter]
    """What its rows set; other parameters stay."""
    shortest: float
    """The shortest dwell of a row in s."""
    step: float
    """The grid of dwells in s."""
    triggers: bool = False
    """Whether a row can wait for a trigger instead of its dwell."""


class Capabilities(msgspec.Struct, frozen=True):
    """What one channel can do."""

    parameters: Mapping[ToneParameter, Span]
    """What can be set: of amplitude and power one. A phase may be any number of turns; its span
    is what is achieved."""
    ramps: Sequence[ToneParameter] = ()
    """What the hardware ramps by itself."""
    tables: Tables | None = None
    output: bool = True
    """Whether the output has a switch of its own."""
    phase_modes: Sequence[PhaseMode] = ("continuous", "absolute")
    whole_tones: bool = False
    """Whether each update writes all of a tone, so that all of it must be given or known."""
    reads: Sequence[Readable] = ()
    """What `Driver.read` tells; the rest is unknown until it is set."""

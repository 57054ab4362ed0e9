"""What hardware goes on doing by itself after its command has ended, such as a ramp of 30 s."""

from __future__ import annotations

import msgspec


class Activity(msgspec.Struct, frozen=True):
    """What goes on, for people, and how far it is."""

    text: str
    """Such as ``ch0: ramp, 12.0 of 30.0 s``."""
    fraction: float | None = None
    """From 0 at its begin to 1 at its end; None: it has none, or it is not known."""

"""What hardware goes on doing by itself after its command has ended, such as a ramp of 30 s."""

from __future__ import annotations

import msgspec

from ..text import json_kind, writable


class Activity(msgspec.Struct, frozen=True):
    """What goes on, for people, and how far it is."""

    text: str
    """Such as ``ch0: ramp, 12.0 of 30.0 s``."""
    fraction: float | None = None
    """From 0 at its begin to 1 at its end; None: it has none, or it is not known."""

    def __post_init__(self) -> None:
        """Raises TypeError and ValueError for what nobody could be told."""
        if not isinstance(self.text, str):
            raise TypeError(f"Activity: expected a text, got {json_kind(self.text)}")
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ValueError(f"Activity: expected a fraction from 0 to 1, got {self.fraction!r}")
        msgspec.structs.force_setattr(self, "text", writable(self.text))

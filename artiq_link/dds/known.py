"""What is known of a channel: what the hardware told or confirmed, and what an error left open."""

from __future__ import annotations

import msgspec

from .types import TONE_PARAMETERS, Activity, PhaseMode, Reading, Tone, ToneParameter

_UNKNOWN = Tone()


class Known(msgspec.Struct):
    """What is known of one channel. Nothing is claimed that the hardware did not confirm."""

    tone: Tone = Tone()
    """While a ramp or a table runs, the tone at its end."""
    activity: Activity | None = None
    output: bool | None = None
    phase_mode: PhaseMode = "continuous"
    before: Tone | None = None
    """After an error, the tone known before it: the next update writes it again."""

    def adopt(self, reading: Reading, phase_mode: PhaseMode) -> None:
        """What the hardware was found to do is what is known."""
        self.tone, self.activity, self.output = reading.tone, reading.activity, reading.output
        self.phase_mode, self.before = phase_mode, None

    def lose(self) -> None:
        """The hardware is about to be told: its tone and activity are open until it confirms."""
        last = self.last_tone()
        self.before = None if last == _UNKNOWN else last
        self.tone, self.activity = _UNKNOWN, None

    def confirm(self, tone: Tone, activity: Activity) -> None:
        """The hardware has confirmed what it was told."""
        self.tone, self.activity, self.before = tone, activity, None

    def last_tone(self) -> Tone:
        """The tone, where it is open the last one that was known."""
        return self.tone if self.before is None else self.before

    def unconfirmed(self) -> list[ToneParameter]:
        """What an update has to write again, because an error left it open."""
        return [] if self.before is None else given(self.before)


def given(tone: Tone) -> list[ToneParameter]:
    """The parameters that a tone has."""
    return [name for name in TONE_PARAMETERS if getattr(tone, name) is not None]

"""What is known of a channel: what the hardware told or confirmed, and what an error left open."""

from __future__ import annotations

import msgspec

from .running import Point, RunningRamp, RunningTable
from .types import TONE_PARAMETERS, Activity, PhaseMode, Reading, Tone, ToneParameter

_UNKNOWN = Tone()


class Known(msgspec.Struct):
    """What is known of one channel. Nothing is claimed that the hardware did not confirm."""

    tone: Tone = Tone()
    """While a ramp or a table runs, the tone at its end."""
    activity: Activity | None = None
    """What the hardware was told last; of a ramp or a table also when it is over, and holds its
    end."""
    running: RunningRamp | RunningTable | None = None
    """The plan of the ramp or table; None also where one was found that others had begun."""
    output: bool | None = None
    phase_mode: PhaseMode = "continuous"
    before: Tone | None = None
    """After an error, the tone known before it: the next update writes it again."""

    @property
    def is_programmed(self) -> bool:
        """Whether the hardware was told a ramp or a table last, which goes on or holds its end."""
        return self.activity in {"ramp", "table"}

    def adopt(self, reading: Reading, phase_mode: PhaseMode) -> None:
        """What the hardware was found to do is what is known."""
        self.tone, self.activity, self.output = reading.tone, reading.activity, reading.output
        self.phase_mode, self.before, self.running = phase_mode, None, None

    def lose(self) -> None:
        """The hardware is about to be told: its tone and activity are open until it confirms."""
        last = self.last_tone()
        self.before = None if last == _UNKNOWN else last
        self.tone, self.activity, self.running = _UNKNOWN, None, None

    def confirm(self, tone: Tone) -> None:
        """The hardware has confirmed that it holds a tone."""
        self.tone, self.activity, self.before, self.running = tone, "single_tone", None, None

    def confirm_running(
        self, tone: Tone, activity: Activity, running: RunningRamp | RunningTable
    ) -> None:
        """The hardware has confirmed that it makes a ramp or a table, which ends with `tone`."""
        self.tone, self.activity, self.before, self.running = tone, activity, None, running

    def at(self, now: float) -> tuple[Activity | None, Point]:
        """What it does at an instant of the driver's clock, and where it is; from any thread."""
        activity, running = self.activity, self.running
        if running is None:
            # How far something is that others have begun is not known.
            is_tone = activity in {"single_tone", None}
            return activity, Point(self.tone if is_tone else _UNKNOWN, None)
        point = running.at(now)
        return "single_tone" if point.running is None else activity, point

    def last_tone(self) -> Tone:
        """The tone, where it is open the last one that was known."""
        return self.tone if self.before is None else self.before

    def unconfirmed(self) -> list[ToneParameter]:
        """What an update has to write again, because an error left it open."""
        return [] if self.before is None else given(self.before)


def given(tone: Tone) -> list[ToneParameter]:
    """The parameters that a tone has."""
    return [name for name in TONE_PARAMETERS if getattr(tone, name) is not None]

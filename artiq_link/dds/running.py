"""What a channel does by itself after its command: where a ramp or a table is at an instant.

Both go by a plan that is known when they start, so that the present point is a function of the
time since then. Nothing is asked of the hardware. A table that waits for triggers is known until
the first of them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, takewhile

import msgspec

from .types import TONE_PARAMETERS, AchievedRamp, Row, Running, Tone

NEARLY = 1e-9
"""This much of a step before its end, it is over: floats hold no time exactly."""


class Point(msgspec.Struct, frozen=True):
    """Where a ramp or a table is at an instant."""

    tone: Tone
    running: Running | None
    """None: it is over, and the tone is held."""


class RunningRamp(msgspec.Struct, frozen=True):
    """A ramp that the hardware makes."""

    tone: Tone
    """With the ramp's end; what the ramp does not change stays as it is here."""
    ramp: AchievedRamp
    began: float
    """When it began, in s of the driver's clock."""

    def at(self, now: float) -> Point:
        """Where it is: in its last step, as the hardware makes them."""
        ramp, elapsed = self.ramp, max(0.0, now - self.began)
        if elapsed >= ramp["duration"]:
            return Point(self.tone, None)
        steps = int(elapsed / ramp["step_time"] + NEARLY)
        # The last step may be smaller.
        nearest = min if ramp["stop"] >= ramp["start"] else max
        present = nearest(ramp["start"] + steps * ramp["step"], ramp["stop"])
        running = Running(
            elapsed=elapsed,
            duration=ramp["duration"],
            fraction=elapsed / ramp["duration"],
            parameter=ramp["parameter"],
            start=ramp["start"],
            stop=ramp["stop"],
        )
        return Point(msgspec.structs.replace(self.tone, **{ramp["parameter"]: present}), running)


class RunningTable(msgspec.Struct, frozen=True):
    """A table that the hardware plays."""

    rows: Sequence[Row]
    repeat: int | None
    """None: until it is stopped."""
    began: float
    """When it began, in s of the driver's clock."""
    ends: Sequence[float]
    """When each row of the first pass ends, in s since it began, up to one that waits for a
    trigger."""

    @classmethod
    def of(cls, rows: Sequence[Row], repeat: int | None, began: float) -> RunningTable:
        """The table of these rows, as the hardware makes them."""
        timed = takewhile(lambda dwell: dwell is not None, (row.dwell for row in rows))
        return cls(rows, repeat, began, tuple(accumulate(dwell or 0.0 for dwell in timed)))

    def at(self, now: float) -> Point:
        """Where it is: in what row of what pass; what cannot be known of it is None."""
        elapsed = max(0.0, now - self.began)
        has_triggers = len(self.ends) < len(self.rows)
        endless = has_triggers or self.repeat is None
        duration = None if endless else (self.repeat or 1) * self.ends[-1]
        if duration is not None and elapsed >= duration:
            return Point(self.rows[-1].tone, None)
        running = Running(
            elapsed=None,
            duration=duration,
            fraction=None,
            step=None,
            steps=len(self.rows),
            passes=None,
            repeat=self.repeat,
        )
        passes = 0
        if has_triggers and not (self.ends and elapsed < self.ends[-1]):
            return Point(self._wherever(), running)
        if not has_triggers:
            passes = int(elapsed / self.ends[-1] + NEARLY)
            passes = passes if self.repeat is None else min(passes, self.repeat - 1)
        step = bisect_right(self.ends, elapsed - passes * self.ends[-1] + NEARLY * self.ends[0])
        step = min(step, len(self.rows) - 1)
        running.update({"elapsed": elapsed, "step": step, "passes": passes})
        if duration is not None:
            running["fraction"] = elapsed / duration
        return Point(self.rows[step].tone, running)

    def _wherever(self) -> Tone:
        """What is known where triggers may have come or not: what all rows have in common."""
        ahead = self.rows[len(self.ends) :] if self.repeat == 1 else self.rows
        first = ahead[0].tone
        return Tone(
            **{
                name: getattr(first, name)
                for name in TONE_PARAMETERS
                if all(getattr(row.tone, name) == getattr(first, name) for row in ahead)
            }
        )


def far_it_is(running: Running) -> str:
    """How far it is, for people: ``12.0 of 30.0 s``."""
    elapsed, duration = running["elapsed"], running["duration"]
    if elapsed is None:
        return "waiting for triggers"
    if duration is None:
        return f"for {elapsed:.1f} s now"
    return f"{elapsed:.1f} of {duration:.1f} s"


def time_left(running: Running) -> float:
    """Seconds until it is over; infinite where that is not known."""
    elapsed, duration = running["elapsed"], running["duration"]
    return math.inf if elapsed is None or duration is None else duration - elapsed

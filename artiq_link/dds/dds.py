"""The DDS: an instrument whose channels put out tones, ramps and tables of tones.

Names, limits, phase modes and what is known of each channel are kept here; what the hardware
makes of a setting is the driver's knowledge. Whatever is refused is refused before the driver is
touched, and nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, get_args

import msgspec
import numpy as np

from ..errors import ExchangeError, InstrumentError, InvalidParameter, OutOfRange
from ..instrument.command import command
from ..instrument.instrument import Instrument
from ..text import written
from .driver import Driver
from .limits import channel_limits, check_finite, check_given, check_range, check_value
from .restoring import setting_of
from .types import (
    HZ,
    MAX_REPEAT,
    MAX_SAMPLES,
    MIN_RATE,
    AchievedAmplitude,
    AchievedFrequency,
    AchievedOutput,
    AchievedPhase,
    AchievedRamp,
    AchievedTable,
    AchievedTone,
    Activity,
    Amplitude,
    Channel,
    ChannelId,
    ChannelState,
    Duration,
    Frequency,
    Phase,
    PhaseMode,
    Ramp,
    Rate,
    Repeat,
    Row,
    Samples,
    Setting,
    Step,
    Steps,
    Tone,
    ToneParameter,
    Update,
)


class _Known(msgspec.Struct):
    """What the hardware confirmed of one channel."""

    tone: Tone = Tone()
    activity: Activity | None = "single_tone"
    """None: what the channel does, and with which tone, is unknown; `tone` was the last known."""
    output: bool | None = True
    phase_mode: PhaseMode = "continuous"


class DDS(Instrument):
    """A frequency source: channels whose frequency, phase and amplitude are set digitally.

    Frequencies are in Hz, phases in turns, amplitudes fractions of full scale (0 to 1), times in
    seconds. A channel is given by number, from 0, or by name. Each has limits of its own for
    frequency and amplitude, which `get` tells. Setters return what was achieved after
    quantisation.
    """

    def __init__(self, driver: Driver, channels: Sequence[Channel] | None = None) -> None:
        """Name and limit the channels of `driver`; the hardware is not touched before
        `open_hardware`.

        `channels` names the channels in the order of their numbers and limits them; without it
        all are there as ch0, ch1, …, with the driver's limits. Raises ValueError where they do
        not fit the driver.
        """
        if channels is None:
            channels = [Channel(f"ch{number}") for number in range(driver.channels)]
        if len(channels) > driver.channels:
            raise ValueError(
                f"{len(channels)} channels are more than the driver's {driver.channels}"
            )
        self._driver = driver
        self._numbers = {channel.name: number for number, channel in enumerate(channels)}
        if len(self._numbers) < len(channels):
            raise ValueError("two channels have the same name")
        self._limits = [channel_limits(channel, driver) for channel in channels]
        self._known = [_Known(activity=None, output=None) for _ in channels]

    @command
    def set_frequency(self, channel: ChannelId, frequency: Frequency) -> AchievedFrequency:
        """Set a channel's frequency."""
        [tone] = self._set([Setting(channel, frequency=frequency)])
        return {"frequency": tone.frequency}

    @set_frequency.checker
    def _check_set_frequency(self, channel: ChannelId, frequency: Frequency) -> None:
        self._check(Setting(channel, frequency=frequency))

    @command
    def set_phase(self, channel: ChannelId, phase: Phase) -> AchievedPhase:
        """Set a channel's phase offset; whole turns fall away."""
        [tone] = self._set([Setting(channel, phase=phase)])
        return {"phase": tone.phase}

    @set_phase.checker
    def _check_set_phase(self, channel: ChannelId, phase: Phase) -> None:
        self._check(Setting(channel, phase=phase))

    @command
    def set_amplitude(self, channel: ChannelId, amplitude: Amplitude) -> AchievedAmplitude:
        """Set a channel's amplitude."""
        [tone] = self._set([Setting(channel, amplitude=amplitude)])
        return {"amplitude": tone.amplitude}

    @set_amplitude.checker
    def _check_set_amplitude(self, channel: ChannelId, amplitude: Amplitude) -> None:
        self._check(Setting(channel, amplitude=amplitude))

    @command
    def set(
        self,
        channel: ChannelId,
        frequency: Frequency | None = None,
        phase: Phase | None = None,
        amplitude: Amplitude | None = None,
        phase_mode: PhaseMode | None = None,
    ) -> AchievedTone:
        """Set any of a channel's frequency, phase and amplitude in one update.

        What is not given stays as it is at this instant; a ramp or table ends. phase_mode holds
        for this and all later updates: "continuous" lets the phase accumulator run on,
        "absolute" starts it from zero at each update that gives frequency, phase or phase_mode,
        so that the tone starts at its phase. `get` tells the channel's limits.
        """
        [tone] = self._set([Setting(channel, frequency, phase, amplitude, phase_mode)])
        return _achieved(tone)

    @set.checker
    def _check_set(
        self,
        channel: ChannelId,
        frequency: Frequency | None,
        phase: Phase | None,
        amplitude: Amplitude | None,
        phase_mode: PhaseMode | None,
    ) -> None:
        self._check(Setting(channel, frequency, phase, amplitude, phase_mode))

    @command
    def set_many(self, settings: list[Setting]) -> list[AchievedTone]:
        """Set several channels at the same instant, each as `set` does; all or none.

        Returns the channels' tones in the order of the settings. What runs on a channel that
        keeps part of its tone is stopped before. Where the hardware fails, `get_all` tells what
        is known, and the error which channels had been stopped.
        """
        return [_achieved(tone) for tone in self._set(settings)]

    @set_many.checker
    def _check_set_many(self, settings: list[Setting]) -> None:
        numbers: list[int] = []
        for index, setting in enumerate(settings):
            where = f"settings[{index}]."
            self._check(setting, where)
            number = self._number(setting.channel)
            if number in numbers:
                raise InvalidParameter(
                    f"{where}channel: {setting.channel!r} is set twice, "
                    f"first in settings[{numbers.index(number)}]",
                    f"{where}channel",
                )
            numbers.append(number)
        if len(numbers) > 1 and not self._driver.simultaneous:
            raise self._driver.cannot("update several channels at the same instant")

    @command
    def get(self, channel: ChannelId) -> ChannelState:
        """What is known of a channel: its tone, mode, output, activity and limits.

        null is what a driver's error left unknown. While a ramp or table runs, frequency, phase
        and amplitude are those at its end. limits are what it may be asked for: its frequency
        in Hz, its amplitude in fractions of full scale.
        """
        return self._state(self._number(channel))

    @command
    def get_all(self) -> list[ChannelState]:
        """What is known of every channel, in the order of their numbers."""
        return [self._state(number) for number in range(len(self._known))]

    @command
    def output(self, channel: ChannelId, on: bool) -> AchievedOutput:
        """Switch a channel's output on or off; its tone, ramp or table goes on behind it."""
        self._switch(self._number(channel), on)
        return {"output": on}

    @output.checker
    def _check_output(self, channel: ChannelId, on: bool) -> None:
        self._number(channel)

    @command
    def ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
    ) -> AchievedRamp:
        """Ramp a channel's frequency, phase or amplitude from start to stop, and hold stop.

        start and stop are in Hz, turns or fractions of full scale, as parameter says, and within
        the channel's limits, which `get` tells. The ramp goes in equal steps, chosen so that the
        duration is met and the steps are short; what was chosen is returned.
        """
        number = self._number(channel)
        ramp = Ramp(parameter, float(start), float(stop), float(duration))
        achieved = self._driver.plan_ramp(ramp)
        known = self._known[number]
        tone = self._hold(number)
        known.activity = None
        self._driver.ramp(number, ramp, clear_phase=known.phase_mode == "absolute")
        known.tone = msgspec.structs.replace(tone, **{parameter: achieved["stop"]})
        known.activity = "ramp"
        return achieved

    @ramp.checker
    def _check_ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
    ) -> None:
        limits = self._limits[self._number(channel)]
        _check_choice("parameter", parameter, ToneParameter)
        check_value(parameter, start, limits, "start")
        check_value(parameter, stop, limits, "stop")
        check_finite("duration", duration)
        self._driver.plan_ramp(Ramp(parameter, float(start), float(stop), float(duration)))

    @command
    def play(
        self,
        channel: ChannelId,
        steps: Steps,
        repeat: Repeat = 1,
    ) -> AchievedTable:
        """Play a table of steps, each for its dwell time, and hold the last.

        repeat is how many times the steps are played, to 10**15, or true: until the channel is
        stopped or set. In a step, what is not given stays as in the step before, in the first as
        it is. `get` tells the channel's limits.
        """
        number = self._number(channel)
        known = self._known[number]
        times = None if repeat is True else max(1, repeat)
        rows = _rows(self._hold(number), steps)
        achieved = self._driver.plan_table(rows)
        known.activity = None
        self._driver.play(number, rows, times, clear_phase=known.phase_mode == "absolute")
        known.tone = achieved[-1].tone
        known.activity = "table"
        return {
            "steps": [{**_achieved(row.tone), "dwell": row.dwell} for row in achieved],
            "repeat": times,
            "duration": None
            if times is None
            else times * math.fsum(row.dwell for row in achieved),
        }

    @play.checker
    def _check_play(self, channel: ChannelId, steps: Steps, repeat: Repeat) -> None:
        number = self._number(channel)
        if not steps:
            raise InvalidParameter("steps: expected at least one step", "steps")
        for index, step in enumerate(steps):
            check_given(step, self._limits[number], f"steps[{index}].")
            check_finite(f"steps[{index}].dwell", step.dwell)
        if not 1 <= repeat <= MAX_REPEAT and repeat is not False:
            raise OutOfRange(
                f"repeat: {written(repeat)} is outside 1 to {written(MAX_REPEAT)}", "repeat"
            )
        self._driver.plan_table(_rows(self._known[number].tone, steps))

    @command
    def stop(self, channel: ChannelId) -> AchievedTone:
        """End a channel's ramp or table, and hold the tone of this instant."""
        number = self._number(channel)
        return _achieved(self._hold(number))

    @get.checker
    @stop.checker
    def _check_channel(self, channel: ChannelId) -> None:
        self._number(channel)

    @command
    def reset(self) -> None:
        """Put all channels to their power-up state: everything 0, continuous phase, output on.

        Nothing comes out until an amplitude is set.
        """
        self._reset()

    @command
    def waveform(
        self,
        channel: ChannelId,
        samples: Samples,
        rate: Rate,
    ) -> np.ndarray[Any, Any]:
        """A channel's output from now on, as an array of float64, 1 being full scale.

        It begins at this instant and has as many samples as asked, rate of them a second. A
        sample is what the DDS holds in the cycle of its system clock that the sample falls in.
        Only drivers that have a model of their output can tell.
        """
        return self._driver.waveform(self._number(channel), samples, float(rate))

    @waveform.checker
    def _check_waveform(self, channel: ChannelId, samples: Samples, rate: Rate) -> None:
        self._number(channel)
        if not 1 <= samples <= MAX_SAMPLES:
            raise OutOfRange(f"samples: {samples} is outside 1 to {MAX_SAMPLES}", "samples")
        check_range("rate", rate, MIN_RATE, math.inf, HZ, whose="waveform's")

    def safe_state(self) -> None:
        """Switch all outputs off; all are tried, then the lowest channel's error is raised."""
        # All callbacks are run, the last one first, and the last error is raised.
        with ExitStack() as stack:
            for number in range(len(self._known)):
                stack.callback(self._switch, number, False)

    def open_hardware(self) -> None:
        """Open the driver and reset the hardware, so that its state is known."""
        self._driver.open()
        self._reset()

    def last_settings(self) -> list[dict[str, Any]]:
        """What is known of every channel but for its limits."""
        states = [dict(state) for state in self.get_all()]
        for state in states:
            del state["limits"]
        return states

    def restore(self, settings: list[dict[str, Any]]) -> None:
        """Set the channels of `last_settings`, by name, in one update where the hardware can.

        Those that were off are switched off before it, those that were on are switched on behind.
        A ramp is restored as its end; what a table played is not known. Raises `OutOfRange` that
        names the channels that were left as they are, once the others are set.
        """
        wanted: list[Setting] = []
        outputs: dict[int, bool | None] = {}
        left: list[str] = []
        for state in settings:
            try:
                number = self._number(state["name"])
                setting = setting_of(state, self._state(number)["limits"], self._driver.quantise)
                if setting is None:
                    raise OutOfRange("what it put out last is not known")
                self._check(setting)
            except ExchangeError as error:
                left.append(f"{state['name']!r:.60}: {error}")
            else:
                wanted.append(setting)
                outputs[number] = state["output"]
        for number in [number for number, on in outputs.items() if on is False]:
            self._switch(number, False)
        for together in [wanted] if self._driver.simultaneous else [[each] for each in wanted]:
            self._set(together)
        for number in [number for number, on in outputs.items() if on]:
            self._switch(number, True)
        if left:
            raise OutOfRange("; ".join(left))

    def close(self) -> None:
        """Close the driver; the outputs stay as they are."""
        self._driver.close()

    def _number(self, channel: ChannelId, where: str = "channel") -> int:
        if isinstance(channel, str):
            if channel in self._numbers:
                return self._numbers[channel]
        elif 0 <= channel < len(self._numbers) and not isinstance(channel, bool):
            return channel
        listed = ", ".join(f"{number} {name!r}" for name, number in self._numbers.items())
        beyond = isinstance(channel, int) and not isinstance(channel, bool)
        raise (OutOfRange if beyond else InvalidParameter)(
            f"{where}: there is no channel {channel!r:.60}; the channels are {listed}", where
        )

    def _check(self, setting: Setting, where: str = "") -> None:
        """Raise what refuses a setting, naming its members with `where` before them."""
        limits = self._limits[self._number(setting.channel, f"{where}channel")]
        check_given(setting, limits, where)
        if setting.phase_mode is not None:
            _check_choice(f"{where}phase_mode", setting.phase_mode, PhaseMode)

    def _set(self, settings: Sequence[Setting]) -> list[Tone]:
        """Make one update of checked settings; returns the tones achieved."""
        tones = self._hold_for(settings)
        updates: dict[int, Update] = {}
        modes: dict[int, PhaseMode] = {}
        for setting, (number, tone) in zip(settings, tones.items(), strict=True):
            modes[number] = mode = setting.phase_mode or self._known[number].phase_mode
            updates[number] = Update(
                self._driver.quantise(_changed(tone, setting)),
                clear_phase=mode == "absolute" and _gives_phase(setting),
            )
        for number in updates:
            self._known[number].activity = None
        if updates:
            self._driver.update(updates)
        for number, update in updates.items():
            known = self._known[number]
            known.tone, known.activity = update.tone, "single_tone"
            known.phase_mode = modes[number]
        return [update.tone for update in updates.values()]

    def _hold_for(self, settings: Sequence[Setting]) -> dict[int, Tone]:
        """End what the channels do, as far as they keep any of it; the tones to start from.

        A channel that is stopped cannot be put back: what it did goes on from this instant, and
        not from where it was. So the driver's error says which were stopped before it.
        """
        tones: dict[int, Tone] = {}
        stopped: list[str] = []
        for setting in settings:
            number = self._number(setting.channel)
            known = self._known[number]
            activity = known.activity
            if activity is None or _is_whole(setting):
                # The update replaces all of it.
                tones[number] = known.tone
                continue
            try:
                tones[number] = self._hold(number)
            except (InstrumentError, OSError) as error:
                if not stopped:
                    raise
                names = " and ".join(stopped)
                raise InstrumentError(
                    f"{error}; nothing was set, but {names} had been stopped before"
                ) from error
            if activity != "single_tone":
                stopped.append(f"the {activity} of {list(self._numbers)[number]!r}")
        return tones

    def _hold(self, number: int) -> Tone:
        """End what the channel does, and return the tone that it then holds."""
        known = self._known[number]
        activity, known.activity = known.activity, None
        if activity is None:
            self._driver.update({number: Update(known.tone)})
        elif activity != "single_tone":
            known.tone = self._driver.stop(number)
        known.activity = "single_tone"
        return known.tone

    def _switch(self, number: int, on: bool) -> None:
        known = self._known[number]
        known.output = None
        self._driver.set_output(number, on)
        known.output = on

    def _reset(self) -> None:
        for known in self._known:
            known.activity = known.output = None
        self._driver.reset()
        self._known = [_Known() for _ in self._known]

    def _state(self, number: int) -> ChannelState:
        known = self._known[number]
        confirmed = known.activity is not None
        return {
            "channel": number,
            "name": list(self._numbers)[number],
            "frequency": known.tone.frequency if confirmed else None,
            "phase": known.tone.phase if confirmed else None,
            "amplitude": known.tone.amplitude if confirmed else None,
            "phase_mode": known.phase_mode,
            "output": known.output,
            "activity": known.activity,
            "limits": self._limits[number],
        }


def _check_choice(where: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        listed = ", ".join(map(repr, get_args(choices)))
        raise InvalidParameter(f"{where}: {value!r} is not one of {listed}", where)


def _is_whole(setting: Setting) -> bool:
    """Whether a setting gives all of a tone, so that nothing of the present one stays."""
    return None not in {setting.frequency, setting.phase, setting.amplitude}


def _gives_phase(setting: Setting) -> bool:
    """Whether an absolute phase starts anew with this setting."""
    return (
        setting.frequency is not None
        or setting.phase is not None
        or setting.phase_mode is not None
    )


def _changed(tone: Tone, asked: Setting | Step) -> Tone:
    """The tone with what a setting or a step gives of it."""
    frequency, phase, amplitude = asked.frequency, asked.phase, asked.amplitude
    return Tone(
        tone.frequency if frequency is None else float(frequency),
        tone.phase if phase is None else float(phase),
        tone.amplitude if amplitude is None else float(amplitude),
    )


def _rows(tone: Tone, steps: Sequence[Step]) -> list[Row]:
    """A table's rows, each with a whole tone, beginning from `tone`."""
    rows = []
    for step in steps:
        tone = _changed(tone, step)
        rows.append(Row(tone, float(step.dwell)))
    return rows


def _achieved(tone: Tone) -> AchievedTone:
    return {"frequency": tone.frequency, "phase": tone.phase, "amplitude": tone.amplitude}

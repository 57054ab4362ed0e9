"""The DDS: an instrument whose channels put out tones, ramps and tables of tones.

Names, limits, phase modes and what is known of each channel are kept here; what the hardware
makes of a setting is the driver's knowledge. Whatever is refused is refused before the driver is
touched, and nothing is clipped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, TypeVar, cast, get_args

import msgspec
import numpy as np

from ..errors import (
    Aborted,
    ExchangeError,
    HardwareLost,
    HardwareRestarted,
    InstrumentError,
    InvalidParameter,
    OutOfRange,
)
from ..exchanges.exchange import progress
from ..instrument.activity import Activity
from ..instrument.command import command
from ..instrument.instrument import Instrument
from ..text import written
from .channel import Channel, SetPoint, channel_bounds
from .driver import Driver
from .known import Known, given
from .levels import Level
from .limits import (
    Bounds,
    check_finite,
    check_given,
    check_range,
    check_value,
    limits_of,
)
from .refusals import check_known, check_output_switch, check_phase_mode, check_ramp, check_table
from .restoring import setting_of
from .running import RunningRamp, RunningTable, far_it_is, time_left
from .stepping import SystemTimer, Timer, achieved_ramp, ramp_steps, where_it_ended
from .types import (
    DBM,
    HZ,
    LONGEST_SOFTWARE_RAMP,
    MAX_REPEAT,
    MAX_SAMPLES,
    MIN_RATE,
    SECONDS,
    SHORTEST_SOFTWARE_STEP,
    TONE_PARAMETERS,
    TURNS,
    AchievedAmplitude,
    AchievedFrequency,
    AchievedOutput,
    AchievedPhase,
    AchievedPower,
    AchievedRamp,
    AchievedTable,
    AchievedTone,
    Amplitude,
    ChannelId,
    ChannelSettings,
    ChannelState,
    Duration,
    Frequency,
    Phase,
    PhaseMode,
    Power,
    Ramp,
    Rate,
    Reading,
    Repeat,
    Row,
    Running,
    Samples,
    Setting,
    Step,
    Steps,
    Tone,
    ToneParameter,
    Update,
)

STATE_PERIOD = 0.1
"""Seconds between two looks at what moves: people see no more."""

STATE_UNITS = {
    **dict.fromkeys(("frequency", "min_frequency", "max_frequency"), HZ),
    "phase": TURNS,
    **dict.fromkeys(("power", "min_power", "max_power"), DBM),
    **dict.fromkeys(("elapsed", "duration"), SECONDS),
}
"""Of the state's members; an amplitude has none."""

_Asked = TypeVar("_Asked", Setting, Step)


class DDS(Instrument):
    """A frequency source: channels whose frequency, phase and amplitude are set digitally.

    Frequencies are in Hz, phases in turns, amplitudes fractions of full scale (0 to 1), times in
    seconds. Some hardware has powers in dBm instead of amplitudes. A channel is given by number,
    from 0, or by name. Each has limits of its own for frequency and amplitude or power, which
    `get` tells. Setters return what was achieved after quantisation.
    """

    state_units = STATE_UNITS

    def __init__(
        self,
        driver: Driver,
        channels: Sequence[Channel] | None = None,
        *,
        timer: Timer | None = None,
    ) -> None:
        """Name and limit the channels of `driver`; the hardware is not touched before
        `open_hardware`.

        `channels` names the channels in the order of their numbers and limits them; without it
        all are there as ch0, ch1, …, with the driver's limits. `timer` is what `software_ramp`
        waits by. Raises ValueError where the channels do not fit the driver.
        """
        count = len(driver.channels)
        if channels is None:
            channels = [Channel(f"ch{number}") for number in range(count)]
        if len(channels) > count:
            raise ValueError(f"{len(channels)} channels are more than the driver's {count}")
        self._driver = driver
        self._numbers = {channel.name: number for number, channel in enumerate(channels)}
        if len(self._numbers) < len(channels):
            raise ValueError("two channels have the same name")
        self._channels = channels
        self._levels = [Level(channel) for channel in channels]
        self._bounds = self._bounds_of_channels()
        self._known = [Known() for _ in channels]
        self._timer = timer or SystemTimer()
        for number, channel in enumerate(channels):
            self._check_set_point(number, channel.default, "default")
            self._check_set_point(number, channel.safe, "safe")
        self._touching = _Touching(self)

    @command
    def set_frequency(self, channel: ChannelId, frequency: Frequency) -> AchievedFrequency:
        """Set a channel's frequency."""
        return {"frequency": self._set_one("frequency", Setting(channel, frequency=frequency))}

    @set_frequency.checker
    def _check_set_frequency(self, channel: ChannelId, frequency: Frequency) -> None:
        self._check(Setting(channel, frequency=frequency))

    @command
    def set_phase(self, channel: ChannelId, phase: Phase) -> AchievedPhase:
        """Set a channel's phase offset; whole turns fall away."""
        return {"phase": self._set_one("phase", Setting(channel, phase=phase))}

    @set_phase.checker
    def _check_set_phase(self, channel: ChannelId, phase: Phase) -> None:
        self._check(Setting(channel, phase=phase))

    @command
    def set_amplitude(self, channel: ChannelId, amplitude: Amplitude) -> AchievedAmplitude:
        """Set a channel's amplitude."""
        return {"amplitude": self._set_one("amplitude", Setting(channel, amplitude=amplitude))}

    @set_amplitude.checker
    def _check_set_amplitude(self, channel: ChannelId, amplitude: Amplitude) -> None:
        self._check(Setting(channel, amplitude=amplitude))

    @command
    def set_power(self, channel: ChannelId, power: Power) -> AchievedPower:
        """Set a channel's power, where it has one."""
        return {"power": self._set_one("power", Setting(channel, power=power))}

    @set_power.checker
    def _check_set_power(self, channel: ChannelId, power: Power) -> None:
        self._check(Setting(channel, power=power))

    @command
    def set(
        self,
        channel: ChannelId,
        frequency: Frequency | None = None,
        phase: Phase | None = None,
        amplitude: Amplitude | None = None,
        phase_mode: PhaseMode | None = None,
        *,
        power: Power | None = None,
    ) -> AchievedTone:
        """Set any of a channel's frequency, phase and amplitude or power in one update.

        What is not given stays as it is at this instant; a ramp or table ends. phase_mode holds
        for this and all later updates: "continuous" lets the phase accumulator run on,
        "absolute" starts it from zero at each update that gives frequency, phase or phase_mode,
        so that the tone starts at its phase. `get` tells the channel's limits.
        """
        [told] = self._set([Setting(channel, frequency, phase, amplitude, phase_mode, power)])
        return told

    @set.checker
    def _check_set(
        self,
        channel: ChannelId,
        frequency: Frequency | None,
        phase: Phase | None,
        amplitude: Amplitude | None,
        phase_mode: PhaseMode | None,
        *,
        power: Power | None,
    ) -> None:
        self._check(Setting(channel, frequency, phase, amplitude, phase_mode, power))

    @command
    def set_many(self, settings: list[Setting]) -> list[AchievedTone]:
        """Set several channels at the same instant, each as `set` does; all or none.

        Returns the channels' tones in the order of the settings. What runs on a channel that
        keeps part of its tone is stopped before. Where the hardware fails, `get_all` tells what
        is known, and the error which channels had been stopped.
        """
        return self._set(settings)

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
        """What is known of a channel now: its tone, mode, output, activity and limits.

        null is what is not known, or what the hardware has not. While a ramp or table runs, the
        tone is that of this instant, and running says how far it is. limits are what may be asked
        for: the frequency in Hz, the amplitude in fractions of full scale, the power in dBm.
        """
        return self._state(self._number(channel), self._driver.now())

    @command
    def get_all(self) -> list[ChannelState]:
        """What is known of every channel, in the order of their numbers."""
        now = self._driver.now()
        return [self._state(number, now) for number in range(len(self._known))]

    @command
    def output(self, channel: ChannelId, on: bool) -> AchievedOutput:
        """Switch a channel's output on or off; its tone, ramp or table goes on behind it."""
        self._switch(self._number(channel), on)
        return {"output": on}

    @output.checker
    def _check_output(self, channel: ChannelId, on: bool) -> None:
        check_output_switch(self._driver.model, self._driver.channels[self._number(channel)])

    @command
    def ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
    ) -> AchievedRamp:
        """Ramp a channel's frequency, phase, amplitude or power from start to stop, and hold stop.

        start and stop are in Hz, turns, fractions of full scale or dBm, as parameter says, within
        the channel's limits, which `get` tells. The ramp goes in equal steps, chosen so that the
        duration is met and the steps are short; what was chosen is returned.
        """
        number = self._number(channel)
        ramp = self._hardware_ramp(number, parameter, start, stop, duration)
        achieved = self._driver.plan_ramp(number, ramp)
        known = self._known[number]
        # What can be refused is, before what runs is stopped.
        self._check_ramped(number, ramp, known.last_tone())
        with self._touching:
            tone = self._hold(number)
            self._check_ramped(number, ramp, tone)
            known.lose()
            clear_phase = known.phase_mode == "absolute"
            self._driver.ramp(number, ramp, tone, clear_phase=clear_phase)
            tone = _with(tone, parameter, achieved["stop"])
            running = RunningRamp(tone, achieved, self._driver.now())
            known.confirm_running(tone, "ramp", running)
        start, stop = self._ends_behind(number, parameter, achieved["start"], achieved["stop"])
        return {**achieved, "start": start, "stop": stop}

    @ramp.checker
    def _check_ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
    ) -> None:
        number = self._number(channel)
        _check_choice("parameter", parameter, ToneParameter)
        check_ramp(self._driver.model, self._driver.channels[number], parameter)
        self._check_ends(number, parameter, start, stop)
        check_finite("duration", duration)
        ramp = self._hardware_ramp(number, parameter, start, stop, duration)
        self._driver.plan_ramp(number, ramp)

    @command
    def software_ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
        *,
        step_time: Duration = 0.02,
    ) -> AchievedRamp:
        """Ramp as `ramp` does, by setting the channel again and again; for hardware without ramps.

        It ends when the ramp has ended, and no other command runs meanwhile: give the request a
        longer timeout than duration. A step is due every step_time, from 1 ms, of which the
        network and the computer may make more; what was achieved, with the mean step, is
        returned. Where the hardware fails, the last value stays, and the error names it.
        """
        ramp = Ramp(parameter, float(start), float(stop), float(duration))
        number = self._number(channel)
        self._check_ramped(number, ramp, self._known[number].last_tone())
        begun = self._timer.now()
        values: list[float] = []
        steps = 0
        try:
            for steps, step in enumerate(ramp_steps(ramp, float(step_time), self._timer)):
                try:
                    value = self._set_one(parameter, _setting_of(channel, parameter, step.value))
                except (ExchangeError, OSError) as error:
                    ended = where_it_ended(ramp, values[-1] if values else None, max(0, steps - 1))
                    raise _failure_like(error, f"{error}; {ended}") from error
                values[1:] = [value]
                progress(step.fraction, f"{step.fraction * ramp.duration:.1f} of {duration:.1f} s")
        except Aborted as error:
            raise Aborted(f"{error}; {where_it_ended(ramp, values[-1], steps)}") from None
        return achieved_ramp(ramp, values[0], values[-1], steps, self._timer.now() - begun)

    @software_ramp.checker
    def _check_software_ramp(
        self,
        channel: ChannelId,
        parameter: ToneParameter,
        start: float,
        stop: float,
        duration: Duration,
        *,
        step_time: Duration,
    ) -> None:
        number = self._number(channel)
        _check_choice("parameter", parameter, ToneParameter)
        self._check_ends(number, parameter, start, stop)
        shortest, longest = SHORTEST_SOFTWARE_STEP, LONGEST_SOFTWARE_RAMP
        whose = "software ramp's"
        check_range("step_time", step_time, shortest, longest, SECONDS, whose=whose)
        check_range("duration", duration, shortest, longest, SECONDS, whose=whose)

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
        it is; a dwell of null waits for a trigger, where the hardware has one. `get` tells the
        channel's limits.
        """
        number = self._number(channel)
        known = self._known[number]
        times = _times(repeat)
        # What can be refused is, before what runs is stopped.
        self._check_columns(number, self._rows(number, known.last_tone(), steps)[0].tone)
        with self._touching:
            rows = self._rows(number, self._hold(number), steps)
            self._check_columns(number, rows[0].tone)
            achieved = self._driver.plan_table(number, rows, times)
            known.lose()
            clear_phase = known.phase_mode == "absolute"
            self._driver.play(number, rows, times, clear_phase=clear_phase)
            running = RunningTable.of(achieved, times, self._driver.now())
            known.confirm_running(achieved[-1].tone, "table", running)
        dwells = [row.dwell for row in achieved if row.dwell is not None]
        endless = times is None or len(dwells) < len(achieved)
        return {
            "steps": [{**self._told(number, row.tone), "dwell": row.dwell} for row in achieved],
            "repeat": times,
            "duration": None if endless else cast(int, times) * math.fsum(dwells),
        }

    @play.checker
    def _check_play(self, channel: ChannelId, steps: Steps, repeat: Repeat) -> None:
        number = self._number(channel)
        if not steps:
            raise InvalidParameter("steps: expected at least one step", "steps")
        has_level = self._channels[number].calibration is not None
        check_table(self._driver.model, self._driver.channels[number], steps, has_level=has_level)
        for index, step in enumerate(steps):
            check_given(step, self._bounds[number], f"steps[{index}].")
            if step.dwell is not None:
                check_finite(f"steps[{index}].dwell", step.dwell)
        if not 1 <= repeat <= MAX_REPEAT and repeat is not False:
            raise OutOfRange(
                f"repeat: {written(repeat)} is outside 1 to {written(MAX_REPEAT)}", "repeat"
            )
        # What is not known yet may be by then; a plan does not hang on it.
        parameters = self._driver.channels[number].parameters
        lowest = Tone(**{name: self._bounds[number][name].lowest for name in parameters})
        rows = self._rows(number, _changed(lowest, self._known[number].last_tone()), steps)
        self._driver.plan_table(number, rows, _times(repeat))

    @command
    def stop(self, channel: ChannelId) -> AchievedTone:
        """End a channel's ramp or table, and hold the tone of this instant."""
        number = self._number(channel)
        with self._touching:
            return self._told(number, self._hold(number))

    @get.checker
    @stop.checker
    def _check_channel(self, channel: ChannelId) -> None:
        self._number(channel)

    @command
    def reset(self) -> None:
        """Put all channels to the hardware's power-up state, with nothing coming out of them.

        Those that the server gave a default are put to that then.
        """
        for known in self._known:
            known.lose()
            known.output = None
        with self._touching:
            self._driver.reset()
        self._adopt()
        for number, channel in enumerate(self._channels):
            if channel.default is not None:
                self._put(number, channel.default)

    @reset.checker
    def _check_reset(self) -> None:
        if type(self._driver).reset is Driver.reset:
            raise self._driver.cannot("be reset")

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
        """Put all channels to their safe set-points; without one the output is switched off.

        Where there is no switch, the amplitude is 0. Channels that ramp or play come first: some
        hardware can set no other one meanwhile. All are tried, then the last one's error is
        raised.
        """
        numbers = range(len(self._known))
        first = [n for n in numbers if self._known[n].is_programmed]
        # All callbacks are run, the last one first, and the last error is raised.
        with ExitStack() as stack:
            for number in [*(n for n in numbers if n not in first), *first]:
                stack.callback(self._make_safe, number)

    def open_hardware(self) -> None:
        """Open the driver and adopt what the hardware does; nothing of it is changed."""
        self._driver.open()
        try:
            self._bounds = self._bounds_of_channels()
        except ValueError as error:  # the driver knows now which model it is
            raise InstrumentError(str(error)) from error
        self._adopt()

    def describe(self) -> dict[str, Any]:
        """What it is, its commands, and what its driver and channels can do."""
        return {**super().describe(), "driver": self._driver.describe()}

    def state(self) -> dict[str, ChannelState]:
        """What `get_all` tells, by the channels' names."""
        states = self.get_all()
        shown = [state["running"] for state in states if "running" in state]
        moves = any(running["elapsed"] is not None for running in shown)
        self.state_period = STATE_PERIOD if moves else None
        return {state["name"]: state for state in states}

    def activity(self) -> Activity | None:
        """The ramps and tables that run: ``ch0: ramp, 12.0 of 30.0 s``."""
        progress = self._progress()
        if not progress:
            return None
        text = "; ".join(f"{name}: {what}, {far_it_is(how)}" for name, what, how in progress)
        return Activity(text, max((how for _, _, how in progress), key=time_left)["fraction"])

    def last_settings(self) -> list[dict[str, Any]]:
        """What is known of every channel but for its limits."""
        return [dict(self._settings(number)) for number in range(len(self._known))]

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
                quantise = functools.partial(self._driver.quantise, number)
                setting = setting_of(state, self._bounds[number], quantise)
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

    def _name(self, number: int) -> str:
        return self._channels[number].name

    def _bounds_of_channels(self) -> list[Bounds]:
        can = self._driver.channels
        return [
            channel_bounds(channel, level.bounds(can[number].parameters))
            for number, (channel, level) in enumerate(
                zip(self._channels, self._levels, strict=True)
            )
        ]

    def _adopt(self) -> None:
        """What the hardware says that it does is what is known; raises what the driver raises."""
        readings = [self._driver.read(number) for number in range(len(self._known))]
        for number, reading in enumerate(readings):
            self._known[number].adopt(reading, self._driver.channels[number].phase_modes[0])

    def forget(self) -> None:
        """The hardware has restarted: claim nothing but what can be read now."""
        for number, known in enumerate(self._known):
            known.adopt(Reading(), self._driver.channels[number].phase_modes[0])
        with suppress(InstrumentError, OSError):
            self._adopt()

    def _check(self, setting: Setting, where: str = "") -> None:
        """Raise what refuses a setting, naming its members with `where` before them."""
        number = self._number(setting.channel, f"{where}channel")
        check_given(setting, self._bounds[number], where)
        if setting.phase_mode is not None:
            _check_choice(f"{where}phase_mode", setting.phase_mode, PhaseMode)
            can = self._driver.channels[number]
            check_phase_mode(self._driver.model, can, setting.phase_mode, f"{where}phase_mode")

    def _check_set_point(self, number: int, point: SetPoint | None, what: str) -> None:
        """Raise ValueError for a configured set-point that could not be set."""
        if point is None:
            return
        try:
            self._check(_setting(number, point))
            if point.output is not None:
                check_output_switch(self._driver.model, self._driver.channels[number])
        except ExchangeError as error:
            raise ValueError(f"channel {self._name(number)!r}: {what}: {error}") from error

    def _check_ends(
        self, number: int, parameter: ToneParameter, start: float, stop: float
    ) -> None:
        check_value(parameter, start, self._bounds[number], "start")
        check_value(parameter, stop, self._bounds[number], "stop")

    def _hardware_ramp(
        self, number: int, parameter: ToneParameter, start: float, stop: float, duration: float
    ) -> Ramp:
        """The ramp that the hardware is to make for one at the channel's output."""
        added = self._levels[number].attenuator if parameter == "power" else 0.0
        return Ramp(parameter, float(start) + added, float(stop) + added, float(duration))

    def _progress(self) -> list[tuple[str, str, Running]]:
        """The ramps and tables that run now: the channel, which of both, and how far it is."""
        now = self._driver.now()
        at = [(self._name(number), *known.at(now)) for number, known in enumerate(self._known)]
        return [
            (name, str(activity), point.running)
            for name, activity, point in at
            if point.running is not None
        ]

    def _ends_behind(
        self, number: int, parameter: ToneParameter, start: float, stop: float
    ) -> tuple[float, float]:
        """The ends of the hardware's ramp at the channel's output."""
        taken = self._levels[number].attenuator if parameter == "power" else 0.0
        return start - taken, stop - taken

    def _check_ramped(self, number: int, ramp: Ramp, tone: Tone) -> None:
        """Refuse a ramp from a tone that is not known enough, or on the way beyond its power."""
        self._check_whole(number, _with(tone, ramp.parameter, ramp.start), "")
        if ramp.parameter == "phase":
            return
        level = self._levels[number]
        values = [ramp.start, ramp.stop]
        if ramp.parameter == "frequency":
            values += level.turning_points(*sorted(values))
        for value in values:
            level.check(_with(tone, ramp.parameter, value), "")

    def _check_whole(self, number: int, tone: Tone, where: str) -> None:
        """Refuse a tone that the driver cannot write because some of it is unknown."""
        can = self._driver.channels[number]
        if can.whole_tones:
            reason = f"{self._driver.model} takes whole tones only"
            check_known(tone, list(can.parameters), self._name(number), reason, where)

    def _check_columns(self, number: int, tone: Tone) -> None:
        """Refuse a table whose first row would have unknown columns."""
        tables = self._driver.channels[number].tables
        columns = tables.columns if tables else ()
        reason = "a table's first row is a whole tone"
        check_known(tone, columns, self._name(number), reason, "steps[0].")

    def _set_one(self, parameter: ToneParameter, setting: Setting) -> float:
        """Set one parameter; returns what was achieved."""
        [told] = self._set([setting])
        return cast(float, told[parameter])

    def _set(self, settings: Sequence[Setting]) -> list[AchievedTone]:
        """Make one update of checked settings; returns the tones achieved."""
        numbers = [self._number(setting.channel) for setting in settings]
        wheres = [""]
        if len(settings) != 1:
            wheres = [f"settings[{index}]." for index in range(len(settings))]
        for number in numbers:
            if self._known[number].is_programmed:
                # What can be refused is, before any of these is stopped.
                for setting, other, where in zip(settings, numbers, wheres, strict=True):
                    self._wanted(other, setting, self._known[other].last_tone(), where)
                break
        with self._touching:
            tones = self._hold_for(settings)
            updates: dict[int, Update] = {}
            modes: list[PhaseMode] = []
            for setting, where, (number, held) in zip(
                settings, wheres, tones.items(), strict=True
            ):
                known = self._known[number]
                mode = setting.phase_mode or known.phase_mode
                modes.append(mode)
                asked, tone = self._wanted(number, setting, held, where)
                updates[number] = Update(
                    tone,
                    _asked(asked, known.unconfirmed()),
                    clear_phase=mode == "absolute" and _gives_phase(setting),
                )
            for number in updates:
                self._known[number].lose()
            achieved = self._driver.update(updates) if updates else {}
            for number, mode in zip(updates, modes, strict=True):
                self._known[number].confirm(achieved[number])
                self._known[number].phase_mode = mode
        return [self._told(number, achieved[number]) for number in updates]

    def _wanted(
        self, number: int, setting: Setting, present: Tone, where: str
    ) -> tuple[Setting, Tone]:
        """What a setting asks of the hardware, and the tone that comes of it; or refuse it."""
        asked = self._levelled(number, setting, present, where)
        tone = _changed(present, asked)
        self._check_whole(number, tone, where)
        self._levels[number].check(tone, where)
        self._driver.check_tone(number, tone)
        return asked, tone

    def _levelled(self, number: int, asked: _Asked, tone: Tone, where: str) -> _Asked:
        """What is asked, in what the hardware has, from its present tone; or refuse it."""
        levelled = self._levels[number].of_hardware(asked, tone, where)
        if levelled is not asked and levelled.amplitude is not None:
            check_value("amplitude", levelled.amplitude, self._bounds[number], f"{where}power")
        return levelled

    def _rows(self, number: int, tone: Tone, steps: Sequence[Step]) -> list[Row]:
        """A table's rows, each with a whole tone, beginning from `tone`; or refuse them."""
        rows = []
        for index, step in enumerate(steps):
            where = f"steps[{index}]."
            tone = _changed(tone, self._levelled(number, step, tone, where))
            self._levels[number].check(tone, where)
            rows.append(Row(tone, None if step.dwell is None else float(step.dwell)))
        return rows

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
            if activity == "single_tone":
                tones[number] = known.tone
                continue
            if activity is None or self._gives_all(number, setting):
                # The update ends what runs, and replaces all that is known.
                tones[number] = known.last_tone()
                continue
            try:
                tones[number] = self._hold(number)
            except (InstrumentError, OSError) as error:
                if not stopped:
                    raise
                names = " and ".join(stopped)
                raise _failure_like(
                    error, f"{error}; nothing was set, but {names} had been stopped before"
                ) from error
            stopped.append(f"the {activity} of {self._name(number)!r}")
        return tones

    def _gives_all(self, number: int, setting: Setting) -> bool:
        """Whether a setting gives all of a tone, so that nothing of the present one stays."""
        parameters = self._driver.channels[number].parameters
        has_level = setting.amplitude is not None or setting.power is not None
        return has_level and all(
            getattr(setting, name) is not None
            for name in parameters
            if name not in {"amplitude", "power"}
        )

    def _hold(self, number: int) -> Tone:
        """End what the channel does, and return the tone that it then holds."""
        known = self._known[number]
        can = self._driver.channels[number]
        nothing_runs = known.activity == "single_tone" or not (can.ramps or can.tables)
        if nothing_runs and known.before is None:
            return known.tone
        if known.before is None:
            known.lose()
            tone = self._driver.stop(number)
        else:
            # After an error it may do anything: the tone before is written again.
            update = Update(known.before, given(known.before))
            tone = self._driver.update({number: update})[number]
        known.confirm(tone)
        return tone

    def _switch(self, number: int, on: bool) -> None:
        known = self._known[number]
        known.output = None
        with self._touching:
            self._driver.set_output(number, on)
            known.output = on

    def _make_safe(self, number: int) -> None:
        can, bounds = self._driver.channels[number], self._bounds[number]
        safe = self._channels[number].safe
        if safe is not None:
            self._put(number, safe)
        elif can.output:
            self._switch(number, False)
        elif "amplitude" in can.parameters:
            self._put(number, SetPoint(amplitude=0.0))
        else:
            self._put(number, SetPoint(power=bounds["power"].lowest))

    def _put(self, number: int, point: SetPoint) -> None:
        """Put a channel to a configured set-point, whatever of it is not known."""
        setting = _setting(number, point)
        if self._driver.channels[number].whole_tones:
            known = self._known[number].last_tone()
            for name in self._driver.channels[number].parameters:
                if getattr(known, name) is None and getattr(setting, name) is None:
                    lowest = self._bounds[number][name].lowest
                    setting = msgspec.structs.replace(setting, **{name: lowest})
        if point.output is False:
            self._switch(number, False)
        if any(getattr(setting, name) is not None for name in TONE_PARAMETERS):
            self._set([setting])
        if point.output:
            self._switch(number, True)

    def _told(self, number: int, tone: Tone) -> AchievedTone:
        told = AchievedTone(frequency=tone.frequency, phase=tone.phase, amplitude=tone.amplitude)
        if "power" in self._bounds[number]:
            told["power"] = self._levels[number].power(tone)
        return told

    def _state(self, number: int, now: float) -> ChannelState:
        """What is known of a channel at an instant of the driver's clock."""
        activity, point = self._known[number].at(now)
        state = cast(ChannelState, {**self._settings(number), **self._told(number, point.tone)})
        state["activity"], state["limits"] = activity, limits_of(self._bounds[number])
        if (running := point.running) is not None:
            if (parameter := running.get("parameter")) is not None:
                ends = running["start"], running["stop"]
                running["start"], running["stop"] = self._ends_behind(number, parameter, *ends)
            state["running"] = running
        return state

    def _settings(self, number: int) -> ChannelSettings:
        known = self._known[number]
        return {
            "channel": number,
            "name": self._name(number),
            **self._told(number, known.tone),
            "phase_mode": known.phase_mode,
            "output": known.output,
            "activity": known.activity,
        }


class _Touching:
    """While the hardware is touched: what it did is read anew where it has restarted.

    A context manager that is made once: a generator's takes as long as a tone to set.
    """

    def __init__(self, dds: DDS) -> None:
        self._dds = dds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, HardwareRestarted):
            self._dds.forget()


def _failure_like(error: ExchangeError | OSError, sentence: str) -> InstrumentError:
    """A failure that says more than `error`, and of the hardware what that says."""
    if isinstance(error, HardwareRestarted):
        return HardwareRestarted(sentence)
    if isinstance(error, HardwareLost | OSError):
        return HardwareLost(sentence)
    return InstrumentError(sentence)


def _check_choice(where: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        listed = ", ".join(map(repr, get_args(choices)))
        raise InvalidParameter(f"{where}: {value!r} is not one of {listed}", where)


def _times(repeat: int) -> int | None:
    """How many times a table is played; None: until it is stopped."""
    return None if repeat is True else max(1, repeat)


def _gives_phase(setting: Setting) -> bool:
    """Whether an absolute phase starts anew with this setting."""
    return (
        setting.frequency is not None
        or setting.phase is not None
        or setting.phase_mode is not None
    )


def _setting_of(channel: ChannelId, parameter: ToneParameter, value: float) -> Setting:
    return msgspec.structs.replace(Setting(channel), **{parameter: value})


def _setting(number: int, point: SetPoint) -> Setting:
    return Setting(number, point.frequency, point.phase, point.amplitude, power=point.power)


def _asked(setting: Setting, unconfirmed: Sequence[ToneParameter]) -> list[ToneParameter]:
    """What an update has to write: what a setting gives, and what an error left open."""
    return [
        name
        for name in TONE_PARAMETERS
        if getattr(setting, name) is not None or name in unconfirmed
    ]


def _changed(tone: Tone, asked: Setting | Step | Tone) -> Tone:
    """The tone with what a setting or a step gives of it, or with what is known of another."""
    frequency, phase, amplitude, power = asked.frequency, asked.phase, asked.amplitude, asked.power
    return Tone(
        tone.frequency if frequency is None else float(frequency),
        tone.phase if phase is None else float(phase),
        tone.amplitude if amplitude is None else float(amplitude),
        tone.power if power is None else float(power),
    )


def _with(tone: Tone, parameter: ToneParameter, value: float) -> Tone:
    return msgspec.structs.replace(tone, **{parameter: value})

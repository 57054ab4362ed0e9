"""The dds-sweeper: an AD9959 behind a Raspberry Pi Pico with the firmware of QTC-UMD, over USB.

Facts are from the firmware's source, version 0.4.0, and its notes on sweeps. They were not tried
on a Pico.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import msgspec

from ...dds.capabilities import Capabilities, Tables
from ...dds.driver import Driver
from ...dds.types import (
    AchievedRamp,
    Activity,
    Ramp,
    Reading,
    Row,
    Tone,
    ToneParameter,
    Update,
)
from ...errors import (
    HardwareLost,
    HardwareRestarted,
    InstrumentError,
    InvalidParameter,
    OutOfRange,
)
from ...text import shown, written
from ...transports import Protocol, transport_to
from ...transports.endings import Exactly, Line, Lines
from ..ad9959.chip import AMPLITUDE_BITS, CHANNELS, OUTPUT_LIMIT, PHASE_BITS, word_format
from ..clocks import Clock, monotonic
from ..ramps import RampWords, plan_ramp, ramp_words
from ..ticks import ticks_since
from ..words import ToneWords
from .rows import SWEEP_MODES, SingleSteps, single_steps, standing, sweep_row

USUAL_CLOCK = 500e6
"""Hz; the AD9959's system clock after power-up. What it is at present is asked."""

HIGHEST_CLOCK = 500e6
"""Hz of the AD9959 (its data sheet); the firmware takes more with some multipliers."""

PICO_CLOCK = 125e6
"""Hz; the Pico's own clock, where the AD9959's comes from outside (unconfirmed)."""

UNREACHABLE_PHASE = (1 << PHASE_BITS) - 1
"""``setphase`` takes words modulo this, by mistake, so that this one becomes 0."""

AMPLITUDE_STEPS = 1 << AMPLITUDE_BITS
"""``setamp`` takes fractions of this, though the highest word is one less."""

MANUAL, ABORTED, RUNNING = "0", "4", ("1", "2", "3", "5")
"""What ``status`` answers: 0 manual, 1 on its way into a table, 2 in it, 3 aborting, 4 aborted,
5 on its way out."""

MODE_AFTER_RESET = b"1 active channels\nMode 1 - Amplitude Sweeps"
"""What ``getmode`` answers after power-up or a reset."""

TABLE_STOP, TABLE_REPEAT = 4, 5
"""The "channels" with which ``set`` ends a table or lets it begin anew."""

PROTOCOL = Protocol(timeout=2.0, baud=115200)

_OK = Exactly(b"ok", Line())
"""An error is another line, sometimes with an ``ok`` behind it; after it the line is opened anew,
and what still comes is thrown away."""

_ENDED_CHECKS = 100
"""Asks for the status until a table should have ended; each takes about a ms."""


class _Table(NamedTuple):
    """A table that was started."""

    channel: int
    end: Tone
    """What its last row holds."""


class _Sweep(NamedTuple):
    """A sweep that was started, and that the chip is in until its mode is left."""

    channel: int
    words: RampWords
    held: Sequence[int]
    """The words of the same parameter that the channels below it hold meanwhile."""
    started: Fraction


class DdsSweeperDriver(Driver):
    """A dds-sweeper on its USB port, such as ``serial:/dev/ttyACM0`` or ``serial:usb=E6616408``.

    It cannot tell what its channels are set to: until all of a tone was set, the rest of it is
    unknown. What is set first after opening puts it into single-tone mode, which ends sweeps of
    all channels. Each parameter takes effect by itself, milliseconds after the one before.

    A table of a channel holds the tones of the channels with lower numbers, which therefore must
    be known; a ramp those of its parameter. While one of them runs, nothing else can be set. At
    what a table is stopped is not known. A ramp is stopped where the computer's clock says that
    it is; a rising one goes on for some ms, and then comes back there.

    A ramp ends what channels with higher numbers do in sweeps that another program left. A falling
    one first puts out its stop for one tick of SYNC_CLK, and goes on with each tick: it cannot
    last longer than a tick for each step of its words.
    """

    model = "the dds-sweeper"
    channels: list[Capabilities]
    simultaneous = False

    def __init__(self, device: str, *, clock: Clock = monotonic) -> None:
        self._line = transport_to(device, PROTOCOL)
        self._clock = clock
        self._take_clock(USUAL_CLOCK, PICO_CLOCK)
        self._awaited = 0
        """Bytes of a table that it may wait for, for ever; it takes commands for some of them."""
        self._forget()

    def _forget(self) -> None:
        self._tones = [Tone()] * CHANNELS
        """What was set, as far as it is known."""
        self._mode: bytes | None = None
        """What ``getmode`` answered when it was put into its mode; None: it was not."""
        self._program: _Table | _Sweep | None = None
        """What was started last, and may run or hold its end."""

    def _take_clock(self, sysclk: float, pico: float) -> None:
        self.format = word_format(sysclk)
        # The firmware's authors found no way to have the chip fall slower than a step each tick.
        self._falling = msgspec.structs.replace(self.format, longest_step=1)
        self._rows = [SingleSteps(self.model, pico, channel) for channel in range(CHANNELS)]
        self.channels = [self._capabilities(channel) for channel in range(CHANNELS)]

    def _capabilities(self, channel: int) -> Capabilities:
        # The firmware lets any alias pass.
        parameters = self.format.spans(float(Fraction(self.format.sysclk) * OUTPUT_LIMIT))
        rows = self._rows[channel]
        return Capabilities(
            parameters,
            ramps=tuple(SWEEP_MODES),
            tables=Tables(rows.most, tuple(parameters), rows.shortest, 1 / rows.clock),
            output=False,
            phase_modes=("continuous",),
            reads=("activity",),
        )

    def quantise(self, channel: int, tone: Tone) -> Tone:
        made = self.format.quantise(tone)
        if made.phase == self.format.phase(UNREACHABLE_PHASE):
            made = msgspec.structs.replace(made, phase=0.0)
        return made

    # --- opening and reading ---------------------------------------------------------------------

    def open(self) -> None:
        self._forget()
        self._awaited = 0  # another device must not be sent any
        self._line.open()
        version, board = (self._asked(command) for command in ("version", "board"))
        if not re.fullmatch(r"\d+(\.\d+)+", version) or not re.fullmatch(r"pico\d*", board):
            raise InstrumentError(
                f"{self._line.name} is no dds-sweeper with firmware 0.4 or later: it answered "
                f"'{shown(version)}' to 'version', and '{shown(board)}' to 'board'"
            )
        self.identity = f"a dds-sweeper on a {board}, firmware {version}"
        self._adopt_clock()

    def close(self) -> None:
        self._line.close()

    def read(self, channel: int) -> Reading:
        activity: Activity | None = None
        if self._status() in RUNNING:
            activity = "table"
        elif isinstance(self._program, _Sweep):
            activity = "ramp"
        elif self._mode is not None:
            activity = "single_tone"
        return Reading(self._tones[channel], activity=activity)

    def _adopt_clock(self) -> None:
        told = self._asked("clkstatus")
        found = re.fullmatch(r"([01]) (\d+(?:\.\d+)?) (\d+)", told)
        if not found:
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(told)}' to 'clkstatus'; "
                "expected its clock, such as '0 125000000.000000 4'"
            )
        internal = found[1] == "0"
        frequency = float(found[2])
        sysclk = frequency * int(found[3])
        if not 0 < sysclk <= HIGHEST_CLOCK:
            raise InstrumentError(
                f"{self._line.name}: the clock of {self.model} is {written(sysclk)} Hz, and its "
                f"chip takes {written(HIGHEST_CLOCK)} Hz at most: set it with 'setclock'"
            )
        self._take_clock(sysclk, frequency if internal else PICO_CLOCK)

    def _status(self) -> str:
        status = self._asked("status")
        if status not in {MANUAL, ABORTED, *RUNNING}:
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(status)}' to 'status'; "
                "expected a digit from 0 to 5"
            )
        return status

    # --- setting ---------------------------------------------------------------------------------

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        for channel, update in updates.items():
            self._end_program(channel)
            self._begin_single_tones()
            words = self._words(channel, update.tone)
            tone = self.quantise(channel, update.tone)
            self._tones[channel] = Tone()
            for parameter in update.changed:
                self._put(channel, parameter, getattr(words, parameter))
            self._tones[channel] = tone
        return {channel: self._tones[channel] for channel in updates}

    def reset(self) -> None:
        self._forget()
        self._say("reset")
        self._begin_single_tones()
        for channel in range(CHANNELS):
            # A reset leaves 0 Hz at full scale.
            self._say(f"setamp {channel} 0")
            self._tones[channel] = Tone(0.0, 0.0, 0.0)

    def _put(self, channel: int, parameter: ToneParameter, word: int) -> None:
        """Set one parameter; in a mode of sweeps, where those that run begin."""
        if parameter == "frequency":
            self._say(f"setfreq {channel} {self.format.frequency(word):.6f}")
        elif parameter == "phase":
            self._say(f"setphase {channel} {word * 360 / (1 << PHASE_BITS):.6f}")
        else:
            self._say(f"setamp {channel} {word / AMPLITUDE_STEPS:.10f}")

    def _words(self, channel: int, tone: Tone) -> ToneWords:
        """The words of a tone; where it is not whole, 0 stands."""
        made = self.quantise(channel, tone)
        return self.format.words(Tone(made.frequency or 0, made.phase or 0, made.amplitude or 0))

    def _begin_single_tones(self) -> None:
        """Have it in single-tone mode, in which alone what is set is what comes out."""
        if self._mode is None:
            self._mode = self._enter_mode("mode 0 0")
        else:
            self._check_mode()

    def _check_mode(self) -> None:
        """Raise `HardwareRestarted` where it has left the mode that it was put into.

        A restart leaves it in a mode of sweeps. Where it was put into the very same one, it has
        begun none since.
        """
        mode = self._get_mode()
        if mode != self._mode or (mode == MODE_AFTER_RESET and self._asked("numtriggers") == "0"):
            self._forget()
            raise HardwareRestarted(
                f"{self.model} was restarted, or set by somebody else: what it was set to is "
                "lost; nothing was set"
            )

    def _enter_mode(self, command: str, channels: int | None = None) -> bytes:
        """Put it into a mode, with tables of so many channels; returns what `getmode` answers.

        Until what the mode is for has been begun, it is none that is kept.
        """
        self._mode = None
        # From its start on it shows what it does, before each ok, until it is told not to.
        self._say("debug off")
        self._say(command)
        if channels is not None:
            self._say(f"setchannels {channels}")
        return self._get_mode()

    def _get_mode(self) -> bytes:
        return self._line.query(b"getmode\n", Lines(2))

    # --- tables ----------------------------------------------------------------------------------

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        return self._rows[channel].plan(rows, repeat, partial(self.quantise, channel))

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        self._end_program(channel)
        held = [self._held_words(other, channel) for other in range(channel)]
        if self._mode is not None:
            self._check_mode()
        table = [
            single_steps([*held, self._words(channel, row.tone)], cycles)
            for row in [*rows] * (repeat or 1)
            for cycles in self._rows[channel].cycles(row)
        ]
        self._tones[channel] = Tone()
        mode = self._enter_mode("mode 0 1", channel + 1)
        self._load(b"".join(table), len(table))
        # A row that ends the table, behind all others: in their place, at 0, it is taken for none.
        ending = TABLE_REPEAT if repeat is None else TABLE_STOP
        self._say(f"set {ending} {len(table)}")
        self._mode = mode
        self._program = _Table(channel, self.quantise(channel, rows[-1].tone))
        self._say("start")

    def _held_words(self, other: int, channel: int) -> ToneWords:
        """The words of a channel that a table of `channel` has to hold."""
        tone = self._tones[other]
        if None in {tone.frequency, tone.phase, tone.amplitude}:
            raise InvalidParameter(
                f"channel: {self.model} plays tables of channels from 0 on, and the tone of "
                f"channel {other} below channel {channel} is not known: set all of it before",
                "channel",
            )
        return self._words(other, tone)

    def _load(self, data: bytes, count: int) -> None:
        """Write rows from address 0 on."""
        command = f"setb 0 {count}"
        self._catch_up()
        self._awaited = len(data)
        told = self._line.query(f"{command}\n".encode()).decode("latin-1").strip()
        found = re.fullmatch(r"ready for (\d+) bytes", told)
        if not found:
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(told)}' to '{command}'; "
                "expected to be ready for the table"
            )
        self._awaited = wanted = int(found[1])
        self._line.query(data[:wanted].ljust(wanted, b"\0"), _OK, timeout=10.0)
        self._awaited = 0
        if wanted != len(data):
            raise InstrumentError(
                f"{self._line.name}: {self.model} took {wanted} bytes for a table of {len(data)}; "
                "it was not played; is its firmware another?"
            )

    # --- sweeps ----------------------------------------------------------------------------------

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        planned = plan_ramp(self.format, ramp)
        if planned["step"] > 0:
            return planned
        try:
            return plan_ramp(self._falling, ramp)
        except OutOfRange as error:
            raise OutOfRange(
                f"{error}: {self.model} falls by a step with each tick of its chip; a longer ramp "
                "goes with software_ramp",
                error.where,
            ) from None

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        parameter = ramp.parameter
        words = ramp_words(self.format, ramp)
        if words.last < words.first:
            words = ramp_words(self._falling, ramp)
        self._end_program(channel)
        held = [self._held_word(other, channel, parameter) for other in range(channel)]
        # Single tones first: it ends sweeps that were left on channels above this one.
        self._begin_single_tones()
        row = sweep_row(words, held, self.format.bits(parameter))
        before = self._tones[channel]
        self._tones[channel] = msgspec.structs.replace(before, **{parameter: None})
        mode = self._enter_mode(f"mode {SWEEP_MODES[parameter]} 1", channel + 1)
        self._load(row, 1)
        self._say(f"set {TABLE_STOP} 1")
        # Whatever becomes of the start: its mode has to be left as that of a sweep.
        sweep = _Sweep(channel, words, held, Fraction(*self._clock()))
        self._mode, self._program = mode, sweep
        self._say("start")
        # The sweep begins some ms after the ok, and with it its table of one row has ended.
        self._await(lambda: self._status() not in RUNNING)
        self._program = sweep = sweep._replace(started=Fraction(*self._clock()))
        if parameter == "amplitude":
            # That takes 2 ms at most, and is no state to be left in.
            self._await(lambda: self._status() and self._is_over(sweep))
            self._leave_sweep(sweep)
        else:
            stop = self.format.value(parameter, words.last)
            self._tones[channel] = msgspec.structs.replace(before, **{parameter: stop})

    def stop(self, channel: int) -> Tone:
        self._end_program(channel)
        return self._tones[channel]

    def _end_program(self, channel: int) -> None:
        """End the table or ramp that runs, or raise where it is another channel's."""
        program = self._program
        running = self._status() in RUNNING
        if isinstance(program, _Sweep):
            busy, does = not self._is_over(program), "makes a ramp"
        else:
            busy, does = running, "plays a table"
        if busy and program is not None and program.channel != channel:
            raise InstrumentError(
                f"{self.model} {does} on channel {program.channel}, and can set nothing else "
                "meanwhile: stop that first; nothing was sent"
            )
        if running:
            self._say("abort")
            self._await(lambda: self._status() not in RUNNING)
        if isinstance(program, _Sweep):
            self._leave_sweep(program)
        elif program is not None and not running:
            # It has come to its end by itself, and holds it.
            self._check_mode()
            self._tones[program.channel] = program.end
            self._program = None
        else:
            self._program = None

    def _leave_sweep(self, sweep: _Sweep) -> None:
        """Have the chip hold single tones where it is in a sweep.

        Out of the sweep's mode it puts out where the sweep began, and after one of the amplitude
        full scale, because the firmware then leaves the amplitude out. So that is set before:
        each setting has all sweeps begin anew, from what was set, which has to be below the end.
        """
        if self._mode is not None:
            self._check_mode()
        channel, words = sweep.channel, sweep.words
        parameter, word = words.parameter, words.at(self._tick(sweep))
        stops = [(channel, word, max(words.first, words.last))]
        if parameter == "amplitude":
            bits = self.format.bits(parameter)
            stops += [(n, held, max(standing(held, bits))) for n, held in enumerate(sweep.held)]
        before = self._tones[channel]
        self._tones[channel] = msgspec.structs.replace(before, **{parameter: None})
        for each, at, end in stops:
            self._put(each, parameter, min(at, end - 1))
        self._mode = self._enter_mode("mode 0 0")
        for each, at, end in stops:
            if at == end:
                self._put(each, parameter, at)
        self._program = None
        self._tones[channel] = self.quantise(
            channel,
            msgspec.structs.replace(before, **{parameter: self.format.value(parameter, word)}),
        )

    def _is_over(self, sweep: _Sweep) -> bool:
        return self._tick(sweep) >= sweep.words.duration

    def _tick(self, sweep: _Sweep) -> int:
        """How many ticks of SYNC_CLK a sweep has run."""
        return ticks_since(sweep.started, self._clock, self.format.sysclk)

    def _held_word(self, other: int, channel: int, parameter: ToneParameter) -> int:
        """The word of a channel that a ramp of `channel` has to hold."""
        value = getattr(self._tones[other], parameter)
        if value is None:
            raise InvalidParameter(
                f"channel: {self.model} ramps the {parameter} of channels from 0 on, and that of "
                f"channel {other} below channel {channel} is not known: set it before",
                "channel",
            )
        return self.format.word(parameter, value)

    def _await(self, has_ended: Callable[[], object]) -> None:
        for _ in range(_ENDED_CHECKS):
            if has_ended():
                return
        raise InstrumentError(f"{self._line.name}: {self.model} does not end its table")

    # --- one ask and its answer ------------------------------------------------------------------

    def _say(self, command: str) -> None:
        self._catch_up()
        self._line.query(f"{command}\n".encode(), _OK)

    def _asked(self, command: str) -> str:
        self._catch_up()
        return self._line.query(f"{command}\n".encode()).decode("latin-1").strip()

    def _catch_up(self) -> None:
        """Have it listen, where the last table may not have come to it as a whole."""
        if not self._awaited:
            return
        command = b"status\n"
        try:
            self._line.query(command)
        except HardwareLost:
            raise
        except InstrumentError:
            rest = b"\n" * (self._awaited - len(command))
            self._line.query(rest, _OK, timeout=10.0)
        self._awaited = 0

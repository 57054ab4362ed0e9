"""A simulated DDS, numerically exact: an AD9910 with as many channels as wished.

Tones, ramps and words are those of an AD9910. Tables are not: its RAM holds one parameter with one
dwell for all rows, here each row is a whole tone with a dwell of its own.

Time is counted in cycles of the system clock, phases in units of the accumulator, both as
integers, so that nothing drifts however long it runs. What a channel does from an instant on is a
program (a tone, a table or a ramp), which gives the words of any cycle in closed form.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..dds.capabilities import Capabilities, Tables
from ..dds.driver import Driver
from ..dds.types import AchievedRamp, Activity, Ramp, Reading, Row, Tone, Update
from ..errors import InstrumentError
from .ad9910.chip import (
    AMPLITUDE_BITS,
    FREQUENCY_BITS,
    OUTPUT_LIMIT,
    PHASE_BITS,
)
from .ad9910.tables import MAX_ROWS, dwell_cycles, plan_table
from .clocks import Clock, in_seconds, monotonic
from .faults import Fault
from .ramps import RampWords, plan_ramp, ramp_shift, ramp_words
from .ticks import CYCLES_PER_TICK, seconds_of
from .words import ToneWords, WordFormat

MAX_CYCLES = 1 << 62
"""Cycles are counted in 64 bits, and none comes later: at 1 GHz it is after 146 years."""

GRID_SLACK = 1e-6
"""A sample this much of a cycle before a clock edge is taken after it.

Rates such as 1e9/7, which no float holds exactly, then mean what they say.
"""

Cycles = np.ndarray[Any, np.dtype[np.uint64]]


class Write(NamedTuple):
    """What the driver wrote to one channel."""

    cycle: int
    """The cycle of the system clock at which it took effect."""
    channel: int
    register: str
    """tone, ramp, table, output, stop or reset."""
    words: tuple[int, ...]
    """tone, stop, reset: frequency, phase, amplitude; ramp: first, last, step, ticks of a step;
    table: frequency, phase, amplitude, cycles of each row; output: 0 or 1."""


class _Output(NamedTuple):
    """A program's words at some cycles, and what the accumulator gained since its start.

    Sums and products may wrap around at 2**64, which changes nothing modulo 2**bits.
    """

    gained: Cycles
    frequency: Cycles
    phase: Cycles
    amplitude: Cycles


class _Program(ABC):
    """What a channel does since it was told to."""

    activity: Activity
    """What it is called."""
    end: ToneWords
    """What it comes to, or would if it were not repeated for ever."""

    @abstractmethod
    def at(self, cycle: Cycles) -> _Output:
        """The output at cycles since the start."""

    def gained(self, cycle: int) -> int:
        """What the accumulator gained until one cycle; it may have wrapped around."""
        return int(self.at(np.array([cycle], np.uint64)).gained[0])


class _Held(_Program):
    """One tone, for as long as nothing else comes."""

    activity = "single_tone"

    def __init__(self, tone: ToneWords) -> None:
        self._tone = self.end = tone

    def gained(self, cycle: int) -> int:
        # Each update asks it, and arrays of one take long.
        return cycle * self._tone.frequency

    def at(self, cycle: Cycles) -> _Output:
        tone = self._tone
        frequency = np.full_like(cycle, tone.frequency)
        phase = np.full_like(cycle, tone.phase)
        amplitude = np.full_like(cycle, tone.amplitude)
        return _Output(cycle * frequency, frequency, phase, amplitude)


class _Table(_Program):
    """Tones one after another, each for its cycles, the last held."""

    activity = "table"

    def __init__(
        self, rows: Sequence[ToneWords], cycles: Sequence[int], repeat: int | None
    ) -> None:
        self.end = rows[-1]
        self._words = [
            np.array(words, np.uint64)
            for words in zip(
                *((row.frequency, row.phase, row.amplitude) for row in rows), strict=True
            )
        ]
        ends = np.cumsum(np.array(cycles, np.uint64))
        gains = np.cumsum(np.array(cycles, np.uint64) * self._words[0])
        self._starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
        self._gains = np.concatenate([np.zeros(1, np.uint64), gains[:-1]])
        self._length, self._gain = ends[-1], gains[-1]
        # One that repeats until it is stopped never comes to its last pass.
        self._last_pass = np.uint64(MAX_CYCLES if repeat is None else repeat - 1)

    def at(self, cycle: Cycles) -> _Output:
        passes = np.minimum(cycle // self._length, self._last_pass)
        # In the last pass this runs on beyond the length: the last row is held.
        within = cycle - passes * self._length
        row = np.searchsorted(self._starts, within, side="right") - 1
        frequency, phase, amplitude = (words[row] for words in self._words)
        gained = passes * self._gain + self._gains[row] + (within - self._starts[row]) * frequency
        return _Output(gained, frequency, phase, amplitude)


class _Ramp(_Program):
    """One parameter goes in equal steps to its end, where it dwells; the others stay."""

    activity = "ramp"

    def __init__(self, tone: ToneWords, ramp: RampWords, shift: int) -> None:
        self._tone = tone
        self._ramp = ramp
        self._shift = np.uint64(shift)
        self.end = msgspec.structs.replace(tone, **{ramp.parameter: ramp.last >> shift})

    def at(self, cycle: Cycles) -> _Output:
        ramp, tone = self._ramp, self._tone
        length = np.uint64(ramp.period * CYCLES_PER_TICK)
        steps = np.minimum(cycle // length, np.uint64(ramp.steps))
        # A multiplication by 2**64 - 1 is one by -1.
        sign = np.uint64(1 if ramp.last >= ramp.first else (1 << 64) - 1)
        first, step = np.uint64(ramp.first), np.uint64(ramp.step)
        moved = np.minimum(steps * step, np.uint64(abs(ramp.last - ramp.first)))
        present = first + sign * moved
        words = {
            "frequency": np.full_like(cycle, tone.frequency),
            "phase": np.full_like(cycle, tone.phase),
            "amplitude": np.full_like(cycle, tone.amplitude),
            ramp.parameter: present >> self._shift,
        }
        gained = cycle * words["frequency"]
        if ramp.parameter == "frequency":
            # steps * (steps - 1) / 2, halving the even one of both: the product may wrap.
            one = np.uint64(1)
            pairs = (steps >> one) * ((steps - one) | one)
            gained = (
                length * (first * steps + sign * (step * pairs))
                + (cycle - steps * length) * present
            )
        return _Output(gained, words["frequency"], words["phase"], words["amplitude"])


class _Channel:
    """One channel: its program, since when it runs, and the accumulator at that time."""

    def __init__(self, cycle: int) -> None:
        self.output = True
        self.load(_Held(ToneWords(0, 0, 0)), cycle, 0)

    def load(self, program: _Program, cycle: int, accumulator: int) -> None:
        self.program, self.started, self.accumulator = program, cycle, accumulator

    def at(self, cycle: Cycles) -> _Output:
        """Its words, and the accumulator not yet reduced, at cycles since the program's start."""
        output = self.program.at(cycle)
        return output._replace(gained=output.gained + np.uint64(self.accumulator))


class SimulatedDriver(Driver):
    """An AD9910 in arithmetic, with `channels` channels that share one clock.

    It is there before it is opened, as hardware is: what it is told then, it does when a DDS
    opens it. `channels` may then be replaced by that of hardware that can do less.

    `sysclk` is the system clock in Hz; `frequency_bits`, `phase_bits` and `amplitude_bits` are
    the widths of its words; `max_frequency` is the highest output in Hz, two fifths of `sysclk`
    unless given. `clock` tells the time; `record` gets every `Write`;
    `timeout` is how many seconds the driver waits for an answer that does not come.

    `fault` may be set to a `Fault` at any time, and to None to heal it.

    The output is that of the DAC without its filter: held between cycles of the system clock, and
    the cosine of the phase, as the AD9910 has it by default.
    """

    model = "the simulated DDS"
    identity = "a simulated AD9910"

    def __init__(
        self,
        channels: int = 4,
        *,
        sysclk: float = 1e9,
        frequency_bits: int = FREQUENCY_BITS,
        phase_bits: int = PHASE_BITS,
        amplitude_bits: int = AMPLITUDE_BITS,
        max_frequency: float | None = None,
        clock: Clock = monotonic,
        record: Callable[[Write], None] | None = None,
        timeout: float = 1.0,
    ) -> None:
        if not max(phase_bits, amplitude_bits) <= frequency_bits <= 48:
            raise ValueError("the frequency word has at most 48 bits, and the most of all words")
        self.format = WordFormat(sysclk, frequency_bits, phase_bits, amplitude_bits)
        highest = float(
            Fraction(sysclk) * OUTPUT_LIMIT if max_frequency is None else max_frequency
        )
        if not 0 < highest < sysclk / 2:
            raise ValueError(f"max_frequency: {max_frequency} Hz is not below half of {sysclk} Hz")
        can = Capabilities(
            parameters=self.format.spans(highest),
            ramps=("frequency", "phase", "amplitude"),
            tables=Tables(
                MAX_ROWS,
                ("frequency", "phase", "amplitude"),
                seconds_of(1, sysclk),
                seconds_of(1, sysclk),
            ),
            reads=("frequency", "phase", "amplitude", "output", "activity"),
        )
        self.channels = [can] * channels
        self.timeout = timeout
        self.fault: Fault | None = None
        self.closed = threading.Event()
        self._clock = clock
        self._record = record
        self._channels = [_Channel(self.cycle()) for _ in range(channels)]

    def cycle(self) -> int:
        """The present cycle of the system clock."""
        above, below = self._clock()
        clock, clock_below = self.format.clock
        return above * clock // (below * clock_below)

    def now(self) -> float:
        return in_seconds(self._clock)

    def words(self, channel: int) -> ToneWords:
        """The words of the channel's output at present."""
        return self._words(channel, self.cycle())

    def accumulator(self, channel: int) -> int:
        """The channel's phase accumulator at present; the phase word is not part of it."""
        return self._accumulator(channel, self.cycle())

    def read(self, channel: int) -> Reading:
        self._touch()
        state, reads = self._channels[channel], self.channels[channel].reads
        tone = msgspec.structs.asdict(self.format.tone(state.program.end))
        return Reading(
            Tone(**{name: value for name, value in tone.items() if name in reads}),
            state.output if "output" in reads else None,
            state.program.activity if "activity" in reads else None,
        )

    def quantise(self, channel: int, tone: Tone) -> Tone:
        return self.format.quantise(tone)

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        cycle = self._touch()
        achieved = {}
        for channel, update in updates.items():
            tone = update.tone
            if tone.frequency is None or tone.phase is None or tone.amplitude is None:
                words = self._changed(channel, cycle, update)
                achieved[channel] = self.format.quantise(tone)
            else:
                words = self.format.words(tone)
                achieved[channel] = self.format.tone(words)
            self._load(channel, cycle, _Held(words), update.clear_phase)
            self._write(cycle, channel, "tone", *msgspec.structs.astuple(words))
        return achieved

    def set_output(self, channel: int, on: bool) -> None:
        cycle = self._touch()
        self._channels[channel].output = on
        self._write(cycle, channel, "output", int(on))

    def reset(self) -> None:
        cycle = self._touch()
        self._channels = [_Channel(cycle) for _ in self.channels]
        for channel in range(len(self.channels)):
            self._write(cycle, channel, "reset", 0, 0, 0)

    def open(self) -> None:
        self.closed.clear()

    def close(self) -> None:
        self.closed.set()

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        return plan_ramp(self.format, ramp)

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        words = ramp_words(self.format, ramp)
        shift = ramp_shift(self.format, ramp.parameter)
        cycle = self._touch()
        program = _Ramp(self._words(channel, cycle), words, shift)
        self._load(channel, cycle, program, clear_phase)
        self._write(cycle, channel, "ramp", words.first, words.last, words.step, words.period)

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        return plan_table(self.format, rows)

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        tones = [self.format.words(row.tone) for row in rows]
        cycles = [dwell_cycles(self.format, row) for row in rows]
        cycle = self._touch()
        self._load(channel, cycle, _Table(tones, cycles, repeat), clear_phase)
        words = [
            word
            for tone, length in zip(tones, cycles, strict=True)
            for word in (*msgspec.structs.astuple(tone), length)
        ]
        self._write(cycle, channel, "table", *words)

    def stop(self, channel: int) -> Tone:
        cycle = self._touch()
        words = self._words(channel, cycle)
        self._load(channel, cycle, _Held(words), clear_phase=False)
        self._write(cycle, channel, "stop", *msgspec.structs.astuple(words))
        return self.format.tone(words)

    def waveform(self, channel: int, samples: int, rate: float) -> np.ndarray[Any, Any]:
        state = self._channels[channel]
        since = self.cycle() - state.started
        per_sample = Fraction(self.format.sysclk) / Fraction(rate)
        # The whole part in integers: a float would lose the fraction after long times.
        whole = math.floor(per_sample)
        index = np.arange(samples, dtype=np.uint64)
        part = np.floor(index * float(per_sample - whole) + GRID_SLACK).astype(np.uint64)
        cycle = np.uint64(since) + index * np.uint64(whole) + part
        if not state.output:
            return np.zeros(samples)
        output = state.at(cycle)
        bits = self.format.frequency_bits
        offset = output.phase << np.uint64(bits - self.format.phase_bits)
        phase = (output.gained + offset) & np.uint64((1 << bits) - 1)
        amplitude = output.amplitude / self.format.full_scale
        # The sum makes 0.0 of -0.0.
        return np.asarray(amplitude * np.cos(phase * (2 * np.pi / (1 << bits))) + 0.0)

    def _touch(self) -> int:
        """Where every access to the hardware goes through; returns the cycle of its effect."""
        if self.closed.is_set():
            raise InstrumentError("the simulated DDS is closed")
        if self.fault is not None:
            self.fault.strike(self.closed, self.timeout)
        return self.cycle()

    def _changed(self, channel: int, cycle: int, update: Update) -> ToneWords:
        """The words after an update of part of a tone: the rest stays as it is."""
        present = self.format.tone(self._words(channel, cycle))
        given = {name: getattr(update.tone, name) for name in update.changed}
        return self.format.words(msgspec.structs.replace(present, **given))

    def _load(self, channel: int, cycle: int, program: _Program, clear_phase: bool) -> None:
        accumulator = 0 if clear_phase else self._accumulator(channel, cycle)
        self._channels[channel].load(program, cycle, accumulator)

    def _words(self, channel: int, cycle: int) -> ToneWords:
        state = self._channels[channel]
        output = state.at(np.array([cycle - state.started], np.uint64))
        return ToneWords(int(output.frequency[0]), int(output.phase[0]), int(output.amplitude[0]))

    def _accumulator(self, channel: int, cycle: int) -> int:
        state = self._channels[channel]
        gained = state.accumulator + state.program.gained(cycle - state.started)
        return gained % (1 << self.format.frequency_bits)

    def _write(self, cycle: int, channel: int, register: str, *words: int) -> None:
        if self._record is not None:
            self._record(Write(cycle, channel, register, words))

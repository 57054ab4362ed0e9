"""The dds-sweeper: an AD9959 behind a Raspberry Pi Pico with the firmware of QTC-UMD, over USB.

Facts are from the firmware's source, version 0.4.0. They were not tried on a Pico.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

import msgspec

from ..dds.capabilities import Capabilities, Tables
from ..dds.driver import Driver, HardwareRestarted
from ..dds.limits import check_range
from ..dds.types import SECONDS, Activity, Reading, Row, Tone, Update
from ..errors import InstrumentError, InvalidParameter, OutOfRange
from ..text import shown, written
from ..transports import Protocol, transport_to
from ..transports.endings import Exactly, Line, Lines
from .words import ToneWords, WordFormat, rounded

CHANNELS = 4

FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS = 32, 14, 10

USUAL_CLOCK = 500e6
"""Hz; the AD9959's system clock after power-up. What it is at present is asked."""

HIGHEST_CLOCK = 500e6
"""Hz of the AD9959 (its data sheet); the firmware takes more with some multipliers."""

PICO_CLOCK = 125e6
"""Hz; the Pico's own clock, where the AD9959's comes from outside (unconfirmed)."""

OUTPUT_LIMIT = 0.4
"""Highest output frequency in units of the system clock; the firmware lets any alias."""

UNREACHABLE_PHASE = (1 << PHASE_BITS) - 1
"""``setphase`` takes words modulo this, by mistake, so that this one becomes 0."""

AMPLITUDE_STEPS = 1 << AMPLITUDE_BITS
"""``setamp`` takes fractions of this, though the highest word is one less."""

TABLE_TIMES = 5000
"""Times that a table has, one for each row."""

TABLE_BYTES = 249_840
"""Of a table's rows and times (inferred from how many rows a table has without times)."""

ROW_BYTES, TIME_BYTES = 14, 4
"""Of a row for each channel, beside one more for all; and of its time."""

SHORTEST_ROW, SHORTEST_PER_CHANNEL = 500, 250
"""Pico cycles of a row, and more for each further channel; the firmware lengthens shorter ones."""

LONGEST_ROW = (1 << 32) - 1
"""Pico cycles; a longer dwell is made of several rows."""

MANUAL, ABORTED, RUNNING = "0", "4", ("1", "2", "3", "5")
"""What ``status`` answers: 0 manual, 1 on its way into a table, 2 in it, 3 aborting, 4 aborted,
5 on its way out."""

TABLE_STOP, TABLE_REPEAT = 4, 5
"""The "channels" with which ``set`` ends a table or lets it begin anew."""

PROTOCOL = Protocol(timeout=2.0, baud=115200)

_OK = Exactly(b"ok", Line())
"""An error is another line, sometimes with an ``ok`` behind it; after it the line is opened anew,
and what still comes is thrown away."""

_ENDED_CHECKS = 100
"""Asks for the status until an aborted table should have ended; each takes about a ms."""


class DdsSweeperDriver(Driver):
    """A dds-sweeper on its USB port, such as ``serial:/dev/ttyACM0`` or ``serial:usb=E6616408``.

    It cannot tell what its channels are set to: until all of a tone was set, the rest of it is
    unknown. What is set first after opening puts it into single-tone mode, which ends sweeps of
    all channels. Each parameter takes effect by itself, milliseconds after the one before.

    A table of a channel holds the tones of the channels with lower numbers, which therefore must
    be known. While it plays, nothing else can be set; at what it is stopped is not known.

    Its own sweeps are not used: ramps are made with ``software_ramp`` or ``play``.
    """

    model = "the dds-sweeper"
    channels: list[Capabilities]
    simultaneous = False

    def __init__(self, device: str) -> None:
        self._line = transport_to(device, PROTOCOL)
        self._take_clock(USUAL_CLOCK, PICO_CLOCK)
        self._forget()

    def _forget(self) -> None:
        self._tones = [Tone()] * CHANNELS
        """What was set, as far as it is known."""
        self._mode: bytes | None = None
        """What ``getmode`` answered when single tones were begun; None: they were not."""
        self._playing: int | None = None
        self._table_end = Tone()

    def _take_clock(self, sysclk: float, pico: float) -> None:
        self.format = WordFormat(sysclk, FREQUENCY_BITS, PHASE_BITS, AMPLITUDE_BITS)
        self._pico = pico
        self.channels = [self._capabilities(channel) for channel in range(CHANNELS)]

    def _capabilities(self, channel: int) -> Capabilities:
        parameters = self.format.spans(OUTPUT_LIMIT * self.format.sysclk)
        shortest = _shortest(channel) / self._pico
        return Capabilities(
            parameters,
            tables=Tables(_most_rows(channel), tuple(parameters), shortest, 1 / self._pico),
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
        elif self._mode is not None:
            activity = "single_tone"
        return Reading(self._tones[channel], activity=activity)

    def _adopt_clock(self) -> None:
        told = self._asked("clkstatus")
        found = re.fullmatch(r"([01]) (\d+) (\d+)", told)
        if not found:
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(told)}' to 'clkstatus'; "
                "expected its clock, such as '0 125000000 4'"
            )
        source, frequency, multiplier = map(int, found.groups())
        sysclk = float(frequency * multiplier)
        if not 0 < sysclk <= HIGHEST_CLOCK:
            raise InstrumentError(
                f"{self._line.name}: the clock of {self.model} is {written(sysclk)} Hz, and its "
                f"chip takes {written(HIGHEST_CLOCK)} Hz at most: set it with 'setclock'"
            )
        self._take_clock(sysclk, PICO_CLOCK if source else float(frequency))

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
            self._end_table(channel)
            self._begin_single_tones()
            words = self._words(channel, update.tone)
            tone = self.quantise(channel, update.tone)
            self._tones[channel] = Tone()
            if "frequency" in update.changed:
                self._say(f"setfreq {channel} {self.format.frequency(words.frequency):.6f}")
            if "phase" in update.changed:
                self._say(f"setphase {channel} {words.phase * 360 / (1 << PHASE_BITS):.6f}")
            if "amplitude" in update.changed:
                self._say(f"setamp {channel} {words.amplitude / AMPLITUDE_STEPS:.10f}")
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

    def _words(self, channel: int, tone: Tone) -> ToneWords:
        """The words of a tone; where it is not whole, 0 stands."""
        made = self.quantise(channel, tone)
        return self.format.words(Tone(made.frequency or 0, made.phase or 0, made.amplitude or 0))

    def _begin_single_tones(self) -> None:
        """Have it in single-tone mode, in which alone what is set is what comes out."""
        if self._mode is None:
            self._enter_mode("mode 0 0")
        else:
            self._check_mode()

    def _check_mode(self) -> None:
        """Raise `HardwareRestarted` where it has left the mode that it was put into.

        A restart leaves it in a mode for sweeps.
        """
        if self._get_mode() != self._mode:
            self._forget()
            raise HardwareRestarted(
                f"{self.model} was restarted, or set by somebody else: what it was set to is "
                "lost; nothing was set"
            )

    def _enter_mode(self, command: str) -> None:
        # From its start on it shows what it does, before each ok, until it is told not to.
        self._say("debug off")
        self._say(command)
        self._mode = self._get_mode()

    def _get_mode(self) -> bytes:
        return self._line.query(b"getmode\n", Lines(2))

    # --- tables ----------------------------------------------------------------------------------

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        shortest = _shortest(channel) / self._pico
        most = _most_rows(channel)
        longest = most * LONGEST_ROW / self._pico
        needed = 0
        planned = []
        for index, row in enumerate(rows):
            where = f"steps[{index}].dwell"
            check_range(where, _dwell(row), shortest, longest, SECONDS, whose="table's")
            needed += len(self._cycles(channel, row))
            cycles = sum(self._cycles(channel, row))
            planned.append(Row(self.quantise(channel, row.tone), cycles / self._pico))
        if needed * (repeat or 1) > most:
            raise OutOfRange(
                f"steps: {written(repeat or 1)} times {needed} rows are more than the table's "
                f"{most}; a step takes a row for each {LONGEST_ROW / self._pico:.1f} s of "
                "its dwell",
                "steps",
            )
        return planned

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        self._end_table(channel)
        held = [self._held_words(other, channel) for other in range(channel)]
        if self._mode is not None:
            self._check_mode()
        table = [
            b"".join(
                struct.pack("<IHHI", words.frequency, words.amplitude, words.phase, cycles)
                for words in (*held, self._words(channel, row.tone))
            )
            for row in [*rows] * (repeat or 1)
            for cycles in self._cycles(channel, row)
        ]
        self._tones[channel] = Tone()
        self._enter_mode("mode 0 1")
        self._say(f"setchannels {channel + 1}")
        self._load(b"".join(table), len(table))
        # A row that ends the table, behind all others: in their place, at 0, it is taken for none.
        ending = TABLE_REPEAT if repeat is None else TABLE_STOP
        self._say(f"set {ending} {len(table)}")
        self._playing, self._table_end = channel, self.quantise(channel, rows[-1].tone)
        self._say("start")

    def stop(self, channel: int) -> Tone:
        self._end_table(channel)
        return self._tones[channel]

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
        told = self._asked(f"setb 0 {count}")
        found = re.fullmatch(r"ready for (\d+) bytes", told)
        if not found:
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(told)}' to 'setb 0 {count}'; "
                "expected to be ready for the table"
            )
        # It waits for so many bytes, for ever, and takes commands for some of them.
        wanted = int(found[1])
        self._line.query(data[:wanted].ljust(wanted, b"\0"), _OK, timeout=10.0)
        if wanted != len(data):
            raise InstrumentError(
                f"{self._line.name}: {self.model} took {wanted} bytes for a table of {len(data)}; "
                "it was not played; is its firmware another?"
            )

    def _end_table(self, channel: int) -> None:
        """End the table that runs, or raise where it is another channel's."""
        running = self._status() in RUNNING
        if running and self._playing not in {None, channel}:
            raise InstrumentError(
                f"{self.model} plays a table on channel {self._playing}, and can set nothing else "
                "meanwhile: stop that first; nothing was sent"
            )
        if running:
            self._say("abort")
            self._await_end()
        elif self._playing is not None:
            # It has come to its end by itself, and holds it.
            self._check_mode()
            self._tones[self._playing] = self._table_end
        self._playing = None

    def _await_end(self) -> None:
        for _ in range(_ENDED_CHECKS):
            if self._status() not in RUNNING:
                return
        raise InstrumentError(f"{self._line.name}: {self.model} does not abort its table")

    def _cycles(self, channel: int, row: Row) -> list[int]:
        """The Pico cycles of the rows that make one step, none of them too short."""
        above, below = _dwell(row).as_integer_ratio()
        clock, clock_below = self._pico.as_integer_ratio()
        left = max(rounded(above * clock, below * clock_below), _shortest(channel))
        parts = -(-left // LONGEST_ROW)
        whole, more = divmod(left, parts)
        return [whole + 1] * more + [whole] * (parts - more)

    # --- one ask and its answer ------------------------------------------------------------------

    def _say(self, command: str) -> None:
        self._line.query(f"{command}\n".encode(), _OK)

    def _asked(self, command: str) -> str:
        return self._line.query(f"{command}\n".encode()).decode("latin-1").strip()


def _most_rows(channel: int) -> int:
    """The rows of a table of the channels up to `channel`, the one that ends it left out."""
    row = ROW_BYTES * (channel + 1) + 1
    return min(TABLE_TIMES, (TABLE_BYTES - TABLE_TIMES * TIME_BYTES) // row) - 1


def _shortest(channel: int) -> int:
    """The Pico cycles of the shortest row of a table of the channels up to `channel`."""
    return SHORTEST_ROW + SHORTEST_PER_CHANNEL * channel


def _dwell(row: Row) -> float:
    """A row's dwell in seconds; raises TypeError for one that waits for a trigger."""
    if row.dwell is None:
        raise TypeError("a row of the dds-sweeper has a time")
    return row.dwell

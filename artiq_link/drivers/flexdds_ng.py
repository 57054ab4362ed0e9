"""A slot of a WieserLabs FlexDDS-NG over TCP: two AD9910 whose registers are written as text.

What is known of its text comes from the source of clients in the field, QMI's among them; no
manual could be asked, and nothing was tried on one. Words and plans are the AD9910's.

Each channel has a processor, the DCP, which goes through the lines that were written for it, and
waits where one says so. A start gives it what was written since the last one; it then goes on for
good, until it is stopped. What it has not come to is thrown away by a reset of its channel alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

from ..dds.capabilities import Capabilities, Tables
from ..dds.driver import Driver
from ..dds.types import AchievedRamp, Ramp, Reading, Row, Tone, Update
from ..errors import InstrumentError
from ..transports import Transport, WrongDevice, transport_to
from ..transports.endings import Line, Lines
from ..transports.protocol import Protocol
from .ad9910 import registers
from .ad9910.chip import OUTPUT_LIMIT, word_format
from .clocks import Clock, monotonic
from .ramps import RunningRamp, plan_ramp, ramp_shift, ramp_words
from .table_rows import TableRows
from .ticks import ticks_since
from .words import ToneWords

CHANNELS = 2

SYSCLK = 1e9

MIN_FREQUENCY = 300e3
"""Lowest output in Hz, as its clients have it."""

FIRST_PORT = 26000
"""The TCP port of slot 0; that of slot n is n more."""

SLOTS = 6

GREETING = "75f4a4e10dd4b6b"
"""With the slot's number behind, what a connection begins with; the answer is ``Auth OK``."""

PROTOCOL = Protocol(timeout=2.0)

MODEL = "the FlexDDS-NG"

TICKS_PER_WAIT = 2
"""Ticks of SYNC_CLK, 4 ns, in the finest unit of a wait."""

TRIGGER = 3
"""The event of a rising edge at the slot's input A."""

TABLE = TableRows(MODEL, most=128, unit=8e-9, longest=(1 << 24) - 1, shortest=10e-6, on_trigger=0)
"""How many lines the DCP can hold is unconfirmed: a client found 256 writes of 64 bits to be good,
and 512 not; a row is one of these, an update and a wait. That a row can be written in 10 us, while
the one before lasts, is unconfirmed too."""

NAMES = {
    registers.CFR1: "CFR1",
    registers.CFR2: "CFR2",
    registers.ASF: "ASF",
    registers.RAMP_LIMITS: "DRL",
    registers.RAMP_STEPS: "DRSS",
    registers.RAMP_RATES: "DRR",
    registers.PROFILE: "STP0",
}
"""What it calls the chips' registers."""

CFR1 = registers.SDIO_INPUT_ONLY
"""What of CFR1 is the board's. Clients that write it switch the inverse sinc filter and the sine
output on besides, which are left here as after a reset."""

CFR2 = registers.CFR2_AFTER_RESET | registers.PROFILE_AMPLITUDE | 1 << 22
"""0x01400820, as the clients have it for a tone."""


class _RunningTable(NamedTuple):
    """A table that plays."""

    rows: Sequence[ToneWords]
    ends: Sequence[int] | None
    """The tick of SYNC_CLK, since the start, at which each row ends but the last, which is held;
    None: triggers say when."""

    def tone_at(self, tick: int) -> ToneWords:
        """The tone of the row that plays at a tick, where no trigger says which."""
        return self.rows[bisect_right(self.ends or (), tick)]

    def is_over(self, tick: int) -> bool:
        """Whether the DCP has come to its last row, for sure."""
        return self.ends is not None and (not self.ends or tick >= self.ends[-1])


class FlexDdsNgDriver(Driver):
    """A slot of a FlexDDS-NG, such as ``tcp:192.168.0.45:26002``; the port is 26000 + slot.

    It cannot be read: what its channels do is unknown until they are set. Each channel's update
    comes by itself. Raises `WrongDevice` for a device string that is no slot.

    Rows of a table last as long as their waits, and some ns more that the DCP takes. A row without
    a dwell waits for a rising edge at the slot's input A. To end a table on its way, the channel
    is reset: it puts out nothing for some ms. So it is where the output is switched meanwhile,
    which ends the table with its last row.
    """

    model = MODEL
    simultaneous = False

    def __init__(self, device: str, *, slot: int | None = None, clock: Clock = monotonic) -> None:
        self._line: Transport = transport_to(device, PROTOCOL)
        self._slot = _slot_of(device) if slot is None else slot
        self._greeted = False
        self._clock = clock
        self.format = chip = word_format(SYSCLK)
        can = Capabilities(
            parameters=chip.spans(float(Fraction(SYSCLK) * OUTPUT_LIMIT), MIN_FREQUENCY),
            ramps=("frequency", "phase", "amplitude"),
            tables=Tables(
                TABLE.most,
                ("frequency", "phase", "amplitude"),
                TABLE.shortest or TABLE.unit,
                TABLE.unit,
                triggers=True,
            ),
            whole_tones=True,
        )
        self.channels = [can] * CHANNELS
        self._tones: list[ToneWords | None] = [None] * CHANNELS
        """What each was last told to put out; None: not known."""
        self._outputs = [True] * CHANNELS
        self._programs: list[RunningRamp | _RunningTable | None] = [None] * CHANNELS
        """What each was last told to do by itself."""
        self._started = [Fraction(0)] * CHANNELS

    def quantise(self, channel: int, tone: Tone) -> Tone:
        return self.format.quantise(tone)

    def plan_ramp(self, channel: int, ramp: Ramp) -> AchievedRamp:
        return plan_ramp(self.format, ramp)

    def open(self) -> None:
        self._line.open()
        self._tones = [None] * CHANNELS
        for channel, program in enumerate(self._programs):
            if not isinstance(program, _RunningTable):  # which goes on where the line was lost
                self._programs[channel] = None
        self._greet()

    def close(self) -> None:
        self._line.close()
        self._greeted = False

    def read(self, channel: int) -> Reading:
        words = self._tones[channel]
        if words is None or self._programs[channel] is not None:
            return Reading()
        return Reading(self.format.tone(words), self._outputs[channel], "single_tone")

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        achieved = {}
        for channel, update in updates.items():
            words = self.format.words(update.tone)
            self._put_tone(channel, words, clear_phase=update.clear_phase)
            achieved[channel] = self.format.tone(words)
        return achieved

    def set_output(self, channel: int, on: bool) -> None:
        if isinstance(self._programs[channel], _RunningTable):
            words = self._tones[channel]
            self._end_table(channel)
            if words is not None:
                self._outputs[channel] = on
                self._put_tone(channel, words, clear_phase=False)
                return
        self._tell(channel, {registers.ASF: 0, registers.CFR1: self._keyed(on)})
        self._outputs[channel] = on

    def reset(self) -> None:
        self._outputs = [True] * CHANNELS
        for channel in range(CHANNELS):
            self._reset_channel(channel)
            self._put_tone(channel, ToneWords(0, 0, 0), clear_phase=True)

    def ramp(self, channel: int, ramp: Ramp, tone: Tone, *, clear_phase: bool) -> None:
        words = ramp_words(self.format, ramp)
        still = self.format.words(tone)
        cfr1 = self._keyed(self._outputs[channel])
        self._end_table(channel)
        self._tones[channel] = self._programs[channel] = None
        *filling, running = registers.ramp_stages(words)
        common = {
            registers.PROFILE: registers.tone_profile(still),
            registers.CFR2: CFR2 | registers.ramp_destination(words),
        }
        for stage in [*filling, running]:
            cleared = registers.AUTOCLEAR_PHASE if clear_phase and stage is running else 0
            self._tell(
                channel,
                {**common, **stage.registers, registers.CFR1: cfr1 | stage.begins | cleared},
                drctl="+d" if stage.rises else "-d",
            )
        self._started[channel] = Fraction(*self._clock())
        self._tones[channel] = still
        self._programs[channel] = RunningRamp(
            words, still, ramp_shift(self.format, ramp.parameter)
        )

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        return TABLE.plan(rows, repeat, self.format.quantise)

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        times = repeat or 1
        tones = [self.format.words(row.tone) for row in rows] * times
        dwells = [[] if row.dwell is None else TABLE.dwells(row) for row in rows] * times
        self._end_table(channel)
        self._tones[channel] = None
        first = self._tone_registers(channel, tones[0], clear_phase=clear_phase)
        lines = [f"dcp {channel} stop", *_written(channel, first), f"dcp {channel} update:u"]
        if clear_phase:  # once
            lines += _written(channel, {registers.CFR1: self._keyed(self._outputs[channel])})
        for words, waits in zip(tones[1:], dwells, strict=False):
            # While a row lasts, the next one is written, which takes effect with its update.
            profile = {registers.PROFILE: registers.tone_profile(words)}
            lines += _written(channel, profile, then=":c")
            lines += [f"dcp {channel} wait:{wait}h:" for wait in waits]
            if not waits:
                lines.append(f"dcp {channel} wait::{TRIGGER}")
            lines.append(f"dcp {channel} update:u")
        lines.append(f"dcp {channel} start")
        # Whatever becomes of the lines: the channel is reset before others are gone through.
        self._programs[channel] = _RunningTable(tones, None)
        self._say(lines)
        self._started[channel] = Fraction(*self._clock())
        if all(dwells[:-1]):
            ends = [TICKS_PER_WAIT * end for end in accumulate(map(sum, dwells[:-1]))]
            self._programs[channel] = _RunningTable(tones, ends)
        self._tones[channel] = tones[-1]

    def stop(self, channel: int) -> Tone:
        program, still = self._programs[channel], self._tones[channel]
        if program is None and still is not None:
            return self.format.tone(still)
        if program is None or (isinstance(program, _RunningTable) and program.ends is None):
            raise InstrumentError(
                f"it is not known what channel {channel} of the FlexDDS-NG puts out: set its "
                "frequency, phase and amplitude"
            )
        words = program.tone_at(self._tick(channel))
        self._put_tone(channel, words, clear_phase=False)
        return self.format.tone(words)

    def _end_table(self, channel: int) -> None:
        """Have the DCP throw away what is left of a table, and with it all that the chip holds."""
        program = self._programs[channel]
        if not isinstance(program, _RunningTable) or program.is_over(self._tick(channel)):
            return
        self._reset_channel(channel)

    def _reset_channel(self, channel: int) -> None:
        """Reset a channel's DCP and chip; its clients set tones after it, and no clock."""
        self._say([f"dcp {channel} stop"])
        self._say([f"dds {channel} reset"])
        self._programs[channel] = None

    def _tick(self, channel: int) -> int:
        """Ticks of SYNC_CLK since the channel's program began."""
        return ticks_since(self._started[channel], self._clock, SYSCLK)

    def _put_tone(self, channel: int, words: ToneWords, *, clear_phase: bool) -> None:
        self._end_table(channel)
        self._tones[channel] = self._programs[channel] = None
        self._tell(channel, self._tone_registers(channel, words, clear_phase=clear_phase))
        self._tones[channel] = words

    def _tone_registers(
        self, channel: int, words: ToneWords, *, clear_phase: bool
    ) -> dict[int, int]:
        cfr1 = self._keyed(self._outputs[channel])
        return {
            registers.ASF: 0,
            registers.PROFILE: registers.tone_profile(words),
            registers.CFR2: CFR2,
            registers.CFR1: cfr1 | (registers.AUTOCLEAR_PHASE if clear_phase else 0),
        }

    def _keyed(self, on: bool) -> int:
        """CFR1 of an output: it is switched off by OSK, with an amplitude of 0 in ASF."""
        return CFR1 | (0 if on else registers.OSK_ENABLE)

    # --- its text --------------------------------------------------------------------------------

    def _tell(self, channel: int, values: Mapping[int, int], drctl: str = "") -> None:
        """Write registers of a channel, and have it take them over."""
        lines = [f"dcp {channel} update:{drctl}"] if drctl else []
        lines += _written(channel, values)
        lines += [f"dcp {channel} update:u", f"dcp {channel} start"]
        self._say(lines)

    def _say(self, lines: Sequence[str]) -> None:
        if not self._greeted:
            self._greet()
        for line, answer in zip(lines, self._ask(lines), strict=True):
            # A FlexDDS-NG Dual has the longer one for a reset.
            if answer != "OK" and not answer.startswith("DDS reset OK"):
                self._refused(line, answer)

    def _greet(self) -> None:
        line = f"{GREETING}{self._slot}"
        [answer] = self._ask([line])
        if answer != "Auth OK":
            self._refused(line, answer)
        self._greeted = True

    def _ask(self, lines: Sequence[str]) -> list[str]:
        """Each line's answer, which is one line."""
        sent = "".join(f"{line}\n" for line in lines).encode()
        try:
            heard = self._line.query(sent, Lines(len(lines)) if len(lines) > 1 else Line())
        except BaseException:
            self._greeted = False  # the line begins anew
            raise
        return [line.strip() for line in heard.decode("latin-1").split("\n")]

    def _refused(self, line: str, answer: str) -> None:
        self.close()
        raise InstrumentError(
            f"{self._line.name}: slot {self._slot} of the FlexDDS-NG answered {answer!r:.80} "
            f"to {line!r}"
        )


def _written(channel: int, values: Mapping[int, int], then: str = ":w") -> list[str]:
    """The lines that write registers of a channel.

    `then` is what the DCP does after the last one: ``:w`` waits until it is written, ``:c`` goes
    on. Digits are padded with zeros: without, small words go wrong.
    """
    lines = [
        f"dcp {channel} spi:{NAMES[register]}=0x{value:0{2 * registers.WIDTHS[register]}x}"
        for register, value in values.items()
    ]
    lines[-1] += then
    return lines


def _slot_of(device: str) -> int:
    port = device.rpartition(":")[2]
    if not port.isdecimal() or not 0 <= int(port) - FIRST_PORT < SLOTS:
        raise WrongDevice(
            f"{device!r} is no slot of a FlexDDS-NG: write such as tcp:192.168.0.45:26002 for "
            "slot 2; the port is 26000 and the slot's number, 0 to 5"
        )
    return int(port) - FIRST_PORT

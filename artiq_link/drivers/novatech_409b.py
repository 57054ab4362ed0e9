"""The Novatech 409B and DDS9m, four channels on a serial line.

What the instrument does is taken from its manual and from programs in the field: M-Labs'
novatech409b, labscript's NovaTechDDS9M, naqslab's NovaTechDDS. What none of them confirms is
marked as unconfirmed. It is an AD9959 behind a microcontroller, and ``QUE`` tells that chip's
registers.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Mapping, Sequence
from fractions import Fraction

from ..dds.capabilities import Capabilities, Span, Tables
from ..dds.driver import Driver
from ..dds.types import PhaseMode, Reading, Row, Tone, ToneParameter, Update
from ..errors import HardwareRestarted, InstrumentError
from ..text import shown
from ..transports import Protocol, transport_to
from ..transports.endings import Ending, Silence
from .table_rows import TableRows
from .words import Scale, ToneWords, rounded

INTERNAL_CLOCK = Fraction(1 << 32, 10)
"""Hz; the frequency word is then the frequency in tenths of a hertz."""

HIGHEST_WORD = 1_711_276_031
"""171.1276031 MHz on the internal clock, after which programs in the field refuse; the manual has
171 MHz."""

FULL_SCALE = 1023
"""The amplitude word of full scale. The instrument takes higher ones without an error."""

TURN = 1 << 14
"""Phase words of a turn."""

ON_TRIGGER = 255
"""The dwell of a row that waits for a trigger."""

MODEL = "the 409B"

TABLE = TableRows(MODEL, most=16384, unit=1e-4, longest=254, on_trigger=ON_TRIGGER)
"""Its dwells, what they are counted in and the highest, are unconfirmed."""

TABLE_CHANNELS = (0, 1)
"""The channels of table mode, which go through their rows together."""

REFUSALS = {
    "?0": "it does not know this command",
    "?1": "it does not take this frequency",
    "?2": "it does not take this modulation",
    "?3": "the line is too long for it",
    "?4": "it does not take this phase",
    "?5": "it does not take this time",
    "?6": "it does not take this mode",
    "?7": "it does not take this amplitude",
    "?8": "it does not take this constant",
    "?f": "it does not take this byte",
}
"""Its errors (labscript, naqslab)."""

PROTOCOL = Protocol(
    baud=19200,
    # A reset takes 1 s, after which the next ask still has its own time. Programs in the field
    # read no more than QUE's five lines: whatever came behind them is no answer to the next ask.
    timeout=3.0,
    pauses={b"R\r": 1.0, b"QUE": 0.01},
)

_QUE_CHANNEL = re.compile(
    r"(?P<frequency>[0-9A-F]{8}) (?P<phase>[0-9A-F]{4}) (?P<amplitude>[0-9A-F]{4}) "
    r"[0-9A-F]{4} [0-9A-F]{8} [0-9A-F]{8} (?P<function>[0-9A-F]{6})",
    re.IGNORECASE,
)
_QUE_LAST = re.compile(
    r"[0-9A-F]{2} [0-9A-F]{6} [0-9A-F]{4} [0-9A-F]{4} ([0-9A-F])([0-9A-F])", re.I
)

_AUTOCLEAR_PHASE = 1 << 2
"""The bit of the AD9959's channel function register that ``M a`` sets (inferred from QUE)."""


class Novatech409bDriver(Driver):
    """A 409B on a serial port, such as ``serial:/dev/ttyUSB0`` or ``serial:COM3?baud=115200``.

    `clock` is its system clock in Hz where that is not the internal one: the frequency at its
    clock input times the multiplier. Which clock it uses is not changed.

    Each update is read back with ``QUE``, and what was there before compared with what was left
    there, so that a restart is noticed: at 19200 baud that is some 0.3 s, at 115200 50 ms.

    Tables are of channels 0 and 1, which share one list of rows: while one plays, the other holds
    its tone, and nothing else can be set. A last row is held until a trigger comes.
    """

    model = MODEL
    channels: list[Capabilities]

    def __init__(self, device: str, *, clock: float | None = None) -> None:
        self._line = transport_to(device, PROTOCOL)
        self._clock = INTERNAL_CLOCK if clock is None else Fraction(clock)
        words_of_hertz = (1 << 32) / self._clock
        self._frequencies = Scale(words_of_hertz.numerator, words_of_hertz.denominator)
        self.channels = self._capabilities(("continuous",))
        self._left: list[ToneWords | None] = [None] * len(self.channels)
        """What the channels were left at; None: they may be at anything."""
        self._single = False
        """Whether table mode is known to be off."""
        self._playing: int | None = None
        """The channel whose table this driver plays."""

    def _capabilities(self, phase_modes: Sequence[PhaseMode]) -> list[Capabilities]:
        parameters: dict[ToneParameter, Span] = {
            # It refuses 0 Hz (naqslab).
            "frequency": Span(self._hertz(1), self._hertz(HIGHEST_WORD), self._hertz(1)),
            "phase": Span(0.0, 1.0, 1 / TURN),
            "amplitude": Span(0.0, 1.0, 1 / FULL_SCALE),
        }
        tables = Tables(
            TABLE.most, ("frequency", "phase", "amplitude"), TABLE.unit, TABLE.unit, triggers=True
        )
        return [
            Capabilities(
                parameters,
                tables=tables if channel in TABLE_CHANNELS else None,
                output=False,
                phase_modes=phase_modes,
                # Whether table mode is on cannot be asked.
                reads=("frequency", "phase", "amplitude")
                if channel in TABLE_CHANNELS
                else ("frequency", "phase", "amplitude", "activity"),
            )
            for channel in range(4)
        ]

    # --- words -----------------------------------------------------------------------------------

    def _hertz(self, word: int) -> float:
        return float(word * self._clock / (1 << 32))

    def _words(self, tone: Tone) -> ToneWords:
        """The words of a whole tone; where it is not whole, 0 stands."""
        phase, below = (tone.phase or 0.0).as_integer_ratio()
        amplitude, amplitude_below = (tone.amplitude or 0.0).as_integer_ratio()
        return ToneWords(
            self._frequencies.nearest(tone.frequency or 0.0),
            rounded(phase * TURN, below) % TURN,
            rounded(amplitude * FULL_SCALE, amplitude_below),
        )

    def _tone(self, words: ToneWords) -> Tone:
        # The instrument takes amplitudes that mean nothing.
        known = words.amplitude <= FULL_SCALE
        amplitude = words.amplitude / FULL_SCALE if known else None
        return Tone(self._hertz(words.frequency), words.phase / TURN, amplitude)

    def quantise(self, channel: int, tone: Tone) -> Tone:
        made = self._tone(self._words(tone))
        return Tone(
            None if tone.frequency is None else made.frequency,
            None if tone.phase is None else made.phase,
            None if tone.amplitude is None else made.amplitude,
        )

    # --- opening and reading ---------------------------------------------------------------------

    def open(self) -> None:
        self._left = [None] * len(self.channels)
        self._single, self._playing = False, None
        self._line.open()
        # An empty line answers OK; the first ends what another program may have left half said.
        self._line.query(b"\r\n", Silence(0.05))
        answer = self._ask("", refusable=False)
        if answer != "OK":
            raise self._another(answer, "an empty line")
        found = _QUE_LAST.fullmatch(self._queue()[-1])
        self.identity = f"a Novatech 409B, firmware {found[1]}.{found[2]}" if found else ""

    def close(self) -> None:
        self._line.close()

    def read(self, channel: int) -> Reading:
        lines = self._queue()[:4]
        clears = [int(_fields(line)["function"], 16) & _AUTOCLEAR_PHASE for line in lines]
        # ``M a`` and ``M n`` are for all channels; what it is set to stays so.
        self.channels = self._capabilities(("absolute",) if all(clears) else ("continuous",))
        words = _all_words(lines)
        table = channel in TABLE_CHANNELS
        playing = self._playing is not None
        # In table mode the words change by themselves.
        self._left[channel] = None if table and (playing or not self._single) else words[channel]
        tone = self._tone(words[channel])
        if channel == self._playing:
            return Reading(tone, activity="table")
        return Reading(tone, activity="single_tone" if self._single or not table else None)

    def _read_words(self) -> list[ToneWords]:
        return _all_words(self._queue()[:4])

    def _queue(self) -> list[str]:
        lines = self._ask("QUE", lines=5).split("\n")
        *channels, last = lines
        if not all(map(_QUE_CHANNEL.fullmatch, channels)) or not _QUE_LAST.fullmatch(last):
            raise self._another("\n".join(lines), "QUE")
        return lines

    def _another(self, answer: str, asked: str) -> InstrumentError:
        return InstrumentError(
            f"{self._line.name} is no 409B: it answered '{shown(answer)}' to {asked}; "
            "if it is one, its baud rate may be another: write it such as ?baud=115200"
        )

    # --- setting ---------------------------------------------------------------------------------

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        self._require_free(updates)
        self._check_left()
        if not self._single and not updates.keys().isdisjoint(TABLE_CHANNELS):
            self._leave_table()
        for channel in updates:
            self._left[channel] = None
        # Written one by one, it all comes at once with the pulse.
        self._say("I m")
        for channel, update in updates.items():
            words = self._words(update.tone)
            if "frequency" in update.changed:
                self._say(f"F{channel} {_megahertz(words.frequency)}")
            if "phase" in update.changed:
                self._say(f"P{channel} {words.phase}")
            if "amplitude" in update.changed:
                self._say(f"V{channel} {words.amplitude}")
        self._say("I p")
        self._say("I a")
        found = self._read_words()
        for channel in updates:
            self._left[channel] = found[channel]
        return {channel: self._tone(found[channel]) for channel in updates}

    def reset(self) -> None:
        self._left = [None] * len(self.channels)
        self._single, self._playing = False, None
        # It starts with what is in its EEPROM, and says whatever it says.
        self._line.write(b"R\r\n")
        for channel in range(len(self.channels)):
            self._say(f"V{channel} 0")

    def _require_free(self, channels: Container[int]) -> None:
        """Raise unless the table that plays, if there is one, is of one of `channels`."""
        if self._playing is not None and self._playing not in channels:
            raise InstrumentError(
                f"{self.model} plays a table on channel {self._playing}, and can set nothing else "
                "meanwhile: stop that first; nothing was sent"
            )

    def _check_left(self) -> None:
        """Raise `HardwareRestarted` where it no longer holds what it was left at."""
        found = self._read_words()
        for channel, left in enumerate(self._left):
            if left is not None and left != found[channel]:
                self._left = [None] * len(self.channels)
                self._single, self._playing = False, None
                raise HardwareRestarted(
                    f"{self.model} has other values than it was left with: it was switched off "
                    "meanwhile, or set by somebody else; nothing was set"
                )

    # --- tables ----------------------------------------------------------------------------------

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        return TABLE.plan(rows, repeat, functools.partial(self.quantise, channel))

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        self._require_free([channel])
        self._check_left()
        if not self._single:
            self._leave_table()
        other = TABLE_CHANNELS[1 - channel]
        held = self._read_words()[other]
        table = [
            (self._words(row.tone), dwell)
            for row in [*rows] * (repeat or 1)
            for dwell in TABLE.dwells(row)
        ]
        # The last row is held.
        table[-1] = (table[-1][0], ON_TRIGGER)
        for address, (words, dwell) in enumerate(table):
            self._say(_table_row(channel, address, words, dwell))
            self._say(_table_row(other, address, held, dwell))
        self._left[channel] = self._left[other] = None
        self._single, self._playing = False, channel
        # Without going to table mode and back it was seen to begin one row off (labscript).
        for mode in ("t", "0", "t"):
            self._ask(f"M {mode}")  # some firmware answers no OK

    def stop(self, channel: int) -> Tone:
        self._require_free([channel])
        self._leave_table()
        words = self._read_words()
        for each in TABLE_CHANNELS:
            self._left[each] = words[each]
        return self._tone(words[channel])

    def _leave_table(self) -> None:
        # ``M a`` and ``M n`` do not end it (Novatech, in labscript-devices issue 37).
        self._say("M 0")
        self._single, self._playing = True, None

    # --- one ask and its answer ------------------------------------------------------------------

    def _say(self, command: str) -> None:
        answer = self._ask(command)
        if answer != "OK":
            raise InstrumentError(
                f"{self._line.name}: {self.model} answered '{shown(answer)}' to '{command}'; "
                "expected OK"
            )

    def _ask(self, command: str, *, lines: int = 1, refusable: bool = True) -> str:
        line = command.encode()
        answer = self._line.query(line + b"\r\n", _Answer(line, lines)).decode("latin-1")
        if refusable and answer.startswith("?"):
            why = REFUSALS.get(answer.lower(), f"it answered '{shown(answer)}'")
            raise InstrumentError(f"{self._line.name}: {self.model} refused '{command}': {why}")
        return answer


class _Answer(Ending):
    """So many lines, or one with an error; the echo of the command, which may be on, is none."""

    def __init__(self, command: bytes, lines: int) -> None:
        self._echo = command.lower()
        self._lines = lines

    def reply_in(self, heard: bytearray) -> bytes | None:
        lines = [bytes(line).strip() for line in heard.split(b"\n")[:-1]]
        said = [line for line in lines if line and line.lower() != self._echo]
        if said and said[0].startswith(b"?"):
            return said[0]
        return b"\n".join(said[: self._lines]) if len(said) >= self._lines else None


def _fields(line: str) -> Mapping[str, str]:
    """What ``QUE`` tells of a channel; `line` is known to be such a line."""
    found = _QUE_CHANNEL.fullmatch(line)
    return found.groupdict() if found else {}


def _all_words(lines: Sequence[str]) -> list[ToneWords]:
    """What ``QUE`` tells of the channels' tones."""
    return [
        ToneWords(*(int(fields[name], 16) for name in ("frequency", "phase", "amplitude")))
        for fields in map(_fields, lines)
    ]


def _megahertz(word: int) -> str:
    """What ``F`` wants for a frequency word: it counts as if the clock were the internal one."""
    return f"{word // 10**7}.{word % 10**7:07d}"


def _table_row(channel: int, address: int, words: ToneWords, dwell: int) -> str:
    return (
        f"t{channel} {address:04x} "
        f"{words.frequency:08x},{words.phase:04x},{words.amplitude:04x},{dwell:02x}"
    )

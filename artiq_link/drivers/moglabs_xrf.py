"""The MOGLabs XRF and ARF, two channels over TCP or USB, each an AD9910 behind text commands.

What the instrument does is taken from its manual, the vendor's ``mogdevice`` and the MATLAB client
moglabs-arf-xrf. What none of them confirms is marked as unconfirmed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

import msgspec

from ..dds.capabilities import Capabilities, Span, Tables
from ..dds.driver import Driver
from ..dds.types import Reading, Row, Tone, ToneParameter, Update
from ..errors import HardwareLost, HardwareRestarted, InstrumentError
from ..text import shown
from ..transports import Protocol, transport_to
from ..transports.endings import Line, Silence
from .ad9910.chip import word_format
from .table_rows import TableRows

FORMAT = word_format(1e9)

LOWEST_FREQUENCY, HIGHEST_FREQUENCY = 20e6, 400e6

LOWEST_POWER = -50.0
"""dBm; unconfirmed: the manual's text at hand names no lower end."""

HIGHEST_POWER = 35.1
"""dBm, of any model (moglabs-arf-xrf); a channel's LIMIT is lower, and read when it is opened."""

MODEL = "the XRF"

TABLE = TableRows(MODEL, most=8191, unit=1e-6, longest=(1 << 20) - 1)
"""The first row was measured 2 us long, whatever it says."""

TONE_MODES = ("NSB", "TPA")
"""The modes in which FREQ, POW and PHASE act."""

TABLE_MODE = "TSB"

AMPLIFIER_TIME = 2.0
"""Seconds that the amplifier needs after it was switched on."""

PROTOCOL = Protocol(
    ending=Line(b"\r\n"),
    timeout=5.0,
    pauses={b"ON,": AMPLIFIER_TIME},
    port=7802,
    baud=115200,
)

_SEVERAL_LINES = Silence(0.1, b"\r\n")
"""How INFO and STATUS end, which are of several lines in older firmware (`mogdevice`)."""

_FREQUENCY = re.compile(r"[\d.]+ *MHz *\(0x(?P<word>[0-9a-f]{1,8})\)", re.IGNORECASE)
_POWER = re.compile(r"(?P<value>[-+]?\d+(\.\d+)?) *dBm\b.*", re.IGNORECASE)
_PHASE = re.compile(r"[-+]?[\d.]+ *deg *\(0x(?P<word>[0-9a-f]{1,4})\)", re.IGNORECASE)
_PHASE_DEGREES = re.compile(r"(?P<value>[-+]?\d+(\.\d+)?) *deg\b.*", re.IGNORECASE)
_MODE = re.compile(r"\b(NSB|NSA|TSB|TPA)\b", re.IGNORECASE)
_SIGNAL = re.compile(r"\bSIG: *(ON|OFF)\b", re.IGNORECASE)
_AMPLIFIER = re.compile(r"\bPOW: *(ON|OFF)\b", re.IGNORECASE)


class MoglabsXrfDriver(Driver):
    """An XRF or ARF, such as ``tcp:192.168.0.7`` or, by USB, ``serial:/dev/ttyACM0``.

    Its first channel, CH1, is 0. Powers are limited by each channel's LIMIT.

    A channel takes tones in its modes NSB and TPA, and tables in TSB. To change the mode switches
    its output off. So it is not changed, unless `switch_mode` is true: then `play` and what comes
    after it change it, and switch an output on again that was on, which takes 2 s.

    A table starts from phase 0 in either phase mode; to start one switches the output on, and is
    refused where it is off. What is held after a table was stopped is not known.
    """

    model = MODEL
    channels: list[Capabilities]
    simultaneous = False

    def __init__(self, device: str, *, switch_mode: bool = False) -> None:
        self._line = transport_to(device, PROTOCOL)
        self._switch_mode = switch_mode
        self.channels = [_capabilities(HIGHEST_POWER) for _ in range(2)]
        self._left: list[Tone | None] = [None, None]
        """What the channels were left at; None: they may be at anything."""
        self._playing = [False, False]

    def quantise(self, channel: int, tone: Tone) -> Tone:
        made = FORMAT.quantise(tone)
        power = None if tone.power is None else _sent_power(tone.power)
        return Tone(made.frequency, made.phase, power=power)

    # --- opening and reading ---------------------------------------------------------------------

    def open(self) -> None:
        self._left, self._playing = [None, None], [False, False]
        self._line.open()
        info = self._several_lines("INFO", refusable=False)
        if re.search(r"\bQRF", info):
            raise InstrumentError(
                f"{self._line.name} is a QRF, whose tables are others than those of an XRF"
            )
        # What INFO says differs; the answer to this is like no other make's.
        answer = self._query("FREQ,1", refusable=False)
        if not _FREQUENCY.match(answer):
            raise InstrumentError(
                f"{self._line.name} is no XRF or ARF: it answered '{shown(answer)}' to 'FREQ,1'"
            )
        self.identity = " ".join(info.split())
        limits = [self._power(f"LIMIT,{number}") for number in (1, 2)]
        self.channels = [_capabilities(limit) for limit in limits]

    def close(self) -> None:
        self._line.close()

    def read(self, channel: int) -> Reading:
        mode, output = self._mode(channel), self._is_on(channel)
        if mode in TONE_MODES:
            tone = self._left[channel] = self._tone(channel)
            return Reading(tone, output, "single_tone" if mode == "NSB" else None)
        self._left[channel] = None
        return Reading(output=output, activity="table" if self._playing[channel] else None)

    def _tone(self, channel: int) -> Tone:
        """What its single tone is set to."""
        number = channel + 1
        frequency = self._found(f"FREQ,{number}", _FREQUENCY, "a frequency and its word")["word"]
        asked = f"PHASE,{number}"
        phase = self._query(asked)
        if found := _PHASE.match(phase):
            turns = FORMAT.phase(int(found["word"], 16))
        elif found := _PHASE_DEGREES.match(phase):
            turns = float(found["value"]) / 360 % 1
        else:
            raise self._unexpected(asked, phase, "a phase in deg")
        return Tone(
            FORMAT.frequency(int(frequency, 16)), turns, power=self._power(f"POW,{number}")
        )

    def _power(self, asked: str) -> float:
        return float(self._found(asked, _POWER, "a power in dBm")["value"])

    def _mode(self, channel: int) -> str | None:
        """The channel's mode; None where the answer names none that is known."""
        found = _MODE.search(self._query(f"MODE,{channel + 1}"))
        return found[1].upper() if found else None

    def _is_on(self, channel: int) -> bool | None:
        """Whether signal and, where there is one, amplifier are on."""
        status = self._several_lines(f"STATUS,{channel + 1}").upper()
        signal, amplifier = _SIGNAL.search(status), _AMPLIFIER.search(status)
        if not signal:
            return None
        return signal[1] == "ON" and (not amplifier or amplifier[1] == "ON")

    # --- setting ---------------------------------------------------------------------------------

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        return {channel: self._update(channel, update) for channel, update in updates.items()}

    def _update(self, channel: int, update: Update) -> Tone:
        self._bring_into_mode(channel, TONE_MODES, "takes tones")
        self._check_left()
        self._left[channel] = None
        number, words = channel + 1, FORMAT.words(_whole(update.tone))
        if "frequency" in update.changed:
            self._say(f"FREQ,{number},0x{words.frequency:08X}")
        if "power" in update.changed:
            self._say(f"POW,{number},{_power_text(update.tone.power)}")
        if "phase" in update.changed:
            self._say(f"PHASE,{number},0x{words.phase:04X}")
        achieved = self._left[channel] = self._tone(channel)
        return achieved

    def _check_left(self) -> None:
        """Raise `HardwareRestarted` where it no longer holds what it was left at."""
        for channel, left in enumerate(self._left):
            if left is not None and left != self._tone(channel):
                self._left, self._playing = [None, None], [False, False]
                raise HardwareRestarted(
                    f"{self.model} has other values than it was left with: it was switched off "
                    "meanwhile, or set by somebody else; nothing was set"
                )

    def set_output(self, channel: int, on: bool) -> None:
        if on:
            # After a restart something else would come out.
            self._check_left()
        self._say(f"{'ON' if on else 'OFF'},{channel + 1},ALL")
        # Asked for once the amplifier has had its time.
        if self._is_on(channel) not in {on, None}:
            state = "off" if on else "on"
            raise InstrumentError(
                f"{self.model} was told to switch its output, which stays {state}"
            )

    def _bring_into_mode(self, channel: int, modes: Sequence[str], act: str) -> None:
        """Have the channel in one of `modes`, or refuse."""
        mode = self._mode(channel)
        if mode in modes:
            return
        number = channel + 1
        if not self._switch_mode:
            raise InstrumentError(
                f"{self.model} {act} in mode {' or '.join(modes)}, and CH{number} is in "
                f"{mode or 'another'}; to change it switches its output off, and so is left to "
                f"you: 'MODE,{number},{modes[0]}', or the driver's switch_mode; nothing was "
                "changed"
            )
        was_on = self._is_on(channel)
        self._left[channel], self._playing[channel] = None, False
        try:
            self._say(f"MODE,{number},{modes[0]}")
            if was_on:
                self.set_output(channel, True)
        except HardwareLost:
            raise
        except InstrumentError as error:
            # What is known of its output is not so any more, and has to be read.
            raise HardwareRestarted(f"{error}; the output of CH{number} may be off") from error

    # --- tables ----------------------------------------------------------------------------------

    def plan_table(self, channel: int, rows: Sequence[Row], repeat: int | None) -> list[Row]:
        # TABLE,REARM and RESTART leave a gap of some 100 us between passes.
        return TABLE.plan(rows, repeat, functools.partial(self.quantise, channel))

    def play(
        self, channel: int, rows: Sequence[Row], repeat: int | None, *, clear_phase: bool
    ) -> None:
        if not self._is_on(channel):
            raise InstrumentError(
                f"{self.model} switches an output on to play a table, and CH{channel + 1} is off: "
                "switch it on before; nothing was played"
            )
        self._bring_into_mode(channel, (TABLE_MODE,), "plays tables")
        self._left[channel], number = None, channel + 1
        for setting in ("REARM", "RESTART"):
            self._say(f"TABLE,{setting},{number},OFF")
        self._say(f"TABLE,CLEAR,{number}")
        for row in [*rows] * (repeat or 1):
            words = FORMAT.words(_whole(row.tone))
            tone = f"0x{words.frequency:08X},{_power_text(row.tone.power)},0x{words.phase:04X}"
            for dwell in TABLE.dwells(row):
                self._say(f"TABLE,APPEND,{number},{tone},{dwell}us")
        self._say(f"TABLE,ARM,{number}")
        self._say(f"TABLE,START,{number}")
        self._playing[channel] = True

    def stop(self, channel: int) -> Tone:
        self._say(f"TABLE,STOP,{channel + 1}")
        self._playing[channel] = False
        return Tone()

    # --- one ask and its answer ------------------------------------------------------------------

    def _say(self, command: str) -> None:
        answer = self._query(command)
        if not answer.startswith("OK"):
            raise self._unexpected(command, answer, "OK")

    def _found(self, asked: str, expected: re.Pattern[str], what: str) -> re.Match[str]:
        answer = self._query(asked)
        found = expected.match(answer)
        if not found:
            raise self._unexpected(asked, answer, what)
        return found

    def _query(self, command: str, *, refusable: bool = True) -> str:
        answer = self._line.query(f"{command}\r\n".encode()).decode("latin-1").strip()
        return self._checked(command, answer) if refusable else answer

    def _several_lines(self, command: str, *, refusable: bool = True) -> str:
        reply = self._line.query(f"{command}\r\n".encode(), _SEVERAL_LINES)
        answer = reply.decode("latin-1").strip()
        return self._checked(command, answer) if refusable else answer

    def _checked(self, command: str, answer: str) -> str:
        if answer.startswith("ERR"):
            why = answer.removeprefix("ERR").lstrip(": ") or "it gave no reason"
            raise InstrumentError(
                f"{self._line.name}: {self.model} refused '{command}': {shown(why)}"
            )
        return answer

    def _unexpected(self, asked: str, answer: str, what: str) -> InstrumentError:
        return InstrumentError(
            f"{self._line.name}: {self.model} answered '{shown(answer)}' to '{asked}'; "
            f"expected {what}"
        )


def _capabilities(limit: float) -> Capabilities:
    """What a channel can do whose LIMIT is `limit` dBm."""
    parameters: dict[ToneParameter, Span] = {
        "frequency": Span(LOWEST_FREQUENCY, HIGHEST_FREQUENCY, FORMAT.frequency(1)),
        "phase": Span(0.0, 1.0, FORMAT.phase(1)),
        "power": Span(min(LOWEST_POWER, limit), limit),
    }
    return Capabilities(
        parameters,
        tables=Tables(TABLE.most, ("frequency", "phase", "power"), TABLE.unit, TABLE.unit),
        # PHRESET would clear the phases of both channels.
        phase_modes=("continuous",),
        reads=("frequency", "phase", "power", "output", "activity"),
    )


def _whole(tone: Tone) -> Tone:
    """The tone with all that has words; where it has none, 0 stands."""
    return msgspec.structs.replace(
        tone, frequency=tone.frequency or 0.0, phase=tone.phase or 0.0, amplitude=0.0
    )


def _sent_power(power: float) -> float:
    """A power as it is sent, in dBm; what the instrument makes of it is read back."""
    return round(power, 3)


def _power_text(power: float | None) -> str:
    """What POW and a row want for a power; raises TypeError where there is none."""
    if power is None:
        raise TypeError("a row of the XRF has a power")
    return f"{_sent_power(power):.3f}dBm"

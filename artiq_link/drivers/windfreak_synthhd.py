"""Windfreak's SynthHD: two microwave synthesisers behind one USB serial port.

Its commands are letters with numbers, without anything between or behind them; settings are not
answered. What was read of them stands in Windfreak's "Serial Programming API" 1.0b and in the
package windfreak 0.3 (christian-hahn/windfreak-python, MIT); none of it was tried on an
instrument for this driver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ..dds.capabilities import Capabilities, Span
from ..dds.driver import Driver
from ..dds.types import Reading, Tone, Update
from ..errors import HardwareRestarted, InstrumentError
from ..loggers import get_logger
from ..text import shown, written
from ..transports import Protocol, transport_to
from ..transports.endings import Ending, Like, Line

PLL_TIME = 0.02
"""Seconds that a PLL needs after it was switched on."""

LOCK_ASKS = 10
"""How often it is asked whether it has locked, before that is an error: it takes 0.1 ms, less
than an answer does."""

PHASE_STEPS = 360_000
"""Of a turn: phases are told in thousandths of a degree."""

SPACINGS = 0.1, 1000.0
"""The channel spacings in Hz that can be set."""

PROTOCOL = Protocol(pauses={b"C0E1": PLL_TIME, b"C1E1": PLL_TIME})

FINEST = 0.01
"""Hz: the last digit of a frequency that is sent."""

_LINE = Line()
_TEXT = Like(re.compile(rb"[ -~]+\s*"), "a line of text", _LINE)
_NUMBER = Like(re.compile(rb"\s*[-+]?[0-9]{1,12}(\.[0-9]*)?\s*"), "a number", _LINE)
_FLAG = Like(re.compile(rb"\s*[01]\s*"), "0 or 1", _LINE)

# What makes something else of a tone, by the settings that say that it is on.
_NO_TONES = {
    "g": "sweeps",
    "A": "modulates amplitudes",
    "/": "modulates frequencies",
    "j": "pulses",
}

logger = get_logger(__name__)


class _Model(NamedTuple):
    """What a model can do: frequencies in Hz, powers in dBm."""

    name: str
    lowest: float
    highest: float
    least: float
    most: float = 20.0


_V1 = _Model("SynthHD v1.4", 53e6, 13_999_999_999.0, -80.0)
_V2 = _Model("SynthHD v2", 10e6, 15e9, -70.0)
_PRO = _Model("SynthHD PRO v2", 10e6, 24e9, -70.0)


class _Held(msgspec.Struct):
    """What a channel was last seen to hold; None: nobody knows."""

    frequency: float | None = None
    power: float | None = None
    output: bool | None = None
    phase: int | None = None
    """The sum of the phase steps since the frequency came up, in `PHASE_STEPS` of a turn."""
    is_tone: bool = False


class WindfreakDriver(Driver):
    """A SynthHD at `device`, such as ``serial:/dev/ttyACM0``; raises ValueError for no device.

    The SynthHD snaps frequencies to the channel spacing, which is 100 Hz as it comes: they are
    rounded to that before they are sent. `spacing`, in Hz, is set with the next frequency where
    it is given. What comes out is read back.

    The SynthHD can shift its phase, and cannot tell it. A channel's phase is therefore counted
    from the one with which its frequency comes up, or with which it was found; each new frequency
    is shifted anew. Before it is set, it is unknown.
    """

    model = "the SynthHD"
    simultaneous = False

    def __init__(self, device: str, *, spacing: float | None = None) -> None:
        if spacing is not None and not SPACINGS[0] <= spacing <= SPACINGS[1]:
            raise ValueError(
                f"spacing: {written(spacing)} Hz is outside {written(SPACINGS[0])} to "
                f"{written(SPACINGS[1])} Hz"
            )
        self._spacing = spacing
        self._line = transport_to(device, PROTOCOL)
        self._held = [_Held(), _Held()]
        self._seen_openings = 0
        self._describe_channels(_PRO, [None, None])

    def open(self) -> None:
        self._line.open()
        openings = self._line.openings
        self.identity = self._recognise()
        model = self._model_found()
        self._describe_channels(model, [self._number(channel, "i?") for channel in (0, 1)])
        if self._spacing is not None and model is _V1:
            raise InstrumentError(f"{self._line.name} is a {model.name}, whose spacing is fixed")
        self._seen_openings = openings

    def close(self) -> None:
        self._line.close()

    def read(self, channel: int) -> Reading:
        held = self._held[channel]
        held.is_tone = self._what_is_no_tone(channel) is None
        held.frequency, held.power = self._read_frequency(channel), self._number(channel, "W?")
        held.output, held.phase = self._read_output(channel), None
        if held.output and not self.is_locked(channel):
            logger.warning("%s: the PLL of channel %d has not locked", self._line.name, channel)
        return Reading(
            Tone(frequency=held.frequency, power=held.power),
            held.output,
            "single_tone" if held.is_tone else None,
        )

    def is_locked(self, channel: int) -> bool:
        """Whether the channel's PLL has locked; it does not while it is switched off."""
        return self._flag(channel, "p")

    def quantise(self, channel: int, tone: Tone) -> Tone:
        frequency = tone.frequency
        return Tone(
            frequency=None if frequency is None else self._snapped(channel, frequency),
            phase=None if tone.phase is None else _phase_steps(tone.phase) / PHASE_STEPS,
            power=None if tone.power is None else round(tone.power, 2),
        )

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        [(channel, update)] = updates.items()
        self._ready()
        held = self._held[channel]
        if not held.is_tone:
            if reason := self._what_is_no_tone(channel):
                raise InstrumentError(f"{self.model} {reason}: end that first")
            held.is_tone = True
        tone, changed = self.quantise(channel, update.tone), update.changed
        settings = []
        if tone.frequency is not None and "frequency" in changed:
            spacing = "" if self._spacing is None else f"i{self._spacing:.1f}"
            settings.append(f"{spacing}f{tone.frequency / 1e6:.8f}")
        if tone.power is not None and "power" in changed:
            falls = held.power is not None and tone.power < held.power
            settings.insert(0 if falls else len(settings), f"W{tone.power:.2f}")
        held.frequency = held.power = None
        if settings:
            self._tell(channel, "".join(settings))
        frequency, power = self._read_frequency(channel), self._number(channel, "W?")
        self._check_achieved(channel, tone, changed, frequency, power)
        if "frequency" in changed:
            held.phase = 0
        if tone.phase is not None and ("phase" in changed or "frequency" in changed):
            self._shift_phase(channel, round(tone.phase * PHASE_STEPS))
        is_level = self._flag(channel, "V")
        if not is_level and "power" in changed:
            raise InstrumentError(
                f"channel {channel} of {self.model} does not reach {written(power)} dBm at "
                f"{written(frequency)} Hz: set less"
            )
        if "frequency" in changed:
            self._check_lock(channel, frequency)
        if self._line.openings != self._seen_openings:
            raise self._restarted()
        held.frequency, held.power = frequency, power
        return {
            channel: Tone(
                frequency=frequency,
                phase=None
                if tone.phase is None or held.phase is None
                else held.phase / PHASE_STEPS,
                power=power if is_level else None,
            )
        }

    def set_output(self, channel: int, on: bool) -> None:
        self._ready()
        held = self._held[channel]
        was_on = held.output
        held.output = None
        self._tell(channel, "E1r1h1" if on else "E0r0h0")
        is_on = self._read_output(channel)
        if is_on is not on:
            raise InstrumentError(
                f"channel {channel} of {self.model} was switched {'on' if on else 'off'}, and "
                "is not"
            )
        held.output = on
        if on:
            phase = held.phase
            if not was_on and phase is not None:
                held.phase = 0  # its frequency has come up again
                self._shift_phase(channel, phase)
            self._check_lock(channel, self._read_frequency(channel))

    # --- what it is ------------------------------------------------------------------------------

    def _recognise(self) -> str:
        """Its model and serial number; raises InstrumentError where it is no SynthHD."""
        model = self._text("+")
        if "SynthHD" not in model:
            self._line.close()
            raise InstrumentError(
                f"{self._line.name} is not {self.model}: it says that it is {shown(model)!r}"
            )
        return f"{model}, serial number {self._text('-')}"

    def _model_found(self) -> _Model:
        """Which model it is; raises InstrumentError where its limits are not known."""
        hardware = self._text("v1")
        if "1.4" in hardware:
            return _V1
        if "Version 2." in hardware:
            kind = self._text("v2")
            if kind in {"HD", "HDPRO"}:
                return _V2 if kind == "HD" else _PRO
            hardware = f"{hardware}, {kind}"
        raise InstrumentError(
            f"{self._line.name} is a SynthHD whose limits are not known: it says "
            f"{shown(hardware)!r}"
        )

    def _describe_channels(self, model: _Model, spacings: list[float | None]) -> None:
        self.channels = [
            Capabilities(
                {
                    "frequency": Span(model.lowest, model.highest, self._spacing or spacing),
                    "phase": Span(0.0, 1.0, 1 / PHASE_STEPS),
                    "power": Span(model.least, model.most, 0.01),
                },
                phase_modes=("continuous",),
                reads=("frequency", "power", "output", "activity"),
            )
            for spacing in spacings
        ]

    # --- whether it is still what it was ---------------------------------------------------------

    def _ready(self) -> None:
        """Make sure that it is the same SynthHD, and has not lost what it was set to."""
        self._line.open()
        openings = self._line.openings
        if openings == self._seen_openings:
            return
        identity = self._recognise()
        if identity != self.identity:
            raise InstrumentError(
                f"{self._line.name} is another one: {shown(identity)}, and not "
                f"{shown(self.identity)}; start the server anew"
            )
        is_same = True
        for channel, held in enumerate(self._held):
            held.phase = None
            is_same = is_same and (
                held.frequency in {None, self._read_frequency(channel)}
                and held.power in {None, self._number(channel, "W?")}
                and held.output in {None, self._read_output(channel)}
            )
        self._seen_openings = openings
        if not is_same:
            raise self._restarted()

    def _restarted(self) -> HardwareRestarted:
        return HardwareRestarted(
            f"{self.model} at {self._line.name} was lost meanwhile, and has restarted: what it "
            "does is read anew; set what it is to do"
        )

    # --- what it does ----------------------------------------------------------------------------

    def _read_frequency(self, channel: int) -> float:
        return round(self._number(channel, "f?") * 1e6, 2)

    def _read_output(self, channel: int) -> bool | None:
        """None: the amplifier alone is off, and nobody knows what still comes out."""
        pll, amplifier, unmuted = (self._flag(channel, letter) for letter in ("E?", "r?", "h?"))
        if not pll or not unmuted:
            return False
        return True if amplifier else None

    def _what_is_no_tone(self, channel: int) -> str | None:
        for letter, doing in _NO_TONES.items():
            if self._flag(channel, f"{letter}?"):
                return f"{doing} ({letter}? is 1)"
        return None

    def _shift_phase(self, channel: int, phase: int) -> None:
        held = self._held[channel]
        # What it was is the zero that is counted from, where nothing else is known.
        shift = (phase - (held.phase or 0)) % PHASE_STEPS
        held.phase = None
        if shift:
            self._tell(channel, f"~{shift / (PHASE_STEPS // 360):.3f}")
        held.phase = phase

    def _snapped(self, channel: int, frequency: float) -> float:
        """The nearest frequency on the channel's spacing, as far as that is known."""
        span = self.channels[channel].parameters["frequency"]
        step = span.step or FINEST
        snapped = round(round(frequency / step) * step, 2)
        # The limits need not lie on it.
        while snapped > span.highest:
            snapped = round(snapped - step, 2)
        while snapped < span.lowest:
            snapped = round(snapped + step, 2)
        return snapped

    def _check_achieved(
        self, channel: int, tone: Tone, changed: Sequence[str], frequency: float, power: float
    ) -> None:
        """Raise InstrumentError where it made something else of what it was told."""
        for name, told, made, unit in [
            ("frequency", tone.frequency, frequency, "Hz"),
            ("power", tone.power, power, "dBm"),
        ]:
            if name in changed and told != made:
                raise InstrumentError(
                    f"{self.model} was told the {name} {written(told or 0.0)} {unit} on channel "
                    f"{channel}, and made {written(made)} {unit} of it"
                )

    def _check_lock(self, channel: int, frequency: float) -> None:
        if not self._flag(channel, "E?"):
            return
        if not any(self.is_locked(channel) for _ in range(LOCK_ASKS)):
            raise InstrumentError(
                f"the PLL of channel {channel} of {self.model} does not lock at "
                f"{written(frequency)} Hz: is its reference there?"
            )

    # --- asking: the channel is state of the device, and goes with every command -----------------

    def _tell(self, channel: int, settings: str) -> None:
        self._line.write(f"C{channel}{settings}".encode("ascii"))

    def _number(self, channel: int, question: str) -> float:
        return float(self._ask(f"C{channel}{question}", _NUMBER))

    def _flag(self, channel: int, question: str) -> bool:
        return self._ask(f"C{channel}{question}", _FLAG) == "1"

    def _text(self, question: str) -> str:
        return self._ask(question, _TEXT)

    def _ask(self, question: str, ending: Ending) -> str:
        return self._line.query(question.encode("ascii"), ending).decode("ascii").strip()


def _phase_steps(phase: float) -> int:
    return round(phase % 1.0 * PHASE_STEPS) % PHASE_STEPS

"""Generators with SCPI commands: what is common to all makes; their differences are profiles.

Whatever is set is read back, so that what was clamped or rounded is not taken for achieved, and
the generator's list of errors is emptied. A front panel may have changed anything meanwhile.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from ..dds.capabilities import Capabilities, Readable, Span
from ..dds.driver import Driver
from ..dds.types import UNITS, Reading, Tone, ToneParameter, Update
from ..errors import HardwareRestarted, InstrumentError, OutOfRange
from ..loggers import get_logger
from ..text import nearest_hint, shown, written
from ..transports import transport_to
from ..transports.endings import Like
from .scpi_profiles import SCPI_PROFILES, Question, Requirement, ScpiParameter, ScpiProfile

SOURCE_OHMS = 50.0
"""What is between a generator's voltage and its output."""

POWER_ON = 1 << 7
"""The bit of the event status register that says that the power was off (IEEE 488.2, 11.5.1)."""

MAX_ERRORS = 50
"""More than a generator keeps; one that never comes to an end of them is not asked for ever."""

RESET_TIME = 15.0
"""Seconds for a generator to reset itself."""

_NOTHING = Tone()

_IDENTITY = re.compile(rb"[ -~]+\s*")
_DONE = re.compile(rb"\s*\+?1\s*")

logger = get_logger(__name__)


class _Held(msgspec.Struct):
    """What a channel was last seen to hold; None: nobody knows."""

    tone: Tone | None = None
    output: bool | None = None
    is_plain: bool = False
    """Whether it was a plain sine."""


class ScpiDriver(Driver):
    """A generator at `device`, such as ``tcp:192.168.0.5``, of the make `profile`.

    That is one of `SCPI_PROFILES`, by its name, or one of a lab's own. Raises ValueError where
    there can be no such device or profile.

    An amplitude is a fraction of the voltage that the generator gives at most, whatever load it
    reckons with. Nothing but sines is set up: where a channel puts out something else, it is left
    so, and tones are refused.
    """

    simultaneous = False

    def __init__(self, device: str, profile: str | ScpiProfile) -> None:
        self._profile = _profile_of(profile)
        self.model = self._profile.model
        self._line = transport_to(device, self._profile.protocol)
        self._forget()
        self._describe_channels({})
        self._seen_openings = 0

    def open(self) -> None:
        self._forget()
        self._line.open()
        openings = self._line.openings
        self.identity = self._recognise()
        self._describe_channels(self._limits(self.identity))
        self._has_restarted()
        if old := self._errors():
            logger.warning("%s had these errors before: %s", self.model, "; ".join(old))
        self._seen_openings = openings

    def close(self) -> None:
        self._line.close()

    def read(self, channel: int) -> Reading:
        only_first = self._profile.only_first
        if channel and only_first and re.search(only_first, self.identity, re.IGNORECASE):
            raise InstrumentError(
                f"{self._line.name} is {shown(self.identity)!r}, which has one channel only: name "
                "that one alone, with --channels FILE or in server.py"
            )
        held = self._held[channel]
        held.is_plain = self._what_is_no_tone(channel) is None
        held.tone = self._read_tone(channel)
        if self._profile.output is not None:
            held.output = self._read_output(channel)
        return Reading(
            held.tone,
            held.output,
            "single_tone" if self._profile.tone_if and held.is_plain else None,
        )

    def check_tone(self, channel: int, tone: Tone) -> None:
        if tone.frequency is not None and tone.amplitude is not None:
            for frequency, most in self._profile.level_above:
                if tone.frequency > frequency and tone.amplitude > most:
                    raise OutOfRange(
                        f"amplitude: {written(tone.amplitude)} of full scale is above the limit "
                        f"of {written(most)} that {self.model} has above {written(frequency)} Hz",
                        "amplitude",
                    )

    def quantise(self, channel: int, tone: Tone) -> Tone:
        sent: dict[str, float] = {}
        for name, parameter in self._profile.parameters.items():
            value = getattr(tone, name)
            if value is None:
                continue
            if name == "amplitude" and self._profile.load is not None:
                sent[name] = value  # its volts hang on the load
            else:
                sent[name] = float(_number(name, parameter, value, parameter.scale))
                sent[name] /= parameter.scale
        return Tone(**sent)

    def update(self, updates: Mapping[int, Update]) -> Mapping[int, Tone]:
        [(channel, update)] = updates.items()
        asked = self.quantise(channel, update.tone)
        self._ready()
        held = self._held[channel]
        if not held.is_plain:
            if reason := self._what_is_no_tone(channel):
                raise InstrumentError(
                    f"channel {channel} of {self.model} puts out no plain sine: {reason}; set it "
                    "to one at its panel, or reset it"
                )
            held.is_plain = True
        told: dict[ToneParameter, tuple[str, float]] = {}
        for name in _in_order(update.changed, held.tone, update.tone):
            parameter = self._profile.parameters[name]
            if reason := self._unmet(channel, parameter.only_if):
                raise InstrumentError(
                    f"{name}: {self.model} counts in other units: {reason}; set that at its panel",
                    name,
                )
            scale = self._scale(channel, name)
            told[name] = _number(name, parameter, getattr(update.tone, name), scale), scale
        held.tone = None
        for name, (number, _) in told.items():
            self._tell(self._profile.parameters[name].tell, channel, number)
        self._finish()
        read = self._read_tone(channel, asked)
        if self._line.openings != self._seen_openings:
            raise self._restarted()
        held.tone = read
        return {channel: self._achieved(channel, told, asked, read)}

    def set_output(self, channel: int, on: bool) -> None:
        self._ready()
        held = self._held[channel]
        held.output = None
        for command in self._profile.switch_on if on else self._profile.switch_off:
            self._tell(command, channel)
        self._finish()
        is_on = self._read_output(channel)
        if is_on is not None and is_on != on:
            raise InstrumentError(
                f"channel {channel} of {self.model} was switched {_on(on)}, and is {_on(is_on)}"
            )
        held.output = on

    def reset(self) -> None:
        channels = range(len(self._held))
        for channel in channels:
            self.set_output(channel, False)
        self._forget()
        self._tell(self._profile.reset)
        self._finish(RESET_TIME)
        for channel in channels:
            # What a reset switches on is not the same everywhere.
            if self._read_output(channel) is not False:
                self.set_output(channel, False)

    # --- what it is ------------------------------------------------------------------------------

    def _recognise(self) -> str:
        """Its answer to ``*IDN?``; raises InstrumentError where it is of another make."""
        ending = Like(_IDENTITY, "what it is", self._profile.protocol.ending)
        reply = self._line.query(self._encoded("*IDN?"), ending).decode("ascii").strip()
        if not re.search(self._profile.identity, reply, re.IGNORECASE):
            self._line.close()
            raise InstrumentError(
                f"{self._line.name} is not {self.model}: it says that it is {shown(reply)!r}"
            )
        return reply

    def _limits(self, identity: str) -> dict[ToneParameter, tuple[float, float]]:
        """The limits of the model that it is, as far as they are not its make's."""
        limits: dict[ToneParameter, tuple[float, float]] = {}
        for name, parameter in self._profile.parameters.items():
            if parameter.limits:
                lowest, highest = (
                    self._ask_number(Question(parameter.limits.replace("{end}", end)))
                    for end in ("MIN", "MAX")
                )
                limits[name] = lowest / parameter.scale, highest / parameter.scale
        for pattern, highest in self._profile.highest_frequency.items():
            if re.search(pattern, identity, re.IGNORECASE):
                limits["frequency"] = self._profile.parameters["frequency"].lowest, highest
        return limits

    def _describe_channels(self, limits: Mapping[ToneParameter, tuple[float, float]]) -> None:
        profile = self._profile
        reads: list[Readable] = [
            name for name, parameter in profile.parameters.items() if parameter.ask is not None
        ]
        if profile.output is not None:
            reads.append("output")
        if profile.tone_if:
            reads.append("activity")
        spans = {
            name: Span(*limits.get(name, (parameter.lowest, parameter.highest)), parameter.step)
            for name, parameter in profile.parameters.items()
        }
        can = Capabilities(spans, phase_modes=("continuous",), reads=reads)
        self.channels = [can] * len(self._held)

    # --- whether it is still what it was ---------------------------------------------------------

    def _ready(self) -> None:
        """Make sure that it is the same generator, and has not lost what it was set to."""
        self._line.open()
        openings = self._line.openings
        is_same = True
        if openings != self._seen_openings:
            self.identity = self._recognise()
            is_same = all(self._is_held(channel) for channel in range(len(self._held)))
            self._seen_openings = openings
        if self._has_restarted() or not is_same:
            raise self._restarted()

    def _is_held(self, channel: int) -> bool:
        held = self._held[channel]
        if held.tone is not None and self._read_tone(channel) != held.tone:
            return False
        return held.output is None or self._read_output(channel) == held.output

    def _has_restarted(self) -> bool:
        """Whether its power was off since this was last asked, as far as it says so."""
        if not self._profile.status:
            return False
        return bool(int(self._ask_number(Question(self._profile.status))) & POWER_ON)

    def _forget(self) -> None:
        self._held = [_Held() for _ in range(self._profile.channels)]

    def _restarted(self) -> HardwareRestarted:
        self._forget()
        return HardwareRestarted(
            f"{self.model} at {self._line.name} was lost meanwhile, and may have restarted: what "
            "it does is read anew; set what it is to do"
        )

    # --- what it does ----------------------------------------------------------------------------

    def _read_tone(self, channel: int, unread: Tone = _NOTHING) -> Tone:
        """What can be read of a channel's tone; what cannot is that of `unread`."""
        read: dict[str, float | None] = {}
        for name, parameter in self._profile.parameters.items():
            if parameter.ask is None:
                read[name] = getattr(unread, name)
            elif self._unmet(channel, parameter.only_if) is not None:
                read[name] = None
            else:
                value = self._ask_number(parameter.ask, channel) / self._scale(channel, name)
                read[name] = value % 1.0 if name == "phase" else value
        return Tone(**read)

    def _read_output(self, channel: int) -> bool | None:
        if self._profile.output is None:
            return None
        word = self._ask(self._profile.output, channel, "ON or OFF").upper()
        if word not in {"0", "1", "ON", "OFF"}:
            raise InstrumentError(
                f"{self.model} says that channel {channel}'s output is {shown(word)!r}; "
                "expected ON or OFF"
            )
        return word in {"1", "ON"}

    def _scale(self, channel: int, name: ToneParameter) -> float:
        """How many of the generator's units one of the DDS's is at present."""
        parameter = self._profile.parameters[name]
        if name != "amplitude" or self._profile.load is None:
            return parameter.scale
        ohms = self._ask(self._profile.load, channel, "a load")
        if not ohms or float(ohms) > 1e9:  # it says 9.9E+37 where it means infinity
            return parameter.scale
        if float(ohms) <= 0:
            raise InstrumentError(f"{self.model} reckons with a load of {ohms} ohms: set one")
        return parameter.scale * float(ohms) / (float(ohms) + SOURCE_OHMS)

    def _what_is_no_tone(self, channel: int) -> str | None:
        """Why a channel's output is no plain sine; None where it is one or nobody knows."""
        for requirement in self._profile.tone_if:
            if reason := self._unmet(channel, requirement):
                return reason
        return None

    def _unmet(self, channel: int, requirement: Requirement | None) -> str | None:
        """What does not fulfil a requirement; None where it is fulfilled."""
        if requirement is None:
            return None
        word = self._ask(requirement.question, channel, "a word")
        if word.upper() in requirement.expected:
            return None
        asked, _ = requirement.question.of(channel + 1)
        return f"{asked} is {shown(word)}, not {' or '.join(requirement.expected)}"

    def _achieved(
        self,
        channel: int,
        told: Mapping[ToneParameter, tuple[str, float]],
        asked: Tone,
        read: Tone,
    ) -> Tone:
        """The tone achieved: what was read back or, where that has too few digits, was sent.

        Raises InstrumentError where the generator made something else of what it was told.
        """
        achieved: dict[str, float | None] = {}
        for name, parameter in self._profile.parameters.items():
            wanted, got = getattr(asked, name), getattr(read, name)
            achieved[name] = got
            if wanted is None or parameter.ask is None:
                continue
            scale = told[name][1] if name in told else parameter.scale
            if got is not None and _alike(name, parameter, wanted, got, scale):
                if name in told and parameter.step is not None:
                    achieved[name] = float(told[name][0]) / scale
                continue
            unit = UNITS[name]
            made = "nobody knows what" if got is None else f"{written(got)} {unit}"
            sentence = (
                f"{self.model} {'was told' if name in told else 'had'} the {name} "
                f"{written(wanted)} {unit} on channel {channel}, and made {made} of it"
            )
            if name in told:
                raise InstrumentError(sentence)
            logger.warning("%s", sentence)  # as its front panel may have
        return Tone(**achieved)

    # --- asking ----------------------------------------------------------------------------------

    def _ask(self, question: Question, channel: int = 0, expected: str = "a number") -> str:
        """What was asked for in the answer; empty where the answer has none."""
        text, pattern = question.of(channel + 1)
        ending = Like(pattern, expected, self._profile.protocol.ending)
        found = pattern.fullmatch(self._line.query(self._encoded(text), ending))
        words = found.groupdict() if found else {}
        return (words.get("asked") or b"").decode("latin-1")

    def _ask_number(self, question: Question, channel: int = 0) -> float:
        text = self._ask(question, channel)
        number = float(text)
        if not math.isfinite(number):
            raise InstrumentError(f"{self.model} says {text} where a number was asked for")
        return number

    def _tell(self, command: str, channel: int = 0, value: str = "") -> None:
        self._line.write(self._encoded(command.format(n=channel + 1, value=value)))

    def _finish(self, timeout: float | None = None) -> None:
        """Wait until all is done, and raise InstrumentError for what the generator refused."""
        if self._profile.done:
            ending = Like(_DONE, "1", self._profile.protocol.ending)
            self._line.query(self._encoded(self._profile.done), ending, timeout)
        if errors := self._errors():
            raise InstrumentError(f"{self.model} reports {'; '.join(errors)}")

    def _errors(self) -> list[str]:
        """What its list of errors has, which is then empty."""
        errors: list[str] = []
        if self._profile.errors:
            question = Question(self._profile.errors, r"\s*(?P<asked>[-+]?[0-9]+.*)")
            while len(errors) < MAX_ERRORS:
                error = self._ask(question, expected="an error's number").strip()
                if re.match(r"[-+]?0+(?![0-9])", error):
                    break
                errors.append(f"error {shown(error)}")
        return errors

    def _encoded(self, command: str) -> bytes:
        return (command + self._profile.terminator).encode("ascii")


def _profile_of(profile: str | ScpiProfile) -> ScpiProfile:
    if isinstance(profile, ScpiProfile):
        return profile
    if profile not in SCPI_PROFILES:
        known = ", ".join(SCPI_PROFILES)
        raise ValueError(
            f"there is no profile {profile!r}{nearest_hint(profile, SCPI_PROFILES)}; the "
            f"profiles are {known}"
        )
    return SCPI_PROFILES[profile]


def _number(name: ToneParameter, parameter: ScpiParameter, value: float, scale: float) -> str:
    """The number that is sent for a value; a phase is one of the first turn."""
    number = f"{(value % 1.0 if name == 'phase' else value) * scale:.{parameter.decimals}f}"
    if name == "phase" and float(number) >= scale:
        return f"{0.0:.{parameter.decimals}f}"
    return number


def _alike(
    name: ToneParameter, parameter: ScpiParameter, wanted: float, got: float, scale: float
) -> bool:
    """Whether what is read back is what was sent, as far as the generator's digits go."""
    apart = abs(wanted - got)
    if name == "phase":
        apart = min(apart, 1.0 - apart)
    finest = max(10.0**-parameter.decimals / scale, parameter.step or 0.0)
    return apart <= max(finest, abs(wanted) * 10.0 ** (1 - parameter.digits)) * 1.001


def _in_order(
    changed: Sequence[ToneParameter], held: Tone | None, tone: Tone
) -> list[ToneParameter]:
    """What changes, in an order in which nothing between is beyond old and new.

    Where a frequency goes with less amplitude, the level falls first and rises last.
    """
    level: ToneParameter = "power" if tone.power is not None else "amplitude"
    others = [name for name in changed if name != level]
    if level not in changed:
        return others
    before = getattr(held, level, None)
    falls = before is not None and getattr(tone, level) < before
    return [level, *others] if falls else [*others, level]


def _on(on: bool) -> str:
    return "on" if on else "off"

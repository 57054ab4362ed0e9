"""The words of the DDS chips of Analog Devices, which differ in width only.

Frequency is ``sysclk * word / 2**bits`` (AD9910 data sheet, "DDS Core"), phase ``word / 2**bits``
of a turn. Amplitude is ``word / (2**bits - 1)``, so that the highest word is full scale, as in
ARTIQ's ``asf_to_amplitude``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import msgspec

from ..dds.capabilities import Span
from ..dds.types import Tone, ToneParameter

REMEMBERED = 256
"""Values whose words are kept: an update asks for those of what has not changed as well."""

ROUNDING = 2.0**-51
"""More than a float's product with a rounded factor is off, as a part of it: each of the two was
rounded by 2**-53 at most."""


class ToneWords(msgspec.Struct, frozen=True):
    """A tone in a chip's words."""

    frequency: int
    phase: int
    amplitude: int


class Scale:
    """How many steps of a word make one unit: ``above / below``, exactly."""

    def __init__(self, above: int, below: int) -> None:
        self._above = above
        self._below = below
        self._factor = above / below

    def nearest(self, value: float) -> int:
        """The integer nearest to `value` in steps, half to even."""
        steps = value * self._factor
        word = round(steps)
        if abs(steps - word) + abs(steps) * ROUNDING < 0.5:
            return word
        # Next to the middle between two words the roundings may matter: integers have none.
        above, below = value.as_integer_ratio()
        return rounded(above * self._above, below * self._below)


class WordFormat(msgspec.Struct, frozen=True, dict=True):
    """The scales of a chip's words: its system clock in Hz and its words' widths in bits.

    Words are rounded half to even, from the exact ratios that floats are. A quotient of integers
    is rounded once, and right.
    """

    sysclk: float
    frequency_bits: int
    phase_bits: int
    amplitude_bits: int
    wide_ramps: bool = True
    """Whether ramps are counted in as many bits as the tuning word has, of which the other words
    are the upper ones. Without, each parameter is counted in steps of its own word."""
    longest_step: int = (1 << 16) - 1
    """The most ticks that a step of a ramp can last."""

    @functools.cached_property
    def clock(self) -> tuple[int, int]:
        """The system clock in Hz, exactly: as a ratio."""
        return self.sysclk.as_integer_ratio()

    @functools.cached_property
    def full_scale(self) -> int:
        """The highest amplitude word."""
        return (1 << self.amplitude_bits) - 1

    @functools.cached_property
    def _per_hertz(self) -> Scale:
        clock, clock_below = self.clock
        return Scale(clock_below << self.frequency_bits, clock)

    @functools.cached_property
    def _per_amplitude(self) -> Scale:
        return Scale(self.full_scale, 1)

    @functools.cached_property
    def frequency_word(self) -> Callable[[float], int]:
        """The tuning word of a frequency in Hz; the last ones are remembered."""
        return functools.lru_cache(REMEMBERED)(self._per_hertz.nearest)

    def frequency(self, word: int, shift: int = 0) -> float:
        """The frequency in Hz of a tuning word, or of one with `shift` more bits."""
        clock, clock_below = self.clock
        return word * clock / (clock_below << self.frequency_bits + shift)

    def phase_word(self, phase: float) -> int:
        """The phase word of any number of turns; whole turns fall away."""
        turn = 1 << self.phase_bits
        # Exact: a remainder of floats is, and so is a product with a power of two.
        return round(math.fmod(phase, 1.0) * turn) % turn

    def phase(self, word: int, shift: int = 0) -> float:
        """The turns of a phase word, or of one with `shift` more bits."""
        return word / (1 << self.phase_bits + shift)

    @functools.cached_property
    def amplitude_word(self) -> Callable[[float], int]:
        """The amplitude word of a fraction of full scale; the last ones are remembered."""
        return functools.lru_cache(REMEMBERED)(self._per_amplitude.nearest)

    def amplitude(self, word: int, shift: int = 0) -> float:
        """The fraction of full scale of an amplitude word, or of one with `shift` more bits."""
        return word / (self.full_scale << shift)

    def spans(self, highest: float, lowest: float = 0.0) -> dict[ToneParameter, Span]:
        """What a tone of these words can have: frequencies from `lowest` to `highest` in Hz, all
        phases and amplitudes."""
        return {
            "frequency": Span(lowest, highest, self.frequency(1)),
            "phase": Span(0.0, 1.0, self.phase(1)),
            "amplitude": Span(0.0, 1.0, self.amplitude(1)),
        }

    def words(self, tone: Tone) -> ToneWords:
        """The words of a tone, which has all three; raises TypeError where it has not."""
        frequency, phase, amplitude = tone.frequency, tone.phase, tone.amplitude
        if frequency is None or phase is None or amplitude is None:
            raise TypeError(f"a chip's words are of whole tones, and not of {tone}")
        return ToneWords(
            self.frequency_word(frequency),
            self.phase_word(phase),
            self.amplitude_word(amplitude),
        )

    def tone(self, words: ToneWords) -> Tone:
        """The tone of its words."""
        return Tone(
            self.frequency(words.frequency),
            self.phase(words.phase),
            self.amplitude(words.amplitude),
        )

    def quantise(self, tone: Tone) -> Tone:
        """The tone that the chip makes of `tone`; what is None stays so."""
        frequency, phase, amplitude = tone.frequency, tone.phase, tone.amplitude
        return Tone(
            None if frequency is None else self.frequency(self.frequency_word(frequency)),
            None if phase is None else self.phase(self.phase_word(phase)),
            None if amplitude is None else self.amplitude(self.amplitude_word(amplitude)),
        )

    def bits(self, parameter: ToneParameter) -> int:
        """The width of one of the words; a chip has no power."""
        widths = {
            "frequency": self.frequency_bits,
            "phase": self.phase_bits,
            "amplitude": self.amplitude_bits,
        }
        return widths[parameter]

    def word(self, parameter: ToneParameter, value: float) -> int:
        """The word of one of a tone's parameters; a chip has no power."""
        convert: dict[str, Callable[[float], int]] = {
            "frequency": self.frequency_word,
            "phase": self.phase_word,
            "amplitude": self.amplitude_word,
        }
        return convert[parameter](value)

    def value(self, parameter: ToneParameter, word: int, shift: int = 0) -> float:
        """The value of one of a tone's parameters; the inverse of `word` where `shift` is 0."""
        convert: dict[str, Callable[[int, int], float]] = {
            "frequency": self.frequency,
            "phase": self.phase,
            "amplitude": self.amplitude,
        }
        return convert[parameter](word, shift)


def rounded(above: int, below: int) -> int:
    """The integer nearest to ``above / below``, half to even; `below` is positive."""
    floor, rest = divmod(above, below)
    return floor + (2 * rest > below or (2 * rest == below and floor & 1))

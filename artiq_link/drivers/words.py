"""The words of the DDS chips of Analog Devices, which differ in width only.

Frequency is
``sysclk * word / 2**bits`` (AD9910 data sheet, "DDS Core"), phase ``word / 2**bits`` of a turn.
Amplitude is ``word / (2**bits - 1)``, so that the highest word is full scale, as in ARTIQ's
``asf_to_amplitude``.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from ..dds.types import Tone, ToneParameter


class ToneWords(msgspec.Struct, frozen=True):
    """A tone in a chip's words."""

    frequency: int
    phase: int
    amplitude: int


class WordFormat(msgspec.Struct, frozen=True):
    """The scales of a chip's words: its system clock in Hz and its words' widths in bits.

    Words are rounded half to even, from the exact ratios that floats are: in integers, because
    `Fraction` takes ten times as long. A quotient of integers is rounded once, and right.
    """

    sysclk: float
    frequency_bits: int
    phase_bits: int
    amplitude_bits: int

    @property
    def full_scale(self) -> int:
        """The highest amplitude word."""
        return (1 << self.amplitude_bits) - 1

    def frequency_word(self, frequency: float) -> int:
        """The tuning word of a frequency in Hz."""
        above, below = frequency.as_integer_ratio()
        clock, clock_below = self.sysclk.as_integer_ratio()
        return rounded(above * clock_below << self.frequency_bits, below * clock)

    def frequency(self, word: int | Fraction) -> float:
        """The frequency in Hz of a tuning word."""
        clock, clock_below = self.sysclk.as_integer_ratio()
        return word.numerator * clock / (word.denominator * clock_below << self.frequency_bits)

    def phase_word(self, phase: float) -> int:
        """The phase word of any number of turns; whole turns fall away."""
        above, below = phase.as_integer_ratio()
        return rounded(above << self.phase_bits, below) % (1 << self.phase_bits)

    def phase(self, word: int | Fraction) -> float:
        """The turns of a phase word."""
        return word.numerator / (word.denominator << self.phase_bits)

    def amplitude_word(self, amplitude: float) -> int:
        """The amplitude word of a fraction of full scale."""
        above, below = amplitude.as_integer_ratio()
        return rounded(above * self.full_scale, below)

    def amplitude(self, word: int | Fraction) -> float:
        """The fraction of full scale of an amplitude word."""
        return word.numerator / (word.denominator * self.full_scale)

    def words(self, tone: Tone) -> ToneWords:
        """The words of a tone."""
        return ToneWords(
            self.frequency_word(tone.frequency),
            self.phase_word(tone.phase),
            self.amplitude_word(tone.amplitude),
        )

    def tone(self, words: ToneWords) -> Tone:
        """The tone of its words."""
        return Tone(
            self.frequency(words.frequency),
            self.phase(words.phase),
            self.amplitude(words.amplitude),
        )

    def quantise(self, tone: Tone) -> Tone:
        """The tone that the chip makes of `tone`."""
        return self.tone(self.words(tone))

    def word(self, parameter: ToneParameter, value: float) -> int:
        """The word of one of a tone's parameters."""
        convert = {
            "frequency": self.frequency_word,
            "phase": self.phase_word,
            "amplitude": self.amplitude_word,
        }
        return convert[parameter](value)

    def value(self, parameter: ToneParameter, word: int | Fraction) -> float:
        """The value of one of a tone's parameters; the inverse of `word`."""
        convert = {
            "frequency": self.frequency,
            "phase": self.phase,
            "amplitude": self.amplitude,
        }
        return convert[parameter](word)


def rounded(above: int, below: int) -> int:
    """The integer nearest to ``above / below``, half to even; `below` is positive."""
    floor, rest = divmod(above, below)
    return floor + (2 * rest > below or (2 * rest == below and floor & 1))

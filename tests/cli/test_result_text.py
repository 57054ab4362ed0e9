"""Results are written for people, with the units that are declared."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
import pytest

from artiq_link.cli.result_text import result_text
from artiq_link.instrument.schemas import describe_type

Frequency = Annotated[float, msgspec.Meta(extra={"unit": "Hz"})]
Duration = Annotated[float, msgspec.Meta(extra={"unit": "s"})]


class Limits(TypedDict):
    """What may be asked for."""

    highest: Frequency


class Tone(TypedDict):
    """A tone."""

    frequency: Frequency | None
    dwells: list[Duration]
    limits: Limits


TONE = {"frequency": 80e6, "dwells": [25e-6, 1.0], "limits": {"highest": 4e8}}


@pytest.mark.parametrize(
    ("value", "declared", "text"),
    [
        (80000000.0745058, Frequency, "80.0000000745058 MHz"),
        (80000000.0745058, float, "80000000.0745058"),
        (True, Frequency, "True"),
        ("a text\nof two lines", str, "a text\nof two lines"),
        ([], list[Frequency], "[]"),
        ([1e3, 2e6], list[Frequency], "[1 kHz, 2 MHz]"),
        ({"a": 1e3}, dict[str, Frequency], "a: 1 kHz"),
        (
            TONE,
            Tone,
            "frequency: 80 MHz\ndwells: [25 us, 1 s]\nlimits:\n  highest: 400 MHz",
        ),
        (TONE | {"frequency": None}, Tone, "frequency: None\n..."),
        (
            [{"frequency": 1.0, "dwells": []}, {"frequency": 2.0, "dwells": []}],
            list[Tone],
            "- frequency: 1 Hz\n  dwells: []\n- frequency: 2 Hz\n  dwells: []",
        ),
        ({"a": {}, "b": "c", "d": ["e"]}, Any, "a: {}\nb: c\nd: ['e']"),
        ([[1, 2], [3]], Any, "- [1, 2]\n- [3]"),
        ([{"a": {"b": 1}}], Any, "- a:\n    b: 1"),
        ({"undeclared": 1.0}, Tone, "undeclared: 1.0"),
        ("text", Frequency, "text"),
        ({"a": np.array([1.0, 2.5])}, Any, "a: [1.  2.5]"),
    ],
)
def test_a_result_is_written_with_its_units(value: Any, declared: Any, text: str) -> None:
    start, dots, _ = text.partition("...")
    written = result_text(value, describe_type(declared))
    assert (written[: len(start)] if dots else written) == start


def test_a_result_of_which_nothing_is_declared() -> None:
    assert result_text({"frequency": 80e6}, {}) == "frequency: 80000000.0"

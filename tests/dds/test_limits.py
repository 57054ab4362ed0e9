"""What a DDS refuses of numbers, and how it says so."""

from __future__ import annotations

import math

import pytest

from artiq_link.dds.limits import check_range
from artiq_link.errors import OutOfRange


@pytest.mark.parametrize("value", [1.0, 1.5, 2.0])
def test_limits_belong_to_the_range(value):
    check_range("f", value, 1.0, 2.0, "Hz", whose="channel's")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.5, "f: 0.5 Hz is below the channel's limit of 1 Hz"),
        (3.0, "f: 3 Hz is above the channel's limit of 2 Hz"),
        (math.nan, "f: nan is not a finite number"),
        (math.inf, "f: inf is not a finite number"),
    ],
)
def test_what_is_outside_is_refused(value, sentence):
    with pytest.raises(OutOfRange) as refusal:
        check_range("f", value, 1.0, 2.0, "Hz", whose="channel's")
    assert str(refusal.value) == sentence
    assert refusal.value.where == "f"

"""Names of instruments: those that work, and what is said of the others."""

from __future__ import annotations

import pytest

from artiq_link.scaffold.names import LONGEST_NAME, check_name, class_name

FILES = ["import os\n\n\nclass Reader:\n    size = 0  # of paper\n"]

WRONG = (
    "cannot be an instrument's name: it begins with a small letter, and has small letters, digits "
    "and single underscores, such as"
)
TAKEN = "means something else in an instrument's files: choose another name, such as"


@pytest.mark.parametrize(
    "name", ["shutter", "beam_shutter", "x", "laser2", "a_1", "tester", "a" * 40]
)
def test_a_name_that_can_be_one(name: str) -> None:
    check_name(name, FILES)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Shutter", f"'Shutter' {WRONG} 'shutter'"),
        ("BeamShutter", f"'BeamShutter' {WRONG} 'beam_shutter'"),
        ("beam-shutter", f"'beam-shutter' {WRONG} 'beam_shutter'"),
        ("beam shutter.py", f"'beam shutter.py' {WRONG} 'beam_shutter_py'"),
        ("../shutter", f"'../shutter' {WRONG} 'shutter'"),
        ("_shutter_", f"'_shutter_' {WRONG} 'shutter'"),
        ("beam__shutter", f"'beam__shutter' {WRONG} 'beam_shutter'"),
        ("Öfen", f"'Öfen' {WRONG} 'ofen'"),
        ("4k", f"'4k' {WRONG} 'beam_shutter'"),
        ("", f"'' {WRONG} 'beam_shutter'"),
        ("Link", f"'Link' {WRONG} 'my_link'"),
        ("link", f"'link' {TAKEN} 'my_link'"),
        ("class", f"'class' {TAKEN} 'my_class'"),
        ("none", f"'none' {TAKEN} 'my_none'"),
        ("print", f"'print' {TAKEN} 'my_print'"),
        ("size", f"'size' {TAKEN} 'my_size'"),
        ("reader", f"'reader' {TAKEN} 'my_reader'"),
        ("test", f"'test' {TAKEN} 'my_test'"),
        ("test_stand", f"'test_stand' {TAKEN} 'my_test_stand'"),
        ("a" * 41, f"an instrument's name has at most {LONGEST_NAME} characters, not 41"),
    ],
)
def test_a_name_that_cannot_be_one(name: str, sentence: str) -> None:
    """The one that is suggested can be."""
    with pytest.raises(ValueError, match="name") as failure:
        check_name(name, FILES)
    assert str(failure.value) == sentence
    if sentence.endswith("'"):
        check_name(sentence.split("'")[-2], FILES)


def test_the_name_of_a_class() -> None:
    assert class_name("beam_shutter_2") == "BeamShutter2"

"""The tree of errors: codes as in the protocol, and names that are nearly right."""

from __future__ import annotations

import os

import pytest

from artiq_link import errors
from artiq_link.errors import ExchangeError, UnknownCommand

CODES = {
    "Malformed": "malformed",
    "TooLarge": "too_large",
    "UnknownCommand": "unknown_command",
    "InvalidParameter": "invalid_parameter",
    "OutOfRange": "out_of_range",
    "Unauthorized": "unauthorized",
    "Leased": "leased",
    "Stale": "stale",
    "Restarted": "restarted",
    "Expired": "expired",
    "Busy": "busy",
    "ShuttingDown": "shutting_down",
    "TimedOut": "timeout",
    "Aborted": "aborted",
    "UnknownOutcome": "unknown_outcome",
    "InstrumentError": "instrument_error",
    "InternalError": "internal_error",
}


def test_every_class_has_its_code() -> None:
    assert {kind.__name__: kind.code for kind in ExchangeError.__subclasses__()} == CODES


def test_the_docstring_draws_the_tree() -> None:
    for name, code in CODES.items():
        assert any(line.split()[-2:] == [name, code] for line in errors.__doc__.splitlines()), name


def test_a_sentence_can_be_sent_whatever_file_it_names() -> None:
    """Names of files that are not UTF-8 have half surrogates in Python."""
    error = errors.InstrumentError("cannot read " + os.fsdecode(b"\xfc.dat"))
    assert str(error) == r"cannot read \udcfc.dat"


def test_a_drivers_own_exception_may_stand_in_the_place_of_the_sentence() -> None:
    assert str(errors.InstrumentError(ValueError("no sweep is armed"))) == "no sweep is armed"


def test_a_place_can_be_sent_whatever_it_is_called() -> None:
    assert errors.OutOfRange("too long", os.fsdecode(b"\xfc.dat")).where == r"\udcfc.dat"


@pytest.mark.parametrize("name", CODES)
def test_an_error_holds_its_sentence_and_where(name: str) -> None:
    error = getattr(errors, name)("frequency: too high", where="frequency")
    assert (str(error), error.where) == ("frequency: too high", "frequency")
    assert getattr(errors, name)("no place").where is None


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        (
            "set_freqency",
            ["set_phase", "set_frequency"],
            "there is no command 'set_freqency'; did you mean 'set_frequency'?",
        ),
        ("quux", ["set_phase", "set_frequency"], "there is no command 'quux'"),
        ("", [], "there is no command ''"),
        ("x" * 1000, ["set"], "there is no command '" + "x" * 59),
    ],
)
def test_an_unknown_command_names_the_nearest(name: str, known: list[str], sentence: str) -> None:
    error = UnknownCommand.nearest(name, known)
    assert (str(error), error.where) == (sentence, None)

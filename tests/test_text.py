"""How numbers, names, kinds of values and failures are written for people."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from artiq_link.text import (
    LONGEST_NAME,
    LONGEST_SHOWN,
    clock,
    escaped,
    json_kind,
    nearest_hint,
    sentence_of,
    shown,
    without_folders,
    writable,
    written,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (5e8, "5e8"),
        (80000000.25, "8.000000025e7"),
        (0.25, "0.25"),
        (-1.0, "-1"),
        (-4e-9, "-4e-9"),
        (9999, "9999"),
        (10000, "1e4"),
    ],
)
def test_numbers_are_written_as_persons_do(value: float, text: str) -> None:
    assert written(value) == text
    assert float(text) == value


def test_a_number_that_nobody_could_read_is_told_by_its_size() -> None:
    """Python itself writes none of more than 4300 digits."""
    assert written(10**5000) == "(of 16610 bits)"


def test_a_moment_of_another_day_has_its_date() -> None:
    now = time.time()
    assert re.fullmatch(r"(....-..-.. )?..:..:..", clock(now))
    for days in (-2, 2):
        moment = now + days * 86400
        assert clock(moment) == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("set_freqency", "; did you mean 'set_frequency'?"),
        ("quux", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_offered(name: str, hint: str) -> None:
    assert nearest_hint(name, ["set_phase", "set_frequency"]) == hint


def test_only_the_beginning_of_a_name_is_compared() -> None:
    """A name as long as a request may be must not cost memory and time of its length."""
    name = "set_frequency".ljust(LONGEST_NAME, "_")
    assert nearest_hint(name + "x" * 1000, [name]) == f"; did you mean {name!r}?"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, "an object"),
        ([], "an array"),
        ("", "a string"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        (None, "null"),
        (1j, "complex"),
    ],
)
def test_kinds_of_values_are_named(value: Any, kind: str) -> None:
    assert json_kind(value) == kind


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("text"), "text"),
        (RuntimeError(""), "RuntimeError"),
        (KeyError(), "KeyError"),
        (KeyError("a"), "KeyError: 'a'"),
        (SystemExit(1), "SystemExit: 1"),
    ],
)
def test_an_exceptions_sentence(error: BaseException, sentence: str) -> None:
    assert sentence_of(error) == sentence


def test_somebodys_text_is_shown_and_not_obeyed() -> None:
    """New lines, escape sequences, directional marks and half characters stand as escapes."""
    assert shown("µ = 1 °C") == "µ = 1 °C"
    assert shown("a\nERROR:root:b\r\t\x1b[2J\x9b\x7f") == r"a\nERROR:root:b\r\t\x1b[2J\x9b\x7f"
    assert shown("\u202eab\u2028\ud800\U0001f4a1") == "\\u202eab\\u2028\\ud800\U0001f4a1"
    assert escaped("two\nlines\t\n", but="\n") == "two\nlines\\t\n"


def test_what_no_dialect_can_carry_is_written_as_escapes() -> None:
    assert writable("80 MHz, µs") == "80 MHz, µs"
    assert writable("t\udcffble.csv") == r"t\udcffble.csv"
    assert sentence_of(OSError("no file t\udcffble.csv")) == r"no file t\udcffble.csv"


def test_somebodys_text_is_cut_and_what_is_left_out_counted() -> None:
    assert shown("x" * LONGEST_SHOWN) == "x" * LONGEST_SHOWN
    assert shown("x" * (LONGEST_SHOWN + 3)) == "x" * LONGEST_SHOWN + "... (3 more characters)"
    assert shown("abcdef", 4) == "abcd... (2 more characters)"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[Errno 2] No such file: '/home/lab/table.csv'", "[Errno 2] No such file: 'table.csv'"),
        ("cannot import x from y (/usr/lib/python3/y/__init__.py)",
         "cannot import x from y (__init__.py)"),
        (r"C:\lab\oven\table.csv is locked", "table.csv is locked"),
        ("D:/lab/table.csv is locked", "table.csv is locked"),
        (r"\\server\share\table.csv is locked", "table.csv is locked"),
        ("~/lab/table.csv", "table.csv"),
        ("could not open port /dev/ttyUSB0: no such device",
         "could not open port ttyUSB0: no such device"),
        ("two: /a/b and /c/d", "two: b and d"),
        ("80 MHz/s, 1/2, and/or, a / b", "80 MHz/s, 1/2, and/or, a / b"),
        ("see http://lab-pc:80/a/b", "see http://lab-pc:80/a/b"),
        ("/", "/"),
    ],
)  # fmt: skip
def test_paths_lose_their_folders(text: str, left: str) -> None:
    """What is not a path stays as it is."""
    assert without_folders(text) == left

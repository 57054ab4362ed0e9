"""PYON v1: what sipyco and `eval` read and write is read and written, and nothing runs."""

from __future__ import annotations

import importlib
import math
from collections import OrderedDict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from artiq_link.errors import Malformed
from artiq_link.wire import pyon_v1
from artiq_link.wire.pyon_v1 import V1
from tests.pyon_values import changed, form, lines, nested, values


def as_it_holds(value: Any) -> Any:
    if isinstance(value, set) and not value:
        return {}
    if type(value) is complex and not math.isfinite(value.imag):
        return np.complex128(value)
    return value


@given(values)
def test_every_value_is_held(value: Any) -> None:
    line = pyon_v1.encode(value)

    assert line.isascii()
    assert "\n" not in line
    held = form(changed(value, as_it_holds))
    assert form(V1.decode(line)) == held
    assert form(V1.decode(bytearray(line.encode() + b"\n"))) == held


def test_the_oldest_sipyco_writes_the_same_values_in_other_letters() -> None:
    """1.0 sends UTF-8, base64 in single quotes, and fewer method names."""
    for old, new in zip(lines("1.0"), lines("1.9"), strict=True):
        if not isinstance(V1.decode(old), set):
            assert form(V1.decode(old)) == form(V1.decode(new))
    assert V1.decode(lines("1.0")[0]) == {
        *("terminate", "ping", "fault", "echo"),
        *("set_frequency", "load_waveform", "waveform"),
    }


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "null"),
        (True, "true"),
        (-3, "-3"),
        (1e300, "1e+300"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (2 + 3j, "(2+3j)"),
        (complex("-0-1j"), "(-0-1j)"),
        (1j, "1j"),
        (complex("nan-1e-05j"), "(nan-1e-05j)"),
        ('µ "q"\n\0', r'"\u00b5 \"q\"\n\u0000"'),
        ("\U0001f600", r'"\U0001f600"'),
        (b"\0\xff", r"b'\x00\xff'"),
        (b"it's", 'b"it\'s"'),
        ((), "()"),
        ((1,), "(1, )"),
        ((1, 2), "(1, 2)"),
        ([1, [2]], "[1, [2]]"),
        ({3}, "{3}"),
        ({}, "{}"),
        ({"a": 1}, '{"a": 1}'),
        ({(1,): "x"}, '{(1, ): "x"}'),
        ({"__jsonclass__": 1}, '{"__jsonclass__": 1}'),
        (slice(1, 2, None), "slice(1, 2, None)"),
        (Fraction(-1, 3), "Fraction(-1, 3)"),
        (OrderedDict(b=1), 'OrderedDict([("b", 1)])'),
        (np.array([1, 2], "<i2"), 'nparray((2, ), "<i2", b"AQACAA==")'),
        (np.int32(5), 'npscalar("<i4", b"BQAAAA==")'),
    ],
)
def test_each_value_has_its_form(value: Any, line: str) -> None:
    assert pyon_v1.encode(value) == line
    assert form(V1.decode(line)) == form(value)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (r"slice('a\'b', " r""""it's", b'\x00\'')""", slice("a'b", "it's", b"\x00'")),
        ("slice(True, False, None)", slice(True, False, None)),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"µ\t\0\U0001f600"', "µ\t\0\U0001f600"),
        ("(1+infj)", complex(1, math.inf)),
        ("(-inf-nanj)", complex(-math.inf, math.nan)),
        ("-1j", complex(0.0, -1.0)),
        ("1e999", math.inf),
        (" [1,\t2 , ] \r\n", [1, 2]),
        ("(1)", 1),
        ("{1: 2, 1: 3}", {1: 3}),
        ("{'a', 'a', }", {"a"}),
        ("nparray((0, 2), \"<f8\", b'')", np.zeros((0, 2))),
    ],
)
def test_it_reads_what_else_sipyco_and_repr_write(line: str, value: Any) -> None:
    assert form(V1.decode(line)) == form(value)


def test_set_without_members_becomes_a_dictionary() -> None:
    assert pyon_v1.encode(set()) == "{}"
    assert V1.decode("{}") == {}


def test_arrays_that_were_read_can_be_written_to() -> None:
    array = V1.decode('nparray((2, ), "<i2", b"AQACAA==")')
    array[0] = 7
    assert array.tolist() == [7, 2]


# --- limits and bombs


BOMBS = [
    ("", "expected a value, got the end (char 0)"),
    ("[1, ", "expected a value, got the end (char 4)"),
    ("[1 2]", "expected ',' or ']', got '2]' (char 3)"),
    ("1 2", "expected the end, got '2' (char 2)"),
    ("{1: 2, 3}", "expected ':' after a key, got '}' (char 8)"),
    ("{1, 2: 3}", "expected ',' or '}', got ': 3}' (char 5)"),
    ("{**a}", "expected a value, got '**a}' (char 1)"),
    ("__import__('os')", "PYON has no name __import__ (char 0)"),
    ("[eval('1')]", "PYON has no name eval (char 1)"),
    ("null.__class__", "PYON has no name null.__class__ (char 0)"),
    ("().__class__.__bases__[0]", "expected the end, got '.__class__.__bases__' (char 2)"),
    ("''.join", "expected the end, got '.join' (char 2)"),
    ("1 .real", "expected the end, got '.real' (char 2)"),
    ("1.real", "expected a value, got '1.real' (char 0)"),
    ("slice.__init__(1)", "PYON has no name slice.__init__ (char 0)"),
    ("slice", "expected '(' after slice, got the end (char 5)"),
    ("slice(1)", "slice: expected start, stop and step (char 0)"),
    ("slice(start=1)", "PYON has no name start (char 6)"),
    ("slice(*[1, 2, 3])", "expected a value, got '*[1, 2, 3])' (char 6)"),
    ("(lambda: 0)()", "PYON has no name lambda (char 1)"),
    ("f'{1}'", "PYON has no name f (char 0)"),
    ("rb'x'", "PYON has no name rb (char 0)"),
    ("[x for x in [1]]", "PYON has no name x (char 1)"),
    ("[1 for x in [1]]", "expected ',' or ']', got 'for x in [1]]' (char 3)"),
    ('"a"*10**9', "expected the end, got '*10**9' (char 3)"),
    ("10**10**10", "expected the end, got '**10**10' (char 2)"),
    ("[0]*10**9", "expected the end, got '*10**9' (char 3)"),
    ("1+1", "expected the end, got '+1' (char 1)"),
    ("+1", "expected a value, got '+1' (char 0)"),
    ("--1", "expected a value, got '--1' (char 0)"),
    ("007", "expected a value, got '007' (char 0)"),
    ("0x10", "expected a value, got '0x10' (char 0)"),
    ("1_000", "expected a value, got '1_000' (char 0)"),
    ("\u0661", "expected a value, got '\u0661' (char 0)"),  # a digit, but Arabic
    ("1 if 1 else 2", "expected the end, got 'if 1 else 2' (char 2)"),
    ("1 # 2", "expected the end, got '# 2' (char 2)"),
    ("[a:=1]", "PYON has no name a (char 1)"),
    ("1" * 5000, "an integer of 5000 digits; at most 640 are read (char 0)"),
    ("[-" + "1" * 641 + "]", "an integer of 641 digits; at most 640 are read (char 1)"),
    (nested("[", "]", 10_000), "values are nested deeper than 64 levels (char 65)"),
    (nested("(", ")", 10_000), "values are nested deeper than 64 levels (char 65)"),
    ("{1:" * 10_000, "values are nested deeper than 64 levels (char 193)"),
    ("slice(" * 10_000, "values are nested deeper than 64 levels (char 390)"),
    ('"abc', "a string without end, or with an escape that PYON lacks (char 0)"),
    ('[1, b"abc]', "a string without end, or with an escape that PYON lacks (char 4)"),
    (r'"\N{DIGIT ONE}"', "a string without end, or with an escape that PYON lacks (char 0)"),
    (r"b'\u0041'", "a string without end, or with an escape that PYON lacks (char 0)"),
    ("b'µ'", "a string without end, or with an escape that PYON lacks (char 0)"),
    (r'["\ud800"]', "an escape stands for no character (char 1)"),
    (r'"\U00110000"', "an escape stands for no character (char 0)"),
    ('"a" "b"', "expected the end, got '\"b\"' (char 4)"),
    ("{[1]}", "keys and members of a set must be numbers, strings, bytes, or tuples of them"
     " (char 0)"),
    ("[{([1], ): 2}]", "keys and members of a set must be numbers, strings, bytes, or tuples of"
     " them (char 1)"),
    ("Fraction(1, 0)", "Fraction: expected two integers, the second not 0 (char 0)"),
    ('Fraction("1e1000000000")', "Fraction: expected two integers, the second not 0 (char 0)"),
    ("Fraction(1.5, 1)", "Fraction: expected two integers, the second not 0 (char 0)"),
    ("OrderedDict([1])", "OrderedDict: expected one list of pairs (char 0)"),
    ("OrderedDict([(1, 2, 3)])", "OrderedDict: expected one list of pairs (char 0)"),
    ("OrderedDict()", "OrderedDict: expected one list of pairs (char 0)"),
    ('nparray((1, ), "|O", b"AAAAAAAAAAA=")',
     "nparray: dtype '|O' is not one of numbers (char 0)"),
    ('nparray((1, ), "O", b"gASVAA==")', "nparray: dtype 'O' is not one of numbers (char 0)"),
    ('nparray((1, ), "<f8", b"AA")', "nparray: the bytes are not base64 (char 0)"),
    ('nparray((2, ), "<f8", b"AAAAAAAAAAA=")',
     "nparray: 8 bytes do not fill shape [2] of <f8 (char 0)"),
    ('nparray((1000000000000, ), "<f8", b"")',
     "nparray: 0 bytes do not fill shape [1000000000000] of <f8 (char 0)"),
    ('nparray((0, 1' + "0" * 30 + '), "<f8", b"")',
     "nparray: no array can have this shape (char 0)"),
    ('nparray("<f8", b"")', "nparray: expected shape, dtype and base64 (char 0)"),
    ('npscalar("|O", b"AAAAAAAAAAA=")', "nparray: dtype '|O' is not one of numbers (char 0)"),
    ("npscalar()", "npscalar: expected dtype and base64 (char 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), BOMBS, ids=[line[:30] for line, _ in BOMBS])
def test_it_names_what_is_wrong_and_runs_nothing(line: str, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        V1.decode(line)
    assert str(caught.value) == f"not PYON v1: {sentence}"


def test_a_line_of_many_megabytes_takes_time_in_proportion() -> None:
    """Each of these would take hours, or the memory of the machine, if read a second time."""
    size, escapes = 1 << 20, pyon_v1.MAX_ESCAPES
    for line in [
        " " * size,
        "1" * size,
        "1." + "1" * size + "x",
        "a" * size,
        '"' + "\\n" * escapes,
        "'" + "a\\n" * (escapes - 1) + "\\q'",
        "(1" * (size // 8),
        "b'" + "\\x00" * escapes,
    ]:
        with pytest.raises(Malformed):
            V1.decode(line)


def test_a_line_of_countless_escapes_is_refused_unread() -> None:
    text = "\0" * pyon_v1.MAX_ESCAPES

    assert V1.decode(pyon_v1.encode(text)) == text
    with pytest.raises(Malformed, match="not PYON v1: 262145 escapes; at most 262144 are read"):
        V1.decode(pyon_v1.encode(text + "\n"))


@pytest.mark.parametrize("literal", [f"1.{'1' * 40}j", f"(1-1.{'1' * 40}j)"])
def test_complex_numbers_of_many_digits_are_refused(literal: str) -> None:
    with pytest.raises(Malformed, match="a float of 42 characters; at most 40 are read"):
        V1.decode(literal)


# --- sipyco itself


@pytest.fixture(scope="module")
def sipyco() -> Any:
    pytest.importorskip("sipyco")
    try:
        return importlib.import_module("sipyco.pyon_v1")
    except ModuleNotFoundError:  # up to 1.9, where there is no other
        return importlib.import_module("sipyco.pyon")


def without_signs_of_zero(value: Any) -> Any:
    """eval("(-0-0j)") forgets them, and so does sipyco."""
    if type(value) is complex:
        return complex(value.real + 0.0, value.imag + 0.0)
    return value


def is_known_to_sipyco(value: Any) -> bool:
    """It has no form for `numpy.bool_`."""
    return 'npscalar("|b1"' not in pyon_v1.encode(value)


@given(value=values)
def test_sipyco_reads_ours(sipyco: Any, value: Any) -> None:
    read = sipyco.decode(pyon_v1.encode(value))

    expected = changed(changed(value, as_it_holds), without_signs_of_zero)
    assert form(changed(read, without_signs_of_zero)) == form(expected)


@given(value=values.filter(is_known_to_sipyco))
def test_we_read_sipycos(sipyco: Any, value: Any) -> None:
    read = V1.decode(sipyco.encode(value))

    expected = changed(value, lambda part: {} if isinstance(part, set) and not part else part)
    assert form(read) == form(expected)

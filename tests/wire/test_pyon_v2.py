"""PYON v2: what sipyco reads and writes is written and read, and what is wrong is named."""

from __future__ import annotations

import base64
import importlib
import json
import math
from collections import OrderedDict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from artiq_link.errors import Malformed
from artiq_link.values import CLASS_KEY
from artiq_link.wire import pyon_v2
from artiq_link.wire.pyon_v2 import V2
from tests.pyon_values import changed, form, nested, values


def as_it_holds(value: Any) -> Any:
    return float(value) if isinstance(value, np.float64) else value


@given(values)
def test_every_value_is_held(value: Any) -> None:
    line = pyon_v2.encode(value)

    assert line.isascii()
    assert "\n" not in line
    held = form(changed(value, as_it_holds))
    assert form(V2.decode(line)) == held
    assert form(V2.decode(bytearray(line.encode() + b"\n"))) == held


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "null"),
        (True, "true"),
        (-3, "-3"),
        (1e300, "1e+300"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (2 + 3j, '{"__jsonclass__":["complex",[2.0,3.0]]}'),
        (complex("-0-1j"), '{"__jsonclass__":["complex",[-0.0,-1.0]]}'),
        (1j, '{"__jsonclass__":["complex",[0.0,1.0]]}'),
        (complex("nan-1e-05j"), '{"__jsonclass__":["complex",[NaN,-1e-05]]}'),
        ('µ "q"\n\0', r'"\u00b5 \"q\"\n\u0000"'),
        ("\U0001f600", r'"\ud83d\ude00"'),
        (b"\0\xff", '{"__jsonclass__":["bytes",["AP8="]]}'),
        (b"it's", '{"__jsonclass__":["bytes",["aXQncw=="]]}'),
        ((), '{"__jsonclass__":["tuple",[[]]]}'),
        ((1,), '{"__jsonclass__":["tuple",[[1]]]}'),
        ((1, 2), '{"__jsonclass__":["tuple",[[1,2]]]}'),
        ([1, [2]], "[1,[2]]"),
        ({3}, '{"__jsonclass__":["set",[[3]]]}'),
        ({}, "{}"),
        ({"a": 1}, '{"a":1}'),
        ({(1,): "x"}, '{"__jsonclass__":["dict",[[[{"__jsonclass__":["tuple",[[1]]]},"x"]]]]}'),
        ({"__jsonclass__": 1}, '{"__jsonclass__":["dict",[[["__jsonclass__",1]]]]}'),
        (slice(1, 2, None), '{"__jsonclass__":["slice",[1,2,null]]}'),
        (Fraction(-1, 3), '{"__jsonclass__":["Fraction",[-1,3]]}'),
        (OrderedDict(b=1), '{"__jsonclass__":["OrderedDict",[[["b",1]]]]}'),
        (np.array([1, 2], "<i2"), '{"__jsonclass__":["nparray",[[2],"<i2","AQACAA=="]]}'),
        (np.int32(5), '{"__jsonclass__":["npscalar",["<i4","BQAAAA=="]]}'),
    ],
)
def test_each_value_has_its_form(value: Any, line: str) -> None:
    assert pyon_v2.encode(value) == line
    assert form(V2.decode(line)) == form(value)


# --- limits and bombs


def of_class(name: str, *arguments: Any) -> str:
    return json.dumps({"__jsonclass__": [name, arguments]})


BOMBS = [
    (nested("[", "]", 10_000), "values are nested deeper than 64 levels"),
    (nested("[", "]", 66), "values are nested deeper than 64 levels"),
    ('{"a":' * 66 + "1" + "}" * 66, "values are nested deeper than 64 levels"),
    ("1" * 5000, "an integer of 5000 digits; at most 640 are read"),
    (r'["\ud800"]', "an escape stands for no character"),
    (r'{"\uDC00": 1}', "an escape stands for no character"),
    (of_class("os.system", "true"), "PYON has no class os.system"),
    ('{"__jsonclass__": 5}',
     '__jsonclass__: expected {"__jsonclass__": [name, [arguments]]} alone'),
    ('{"__jsonclass__": ["set", [[]]], "a": 1}',
     '__jsonclass__: expected {"__jsonclass__": [name, [arguments]]} alone'),
    (of_class("tuple", 1), "tuple: expected one list"),
    (of_class("set"), "set: expected one list"),
    (of_class("set", [[1]]),
     "keys and members of a set must be numbers, strings, bytes, or tuples of them"),
    (of_class("dict", [1]), "dict: expected one list of pairs"),
    (of_class("complex", "1"), "complex: expected two floats"),
    (of_class("complex", "1", 2), "complex: expected two floats"),
    (of_class("complex", 10**600, 2), "complex: expected two floats"),
    (of_class("bytes", "A"), "bytes: expected base64"),
    (of_class("bytes", "AAAA!"), "bytes: expected base64"),
    (of_class("bytes", "µ"), "bytes: expected base64"),
    (of_class("bytes", 1), "bytes: expected base64"),
    (of_class("slice", 1), "slice: expected start, stop and step"),
    (of_class("Fraction", 1, 0), "Fraction: expected two integers, the second not 0"),
    (of_class("Fraction", "1e1000000000"), "Fraction: expected two integers, the second not 0"),
    (of_class("OrderedDict", {"a": 1}), "OrderedDict: expected one list of pairs"),
    (of_class("nparray", [1], "|O", "AAAAAAAAAAA="),
     "nparray: dtype '|O' is not one of numbers"),
    (of_class("nparray", [0, 10**30], "<f8", ""),
     "nparray: no array can have this shape"),
    (of_class("npscalar", "<f8"), "npscalar: expected dtype and base64"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "sentence"), BOMBS, ids=[line[:40] for line, _ in BOMBS])
def test_it_names_what_is_wrong(line: str, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        V2.decode(line)
    assert str(caught.value) == f"not PYON v2: {sentence}"


def test_it_says_where_it_is_not_json() -> None:
    with pytest.raises(Malformed) as caught:
        V2.decode('{"a": __import__("os")}')
    assert str(caught.value) == "not PYON v2: Expecting value (char 6)"


# --- sipyco itself


@pytest.fixture(scope="module")
def sipyco() -> Any:
    pytest.importorskip("sipyco.pyon_v1", reason="this sipyco knows PYON v1 only")
    return importlib.import_module("sipyco.pyon")


def without_order(value: Any) -> Any:
    """sipyco writes an OrderedDict in PYON v2 as the dictionary that it is."""
    return dict(value) if isinstance(value, OrderedDict) else value


@given(value=values)
def test_sipyco_reads_ours(sipyco: Any, value: Any) -> None:
    read = sipyco.decode(pyon_v2.encode(value))

    assert form(read) == form(changed(value, as_it_holds))


@given(value=values)
def test_we_read_sipycos(sipyco: Any, value: Any) -> None:
    read = V2.decode(sipyco.encode(value))

    assert form(read) == form(changed(changed(value, as_it_holds), without_order))


def test_long_base64_is_written_where_it_belongs() -> None:
    """It does not go through the JSON encoder, which holds others up as long as it takes."""
    long, other = np.arange(20_000.0), np.arange(30_000, dtype="<i4")
    message = {"a": [long, np.arange(2.0), (other, "\n")], "b": long, "c": other.tobytes()}
    written = json.loads(V2.encode(message))
    arrays = [written["a"][0], written["a"][2][CLASS_KEY][1][0][0], written["b"]]
    for array, expected in zip(arrays, (long, other, long), strict=True):
        assert base64.b64decode(array[CLASS_KEY][1][2]) == expected.tobytes()
    assert written["a"][2][CLASS_KEY][1][0][1] == "\n"
    assert base64.b64decode(written["c"][CLASS_KEY][1][0]) == message["c"]

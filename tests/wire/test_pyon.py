"""PYON, both versions: what sipyco writes is read, it reads what is written, and nothing runs."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import math
import uuid
from collections import OrderedDict, namedtuple
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import Malformed
from artiq_link.wire import pyon
from tests.peers import TRANSCRIPTS

BOTH = pytest.mark.parametrize("version", [pyon.V1, pyon.V2], ids=["v1", "v2"])


def form(value: Any) -> Any:
    """The types and contents of a value, so that == tells 1 from True and NaN equals NaN."""
    kind = type(value).__name__
    match value:
        case np.ndarray() | np.generic():
            return kind, value.dtype.str, value.shape, value.tobytes()
        case list() | tuple():
            return kind, [form(item) for item in value]
        case set():
            return kind, sorted((form(item) for item in value), key=repr)
        case dict():
            return kind, [(form(key), form(item)) for key, item in value.items()]
        case slice():
            return kind, form([value.start, value.stop, value.step])
    return kind, repr(value)


# --- values


DTYPES = ["|b1", "|i1", "<i4", ">i2", "<u8", "<f2", "<f4", "<f8", ">f8", "<c8", "<c16"]


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = math.prod(shape) * kind.itemsize
    content = draw(st.binary(min_size=size, max_size=size))
    if kind.kind == "b":
        content = bytes(byte & 1 for byte in content)
    return np.frombuffer(content, kind).reshape(shape)


integers = st.integers() | st.integers(-(10**600), 10**600)
fractions = st.builds(Fraction, integers, integers.filter(bool))
scalars = arrays().filter(lambda array: array.size).map(lambda array: array.ravel()[0])
slices = st.builds(slice, *[st.none() | st.integers() | st.floats()] * 3)

# One NaN is not another, as a key: to read them back as one is what Python does.
hashable = st.recursive(
    st.none()
    | st.booleans()
    | integers
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | fractions,
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
values = st.recursive(
    hashable
    | st.floats()
    | st.complex_numbers()
    | slices
    | arrays()
    | scalars
    | st.sets(hashable, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.lists(st.tuples(hashable, inner), max_size=4).map(OrderedDict)
    ),
    max_leaves=12,
)


def changed(value: Any, change: Any) -> Any:
    """The value with `change` made to each part of it."""
    match value:
        case list() | tuple() | set():
            value = type(value)(changed(item, change) for item in value)
        case dict():
            value = type(value)(
                (changed(key, change), changed(item, change)) for key, item in value.items()
            )
    return change(value)


def as_v1_holds(value: Any) -> Any:
    if isinstance(value, set) and not value:
        return {}
    if type(value) is complex and not math.isfinite(value.imag):
        return np.complex128(value)
    return value


def as_v2_holds(value: Any) -> Any:
    return float(value) if isinstance(value, np.float64) else value


def without_signs_of_zero(value: Any) -> Any:
    """eval("(-0-0j)") forgets them, and so does sipyco."""
    if type(value) is complex:
        return complex(value.real + 0.0, value.imag + 0.0)
    return value


def without_order(value: Any) -> Any:
    """sipyco writes an OrderedDict in PYON v2 as the dictionary that it is."""
    return dict(value) if isinstance(value, OrderedDict) else value


@given(values)
def test_v1_holds_every_value(value: Any) -> None:
    line = pyon.encode_v1(value)

    assert line.isascii()
    assert "\n" not in line
    assert form(pyon.decode_v1(line)) == form(changed(value, as_v1_holds))


@given(values)
def test_v2_holds_every_value(value: Any) -> None:
    line = pyon.encode_v2(value)

    assert line.isascii()
    assert "\n" not in line
    assert form(pyon.decode_v2(line)) == form(changed(value, as_v2_holds))


@BOTH
@given(value=values)
def test_a_line_is_the_same_as_text_and_as_bytes(version: pyon.Version, value: Any) -> None:
    line = version.encode(value)

    assert form(version.decode(line.encode())) == form(version.decode(line))
    assert form(version.decode(bytearray(line.encode() + b"\n"))) == form(version.decode(line))


# --- sipyco's own lines


def lines(release: str) -> list[bytes]:
    """What both sides sent after the target was chosen."""
    transcript = json.loads((TRANSCRIPTS / f"ndsp_sipyco_{release}.json").read_text())
    sent = [exchange["bytes"].encode("latin-1") for exchange in transcript["exchanges"]]
    return [line.removesuffix(b"\n") for line in sent[4:] if line]


def holds_set(line: bytes) -> bool:
    return line.startswith((b'{"__', b'{"terminate"'))


@pytest.mark.parametrize(("release", "version"), [("1.9", pyon.V1), ("1.10", pyon.V2)])
def test_what_sipyco_wrote_is_read_and_written_again_byte_for_byte(
    release: str, version: pyon.Version
) -> None:
    recorded = lines(release)

    assert len(recorded) > 50
    for line in recorded:
        value = version.decode(line)
        if isinstance(value, set):  # in the order of this process's hashes
            assert version.decode(version.encode(value)) == value
        else:
            assert version.encode(value).encode() == line


def test_the_oldest_sipyco_writes_the_same_values_in_other_letters() -> None:
    """1.0 sends UTF-8, base64 in single quotes, and fewer method names."""
    for old, new in zip(lines("1.0"), lines("1.9"), strict=True):
        if not isinstance(pyon.decode_v1(old), set):
            assert form(pyon.decode_v1(old)) == form(pyon.decode_v1(new))
    assert pyon.decode_v1(lines("1.0")[0]) == {
        *("terminate", "ping", "fault", "echo"),
        *("set_frequency", "load_waveform", "waveform"),
    }


@pytest.mark.parametrize(
    ("value", "v1", "v2"),
    [
        (None, "null", "null"),
        (True, "true", "true"),
        (-3, "-3", "-3"),
        (1e300, "1e+300", "1e+300"),
        (math.inf, "inf", "Infinity"),
        (-math.inf, "-inf", "-Infinity"),
        (math.nan, "nan", "NaN"),
        (2 + 3j, "(2+3j)", '{"__jsonclass__":["complex",[2.0,3.0]]}'),
        (complex("-0-1j"), "(-0-1j)", '{"__jsonclass__":["complex",[-0.0,-1.0]]}'),
        (1j, "1j", '{"__jsonclass__":["complex",[0.0,1.0]]}'),
        (complex("nan-1e-05j"), "(nan-1e-05j)", '{"__jsonclass__":["complex",[NaN,-1e-05]]}'),
        ('µ "q"\n\0', r'"\u00b5 \"q\"\n\u0000"', r'"\u00b5 \"q\"\n\u0000"'),
        ("\U0001f600", r'"\U0001f600"', r'"\ud83d\ude00"'),
        (b"\0\xff", r"b'\x00\xff'", '{"__jsonclass__":["bytes",["AP8="]]}'),
        (b"it's", "b\"it's\"", '{"__jsonclass__":["bytes",["aXQncw=="]]}'),
        ((), "()", '{"__jsonclass__":["tuple",[[]]]}'),
        ((1,), "(1, )", '{"__jsonclass__":["tuple",[[1]]]}'),
        ((1, 2), "(1, 2)", '{"__jsonclass__":["tuple",[[1,2]]]}'),
        ([1, [2]], "[1, [2]]", "[1,[2]]"),
        ({3}, "{3}", '{"__jsonclass__":["set",[[3]]]}'),
        ({}, "{}", "{}"),
        ({"a": 1}, '{"a": 1}', '{"a":1}'),
        ({(1,): "x"}, '{(1, ): "x"}',
         '{"__jsonclass__":["dict",[[[{"__jsonclass__":["tuple",[[1]]]},"x"]]]]}'),
        ({"__jsonclass__": 1}, '{"__jsonclass__": 1}',
         '{"__jsonclass__":["dict",[[["__jsonclass__",1]]]]}'),
        (slice(1, 2, None), "slice(1, 2, None)", '{"__jsonclass__":["slice",[1,2,null]]}'),
        (Fraction(-1, 3), "Fraction(-1, 3)", '{"__jsonclass__":["Fraction",[-1,3]]}'),
        (OrderedDict(b=1), 'OrderedDict([("b", 1)])',
         '{"__jsonclass__":["OrderedDict",[[["b",1]]]]}'),
        (np.array([1, 2], "<i2"), 'nparray((2, ), "<i2", b"AQACAA==")',
         '{"__jsonclass__":["nparray",[[2],"<i2","AQACAA=="]]}'),
        (np.int32(5), 'npscalar("<i4", b"BQAAAA==")',
         '{"__jsonclass__":["npscalar",["<i4","BQAAAA=="]]}'),
    ],
)  # fmt: skip
def test_each_value_has_its_form(value: Any, v1: str, v2: str) -> None:
    assert pyon.encode_v1(value) == v1
    assert pyon.encode_v2(value) == v2
    assert form(pyon.decode_v1(v1)) == form(value)
    assert form(pyon.decode_v2(v2)) == form(value)


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
def test_v1_reads_what_else_sipyco_and_repr_write(line: str, value: Any) -> None:
    assert form(pyon.decode_v1(line)) == form(value)


def test_set_without_members_becomes_a_dictionary_in_v1() -> None:
    assert pyon.encode_v1(set()) == "{}"
    assert pyon.decode_v2(pyon.encode_v2(set())) == set()


def test_arrays_that_were_read_can_be_written_to() -> None:
    array = pyon.decode_v1('nparray((2, ), "<i2", b"AQACAA==")')
    array[0] = 7
    assert array.tolist() == [7, 2]


# --- what commands return


class Lock(msgspec.Struct, rename="camel"):
    is_locked: bool
    trace: Any


@dataclasses.dataclass
class Point:
    frequency: float
    span: slice


class Mode(enum.Enum):
    SWEEP = "sweep"


class Level(enum.IntEnum):
    LOW = 1


Pair = namedtuple("Pair", "x y")


@BOTH
@pytest.mark.parametrize(
    ("value", "read"),
    [
        (Lock(True, np.array([1, 2])), {"isLocked": True, "trace": np.array([1, 2])}),
        (Point(8e7, slice(1, 2)), {"frequency": 8e7, "span": slice(1, 2)}),
        (Mode.SWEEP, "sweep"),
        (Level.LOW, 1),
        (Pair(1, 2j), (1, 2j)),
        (frozenset([1]), {1}),
        (bytearray(b"ab"), b"ab"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (Path("a.txt"), "a.txt"),
        (np.bool_(True), np.bool_(True)),
        (np.arange(6)[::2], np.array([0, 2, 4])),
    ],
    ids=lambda value: type(value).__name__,
)
def test_results_are_written_as_the_nearest_type(
    version: pyon.Version, value: Any, read: Any
) -> None:
    assert form(version.decode(version.encode([value]))) == form([read])


@BOTH
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (object(), "a object cannot be written as PYON"),
        (int, "a type cannot be written as PYON"),
        (np.array([None]), "an array of dtype object cannot be sent: only numbers can"),
        (np.array(["a"]), "an array of dtype <U1 cannot be sent: only numbers can"),
        (
            np.timedelta64(1, "s"),
            "an array of dtype timedelta64[s] cannot be sent: only numbers can",
        ),
    ],
)
def test_other_types_are_refused_by_name(version: pyon.Version, value: Any, sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        version.encode({"a": [value]})
    assert str(caught.value) == sentence


@BOTH
def test_a_value_that_holds_itself_is_refused(version: pyon.Version) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match=r"^values are nested deeper than 64 levels$"):
        version.encode(value)


# --- limits and bombs


def decode_or_refuse(version: pyon.Version, line: bytes | str) -> None:
    try:
        version.decode(line)
    except Malformed as error:
        assert str(error).startswith("not ")  # noqa: PT017


def nested(opening: str, closing: str, levels: int) -> str:
    return opening * levels + closing * levels


def colliding(number: int) -> list[int]:
    """Integers of one hash."""
    return [2**61 * i - i for i in range(1, number + 1)]


BOMBS_V1 = [
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
    (nested("[", "]", 100_000), "values are nested deeper than 64 levels (char 65)"),
    (nested("(", ")", 100_000), "values are nested deeper than 64 levels (char 65)"),
    ("{1:" * 100_000, "values are nested deeper than 64 levels (char 193)"),
    ("slice(" * 100_000, "values are nested deeper than 64 levels (char 390)"),
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
    (str({(complex(0, number), ) for number in range(33)}),
     "33 keys or members that are fractions, complex or NumPy's; at most 32 are read (char 0)"),
    (str(set(colliding(1025))), "1025 keys or members that are not strings; at most 1024 are read"
     " (char 0)"),
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


@pytest.mark.parametrize(("line", "sentence"), BOMBS_V1, ids=[line[:30] for line, _ in BOMBS_V1])
def test_v1_names_what_is_wrong_and_runs_nothing(line: str, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        pyon.decode_v1(line)
    assert str(caught.value) == f"not PYON v1: {sentence}"


def of_class(name: str, *arguments: Any) -> str:
    return json.dumps({"__jsonclass__": [name, arguments]})


BOMBS_V2 = [
    (nested("[", "]", 100_000), "values are nested deeper than 64 levels"),
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
    (of_class("set", colliding(1025)),
     "1025 keys or members that are not strings; at most 1024 are read"),
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


@pytest.mark.parametrize(("line", "sentence"), BOMBS_V2, ids=[line[:40] for line, _ in BOMBS_V2])
def test_v2_names_what_is_wrong(line: str, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        pyon.decode_v2(line)
    assert str(caught.value) == f"not PYON v2: {sentence}"


def test_v2_says_where_it_is_not_json() -> None:
    with pytest.raises(Malformed) as caught:
        pyon.decode_v2('{"a": __import__("os")}')
    assert str(caught.value) == "not PYON v2: Expecting value (char 6)"


@BOTH
def test_what_is_not_unicode_is_named(version: pyon.Version) -> None:
    with pytest.raises(Malformed) as caught:
        version.decode(b'"ab\xff"')
    assert str(caught.value) == "not UTF-8: byte 0xff (byte 3)"
    with pytest.raises(Malformed) as caught:
        version.decode('"ab\udc80"')
    assert str(caught.value) == "not Unicode: half a surrogate pair (char 3)"


@pytest.mark.parametrize("zero", [np.int8(0), np.float16(0), np.float64(0), np.complex64(0)])
@pytest.mark.parametrize("size", [20, 600])
def test_keys_that_numpy_cannot_compare_do_no_harm(size: int, zero: np.generic) -> None:
    """Both have the hash 0, and then Python asks whether they are equal: NumPy 2 overflows."""
    members = [zero, (2**61 - 1) * 10**size]
    decode_or_refuse(pyon.V1, f"{{{pyon.encode_v1(members)[1:-1]}}}")
    decode_or_refuse(pyon.V2, f'{{"__jsonclass__":["set",[{pyon.encode_v2(members)}]]}}')


@BOTH
@pytest.mark.parametrize("value", ["[],", "0,"])
def test_a_line_of_countless_values_is_refused_unread(version: pyon.Version, value: str) -> None:
    with pytest.raises(Malformed) as caught:
        version.decode("[" + value * (1 << 22) + "0]")
    number = (1 << 22) * (2 if "[" in value else 1) + 1
    assert str(caught.value) == (
        f"not PYON: a line of {number} values; at most 131072 are read, send numbers as an array"
    )


@BOTH
def test_limits_are_reached(version: pyon.Version) -> None:
    deep: Any = 1
    for _ in range(pyon.MAX_DEPTH):
        deep = [deep]
    for value in [deep, -(10**639), set(colliding(1024)), {str(i) for i in range(5000)}]:
        assert version.decode(version.encode(value)) == value


def test_a_line_of_many_megabytes_takes_time_in_proportion() -> None:
    """Each of these would take hours, or the memory of the machine, if read a second time."""
    size = 1 << 23
    for line in [
        " " * size,
        "1" * size,
        "1." + "1" * size + "x",
        "a" * size,
        '"' + "\\n" * size,
        "'" + "a\\n" * size + "\\q'",
        "(1" * (size // 8),
        "b'" + "\\x00" * size,
    ]:
        with pytest.raises(Malformed):
            pyon.decode_v1(line)


# --- garbage


FRAGMENTS = [
    *"()[]{},:\"'\\-+.*=@ \n\t\0jeEbfu019µ\ud800",
    *("null", "true", "None", "inf", "nan", "slice", "Fraction", "OrderedDict", "npscalar"),
    *('nparray((1, ), "<f8", b"AAAAAAAAAAA=")', '"<f8"', '"|O"', '"<U4"', "b''", "1j", "(1+2j)"),
    *('{"__jsonclass__":[', '"set",[[', '"Fraction",[', '"nparray",[[', "]]}"),
    *("\\ud83d", "\\ude00", "lambda", ".__class__", "__import__", "if", "for"),
    *("1e400", "9" * 700, "NaN", "Infinity"),
]


@BOTH
@given(
    line=st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.lists(st.sampled_from(FRAGMENTS)).map("".join)
)
def test_garbage_is_malformed_and_nothing_else(version: pyon.Version, line: bytes | str) -> None:
    decode_or_refuse(version, line)


@BOTH
@given(
    value=values,
    place=st.floats(0, 1),
    cut=st.integers(0, 8),
    new=st.sampled_from(FRAGMENTS) | st.text(max_size=3),
)
def test_a_line_with_an_error_in_it_is_malformed_or_another_value(
    version: pyon.Version, value: Any, place: float, cut: int, new: str
) -> None:
    line = version.encode([value])
    start = int(place * len(line))
    decode_or_refuse(version, line[:start] + new + line[start + cut :])
    decode_or_refuse(version, line[:start])


# --- sipyco itself


@pytest.fixture(scope="module")
def sipyco_v1() -> Any:
    pytest.importorskip("sipyco")
    try:
        return importlib.import_module("sipyco.pyon_v1")
    except ModuleNotFoundError:  # up to 1.9, where there is no other
        return importlib.import_module("sipyco.pyon")


@pytest.fixture(scope="module")
def sipyco_v2() -> Any:
    pytest.importorskip("sipyco.pyon_v1", reason="this sipyco knows PYON v1 only")
    return importlib.import_module("sipyco.pyon")


def is_known_to_sipyco_v1(value: Any) -> bool:
    """It has no form for `numpy.bool_`."""
    return 'npscalar("|b1"' not in pyon.encode_v1(value)


@given(value=values)
def test_sipyco_reads_our_v1(sipyco_v1: Any, value: Any) -> None:
    read = sipyco_v1.decode(pyon.encode_v1(value))

    expected = changed(changed(value, as_v1_holds), without_signs_of_zero)
    assert form(changed(read, without_signs_of_zero)) == form(expected)


@given(value=values.filter(is_known_to_sipyco_v1))
def test_we_read_sipycos_v1(sipyco_v1: Any, value: Any) -> None:
    read = pyon.decode_v1(sipyco_v1.encode(value))

    expected = changed(value, lambda part: {} if isinstance(part, set) and not part else part)
    assert form(read) == form(expected)


@given(value=values)
def test_sipyco_reads_our_v2(sipyco_v2: Any, value: Any) -> None:
    read = sipyco_v2.decode(pyon.encode_v2(value))

    assert form(read) == form(changed(value, as_v2_holds))


@given(value=values)
def test_we_read_sipycos_v2(sipyco_v2: Any, value: Any) -> None:
    read = pyon.decode_v2(sipyco_v2.encode(value))

    assert form(read) == form(changed(changed(value, as_v2_holds), without_order))

"""JSON text and Python values: arrays there and back, and whatever bytes come."""

from __future__ import annotations

import base64
import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from artiq_link.errors import Malformed
from artiq_link.values import (
    FEW_VALUES,
    MAX_DIMENSIONS,
    array_from_parts,
    array_to_object,
    class_of,
    decode,
    encode,
    object_of,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=20,
)

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
)


@given(JSON)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert decode(encode(value)) == value


@given(
    hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=3)),
    st.booleans(),
)
def test_an_array_of_any_numbers_comes_back_the_same(
    array: np.ndarray[Any, Any], transposed: bool
) -> None:
    """Shape, dtype with its byte order, and every bit stay, in whatever order memory holds it."""
    array = array.T if transposed else array
    [back] = decode(encode([array]))
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


def test_the_notation_is_pyons() -> None:
    """The text that `sipyco.pyon` 1.10 writes for the same values."""
    assert encode(np.array([[1, 2]], "<i2")) == (
        b'{"__jsonclass__":["nparray",[[1,2],"<i2","AQACAA=="]]}'
    )
    text = b'{"__jsonclass__": ["npscalar", ["<f8", "AAAAAAAA8D8="]]}'
    assert repr(decode(text)) == "1.0"


@dataclasses.dataclass
class Achieved:
    """A result as a handler may return it."""

    frequency: float


class Channel(msgspec.Struct):
    """The same as a Struct, with an array in it."""

    samples: np.ndarray[Any, Any]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.5), b"0.5"),
        (np.float64(0.5), b"0.5"),
        (np.longdouble(0.5), b"0.5"),
        (np.int32(-3), b"-3"),
        (np.uint64(2**64 - 1), b"18446744073709551615"),
        (np.bool_(True), b"true"),
        ((1, (2,)), b"[1,[2]]"),
        ({1}, b"[1]"),
        (Achieved(80e6), b'{"frequency":80000000.0}'),
        ([Achieved(np.float64(1))], b'[{"frequency":1.0}]'),
        (
            Channel(np.array([1], "|u1")),
            b'{"samples":{"__jsonclass__":["nparray",[[1],"|u1","AQ=="]]}}',
        ),
        ("µs", '"µs"'.encode()),
        ([Path("a.txt")], b'["a.txt"]'),
        (10**400, b"1" + b"0" * 400),
    ],
)
def test_what_handlers_return_is_written(value: Any, text: bytes) -> None:
    assert encode(value) == text


@pytest.mark.parametrize(
    ("value", "kind", "sentence"),
    [
        (object(), TypeError, "an object of type object is not JSON's"),
        (1j, TypeError, "an object of type complex is not JSON's"),
        (np.complex128(1j), TypeError, "an object of type complex is not JSON's"),
        (np.clongdouble(1j), TypeError, "an object of type complex is not JSON's"),
        (
            np.array(["a"]),
            TypeError,
            "an array of dtype <U1 cannot be sent: only numbers can",
        ),
        (
            np.array([None]),
            TypeError,
            "an array of dtype object cannot be sent: only numbers can",
        ),
        (
            np.ma.MaskedArray([1.5, 2.5], mask=[False, True]),
            TypeError,
            "a masked array cannot be sent: fill it, or send its mask beside it",
        ),
        (float("nan"), ValueError, "it holds NaN or an infinity, which JSON does not have"),
        ([float("-inf")], ValueError, "it holds NaN or an infinity, which JSON does not have"),
        (np.float32("inf"), ValueError, "it holds NaN or an infinity, which JSON does not have"),
        (
            {"nothing": None, "many": [0.5, {"deep": (1, float("nan"))}]},
            ValueError,
            "it holds NaN or an infinity, which JSON does not have",
        ),
    ],
)
def test_what_json_cannot_hold_is_refused(
    value: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        encode(value)
    assert type(caught.value) is kind
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "value",
    [
        [None, 0.5, -1.7e308, 2**63, "\u02ff\u00ff\U000fffff"],
        [None, 2**64, b"\xcb\x7f\xff".hex()],
        {"nothing": None, "array": np.array([np.nan, np.inf])},
        [None, msgspec.Raw(b"[null, 0.5]")],
    ],
)
def test_nothing_beside_what_is_finite_is_sent(value: Any) -> None:
    """`null` is what the fast encoder writes for NaN, so that it needs a second look."""
    text = encode(value)
    assert msgspec.json.decode(text)  # it is JSON
    assert b"null" in text


def test_an_array_of_long_doubles_is_sent_as_doubles() -> None:
    """Their layout is another on each machine."""
    assert encode(np.array([0.5], np.longdouble)) == encode(np.array([0.5]))
    assert encode(np.array([0.5j], np.clongdouble)) == encode(np.array([0.5j]))


def of_class(name: Any, *arguments: Any) -> bytes:
    return json.dumps({"__jsonclass__": [name, list(arguments)]}).encode()


def base64_of(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f8").tobytes()).decode()


ALONE = '__jsonclass__: expected {"__jsonclass__": [name, [arguments]]} alone'

REFUSALS = [
    (b"", "not JSON: Input data was truncated"),
    (b"{", "not JSON: Input data was truncated"),
    (rb'{"a": "\ud800"}', "not JSON: an escape is half a character"),
    (b"hello", "not JSON: invalid character (byte 0)"),
    (b"{'a': 1}", "not JSON: object keys must be strings (byte 1)"),
    (b"[1,]", "not JSON: trailing comma in array (byte 3)"),
    (b"{}{}", "not JSON: trailing characters (byte 3)"),
    (b"NaN", "not JSON: invalid character (byte 0)"),
    (b"[Infinity]", "not JSON: invalid character (byte 1)"),
    (b"[1e400]", "a number is too large for a float"),
    (b"1" + b"0" * 5000, "a number is too large for a float"),
    (b'{"a": "\xff"}', "not UTF-8: byte 0xff"),
    (b'["\xed\xa0\x80"]', "not UTF-8: byte 0xed"),
    (b"[" * 100_000, "nested too deep"),
    (b'{"a": ' * 100_000, "nested too deep"),
    (of_class("set", [1]), "__jsonclass__: expected nparray or npscalar, got 'set'"),
    (
        of_class("nparray", [1], "<f8"),
        "__jsonclass__: expected nparray or npscalar, got 'nparray'",
    ),
    (of_class(5, []), ALONE),
    (b'{"__jsonclass__": "nparray"}', ALONE),
    (b'{"__jsonclass__": ["nparray", []], "a": 1}', ALONE),
    (
        of_class("nparray", [2], "<f8", base64_of(1)),
        "nparray: 8 bytes do not fill shape [2] of <f8",
    ),
    (of_class("nparray", [], "<f8", ""), "nparray: 0 bytes do not fill shape [] of <f8"),
    (
        of_class("nparray", [2**40, 2**40], "<f8", base64_of(1)),
        "nparray: 8 bytes do not fill shape [1099511627776, 1099511627776] of <f8",
    ),
    (of_class("nparray", [0, 2**40, 2**40], "<f8", ""), "nparray: no array can have this shape"),
    (of_class("nparray", [0, 10**30], "<f8", ""), "nparray: no array can have this shape"),
    (of_class("nparray", [-1], "<f8", base64_of(1)), "nparray: [-1] is not a shape"),
    (of_class("nparray", [True], "<f8", base64_of(1)), "nparray: [True] is not a shape"),
    (of_class("nparray", [1.0], "<f8", base64_of(1)), "nparray: [1.0] is not a shape"),
    (of_class("nparray", 1, "<f8", base64_of(1)), "nparray: 1 is not a shape"),
    (of_class("nparray", "", "<f8", base64_of(1)), "nparray: '' is not a shape"),
    (
        of_class("nparray", [1] * (MAX_DIMENSIONS + 1), "<f8", base64_of(1)),
        "nparray: [1, 1, 1, 1, 1, 1, ...] is not a shape",
    ),
    (of_class("nparray", [1], "|O", base64_of(1)), "nparray: dtype '|O' is not one of numbers"),
    (of_class("nparray", [1], "|O8", base64_of(1)), "nparray: dtype '|O8' is not one of numbers"),
    (of_class("nparray", [1], "<U2", base64_of(1)), "nparray: dtype '<U2' is not one of numbers"),
    (of_class("nparray", [1], "<f3", "AAAA"), "nparray: dtype '<f3' is not one of numbers"),
    (of_class("nparray", [1], 8, base64_of(1)), "nparray: dtype 8 is not one of numbers"),
    (of_class("nparray", [1], "<f8", None), "nparray: the bytes are missing"),
    (of_class("nparray", [1], "<f8", "A"), "nparray: the bytes are not base64"),
    (of_class("nparray", [1], "<f8", "é"), "nparray: the bytes are not base64"),
    (of_class("nparray", [1], "<f8", "AAAA AAAAAAA="), "nparray: the bytes are not base64"),
    (of_class("npscalar", "<f8", ""), "nparray: 0 bytes do not fill shape [] of <f8"),
    (of_class("npscalar", "<f8", base64_of(np.nan)), "npscalar: nan is not a finite number"),
    (of_class("npscalar", "<f8", base64_of(-np.inf)), "npscalar: -inf is not a finite number"),
]


@pytest.mark.parametrize(
    ("text", "sentence"), REFUSALS, ids=[str(text[:40], "latin1") for text, _ in REFUSALS]
)
def test_what_is_wrong_with_a_text_is_said(text: bytes, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(text)
    assert str(caught.value) == sentence


@given(st.binary())
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    with suppress(Malformed):
        decode(text)


SHAPES = st.lists(st.integers(-1, 3) | st.integers() | JSON, max_size=4) | JSON
DTYPE_TEXTS = st.sampled_from(["<f8", "|b1", "<c16", ">i2", "|u1", "<f2", "f8"]) | JSON
BASE64_TEXTS = st.binary(max_size=64).map(lambda data: base64.b64encode(data).decode()) | JSON


@given(SHAPES, DTYPE_TEXTS, BASE64_TEXTS)
def test_any_array_notation_is_read_or_refused(shape: Any, dtype: Any, data: Any) -> None:
    for message in (
        {"a": [object_of("nparray", shape, dtype, data)]},
        object_of("npscalar", dtype, data),
    ):
        with suppress(Malformed):
            decode(json.dumps(message).encode())


@given(st.binary(min_size=1).map(lambda tail: b'{"__jsonclass__":' + tail))
def test_any_text_with_the_key_is_read_or_refused(text: bytes) -> None:
    with suppress(Malformed):
        decode(text)


def test_a_class_is_taken_apart_and_put_together() -> None:
    assert class_of(object_of("nparray", [1], "<f8")) == ("nparray", [[1], "<f8"])


def test_an_array_is_its_parts() -> None:
    """Bytes are taken as well as text, as PYON v1 has them."""
    array = np.arange(6.0).reshape(2, 3)
    _, (shape, dtype, data) = class_of(array_to_object(array))
    for form in (data, data.encode()):
        np.testing.assert_array_equal(array_from_parts(tuple(shape), dtype, form), array)


MANY = b"0," * FEW_VALUES


@pytest.mark.parametrize(
    "item",
    [
        b"1.5",
        b"-3e-310",
        b"123456789012345678901234567890",
        b'"\\ud83d\\ude00"',
        b"null",
        b"[true, {}]",
    ],
)
def test_many_values_are_read_as_few_are(item: bytes) -> None:
    """There are two parsers, and they agree."""
    [one] = decode(b"[%s]" % item)
    *_, last = decode(b"[%s%s]" % (MANY, item))
    assert (last, type(last)) == (one, type(one))


@pytest.mark.parametrize(
    "item",
    [
        b"NaN",
        b"-Infinity",
        b"1e400",
        b'"\\ud83d"',
        b'"\xff"',
        b"01",
        b"'a'",
        b"1" * 5000,
        b'"\n"',
        b"",
    ],
)
def test_many_values_are_refused_as_few_are(item: bytes) -> None:
    for values in (b"", MANY):
        with pytest.raises(Malformed):
            decode(b"[%s%s, 0]" % (values, item))

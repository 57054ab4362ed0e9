"""Values that PYON carries: strategies for them, and how two are compared."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.peers import TRANSCRIPTS


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


def lines(release: str) -> list[bytes]:
    """What both sides sent after the target was chosen."""
    transcript = json.loads((TRANSCRIPTS / f"ndsp_sipyco_{release}.json").read_text())
    sent = [exchange["bytes"].encode("latin-1") for exchange in transcript["exchanges"]]
    return [line.removesuffix(b"\n") for line in sent[4:] if line]


def nested(opening: str, closing: str, levels: int) -> str:
    return opening * levels + closing * levels


FRAGMENTS = [
    *"()[]{},:\"'\\-+.*=@ \n\t\0jeEbfu019µ\ud800",
    *("null", "true", "None", "inf", "nan", "slice", "Fraction", "OrderedDict", "npscalar"),
    *('nparray((1, ), "<f8", b"AAAAAAAAAAA=")', '"<f8"', '"|O"', '"<U4"', "b''", "1j", "(1+2j)"),
    *('{"__jsonclass__":[', '"set",[[', '"Fraction",[', '"nparray",[[', "]]}"),
    *("\\ud83d", "\\ude00", "lambda", ".__class__", "__import__", "if", "for"),
    *("1e400", "9" * 700, "NaN", "Infinity"),
]

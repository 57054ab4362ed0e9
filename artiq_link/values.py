"""JSON text <-> Python values, with NumPy arrays in PYON v2's notation.

An array is ``{"__jsonclass__": ["nparray", [[3], "<f8", "<base64>"]]}``: its shape, the dtype as
NumPy's `dtype.str` writes it, and its bytes in C order. A scalar is
``{"__jsonclass__": ["npscalar", ["<f8", "<base64>"]]}``. sipyco writes the same (`sipyco.pyon`,
version 1.10 and later), so that one notation serves JSON and NDSP. Where a dialect can carry bytes
beside the text, an array's place holds ``{"buffer": 0}`` in place of the base64, and its bytes are
a buffer of that number.
"""

from __future__ import annotations

import base64
import binascii
import cmath
import json
import math
import re
import reprlib
import sys
from collections.abc import Callable, MutableSequence, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
import numpy as np

from .errors import Malformed
from .slices import VALUES, Slices, finish

CLASS_KEY = "__jsonclass__"

ARRAY_MARK = CLASS_KEY.encode()
"""Stands in every JSON text that holds an array or a scalar."""

# Booleans, integers, floats and complex numbers. Never objects: NumPy would unpickle them.
_DTYPE = re.compile(r"[<>|=]?[biufc][0-9]{1,2}", re.ASCII)

MIN_BUFFER = 4096
"""Bytes of an array that travels as a buffer where it may: from here on base64 takes longer than
what a buffer costs beside it, some 10 us on both sides together."""

FEW_VALUES = 2048
"""Commas up to which msgspec reads a text: it takes 7 us for a subnormal number, and Python's own
parser, which takes half a microsecond for any, as much for a string as msgspec does for two."""

MAX_ESCAPES = 1 << 20
"""Backslashes in one text. Each takes up to 80 ns, and two million fit into a request."""

_BASE64 = 12 * 32 * 1024
"""Characters or bytes of base64 that are read or written at once: whole groups of both."""

MAX_DIMENSIONS = 32
"""NumPy before 2.0 holds no more."""


def decode(text: bytes | bytearray) -> Any:
    """Read JSON text in UTF-8; arrays become `numpy.ndarray`, NumPy scalars plain numbers.

    Raises `Malformed`, saying what is wrong and at which byte. NaN, infinities and numbers that
    no float holds are refused.
    """
    value = parse(text)
    # Looking for the key costs much less than a walk through everything.
    return finish(reviving(value)) if ARRAY_MARK in text else value


def parse(text: bytes | bytearray, few: int = FEW_VALUES) -> Any:
    """Read JSON text as `decode` does, and leave arrays and scalars in their notation.

    With more commas than `few`, the parser is one that takes equally long for every number.
    """
    if text.count(b"\\") > MAX_ESCAPES:
        raise Malformed(f"the text holds over {MAX_ESCAPES} escapes; send bytes as an array")
    if text.count(b",") > few:
        return _parse_many(text)
    try:
        return msgspec.json.decode(text)
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    except msgspec.ValidationError:
        raise Malformed("a number is too large for a float") from None
    except msgspec.DecodeError as error:
        sentence = str(error).removeprefix("JSON is malformed: ")
        if "truncated" in sentence and text.rstrip().endswith(b"}"):  # msgspec says so of both
            sentence = "an escape is half a character"
        raise Malformed(f"not JSON: {sentence}") from None


def _parse_many(text: bytes | bytearray) -> Any:
    """Read JSON text of many values: Python's own parser is slow for none of them."""
    try:
        string = text.decode()
        value = _MANY_DECODER.decode(string)
        refuse_half_characters(string, value)
        return value
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: byte 0x{error.object[error.start]:02x}") from None
    except UnicodeEncodeError:
        raise Malformed("not JSON: an escape is half a character") from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    except json.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error.msg} (char {error.pos})") from None
    except ValueError:
        raise Malformed("not JSON: an integer has too many digits") from None


def refuse_half_characters(text: str, value: Any) -> None:
    """Raise UnicodeEncodeError where half a surrogate pair was read as if it were a character.

    `value` is what Python's JSON parser made of `text`.
    """
    if "\\" in text and ("\\ud" in text or "\\uD" in text):
        json.dumps(value, ensure_ascii=False).encode()


def _real(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise Malformed("a number is too large for a float")
    return number


def _refuse_constant(name: str) -> Any:
    raise Malformed(f"not JSON: {name} is no number of JSON's")


_MANY_DECODER = json.JSONDecoder(parse_float=_real, parse_constant=_refuse_constant)


def encode(value: Any, *, spaced: bool = False) -> bytes:
    """Write a value as JSON text in UTF-8, `spaced` as Python's own json module does.

    NumPy arrays and scalars, tuples, sets, dataclasses, `msgspec.Struct`, paths and what else
    msgspec turns into plain values are written. Raises TypeError for other types, and ValueError
    for NaN and infinities, which JSON does not have.
    """
    if spaced:
        return _encode_carefully(value, _SPACED_ENCODER)
    try:
        text = _FAST_ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        # Not its type, or a fault: the other encoder knows, and says what is wrong.
        return _encode_carefully(value, _CAREFUL_ENCODER)
    if b"null" in text and not _is_surely_finite(value):
        # It writes null for NaN and infinities as well; the other one refuses them.
        return _encode_carefully(value, _CAREFUL_ENCODER)
    return text


def _is_surely_finite(value: Any) -> bool:
    """Whether it holds neither NaN nor infinities: False where that is not known at once.

    Arrays may hold them, as their bytes are not JSON's. MessagePack is written in a fraction of
    the time in which Python looks at each number.
    """
    try:
        return _NOT_FINITE.search(_LOOKING_ENCODER.encode(value)) is None
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def _encode_carefully(value: Any, encoder: json.JSONEncoder) -> bytes:
    try:
        return encoder.encode(value).encode()
    except ValueError as error:
        if str(error).startswith("Out of range float"):
            raise ValueError("it holds NaN or an infinity, which JSON does not have") from None
        raise


def _plain(value: Any) -> Any:
    """What the encoder makes of a value that it does not know."""
    if isinstance(value, np.ndarray):
        return array_to_object(value)
    if isinstance(value, np.generic):
        return plain_number(value)
    if isinstance(value, msgspec.Raw):
        return parse(bytes(value))
    return msgspec.to_builtins(value, enc_hook=_refuse)


_SPACED_ENCODER = json.JSONEncoder(default=_plain, allow_nan=False, ensure_ascii=False)
_CAREFUL_ENCODER = json.JSONEncoder(
    default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":")
)


def _refuse(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"an object of type {type(value).__name__} is not JSON's")


_FAST_ENCODER = msgspec.json.Encoder(enc_hook=_refuse)

_LOOKING_ENCODER = msgspec.msgpack.Encoder(
    enc_hook=lambda value: None if isinstance(value, np.ndarray) else _refuse(value)
)

_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""How MessagePack writes them; no UTF-8 looks like it."""


def plain_number(scalar: np.generic[Any]) -> Any:
    """The plain value of a NumPy scalar; `item` alone leaves long doubles as they are."""
    if isinstance(scalar, np.floating):
        return float(scalar)
    if isinstance(scalar, np.complexfloating):
        return complex(scalar)
    return scalar.item()


def _finite(number: complex) -> complex:
    if not cmath.isfinite(number):
        raise Malformed(f"npscalar: {number} is not a finite number")
    return number


def reviving(value: Any, buffers: Sequence[bytearray] = ()) -> Slices[Any]:
    """Put arrays and scalars where their notation stands in `value`; raises `Malformed`.

    `buffers` are those that came beside the text. An array is the memory of its buffer, which no
    other array may have as well: a command may write to what it got.
    """
    left: list[bytearray | None] = list(buffers)

    def make(name: str, arguments: list[Any]) -> Any:
        if name == "nparray" and len(arguments) == 3:
            shape, dtype, data = arguments
            if isinstance(data, dict):
                return _shaped(_take_buffer(data, left), _checked_dtype(shape, dtype), shape)
            return array_from_parts(shape, dtype, data)
        if name == "npscalar" and len(arguments) == 2:
            return _finite(plain_number(array_from_parts([], *arguments).flat[0]))
        raise Malformed(f"{CLASS_KEY}: expected nparray or npscalar, got {name[:60]!r:.60}")

    return (yield from replacing_classes(value, make))


def replacing_classes(
    value: Any, make: Callable[[str, list[Any]], Any], max_depth: int = sys.maxsize
) -> Slices[Any]:
    """Put what `make` makes of its name and arguments where ``__jsonclass__`` stands in `value`.

    Arguments are replaced before what they are arguments of. Raises `Malformed` for containers
    inside more than `max_depth` others.
    """
    whole = [value]
    containers: list[tuple[Any, int]] = [(whole, -1)]
    classes: list[tuple[Any, Any, str, list[Any]]] = []
    looked_at = 0
    for container, depth in containers:
        if depth > max_depth:
            raise Malformed(f"values are nested deeper than {max_depth} levels")
        places = container.items() if type(container) is dict else enumerate(container)
        for place, item in places:
            if type(item) not in _CONTAINERS:
                continue
            if type(item) is dict and CLASS_KEY in item:
                name, arguments = class_of(item)
                classes.append((container, place, name, arguments))
                containers.append((arguments, depth + 1))
            else:
                containers.append((item, depth + 1))
        looked_at += 1 + len(container) // 8
        if looked_at > VALUES:
            looked_at = 0
            yield
    for number, (container, place, name, arguments) in enumerate(reversed(classes), 1):
        if name == "nparray" and len(arguments) == 3 and _is_long(arguments[2]):
            container[place] = yield from reading_array(*arguments)
        else:
            container[place] = make(name, arguments)
        if number % _CLASSES_AT_ONCE == 0:
            yield
    return whole[0]


def _is_long(data: Any) -> bool:
    return isinstance(data, str) and len(data) > _BASE64


_CONTAINERS = frozenset({list, dict})

_CLASSES_AT_ONCE = 256
"""Made in one slice: nothing takes more than 10 us for each."""


def _take_buffer(place: dict[str, Any], buffers: MutableSequence[bytearray | None]) -> bytearray:
    match place:
        case {"buffer": int(number)} if len(place) == 1 and not isinstance(number, bool):
            if not 0 <= number < len(buffers):
                raise Malformed(f"nparray: there is no buffer {number}; there are {len(buffers)}")
            buffer, buffers[number] = buffers[number], None
            if buffer is None:
                raise Malformed(f"nparray: buffer {number} is another array's already")
            return buffer
    raise Malformed('nparray: expected {"buffer": number} or base64')


def class_of(value: dict[str, Any]) -> tuple[str, list[Any]]:
    """Take ``{"__jsonclass__": [name, [arguments]]}`` apart; raises `Malformed`."""
    content = value.get(CLASS_KEY)
    if len(value) == 1 and isinstance(content, list) and len(content) == 2:
        name, arguments = content
        if isinstance(name, str) and isinstance(arguments, list):
            return name, arguments
    raise Malformed(f'{CLASS_KEY}: expected {{"{CLASS_KEY}": [name, [arguments]]}} alone')


def object_of(name: str, *arguments: Any) -> dict[str, Any]:
    """Put together what `class_of` takes apart."""
    return {CLASS_KEY: [name, list(arguments)]}


def array_to_object(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Write an array in PYON v2's notation; raises TypeError for dtypes that are not numbers."""
    return object_of("nparray", list(array.shape), *dtype_and_base64(array))


def dtype_and_base64(array: np.ndarray[Any, Any] | np.generic) -> tuple[str, str]:
    """The dtype string and the bytes, in C order and base64, of an array or a scalar.

    Long doubles, which have another layout on each machine, become doubles. Raises TypeError for
    dtypes that are not numbers, and for masked arrays, whose holes would be filled.
    """
    array = _sendable(array)
    return array.dtype.str, base64_text(array.tobytes())


def base64_text(data: bytes | bytearray) -> str:
    """Bytes in base64, written in pieces, because others wait while one is written."""
    pieces = [
        binascii.b2a_base64(data[begin : begin + _BASE64], newline=False).decode("ascii")
        for begin in range(0, len(data), _BASE64)
    ]
    return "".join(pieces)


def _sendable(array: np.ndarray[Any, Any] | np.generic) -> np.ndarray[Any, Any] | np.generic:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array cannot be sent: fill it, or send its mask beside it")
    for long, double in ((np.longdouble, np.float64), (np.clongdouble, np.complex128)):
        if array.dtype == long:
            with np.errstate(over="ignore"):
                array = array.astype(double)
    if not _DTYPE.fullmatch(array.dtype.str):
        raise TypeError(f"an array of dtype {array.dtype} cannot be sent: only numbers can")
    return array


def encode_apart(value: Any) -> tuple[bytes, list[memoryview]]:
    """Write a value as `encode` does, but the bytes of large arrays as buffers beside the text.

    Large is what has `MIN_BUFFER` bytes or more. The buffers are views of the arrays' own memory.
    """
    buffers: list[memoryview] = []

    def plain(each: Any) -> Any:
        if isinstance(each, np.ndarray) and each.nbytes >= MIN_BUFFER:
            array = np.ascontiguousarray(_sendable(each))
            buffers.append(array.reshape(-1).view(np.uint8).data)
            place = {"buffer": len(buffers) - 1}
            return object_of("nparray", list(each.shape), array.dtype.str, place)
        return _refuse(each)

    try:
        text = msgspec.json.encode(value, enc_hook=plain)
        if b"null" not in text or _is_surely_finite(value):
            return text, buffers
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    buffers.clear()
    encoder = json.JSONEncoder(
        default=lambda each: plain(each) if isinstance(each, np.ndarray) else _plain(each),
        allow_nan=False,
        ensure_ascii=False,
    )
    return _encode_carefully(value, encoder), buffers


def array_from_parts(shape: Any, dtype: Any, data: Any) -> np.ndarray[Any, Any]:
    """Build a writable array from its shape, dtype string and bytes in base64 (str or bytes).

    Raises `Malformed` unless all three are what they should be and fit each other.
    """
    return finish(reading_array(shape, dtype, data))


def reading_array(shape: Any, dtype: Any, data: Any) -> Slices[np.ndarray[Any, Any]]:
    """Do what `array_from_parts` does, in slices."""
    kind = _checked_dtype(shape, dtype)
    if not isinstance(data, (str, bytes)):
        raise Malformed("nparray: the bytes are missing")
    content = bytearray()
    try:
        for begin in range(0, len(data), _BASE64):
            piece = base64.b64decode(data[begin : begin + _BASE64], validate=True)
            if len(content) % 3:  # there was padding before the end
                raise binascii.Error
            content += piece
            if len(data) > _BASE64:
                yield
    except (binascii.Error, ValueError):
        raise Malformed("nparray: the bytes are not base64") from None
    return _shaped(content, kind, shape)


def _shaped(
    content: bytes | bytearray, kind: np.dtype[Any], shape: Sequence[int]
) -> np.ndarray[Any, Any]:
    if len(content) != math.prod(shape) * kind.itemsize:
        raise Malformed(
            f"nparray: {len(content)} bytes do not fill shape {reprlib.repr(list(shape))} "
            f"of {kind.str}"
        )
    try:
        return np.frombuffer(content, kind).reshape(shape)
    # A length of 0 lets the others be more than an array's index holds.
    except ValueError:
        raise Malformed("nparray: no array can have this shape") from None


def _checked_dtype(shape: Any, dtype: Any) -> np.dtype[Any]:
    if not _is_shape(shape):
        raise Malformed(f"nparray: {reprlib.repr(shape)} is not a shape")
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise Malformed(f"nparray: dtype {reprlib.repr(dtype):.60} is not one of numbers")
    try:
        return np.dtype(dtype)
    except TypeError:
        raise Malformed(f"nparray: dtype {dtype!r:.60} is not one of numbers") from None


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, (list, tuple))
        and len(shape) <= MAX_DIMENSIONS
        and all(type(length) is int and length >= 0 for length in shape)
    )

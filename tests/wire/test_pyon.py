"""What both versions of PYON carry, and what a line of either may hold and may cost."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import Malformed
from artiq_link.wire.pyon import MAX_DEPTH, MAX_FLOAT_LENGTH, MAX_KEYS, MAX_VALUES, Version
from artiq_link.wire.pyon_v1 import V1
from artiq_link.wire.pyon_v2 import V2
from tests.pyon_values import FRAGMENTS, form, lines, values

BOTH = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


def holds_set(line: bytes) -> bool:
    return line.startswith((b'{"__', b'{"terminate"'))


@pytest.mark.parametrize(("release", "version"), [("1.9", V1), ("1.10", V2)])
def test_what_sipyco_wrote_is_read_and_written_again_byte_for_byte(
    release: str, version: Version
) -> None:
    recorded = lines(release)

    assert len(recorded) > 50
    for line in recorded:
        value = version.decode(line)
        if isinstance(value, set):  # in the order of this process's hashes
            assert version.decode(version.encode(value)) == value
        else:
            assert version.encode(value).encode() == line


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
def test_results_are_written_as_the_nearest_type(version: Version, value: Any, read: Any) -> None:
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
def test_other_types_are_refused_by_name(version: Version, value: Any, sentence: str) -> None:
    with pytest.raises(TypeError) as caught:
        version.encode({"a": [value]})
    assert str(caught.value) == sentence


@BOTH
def test_a_value_that_holds_itself_is_refused(version: Version) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match=r"^values are nested deeper than 64 levels$"):
        version.encode(value)


# --- limits and bombs


def colliding(number: int) -> list[int]:
    """Integers of one hash."""
    return [2**61 * i - i for i in range(1, number + 1)]


def decode_or_refuse(version: Version, line: bytes | str) -> None:
    try:
        version.decode(line)
    except Malformed as error:
        assert str(error).startswith("not ")  # noqa: PT017


@BOTH
def test_what_is_not_unicode_is_named(version: Version) -> None:
    with pytest.raises(Malformed) as caught:
        version.decode(b'"ab\xff"')
    assert str(caught.value) == "not UTF-8: byte 0xff (byte 3)"
    with pytest.raises(Malformed) as caught:
        version.decode('"ab\udc80"')
    assert str(caught.value) == "not Unicode: half a surrogate pair (char 3)"


@BOTH
@pytest.mark.parametrize("zero", [np.int8(0), np.float16(0), np.float64(0), np.complex64(0)])
@pytest.mark.parametrize("size", [20, 600])
def test_keys_that_numpy_cannot_compare_do_no_harm(
    version: Version, size: int, zero: np.generic
) -> None:
    """Both have the hash 0, and then Python asks whether they are equal: NumPy 2 overflows."""
    number = (2**61 - 1) * 10**size
    line = version.encode({0.5: 1, number: 2})
    decode_or_refuse(version, line.replace("0.5", version.encode([zero])[1:-1]))


@BOTH
@pytest.mark.parametrize("value", ["[],", "0,"])
def test_a_line_of_countless_values_is_refused_unread(version: Version, value: str) -> None:
    with pytest.raises(Malformed) as caught:
        version.decode("[" + value * MAX_VALUES)
    number = MAX_VALUES * (2 if "[" in value else 1) + 1
    assert str(caught.value) == (
        f"not PYON: a line of {number} values; at most 24576 are read, send numbers as an array"
    )


@BOTH
def test_limits_are_reached(version: Version) -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    for value in [
        deep,
        [0] * MAX_VALUES,
        -(10**639),
        {*range(MAX_KEYS), *map(str, range(5000))},
        {(number, "a") for number in colliding(8)},
    ]:
        assert version.decode(version.encode(value)) == value


@BOTH
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: 10**640, "an integer of 641 digits; at most 640 are read"),
        (
            lambda: set(range(MAX_KEYS + 1)),
            "1025 keys or members that are not strings; at most 1024 are read",
        ),
        (
            lambda: set(colliding(9)),
            "9 keys or members with one hash; at most 8 are read",
        ),
        (
            lambda: {(number,): "x" for number in colliding(9)},
            "9 keys or members with one hash; at most 8 are read",
        ),
        (
            lambda: OrderedDict((Fraction(number), 0) for number in colliding(9)),
            "9 keys or members with one hash; at most 8 are read",
        ),
    ],
    ids=["digits", "members", "equal hashes", "equal hashes of tuples", "of fractions"],
)
def test_what_costs_too_much_is_refused(
    version: Version, make: Callable[[], Any], sentence: str
) -> None:
    with pytest.raises(Malformed, match=f": {sentence}"):
        version.decode(version.encode(make()))


@BOTH
@pytest.mark.parametrize(("start", "end"), [("1.", "1"), ("1e", "1"), ("1", ".0")])
def test_a_float_of_many_characters_is_refused(version: Version, start: str, end: str) -> None:
    zeros = "0" * (MAX_FLOAT_LENGTH - len(start + end))

    assert version.decode(start + zeros + end) == float(start + zeros + end)
    with pytest.raises(Malformed, match="a float of 41 characters; at most 40 are read"):
        version.decode(start + zeros + "0" + end)


# --- garbage


@BOTH
@given(
    line=st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.lists(st.sampled_from(FRAGMENTS)).map("".join)
)
def test_garbage_is_malformed_and_nothing_else(version: Version, line: bytes | str) -> None:
    decode_or_refuse(version, line)


@BOTH
@given(
    value=values,
    place=st.floats(0, 1),
    cut=st.integers(0, 8),
    new=st.sampled_from(FRAGMENTS) | st.text(max_size=3),
)
def test_a_line_with_an_error_in_it_is_malformed_or_another_value(
    version: Version, value: Any, place: float, cut: int, new: str
) -> None:
    line = version.encode([value])
    start = int(place * len(line))
    decode_or_refuse(version, line[:start] + new + line[start + cut :])
    decode_or_refuse(version, line[:start])

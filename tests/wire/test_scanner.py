"""The scanner: where an object ends, however its bytes are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, Malformed, TooLarge
from artiq_link.wire.base import MAX_DEPTH
from artiq_link.wire.scanner import MAX_MARKS, MAX_NUMBER, ObjectScanner
from tests.peers import pieces

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def find_end(scanner: ObjectScanner, buffer: bytes | bytearray) -> int | None:
    """Where the object ends, as all slices of the buffer tell together."""
    end = scanner.look(buffer)
    while scanner.paused:
        end = scanner.look(buffer)
    return end


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.lists(st.integers(0, 10**6)))
def test_any_object_in_any_pieces(message: dict[str, object], cuts: list[int]) -> None:
    """The end is found at the same byte however the bytes are cut."""
    data = json.dumps(message).encode()
    scanner, buffer, ends = ObjectScanner(), bytearray(), []
    for piece in pieces(data + b" tail", cuts):
        buffer += piece
        if not ends and (end := find_end(scanner, buffer)) is not None:
            ends.append(end)
    assert ends == [len(data)]


FEW = (MAX_MARKS - 2) // 2
"""Commas beside two brackets."""


def test_each_byte_is_looked_at_once() -> None:
    """An object that comes byte by byte is searched from where the last search ended."""
    scanner = ObjectScanner()
    buffer = bytearray(b'{"a": "')
    assert find_end(scanner, buffer) is None
    buffer[:] = b"}" * len(buffer)  # what was looked through is not looked at again
    buffer += b'"}'
    assert find_end(scanner, buffer) == len(buffer)


def test_an_eot_ends_a_broken_object() -> None:
    """It never stands in JSON, in a string neither."""
    for begin in (b'{"a', b'{"a": ', b'{"a": "\\'):
        assert find_end(ObjectScanner(), begin + b"\x04}") == len(begin) + 1


@pytest.mark.parametrize(
    ("last", "beyond", "kind"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, b"[" * (MAX_DEPTH + 1), Malformed),
        # Two brackets, and a comma that counts twice behind each value but the last.
        (b"[%s0]" % (b"0," * FEW), b"[%s0]" % (b"0," * (FEW + 1)), TooLarge),
        (b"{" * 3 + b"}" * 3, b"[" * MAX_MARKS, Malformed),
        (b"[%s]" % (b"1" * MAX_NUMBER), b"[%s]" % (b"1" * (MAX_NUMBER + 1)), Malformed),
        (b"[0, %s ]" % (b"1" * MAX_NUMBER), b"[0, %s ]" % (b"1" * (MAX_NUMBER + 1)), Malformed),
        (b'{"a":%s7,"b":8}' % (b" " * 1000), b'{"a": 7, "b"%s' % (b"8" * 1000), Malformed),
    ],
    ids=["depth", "marks", "brackets", "number", "number and spaces", "spaces"],
)
def test_limits(last: bytes, beyond: bytes, kind: type[ExchangeError]) -> None:
    """The limit is the last that is taken."""
    assert find_end(ObjectScanner(), last) == len(last)
    with pytest.raises(kind):
        find_end(ObjectScanner(), beyond)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_values_are_counted_alike_in_pieces(size: int) -> None:
    """Commas and long numbers are found wherever the pieces begin."""
    for values, kind in (
        (b"0," * (MAX_MARKS // 64), None),
        (b"1" * MAX_NUMBER + b",", None),
        (b"2, 3, " + b"1" * (MAX_NUMBER + 1) + b",", Malformed),
    ):
        text = b'{"a": [%s0]}' % values
        scanner = ObjectScanner()
        try:
            ends = [find_end(scanner, text[:end]) for end in range(size, len(text) + size, size)]
        except Malformed:
            assert kind is Malformed
        else:
            assert kind is None
            assert ends[-1] == len(text)


def test_commas_in_pieces_are_counted_once() -> None:
    text = b"[%s0]" % (b"0," * FEW)
    for last, is_refused in ((text, False), (b"[0," + text[1:], True)):
        scanner, found = ObjectScanner(), None
        try:
            for end in range(0, len(last) + 1000, 1000):
                found = find_end(scanner, last[:end])
        except TooLarge:
            assert is_refused
        else:
            assert (found, is_refused) == (len(last), False)

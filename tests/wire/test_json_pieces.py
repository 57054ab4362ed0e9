"""JSON text in pieces: the same values, and the same refusals, wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, Malformed, TooLarge
from artiq_link.slices import BYTES, VALUES, Slices, finish
from artiq_link.wire import json_pieces, scanner
from artiq_link.wire.json_pieces import MAX_WIDE, decoding, finding_cuts, parsing
from artiq_link.wire.scanner import ObjectScanner

characters = st.text('ab,[]{}:"\\\n é😀', max_size=300)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | characters,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=60,
)  # fmt: skip


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have texts cut wherever they can be."""
    monkeypatch.setattr(scanner, "BYTES", 2 * scanner.MAX_NUMBER + 1)
    monkeypatch.setattr(scanner, "VALUES", 1)
    monkeypatch.setattr(json_pieces, "BYTES", 25)


def in_pieces(text: bytes) -> tuple[Any, int]:
    """What the text comes to, and how many cuts it has."""
    cuts = finish(finding_cuts(text, ObjectScanner()))
    return finish(parsing(text, cuts)), len(cuts)


several = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.usefixtures("_small_pieces")
@several
@given(st.dictionaries(st.text(max_size=5), values, min_size=1), st.booleans())
def test_any_object_is_the_same_in_pieces(message: dict[str, Any], is_ascii: bool) -> None:
    assert in_pieces(json.dumps(message, ensure_ascii=is_ascii).encode())[0] == message


@pytest.mark.usefixtures("_small_pieces")
@several
@given(
    st.dictionaries(st.text(max_size=5), values, min_size=1),
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(b'[]{},:"0 \\')), min_size=1),
)
def test_a_damaged_text_is_refused_or_what_python_reads(
    message: dict[str, Any], damages: list[tuple[int, int]]
) -> None:
    """No cut makes JSON of what is none."""
    text = bytearray(json.dumps(message).encode())
    for place, byte in damages:
        text[place % len(text)] = byte
    try:
        found, _ = in_pieces(bytes(text))
    except ExchangeError:
        return
    assert found == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": [%s1]}' % (b"0.123456789," * 30 * VALUES),
        b'{"a": [%s{"b": 1}], "c": 2}' % (b'{"b": {"c": [1, 2]}},' * VALUES),
        b'{%s"z": 0}' % b"".join(b'"k%d": [], ' % number for number in range(2 * VALUES)),
        b'{"a": "%s", "b": ["%s", 3]}' % (b"\\ud83d\\ude00" * BYTES, "é".encode() * BYTES),
    ],
    ids=["numbers", "objects", "members", "strings"],
)
def test_large_texts_are_cut(text: bytes) -> None:
    found, cuts = in_pieces(text)
    assert found == json.loads(text)
    assert cuts > 1


def pauses(work: Slices[Any]) -> int:
    return sum(1 for _ in work)


def test_a_long_string_is_all_ascii() -> None:
    """One wide character makes all others take as much memory."""
    decoded = decoding(b'{"a":"%b"}' % (b"x" * (MAX_WIDE + 1)))
    assert len(finish(decoded)["a"]) == MAX_WIDE + 1
    for wide in ("\N{MICRO SIGN}", "\N{GRINNING FACE}"):
        for text in (wide + "x" * MAX_WIDE, "x" * MAX_WIDE + wide):
            with pytest.raises(TooLarge, match="has more than 2500000 characters"):
                finish(decoding(b'{"a":"%b"}' % text.encode()))


def test_small_texts_are_read_in_one_slice() -> None:
    """They are what comes nearly always."""
    assert pauses(decoding(b'{"command_id": "set", "frequency": 8e7}')) == 0
    assert pauses(decoding(b'{"text": "%s"}' % (b"x" * 10 * BYTES))) > 10


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"a": [%s1, }' % (b"0," * 10 * VALUES), "not JSON: .* [(]byte %d[)]"),
        (b'{"a": ["\xc2\xb5", %s1, }' % (b"0," * 10 * VALUES), "not JSON: .* [(]byte %d[)]"),
    ],
)
def test_the_place_of_a_fault_is_that_in_the_whole(text: bytes, sentence: str) -> None:
    with pytest.raises(Malformed, match=f"^{sentence % (len(text) - 1)}$"):
        in_pieces(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"%s": 1}' % (b"k" * 2 * BYTES), f"a name of {2 * BYTES} bytes"),
        (
            b'{"a": [], "b": 1, "a": [%s1]}' % (b"0," * 10 * VALUES),
            "not JSON: a name comes twice in one object",
        ),
        (b"{%s}" % (b" " * 3 * BYTES), f"over {BYTES} characters without a value"),
    ],
    ids=["name", "twice", "spaces"],
)
def test_what_cannot_be_cut_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        in_pieces(text)
    assert str(caught.value) == sentence

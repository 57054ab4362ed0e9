"""Endings: whole, cut at any byte, and with more behind."""

from __future__ import annotations

import re

import pytest

from artiq_link.transports.endings import (
    Block,
    Ending,
    Exactly,
    Length,
    Like,
    Line,
    Lines,
    LinesUntil,
    Silence,
)

A_NUMBER = Like(re.compile(rb"[0-9]+"), "a number", Line())

WHOLE: list[tuple[Ending, bytes, bytes]] = [
    (Line(), b"80.0\n", b"80.0"),
    (Line(b"\r\n"), b"a\rb\nc\r\n", b"a\rb\nc"),
    (Line(), b"\n", b""),
    (Line(skip_blank=True), b"\n\n1\n", b"1"),
    (Line(b"\r\n", skip_blank=True), b"\r\n1\r\n", b"1"),
    (Lines(1), b"a\n", b"a"),
    (Lines(3, b"\r\n"), b"a\r\n\r\nc\r\n", b"a\r\n\r\nc"),
    (LinesUntil(b"ok"), b"ok\n", b"ok"),
    (LinesUntil(b"End of"), b"1 2\n3 4\nEnd of Table\n", b"1 2\n3 4\nEnd of Table"),
    (Length(3), b"a\nb", b"a\nb"),
    (Exactly(b"ok", Line()), b"ok\n", b"ok"),
    (Exactly(b"O", Length(1)), b"O", b"O"),
    (A_NUMBER, b"42\n", b"42"),
    (Block(), b"#15he\nlo", b"he\nlo"),
    (Block(), b"#210hello hell", b"hello hell"),
    (Block(), b"#10", b""),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "sent", "reply"), WHOLE)
def test_a_reply_is_whole_at_its_last_byte_and_not_before(
    ending: Ending, sent: bytes, reply: bytes
) -> None:
    for length in range(len(sent)):
        assert ending.reply_in(bytearray(sent[:length])) is None
    assert ending.reply_in(bytearray(sent)) == reply
    assert ending.reply_in(bytearray(sent + b"more\r\n")) == reply


@pytest.mark.parametrize(
    ("ending", "sent", "expected"),
    [
        (Exactly(b"ok", Line()), b"?1\n", "'ok'"),
        (Exactly(b"ok", Line()), b"okay\n", "'ok'"),
        (Exactly(b"O", Length(1)), b"C", "'O'"),
        (A_NUMBER, b"N?42\n", "a number"),
        (A_NUMBER, b"\n", "a number"),
        (Block(), b"1.5\n", "a block such as '#15hello'"),
        (Block(), b"#", None),
        (Block(), b"#0hello\n", "a block such as '#15hello'"),
        (Block(), b"#x", "a block such as '#15hello'"),
        (Block(), b"#2a", "a block such as '#15hello'"),
        (Block(), b"#2 5hello", "a block such as '#15hello'"),
    ],
)
def test_what_can_be_no_reply_is_refused(
    ending: Ending, sent: bytes, expected: str | None
) -> None:
    if expected is None:
        assert ending.reply_in(bytearray(sent)) is None
        return
    with pytest.raises(ValueError) as raised:  # noqa: PT011 the text is compared
        ending.reply_in(bytearray(sent))
    assert str(raised.value) == expected


def test_silence_ends_what_ends_as_it_must() -> None:
    ending = Silence(0.1, after=b"\r\n")
    assert ending.quiet == 0.1
    assert ending.reply_in(bytearray(b"a\r\n")) is None
    assert ending.after_silence(bytearray(b"a\r\n")) == b"a"
    assert ending.after_silence(bytearray(b"a\r\nb")) is None
    assert ending.after_silence(bytearray()) is None


def test_exactly_this_until_silence() -> None:
    ending = Exactly(b"ok", Silence(0.1))
    assert ending.quiet == 0.1
    assert ending.after_silence(bytearray(b"ok")) == b"ok"
    with pytest.raises(ValueError, match="'ok'"):
        ending.after_silence(bytearray(b"no"))


def test_other_endings_do_not_care_for_silence() -> None:
    assert Line().quiet is None
    assert Line().after_silence(bytearray(b"a")) is None

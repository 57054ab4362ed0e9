"""VISA, over pyvisa-sim's devices: messages, and the streams of serial lines and sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from artiq_link import InstrumentError
from artiq_link.transports import Protocol, Transport, transport_to
from artiq_link.transports.endings import Length
from tests.conftest import PATIENCE

LIBRARY = f"{Path(__file__).with_name('visa_device.yaml')}@sim"
RESOURCES = [
    "USB::0x1111::0x2222::0x1234::INSTR",
    "TCPIP::localhost::inst0::INSTR",
    "GPIB0::8::INSTR",
    "ASRL1::INSTR",
    "TCPIP::localhost::5025::SOCKET",
]
IDENTITY = b"Fake,Generator,0,1.0"


@pytest.fixture(params=RESOURCES)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    device = f"visa:{request.param}?library={LIBRARY}"
    with closing(transport_to(device, Protocol(late=0.05, timeout=PATIENCE))) as made:
        yield made


def test_a_question_is_answered(transport: Transport) -> None:
    transport.open()
    assert transport.query(b"*IDN?\n") == IDENTITY
    transport.write(b"FREQ 1\n")
    assert transport.query(b"*IDN?\n") == IDENTITY


def test_a_reply_may_end_as_it_likes(transport: Transport) -> None:
    """A stream is asked for no byte that does not come."""
    assert transport.query(b"*IDN?\n", Length(4)) == IDENTITY[:4]
    assert transport.query(b"*IDN?\n") == IDENTITY


def test_after_no_answer_the_next_question_is_answered(transport: Transport) -> None:
    transport.open()  # which has to load pyvisa
    with pytest.raises(InstrumentError) as raised:
        transport.query(b"FREQ 1\n", timeout=0.2)
    assert str(raised.value) == (
        rf"{transport.name} did not answer 'FREQ 1\n' within 0.2 s; is it switched on?"
    )
    assert transport.query(b"*IDN?\n") == IDENTITY


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("visa:rubbish?library=@py", "visa:rubbish cannot be opened: .+; nothing was sent"),
        (
            "visa:TCPIP::127.0.0.1::1::SOCKET?library=@py",
            "visa:TCPIP::127.0.0.1::1::SOCKET cannot be opened: .+; nothing was sent",
        ),
        (
            "visa:USB::1::2::3::INSTR?library=/nowhere.so",
            "visa:USB::1::2::3::INSTR cannot be opened: .*nowhere.so.*; nothing was sent",
        ),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(device: str, words: str) -> None:
    with pytest.raises(InstrumentError) as raised:
        transport_to(device, Protocol()).open()
    assert re.fullmatch(words, str(raised.value))

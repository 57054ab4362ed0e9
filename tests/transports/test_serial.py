"""Serial ports: their names, who may open them, and what is said where one cannot be opened."""

from __future__ import annotations

import grp
import os
import pwd
import re
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from artiq_link import InstrumentError
from artiq_link.transports import Protocol, transport_to
from artiq_link.transports.endings import Length
from artiq_link.transports.fake import FakeSerial
from tests.conftest import PATIENCE
from tests.programs import finish, running
from tests.transports.devices import Counter

NOBODY = 65534
PATIENT = Protocol(timeout=PATIENCE)


@pytest.fixture
def fake() -> Iterator[FakeSerial]:
    with FakeSerial(Counter()) as made:
        yield made


def sentence(device: str) -> str:
    """What is said where a device cannot be opened."""
    with pytest.raises(InstrumentError) as raised:
        transport_to(device, Protocol()).open()
    return str(raised.value)


def adapters(monkeypatch: pytest.MonkeyPatch, **numbers: str | None) -> None:
    """Have USB adapters: the ports with their serial numbers."""
    ports = []
    for port, number in numbers.items():
        ports.append(ListPortInfo(port))
        ports[-1].serial_number = number
    monkeypatch.setattr(list_ports, "comports", lambda: ports)


def test_settings_reach_the_port(fake: FakeSerial) -> None:
    device = f"{fake.device_string}?baud=19200&stop=2&flow=xonxoff"
    with closing(transport_to(device, Protocol(baud=1200))) as transport:
        assert transport.name == fake.device_string
        transport.open()
        with fake.path.open("rb", buffering=0) as port:
            iflag, _, cflag, _, _, speed, _ = termios.tcgetattr(port)
    assert (speed, iflag & termios.IXON) == (termios.B19200, termios.IXON)
    assert cflag & termios.CSTOPB


def test_settings_that_a_pseudo_terminal_has_not_reach_pyserial() -> None:
    with closing(transport_to("serial:loop://?bits=7&parity=even", Protocol())) as transport:
        transport.open()
        settings = transport._line.get_settings()  # type: ignore[attr-defined]
    assert (settings["bytesize"], settings["parity"]) == (7, "E")


@pytest.mark.parametrize(
    ("baud", "speed"), [(None, termios.B9600), (115200, termios.B115200)], ids=str
)
def test_the_protocol_has_the_devices_baud_rate(
    fake: FakeSerial, baud: int | None, speed: int
) -> None:
    with closing(transport_to(fake.device_string, Protocol(baud=baud))) as transport:
        transport.open()
        with fake.path.open("rb", buffering=0) as port:
            assert termios.tcgetattr(port)[5] == speed


def test_pyserials_own_ports_can_be_used() -> None:
    with closing(
        transport_to("serial:loop://", Protocol(ending=Length(2), timeout=PATIENCE))
    ) as transport:
        assert transport.query(b"ab") == b"ab"


def test_a_port_that_another_program_has_is_busy(fake: FakeSerial) -> None:
    with closing(transport_to(fake.device_string, Protocol())) as transport:
        transport.open()
        assert sentence(fake.device_string) == (
            f"{fake.device_string}: another program has the port open: close that first; "
            "nothing was sent"
        )
    transport_to(fake.device_string, Protocol()).open()


def test_a_port_that_is_not_there_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, ttyUSB0="A1", ttyUSB1=None)
    assert sentence("serial:/dev/nowhere") == (
        "serial:/dev/nowhere: No such file or directory; is it plugged in? "
        "(there are ttyUSB0, ttyUSB1); nothing was sent"
    )
    adapters(monkeypatch)
    assert sentence("serial:/dev/nowhere") == (
        "serial:/dev/nowhere: No such file or directory; is it plugged in? "
        "(there is no serial port); nothing was sent"
    )


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("serial:/dev/null", "Could not configure port.*"),
        ("serial:/", "Is a directory"),
        ("serial:rubbish://", "cannot be opened: invalid URL.*"),
    ],
)
def test_what_is_no_port_is_told_in_the_systems_words(device: str, words: str) -> None:
    assert re.fullmatch(rf"{device}:? .*{words}; nothing was sent", sentence(device))


def test_an_adapter_is_found_by_its_serial_number(
    fake: FakeSerial, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters(monkeypatch, **{str(fake.path): "AB0CD12", "/dev/other": "XY"})
    with closing(transport_to("serial:usb=AB0CD12?baud=19200", PATIENT)) as transport:
        assert transport.name == "serial:usb=AB0CD12"
        assert transport.query(b"ID?\n") == b"counter"


def test_an_adapter_may_come_back_as_another_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        FakeSerial(Counter()) as first,
        FakeSerial(Counter()) as second,
        closing(transport_to("serial:usb=AB0CD12", PATIENT)) as transport,
    ):
        adapters(monkeypatch, **{str(first.path): "AB0CD12"})
        assert transport.query(b"N?\n") == b"1"
        first.unplug()
        adapters(monkeypatch, **{str(second.path): "AB0CD12"})
        assert transport.query(b"ID?\n") == b"counter"
        assert second.heard == b"ID?\n"


def test_adapters_that_do_not_fit_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    adapters(monkeypatch, ttyUSB0="A1", ttyUSB1="A1", ttyUSB2="B2", ttyS0=None)
    assert sentence("serial:usb=A1") == (
        "serial:usb=A1: the adapter has the ports ttyUSB0 and ttyUSB1: name one of them; "
        "nothing was sent"
    )
    assert sentence("serial:usb=C3") == (
        "serial:usb=C3: no USB adapter has this serial number; there are A1, B2; nothing was sent"
    )
    adapters(monkeypatch, ttyS0=None)
    assert sentence("serial:usb=C3") == (
        "serial:usb=C3: no USB adapter has this serial number; there is none; nothing was sent"
    )


def test_without_pyserial_the_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    assert sentence("serial:COM3") == (
        "serial ports need pyserial: install it with 'python -m pip install pyserial', or "
        "artiq-link with its extra 'serial'"
    )


def test_another_package_in_pyserials_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", SimpleNamespace())
    assert sentence("serial:COM3").startswith("another package named 'serial' hides pyserial: ")


OPEN = f"""
import grp, os, pwd, sys, serial
from artiq_link.transports import Protocol, transport_to
transport = transport_to(sys.argv[1], Protocol())
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid({NOBODY})
    os.seteuid({NOBODY})
try:
    transport.open()
except Exception as error:
    print(error)
"""


def told_without_rights(fake: FakeSerial, mode: int) -> str:
    """What a user who may not open a port is told of it."""
    port = os.path.realpath(fake.path)
    os.chmod(port, mode)
    with running(sys.executable, "-c", OPEN, f"serial:{port}") as process:
        code, output, errors = finish(process)
    assert (code, errors) == (0, "")
    return output.replace(port, "PORT")


def test_a_port_of_a_group_says_which_and_how_to_join(fake: FakeSerial) -> None:
    group = grp.getgrgid(os.stat(fake.path).st_gid).gr_name
    user = pwd.getpwuid(os.geteuid() or NOBODY).pw_name
    assert told_without_rights(fake, 0o060) == (
        f"serial:PORT: permission denied: the port belongs to the group {group}: join it with "
        f"'sudo usermod -aG {group} {user}', and log in again; nothing was sent\n"
    )


def test_a_port_of_its_owner_alone_says_whose(fake: FakeSerial) -> None:
    owner = pwd.getpwuid(os.stat(fake.path).st_uid).pw_name
    assert told_without_rights(fake, 0o000) == (
        f"serial:PORT: permission denied: only {owner} may open it; nothing was sent\n"
    )

"""``artiq-link devices``: the ports, and what answers on those whose adapter is known."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from artiq_link.drivers import DRIVERS, DriverEntry
from artiq_link.transports import Protocol
from artiq_link.transports.fake import Device, FakeSerial, FakeTcp, Fault
from artiq_link.transports.identity import Identity
from tests.conftest import PATIENCE
from tests.drivers.fake_windfreak_synthhd import SynthHD
from tests.transports.devices import Counter
from tests.transports.test_base import SHORT

Run = Callable[..., tuple[int, str, str]]
Plug = Callable[..., FakeSerial]

COUNTER = Identity(
    name="counter",
    protocol=Protocol(timeout=PATIENCE),
    ask=b"ID?\n",
    answer=re.compile(rb"^counter"),
    usb=frozenset({(0x1234, 0x0001), (0x1234, 0x0002)}),
)
OTHER = Identity(
    name="other make",
    protocol=Protocol(timeout=PATIENCE),
    ask=b"N?\n",
    answer=re.compile(rb"^other"),
    usb=frozenset({(0x1234, 0x0002), (0x1234, 0x0003)}),
)


@pytest.fixture(autouse=True)
def makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two makes that are recognised, beside those that there are."""
    for name, identity in {"counter": COUNTER, "other": OTHER}.items():
        monkeypatch.setitem(DRIVERS, name, DriverEntry(name, "", "a device", identity))


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plug]:
    """Plug in counters, each behind an adapter with these USB numbers."""
    ports: list[ListPortInfo] = []
    monkeypatch.setattr(list_ports, "comports", lambda: ports)
    with ExitStack() as stack:

        def plug(
            vid: int | None = None,
            pid: int | None = None,
            number: str | None = None,
            device: Device | None = None,
            maker: str | None = None,
        ) -> FakeSerial:
            fake = stack.enter_context(FakeSerial(device or Counter()))
            port = ListPortInfo(str(fake.path))
            port.vid, port.pid, port.serial_number = vid, pid, number
            port.description = "Adapter" if vid else "n/a"
            port.manufacturer = maker
            ports.append(port)
            return fake

        yield plug


def test_only_a_port_that_is_known_is_asked(run: Run, plug: Plug) -> None:
    known, unknown, none = plug(0x1234, 1, "AB"), plug(0x9999, 1, "CD"), plug()
    code, printed, errors = run("devices", "--json")
    assert (code, errors) == (0, "")
    found = {each.pop("device"): each for each in json.loads(printed)}
    adapter = {"description": "Adapter"}
    nothing = {"driver": None, "answer": "not asked"}
    assert found == {
        known.device_string: {"usb": "AB", **adapter, "driver": "counter", "answer": "counter"},
        unknown.device_string: {"usb": "CD", **adapter, **nothing},
        none.device_string: {"usb": "", "description": "", **nothing},
    }
    assert (known.heard, unknown.heard, none.heard) == (b"ID?\n", b"", b"")


def test_people_get_a_table(run: Run, plug: Plug) -> None:
    fake = plug(0x1234, 1, "AB")
    code, printed, _ = run("devices")
    assert code == 0
    assert [line.split() for line in printed.splitlines()] == [
        ["device", "usb", "adapter", "driver", "answer"],
        [fake.device_string, "AB", "Adapter", "counter", "counter"],
    ]


def test_no_port_is_a_sentence(run: Run, plug: Plug) -> None:
    assert run("devices") == (0, "there is no serial port\n", "")


def test_what_may_be_of_two_makes_is_not_asked(run: Run, plug: Plug) -> None:
    fake = plug(0x1234, 2)
    (found,) = json.loads(run("devices", "--json")[1])
    assert (found["driver"], found["answer"]) == (None, "not asked: it may be of counter or other")
    assert fake.heard == b""


@pytest.mark.parametrize(
    ("usb", "driver"), [((0x2E8A, 0x000A), "dds_sweeper"), ((0x0403, 0x6001), "novatech_409b")]
)
def test_what_may_be_anything_is_not_asked_and_told(
    run: Run, plug: Plug, usb: tuple[int, int], driver: str
) -> None:
    fake = plug(*usb, "AB")
    (found,) = json.loads(run("devices", "--json")[1])
    assert found["driver"] is None
    assert found["answer"] == (
        f"not asked: it may be of {driver}, or of another device with its USB numbers"
    )
    assert fake.heard == b""


def test_a_port_that_names_its_maker_is_asked(run: Run, plug: Plug) -> None:
    synth = plug(0x9999, 1, "AB", SynthHD(), "Windfreak Synth")
    other = plug(0x9999, 1, "CD", SynthHD(), "Windmill")
    found = {each["device"]: each for each in json.loads(run("devices", "--json")[1])}
    assert found[synth.device_string]["driver"] == "windfreak_synthhd"
    assert synth.heard == b"+"
    assert found[other.device_string]["answer"] == "not asked"
    assert other.heard == b""


def test_another_device_behind_a_known_adapter_is_told(run: Run, plug: Plug) -> None:
    fake = plug(0x1234, 3)
    (found,) = json.loads(run("devices", "--json")[1])
    assert found["driver"] is None
    assert found["answer"] == rf"{fake.device_string} is no other make: it answered '1' to 'N?\n'"


def test_one_that_is_silent_does_not_end_the_list(
    run: Run, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, talking = plug(0x1234, 3), plug(0x1234, 1)
    silent.fault = Fault.SILENT
    hasty = dataclasses.replace(OTHER, protocol=Protocol(timeout=SHORT))
    monkeypatch.setitem(DRIVERS, "other", DriverEntry("other", "", "a device", hasty))
    code, printed, _ = run("devices", "--json")
    assert code == 0
    drivers = {each["device"]: each["driver"] for each in json.loads(printed)}
    assert drivers == {silent.device_string: None, talking.device_string: "counter"}


def test_any_device_is_asked_where_it_is_named(run: Run) -> None:
    with FakeTcp(Counter()) as fake:
        code, printed, errors = run(
            "devices", "--json", "--ask", fake.device_string, "--driver", "counter"
        )
    assert (code, errors) == (0, "")
    (found,) = json.loads(printed)
    assert (found["driver"], found["answer"]) == ("counter", "counter")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--ask", "COM3"),
            "artiq-link devices: error: --ask goes with --driver, whose question is harmless to "
            "that device",
        ),
        (
            ("--driver", "counter"),
            "artiq-link devices: error: --ask goes with --driver, whose question is harmless to "
            "that device",
        ),
        (("--ask", "COM3", "--driver", "counter"), "'COM3' is no device: write serial:COM3"),
        (
            ("--ask", "serial:/", "--driver", "counter"),
            "serial:/: cannot be opened: Is a directory; nothing was sent",
        ),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    code, printed, errors = run("devices", *arguments)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1] == sentence

"""Device strings: one sentence for what is wrong with them."""

from __future__ import annotations

import pytest

from artiq_link.transports import KINDS, Protocol, WrongDevice, transport_to


@pytest.mark.parametrize("kind", KINDS)
def test_each_kinds_example_is_one(kind: str) -> None:
    """Nothing is opened, and no library is needed yet."""
    example = KINDS[kind].example
    assert transport_to(example, Protocol()).name == example.partition("?")[0]


EXAMPLES = " or ".join(kind.example for kind in KINDS.values())


SERIAL = KINDS["serial"].example
PORTS = "tcp:192.168.0.5:5025 or tcp:[::1]:5025"
ILL = f"what stands behind the question mark is not as in {SERIAL}"


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("COM3", "'COM3' is no device: write serial:COM3"),
        ("/dev/ttyUSB0", "'/dev/ttyUSB0' is no device: write serial:/dev/ttyUSB0"),
        ("192.168.0.5:5025", "'192.168.0.5:5025' is no device: write tcp:192.168.0.5:5025"),
        ("[::1]:5025", "'[::1]:5025' is no device: write tcp:[::1]:5025"),
        ("", f"'' is no device: write such as {EXAMPLES}"),
        ("usb", f"'usb' is no device: write such as {EXAMPLES}"),
        ("serail:COM3",
         f"'serail:COM3' is no device: write such as {EXAMPLES}; did you mean 'serial'?"),
        ("serial:", f"'serial:' does not say where: write such as {SERIAL}"),
        ("serial: ?baud=1", f"'serial: ?baud=1' does not say where: write such as {SERIAL}"),
        ("serial:COM3?baud", f"'serial:COM3?baud': {ILL}"),
        ("serial:COM3?baud=1&baud=2",
         f"'serial:COM3?baud=1&baud=2': {ILL}"),
        ("serial:COM3?=1", f"'serial:COM3?=1': {ILL}"),
        ("serial:COM3?bauds=1", "serial: has no option 'bauds'; did you mean 'baud'?"),
        ("serial:COM3?xyz=1",
         "serial: has no option 'xyz'; there are baud, bits, parity, stop, flow"),
        ("serial:COM3?baud=fast", "serial:COM3: baud=fast is no whole number from 1 on"),
        ("serial:COM3?baud=0", "serial:COM3: baud=0 is no whole number from 1 on"),
        ("serial:COM3?parity=mark", "serial:COM3: parity=mark is none of none, even, odd"),
        ("serial:COM3?bits=9", "serial:COM3: bits=9 is none of 5, 6, 7, 8"),
        ("serial:usb=", "'serial:usb=' has no serial number: write such as serial:usb=AB0CD12"),
        ("tcp:host", f"'tcp:host' has no port: write such as {PORTS}"),
        ("tcp:::1:5025", f"'tcp:::1:5025' is no host and port: write such as {PORTS}"),
        ("tcp:host:x", f"'tcp:host:x' is no host and port: write such as {PORTS}"),
        ("tcp:host:0", "'tcp:host:0': port: expected 1 to 65535, got 0"),
        ("tcp:host:70000", "'tcp:host:70000': port: expected 1 to 65535, got 70000"),
        ("tcp:host:1?baud=1", "tcp: has no option 'baud'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(device: str, sentence: str) -> None:
    with pytest.raises(WrongDevice) as raised:
        transport_to(device, Protocol())
    assert str(raised.value) == sentence


def test_the_protocol_knows_what_the_string_leaves_out() -> None:
    assert transport_to("tcp:host", Protocol(port=7802)).name == "tcp:host:7802"
    assert transport_to("tcp:host:99", Protocol(port=7802)).name == "tcp:host:99"
    assert transport_to("tcp:[::1]", Protocol(port=7802)).name == "tcp:[::1]:7802"

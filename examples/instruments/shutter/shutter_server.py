"""The server of four beam shutters on an Arduino, which runs shutter/shutter.ino.

python shutter_server.py                 (Ctrl-C stops it; --help lists the options)
python shutter_server.py --simulation    without the Arduino
"""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from shutter_simulation import SimulatedShutter

import artiq_link
from artiq_link import Instrument, InstrumentError, command
from artiq_link.transports import Protocol, transport_to
from artiq_link.transports.fake import FakeTcp

# Where it is attached; `artiq-link devices` shows what there is.
DEVICE = "serial:/dev/ttyACM0"

# Answers are lines. An Arduino without the sketch's capacitor restarts when its port is opened.
PROTOCOL = Protocol(baud=9600, timeout=1.0, wake=2.0)

Channel = Annotated[int, msgspec.Meta(ge=0, le=3)]
State = Literal["open", "closed"]

CHANNELS = 4

# What the panel shows of the shutters, in a browser.
TILE = Path(__file__).with_name("shutter_tile.js")


class Shutter(Instrument):
    """Four beam shutters."""

    def __init__(self, device=DEVICE, protocol=PROTOCOL):
        self.device = device
        self.protocol = protocol
        self.transport = None
        self.found = None

    def state(self):
        """What the shutters were when they were asked last."""
        return {"shutters": self.found}

    def open_hardware(self):
        """See that the right sketch answers, and leave the shutters as they are."""
        self.transport = transport_to(self.device, self.protocol)
        self.transport.open()
        identity = self._ask("identify")
        if identity != "shutter 1":
            raise InstrumentError(
                f"{self.transport.name} has no shutters: it says {identity!r:.60}; load "
                "shutter/shutter.ino into the Arduino"
            )
        self.get_shutters()

    @command
    def set_shutter(self, channel: Channel, state: State) -> State:
        """Open or close a shutter, and return what it is then."""
        self._tell(f"{'open' if state == 'open' else 'close'} {channel}")
        return self.get_shutters()[channel]

    @command
    def get_shutters(self) -> list[State]:
        """Return what the shutters are, channel by channel."""
        answer = self._ask("get")
        if len(answer) != CHANNELS or set(answer) - {"0", "1"}:
            raise InstrumentError(f"'get' was answered with {answer!r:.60}")
        self.found = ["open" if sign == "1" else "closed" for sign in answer]
        return self.found

    @command
    def close_all(self) -> None:
        """Close all shutters."""
        self.safe_state()

    def safe_state(self):
        """Close all shutters."""
        for channel in range(CHANNELS):
            self._tell(f"close {channel}")
        self.get_shutters()

    def close(self):
        """Release the port; the shutters stay."""
        if self.transport is not None:
            self.transport.close()

    def _ask(self, text):
        return self.transport.query(f"{text}\n".encode()).decode("ascii", "replace").strip()

    def _tell(self, text):
        answer = self._ask(text)
        if answer != "ok":
            raise InstrumentError(f"{text!r} was answered with {answer!r:.60}")


# The instrument. Its hardware is not touched before the server has its port.
shutter = Shutter()


def start_server(host="127.0.0.1", port=65432, debug=False, **options):
    """Listen for ever. With debug, print each message received and sent."""
    artiq_link.start_server(
        {"shutter": shutter}, host=host, port=port, debug=debug, panel_tile=TILE, **options
    )


if __name__ == "__main__":
    options = artiq_link.parse_server_options(__doc__)
    with contextlib.ExitStack() as simulation:
        if options.simulation:
            device = simulation.enter_context(FakeTcp(SimulatedShutter()))
            shutter = Shutter(device.device_string, Protocol())
        start_server(options.host, options.port, options.debug, **options.more)

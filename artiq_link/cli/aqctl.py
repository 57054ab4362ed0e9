"""The controller that ARTIQ's controller manager starts: a DDS, by the options of controllers.

An entry of the device database starts it where the manager runs::

    "dds": {
        "type": "controller", "host": "192.168.1.20", "port": 65432, "target_name": "dds",
        "command": "aqctl_artiq_link -p {port} --bind {bind} --simulation",
    }

The options are those of ARTIQ's manual, "Developing a Network Device Support Package".
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..dds.dds import DDS
from ..dds.driver import Driver
from ..server.options import add_server_options, init_logging, listen_options
from ..server.program import start_server

SUCCESS = 0
"""Exit code; `start_server` has others."""

logger = logging.getLogger(__name__)


class DriverChoice(NamedTuple):
    """What ``--driver`` chooses among."""

    build: Callable[[str], Driver]
    """Makes the driver of what ``--device`` names, without opening it."""
    device: str | None
    """What ``--device`` is, such as ``"the serial port"``; None where there is no hardware."""


def _simulated(device: str) -> Driver:
    from ..drivers.simulated import SimulatedDriver

    return SimulatedDriver()


SIMULATED = "simulated"

DRIVERS = {SIMULATED: DriverChoice(_simulated, device=None)}
"""The makes of DDS, each with the name that ``--driver`` has for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a DDS as the target ``dds`` until NDSP's ``terminate``, SIGTERM or Ctrl-C.

    Returns the exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    listening = listen_options(parser, options)
    choice, device = _chosen_driver(parser, options)
    init_logging(options)
    if options.ssl is not None:
        logger.warning("--ssl is not enforced yet: whoever reaches the port is served, in plain")
    start_server({"dds": DDS(choice.build(device))}, **listening)
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aqctl_artiq_link", description="ARTIQ controller for a DDS of the link."
    )
    add_server_options(parser)
    parser.add_argument(
        "--driver", choices=sorted(DRIVERS), help="the make of the DDS; --simulation overrides it"
    )
    parser.add_argument(
        "-d", "--device", help="where the DDS is attached; --simulation overrides it"
    )
    parser.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help="server's certificate and key, and the client's certificate to trust; "
        "not enforced yet",
    )
    return parser


def _chosen_driver(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> tuple[DriverChoice, str]:
    """The driver that the options ask for, and its device; ends the program if they do not."""
    if options.simulation:
        # Put in front of whatever the command line is, for a trial without the hardware.
        return DRIVERS[SIMULATED], ""
    name, device = options.driver, options.device
    if name is None and device is None:
        parser.error("You need to specify either --simulation or -d/--device")
    if name is None:
        parser.error(
            "-d/--device needs the --driver of that hardware; there is none yet: give --simulation"
        )
    choice = DRIVERS[name]
    if choice.device is None and device is not None:
        parser.error(f"--driver {name} has no hardware: leave -d/--device out")
    if choice.device is not None and device is None:
        parser.error(f"--driver {name} needs -d/--device: {choice.device}")
    return choice, device or ""
